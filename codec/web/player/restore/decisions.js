/**
 * Binary decisions whose probability several contexts mix (FORMAT.md, section 7, "Decisions"): arrays of them at a
 * time, after each of which tables, maps and weights adapt.
 */

const COUNT = 32; // counts of a cell are below
const KEPT = 24; // what a count that would reach it becomes
const [MAP_BITS, MAP_RATE] = [22, 6];
const REACH = 3072; // logits lie within
const LEAST = 4; // of 2^16, probability of a decision
const [WEIGHT_MAX, WEIGHT_START] = [2 ** 20, 19661];
const [LEARNING, CALM] = [800, 16];
const GOLDEN = [0x9e3779b9, 0x7f4a7c15]; // upper and lower word
const DECAY = 4278222805n;

const limited = (value, least, most) => (value < least ? least : value > most ? most : value);

/** Odd numbers by which a context's parts are multiplied: m_1, m_2, ..
 * @param {number} count
 * @returns {number[]} below 2^24 */
export function multipliers(count) {
  let state = 1;
  return Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) | 1;
  });
}

/** 2^16 / (1 + e^(-x / 256)) for x = -3072 .. 3072. */
const SQUASH = (() => {
  const table = new Int32Array(2 * REACH + 1);
  for (let x = 0, power = 1n << 32n; x <= REACH; x++, power = (power * DECAY) >> 32n) {
    table[REACH + x] = Number((1n << 48n) / ((1n << 32n) + power));
    table[REACH - x] = x ? 65536 - table[REACH + x] : table[REACH];
  }
  return table;
})();

/** By a probability's upper 12 bits, the least logit that is worth it. */
const STRETCH = (() => {
  const table = new Int32Array(4096);
  for (let k = 0, x = 0; k < table.length; k++) {
    while (x < SQUASH.length && SQUASH[x] < 16 * k + 8) x++;
    table[k] = x - REACH;
  }
  return table;
})();

/** What counts are worth at first, by 32 yes + no. */
const FIRST_MAP = Int32Array.from({ length: COUNT * COUNT }, (_, cell) => {
  const [yes, no] = [cell >> 5, cell & 31];
  return Math.floor(((5 * yes + 2) * 2 ** MAP_BITS) / (5 * (yes + no) + 4));
});

/** The counts after a decision. */
function following(cell, fell) {
  const [one, other] = fell ? [cell >> 5, cell & 31] : [cell & 31, cell >> 5];
  const full = one + 1 === COUNT;
  const [more, rest] = [full ? KEPT : one + 1, full ? (3 * other) >> 2 : other];
  return fell ? COUNT * more + rest : COUNT * rest + more;
}

/** A probability of 22 bits as one of 16, away from 0 and 1. */
const chanceOf = (q) => limited(q >> (MAP_BITS - 16), LEAST, 65536 - LEAST);
const adapted = (q, fell, rate) => q + (((fell ? 2 ** MAP_BITS - 1 : 0) - q) >> rate);

/** Decisions of several kinds that share the tables of their contexts. */
export class Decisions {
  #bits;
  #contexts;
  #cells;
  #maps;
  #weights;
  #seen;

