/**
 * The loss-stream's mode 2, linear, of a picture that no other precedes, as stills have it (FORMAT.md, sections 6 and
 * 7): every decoded sample is within a bound of the source.
 *
 * @typedef {import('./planes.js').Plane} Plane
 */

import { NvcError } from '../files/bytes.js';
import { newPlane, peakOf } from './planes.js';
import { CountTables, geometric, SymbolReader } from './range.js';

const MARGIN = 6; // samples that a neighbour lies away at most
const WEIGHT_MAX = 1023;
const CURVE_MAX = 511; // of second differences
const FOLD = 64; // symbols of a difference of weights; the last is an escape
const FOLDED = 4093; // values of what follows it
const [MIDDLE, ESCAPE] = [24, 49]; // of the symbols of numbers
const [PRIOR, SPREAD] = [0, 1]; // keys of weights
const MEANS = [64, 81, 102];
const FLOORS = [57, 72, 91];

const CROSS = [[0, 1], [1, 0]];
const DIAGONAL = [[1, 1], [1, -1]];
const KNIGHT = [[2, 1], [2, -1], [1, 2], [1, -2]];
const FAR = [[1, 3], [1, -3], [3, 1], [3, -1]];
const NEIGHBOURS = [[], [DIAGONAL, FAR], [CROSS, KNIGHT], [CROSS, DIAGONAL, KNIGHT]]; // rings of pairs
const PASSES = [
  { y0: 0, x0: 0, step: 4, unit: 2, kind: 0, rings: NEIGHBOURS[0] },
  ...[2, 1].flatMap((u) => [[u, u], [0, u], [u, 0]].map(([y0, x0], kind) =>
    ({ y0, x0, step: 2 * u, unit: u, kind, rings: NEIGHBOURS[kind + 1] }))),
];
const CURVES = [[0, 1], [1, 0], [1, 1], [1, -1], [0, 2], [2, 0]]; // second differences

const limited = (value, least, most) => (value < least ? least : value > most ? most : value);
const levelOf = (numbers, k) => (10 * (numbers[k % 3] << Math.floor(k / 3))) >> 6;
const repeated = (count, make) => Array.from({ length: count }, (_, k) => make(k));

/** Weights before any were sent: of the prior, the spread, and each pass's correction and magnitude. */
function firstWeights(p) {
  const prior = new Int32Array(17 + 2 * p);
  const spread = new Int32Array(6 + 2 * p);
  [spread[0], spread[spread.length - 1]] = [16, 64];
  const passes = PASSES.flatMap(({ rings }) => {
    const near = new Int32Array(rings.flat().length);
    near.fill(32, 0, 2);
    const sizes = new Int32Array(rings.length + 2);
    if (rings.length) [sizes[0], sizes[1]] = [128, 32];
    else sizes[0] = 256;
    return [near, sizes];
  });
  return [prior, spread, ...passes];
}

/** Decodes one picture. */
export class LinearDecoder {
  #reader;
  #peak;
  #depth;
  #step; // 2 max_error + 1
  #scale; // bits below its highest one
  #flags = new CountTables(repeated(8, () => [32, 32]));
  #differences = new CountTables(repeated(8, () => geometric(256, FOLD - 1, 256).subarray(FOLD - 1)));
  #shifts;
  #floors;

