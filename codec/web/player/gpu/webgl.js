/**
 * Predictions by WebGL2, where there is no WebGPU: the host of the shaders of `upscale.glsl.js` and `heads.glsl.js`,
 * with the interface of `gpu.js`. What is read comes through a buffer, once a fence has passed: the page never waits.
 *
 * @typedef {import('../restore/planes.js').Plane} Plane
 * @typedef {import('../restore/planes.js').Film} Film
 */

import { NvcError } from '../files/bytes.js';
import { blockOf, flatShader, layerShader, plainShader } from './heads.glsl.js';
import { activationLayers, planOf, TOLD_AT, wordsIn, workOf } from './layers.js';
import { baseSize, newPlane, shapesOf } from '../restore/planes.js';
import { Portions, Turns } from './portions.js';
import { channelsOf } from '../restore/prediction.js';
import { blocksOf, toldOf } from '../restore/steering.js';
import { factorsOf } from '../restore/upscale.js';
import { cellSize, CORNERS, downShader, foldShader } from './upscale.glsl.js';

const ACROSS = 1024; // fragments in a row where samples are read
const TEXEL = 16; // bytes of one of them
const BASE_CHROMA = 1; // 4:2:0
const LITTLE = 100; // products of a fragment, about, where no layer is computed
const POLL = 2; // milliseconds between two looks at a fence

/** The context has been lost, with all that was on it: what no other picture or head would mend. */
export class GpuGone extends NvcError {
  constructor() {
    super('the GPU gave up; load the page again');
  }
}

/** WebGL2 on a canvas that nobody sees; null where there is none.
 * @returns {WebGL2RenderingContext | null} */
export function openGl() {
  const options = { alpha: false, antialias: false, depth: false, powerPreference: 'high-performance' };
  return new OffscreenCanvas(1, 1).getContext('webgl2', options);
}

/** @param {string | null} log of a shader or a program; null where the context has been lost */
function refused(log) {
  return `the GPU refuses a shader: ${(log ?? '').trim().split('\n')[0]}`;
}

/** A program with what it is given: textures by the names of their samplers, a uniform block, a target and the region
 * of it that is drawn to; about how many products.
 * @typedef {{program: WebGLProgram, textures: [string, number, WebGLTexture][], block: WebGLBuffer | null,
 *   target: WebGLFramebuffer, width: number, top: number, rows: number, work: number}} Pass */

/** Predicts the pictures of one film. */
export class GlRestorer {
  #gl;
  #film;
  #programs = new Map(); // by their code
  #targets = new Map(); // framebuffers, by texture and layer
  #base = []; // textures of the base's planes
  #upscaled; // cells of U
  #prediction; // cells of the last prediction
  #upscale; // passes
  #plain;
  #some = null; // pass that writes the plain blocks of a picture whose head is steered, made when there is one
  #flat;
  #flatSize; // of what is read
  #activations = [];
  #activationLayers = 0;
  #staging = []; // buffers that are read, and nobody uses
  #portions = new Portions();
  #turns = new Turns(1); // to give it what a picture takes

  /** @param {WebGL2RenderingContext} gl
   * @param {Film} film
   * @throws {NvcError} where it cannot hold such pictures */
  constructor(gl, film) {
    this.#gl = gl;
    this.#film = film;
    this.#checkSize();
    const size = cellSize(film);
    const layers = wordsIn(channelsOf(film.chroma).length);
    this.#upscaled = this.#texture(gl.RGBA16UI, size, layers);
    this.#prediction = this.#texture(gl.RGBA16UI, size, layers);
    this.#upscale = this.#upscalePasses(size);
    this.#plain = this.#pass(plainShader(film), { inputs: this.#upscaled }, this.#prediction, size);
    this.#makeFlat();
    this.#check();
  }