  /** @param {number} kinds
   * @param {number} contexts
   * @param {number} bits a context has 2^bits cells
   * @param {[number, number]} seen contexts, from and to, whose cells that were met pick the weights */
  constructor(kinds, contexts, bits, seen) {
    [this.#bits, this.#contexts, this.#seen] = [bits, contexts, seen];
    this.#cells = new Uint16Array(contexts * 2 ** bits);
    this.#maps = Array.from({ length: kinds }, () => {
      const map = new Int32Array(contexts * COUNT * COUNT);
      for (let c = 0; c < contexts; c++) map.set(FIRST_MAP, c * COUNT * COUNT);
      return map;
    });
    const sets = seen[1] - seen[0] + 1;
    const list = Float64Array.from({ length: contexts + 1 }, (_, c) => (c < contexts ? WEIGHT_START : 0));
    this.#weights = Array.from({ length: kinds }, () => Array.from({ length: sets }, () => list.slice()));
  }

  /** The place of a context's cell.
   * @param {number} sum below 2^47
   * @param {number} context
   * @returns {number} */
  place(sum, context) {
    const upper = Math.floor(sum / 2 ** 32);
    const lower = (sum - upper * 2 ** 32) >>> 0;
    const word = (multipliedHigh(lower, GOLDEN[1]) + Math.imul(lower, GOLDEN[0]) + Math.imul(upper, GOLDEN[1])) >>> 0;
    return context * 2 ** this.#bits + (word >>> (32 - this.#bits));
  }

  /** How decisions of a kind fall; then all adapts. Where pixels share an entry, the last one's stays.
   * @param {import('./range.js').SymbolReader} reader
   * @param {number} kind
   * @param {Int32Array} places of the cells, those of a pixel one after the other
   * @param {number} count pixels
   * @returns {Uint8Array} 0 or 1 each */
  code(reader, kind, places, count) {
    const contexts = this.#contexts;
    const map = this.#maps[kind];
    const lists = this.#weights[kind];
    const fell = new Uint8Array(count);
    const cells = new Uint16Array(count * contexts);
    const found = new Int32Array(count * contexts);
    const steps = lists.map(() => new Float64Array(contexts + 1));
    const used = new Int32Array(lists.length);
    for (let i = 0, at = 0; i < count; i++, at += contexts) {
      let set = 0;
      for (let c = 0; c < contexts; c++) {
        cells[at + c] = this.#cells[places[at + c]];
        found[at + c] = map[c * COUNT * COUNT + cells[at + c]];
        if (c >= this.#seen[0] && c < this.#seen[1] && cells[at + c]) set++;
      }
      const weights = lists[set];
      let sum = weights[contexts] * 256;
      for (let c = 0; c < contexts; c++) sum += weights[c] * STRETCH[found[at + c] >> 10];
      const logit = limited(Math.floor(sum / 65536), -REACH, REACH);
      const chance = limited(SQUASH[logit + REACH], LEAST, 65536 - LEAST);
      fell[i] = reader.readBit(chance);
      const missed = 65536 * fell[i] - chance;
      for (let c = 0; c < contexts; c++) steps[set][c] += missed * STRETCH[found[at + c] >> 10];
      steps[set][contexts] += missed * 256;
      used[set]++;
    }
    lists.forEach((weights, set) => weights.forEach((weight, c) => {
      const step = Math.floor(steps[set][c] / (LEARNING * (CALM + used[set])));
      weights[c] = limited(weight + step, -WEIGHT_MAX, WEIGHT_MAX);
    }));
    for (let i = 0, at = 0; i < count; i++) {
      for (let c = 0; c < contexts; c++, at++) {
        this.#cells[places[at]] = following(cells[at], fell[i]);
        map[c * COUNT * COUNT + cells[at]] = adapted(found[at], fell[i], MAP_RATE);
      }
    }
    return fell;
  }
}

/** Decisions of one context. */
export class SimpleDecisions {
  #chances;

  /** @param {number} contexts */
  constructor(contexts) {
    this.#chances = new Int32Array(contexts).fill(2 ** MAP_BITS - 2 ** (MAP_BITS - 5));
  }

  /** How decisions fall; then all adapts.
   * @param {import('./range.js').SymbolReader} reader
   * @param {Int32Array} contexts of each
   * @returns {Uint8Array} 0 or 1 each */
  code(reader, contexts) {
    const found = contexts.map((context) => this.#chances[context]);
    const fell = Uint8Array.from(found, (q) => reader.readBit(chanceOf(q)));
    contexts.forEach((context, i) => (this.#chances[context] = adapted(found[i], fell[i], 7)));
    return fell;
  }
}

/** The upper word of a product of two words. */
function multipliedHigh(a, b) {
  const [al, ah, bl, bh] = [a & 65535, a >>> 16, b & 65535, b >>> 16];
  const first = ah * bl + ((al * bl) >>> 16);
  const second = al * bh + (first & 65535);
  return ah * bh + (first >>> 16) + (second >>> 16);
}
