/**
 * Draws still pictures that are colours already: picture and base beside each other, any part of them, at any size.
 * Beyond one pixel of the screen to a pixel they are squares; what is transparent stays so.
 */

/** @typedef {{x: number, y: number, width: number, height: number}} Part 0 .. 1 of the picture as it is shown */

/** Give a canvas the size of the box that it fills, in pixels of the screen.
 * @param {HTMLCanvasElement} canvas */
export function fill(canvas) {
  const size = [canvas.clientWidth, canvas.clientHeight].map((n) => Math.max(Math.round(n * devicePixelRatio), 1));
  if (canvas.width !== size[0]) [canvas.width] = size;
  if (canvas.height !== size[1]) [, canvas.height] = size;
}

/** Pixels as something that is drawn from.
 * @param {Uint8ClampedArray<ArrayBuffer>} rgba
 * @param {number} width
 * @param {number} height
 * @returns {OffscreenCanvas} */
export function imageOf(rgba, width, height) {
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext('2d').putImageData(new ImageData(rgba, width, height), 0, 0);
  return canvas;
}

/** A canvas for pictures. */
export class ImageScreen {
  #canvas;
  #place;
  #images = null;

  /** @param {HTMLCanvasElement} canvas
   * @param {{width: number, height: number, toFilm: number[]}} place how the picture lies, as `placed` tells it */
  constructor(canvas, place) {
    this.#canvas = canvas;
    this.#place = place;
  }

  /** @param {{images: {film: OffscreenCanvas, base: OffscreenCanvas}}} picture film: what is shown right of the divider
   * @param {import('./screen.js').Look} look */
  show({ images }, look) {
    this.#images = images;
    this.look(look);
  }

  /** @param {import('./screen.js').Look} look */
  look({ divider, lens, part }) {
    if (!this.#images) return;
    fill(this.#canvas);
    this.#view(this.#canvas, part, divider);
    if (lens) this.#view(lens.canvas, lens, 0.5);
    this.looked?.(part, divider);
  }

  destroy() {}

  #view(canvas, part, divider) {
    const c = canvas.getContext('2d');
    const { width, height } = canvas;
    c.clearRect(0, 0, width, height);
    c.imageSmoothingQuality = 'high';
    c.imageSmoothingEnabled = width < part.width * this.#place.width;
    const { film, base } = this.#images;
    this.#draw(c, canvas, film, part, divider * width, width);
    if (divider > 0) this.#draw(c, canvas, base, part, 0, divider * width);
  }

  #draw(c, { width, height }, image, part, left, right) {
    const [xx, xy, yx, yy, sx, sy] = this.#place.toFilm;
    c.save();
    c.beginPath();
    c.rect(left, 0, right - left, height);
    c.clip();
    c.scale(width / part.width, height / part.height);
    c.translate(-part.x, -part.y);
    // places on the screen are the inverse of places in the film: turns and mirrors are their own transposed
    c.transform(xx, xy, yx, yy, -(xx * sx + yx * sy), -(xy * sx + yy * sy));
    c.drawImage(image, 0, 0, 1, 1);
    c.restore();
  }
}
