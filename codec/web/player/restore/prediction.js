/**
 * From the upscaled base to the prediction: heads without history, in integers (FORMAT.md, sections 3 and 4).
 *
 *     U ──pack──> cells ──layers──> sums ──unpack──> prediction
 *
 * This is the plain reading of the specification, by which `heads.wgsl.js` is judged; it also takes over where there
 * is no GPU, at some pictures a minute. Names and steps are the same in both.
 *
 * @typedef {import('./planes.js').Plane} Plane
 * @typedef {{weight: Int8Array, bias: Int32Array, scaleBits: number, shape: number[]}} Layer as coded: [out, in, 3, 3]
 *
 * A head as it is sent. `baseQ`: what it is told, null for heads that are told nothing; `adds`: whether layers between
 * the first and the last add their input.
 * @typedef {{layers: Layer[], baseQ: number | null, adds: boolean}} SentHead
 */

import { NvcError } from '../files/bytes.js';
import { BASE_DEPTH, newPlane, peakOf, shapesOf, SUBSAMPLING } from './planes.js';

export const MIDDLE = 512; // of 10-bit samples, which heads see less this
export const ACTIVATION_MAX = 255;
/** Of a still's samples before they become colours: 1/16 of a 10-bit step; the most that is added or taken away. */
export const FINE = { unit: 16, top: 1023 * 16, limit: 2 ** 15 };
const BASE_Q_MAX = 255;
const EXACT = 2 ** 24; // what no sum may reach
const TAPS = 9; // of a 3x3 convolution

const BASES = { // H of a plane, by its samples in a cell
  1: [[4]],
  2: [[2, 2], [8, -8]],
  4: [[1, 1, 1, 1], [8, -8, 8, -8], [8, 8, -8, -8], [8, -8, -8, 8]],
};

/** Samples of each plane in a cell.
 * @param {number} chroma
 * @returns {{rows: number, columns: number}[]} */
export function foldsOf(chroma) {
  const luma = { rows: 2, columns: 2 };
  if (!SUBSAMPLING[chroma]) return [luma];
  const [sx, sy] = SUBSAMPLING[chroma];
  const fold = { rows: 2 / sy, columns: 2 / sx };
  return [luma, fold, fold];
}

/** Where each channel of a cell lies: its plane, and the row and column of its sample in the cell.
 * @param {number} chroma
 * @returns {{plane: number, fold: {rows: number, columns: number}, row: number, column: number}[]} P of them */
export function channelsOf(chroma) {
  return foldsOf(chroma).flatMap((fold, plane) =>
    Array.from({ length: fold.rows * fold.columns }, (_, k) =>
      ({ plane, fold, row: Math.floor(k / fold.columns), column: k % fold.columns })));
}

/** Size of the grid of cells.
 * @param {{width: number, height: number}} film luma samples
 * @returns {{columns: number, rows: number}} */
export function gridOf({ width, height }) {
  return { columns: Math.ceil(width / 2), rows: Math.ceil(height / 2) };
}

/** A head, checked, and ready to be applied: by `predict`, or on a GPU. */
export class Head {
  /** @param {SentHead} sent
   * @param {number} chroma of the film
   * @throws {NvcError} where its arithmetic could not be exact, or it is not for such pictures */
  constructor({ layers, baseQ, adds }, chroma) {
    this.planes = channelsOf(chroma).length; // P
    this.inputs = this.planes + (baseQ === null ? 0 : 1);
    this.baseQ = baseQ;
    this.adds = adds;
    const last = layers.length - 1;
    /** Integers that are applied: `weight` by output, input, row, column; `shift`, s of FORMAT.md. */
    this.layers = layers.map((layer, i) => ({
      inputs: layer.shape[1],
      outputs: layer.shape[0],
      weight: i ? Int32Array.from(layer.weight) : this.#onSamples(layer, chroma),
      bias: layer.bias,
      shift: layer.scaleBits + (i ? 0 : 4) + (i === last ? 2 : 0),
      adds: adds && i > 0 && i < last,
    }));
    this.#check();
  }

