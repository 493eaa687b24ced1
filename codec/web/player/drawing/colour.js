/**
 * From samples to what a screen shows: matrices and ranges of H.273, places of chroma, light of HDR.
 *
 * @typedef {import('../files/entries.js').Colour} Colour
 */

import { peakOf } from '../restore/planes.js';

const LUMA = { 1: [0.2126, 0.0722], 4: [0.3, 0.11], 5: [0.299, 0.114], 6: [0.299, 0.114], 7: [0.212, 0.087],
  9: [0.2627, 0.0593], 10: [0.2627, 0.0593] }; // Kr, Kb by matrix
const RGB = 0;
const YCGCO = 8;
const PQ = 16;
const HLG = 18;
const WIDE = 9; // primaries of BT.2020
export const TRANSFER = { plain: 0, pq: 1, hlg: 2 };
const WHITE = 203; // cd/m² of diffuse white in HDR
const PEAK = 1000; // cd/m², where the film does not tell

/** What is not told of a film's colours, as players guess it.
 * @param {Colour} told
 * @param {import('../files/obu.js').SequenceHeader} sequence which tells where the container does not
 * @param {number} height luma samples
 * @returns {{primaries: number, transfer: number, matrix: number, full: boolean, light?: {max: number}}} */
export function known(told, sequence, height) {
  const told_ = (name) => (told[name] !== 2 ? told[name] : sequence[name]);
  const matrix = told_('matrix');
  return {
    primaries: told_('primaries'),
    transfer: told_('transfer'),
    matrix: matrix === 2 ? (height >= 720 ? 1 : 6) : matrix,
    full: told.full ?? sequence.full,
    light: told.light ?? (told.mastering && { max: told.mastering.max }),
  };
}

/** From samples Y, U, V to R'G'B' of 0 .. 1: rows of a matrix, and what is added.
 * @param {{matrix: number, full: boolean}} colour
 * @param {number} depth bits of the samples
 * @returns {number[][]} three rows [Y, U, V, 1] */
export function rows({ matrix, full }, depth) {
  const step = 2 ** (depth - 8);
  const black = full ? 0 : 16 * step;
  const luma = 1 / (full ? peakOf(depth) : 219 * step);
  const chroma = 1 / (full ? peakOf(depth) : 224 * step);
  const middle = 128 * step;
  const row = (y, u, v) => [y * luma, u * chroma, v * chroma, -y * luma * black - (u + v) * chroma * middle];
  if (matrix === RGB) {
    const own = (k) => [0, 1, 2].map((p) => (p === k ? luma : 0)).concat(-luma * black);
    return [own(2), own(0), own(1)]; // planes are G, B, R
  }
  if (matrix === YCGCO) return [row(1, -1, 1), row(1, 1, 0), row(1, -1, -1)];
  const [red, blue] = LUMA[matrix] ?? LUMA[1];
  const green = 1 - red - blue;
  return [
    row(1, 0, 2 * (1 - red)),
    row(1, (-2 * blue * (1 - blue)) / green, (-2 * red * (1 - red)) / green),
    row(1, 2 * (1 - blue), 0),
  ];
}

/** How light is made to fit the screen.
 * @param {{primaries: number, transfer: number, light?: {max: number}}} colour
 * @returns {{transfer: number, wide: boolean, peak: number, note: string | null}} transfer: one of TRANSFER; peak in
 *   units of diffuse white; note: a sentence for the viewer */
export function light({ primaries, transfer, light: told }) {
  const wide = primaries === WIDE;
  const kind = transfer === PQ ? TRANSFER.pq : transfer === HLG ? TRANSFER.hlg : TRANSFER.plain;
  const peak = Math.max(kind === TRANSFER.hlg ? PEAK : told?.max || PEAK, WHITE) / WHITE;
  const name = { [TRANSFER.pq]: 'PQ', [TRANSFER.hlg]: 'HLG' }[kind];
  const note = name ? `HDR (${name}), shown with less light: samples are exact, this screen's colours are not` : null;
  return { transfer: kind, wide, peak, note };
}

/** Where the first chroma sample lies, in luma samples from the first luma sample.
 * @param {number} chroma
 * @param {number} place ChromaLocType of H.273, and 1; 0 where it is not told
 * @returns {[number, number]} across, down */
export function chromaOffset(chroma, place) {
  const left = [0, 1, 3, 5].includes(place);
  const across = chroma === 3 || left ? 0 : 0.5;
  if (chroma !== 1) return [across, 0];
  return [across, { 3: 0, 4: 0, 5: 1, 6: 1 }[place] ?? 0.5];
}

/** How a picture lies on the screen.
 * @param {{width: number, height: number}} film luma samples
 * @param {{rotation: number, mirrored: boolean, pixelAspect: [number, number]}} track
 * @returns {{width: number, height: number, toFilm: number[]}} size in square samples; toFilm: from places on the
 *   screen to places in the film, both 0 .. 1: [xx, xy, yx, yy, x, y] */
export function placed({ width, height }, { rotation = 0, mirrored = false, pixelAspect: [n, d] = [1, 1] }) {
  const wide = n > d ? (width * n) / d : width;
  const high = n > d ? height : (height * d) / n;
  let toFilm = {
    0: [1, 0, 0, 1, 0, 0], 90: [0, 1, -1, 0, 0, 1], 180: [-1, 0, 0, -1, 1, 1], 270: [0, -1, 1, 0, 1, 0],
  }[rotation] ?? [1, 0, 0, 1, 0, 0];
  if (mirrored) {
    const [xx, xy, yx, yy, x, y] = toFilm;
    toFilm = [-xx, -xy, yx, yy, 1 - x, y];
  }
  const turned = rotation % 180 !== 0;
  return { width: Math.round(turned ? high : wide), height: Math.round(turned ? wide : high), toFilm };
}
