/**
 * Heads of 4:2:0 pictures as those of another chroma format, by moving their integers about (FORMAT.md, section 3,
 * "Derived heads").
 */

import { NvcError } from '../files/bytes.js';
import { channelsOf } from './prediction.js';

const SOURCE = 6; // planes of 4:2:0: luma 0 .. 3, U 4, V 5
const LUMA = 4;
const TAPS = 9;

/** A film head for pictures of that chroma format.
 * @param {import('./weights.js').HeadFile} file
 * @param {number} chroma of the film
 * @returns {import('./weights.js').HeadFile} `file` itself for 4:2:0
 * @throws {NvcError} where it is not one of 4:2:0 */
export function derived(file, chroma) {
  if (file.planes !== SOURCE) throw new NvcError('heads of films are derived from those of 4:2:0 pictures');
  const channels = channelsOf(chroma);
  if (channels.length === SOURCE) return file;
  const sources = channels.map(({ plane }, c) => (plane ? LUMA + plane - 1 : c));
  const inputs = [...sources, ...(file.told ? [SOURCE] : [])];
  const seen = inputs.map((source, c) => c < LUMA || source !== inputs[c - 1]); // others are differences
  const layers = [...file.layers];
  layers[0] = opened(layers[0], inputs, seen);
  layers.push(closed(layers.pop(), sources));
  return { ...file, planes: channels.length, layers };
}

/** A first layer whose input c is that of `inputs[c]`, or 0. */
function opened({ weight, shape: [outputs, before, ...taps], ...rest }, inputs, seen) {
  const found = new Int8Array(outputs * inputs.length * TAPS);
  for (let o = 0; o < outputs; o++) {
    inputs.forEach((source, c) => {
      const from = (o * before + source) * TAPS;
      if (seen[c]) found.set(weight.subarray(from, from + TAPS), (o * inputs.length + c) * TAPS);
    });
  }
  return { ...rest, weight: found, shape: [outputs, inputs.length, ...taps] };
}

/** A last layer whose output c is that of `outputs[c]`. */
function closed({ weight, bias, shape: [, inputs, ...taps], ...rest }, outputs) {
  const size = inputs * TAPS;
  const found = new Int8Array(outputs.length * size);
  outputs.forEach((source, c) => found.set(weight.subarray(source * size, (source + 1) * size), c * size));
  const biases = Int32Array.from(outputs, (source) => bias[source]);
  return { ...rest, weight: found, bias: biases, shape: [outputs.length, inputs, ...taps] };
}