  /** Weights of the first layer on samples: that of input c is the sum over j of w(o, j) H(j, c). */
  #onSamples({ weight, shape: [outputs, inputs] }, chroma) {
    if (inputs !== this.inputs) {
      throw new NvcError('the head is for pictures of another kind, or sees pictures that it is not given');
    }
    const folds = foldsOf(chroma).map((fold) => fold.rows * fold.columns);
    if (this.baseQ !== null) folds.push(1);
    const out = new Int32Array(outputs * inputs * TAPS);
    let start = 0; // of a plane's channels
    for (const n of folds) {
      for (let o = 0; o < outputs; o++) {
        for (let j = 0; j < n; j++) {
          for (let c = 0; c < n; c++) {
            for (let t = 0; t < TAPS; t++) {
              out[(o * inputs + start + c) * TAPS + t] += weight[(o * inputs + start + j) * TAPS + t] * BASES[n][j][c];
            }
          }
        }
      }
      start += n;
    }
    return out;
  }

  /** Refuse a head whose sums could reach 2^24. */
  #check() {
    this.layers.forEach(({ inputs, outputs, weight, bias, shift, adds }, i) => {
      const last = i === this.layers.length - 1;
      const expected = [i ? this.layers[i - 1].outputs : this.inputs, last ? this.planes : outputs];
      if (inputs !== expected[0] || outputs !== expected[1]) {
        throw new NvcError('the layers of the head do not fit each other');
      }
      const peak = (c) => (i ? ACTIVATION_MAX : c < this.planes ? MIDDLE : BASE_Q_MAX);
      for (let o = 0; o < outputs; o++) {
        let worst = Math.abs(bias[o]) + 2 ** (shift + 1);
        if (adds) worst += ACTIVATION_MAX * 2 ** shift;
        if (last) worst += 2 * MIDDLE * 2 ** shift;
        for (let k = 0; k < inputs * TAPS; k++) {
          worst += Math.abs(weight[o * inputs * TAPS + k]) * peak(Math.floor(k / TAPS));
        }
        if (worst >= EXACT) {
          throw new NvcError(`layer ${i} of the head can reach ${worst}, beyond what is exact (2^24)`);
        }
      }
    });
  }
}

/** What a layer sees or makes: channels of the grid, one after the other, each with a cell more at every side,
 * which is 0.
 * @typedef {{columns: number, rows: number, channels: number, values: Int16Array}} Cells */

/** Cells of zeros.
 * @returns {Cells} */
function newCells({ columns, rows }, channels) {
  return { columns, rows, channels, values: new Int16Array(channels * (rows + 2) * (columns + 2)) };
}

/** Where row `y` of a channel begins. */
function rowAt({ columns, rows }, channel, y) {
  return (channel * (rows + 2) + y + 1) * (columns + 2) + 1;
}

/** A head's prediction of a picture.
 * @param {Head} head
 * @param {Plane[]} upscaled 10-bit planes, U
 * @param {import('./planes.js').Film} film
 * @param {number | null} [told] of the picture, where that is not the head's own
 * @returns {Plane[]} planes of the film's depth */
export function predict(head, upscaled, film, told = head.baseQ) {
  return unpack(head.layers.at(-1), lastCells(head, upscaled, film, told), upscaled, film);
}

/** What the last layer of a still's head adds (FORMAT.md, section 7), before it is limited.
 * @param {Head} head
 * @param {Plane[]} upscaled 10-bit planes
 * @param {import('./planes.js').Film} film
 * @returns {Int32Array[]} for each plane, in 1/16 of a 10-bit step */
export function corrections(head, upscaled, film) {
  const { bias, shift } = head.layers.at(-1);
  const cells = lastCells(head, upscaled, film);
  const out = upscaled.map(({ samples }) => new Int32Array(samples.length));
  const sums = new Int32Array(cells.columns);
  const [down, up] = [Math.max(shift - 4, 0), Math.max(4 - shift, 0)];
  const half = (1 << down) >> 1;
  channelsOf(film.chroma).forEach(({ plane, fold, row, column }, o) => {
    const { width, height } = upscaled[plane];
    for (let y = 0; y * fold.rows + row < height; y++) {
      convolve(head.layers.at(-1), cells, o, y, sums);
      const start = (y * fold.rows + row) * width;
      for (let x = 0; x * fold.columns + column < width; x++) {
        out[plane][start + x * fold.columns + column] = ((sums[x] + bias[o] + half) >> down) << up;
      }
    }
  });
  return out;
}

/** What the last layer sees.
 * @returns {Cells} */
