/** Gaussians on a GPU: the host of the shader of `splat.wgsl.js`. */

import { NvcError } from '../files/bytes.js';
import { Canvases } from '../drawing/canvases.js';
import { fill } from '../drawing/imagescreen.js';
import { dictionary, SHAPES, TILE } from './nvsatoms.js';
import { formOf, RAMP_NORM } from './splatrender.js';
import { ATOM_WORDS, FORM_WORDS, splatShader, TILE_WORDS, VIEW_WORDS } from './splat.wgsl.js';

/** Numbers of a shader's atoms: those of all codes, one after the other. */
function atomWords(codes) {
  const { places, first } = dictionary();
  const total = codes.reduce((sum, { atoms }) => sum + atoms.tile.length, 0);
  const words = new Float32Array(Math.max(total, 1) * ATOM_WORDS);
  let at = 0;
  for (const { atoms: { shape, place, amplitudes } } of codes) {
    shape.forEach((s, i) => {
      const p = 2 * (first[s] + place[i]);
      words.set([places[p + 1], places[p], s, 0, ...amplitudes.map((values) => values[i])], at);
      at += ATOM_WORDS;
    });
  }
  return words;
}

/** Numbers of a shader's tiles: those of the picture, then those of alpha. */
function tileWords(codes, tiles) {
  const words = new Float32Array(codes.length * tiles * TILE_WORDS);
  let at = 0;
  let before = 0; // atoms of codes before
  for (const { channels, base, starts, step } of codes) {
    for (let tile = 0; tile < tiles; tile++, at += TILE_WORDS) {
      for (let c = 0; c < channels; c++) {
        for (let k = 0; k < 3; k++) words[at + 4 * k + c] = base[3 * (tile * channels + c) + k];
      }
      [words[at + 3], words[at + 7], words[at + 11]] = [before + starts[tile], before + starts[tile + 1], 4 * step];
    }
    before += starts[tiles];
  }
  return words;
}

function formWords() {
  const words = new Float32Array(SHAPES.length * FORM_WORDS);
  SHAPES.forEach(({ profile }, s) => {
    const { u, v, norm, wide, high } = formOf(s);
    words.set([...u, ...v, profile, norm, wide, high], s * FORM_WORDS);
  });
  return words;
}

/** A canvas that a GPU draws Gaussians on. */
export class SplatScreen {
  #device;
  #canvas;
  #held = []; // buffers and textures
  #size;
  #grid;
  #canvases;

  /** @param {HTMLCanvasElement} canvas one that nothing was drawn on yet
   * @param {GPUDevice} device
   * @param {import('./nvs.js').Gaussians} gaussians
   * @param {Uint8ClampedArray<ArrayBuffer>} rgba the picture
   * @param {Int16Array<ArrayBuffer>} moved what softening changed
   * @returns {Promise<SplatScreen>}
   * @throws {NvcError} where the GPU cannot hold or draw them */
  static async open(canvas, device, gaussians, rgba, moved) {
    const screen = new SplatScreen();
    const { width, height, grid } = gaussians;
    [screen.#canvas, screen.#device, screen.#size, screen.#grid] = [canvas, device, [width, height], grid];
    await screen.#open(gaussians, rgba, moved);
    return screen;
  }

  async #open({ width, height, grid, codes }, rgba, moved) {
    const device = this.#device;
    const tiles = tileWords(codes, grid.rows * grid.columns);
    const atoms = atomWords(codes);
    const { maxTextureDimension2D: side, maxStorageBufferBindingSize: bytes } = device.limits;
    const across = [grid.columns * TILE, grid.rows * TILE];
    if (Math.max(...across) > side || Math.max(tiles.byteLength, atoms.byteLength) > bytes) {
      throw new NvcError('the picture is too large for this GPU');
    }
    const module = device.createShaderModule({
      code: splatShader(codes[0].channels === 1, codes.length > 1, RAMP_NORM),
    });
    const pipeline = await device.createRenderPipelineAsync({
      layout: 'auto',
      vertex: { module, entryPoint: 'corner' },
      fragment: { module, entryPoint: 'colour', targets: [{ format: navigator.gpu.getPreferredCanvasFormat() }] },
    }).catch((error) => {
      throw new NvcError(`the GPU cannot draw Gaussians: ${error.message}`);
    });
    const buffers = [atoms, tiles, formWords()].map((words) => ({ buffer: this.#buffer(words) }));
    const exact = this.#texture('rgba8unorm', rgba, [width, height], 4);
    const moves = this.#texture('rgba16sint', moved, across, 8);
    const entries = [...buffers, exact, moves].map((resource, k) => ({ binding: k + 1, resource }));
    this.#canvases = new Canvases(device, pipeline, entries, 'premultiplied');
  }

  #buffer(words) {
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST;
    const buffer = this.#device.createBuffer({ size: words.byteLength, usage });
    this.#device.queue.writeBuffer(buffer, 0, words);
    this.#held.push(buffer);
    return buffer;
  }

  #texture(format, data, size, bytes) {
    const usage = GPUTextureUsage.TEXTURE_BINDING | GPUTextureUsage.COPY_DST;
    const texture = this.#device.createTexture({ size, format, usage });
    this.#device.queue.writeTexture({ texture }, data, { bytesPerRow: bytes * size[0] }, size);
    this.#held.push(texture);
    return texture.createView();
  }

  /** @param {object} _ the picture, which is known
   * @param {import('../drawing/screen.js').Look} look */
  show(_, look) {
    this.look(look);
  }

  /** @param {import('../drawing/screen.js').Look} look */
  look({ divider, lens, part }) {
    fill(this.#canvas);
    this.#draw(this.#canvas, part, divider);
    if (lens) this.#draw(lens.canvas, lens, 0.5);
  }

  /** Fill a canvas with a part of the picture; left of `divider` pixels stay squares. */
  #draw(canvas, part, divider) {
    const [width, height] = this.#size;
    const pixels = [part.x * width, part.y * height, part.width * width, part.height * height];
    const { rows, columns } = this.#grid;
    let scale = canvas.width / pixels[2];
    if (Math.abs(scale - 1) < 0.5 / canvas.width) scale = 1; // each pixel as one
    const numbers = new Float32Array(VIEW_WORDS);
    numbers.set([
      ...pixels, canvas.width, canvas.height, scale, divider, width, height, columns, rows]);
    this.#canvases.draw(canvas, numbers);
  }

  destroy() {
    for (const held of this.#held) held.destroy();
    this.#canvases?.destroy();
  }
}
