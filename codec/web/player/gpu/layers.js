/**
 * How a head's layers lie in a GPU's memory, whatever language its shaders are in.
 *
 * Activations are textures of four words of 32 bits, arrays: channel c is byte c mod 4 of *word* c // 4, and word w is
 * component w mod 4 of layer w // 4. A byte holds a - 128 with its sign, as products of bytes want it; what lies beyond
 * the grid is a = 0, hence -128 as well. Since the sum of w a is the sum of w (a - 128) plus 128 times the sum of w,
 * biases hold the latter. Channels that fill up a word have weights of 0.
 *
 * An invocation computes, for one cell, up to 16 channels of activations, or all of the prediction.
 *
 * @typedef {import('../restore/prediction.js').Head} Head
 */

export const TAPS = 9; // of a 3x3 convolution
const HALF = 128;

/** Channels in fours: words, or layers of cells.
 * @param {number} channels
 * @returns {number} */
export const wordsIn = (channels) => Math.ceil(channels / 4);

/** Channels in fours, filled up with `nothing`.
 * @param {string[]} channels
 * @param {string} nothing
 * @returns {string[][]} */
export function layersOf(channels, nothing) {
  return Array.from({ length: Math.ceil(channels.length / 4) }, (_, l) =>
    Array.from({ length: 4 }, (__, k) => channels[4 * l + k] ?? nothing));
}

/** How a layer of a head is computed.
 * @param {Head} head
 * @param {number} i number of the layer
 * @returns {{first: boolean, last: boolean, words: number, vectors: number, parts: number}} `words` of four inputs
 *   each; an invocation computes `vectors` of four outputs each, and so many `parts` of them are all */
export function planOf(head, i) {
  const first = i === 0;
  const last = i === head.layers.length - 1;
  const all = wordsIn(head.layers[i].outputs);
  const vectors = last ? all : Math.min(all, 4);
  return { first, last, words: wordsIn(head.layers[i].inputs), vectors, parts: Math.ceil(all / vectors) };
}

/** Products that an invocation computes, about.
 * @param {Head} head
 * @param {number} i number of the layer
 * @returns {number} */
export function workOf(head, i) {
  const { words: inputs, vectors } = planOf(head, i);
  return TAPS * 16 * inputs * vectors;
}

/** Layers of the textures that hold a head's activations.
 * @param {Head} head
 * @returns {number} */
export function activationLayers(head) {
  return Math.max(...head.layers.slice(0, -1).map(({ outputs }) => Math.ceil(wordsIn(outputs) / 4)));
}

/** Weights in the order in which a shader reads them: by part, tap, word and vector; of these four outputs by
 * four inputs.
 * @param {Head} head
 * @param {number} i number of the layer
 * @param {boolean} packed whether the shader is one with dot4I8Packed
 * @param {Function} kind array of what other shaders multiply
 * @returns {Int8Array | Int32Array | Float32Array} packed, a byte each, but for the first layer */
export function weightsOf(head, i, packed, kind) {
  const { inputs, outputs, weight } = head.layers[i];
  const plan = planOf(head, i);
  const size = plan.parts * TAPS * plan.words * plan.vectors * 16;
  const out = packed && !plan.first ? new Int8Array(size) : new kind(size);
  let next = 0;
  for (let part = 0; part < plan.parts; part++) {
    for (let tap = 0; tap < TAPS; tap++) {
      for (let word = 0; word < plan.words; word++) {
        for (let o = 4 * part * plan.vectors; o < 4 * (part + 1) * plan.vectors; o++) {
          for (let c = 4 * word; c < 4 * word + 4; c++) {
            out[next++] = o < outputs && c < inputs ? weight[(o * inputs + c) * TAPS + tap] : 0;
          }
        }
      }
    }
  }
  return out;
}

export const TOLD_AT = 4; // bytes that base_q lies behind the start of the numbers of layer 0

/** Numbers beside the weights: s, base_q, two zeros; then a bias for each output, which holds what the sum of
 * activations less 128 lacks.
 * @param {Head} head
 * @param {number} i number of the layer
 * @returns {Int32Array} */
export function numbersOf(head, i) {
  const { inputs, outputs, weight, bias, shift } = head.layers[i];
  const plan = planOf(head, i);
  const out = new Int32Array(4 * (1 + plan.parts * plan.vectors));
  out.set([shift, head.baseQ ?? 0]);
  for (let o = 0; o < outputs; o++) {
    const own = weight.subarray(o * inputs * TAPS, (o + 1) * inputs * TAPS);
    out[4 + o] = bias[o] + (plan.first ? 0 : HALF * own.reduce((a, b) => a + b, 0));
  }
  return out;
}