function lastCells(head, upscaled, film, told = head.baseQ) {
  let cells = pack(upscaled, film, told);
  for (const layer of head.layers.slice(0, -1)) cells = activations(layer, cells);
  return cells;
}

/** Inputs of a head: U - 512 of every channel, planes continued by their last row and column, and what it is told.
 * @returns {Cells} */
function pack(upscaled, film, baseQ) {
  const channels = channelsOf(film.chroma);
  const cells = newCells(gridOf(film), channels.length + (baseQ === null ? 0 : 1));
  channels.forEach(({ plane, fold, row, column }, c) => {
    const { width, height, samples } = upscaled[plane];
    for (let y = 0; y < cells.rows; y++) {
      const from = Math.min(y * fold.rows + row, height - 1) * width;
      const to = rowAt(cells, c, y);
      for (let x = 0; x < cells.columns; x++) {
        cells.values[to + x] = samples[from + Math.min(x * fold.columns + column, width - 1)] - MIDDLE;
      }
    }
  });
  if (baseQ !== null) {
    for (let y = 0; y < cells.rows; y++) {
      const to = rowAt(cells, channels.length, y);
      cells.values.fill(baseQ, to, to + cells.columns);
    }
  }
  return cells;
}

/** Sums of a row of an output channel, without bias.
 * @param {Cells} cells
 * @param {number} o number of the output
 * @param {number} y row
 * @param {Int32Array} sums of the row's cells, overwritten */
function convolve({ weight, inputs }, cells, o, y, sums) {
  const { values } = cells;
  const columns = sums.length;
  sums.fill(0);
  for (let c = 0; c < inputs; c++) {
    const w = (o * inputs + c) * TAPS;
    const [a, b, d, e, f, g, h, i, j] = weight.subarray(w, w + TAPS);
    const above = rowAt(cells, c, y - 1);
    const here = rowAt(cells, c, y);
    const below = rowAt(cells, c, y + 1);
    for (let x = 0; x < columns; x++) {
      sums[x] += a * values[above + x - 1] + b * values[above + x] + d * values[above + x + 1]
        + e * values[here + x - 1] + f * values[here + x] + g * values[here + x + 1]
        + h * values[below + x - 1] + i * values[below + x] + j * values[below + x + 1];
    }
  }
}

/** A layer other than the last: a = clip((sum + b + (1 << s >> 1)) >> s, 0, 255).
 * @returns {Cells} */
function activations(layer, cells) {
  const { outputs, bias, shift, adds } = layer;
  const out = newCells(cells, outputs);
  const sums = new Int32Array(cells.columns);
  const half = (1 << shift) >> 1;
  for (let o = 0; o < outputs; o++) {
    for (let y = 0; y < cells.rows; y++) {
      convolve(layer, cells, o, y, sums);
      const to = rowAt(out, o, y);
      for (let x = 0; x < sums.length; x++) {
        const input = adds ? cells.values[rowAt(cells, o, y) + x] << shift : 0;
        const value = (sums[x] + input + bias[o] + half) >> shift;
        out.values[to + x] = value < 0 ? 0 : value > ACTIVATION_MAX ? ACTIVATION_MAX : value;
      }
    }
  }
  return out;
}

/** The last layer: clip(((U << s) + sum + b + (1 << t >> 1)) >> t, 0, peak), t = s + 10 - depth.
 * @returns {Plane[]} */
function unpack(layer, cells, upscaled, film) {
  const { bias, shift } = layer;
  const drop = shift + BASE_DEPTH - film.depth;
  const half = (1 << drop) >> 1;
  const peak = peakOf(film.depth);
  const out = shapesOf(film.width, film.height, film.chroma).map((shape) => newPlane(shape, film.depth));
  const sums = new Int32Array(cells.columns);
  channelsOf(film.chroma).forEach(({ plane, fold, row, column }, o) => {
    const { width, height, samples } = out[plane];
    for (let y = 0; y * fold.rows + row < height; y++) {
      convolve(layer, cells, o, y, sums);
      const start = (y * fold.rows + row) * width;
      for (let x = 0; x * fold.columns + column < width; x++) {
        const at = start + x * fold.columns + column;
        const value = ((upscaled[plane].samples[at] << shift) + sums[x] + bias[o] + half) >> drop;
        samples[at] = value < 0 ? 0 : value > peak ? peak : value;
      }
    }
  });
  return out;
}
