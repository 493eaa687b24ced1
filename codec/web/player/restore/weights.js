/**
 * Heads as numbers (FORMAT.md, section 3): coded weights, heads as segments send them, and the files of heads
 * (section 8).
 *
 * A layer is `{weight, bias, scaleBits, shape}`: Int8Array of shape [out, in, 3, 3], Int32Array of [out], and
 * 2^scaleBits that the weights stand over. Weights of the first layer are those before the basis is applied. That sums
 * cannot exceed what is exact is for whoever runs a head to check.
 */

import { Bytes, NvcError, crc32 } from '../files/bytes.js';
import { derived } from './derived.js';
import { BASE_Q_ZERO, HEAD, isSteered, sentAs } from './payload.js';
import { scaleOf } from './planes.js';
import { RangeDecoder, cumulative } from './range.js';
import { splitSteering } from './steering.js';

const REACH = 127; // magnitudes that a table holds
const ESCAPE = 2 * REACH + 1;
const SPREADS = 48;
const SCALE_BITS_MAX = 8;
const COARSE_MAX = 6; // changes are in multiples of 2^0 .. 2^6
const BIAS_COARSE = 4; // of biases so many bits coarser
const WEIGHT_MAX = 127;
const BIAS_MAX = 2 ** 20;
const ZEROS_MAX = 24; // of an escaped number
const TAPS = 9;
const BIT = Int32Array.from([0, 2 ** 23, 2 ** 24]);
const CHANNELS = [4, 6, 8, 12]; // P by the segment's chroma
const [TOLD, ADDS, HALF] = [1, 2, 4]; // flags of files

/** @typedef {{weight: Int8Array, bias: Int32Array, scaleBits: number, shape: number[]}} Layer */

/**
 * @typedef {object} Head
 * @property {Layer[]} layers
 * @property {number} planes P of FORMAT.md
 * @property {number} history earlier pictures that it sees
 * @property {number} width channels between layers
 * @property {number} gate of the history
 * @property {number | null} baseQ what it is told, null for one that is told nothing
 * @property {boolean} adds whether layers between the first and the last add their input
 * @property {number} identity what a difference refers to
 */

const tables = new Map(); // of spreads

/** Cumulative counts of the symbols -127 .. 127 and the escape. */
function tableOf(spread) {
  if (!tables.has(spread)) {
    const mean = ([256, 304, 362, 431][spread % 4] << (spread >> 2)) >> 4;
    const ratio = Math.floor((mean * 65536) / (mean + 256));
    const side = [2 ** 20];
    for (let j = 0; j < REACH + 1; j++) side.push(Math.floor((side[j] * ratio) / 65536));
    const counts = Array.from({ length: ESCAPE + 1 }, (_, i) => Math.max(side[Math.abs(i - REACH)], 1));
    tables.set(spread, cumulative(counts));
  }
  return tables.get(spread);
}

/** Numbers of coded weights, group after group. */
class Numbers {
  constructor(data) {
    if (data.length % 4) throw new NvcError('coded weights are not a whole number of 32-bit words');
    const view = new DataView(data.buffer, data.byteOffset, data.length);
    this.words = Uint32Array.from({ length: data.length / 4 }, (_, i) => view.getUint32(4 * i, true));
    this.decoder = new RangeDecoder(this.words);
    this.begun = false;
  }

  /** So many numbers of that spread, each within ±2^25. */
  read(count, spread) {
    const found = new Int32Array(count);
    if (spread === SPREADS) return found;
    this.begun = true;
    const table = tableOf(spread);
    for (let k = 0; k < count; k++) found[k] = this.decoder.symbol(table) - REACH;
    for (let k = 0; k < count; k++) if (found[k] === ESCAPE - REACH) found[k] = this.escaped();
    return found;
  }

  escaped() {
    let zeros = 0;
    while (!this.decoder.symbol(BIT)) {
      if (++zeros === ZEROS_MAX) throw new NvcError('an escaped weight is too large');
    }
    let excess = 1;
    for (let k = 0; k < zeros; k++) excess = excess * 2 + this.decoder.symbol(BIT);
    return this.decoder.symbol(BIT) ? -(REACH + excess) : REACH + excess;
  }

