/**
 * What is entropy-coded in .nvs files (SPLAT.md, "Symbols", "Head", "Group"): means, gradients and numbers of atoms of
 * all tiles, and groups of tiles' atoms.
 */

import { Bytes, NvcError, ascii, crc32 } from '../files/bytes.js';
import { CELLS, dictionary, SHAPES } from './nvsatoms.js';
import { cumulative, RangeDecoder, wordsOf } from '../restore/range.js';

const TRAINED = 1999; // numbers of tables.bin
const CRC = 0x532c616f; // of their bytes
const RESIDUAL_MAX = 511; // magnitude of the escape symbols of means and gradients
const RESIDUAL_REST = 65536; // values of what is added to it
const BASE_MAX = 32767;
const LEVELS = 6; // halvings from a tile to its cells
const MAGNITUDES = 64; // symbols of an amplitude's magnitude; the last is an escape
const AMPLITUDE_REST = 256;
const LIKELY = 8; // atoms of a tile without neighbours
const MIDDLE = 2 ** 40; // weight of the likeliest symbol

const bitLength = (n) => 32 - Math.clz32(n);

/** The coding tables that follow from the trained numbers. */
export class Models {
  #tables = new Map();
  #numbers;

  /** @param {Uint8Array} data the file tables.bin of the program
   * @throws {NvcError} where it is another one */
  constructor(data) {
    const body = data.subarray(4, 4 + 2 * TRAINED);
    if (data.length !== 8 + 2 * TRAINED || ascii(data.subarray(0, 4)) !== 'NVST' || crc32(body) !== CRC) {
      throw new NvcError("the tables of .nvs files beside this page are not those of the format");
    }
    const bytes = new Bytes(body);
    const take = (count) => Array.from({ length: count }, () => bytes.u16());
    this.#numbers = { shape: take(SHAPES.length), magnitude: take(3 * 8 * MAGNITUDES), split: take(LEVELS) };
    this.#numbers.count = take(81);
    const { inCell } = dictionary();
    /** By cell, the numbers of the shapes that have places there. */
    this.shapesIn = Array.from({ length: CELLS * CELLS }, (_, cell) =>
      SHAPES.map((__, s) => s).filter((s) => inCell[64 * s + cell]));
  }

  /** Residuals of means and gradients, by ratio. */
  residual(ratio) {
    return this.#table(`residual ${ratio}`, () => {
      const half = [MIDDLE];
      for (let j = 0; j < RESIDUAL_MAX; j++) half.push(Math.max(1, Math.floor((half[j] * ratio) / 256)));
      return [...half.slice(1).reverse(), ...half];
    });
  }

  /** Binary digits of a number of atoms, by those of the neighbours' mean. */
  length(neighbours) {
    return this.#table(`length ${neighbours}`, () => this.#numbers.count.slice(9 * neighbours, 9 * neighbours + 9));
  }

  /** How many of `count` atoms lie in the first half of a box. */
  split(level, count) {
    return this.#table(`split ${level} ${count}`, () => {
      const a = this.#numbers.split[level];
      const low = [MIDDLE]; // from the middle downwards
      for (let k = count >> 1; k > 0; k--) {
        const product = BigInt(low.at(-1)) * BigInt(k * (a + 4 * (count - k)));
        low.push(Math.max(1, Number(product / BigInt((count - k + 1) * (a + 4 * (k - 1))))));
      }
      const rising = low.toReversed();
      return [...rising, ...(count % 2 ? low : low.slice(1))];
    });
  }

  /** Which of the shapes of a cell an atom has. */
  shape(cell) {
    const { counts, inCell } = dictionary();
    return this.#table(`shape ${cell}`, () => this.shapesIn[cell].map((s) =>
      Math.floor((this.#numbers.shape[s] * 4096 * inCell[64 * s + cell]) / counts[s])));
  }

  /** Magnitudes of a channel's amplitudes, by scale. */
  magnitude(channel, scale) {
    const start = MAGNITUDES * (8 * channel + scale);
    return this.#table(`magnitude ${start}`, () => this.#numbers.magnitude.slice(start, start + MAGNITUDES));
  }

  #table(name, weights) {
    let table = this.#tables.get(name);
    if (!table) this.#tables.set(name, (table = cumulative(weights())));
    return table;
  }
}

