/**
 * Predictions on a GPU: the host of the shaders of `upscale.wgsl.js` and `heads.wgsl.js`, sample for sample what
 * `restore.js` computes.
 *
 * A GPU executes what it is given in order, so one set of textures serves all pictures, of which one is given at a
 * time.
 *
 * @typedef {import('../restore/planes.js').Plane} Plane
 * @typedef {import('../restore/planes.js').Film} Film
 */

import { NvcError } from '../files/bytes.js';
import { flatShader, layerShader, PACKED, plainShader } from './heads.wgsl.js';
import { activationLayers, numbersOf, planOf, TOLD_AT, weightsOf, wordsIn, workOf } from './layers.js';
import { Portions, Turns } from './portions.js';
import { baseSize, newPlane, shapesOf } from '../restore/planes.js';
import { channelsOf, gridOf } from '../restore/prediction.js';
import { toldOf } from '../restore/steering.js';
import { factorsOf } from '../restore/upscale.js';
import { BAND, downShader, foldShader, GROUP } from './upscale.wgsl.js';

const ACROSS = 4096; // invocations in a row where a plane's bytes are written
const BASE_CHROMA = 1; // 4:2:0
const TRIAL = 10; // milliseconds that are enough to tell which way of multiplying is faster
const LITTLE = 100; // products of an invocation, about, where no layer is computed

/** A GPU that can compute; null where there is none, or none that is given.
 * @param {GPU | undefined} gpu `navigator.gpu`
 * @returns {Promise<GPUDevice | null>} with the largest textures and buffers that it has */
export async function openDevice(gpu) {
  try {
    const adapter = await gpu?.requestAdapter({ powerPreference: 'high-performance' });
    if (!adapter) return null;
    const { maxTextureDimension2D, maxStorageBufferBindingSize, maxBufferSize } = adapter.limits;
    return await adapter.requestDevice({
      requiredLimits: { maxTextureDimension2D, maxStorageBufferBindingSize, maxBufferSize },
    });
  } catch {
    return null;
  }
}

/** A compute pipeline with what it is given: views and buffers by their bindings; workgroups; about how many products;
 * bind groups by the row of workgroups that a portion begins at.
 * @typedef {{pipeline: GPUComputePipeline, bound: Record<number, GPUTextureView | GPUBuffer>, columns: number,
 *   rows: number, layers: number, work: number, bindings: Map<number, GPUBindGroup>}} Pass */

/** Ways of multiplying that a browser has: by dot4I8Packed, which some GPUs have to do in many steps, and by f32.
 * @returns {boolean[]} for each, whether it is dot4I8Packed */
export const waysOf = () => (navigator.gpu.wgslLanguageFeatures.has(PACKED) ? [true, false] : [false]);

const faster = new WeakMap(); // GPUDevice -> the way that was found to be faster

/** Predicts the pictures of one film. */
export class GpuRestorer {
  #device;
  #film;
  #ways;
  #pipelines = new Map(); // by their code
  #textures = []; // all there are
  #base = []; // those of the base's planes
  #upscaled; // view of the cells of U (see `upscale.wgsl.js`)
  #prediction; // view of the cells of the last prediction, of the film's depth
  #upscale; // passes
  #plain;
  #some = null; // pass that writes the plain blocks of a picture whose head is steered, made when there is one
  #flat;
  #flatBytes; // buffers, one a plane
  #activations = []; // views of two textures
  #activationLayers = 0; // that they have
  #staging = []; // buffers that are read, and nobody uses
  #bands = new Map(); // buffers that tell where a portion begins
  #portions = new Portions();
  #turns = new Turns(1); // to give it what a picture takes

  /** @param {GPUDevice} device
   * @param {Film} film
   * @param {boolean[]} ways of multiplying to choose from, as of `waysOf`
   * @throws {NvcError} where the GPU cannot hold such pictures */
  constructor(device, film, ways = faster.has(device) ? [faster.get(device)] : waysOf()) {
    this.#device = device;
    this.#film = film;
    this.#ways = ways;
    this.#checkSize();
    const grid = gridOf(film);
    const layers = wordsIn(channelsOf(film.chroma).length);
    const size = [grid.columns, grid.rows, layers];
    this.#upscaled = this.#texture('upscaled base', size, 'rgba16uint');
    this.#prediction = this.#texture('prediction', size, 'rgba16uint');
    this.#upscale = this.#upscalePasses();
    this.#plain = this.#pass(plainShader(film), { 2: this.#upscaled, 3: this.#prediction }, this.#cellGroups());
    this.#makeFlat();
  }