  finish() {
    if (!this.decoder.exhausted() || (this.words.length && !this.begun)) {
      throw new NvcError('coded weights have words after their end');
    }
  }
}

/**
 * Layers of coded weights.
 * @param {Uint8Array} data
 * @param {number[][]} shapes [out, in, 3, 3] of each layer
 * @param {Layer[] | null} [base] layers that they are a difference to
 * @param {boolean} [change] whether the numbers are multiples, as of what is changed of a pretrained head
 * @returns {Layer[]}
 */
export function decodeLayers(data, shapes, base = null, change = false) {
  const bytes = new Bytes(data, 0, undefined, 'a head');
  const fronts = shapes.map(() => [bytes.u8(), bytes.u8(), bytes.u8()]);
  const coarse = change ? fronts[0][0] : 0;
  if (coarse > COARSE_MAX) throw new NvcError(`a head changes in multiples of 2^${coarse}`);
  const numbers = new Numbers(bytes.rest());
  const layers = shapes.map((shape, i) => {
    const [first, ...spreads] = fronts[i];
    if (first > SCALE_BITS_MAX || Math.max(...spreads) > SPREADS - (base ? 0 : 1)) {
      throw new NvcError(`layer ${i} of a head has an illegal scale or spread`);
    }
    if (change ? first !== coarse : base && base[i].scaleBits !== first) {
      throw new NvcError(`layer ${i} of a head has another scale than the head that it is a difference to`);
    }
    let weight;
    let bias;
    try {
      weight = numbers.read(shape[0] * shape[1] * TAPS, spreads[0]);
      bias = numbers.read(shape[0], spreads[1]);
    } catch {
      throw new NvcError(`layer ${i} of a head is damaged: its numbers do not decode`);
    }
    return {
      weight: Int8Array.from(summed(weight, 2 ** coarse, base?.[i].weight, WEIGHT_MAX, i)),
      bias: summed(bias, change ? 2 ** (coarse + BIAS_COARSE) : 1, base?.[i].bias, BIAS_MAX, i),
      scaleBits: base ? base[i].scaleBits : first,
      shape,
    };
  });
  numbers.finish();
  return layers;
}

/** Numbers times `unit`, plus those of the base, in place; beyond `most` is an NvcError. */
function summed(numbers, unit, base, most, layer) {
  for (let k = 0; k < numbers.length; k++) {
    const value = numbers[k] * unit + (base ? base[k] : 0); // below 2^36
    if (Math.abs(value) > most) throw new NvcError(`layer ${layer} of a head has numbers out of range`);
    numbers[k] = value;
  }
  return numbers;
}

/** Shapes of the layers of a head. */
function shapesOf({ planes, history, width, told }, layers) {
  const inputs = planes * (1 + 2 * history) + (told ? 1 : 0);
  return Array.from({ length: layers }, (_, i) => {
    const last = i === layers - 1;
    return [last ? planes : width, i ? width + (last ? planes * history : 0) : inputs, 3, 3];
  });
}

/** CRC-32 of a head's numbers: what it is told, then scale, weights and biases of each layer. */
function identityOf(layers, baseQ) {
  let crc = baseQ === null ? 0 : crc32(Uint8Array.of(baseQ + BASE_Q_ZERO));
  for (const { weight, bias, scaleBits } of layers) {
    const bytes = new Uint8Array(1 + weight.length + 4 * bias.length);
    const view = new DataView(bytes.buffer);
    bytes[0] = scaleBits;
    bytes.set(weight, 1); // modulo 256: two's complement
    bias.forEach((number, k) => view.setInt32(1 + weight.length + 4 * k, number));
    crc = crc32(bytes, crc);
  }
  return crc;
}

function finished(layers, spec) {
  return { ...spec, layers, identity: identityOf(layers, spec.baseQ) };
}

/**
 * The head of a segment.
 * @param {import('./payload.js').Segment} segment
 * @param {Head | null} before head of the segment before, which a difference refers to; null where there is none, or
 *   where it has not been read: then a difference is an NvcError
 * @param {(number: number) => HeadFile} pretrained files of heads by their number; unknown ones throw
 * @returns {Head | null} null where the segment has none
 */