/** Let `read` read a section's symbols; `what` it is called in sentences. */
function section(bytes, what, read) {
  const decoder = new RangeDecoder(wordsOf(bytes));
  let found;
  try {
    found = read(decoder);
  } catch (error) {
    if (!(error instanceof NvcError)) throw error;
    throw new NvcError(`${what} is damaged: its symbols do not decode`);
  }
  if (!decoder.exhausted()) throw new NvcError(`${what} has bytes after its end`);
  return found;
}

/** Places of `keys` by key, ascending; those of one key in their order. */
function byKey(keys) {
  const found = new Map();
  keys.forEach((key, i) => (found.has(key) ? found.get(key).push(i) : found.set(key, [i])));
  return [...found].sort(([a], [b]) => a - b);
}

/**
 * A head: means and gradients, and how many atoms each tile has.
 * @param {Uint8Array} bytes the section
 * @param {Models} models
 * @param {{rows: number, columns: number}} grid tiles
 * @param {number[]} ratios three a channel
 * @returns {{base: Int32Array, counts: Uint8Array}} base: of each tile and channel mean, gradient along x, along y
 * @throws {NvcError} on damage
 */
export function readBase(bytes, models, grid, ratios) {
  const tiles = grid.rows * grid.columns;
  const found = section(bytes, 'the head of the picture', (decoder) => {
    const base = new Int32Array(tiles * ratios.length);
    ratios.forEach((ratio, k) => {
      const table = models.residual(ratio);
      const long = [];
      for (let at = k; at < base.length; at += ratios.length) {
        base[at] = decoder.symbol(table) - RESIDUAL_MAX;
        if (Math.abs(base[at]) === RESIDUAL_MAX) long.push(at);
      }
      for (const at of long) base[at] += Math.sign(base[at]) * decoder.raw(RESIDUAL_REST);
    });
    return { base, counts: readCounts(decoder, models, grid) };
  });
  predict(found.base, grid, ratios.length);
  return found;
}

/** Add predictions to the residuals of means and gradients; `stride` numbers a tile. */
function predict(base, { rows, columns }, stride) {
  const row = columns * stride;
  for (let first = 0; first < stride; first += 3) {
    for (let y = 0, at = first; y < rows; y++) {
      for (let x = 0; x < columns; x++, at += stride) {
        let predicted = 0;
        if (x && y) {
          const [w, n, c] = [base[at - stride], base[at - row], base[at - row - stride]];
          predicted = Math.min(Math.max(w + n - c, Math.min(w, n)), Math.max(w, n));
        } else if (x) predicted = base[at - stride];
        else if (y) predicted = base[at - row];
        const mean = base[at] + predicted;
        if (Math.abs(mean) > BASE_MAX) throw new NvcError(`a mean or gradient is beyond ${BASE_MAX} steps`);
        base[at] = mean;
      }
    }
    for (let y = 0, at = first; y < rows; y++) {
      for (let x = 0; x < columns; x++, at += stride) {
        const west = base[x ? at - stride : at];
        const east = base[x < columns - 1 ? at + stride : at];
        const north = base[y ? at - row : at];
        const south = base[y < rows - 1 ? at + row : at];
        base[at + 1] += (3 * (east - west) + 8) >> 4;
        base[at + 2] += (3 * (south - north) + 8) >> 4;
        if (Math.max(Math.abs(base[at + 1]), Math.abs(base[at + 2])) > BASE_MAX) {
          throw new NvcError(`a mean or gradient is beyond ${BASE_MAX} steps`);
        }
      }
    }
  }
}

