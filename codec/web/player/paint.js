/** Draws pictures without a GPU, by JavaScript on a plain canvas: what `screen.js` does, more slowly. */

import { chromaOffset, light, placed, rows, TRANSFER } from './colour.js';
import { baseSize, BASE_DEPTH, subsamplingOf } from './planes.js';

const LENS = 4; // how much it magnifies

/** A canvas that JavaScript draws on. */
export class Painting {
  #film;
  #place;
  #canvas;
  #context;
  #own; // canvases of film and base
  #lut;
  #rows;
  #offset;

  /** Takes what `Screen` takes, but for the device. */
  constructor(canvas, film, track, colour, chromaPlace, baseColour = colour) {
    this.#film = film;
    this.#canvas = canvas;
    this.#place = placed(film, track);
    [canvas.width, canvas.height] = [this.#place.width, this.#place.height];
    this.#context = canvas.getContext('2d');
    const base = baseSize(film);
    this.#own = {
      film: new OffscreenCanvas(film.width, film.height),
      base: new OffscreenCanvas(base.width, base.height),
    };
    this.#rows = { film: rows(colour, film.depth), base: rows(baseColour, BASE_DEPTH) };
    this.#offset = chromaOffset(film.chroma, chromaPlace);
    const { transfer, peak } = light(colour);
    this.#lut = transfer === TRANSFER.plain ? null : dimmed(transfer, peak);
  }

  /** @param {import('./pictures.js').Picture} picture
   * @param {import('./screen.js').Look} look */
  show(picture, look) {
    this.#paint('base', picture.base, 1);
    if (picture.planes) this.#paint('film', picture.planes, this.#film.chroma);
    this.all = picture.planes ? 'film' : 'base';
    this.look(look);
  }

  /** @param {import('./screen.js').Look} look */
  look({ divider, lens }) {
    if (!this.all) return;
    const { width, height } = this.#canvas;
    this.#draw(this.all, 0, 0, width, height, 1, 0, 0);
    this.#draw('base', 0, 0, divider * width, height, 1, 0, 0);
    if (!lens) return;
    const [x, y] = [lens.x * width, lens.y * height];
    const [w, h] = [lens.width * width, lens.height * height];
    this.#draw('base', x - w, y - h, w, 2 * h, LENS, x, y);
    this.#draw(this.all, x, y - h, w, 2 * h, LENS, x, y);
  }

  destroy() {}

  /** Part of a picture, magnified around a point. */
  #draw(which, left, top, width, height, times, x, y) {
    const c = this.#context;
    const { width: w, height: h } = this.#canvas;
    const [xx, xy, yx, yy, sx, sy] = this.#place.toFilm;
    c.save();
    c.beginPath();
    c.rect(left, top, width, height);
    c.clip();
    c.translate(x, y);
    c.scale(times, times);
    c.translate(-x, -y);
    // places on the screen are the inverse of places in the film: turns and mirrors are their own transposed
    c.transform(xx * w, xy * h, yx * w, yy * h, -(xx * sx + yx * sy) * w, -(xy * sx + yy * sy) * h);
    c.drawImage(this.#own[which], 0, 0, 1, 1);
    c.restore();
  }

  #paint(which, planes, chroma) {
    const [luma, u, v] = planes;
    const { width, height } = luma;
    const image = new ImageData(width, height);
    const [sx, sy] = subsamplingOf(chroma, 1);
    const [r, g, b] = this.#rows[which];
    const middle = 2 ** ((which === 'base' ? BASE_DEPTH : this.#film.depth) - 1);
    const [ox, oy] = this.#offset;
    for (let y = 0, at = 0; y < height; y++) {
      const row = u ? Math.min(Math.max(Math.round((y - oy) / sy), 0), u.height - 1) * u.width : 0;
      for (let x = 0; x < width; x++, at += 4) {
        const c = u ? row + Math.min(Math.max(Math.round((x - ox) / sx), 0), u.width - 1) : 0;
        const [Y, U, V] = [luma.samples[y * width + x], u ? u.samples[c] : middle, u ? v.samples[c] : middle];
        image.data[at] = 255 * (r[0] * Y + r[1] * U + r[2] * V + r[3]);
        image.data[at + 1] = 255 * (g[0] * Y + g[1] * U + g[2] * V + g[3]);
        image.data[at + 2] = 255 * (b[0] * Y + b[1] * U + b[2] * V + b[3]);
        image.data[at + 3] = 255;
        if (this.#lut) for (let k = at; k < at + 3; k++) image.data[k] = this.#lut[image.data[k]];
      }
    }
    this.#own[which].getContext('2d').putImageData(image, 0, 0);
  }
}

/** HDR's levels as those of a plain screen, channel by channel. */
function dimmed(transfer, peak) {
  return Uint8ClampedArray.from({ length: 256 }, (_, k) => {
    const v = k / 255;
    const linear = transfer === TRANSFER.pq ? pq(v) : hlg(v);
    const less = (1.25 * linear * (1 + linear / (peak * peak))) / (1 + linear);
    return 255 * (less <= 0.0031308 ? 12.92 * less : 1.055 * less ** (1 / 2.4) - 0.055);
  });
}

function pq(v) {
  const p = v ** (1 / 78.84375);
  return ((Math.max(p - 0.8359375, 0) / (18.8515625 - 18.6875 * p)) ** (1 / 0.1593017578125) * 10000) / 203;
}

function hlg(v) {
  const scene = v <= 0.5 ? (v * v) / 3 : (Math.exp((v - 0.55991073) / 0.17883277) + 0.28466892) / 12;
  return (scene ** 1.2 * 1000) / 203;
}
