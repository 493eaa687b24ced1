/** Samples of stills as colours of the page: RGBA of 8 bits. */

import { rows } from '../drawing/colour.js';
import { imageOf } from '../drawing/imagescreen.js';
import { upscale } from '../restore/upscale.js';

const BASE_COLOUR = { matrix: 8, full: true };
const BASE_DEPTH = 10;

/** The base, as any viewer shows it.
 * @param {import('../restore/colours.js').Bases} bases
 * @param {{width: number, height: number}} still
 * @param {import('../drawing/profile.js').Way} way
 * @returns {OffscreenCanvas} */
export function baseImage({ picture, alpha }, { width, height }, way) {
  const [y, g, o] = upscale(picture, { width, height, chroma: 3, depth: BASE_DEPTH, scale: 0 });
  const matrix = rows(BASE_COLOUR, BASE_DEPTH);
  const rgba = new Uint8ClampedArray(4 * width * height);
  for (let i = 0, at = 0; i < y.samples.length; i++, at += 4) {
    for (let k = 0; k < 3; k++) {
      const [a, b, c, d] = matrix[k];
      rgba[at + k] = 255 * (a * y.samples[i] + b * g.samples[i] + c * o.samples[i] + d);
    }
    rgba[at + 3] = alpha ? alpha[0].samples[Math.floor(i / width) * alpha[0].width + (i % width)] >> 2 : 255;
  }
  way.apply?.(rgba);
  return imageOf(rgba, width, height);
}

/** The restored picture.
 * @param {import('../restore/colours.js').Samples} found
 * @param {import('../restore/payload.js').Still} still
 * @param {import('../drawing/profile.js').Way} way
 * @returns {OffscreenCanvas} */
export function filmImage({ planes, alpha }, { width, height, depth }, way) {
  const [r, g, b] = (planes.length === 1 ? [planes[0], planes[0], planes[0]] : planes).map(({ samples }) => samples);
  const drop = depth - 8;
  const rgba = new Uint8ClampedArray(4 * width * height);
  for (let i = 0, at = 0; i < r.length; i++, at += 4) {
    rgba[at] = r[i] >> drop;
    rgba[at + 1] = g[i] >> drop;
    rgba[at + 2] = b[i] >> drop;
    rgba[at + 3] = alpha ? alpha.samples[i] >> drop : 255;
  }
  way.apply?.(rgba);
  return imageOf(rgba, width, height);
}
