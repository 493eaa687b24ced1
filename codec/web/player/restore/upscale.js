/**
 * From the size of the base to that of the film: the fixed integer filter of FORMAT.md, section 4, first vertically,
 * then horizontally. `upscale.wgsl.js` does the same on a GPU, with these taps.
 *
 * @typedef {import('./planes.js').Plane} Plane
 * @typedef {import('./planes.js').Film} Film
 */

import { BASE_DEPTH, newPlane, peakOf, scaleOf, shapesOf, subsamplingOf } from './planes.js';

export const REACH = 3; // samples before output k p's place k q, where the first tap lies

/** T of FORMAT.md by factor: row j holds the taps of output phase j, in 1/256, on inputs k q - 3 .. for the factor p/q
 * and output k p + j. */
export const TAPS = {
  '3/2': [[1, -11, 43, 244, -27, 6, 0, 0], [0, 6, -35, 157, 157, -35, 6, 0], [0, 0, 6, -27, 244, 43, -11, 1]],
  '2/1': [[2, -17, 69, 228, -34, 8, 0], [0, 8, -34, 228, 69, -17, 2]],
  '3/1': [[3, -24, 98, 208, -37, 8, 0], [0, 0, 0, 256, 0, 0, 0], [0, 8, -37, 208, 98, -24, 3]],
  '4/1': [
    [4, -27, 113, 196, -38, 8, 0], [0, -8, 31, 250, -22, 5, 0], [0, 5, -22, 250, 31, -8, 0],
    [0, 8, -38, 196, 113, -27, 4],
  ],
  '6/1': [
    [5, -30, 127, 185, -38, 7, 0], [2, -17, 69, 228, -34, 8, 0], [0, -5, 20, 253, -16, 4, 0],
    [0, 4, -16, 253, 20, -5, 0], [0, 8, -34, 228, 69, -17, 2], [0, 7, -38, 185, 127, -30, 5],
  ],
  '8/1': [
    [5, -31, 135, 177, -37, 7, 0], [3, -22, 91, 213, -37, 8, 0], [1, -12, 49, 240, -29, 7, 0],
    [0, -4, 14, 255, -12, 3, 0], [0, 3, -12, 255, 14, -4, 0], [0, 7, -29, 240, 49, -12, 1],
    [0, 8, -37, 213, 91, -22, 3], [0, 7, -37, 177, 135, -31, 5],
  ],
};

/** A factor p/q with its taps, null where it copies.
 * @typedef {{p: number, q: number, taps: number[][] | null}} Factor */

/** Factors from plane `p` of the base to that of the film.
 * @param {Film} film
 * @param {number} plane its number
 * @returns {{down: Factor, across: Factor}} vertical, horizontal */
export function factorsOf(film, plane) {
  const [p, q] = scaleOf(film);
  const factor = (subsampling) => {
    const halves = plane ? 2 / subsampling : 1; // chroma of the base is halved
    const [n, d] = (p * halves) % q ? [p * halves, q] : [(p * halves) / q, 1];
    return { p: n, q: d, taps: n === d ? null : TAPS[`${n}/${d}`] };
  };
  const [sx, sy] = subsamplingOf(film.chroma, plane);
  return { down: factor(sy), across: factor(sx) };
}

/** Planes of the base at the size and chroma layout of the film.
 * @param {Plane[]} base 10-bit planes, 4:2:0
 * @param {Film} film
 * @returns {Plane[]} 10-bit planes, U of FORMAT.md */
export function upscale(base, film) {
  return shapesOf(film.width, film.height, film.chroma).map((shape, p) => {
    const { down, across } = factorsOf(film, p);
    return upscalePlane(base[p], down, across, shape);
  });
}

/** Upscaled planes rounded to the film's depth: the prediction without a head.
 * @param {Plane[]} upscaled 10-bit planes
 * @param {number} depth bits of the film's samples
 * @returns {Plane[]} the same planes where that is 10 */
export function plainPrediction(upscaled, depth) {
  if (depth === BASE_DEPTH) return upscaled;
  return upscaled.map((plane) => {
    const out = newPlane(plane, depth);
    plane.samples.forEach((sample, i) => { out.samples[i] = Math.min((sample + 2) >> 2, 255); });
    return out;
  });
}

/** One plane by its factors. */
function upscalePlane(plane, down, across, shape) {
  const { width, height } = shape;
  const out = newPlane(shape, BASE_DEPTH);
  if (!down.taps && !across.taps) {
    for (let y = 0; y < height; y++) {
      out.samples.set(plane.samples.subarray(y * plane.width, y * plane.width + width), y * width);
    }
    return out;
  }
  const row = new Int32Array(plane.width); // one row of output, in 1/16, before it is filtered horizontally
  for (let y = 0; y < height; y++) {
    filterDown(plane, down, y, row);
    filterAcross(row, across, out.samples.subarray(y * width, (y + 1) * width));
  }
  return out;
}

/** Row `y` of the output at the width of the base: x = (sum + 8) >> 4, copied: input << 4. */
function filterDown(plane, { p, q, taps }, y, row) {
  const { samples, width, height } = plane;
  if (!taps) {
    for (let x = 0; x < width; x++) row[x] = samples[y * width + x] << 4;
    return;
  }
  row.fill(8);
  const first = Math.floor(y / p) * q - REACH;
  taps[y % p].forEach((tap, t) => {
    if (!tap) return;
    const start = Math.min(Math.max(first + t, 0), height - 1) * width;
    for (let x = 0; x < width; x++) row[x] += tap * samples[start + x];
  });
  for (let x = 0; x < width; x++) row[x] >>= 4;
}

/** A row of samples: clip((sum + 2048) >> 12, 0, 1023), copied: clip((x + 8) >> 4, 0, 1023). */
function filterAcross(row, { p, q, taps }, out) {
  const last = row.length - 1;
  const peak = peakOf(BASE_DEPTH);
  for (let x = 0; x < out.length; x++) {
    let value = 0;
    if (taps) {
      const phase = taps[x % p];
      const first = Math.floor(x / p) * q - REACH;
      for (let t = 0; t < phase.length; t++) value += phase[t] * row[Math.min(Math.max(first + t, 0), last)];
      value = (value + 2048) >> 12;
    } else {
      value = (row[x] + 8) >> 4;
    }
    out[x] = value < 0 ? 0 : value > peak ? peak : value;
  }
}
