/**
 * Draws pictures by WebGPU: film and base beside each other, and what the lens shows.
 *
 * @typedef {import('../page/pictures.js').Picture} Picture
 *
 * What is to be seen of a picture; places are 0 .. 1 of the screen.
 * @typedef {{divider: number,
 *   lens: {x: number, y: number, width: number, height: number, canvas: HTMLCanvasElement} | null}} Look
 *   divider: left of it is the base; lens: the part that fills a canvas of its own, the left half of it with the base
 */

import { chromaOffset, light, placed, rows } from './colour.js';
import { baseSize, BASE_DEPTH, scaleOf, shapesOf, subsamplingOf } from '../restore/planes.js';
import { screenShader, VIEW_WORDS } from './screen.wgsl.js';

/** A canvas that a GPU draws on. */
export class Screen {
  #device;
  #pipeline;
  #textures;
  #drawn = new Map(); // by canvas: context, uniform, bindings
  #canvas;
  #numbers = new Float32Array(VIEW_WORDS);
  #picture = null;

  /** @param {HTMLCanvasElement} canvas one that nothing was drawn on yet
   * @param {GPUDevice} device
   * @param {import('../restore/planes.js').Film} film
   * @param {object} track of the base
   * @param {object} colour what `known` tells
   * @param {number} chromaPlace
   * @param {object} [baseColour] where the base has another */
  constructor(canvas, device, film, track, colour, chromaPlace, baseColour = colour) {
    this.#device = device;
    const place = placed(film, track);
    [canvas.width, canvas.height] = [place.width, place.height];
    this.#canvas = canvas;
    const format = navigator.gpu.getPreferredCanvasFormat();
    const module = device.createShaderModule({ code: screenShader(film.chroma === 0) });
    this.#pipeline = device.createRenderPipeline({
      layout: 'auto',
      vertex: { module, entryPoint: 'corner' },
      fragment: { module, entryPoint: 'colour', targets: [{ format }] },
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
  }

  /** What is needed to draw on a canvas. */
  #of(canvas) {
    if (this.#drawn.has(canvas)) return this.#drawn.get(canvas);
    const device = this.#device;
    const context = canvas.getContext('webgpu');
    context.configure({ device, format: navigator.gpu.getPreferredCanvasFormat(), alphaMode: 'opaque' });
    const uniform = device.createBuffer({
      size: this.#numbers.byteLength, usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
    });
    const entries = this.#textures.map((texture, k) => ({ binding: k + 1, resource: texture.createView() }));
    entries.push({ binding: 0, resource: { buffer: uniform } });
    const bindings = device.createBindGroup({ layout: this.#pipeline.getBindGroupLayout(0), entries });
    this.#drawn.set(canvas, { context, uniform, bindings });
    return this.#drawn.get(canvas);
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
    this.#numbers[27] = this.#picture.planes ? 0 : 1;
    this.#draw(this.#canvas, { x: 0, y: 0, width: 1, height: 1 }, divider);
    if (lens) this.#draw(lens.canvas, lens, 0.5);
  }

  /** Fill a canvas with a part of the screen, the base left of `divider`. */
  #draw(canvas, { x, y, width, height }, divider) {
    const { context, uniform, bindings } = this.#of(canvas);
    this.#numbers[34] = divider;
    this.#numbers.set([x, y, width, height], 36);
    this.#device.queue.writeBuffer(uniform, 0, this.#numbers);
    const encoder = this.#device.createCommandEncoder();
    const view = context.getCurrentTexture().createView();
    const pass = encoder.beginRenderPass({ colorAttachments: [{ view, loadOp: 'clear', storeOp: 'store' }] });
    pass.setPipeline(this.#pipeline);
    pass.setBindGroup(0, bindings);
    pass.draw(3);
    pass.end();
    this.#device.queue.submit([encoder.finish()]);
  }

  destroy() {
    for (const texture of this.#textures) texture.destroy();
    for (const { context, uniform } of this.#drawn.values()) {
      uniform.destroy();
      context.unconfigure();
    }
  }
}
