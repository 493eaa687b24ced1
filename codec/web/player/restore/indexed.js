/** A plane of indices into a palette (FORMAT.md, section 7, "Indices"), wave by wave. */

import { NvcError } from '../files/bytes.js';
import { Decisions, multipliers, SimpleDecisions } from './decisions.js';

const SKEW = 3; // columns between a wave's pixels, from row to row
const MARGIN = 6; // indices 0 around the plane
const AROUND = [ // rows, columns
  [0, -1], [-1, 0], [-1, -1], [-1, 1], [0, -2], [-2, 0], [-1, 2], [-1, -2], [-2, 1], [-2, -1], [0, -3], [-3, 0],
  [-2, 2], [-2, -2], [-3, 1], [-3, -1], [0, -4], [-1, -3], [-2, 3], [-2, -3], [0, -5], [-4, 0], [-1, -4], [-3, 2],
  [-3, -2], [-2, 4], [-2, -4], [0, -6],
];
const ORDERS = [2, 4, 6, 11, 18, 28]; // how many of them each context takes
const M = multipliers(AROUND.length + 1);
const LAST = M[AROUND.length];
const PICKED = [[], [0], [1], [0, 1], [0, 1, 2, 3], [4, 5], [6, 7]]; // what contexts of bits take
const KNOWN = 4; // neighbours that are candidates, and that bits are predicted by
const LEAST_BITS = 12; // of a context's table
const MOST_BITS = 20;

const bitLength = (n) => 32 - Math.clz32(n);

/** Decodes one plane. */
export class IndexDecoder {
  #reader;
  #rows;
  #columns;
  #colours;
  #rounds;
  #stride;
  #plane;
  #around;
  #same;
  #is;
  #followed;
  #levels;
  #tree;

