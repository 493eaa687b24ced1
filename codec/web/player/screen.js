/**
 * Draws pictures by WebGPU: film and base beside each other, and what the lens shows.
 *
 * @typedef {import('./pictures.js').Picture} Picture
 *
 * What is to be seen of a picture; places are 0 .. 1 of the screen.
 * @typedef {{divider: number, lens: {x: number, y: number, width: number, height: number} | null}} Look
 *   divider: left of it is the base; lens: its centre, and half its size
 */

import { chromaOffset, light, placed, rows } from './colour.js';
import { baseSize, BASE_DEPTH, scaleOf, shapesOf, subsamplingOf } from './planes.js';
import { screenShader, VIEW_WORDS } from './screen.wgsl.js';

/** A canvas that a GPU draws on. */
export class Screen {
  #device;
  #context;
  #pipeline;
  #uniform;
  #textures;
  #bindings;
  #numbers = new Float32Array(VIEW_WORDS);
  #picture = null;

  /** @param {HTMLCanvasElement} canvas one that nothing was drawn on yet
   * @param {GPUDevice} device
   * @param {import('./planes.js').Film} film
   * @param {object} track of the base
   * @param {object} colour what `known` tells
   * @param {number} chromaPlace
   * @param {object} [baseColour] where the base has another */
  constructor(canvas, device, film, track, colour, chromaPlace, baseColour = colour) {
    this.#device = device;
    const place = placed(film, track);
    [canvas.width, canvas.height] = [place.width, place.height];
    this.#context = canvas.getContext('webgpu');
    const format = navigator.gpu.getPreferredCanvasFormat();
    this.#context.configure({ device, format, alphaMode: 'opaque' });
    const module = device.createShaderModule({ code: screenShader(film.chroma === 0) });
    this.#pipeline = device.createRenderPipeline({
      layout: 'auto',
      vertex: { module, entryPoint: 'corner' },
      fragment: { module, entryPoint: 'colour', targets: [{ format }] },
    });
    this.#uniform = device.createBuffer({
      size: this.#numbers.byteLength, usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
    });
    this.#makeTextures(film);
    this.#setFilm(film, place, colour, chromaPlace, baseColour);
  }

  #makeTextures(film) {
    const base = baseSize(film);
    const shapes = [
      ...shapesOf(base.width, base.height, 1).map((shape) => [shape, 'r16uint']),
      ...shapesOf(film.width, film.height, film.chroma).map((s) => [s, film.depth === 8 ? 'r8uint' : 'r16uint']),
    ];
    this.#textures = shapes.map(([{ width, height }, format]) => this.#device.createTexture({
      size: [width, height], format, usage: GPUTextureUsage.TEXTURE_BINDING | GPUTextureUsage.COPY_DST,
    }));
    const entries = this.#textures.map((texture, k) => ({ binding: k + 1, resource: texture.createView() }));
    entries.push({ binding: 0, resource: { buffer: this.#uniform } });
    this.#bindings = this.#device.createBindGroup({ layout: this.#pipeline.getBindGroupLayout(0), entries });
  }

  /** What is the same in all pictures. */
  #setFilm(film, { toFilm: [xx, xy, yx, yy, x, y] }, colour, chromaPlace, baseColour) {
    const n = this.#numbers;
    const [p, q] = scaleOf(film);
    const { transfer, wide, peak } = light(colour);
    n.set([...rows(colour, film.depth).flat(), ...rows(baseColour, BASE_DEPTH).flat()]);
    n.set([transfer, wide ? 1 : 0, peak, 0, xx, xy, yx, yy, x, y], 24);
    n.set([film.width, film.height, (film.width * q) / p, (film.height * q) / p], 40);
    n.set([2 ** (film.depth - 1), 0, ...chromaOffset(film.chroma, chromaPlace)], 44);
    n.set([...subsamplingOf(film.chroma, 1), ...(film.chroma === 1 ? [1, 1] : [0, 0])], 48);
  }

  /** @param {Picture} picture
   * @param {Look} look */
  show(picture, look) {
    this.#picture = picture;
    const planes = [...picture.base, ...(picture.planes ?? [])];
    planes.forEach(({ width, height, samples }, k) => {
      const bytesPerRow = width * samples.BYTES_PER_ELEMENT;
      this.#device.queue.writeTexture({ texture: this.#textures[k] }, samples, { bytesPerRow }, [width, height]);
    });
    this.look(look);
  }

  /** Draw the same picture again.
   * @param {Look} look */
  look({ divider, lens }) {
    if (!this.#picture) return;
    const n = this.#numbers;
    n[27] = this.#picture.planes ? 0 : 1;
    n.set([divider, lens ? 1 : 0], 34);
    if (lens) n.set([lens.x, lens.y, lens.width, lens.height], 36);
    this.#device.queue.writeBuffer(this.#uniform, 0, n);
    const encoder = this.#device.createCommandEncoder();
    const view = this.#context.getCurrentTexture().createView();
    const pass = encoder.beginRenderPass({ colorAttachments: [{ view, loadOp: 'clear', storeOp: 'store' }] });
    pass.setPipeline(this.#pipeline);
    pass.setBindGroup(0, this.#bindings);
    pass.draw(3);
    pass.end();
    this.#device.queue.submit([encoder.finish()]);
  }

  destroy() {
    for (const texture of this.#textures) texture.destroy();
    this.#uniform.destroy();
    this.#context.unconfigure();
  }
}
