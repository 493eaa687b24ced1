/**
 * The alphabet of .nvs files (SPLAT.md, "Shapes"): which Gaussians there are, and where in a tile they may stand.
 *
 * All of it is made of integers by integer arithmetic, and compared with the CRC-32 that is part of the format.
 *
 * @typedef {object} Shape
 * @property {number} profile 0 plain, 1 edge, 2 ridge
 * @property {number} along sigma of the long axis, 1/10 pixel
 * @property {number} across sigma of the other, 1/10 pixel
 * @property {number} angle of the long axis, 1/8 of half a turn, from x towards y (downwards)
 * @property {number} scale index of `across` among the scales
 */

import { NvcError, crc32 } from '../files/bytes.js';

export const TILE = 32; // pixels, both ways
export const REACH = 35; // pixels from a place to the farthest pixel of its tile
export const KERNEL = 2 * REACH + 1; // pixels a side
export const CELLS = 8; // of 4x4 pixels, a side of a tile

const SCALES = [7, 10, 14, 20, 28, 40, 56, 80]; // sigma across, 1/10 pixel
const RATIOS = [1, 2, 4];
const ALONG_MAX = 110; // 1/10 pixel
const ANGLES = 8;
const MARGIN = 4; // pixels that a place may lie outside its tile
const FAR = 2900; // 1/100 pixel from the middle
const QUARTERS = { // cosines of k * 22.5 degrees, by bits behind the point
  12: [4096, 3784, 2896, 1567, 0],
  30: [1073741824, 992008094, 759250125, 410903207, 0],
};
const CRC = 0xef1ac40f; // of all kernels and places

/** @type {Shape[]} */
export const SHAPES = [0, 1, 2].flatMap((profile) => SCALES.flatMap((across, scale) => RATIOS
  .filter((ratio) => across * ratio <= ALONG_MAX)
  .flatMap((ratio) => Array.from({ length: profile === 0 && ratio === 1 ? 1 : ANGLES }, (_, angle) =>
    ({ profile, along: across * ratio, across, angle, scale })))));

const clip = (value, least, most) => (value < least ? least : value > most ? most : value);

/** Number of the cell of a place, row by row; places outside the tile go with the nearest cell. */
function cellOf(y, x) {
  return (clip(y, 0, TILE - 1) >> 2) * CELLS + (clip(x, 0, TILE - 1) >> 2);
}

function direction({ angle }, bits) {
  const quarters = QUARTERS[bits];
  return { cos: angle <= 4 ? quarters[angle] : -quarters[8 - angle], sin: quarters[Math.abs(4 - angle)] };
}

/** round(2^16 e^(-k / 256)) for k = 0 .. 4095, then 0. */
function exponentials() {
  const one = 1n << 96n;
  let [factor, term] = [one, one];
  for (let m = 1n; m < 20n; m++) {
    term /= 256n * m;
    factor += m & 1n ? -term : term;
  }
  const values = new Int32Array(4097);
  for (let k = 0, power = one; k < 4096; k++, power = (power * factor) >> 96n) {
    values[k] = Number((power + (1n << 79n)) >> 80n);
  }
  return values;
}

/** Integer square root, rounded down, of an integer below 2^53. */
function isqrt(square) {
  let root = Math.floor(Math.sqrt(square));
  while (root * root > square) root--;
  while ((root + 1) * (root + 1) <= square) root++;
  return root;
}