  /** @param {import('./range.js').SymbolReader} reader
   * @param {number} rows
   * @param {number} columns
   * @param {number} colours 2 or more
   * @param {number} rounds candidates that are asked for, 0 .. 3 */
  constructor(reader, rows, columns, colours, rounds) {
    [this.#reader, this.#rows, this.#columns] = [reader, rows, columns];
    [this.#colours, this.#rounds] = [colours, rounds];
    const bits = Math.min(Math.max(bitLength(rows * columns), LEAST_BITS), MOST_BITS);
    this.#stride = columns + 2 * MARGIN;
    this.#plane = new Int32Array(this.#stride * (rows + MARGIN));
    this.#around = AROUND.map(([y, x]) => y * this.#stride + x);
    this.#same = new SimpleDecisions(colours);
    this.#is = new Decisions(Math.max(rounds, 1), ORDERS.length, bits, [1, ORDERS.length]);
    this.#followed = new Int32Array(ORDERS.length * 2 ** bits).fill(-1);
    this.#levels = bitLength(colours - 1);
    this.#tree = new Decisions(this.#levels, PICKED.length, bits, [3, 6]);
  }

  /** @returns {Int32Array} indices, row by row
   * @throws {NvcError} on damage */
  run() {
    const [rows, columns] = [this.#rows, this.#columns];
    const step = this.#stride - SKEW;
    for (let wave = 0; wave < columns + SKEW * (rows - 1); wave++) {
      const top = Math.max(0, Math.ceil((wave - columns + 1) / SKEW));
      const bottom = Math.min(rows - 1, Math.floor(wave / SKEW));
      if (bottom < top) continue;
      const first = (top + MARGIN) * this.#stride + MARGIN + wave - SKEW * top;
      this.#wave(Int32Array.from({ length: bottom - top + 1 }, (_, k) => first + step * k));
    }
    const out = new Int32Array(rows * columns);
    for (let y = 0; y < rows; y++) {
      const from = (y + MARGIN) * this.#stride + MARGIN;
      out.set(this.#plane.subarray(from, from + columns), y * columns);
    }
    return out;
  }

  /** Decode the pixels at those places of the plane. */
  #wave(places) {
    const plane = this.#plane;
    const out = new Int32Array(places.length).fill(-1);
    const flat = [];
    const other = [];
    for (let i = 0; i < places.length; i++) {
      const left = plane[places[i] - 1];
      (this.#around.every((offset) => plane[places[i] + offset] === left) ? flat : other).push(i);
    }
    if (flat.length) {
      const left = Int32Array.from(flat, (i) => plane[places[i] - 1]);
      this.#same.code(this.#reader, left).forEach((fell, k) => {
        if (fell) out[flat[k]] = left[k];
        else if (this.#colours === 2) out[flat[k]] = 1 - left[k];
      });
    }
    const contexts = this.#rounds ? this.#candidates(places, other, out) : null;
    const rest = [...out.keys()].filter((i) => out[i] < 0);
    if (rest.length) this.#sent(places, rest, out);
    places.forEach((place, i) => (plane[place] = out[i]));
    if (!contexts) return;
    other.forEach((i, k) => {
      for (let c = 0; c < ORDERS.length; c++) this.#followed[contexts[ORDERS.length * k + c]] = out[i];
    });
  }

  /** Ask for candidates, round by round, until each pixel is known or has none left.
   * @returns {Int32Array} places of the contexts of all that were asked */
  #candidates(places, where, out) {
    const n = ORDERS.length;
    const sums = new Float64Array(n * where.length);
    const contexts = new Int32Array(sums.length);
    let asked = where.map((i, k) => {
      let sum = 0;
      for (let c = 0, a = 0; c < n; c++) {
        for (; a < ORDERS[c]; a++) sum += M[a] * this.#plane[places[i] + this.#around[a]];
        sums[n * k + c] = sum;
        contexts[n * k + c] = this.#is.place(sum, c);
      }
      const candidates = [];
      for (let c = n - 1; c >= 0; c--) candidates.push(this.#followed[contexts[n * k + c]]);
      for (let a = 0; a < KNOWN; a++) candidates.push(this.#plane[places[i] + this.#around[a]]);
      return { i, k, candidates };
    });
    for (let kind = 0; kind < this.#rounds; kind++) {
      asked = asked.filter((one) => {
        one.colour = one.candidates.find((colour) => colour >= 0) ?? -1;
        return one.colour >= 0;
      });
      if (!asked.length) break;
      const cells = new Int32Array(n * asked.length);
      asked.forEach(({ k, colour }, j) => {
        for (let c = 0; c < n; c++) cells[n * j + c] = this.#is.place(sums[n * k + c] + (colour + 1) * LAST, c);
      });
      const fell = this.#is.code(this.#reader, kind, cells, asked.length);
      asked = asked.filter(({ i, colour, candidates }, j) => {
        if (fell[j]) out[i] = colour;
        else if (this.#colours === 2) out[i] = 1 - colour;
        else candidates.forEach((other, c) => (candidates[c] = other === colour ? -1 : other)); // asked for once
        return out[i] < 0;
      });
      if (this.#colours === 2) break;
    }
    return contexts;
  }

  /** Indices bit by bit, the highest first. */
  #sent(places, rest, out) {
    const n = PICKED.length;
    const sums = new Float64Array(n * rest.length);
    rest.forEach((i, j) => {
      const features = this.#features(places[i]);
      PICKED.forEach((picked, c) => {
        for (const k of picked) sums[n * j + c] += M[k] * features[k];
      });
    });
    const nodes = new Int32Array(rest.length).fill(1);
    const cells = new Int32Array(sums.length);
    for (let level = 0; level < this.#levels; level++) {
      for (let at = 0; at < cells.length; at++) {
        cells[at] = this.#tree.place(sums[at] + nodes[Math.floor(at / n)] * LAST, at % n);
      }
      const fell = this.#tree.code(this.#reader, level, cells, rest.length);
      nodes.forEach((node, j) => (nodes[j] = 2 * node + fell[j]));
    }
    rest.forEach((i, j) => {
      out[i] = nodes[j] - 2 ** this.#levels;
      if (out[i] >= this.#colours) {
        throw new NvcError('the loss-stream is damaged: a pixel of no colour of the palette');
      }
    });
  }

  /** What bits of an index are predicted by. */
  #features(place) {
    const [left, above, corner, right] = this.#around.slice(0, KNOWN).map((offset) => this.#plane[place + offset]);
    const level = Math.min(Math.max(left + above - corner, 0), this.#colours - 1);
    const differ = (Math.abs(left - above) + Math.abs(above - right) + Math.abs(left - corner)) >> 2;
    return [left, above, corner, right, level, (left + above) >> 1, (left + above + corner + right) >> 2, differ];
  }
}
