/** Draws pictures without a GPU, by JavaScript on a plain canvas: what `screen.js` does, more slowly. */

import { chromaOffset, placed, rows } from './colour.js';
import { baseSize, BASE_DEPTH, scaleOf, subsamplingOf } from '../restore/planes.js';
import { tone } from './tone.js';

/** A canvas that JavaScript draws on. */
export class Painting {
  #film;
  #place;
  #canvas;
  #own; // of film and base: canvas, image, how samples become colours, and how large it is drawn

  /** Takes what `Screen` takes, but for the device. */
  constructor(canvas, film, track, colour, chromaPlace, baseColour = colour) {
    this.#film = film;
    this.#canvas = canvas;
    this.#place = placed(film, track);
    [canvas.width, canvas.height] = [this.#place.width, this.#place.height];
    const base = baseSize(film);
    const [p, q] = scaleOf(film);
    const offset = chromaOffset(film.chroma, chromaPlace);
    this.#own = {
      film: own(film, film.chroma, film.depth, colour, offset, [1, 1]),
      base: own(base, 1, BASE_DEPTH, baseColour, film.chroma === 1 ? offset : [0, 0],
        [(base.width * p) / (film.width * q), (base.height * p) / (film.height * q)]),
    };
  }

  /** @param {import('../page/pictures.js').Picture} picture
   * @param {import('./screen.js').Look} look */
  show(picture, look) {
    paint(this.#own.base, picture.base);
    if (picture.planes) paint(this.#own.film, picture.planes);
    this.all = picture.planes ? 'film' : 'base';
    this.look(look);
  }

  /** @param {import('./screen.js').Look} look */
  look({ divider, lens }) {
    if (!this.all) return;
    this.#view(this.#canvas, { x: 0, y: 0, width: 1, height: 1 }, divider);
    if (lens) this.#view(lens.canvas, lens, 0.5);
  }

  destroy() {}

  /** Fill a canvas with a part of the screen, the base left of `divider`. */
  #view(canvas, part, divider) {
    const context = canvas.getContext('2d');
    context.fillRect(0, 0, canvas.width, canvas.height);
    this.#draw(context, canvas, this.#own[this.all], part, 1);
    if (divider > 0) this.#draw(context, canvas, this.#own.base, part, divider);
  }

  /** As much of a picture as lies left of `until`. */
  #draw(c, { width, height }, { canvas, size }, part, until) {
    c.save();
    c.beginPath();
    c.rect(0, 0, until * width, height);
    c.clip();
    c.scale(width / part.width, height / part.height);
    c.translate(-part.x, -part.y);
    drawTurned(c, canvas, this.#place.toFilm, size);
    c.restore();
  }
}

/** Draw a picture as it lies on the screen, which is 0 .. 1 both ways.
 * @param {CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D} context
 * @param {CanvasImageSource} image
 * @param {number[]} toFilm see `placed`
 * @param {number[]} [size] width and height of the image, where the film's are 1 */
export function drawTurned(context, image, [xx, xy, yx, yy, x, y], size = [1, 1]) {
  // places on the screen are the inverse of places in the film: turns and mirrors are their own transposed
  context.transform(xx, xy, yx, yy, -(xx * x + yx * y), -(xy * x + yy * y));
  context.drawImage(image, 0, 0, ...size);
}

function own({ width, height }, chroma, depth, colour, offset, size) {
  return {
    canvas: new OffscreenCanvas(width, height), image: new ImageData(width, height), rows: rows(colour, depth),
    steps: subsamplingOf(chroma, 1), offset, size, middle: 2 ** (depth - 1), tone: tone(colour),
  };
}

/** Planes to colours. */
function paint(to, [luma, u, v]) {
  const { width, height } = luma;
  const { data } = to.image;
  const [r, g, b] = to.rows;
  const [us, vs] = [u, v].map((plane) => new Float32Array(width).fill(plane ? 0 : to.middle));
  for (let y = 0, at = 0; y < height; y++) {
    if (u) {
      mixedRow(u, y, to, us);
      mixedRow(v, y, to, vs);
    }
    for (let x = 0; x < width; x++, at += 4) {
      const Y = luma.samples[y * width + x];
      const red = r[0] * Y + r[1] * us[x] + r[2] * vs[x] + r[3];
      const green = g[0] * Y + g[1] * us[x] + g[2] * vs[x] + g[3];
      const blue = b[0] * Y + b[1] * us[x] + b[2] * vs[x] + b[3];
      if (to.tone) to.tone(red, green, blue, data, at);
      else {
        data[at] = 255 * red;
        data[at + 1] = 255 * green;
        data[at + 2] = 255 * blue;
      }
      data[at + 3] = 255;
    }
  }
  to.canvas.getContext('2d').putImageData(to.image, 0, 0);
}

/** Chroma at the luma samples of a row: mixed of the four samples around each. */
function mixedRow({ width, height, samples }, y, { steps: [sx, sy], offset: [ox, oy] }, out) {
  const down = Math.min(Math.max((y - oy) / sy, 0), height - 1);
  const top = Math.floor(down) * width;
  const bottom = Math.min(Math.floor(down) + 1, height - 1) * width;
  const low = down - Math.floor(down);
  for (let x = 0; x < out.length; x++) {
    const across = Math.min(Math.max((x - ox) / sx, 0), width - 1);
    const left = Math.floor(across);
    const right = left + 1 < width ? left + 1 : left;
    const part = across - left;
    const above = samples[top + left] + part * (samples[top + right] - samples[top + left]);
    const below = samples[bottom + left] + part * (samples[bottom + right] - samples[bottom + left]);
    out[x] = above + low * (below - above);
  }
}