function readCounts(decoder, models, { rows, columns }) {
  const counts = new Uint8Array(rows * columns);
  for (let y = 0, at = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++, at++) {
      let west = x ? counts[at - 1] : LIKELY;
      let north = y ? counts[at - columns] : west;
      if (!x && y) west = north;
      if (!y) north = west;
      const length = decoder.symbol(models.length(bitLength((west + north + 1) >> 1)));
      const top = 1 << (length - 1);
      counts[at] = length < 2 ? length : top + decoder.raw(top);
    }
  }
  return counts;
}

/**
 * @typedef {object} Atoms the Gaussians of some tiles, one after the other
 * @property {Int32Array} tile number of each one's tile
 * @property {Int32Array} shape
 * @property {Int32Array} place number among its shape's
 * @property {Int32Array[]} amplitudes of each channel, steps
 */

/**
 * The atoms of a group of tiles.
 * @param {Uint8Array} bytes the section
 * @param {Models} models
 * @param {number} channels
 * @param {Uint8Array} counts of each tile's atoms
 * @param {number} number of the group
 * @returns {Atoms} in the order of tiles, which are numbered from 0 here
 * @throws {NvcError} on damage
 */
export function readGroup(bytes, models, channels, counts, number) {
  return section(bytes, `group ${number} of the file`, (decoder) => {
    const { inCell, firstIn } = dictionary();
    const { tile, cell } = readCells(decoder, models, counts);
    const shape = new Int32Array(cell.length);
    for (const [key, some] of byKey(cell)) {
      const table = models.shape(key);
      for (const i of some) shape[i] = models.shapesIn[key][decoder.symbol(table)];
    }
    const place = shape.map((s, i) => firstIn[64 * s + cell[i]]);
    for (const [places, some] of byKey(shape.map((s, i) => inCell[64 * s + cell[i]]))) {
      for (const i of some) place[i] += decoder.raw(places);
    }
    const scales = byKey(shape.map((s) => SHAPES[s].scale));
    const amplitudes = Array.from({ length: channels }, (_, channel) =>
      readAmplitudes(decoder, models, channel, scales, cell.length));
    return { tile, shape, place, amplitudes };
  });
}

/** Tile and cell of every atom: each tile is halved, top from bottom, left from right, down to its cells. */
function readCells(decoder, models, counts) {
  const tiles = counts.length;
  let [high, wide] = [1, 1];
  let boxes = Int32Array.from(counts);
  for (let level = 0; level < LEVELS; level++) {
    const across = level % 2; // whether it is halved by a vertical line
    const next = new Int32Array(2 * boxes.length);
    for (const [count, some] of byKey(boxes)) {
      if (!count) continue;
      const table = models.split(level, count);
      for (const i of some) {
        const half = decoder.symbol(table);
        const [line, x] = [Math.floor(i / wide), i % wide]; // lines of all tiles
        const at = across ? 2 * i : 2 * line * wide + x;
        next[at] = half;
        next[at + (across ? 1 : wide)] = count - half;
      }
    }
    boxes = next;
    if (across) wide *= 2;
    else high *= 2;
  }
  const total = counts.reduce((a, b) => a + b, 0);
  const [tile, cell] = [new Int32Array(total), new Int32Array(total)];
  for (let i = 0, k = 0; i < tiles * high * wide; i++) {
    for (let more = boxes[i]; more > 0; more--, k++) [tile[k], cell[k]] = [i >> 6, i & 63];
  }
  return { tile, cell };
}

function readAmplitudes(decoder, models, channel, scales, count) {
  const found = new Int32Array(count);
  for (const [scale, some] of scales) {
    const table = models.magnitude(channel, scale);
    for (const i of some) found[i] = decoder.symbol(table);
  }
  for (let i = 0; i < count; i++) {
    if (found[i] === MAGNITUDES - 1) found[i] += decoder.raw(AMPLITUDE_REST);
  }
  for (let i = 0; i < count; i++) {
    if (found[i] && decoder.raw(2)) found[i] = -found[i];
  }
  return found;
}
