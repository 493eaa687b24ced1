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

import { Canvases } from './canvases.js';
import { chromaOffset, light, placed, rows } from './colour.js';
import { baseSize, BASE_DEPTH, scaleOf, shapesOf, subsamplingOf } from '../restore/planes.js';
import { screenShader, VIEW_WORDS } from './screen.wgsl.js';

/** A canvas that a GPU draws on. */
export class Screen {
  #device;
  #textures;
  #canvases;
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
    const pipeline = device.createRenderPipeline({
      layout: 'auto',
      vertex: { module, entryPoint: 'corner' },
      fragment: { module, entryPoint: 'colour', targets: [{ format }] },
    });
    this.#makeTextures(film);
    const entries = this.#textures.map((texture, k) => ({ binding: k + 1, resource: texture.createView() }));
    this.#canvases = new Canvases(device, pipeline, entries, 'opaque');
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
    this.#numbers[34] = divider;
    this.#numbers.set([x, y, width, height], 36);
    this.#canvases.draw(canvas, this.#numbers);
  }

  destroy() {
    for (const texture of this.#textures) texture.destroy();
    this.#canvases.destroy();
  }
}