  /** @param {Uint8Array} bytes the loss-stream
   * @param {number} depth bits of a sample, 8 or 10
   * @param {number} maxError */
  constructor(bytes, depth, maxError) {
    this.#reader = new SymbolReader(bytes);
    [this.#depth, this.#peak, this.#step] = [depth, peakOf(depth), 2 * maxError + 1];
    this.#scale = 31 - Math.clz32(this.#step);
    this.classes = depth === 8 ? 24 : 30;
    this.#shifts = repeated(this.classes, (k) => Math.max(0, 24 - Math.clz32(levelOf(MEANS, k) - 1)));
    this.#floors = repeated(this.classes, (k) => (levelOf(FLOORS, k) * this.#step) >> this.#scale).slice(1);
    this.#floors = Int32Array.from(this.#floors);
  }

  /** @param {Plane[]} predicted one plane, or three of the same size
   * @returns {Plane[]}
   * @throws {NvcError} on damage */
  decode(predicted) {
    const known = []; // of the planes before: error, and error less prior in 1/16
    const decoded = predicted.map((plane, p) => {
      // of luma four times as much, as films with less chroma have it
      const others = known.map((one, k) => (k ? one : one.map((values) => values.map((value) => 4 * value))));
      const found = this.#plane(plane, p, others);
      known.push([found.error, found.rest]);
      return found.plane;
    });
    this.#reader.finish();
    return decoded;
  }

  #plane(plane, p, known) {
    const { width, height, samples } = plane;
    const weights = firstWeights(p);
    const tables = new CountTables(repeated(3 * this.classes, (row) => {
      const k = Math.floor(row / 3);
      return [...geometric(levelOf(MEANS, k) >> this.#shifts[k], MIDDLE, 1280), 1];
    }), 2 ** 16);
    const base = padded(samples, width, height, 2);
    const prior = this.#prior(base, width, height, known, this.#weights(weights, 0, PRIOR));
    const spread = this.#spread(base, width, height, known, this.#weights(weights, 1, SPREAD));
    const start = prior.map((value, i) => value + 16 * samples[i]);
    const out = newPlane(plane, this.#depth);
    const stride = width + 2 * MARGIN;
    const rest = new Int32Array(stride * (height + 2 * MARGIN)); // error less prior, 1/16, where it is known
    PASSES.forEach((pass, number) => {
      if (pass.y0 >= height || pass.x0 >= width) return;
      const correction = this.#weights(weights, 2 + 2 * number, 2 + pass.kind);
      const magnitude = this.#weights(weights, 3 + 2 * number, 5 + pass.kind);
      this.#pass(pass, { start, spread, rest, stride, out, correction, magnitude, tables });
    });
    const error = Int32Array.from(samples, (s, i) => out.samples[i] - s);
    return { plane: out, error, rest: inner(rest, width, height) };
  }

  /** A form's weights: as they were, or the old ones and differences. */
  #weights(weights, form, key) {
    const old = weights[form];
    if (!old.length || !this.#reader.readOne(this.#flags, key)) return old;
    const folded = this.#reader.read(this.#differences, new Uint8Array(old.length).fill(key));
    const large = [...folded.keys()].filter((k) => folded[k] === FOLD - 1);
    this.#reader.readRaw(large.length, FOLDED).forEach((whole, k) => (folded[large[k]] = whole));
    const fresh = old.map((weight, k) => weight + (folded[k] & 1 ? -((folded[k] + 1) >> 1) : folded[k] >> 1));
    fresh.forEach((weight, k) => {
      const most = key === PRIOR && k >= 10 && k < 16 ? CURVE_MAX : WEIGHT_MAX;
      if (Math.abs(weight) > most) throw new NvcError('the loss-stream is damaged: a weight outside its range');
    });
    return (weights[form] = fresh);
  }

  /** Prior of the error, 1/16 of a sample. */
  #prior(base, width, height, known, w) {
    const bound = 16 * this.#peak;
    const out = new Int32Array(width * height);
    const constant = 4 * w.at(-1) + 8;
    const stride = width + 4;
    const offsets = CURVES.map(([y, x]) => y * stride + x);
    for (let y = 0, i = 0; y < height; y++) {
      for (let x = 0, at = (y + 2) * stride + 2; x < width; x++, at++, i++) {
        let sum = constant;
        for (let k = 0; k < 6; k++) sum += w[10 + k] * (base[at + offsets[k]] + base[at - offsets[k]] - 2 * base[at]);
        for (let k = 0; k < known.length; k++) {
          sum += w[16 + 2 * k] * known[k][0][i] + w[17 + 2 * k] * (known[k][1][i] >> 2);
        }
        out[i] = limited(sum >> 4, -bound, bound);
      }
    }
    return out;
  }

  /** Expected magnitude of the error less its prior, 1/16 of a sample. */
  #spread(base, width, height, known, w) {
    const out = new Int32Array(width * height);
    const stride = width + 4;
    const others = known.map(([, rest]) => padded(rest.map((value) => Math.abs(value) >> 2), width, height, 2));
    for (let y = 0, i = 0; y < height; y++) {
      for (let x = 0, at = (y + 2) * stride + 2; x < width; x++, at++, i++) {
        const b = base[at];
        let sum = w.at(-1) + w[0] * (Math.abs(base[at - 1] - b) + Math.abs(base[at + 1] - b)
          + Math.abs(base[at - stride] - b) + Math.abs(base[at + stride] - b));
        for (let k = 0; k < others.length; k++) {
          const r = others[k];
          sum += w[5 + 2 * k] * r[at] + w[6 + 2 * k] * (r[at - stride - 1] + r[at - stride] + r[at - stride + 1]
            + r[at - 1] + r[at] + r[at + 1] + r[at + stride - 1] + r[at + stride] + r[at + stride + 1]);
        }
        out[i] = limited(sum >> 4, 0, 32767);
      }
    }
    return out;
  }

  /** Decode the samples of one pass. */
  #pass({ y0, x0, step, unit, rings }, { start, spread, rest, stride, out, correction, magnitude, tables }) {
    const { width, height, samples } = out;
    const pairs = rings.flat().map(([y, x]) => unit * (y * stride + x));
    const ends = rings.map((_, k) => rings.slice(0, k + 1).flat().length);
    const count = Math.ceil((height - y0) / step) * Math.ceil((width - x0) / step);
    const [values, classes] = [new Int32Array(count), new Uint8Array(count)];
    const bits = 6 + this.#scale;
    let n = 0;
    for (let y = y0; y < height; y += step) {
      for (let x = x0; x < width; x += step, n++) {
        const i = y * width + x;
        const at = (y + MARGIN) * stride + x + MARGIN;
        let sum = 128;
        let size = magnitude[0] * spread[i] + magnitude.at(-1) * 16;
        for (let k = 0, ring = 0, around = 0; k < pairs.length; k++) {
          const [a, b] = [rest[at + pairs[k]], rest[at - pairs[k]]];
          sum += correction[k] * (a + b);
          around += Math.abs(a) + Math.abs(b);
          if (k + 1 === ends[ring]) {
            size += magnitude[1 + ring++] * around;
            around = 0;
          }
        }
        values[n] = limited(start[i] + (pairs.length ? sum >> 8 : 0), 0, 16 * this.#peak);
        const f = Math.abs(values[n] - 16 * ((values[n] + 8) >> 4));
        classes[n] = 3 * this.#class(size >> bits) + (f <= 2 ? 0 : f <= 5 ? 1 : 2);
      }
    }
    const numbers = this.#numbers(tables, classes);
    n = 0;
    for (let y = y0; y < height; y += step) {
      for (let x = x0; x < width; x += step, n++) {
        const i = y * width + x;
        const b = (values[n] + 8) >> 4;
        const number = values[n] < 16 * b ? -numbers[n] : numbers[n];
        samples[i] = limited(b + this.#step * number, 0, this.#peak);
        rest[(y + MARGIN) * stride + x + MARGIN] = 16 * samples[i] - start[i];
      }
    }
  }

  /** How many floors a magnitude reaches. */
  #class(size) {
    let below = 0;
    let above = this.#floors.length;
    while (below < above) {
      const middle = (below + above) >> 1;
      if (this.#floors[middle] <= size) below = middle + 1;
      else above = middle;
    }
    return below;
  }

  /** Numbers of the samples of a pass. */
  #numbers(tables, classes) {
    const found = this.#reader.read(tables, classes);
    const escapes = [];
    const shifted = new Map(); // samples by the bits that follow
    for (let i = 0; i < found.length; i++) {
      const shift = this.#shifts[Math.floor(classes[i] / 3)];
      if (found[i] === ESCAPE) escapes.push(i);
      else {
        found[i] -= MIDDLE;
        if (shift && !shifted.has(shift)) shifted.set(shift, []);
        shifted.get(shift)?.push(i);
      }
    }
    for (const [shift, some] of [...shifted].sort(([a], [b]) => a - b)) {
      const low = this.#reader.readRaw(some.length, 2 ** shift);
      some.forEach((i, k) => (found[i] = (found[i] << shift) + low[k]));
    }
    const most = Math.floor((this.#peak + (this.#step >> 1)) / this.#step);
    this.#reader.readRaw(escapes.length, 2 * most + 1).forEach((value, k) => (found[escapes[k]] = value - most));
    return found;
  }
}

/** An array with `margin` samples around, which are the edge's. */
function padded(samples, width, height, margin) {
  const stride = width + 2 * margin;
  const out = new Int32Array(stride * (height + 2 * margin));
  for (let y = 0; y < height + 2 * margin; y++) {
    const from = limited(y - margin, 0, height - 1) * width;
    for (let x = 0; x < stride; x++) out[y * stride + x] = samples[from + limited(x - margin, 0, width - 1)];
  }
  return out;
}

/** What lies within the margin. */
function inner(values, width, height) {
  const stride = width + 2 * MARGIN;
  const out = new Int32Array(width * height);
  for (let y = 0; y < height; y++) {
    const from = (y + MARGIN) * stride + MARGIN;
    out.set(values.subarray(from, from + width), y * width);
  }
  return out;
}
