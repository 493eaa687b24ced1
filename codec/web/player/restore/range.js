/**
 * Symbols of a loss-stream, and of coded weights: the range decoder and the tables that adapt (FORMAT.md, section 5).
 *
 * The decoder's state is 64 bits: `range`, and the distance of `point` from `low`. Only `range >> 24` is ever used, 40
 * bits that a double holds exactly; the distance is two words of 32 bits. Products of 24 and 40 bits are added up in
 * parts below 2^53, so that every step is exact.
 */

import { NvcError } from '../files/bytes.js';

const TOTAL = 1 << 24; // of a table
const WORD = 2 ** 32;
const INCREMENT = 32; // what one coded symbol adds to its count
const LIMIT = 1 << 15; // a row whose sum exceeds this is halved
const BIT_SCALE = (TOTAL - 2) / 65536; // of the counts of a bit
const BIT = Int32Array.of(0, 0, TOTAL); // its table
const DOUBT = 2 ** -26; // quotients nearer than this to an integer are looked at exactly; their error is below 2^-27

/** Words of 32 bits from bytes, the first byte the highest, zero bytes appended; as a loss-stream has them.
 * @param {Uint8Array} bytes
 * @returns {Uint32Array} */
export function wordsOf(bytes) {
  const words = new Uint32Array((bytes.length + 3) >> 2);
  for (let i = 0; i < bytes.length; i++) words[i >> 2] |= bytes[i] << (24 - 8 * (i & 3));
  return words;
}

/** A table of 24 bits: cdf_i = i + trunc(C_i s), with one quotient and one product of doubles.
 * @param {ArrayLike<number>} counts of symbols 0 .. n-1, integers of at least 1
 * @param {Int32Array} cdf n + 1 integers, written to
 * @returns {Int32Array} `cdf` */
export function cumulative(counts, cdf = new Int32Array(counts.length + 1)) {
  const n = counts.length;
  let sum = 0;
  for (let i = 0; i < n; i++) sum += counts[i];
  const scale = (TOTAL - n) / sum;
  sum = 0;
  for (let i = 0; i < n; i++) {
    cdf[i] = i + Math.trunc(sum * scale);
    sum += counts[i];
  }
  cdf[n] = TOTAL;
  return cdf;
}

/** Initial counts geo(m, R, T) of the values -R .. R.
 * @param {number} mean m, 1/64 of the mean magnitude
 * @param {number} radius R
 * @param {number} total T
 * @returns {Int32Array} 2 R + 1 counts */
export function geometric(mean, radius, total) {
  // the root is of fewer than 2^53, hence a double's is right but for rounding
  const square = (4096 + mean * mean) * WORD;
  let root = Math.floor(Math.sqrt(square));
  while (root * root > square) root--;
  while ((root + 1) * (root + 1) <= square) root++;
  const ratio = Math.floor((root - (1 << 22)) / mean);
  const powers = [TOTAL];
  for (let j = 0; j < radius; j++) powers.push(Math.floor((powers[j] * ratio) / 65536));
  const sum = powers.reduce((a, b) => a + b) * 2 - powers[0];
  return Int32Array.from({ length: 2 * radius + 1 }, (_, i) =>
    1 + Math.floor((powers[Math.abs(i - radius)] * total) / sum));
}

/** The range decoder of constriction's `stream.queue`: words in, symbols out. */
export class RangeDecoder {
  #words;
  #next = 2;
  #step = 2 ** 40 - 1; // range >> 24
  #high; // point - low, upper word
  #low; // and lower word
  #begun = false;

  /** @param {Uint32Array} words those beyond the end are read as 0 */
  constructor(words) {
    this.#words = words;
    this.#high = words.length > 0 ? words[0] : 0;
    this.#low = words.length > 1 ? words[1] : 0;
  }

  /** Next symbol by a table.
   * @param {Int32Array} cdf n + 1 rising integers, from 0 to 2^24
   * @returns {number} 0 .. n-1
   * @throws {NvcError} on a code point that no encoder produces */
  symbol(cdf) {
    const slot = this.#slot();
    if (slot < cdf[1]) { // most are
      this.#take(0, cdf[1]);
      return 0;
    }
    let below = 1;
    let above = cdf.length - 1;
    while (above - below > 1) {
      const middle = (below + above) >> 1;
      if (cdf[middle] <= slot) below = middle;
      else above = middle;
    }
    this.#take(cdf[below], cdf[above] - cdf[below]);
    return below;
  }