  /** Make a head ready, once for each segment.
   * @param {import('../restore/prediction.js').Head} head
   * @returns {{head: import('../restore/prediction.js').Head, passes: Pass[]}} to be handed to `predict`; its memory is
   *   small, and freed with it
   * @throws {NvcError} where the GPU cannot compute it; GpuGone where the context has been lost */
  prepare(head) {
    const gl = this.#gl;
    const size = cellSize(this.#film);
    this.#makeActivations(activationLayers(head), size);
    const last = head.layers.length - 1;
    const passes = head.layers.flatMap((_, i) => Array.from({ length: planOf(head, i).parts }, (__, part) => {
      const block = this.#buffer(gl.UNIFORM_BUFFER, blockOf(head, i, part));
      const textures = { inputs: i ? this.#activations[(i - 1) % 2] : this.#upscaled };
      if (i === last) textures.upscaled = this.#upscaled;
      const target = i === last ? this.#prediction : this.#activations[i % 2];
      const code = layerShader(head, i, part, this.#film);
      return this.#pass(code, textures, target, size, { part: i === last ? null : part, block, work: workOf(head, i) });
    }));
    this.#check();
    return { head, passes };
  }

  /** A picture's prediction. Several may be asked for; they are computed in that order.
   * @param {Plane[]} base 10-bit planes, 4:2:0
   * @param {ReturnType<GlRestorer['prepare']> | null} head prepared; null where the head does not predict this picture
   * @param {import('../restore/steering.js').Steered | null} [steered] how the head is
   * @param {AbortSignal} [signal] tells that nobody wants it any more
   * @returns {Promise<Plane[] | null>} planes of the film's depth; null where nobody wants it
   * @throws {GpuGone} where the context has been lost */
  async predict(base, head, steered = null, signal = undefined) {
    await this.#turns.take();
    let staging;
    const since = performance.now();
    try {
      this.#write(base);
      const passes = [...this.#upscale, ...(head ? this.#steered(head, steered) : [this.#plain]), ...this.#flat];
      if (!(await this.#run(passes, signal))) return null;
      staging = this.#copied();
    } finally {
      this.#turns.give();
    }
    await this.#passed();
    this.#portions.done(since);
    const planes = this.#planesOf(staging);
    this.#staging.push(staging);
    return planes;
  }

  /** The passes of a head, which is told what it is to be told of a picture, and those of its plain blocks. */
  #steered({ head, passes }, steered) {
    const gl = this.#gl;
    if (head.baseQ !== null) {
      const told = Int32Array.of(toldOf(head.baseQ, steered));
      for (const { block } of passes.slice(0, planOf(head, 0).parts)) {
        gl.bindBuffer(gl.UNIFORM_BUFFER, block);
        gl.bufferSubData(gl.UNIFORM_BUFFER, TOLD_AT, told);
      }
    }
    if (!steered?.blocks) return passes;
    const { columns: width, rows: height } = blocksOf(this.#film);
    this.#some ??= this.#somePass({ width, height });
    const { texture } = this.#some.textures[0][1];
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, width, height, gl.RED_INTEGER, gl.UNSIGNED_BYTE, steered.blocks);
    return [...passes, this.#some];
  }

  #somePass(size) {
    const textures = { blocks: this.#texture(this.#gl.R8UI, size), inputs: this.#upscaled };
    return this.#pass(plainShader(this.#film, true), textures, this.#prediction, cellSize(this.#film));
  }

  /** Free what the GPU holds. */
  destroy() {
    this.#gl.getExtension('WEBGL_lose_context')?.loseContext();
  }

  #checkSize() {
    const gl = this.#gl;
    const { width, height } = this.#film;
    const base = baseSize(this.#film);
    const rows = Math.ceil((3 * width * height) / (ACROSS * 8)) + 3;
    if (Math.max(base.width, base.height, width, height, rows) > gl.getParameter(gl.MAX_TEXTURE_SIZE)) {
      throw this.#refusal(`pictures of ${width}x${height} are too large for this GPU`);
    }
  }

  /** @throws {NvcError} where WebGL refused something */
  #check() {
    const error = this.#gl.getError();
    if (error !== this.#gl.NO_ERROR) throw this.#refusal(`the GPU refuses: error ${error} of WebGL`);
  }

  /** Why something was refused: a context that has been lost refuses everything. */
  #refusal(sentence) {
    return this.#gl.isContextLost() ? new GpuGone() : new NvcError(sentence);
  }

  /** A new texture; of an array where `layers` are given. */
  #texture(format, { width, height }, layers = 0) {
    const gl = this.#gl;
    const texture = gl.createTexture();
    const kind = layers ? gl.TEXTURE_2D_ARRAY : gl.TEXTURE_2D;
    gl.bindTexture(kind, texture);
    if (layers) gl.texStorage3D(kind, 1, format, width, height, layers);
    else gl.texStorage2D(kind, 1, format, width, height);
    for (const name of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(kind, name, gl.NEAREST);
    return { kind, texture, layers };
  }

  #buffer(kind, data) {
    const gl = this.#gl;
    const buffer = gl.createBuffer();
    if (kind === gl.UNIFORM_BUFFER && data.byteLength > gl.getParameter(gl.MAX_UNIFORM_BLOCK_SIZE)) {
      throw this.#refusal('a head is too large for WebGL2 here');
    }
    gl.bindBuffer(kind, buffer);
    gl.bufferData(kind, data, gl.STATIC_DRAW);
    return buffer;
  }

  #upscalePasses(size) {
    const gl = this.#gl;
    const passes = [];
    const base = baseSize(this.#film);
    const shapes = shapesOf(base.width, base.height, BASE_CHROMA);
    const inputs = shapesOf(this.#film.width, this.#film.height, this.#film.chroma).map(({ height }, p) => {
      const plane = this.#texture(gl.R16UI, shapes[p]);
      this.#base.push(plane);
      const { down } = factorsOf(this.#film, p);
      if (!down.taps) return [`plane${p}`, plane];
      const shape = { width: shapes[p].width, height };
      const rows = this.#texture(gl.R32I, shape);
      passes.push(this.#pass(downShader(down), { plane }, rows, shape));
      return [`plane${p}`, rows];
    });
    return [...passes, this.#pass(foldShader(this.#film), Object.fromEntries(inputs), this.#upscaled, size)];
  }

  /** Planes lie below each other in what is read, each from a row of its own on. */
  #makeFlat() {
    const each = this.#film.depth === 8 ? TEXEL : TEXEL / 2; // samples in a fragment
    let top = 0;
    const parts = shapesOf(this.#film.width, this.#film.height, this.#film.chroma).map((shape, p) => {
      const rows = Math.ceil((shape.width * shape.height) / each / ACROSS);
      top += rows;
      return { shape, p, rows, top: top - rows };
    });
    this.#flatSize = { width: ACROSS, height: top };
    const target = this.#texture(this.#gl.RGBA32UI, this.#flatSize);
    this.#flat = parts.map(({ shape, p, rows, top: first }) => this.#pass(
      flatShader(this.#film, p, shape, ACROSS, first), { inputs: this.#prediction }, target,
      { width: ACROSS, height: rows }, { top: first },
    ));
  }

  /** Two textures of so many layers at least. */
  #makeActivations(layers, size) {
    if (this.#activationLayers >= layers) return;
    this.#activationLayers = layers;
    this.#activations = [0, 1].map(() => this.#texture(this.#gl.RGBA32UI, size, layers));
  }

  /** @returns {Pass} `part`: the layer of the target that is drawn to; null for all of them at once */
  #pass(code, textures, target, { width, height }, { part = null, block = null, top = 0, work = LITTLE } = {}) {
    return {
      program: this.#program(code), textures: Object.entries(textures), block, target: this.#target(target, part),
      width, top, rows: height, work: work * width * height,
    };
  }

  /** A framebuffer of one layer of a texture, or of all. */
  #target({ texture, layers }, part) {
    const gl = this.#gl;
    if (!this.#targets.has(texture)) this.#targets.set(texture, new Map());
    const known = this.#targets.get(texture);
    if (known.has(part)) return known.get(part);
    const target = gl.createFramebuffer();
    gl.bindFramebuffer(gl.FRAMEBUFFER, target);
    const drawn = part === null ? Array.from({ length: layers || 1 }, (_, l) => l) : [part];
    drawn.forEach((layer, k) => {
      const point = gl.COLOR_ATTACHMENT0 + k;
      if (layers) gl.framebufferTextureLayer(gl.FRAMEBUFFER, point, texture, 0, layer);
      else gl.framebufferTexture2D(gl.FRAMEBUFFER, point, gl.TEXTURE_2D, texture, 0);
    });
    gl.drawBuffers(drawn.map((_, k) => gl.COLOR_ATTACHMENT0 + k));
    if (gl.checkFramebufferStatus(gl.FRAMEBUFFER) !== gl.FRAMEBUFFER_COMPLETE) {
      throw this.#refusal('the GPU cannot draw to textures of integers');
    }
    known.set(part, target);
    return target;
  }

  /** Heads of one shape, as segments bring them, share their programs: to compile one takes longer than a picture. */
  #program(code) {
    if (this.#programs.has(code)) return this.#programs.get(code);
    const gl = this.#gl;
    const program = gl.createProgram();
    for (const [kind, text] of [[gl.VERTEX_SHADER, CORNERS], [gl.FRAGMENT_SHADER, code]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) {
        throw this.#refusal(refused(gl.getShaderInfoLog(shader)));
      }
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) {
      throw this.#refusal(refused(gl.getProgramInfoLog(program)));
    }
    const block = gl.getUniformBlockIndex(program, 'Layer');
    if (block !== gl.INVALID_INDEX) gl.uniformBlockBinding(program, block, 0);
    this.#programs.set(code, program);
    return program;
  }

  #write(base) {
    const gl = this.#gl;
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    this.#base.forEach(({ texture }, p) => {
      const { width, height, samples } = base[p];
      gl.bindTexture(gl.TEXTURE_2D, texture);
      gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, width, height, gl.RED_INTEGER, gl.UNSIGNED_SHORT, samples);
    });
  }

  /** Give the GPU passes, at once or in portions.
   * @returns {Promise<boolean>} whether that was done */
  async #run(passes, signal) {
    const portions = this.#portions.of(passes);
    for (const portion of portions) {
      if (signal?.aborted) return false;
      for (const [pass, first, rows] of portion) this.#draw(pass, first, rows);
      if (portions.length > 1) await this.#passed();
    }
    return true;
  }

  /** Draw so many rows of a pass from the `first` on. */
  #draw({ program, textures, block, target, width, top }, first, rows) {
    const gl = this.#gl;
    gl.useProgram(program);
    textures.forEach(([name, { kind, texture }], unit) => {
      gl.activeTexture(gl.TEXTURE0 + unit);
      gl.bindTexture(kind, texture);
      gl.uniform1i(gl.getUniformLocation(program, name), unit);
    });
    gl.activeTexture(gl.TEXTURE0);
    if (block) gl.bindBufferBase(gl.UNIFORM_BUFFER, 0, block);
    gl.bindFramebuffer(gl.FRAMEBUFFER, target);
    gl.viewport(0, top + first, width, rows);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }

  /** A buffer that what is read is copied to. */
  #copied() {
    const gl = this.#gl;
    const { width, height } = this.#flatSize;
    const staging = this.#staging.pop() ?? gl.createBuffer();
    gl.bindBuffer(gl.PIXEL_PACK_BUFFER, staging);
    gl.bufferData(gl.PIXEL_PACK_BUFFER, TEXEL * width * height, gl.STREAM_READ);
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.#flat[0].target);
    gl.readPixels(0, 0, width, height, gl.RGBA_INTEGER, gl.UNSIGNED_INT, 0);
    gl.bindBuffer(gl.PIXEL_PACK_BUFFER, null);
    return staging;
  }

  /** Until all is done that the GPU has been given. */
  async #passed() {
    const gl = this.#gl;
    const fence = gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0);
    gl.flush();
    while (!gl.isContextLost() && gl.getSyncParameter(fence, gl.SYNC_STATUS) !== gl.SIGNALED) {
      await new Promise((go) => setTimeout(go, POLL));
    }
    if (gl.isContextLost()) throw new GpuGone();
    gl.deleteSync(fence);
  }

  /** Planes copied out of a buffer that has been filled. */
  #planesOf(staging) {
    const gl = this.#gl;
    gl.bindBuffer(gl.PIXEL_PACK_BUFFER, staging);
    const planes = shapesOf(this.#film.width, this.#film.height, this.#film.chroma).map((shape, p) => {
      const plane = newPlane(shape, this.#film.depth);
      gl.getBufferSubData(gl.PIXEL_PACK_BUFFER, this.#flat[p].top * ACROSS * TEXEL, plane.samples);
      return plane;
    });
    gl.bindBuffer(gl.PIXEL_PACK_BUFFER, null);
    this.#check();
    return planes;
  }
}
