/**
 * How a head is steered: the quantiser that it is told of each picture, and the blocks of a picture that it predicts;
 * the others are plain (FORMAT.md, section 3, "Steered heads").
 *
 * @typedef {import('./planes.js').Plane} Plane
 *
 * @typedef {object} Steered of one picture
 * @property {number} difference of what the head is told, in units; 0 where it is told nothing
 * @property {Uint8Array | null} blocks row by row, 1 where the head predicts; null where it predicts all of them
 */

import { Bytes, NvcError } from '../files/bytes.js';
import { BASE_Q_ZERO, usesHead } from './payload.js';
import { foldsOf } from './prediction.js';
import { CountTables, geometric, SymbolReader } from './range.js';

export const CELLS = 32; // of the grid: a side of a block
const BLOCK = 2 * CELLS; // luma samples
const [UNIT, REACH] = [4, 32]; // of differences
const DIFFERENCES = geometric(256, REACH, 1 << 10);
const KINDS = [[40, 8], [8, 40]];
const BLOCKS = [[88, 8], [72, 24], [56, 40], [40, 56], [24, 72], [8, 88]];

/** What a head is told of a picture.
 * @param {number | null} baseQ its own; null for one that is told nothing
 * @param {Steered | null} steered
 * @returns {number | null} */
export function toldOf(baseQ, steered) {
  if (baseQ === null || !steered) return baseQ;
  return Math.min(Math.max(baseQ + UNIT * steered.difference, -BASE_Q_ZERO), BASE_Q_ZERO - 1);
}

/** Blocks of a picture.
 * @param {{width: number, height: number}} film luma samples
 * @returns {{columns: number, rows: number}} */
export function blocksOf({ width, height }) {
  return { columns: Math.ceil(width / BLOCK), rows: Math.ceil(height / BLOCK) };
}

/** Put a plain prediction where a head does not predict.
 * @param {Plane[]} out by the head; written to
 * @param {Plane[]} plain
 * @param {Uint8Array} blocks as of `Steered`
 * @param {import('./planes.js').Film} film */
export function putPlain(out, plain, blocks, film) {
  const { columns } = blocksOf(film);
  foldsOf(film.chroma).forEach((fold, p) => {
    const [high, wide] = [CELLS * fold.rows, CELLS * fold.columns];
    const { width, height } = out[p];
    blocks.forEach((predicted, k) => {
      if (predicted) return;
      const [top, left] = [Math.floor(k / columns) * high, (k % columns) * wide];
      for (let y = top; y < Math.min(top + high, height); y++) {
        const [from, to] = [y * width + left, y * width + Math.min(left + wide, width)];
        out[p].samples.set(plain[p].samples.subarray(from, to), from);
      }
    });
  });
}

/** The parts of a steered head.
 * @param {Uint8Array} head
 * @returns {{steering: Uint8Array, coded: Uint8Array}} coded: what `head` holds of a head that is not steered
 * @throws {NvcError} where the steering is cut off */
export function splitSteering(head) {
  const bytes = new Bytes(head, 0, undefined, 'the steering of the head');
  const steering = bytes.take(bytes.u24());
  return { steering, coded: bytes.rest() };
}

/** Reads the steering of one segment: each picture's by those before it. */
class SteeringReader {
  #reader;
  #told;
  #size;
  #differences = new CountTables([DIFFERENCES, DIFFERENCES]);
  #kinds = new CountTables(KINDS);
  #blocks = new CountTables(BLOCKS);
  #moved = 0; // of the picture before: whether its difference is not 0
  #kind = 0; // whether its blocks are told
  #before; // its blocks

  /** @param {Uint8Array} data
   * @param {{columns: number, rows: number}} size in blocks
   * @param {boolean} told whether the head is told a quantiser */
  constructor(data, size, told) {
    this.#reader = new SymbolReader(data);
    this.#size = size;
    this.#told = told;
    this.#before = this.#all();
  }

  /** @returns {Steered} of the next picture that the head predicts
   * @throws {NvcError} on damage */
  next() {
    const difference = this.#told ? this.#reader.readOne(this.#differences, this.#moved) - REACH : 0;
    this.#moved = Number(difference !== 0);
    this.#kind = this.#reader.readOne(this.#kinds, this.#kind);
    this.#before = this.#kind ? this.#some() : this.#all();
    return { difference, blocks: this.#kind ? this.#before : null };
  }

  /** @throws {NvcError} where bytes are left over */
  finish() {
    this.#reader.finish();
  }

  #all() {
    return new Uint8Array(this.#size.columns * this.#size.rows).fill(1);
  }

  /** Blocks of even rows and columns, then those between two of them in a row, then the rows between those. */
  #some() {
    const { columns } = this.#size;
    const found = this.#all();
    const beside = (at) => found[at - 1] + found[at % columns + 1 < columns ? at + 1 : at - 1];
    const above = (at) => found[at - columns] + (found[at + columns] ?? found[at - columns]);
    this.#call(found, [0, 0, 2], (at) => 2 * this.#before[at]);
    this.#call(found, [0, 1, 2], beside);
    this.#call(found, [1, 0, 1], above);
    return found;
  }

  /** One call: blocks of every second row from the `top` one on, from `left` on in steps of `across`.
   * @param {(at: number) => number} around sum of a block's neighbours */
  #call(found, [top, left, across], around) {
    const { columns, rows } = this.#size;
    const places = [];
    for (let y = top; y < rows; y += 2) for (let x = left; x < columns; x += across) places.push(y * columns + x);
    const classes = Uint8Array.from(places, (at) => 2 * around(at) + this.#before[at]);
    this.#reader.read(this.#blocks, classes).forEach((bit, k) => (found[places[k]] = bit));
  }
}

/** How the head of a segment is steered, picture by picture. */
export class Steering {
  #header;
  #reader;
  #damage = null;

  /** @param {import('./payload.js').Segment} header one that is steered, with a head that can be read
   * @param {boolean} told whether the head is told a quantiser */
  constructor(header, told) {
    this.#header = header;
    this.#reader = new SteeringReader(splitSteering(header.head).steering, blocksOf(header), told);
  }

  /** Pictures are asked for in order.
   * @param {number} picture its number in the segment
   * @returns {Steered | string | null} null where the head does not predict it; a sentence on the damage there, or
   *   before */
  of(picture) {
    if (this.#damage) return this.#damage;
    if (picture >= this.#header.frames) return null;
    try {
      const found = usesHead(this.#header, picture) ? this.#reader.next() : null;
      if (picture + 1 === this.#header.frames) this.#reader.finish();
      return found;
    } catch (error) {
      if (!(error instanceof NvcError)) throw error;
      this.#damage = `the steering of the head is damaged: ${error.message}`;
      return this.#damage;
    }
  }
}