  /** Next of n equally likely values; without n of 2 nothing is coded.
   * @param {number} n 1 .. 2^24
   * @returns {number} 0 .. n-1 */
  raw(n) {
    if (n <= 1) return 0;
    const width = Math.floor(TOTAL / n);
    const value = Math.min(Math.floor(this.#slot() / width), n - 1);
    this.#take(value * width, value === n - 1 ? TOTAL - value * width : width);
    return value;
  }

  /** Whether the stream may end here: all words were read, and what is left is what an encoder leaves.
   * @returns {boolean} */
  exhausted() {
    if (this.#next < this.#words.length) return false;
    return !this.#begun || this.#high < 1 || (this.#high === 1 && this.#low < WORD - 1);
  }

  /** (point - low) // (range >> 24). */
  #slot() {
    const step = this.#step;
    const quotient = (this.#high * WORD + this.#low) / step;
    let slot = Math.floor(quotient);
    const part = quotient - slot;
    if (part < DOUBT || part > 1 - DOUBT) {
      slot = Number(((BigInt(this.#high) << 32n) | BigInt(this.#low)) / BigInt(step));
    }
    if (slot >= TOTAL) throw new NvcError('the loss-stream is damaged: an impossible code point');
    return slot;
  }

  /** Go into the part of the range that begins at slot `first` and is `width` slots wide. */
  #take(first, width) {
    this.#begun = true;
    const step = this.#step;
    const upper = Math.floor(step / 65536);
    // first * step = high * 2^32 + low, in parts: 24 bits times the upper 24, and times the lower 16, of 40
    const product = first * upper;
    const carry = Math.floor(product / 65536);
    const tail = (product - carry * 65536) * 65536 + first * (step - upper * 65536);
    const over = Math.floor(tail / WORD);
    let low = this.#low - (tail - over * WORD);
    let high = this.#high - carry - over;
    if (low < 0) {
      low += WORD;
      high -= 1;
    }
    const top = Math.floor(step / TOTAL);
    const rest = step - top * TOTAL;
    if (step * width < WORD) { // such a product is exact; the next step is range << 32 >> 24
      this.#step = step * width * 256;
      high = low;
      low = this.#next < this.#words.length ? this.#words[this.#next] : 0;
      this.#next++;
    } else {
      this.#step = width * top + Math.floor((width * rest) / TOTAL);
    }
    this.#high = high;
    this.#low = low;
  }
}

/** Counts of symbols 0 .. n-1 in each of several context classes, which adapt after every call. */
export class CountTables {
  /** @param {ArrayLike<number>[]} rows initial counts of each class, at least 1; all of one length
   * @param {number} limit largest sum of a row between calls */
  constructor(rows, limit = LIMIT) {
    this.limit = limit;
    this.rows = rows.map((row) => Int32Array.from(row));
    this.symbols = this.rows[0].length;
    this.cdf = new Int32Array(this.symbols + 1); // of the row in use
  }

  /** Halve every row above the limit, rounding up. */
  halve() {
    for (const row of this.rows) {
      let sum = row.reduce((a, b) => a + b);
      while (sum > this.limit) {
        sum = 0;
        for (let i = 0; i < row.length; i++) sum += row[i] = (row[i] + 1) >> 1;
      }
    }
  }
}

/** Reads the arrays of symbols of one payload. */
export class SymbolReader {
  #decoder;

  /** @param {Uint8Array} bytes a loss-stream */
  constructor(bytes) {
    this.#decoder = new RangeDecoder(wordsOf(bytes));
  }

  /** One call: symbols of class 0 in array order, then those of class 1, and so on; `tables` adapt afterwards.
   * @param {CountTables} tables
   * @param {Uint8Array} classes of each symbol
   * @returns {Int32Array} a symbol each
   * @throws {NvcError} on damage */
  read(tables, classes) {
    const found = new Int32Array(classes.length);
    const starts = new Int32Array(tables.rows.length + 1);
    for (let i = 0; i < classes.length; i++) starts[classes[i] + 1]++;
    for (let k = 0; k < tables.rows.length; k++) starts[k + 1] += starts[k];
    const next = starts.slice();
    const order = new Int32Array(classes.length); // stable: by class, then as they stand
    for (let i = 0; i < classes.length; i++) order[next[classes[i]]++] = i;
    for (let k = 0; k < tables.rows.length; k++) {
      if (starts[k] === starts[k + 1]) continue;
      const row = tables.rows[k];
      const cdf = cumulative(row, tables.cdf);
      for (let j = starts[k]; j < starts[k + 1]; j++) found[order[j]] = this.#decoder.symbol(cdf);
      for (let j = starts[k]; j < starts[k + 1]; j++) row[found[order[j]]] += INCREMENT;
    }
    tables.halve();
    return found;
  }

  /** A call of one symbol.
   * @param {CountTables} tables
   * @param {number} row its class
   * @returns {number} */
  readOne(tables, row) {
    return this.read(tables, Uint8Array.of(row))[0];
  }

  /** A bit by a table of its own.
   * @param {number} chance of 1, of 65536; not 0
   * @returns {number} 0 or 1 */
  readBit(chance) {
    BIT[1] = 1 + Math.trunc((65536 - chance) * BIT_SCALE);
    return this.#decoder.symbol(BIT);
  }

  /** Values that are equally likely.
   * @param {number} count how many
   * @param {number} size n, at most 2^24
   * @returns {Int32Array} `count` integers 0 .. n-1 */
  readRaw(count, size) {
    const found = new Int32Array(count);
    for (let i = 0; i < count; i++) found[i] = this.#decoder.raw(size);
    return found;
  }

  /** @throws {NvcError} where bytes are left over */
  finish() {
    if (!this.#decoder.exhausted()) throw new NvcError('the loss-stream has bytes after its end');
  }
}
