/**
 * Displacements of 16x16 blocks of luma into the last picture of a segment, and what they fetch (FORMAT.md, section 6,
 * "Motion").
 *
 * @typedef {import('./planes.js').Plane} Plane
 * @typedef {{dy: Int32Array, dx: Int32Array}} Motion of every block in raster order, quarters of a luma sample
 */

import { newPlane, peakOf, subsamplingOf } from './planes.js';
import { CountTables, geometric } from './range.js';

const BLOCK = 16; // luma samples a side
const REACH = 255; // largest displacement
const VALUES = 2 * REACH + 1;
const MEANS = [32, 128, 512, 16, 64, 256, 64, 256, 1024];

// ITU-T H.265, 8.5.3.3.3.1: between samples at 0, 1/4, 1/2 and 3/4; taps at -3 .. 4, in 1/64
const TAPS = [
  [0, 0, 0, 64, 0, 0, 0, 0],
  [-1, 4, -10, 58, 17, -5, 1, 0],
  [-1, 4, -11, 40, 40, -11, 4, -1],
  [0, 1, -5, 17, 58, -10, 4, -1],
];
const LINE = new Int32Array(BLOCK + 7); // samples that a row of a block is made of

/** Reads the motion of a segment's pictures. */
export class MotionTables {
  /** @param {number} width of luma, samples
   * @param {number} height of luma, samples */
  constructor(width, height) {
    this.columns = Math.ceil(width / BLOCK);
    this.rows = Math.ceil(height / BLOCK);
    this.flags = new CountTables([[32, 32]]);
    this.steps = new CountTables(MEANS.map((mean) => geometric(mean, REACH, 1024)));
  }

  /** Motion of the next picture; null where there is none.
   * @param {import('./range.js').SymbolReader} reader
   * @returns {Motion | null} */
  read(reader) {
    if (!reader.readOne(this.flags, 0)) return null;
    const { columns, rows } = this;
    const dy = new Int32Array(rows * columns);
    const dx = new Int32Array(rows * columns);
    let aboveY = new Int32Array(columns);
    let aboveX = new Int32Array(columns);
    for (let row = 0; row < rows; row++) {
      const classes = roughness(aboveY, aboveX);
      const symbolsY = reader.read(this.steps, classes);
      for (let i = 0; i < columns; i++) classes[i] += symbolsY[i] === REACH ? 3 : 6;
      const symbolsX = reader.read(this.steps, classes);
      const hereY = dy.subarray(row * columns, (row + 1) * columns);
      const hereX = dx.subarray(row * columns, (row + 1) * columns);
      for (let i = 0; i < columns; i++) {
        hereY[i] = unwrapped(symbolsY[i] + aboveY[i]);
        hereX[i] = unwrapped(symbolsX[i] + aboveX[i]);
      }
      aboveY = hereY;
      aboveX = hereX;
    }
    return { dy, dx };
  }
}

/** A sum of a symbol and a displacement, modulo 511, as a displacement. */
function unwrapped(sum) {
  return ((sum + VALUES) % VALUES) - REACH;
}

/** Classes 0 .. 2 of a row of blocks, by how much the row above varies. */
function roughness(aboveY, aboveX) {
  const rough = aboveY.map((y, i) =>
    (i ? Math.max(Math.abs(y - aboveY[i - 1]), Math.abs(aboveX[i] - aboveX[i - 1])) : 0));
  return Uint8Array.from(rough, (r, i) => {
    const next = i + 1 < rough.length ? rough[i + 1] : 0;
    return (r > 0 ? 1 : 0) + (Math.max(r, next) > 3 ? 1 : 0);
  });
}

/** A plane fetched from where the blocks point.
 * @param {Plane} plane of the last picture
 * @param {number} p its number
 * @param {Motion | null} motion
 * @param {number} columns of blocks
 * @param {{chroma: number, depth: number}} film
 * @returns {Plane} as large as `plane`; itself without motion */
export function displaced(plane, p, motion, columns, { chroma, depth }) {
  if (!motion) return plane;
  const [sx, sy] = subsamplingOf(chroma, p);
  const out = newPlane(plane, depth);
  const block = { width: BLOCK / sx, height: BLOCK / sy };
  const buffer = new Int32Array((block.height + 7) * block.width);
  motion.dy.forEach((luma, i) => {
    const dy = Math.floor((luma + sy - 1) / sy);
    const dx = Math.floor((motion.dx[i] + sx - 1) / sx);
    const top = Math.floor(i / columns) * block.height;
    const left = (i % columns) * block.width;
    if ((dy | dx) & 3) interpolate(plane, out, top, left, dy, dx, block, buffer, peakOf(depth));
    else copy(plane, out, top, left, dy >> 2, dx >> 2, block);
  });
  return out;
}

const limited = (value, most) => (value < 0 ? 0 : value > most ? most : value);

/** A block from whole samples away. */
function copy(plane, out, top, left, dy, dx, block) {
  const { width, height, samples } = plane;
  const right = Math.min(left + block.width, width);
  const bottom = Math.min(top + block.height, height);
  const whole = left + dx >= 0 && right + dx <= width; // no column is beyond the edge
  for (let y = top; y < bottom; y++) {
    const start = limited(y + dy, height - 1) * width;
    const to = y * width;
    if (whole) for (let x = left; x < right; x++) out.samples[to + x] = samples[start + x + dx];
    else for (let x = left; x < right; x++) out.samples[to + x] = samples[start + limited(x + dx, width - 1)];
  }
}

/** A block from between samples: across into `buffer`, then down, rounded once. */
function interpolate(plane, out, top, left, dy, dx, block, buffer, peak) {
  const { width, height, samples } = plane;
  const first = left + (dx >> 2) - 3;
  const whole = first >= 0 && first + block.width + 7 <= width;
  const [a, b, c, d, e, f, g, h] = TAPS[dx & 3];
  for (let i = 0; i < block.height + 7; i++) {
    const start = limited(top + (dy >> 2) - 3 + i, height - 1) * width;
    if (whole) for (let j = 0; j < block.width + 7; j++) LINE[j] = samples[start + first + j];
    else for (let j = 0; j < block.width + 7; j++) LINE[j] = samples[start + limited(first + j, width - 1)];
    if (!(dx & 3)) for (let j = 0, at = i * block.width; j < block.width; j++, at++) buffer[at] = 64 * LINE[j + 3];
    else for (let j = 0, at = i * block.width; j < block.width; j++, at++) {
      buffer[at] = a * LINE[j] + b * LINE[j + 1] + c * LINE[j + 2] + d * LINE[j + 3]
        + e * LINE[j + 4] + f * LINE[j + 5] + g * LINE[j + 6] + h * LINE[j + 7];
    }
  }
  filterDown(out, top, left, TAPS[dy & 3], block, buffer, peak);
}

/** The second half: what of the block lies in the plane. */
function filterDown({ width, height, samples }, top, left, [a, b, c, d, e, f, g, h], block, buffer, peak) {
  const rows = Math.min(block.height, height - top);
  const columns = Math.min(block.width, width - left);
  const w = block.width;
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      const at = i * w + j;
      const sum = a * buffer[at] + b * buffer[at + w] + c * buffer[at + 2 * w] + d * buffer[at + 3 * w]
        + e * buffer[at + 4 * w] + f * buffer[at + 5 * w] + g * buffer[at + 6 * w] + h * buffer[at + 7 * w];
      samples[(top + i) * width + left + j] = limited((sum + 2048) >> 12, peak);
    }
  }
}