/** Write a shape's kernel, 71x71 integers of norm 2^14. */
function drawKernel(shape, e, kernel) {
  const { cos, sin } = direction(shape, 12);
  const inverse = (sigma) => Math.floor((40960 + (sigma >> 1)) / sigma);
  const [along, across] = [inverse(shape.along), inverse(shape.across)];
  let squares = 0;
  for (let y = -REACH, at = 0; y <= REACH; y++) {
    for (let x = -REACH; x <= REACH; x++, at++) {
      const u = clip(Math.imul(x * cos + y * sin, along) >> 12, -30000, 30000);
      const v = clip(Math.imul(y * cos - x * sin, across) >> 12, -30000, 30000);
      const g = e[Math.min((u * u + v * v) >> 17, 4096)];
      let value = g;
      if (shape.profile === 1) value = Math.imul(g, v) >> 12;
      else if (shape.profile === 2) value = Math.imul(g, 4096 - ((v * v) >> 12)) >> 12;
      if (Math.abs(value) < 196) value = 0;
      kernel[at] = value;
      squares += value * value;
    }
  }
  const norm = isqrt(squares);
  for (let at = 0; at < kernel.length; at++) kernel[at] = Math.floor(((kernel[at] << 14) + (norm >> 1)) / norm);
}

/** The places of a shape, [y, x] each, by cell, then y, then x. */
function lattice(shape) {
  const { cos, sin } = direction(shape, 30);
  const [along, across] = [shape.along, shape.across].map((sigma) => Math.max(100, 12 * sigma));
  const outside = Math.min(MARGIN, Math.floor((7 * shape.across) / 100));
  const inside = (value) => value >= -outside && value < TILE + outside;
  const unit = 100 * 2 ** 30;
  const seen = new Map();
  const [rows, columns] = [Math.floor(FAR / along), Math.floor(FAR / across)];
  for (let i = -rows; i <= rows; i++) {
    for (let j = -columns; j <= columns; j++) {
      const x = 16 + Math.floor((i * along * cos - j * across * sin) / unit);
      const y = 16 + Math.floor((i * along * sin + j * across * cos) / unit);
      if (inside(x) && inside(y)) seen.set(64 * (y + MARGIN) + x + MARGIN, [y, x]);
    }
  }
  return [...seen.values()].sort(([a, b], [c, d]) => cellOf(a, b) - cellOf(c, d) || a - c || b - d);
}

/**
 * @typedef {object} Dictionary
 * @property {Int32Array} kernels of all shapes, `KERNEL` squared each
 * @property {Int32Array} places y, x of all, shape by shape
 * @property {Int32Array} first index of a shape's first place
 * @property {Int32Array} counts of a shape's places
 * @property {Int32Array} inCell 64 s + c: places of shape s in cell c
 * @property {Int32Array} firstIn 64 s + c: number, among the shape's, of the first of them
 */

let made = null;

/** The one dictionary of this version of the format.
 * @returns {Dictionary}
 * @throws {NvcError} where this machine makes another one */
export function dictionary() {
  made ??= makeDictionary();
  return made;
}

function makeDictionary() {
  const e = exponentials();
  const size = KERNEL * KERNEL;
  const kernels = new Int32Array(SHAPES.length * size);
  SHAPES.forEach((shape, s) => drawKernel(shape, e, kernels.subarray(s * size, (s + 1) * size)));
  const lattices = SHAPES.map(lattice);
  const counts = Int32Array.from(lattices, (places) => places.length);
  const first = Int32Array.from(counts, (_, s) => counts.subarray(0, s).reduce((a, b) => a + b, 0));
  const places = Int32Array.from(lattices.flat(2));
  const inCell = new Int32Array(SHAPES.length * CELLS * CELLS);
  const firstIn = new Int32Array(inCell.length);
  lattices.forEach((some, s) => {
    for (const [y, x] of some) inCell[64 * s + cellOf(y, x)]++;
    for (let c = 1; c < 64; c++) firstIn[64 * s + c] = firstIn[64 * s + c - 1] + inCell[64 * s + c - 1];
  });
  if (crc32(littleEndian(places), crc32(littleEndian(kernels))) !== CRC) {
    throw new NvcError("this browser cannot decode .nvs files: its dictionary is not that of the format");
  }
  return { kernels, places, first, counts, inCell, firstIn };
}

function littleEndian(numbers) {
  const bytes = new Uint8Array(4 * numbers.length);
  const view = new DataView(bytes.buffer);
  numbers.forEach((number, k) => view.setInt32(4 * k, number, true));
  return bytes;
}