export function readHead(segment, before, pretrained) {
  const sent = sentAs(segment);
  if (sent === HEAD.none) return null;
  const { history, gate, head_width: width } = segment;
  const head = isSteered(segment) ? splitSteering(segment.head).coded : segment.head;
  const planes = CHANNELS[segment.chroma];
  const fits = (other) => {
    const shape = [other.planes, other.history, other.width, other.layers.length];
    return [planes, history, width, segment.layers].every((number, k) => number === shape[k]);
  };
  if (sent === HEAD.whole) {
    const spec = { planes, history, width, gate, baseQ: null, adds: false };
    return finished(decodeLayers(head, shapesOf(spec, segment.layers)), spec);
  }
  if (sent === HEAD.pretrained) {
    const file = derived(pretrained(segment.reference), segment.chroma);
    if (!fits({ ...file, history: 0 })) throw new NvcError("the program's head of that number has another shape");
    const [p, q] = scaleOf(segment);
    if (file.scale !== p / q) throw new NvcError("the program's head of that number is for a base of another size");
    if (!head.length) throw new NvcError("the quantiser that the program's head is told is missing");
    const baseQ = head[0] - BASE_Q_ZERO;
    const change = head.subarray(1);
    const shapes = file.layers.map((layer) => layer.shape);
    const layers = change.length ? decodeLayers(change, shapes, file.layers, true) : file.layers;
    const spec = { planes, history, width, gate, baseQ: file.told ? baseQ : null, adds: file.adds };
    return finished(layers, spec);
  }
  if (!before || before.identity !== segment.reference) {
    throw new NvcError('the head that a segment differs from is not in the file, or was not read');
  }
  if (!fits(before)) throw new NvcError('the difference is to a head of another shape');
  const layers = decodeLayers(head, before.layers.map((layer) => layer.shape), before.layers);
  return finished(layers, { ...before, gate });
}

/**
 * A still's head.
 * @param {import('./payload.js').Still} still
 * @param {(number: number) => HeadFile} pretrained
 * @returns {Head | null}
 */
export function stillHead(still, pretrained) {
  if (!still.head) return null;
  const file = pretrained(still.head);
  let layers = file.layers;
  if (still.delta.length) {
    const last = layers[layers.length - 1];
    layers = [...layers.slice(0, -1), ...decodeLayers(still.delta, [last.shape], [last])];
  }
  const baseQ = file.told ? still.base_q - BASE_Q_ZERO : null;
  return finished(layers, { planes: file.planes, history: 0, width: file.width, gate: 0, baseQ, adds: file.adds });
}

/**
 * @typedef {object} HeadFile
 * @property {number} planes
 * @property {number} width channels between layers
 * @property {boolean} told whether the head is told base_q
 * @property {boolean} adds
 * @property {number} scale film size / base size, or what an upscaler enlarges by; 1.5 is exact
 * @property {Layer[]} layers
 */

/**
 * @param {Uint8Array} data a file `NVCH`
 * @returns {HeadFile}
 */
export function readHeadFile(data) {
  const bytes = new Bytes(data, 0, undefined, 'the file of a head');
  if (bytes.name() !== 'NVCH') throw new NvcError('this is no file of a head');
  const [version, planes, layers, width, flags, scale] = bytes.take(6);
  bytes.end -= 4;
  const coded = bytes.rest();
  bytes.end += 4;
  const crc = crc32(data.subarray(0, data.length - 4));
  if (bytes.u32() !== crc) throw new NvcError('the head does not match its CRC-32');
  const half = (flags & HALF) !== 0;
  if (version !== 1 || flags > (TOLD | ADDS | HALF) || scale < 1 || scale > 4 || (half && scale !== 1)) {
    throw new NvcError(`the head is of version ${version}, flags ${flags} or scale ${scale}, which are unknown`);
  }
  if (!CHANNELS.includes(planes) || layers < 2 || layers > 8 || width < 1 || width > 64) {
    throw new NvcError(`no head has ${layers} layers with ${width} channels for ${planes} planes`);
  }
  const told = (flags & TOLD) !== 0;
  const shapes = shapesOf({ planes, history: 0, width, told }, layers);
  const enlarges = scale + (half ? 0.5 : 0);
  return { planes, width, told, adds: (flags & ADDS) !== 0, scale: enlarges, layers: decodeLayers(coded, shapes) };
}