  /** Make a head ready, once for each segment.
   * @param {import('../restore/prediction.js').Head} head
   * @returns {{head: import('../restore/prediction.js').Head, passes: Pass[] | null}} to be handed to `predict`; its
   *   memory is small, and freed with it */
  prepare(head) {
    this.#makeActivations(activationLayers(head));
    return { head, passes: null };
  }

  /** The passes of a head that was prepared. */
  async #passesOf(prepared) {
    if (this.#ways.length > 1) await this.#choose(prepared);
    return (prepared.passes ??= this.#headPasses(prepared.head, this.#ways[0]));
  }

  /** The passes of a head, which is told what it is to be told of a picture, and those of its plain blocks. */
  async #steered(prepared, steered) {
    const passes = await this.#passesOf(prepared);
    const { baseQ } = prepared.head;
    const { queue } = this.#device;
    if (baseQ !== null) queue.writeBuffer(passes[0].bound[1], TOLD_AT, Int32Array.of(toldOf(baseQ, steered)));
    if (!steered?.blocks) return passes;
    const blocks = Uint32Array.from(steered.blocks);
    this.#some ??= this.#pass(plainShader(this.#film, true), {
      1: this.#buffer('blocks', blocks), 2: this.#upscaled, 3: this.#prediction,
    }, this.#cellGroups());
    queue.writeBuffer(this.#some.bound[1], 0, blocks);
    return [...passes, this.#some];
  }

  /** Keep the way of multiplying that is faster here, found by some rows of a head, and that head's passes. */
  async #choose(prepared) {
    const all = this.#ways.map((packed) => this.#headPasses(prepared.head, packed));
    let rows = 1;
    for (;;) {
      const took = [];
      for (const passes of all) {
        await this.#timed(passes, rows); // to make what has to be made, and to wake what sleeps
        took.push(await this.#timed(passes, rows));
      }
      const least = Math.min(...took);
      if (least >= TRIAL || rows >= all[0][0].rows) {
        const best = took.indexOf(least);
        this.#ways = [this.#ways[best]];
        prepared.passes = all[best];
        faster.set(this.#device, this.#ways[0]);
        return;
      }
      rows *= 2;
    }
  }

  /** Milliseconds that the first rows of passes take. */
  async #timed(passes, rows) {
    const since = performance.now();
    this.#submit(passes.map((pass) => [pass, 0, Math.min(pass.rows, rows)]));
    await this.#device.queue.onSubmittedWorkDone();
    return performance.now() - since;
  }

  #headPasses(head, packed) {
    const last = head.layers.length - 1;
    return head.layers.map((_, i) => {
      const bound = {
        0: this.#buffer(`weights ${i}`, weightsOf(head, i, packed, Float32Array)),
        1: this.#buffer(`numbers ${i}`, numbersOf(head, i)),
        2: i ? this.#activations[(i - 1) % 2] : this.#upscaled,
        3: i === last ? this.#prediction : this.#activations[i % 2],
      };
      if (i === last) bound[4] = this.#upscaled;
      const groups = [...this.#cellGroups(), planOf(head, i).parts];
      return this.#pass(layerShader(head, i, this.#film, packed), bound, groups, workOf(head, i));
    });
  }

  /** A picture's prediction. Several may be asked for; they are computed in that order.
   * @param {Plane[]} base 10-bit planes, 4:2:0
   * @param {ReturnType<GpuRestorer['prepare']> | null} head prepared; null where the head does not predict this picture
   * @param {import('../restore/steering.js').Steered | null} [steered] how the head is
   * @param {AbortSignal} [signal] tells that nobody wants it any more
   * @returns {Promise<Plane[] | null>} planes of the film's depth; null where nobody wants it
   * @throws {NvcError} where the device has been lost */
  async predict(base, head, steered = null, signal = undefined) {
    await this.#turns.take();
    let staging;
    const since = performance.now();
    try {
      this.#write(base);
      const predicting = head ? await this.#steered(head, steered) : [this.#plain];
      const passes = [...this.#upscale, ...predicting, ...this.#flat];
      if (!(await this.#run(passes, signal))) return null;
      staging = this.#copied();
    } finally {
      this.#turns.give();
    }
    try {
      await staging.mapAsync(GPUMapMode.READ);
    } catch (error) {
      throw new NvcError(`the GPU gave up: ${error.message}`);
    }
    this.#portions.done(since);
    const planes = this.#planesOf(staging.getMappedRange());
    staging.unmap();
    this.#staging.push(staging);
    return planes;
  }

  /** Free what the GPU holds. */
  destroy() {
    for (const held of [...this.#textures, ...this.#flatBytes, ...this.#staging]) held.destroy();
  }

  #checkSize() {
    const { maxTextureDimension2D: side, maxStorageBufferBindingSize: bytes } = this.#device.limits;
    const { width, height, depth } = this.#film;
    const base = baseSize(this.#film);
    if (Math.max(base.width, base.height, width, height) > side || width * height * (depth === 8 ? 1 : 2) > bytes) {
      throw new NvcError(`pictures of ${width}x${height} are too large for this GPU`);
    }
  }

  /** A view of a new texture: of `size` [width, height], or of an array with as many layers as a third number says. */
  #texture(label, size, format) {
    const { TEXTURE_BINDING, STORAGE_BINDING, COPY_DST } = GPUTextureUsage;
    const usage = TEXTURE_BINDING | (format === 'r16uint' ? COPY_DST : STORAGE_BINDING);
    const texture = this.#device.createTexture({ label, size, format, usage });
    this.#textures.push(texture);
    return texture.createView({ dimension: size.length === 3 ? '2d-array' : '2d' });
  }

  #buffer(label, data, kind = GPUBufferUsage.STORAGE) {
    const usage = kind | GPUBufferUsage.COPY_DST;
    const buffer = this.#device.createBuffer({ label, size: data.byteLength, usage });
    this.#device.queue.writeBuffer(buffer, 0, data);
    return buffer;
  }

  /** Workgroups for as many cells as a picture has. */
  #cellGroups() {
    const { columns, rows } = gridOf(this.#film);
    return [Math.ceil(columns / GROUP), Math.ceil(rows / GROUP)];
  }

  #upscalePasses() {
    const passes = [];
    const base = baseSize(this.#film);
    const shapes = shapesOf(base.width, base.height, BASE_CHROMA);
    const planes = shapesOf(this.#film.width, this.#film.height, this.#film.chroma).map(({ height }, p) => {
      const plane = this.#texture(`base ${p}`, [shapes[p].width, shapes[p].height], 'r16uint');
      this.#base.push(this.#textures.at(-1));
      const { down } = factorsOf(this.#film, p);
      if (!down.taps) return plane;
      const size = [shapes[p].width, height];
      const rows = this.#texture(`rows ${p}`, size, 'r32sint');
      passes.push(this.#pass(downShader(down), { 0: plane, 1: rows }, size.map((n) => Math.ceil(n / GROUP))));
      return rows;
    });
    const bound = { ...planes, [planes.length]: this.#upscaled };
    return [...passes, this.#pass(foldShader(this.#film), bound, this.#cellGroups())];
  }

  #makeFlat() {
    const each = this.#film.depth === 8 ? 4 : 2; // samples in a word
    this.#flatBytes = [];
    this.#flat = shapesOf(this.#film.width, this.#film.height, this.#film.chroma).map((shape, p) => {
      const words = Math.ceil((shape.width * shape.height) / each);
      const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC;
      const buffer = this.#device.createBuffer({ label: `plane ${p}`, size: 4 * words, usage });
      this.#flatBytes.push(buffer);
      const groups = [Math.min(ACROSS, words) / (GROUP * GROUP), words / ACROSS].map(Math.ceil);
      return this.#pass(flatShader(this.#film, p, shape, ACROSS), { 2: this.#prediction, 3: buffer }, groups);
    });
  }

  /** Two textures of so many layers at least. */
  #makeActivations(layers) {
    if (this.#activationLayers >= layers) return;
    this.#activationLayers = layers;
    const { columns, rows } = gridOf(this.#film);
    this.#activations = [0, 1].map((k) =>
      this.#texture(`activations ${k}`, [columns, rows, layers], 'rgba32uint'));
  }

  /** @returns {Pass} `bound`: views and buffers by the numbers of their bindings */
  #pass(code, bound, [columns, rows, layers = 1], work = LITTLE) {
    const pipeline = this.#pipeline(code);
    const all = GROUP * GROUP * work * columns * rows * layers;
    return { pipeline, bound, columns, rows, layers, work: all, bindings: new Map() };
  }

  /** What a pass is given where it begins at a row of workgroups. */
  #bindings({ pipeline, bound, bindings }, first) {
    if (!bindings.has(first)) {
      if (!this.#bands.has(first)) {
        this.#bands.set(first, this.#buffer(`band ${first}`, Uint32Array.of(first, 0, 0, 0), GPUBufferUsage.UNIFORM));
      }
      const entries = Object.entries({ ...bound, [BAND]: this.#bands.get(first) }).map(([binding, resource]) => ({
        binding: Number(binding),
        resource: resource instanceof GPUBuffer ? { buffer: resource } : resource,
      }));
      bindings.set(first, this.#device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
    }
    return bindings.get(first);
  }

  /** Heads of one shape, as segments bring them, share their pipelines: to compile one takes longer than a picture. */
  #pipeline(code) {
    let pipeline = this.#pipelines.get(code);
    if (!pipeline) {
      const module = this.#device.createShaderModule({ code });
      pipeline = this.#device.createComputePipeline({ layout: 'auto', compute: { module, entryPoint: 'main' } });
      this.#pipelines.set(code, pipeline);
    }
    return pipeline;
  }

  /** Give the GPU passes, at once or in portions.
   * @returns {Promise<boolean>} whether that was done */
  async #run(passes, signal) {
    const portions = this.#portions.of(passes);
    for (const portion of portions) {
      if (signal?.aborted) return false;
      this.#submit(portion);
      if (portions.length > 1) await this.#device.queue.onSubmittedWorkDone();
    }
    return true;
  }

  /** @param {[Pass, number, number][]} portions with the first row of workgroups and how many */
  #submit(portions) {
    const encoder = this.#device.createCommandEncoder();
    const compute = encoder.beginComputePass();
    for (const [pass, first, rows] of portions) {
      compute.setPipeline(pass.pipeline);
      compute.setBindGroup(0, this.#bindings(pass, first));
      compute.dispatchWorkgroups(pass.columns, rows, pass.layers);
    }
    compute.end();
    this.#device.queue.submit([encoder.finish()]);
  }

  #write(base) {
    this.#base.forEach((texture, p) => {
      const { width, height, samples } = base[p];
      this.#device.queue.writeTexture({ texture }, samples, { bytesPerRow: 2 * width }, [width, height]);
    });
  }

  /** A buffer that the bytes of the planes are copied to. */
  #copied() {
    const size = this.#flatBytes.reduce((sum, buffer) => sum + buffer.size, 0);
    const staging = this.#staging.pop() ?? this.#device.createBuffer({
      label: 'read back', size, usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ,
    });
    const encoder = this.#device.createCommandEncoder();
    let at = 0;
    for (const buffer of this.#flatBytes) {
      encoder.copyBufferToBuffer(buffer, 0, staging, at, buffer.size);
      at += buffer.size;
    }
    this.#device.queue.submit([encoder.finish()]);
    return staging;
  }

  /** Planes copied out of the bytes of all. */
  #planesOf(bytes) {
    let at = 0;
    return shapesOf(this.#film.width, this.#film.height, this.#film.chroma).map((shape, p) => {
      const plane = newPlane(shape, this.#film.depth);
      plane.samples.set(new plane.samples.constructor(bytes, at, plane.samples.length));
      at += this.#flatBytes[p].size;
      return plane;
    });
  }
}
