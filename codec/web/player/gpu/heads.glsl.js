/**
 * What `heads.wgsl.js` does, in GLSL for WebGL2: fragments in place of invocations, products by integers of 32 bits.
 * Numbers and weights of a part lie in one uniform block; a part of a layer is drawn to one layer of its texture.
 *
 *     cells, U ──first──> activations ──between, last──> cells, prediction ──flat──> samples
 *
 * @typedef {import('../restore/prediction.js').Head} Head
 */

import { layersOf, numbersOf, planOf, TAPS, weightsOf, wordsIn } from './layers.js';
import { BASE_DEPTH, peakOf } from '../restore/planes.js';
import { ACTIVATION_MAX, channelsOf, FINE, gridOf, MIDDLE } from '../restore/prediction.js';
import { CELLS } from '../restore/steering.js';
import { BEGIN, cellTargets } from './upscale.glsl.js';

const OUTSIDE = '0x80808080u'; // four activations of 0
const NAMES = ['x', 'y', 'z', 'w'];

/** The uniform block of a part of a layer: s, base_q, two zeros; biases; weights.
 * @param {Head} head
 * @param {number} i number of the layer
 * @param {number} part
 * @returns {Int32Array} */
export function blockOf(head, i, part) {
  const { vectors, parts } = planOf(head, i);
  const numbers = numbersOf(head, i);
  const weights = weightsOf(head, i, false, Int32Array);
  const count = weights.length / parts;
  const biases = numbers.subarray(4 * (1 + part * vectors), 4 * (1 + (part + 1) * vectors));
  return Int32Array.of(...numbers.subarray(0, 4), ...biases, ...weights.subarray(part * count, (part + 1) * count));
}

/** A part of a layer.
 * @param {Head} head
 * @param {number} i number of the layer
 * @param {number} part
 * @param {import('../restore/planes.js').Film} film
 * @returns {string} GLSL: block `Layer`, textures `inputs` (cells or activations) and, of the last layer, `upscaled` */
export function layerShader(head, i, part, film) {
  const plan = planOf(head, i);
  const { columns, rows } = gridOf(film);
  const vectors = Array.from({ length: plan.vectors }, (_, k) => k);
  const products = Array.from({ length: plan.words }, (_, w) => vectors.map((k) =>
    `    sum${k} += products(values${w}, at + ${4 * (w * plan.vectors + k)});`)).flat();
  return `${BEGIN}
layout(std140) uniform Layer {
  ivec4 numbers[${1 + plan.vectors}];
  ivec4 weights[${TAPS * plan.words * plan.vectors * 4}];
};
uniform usampler2DArray inputs;
${plan.last ? cellsOut(film, plan.vectors) : ACTIVATIONS_OUT}
int dotted(ivec4 a, ivec4 b) {
  ivec4 products = a * b;
  return products.x + products.y + products.z + products.w;
}

ivec4 products(ivec4 values, int at) {
  return ivec4(dotted(values, weights[at]), dotted(values, weights[at + 1]),
    dotted(values, weights[at + 2]), dotted(values, weights[at + 3]));
}

ivec4 unpacked(uint word) {
  return ivec4(uvec4(word << 24, word << 16, word << 8, word)) >> 24;
}

void main() {
  ivec2 cell = ivec2(gl_FragCoord.xy);
  int shift = numbers[0].x;
${vectors.map((k) => `  ivec4 sum${k} = numbers[${1 + k}];`).join('\n')}
  for (int tap = 0; tap < ${TAPS}; tap++) {
    ivec2 place = cell + ivec2(tap % 3 - 1, tap / 3 - 1);
    bool inside = all(greaterThanEqual(place, ivec2(0))) && all(lessThan(place, ivec2(${columns}, ${rows})));
${plan.first ? cellsIn(head, plan.words) : activationsIn(plan.words)}
    int at = tap * ${4 * plan.words * plan.vectors};
${products.join('\n')}
  }
${plan.last ? predictionEnd(plan) : activationEnd(head.layers[i], plan, part)}
}
`;
}

/** What the first layer sees: U - 512, then what the head is told; 0 beyond the grid. */
function cellsIn(head, count) {
  const middle = [...Array(head.planes).fill(-MIDDLE), ...(head.baseQ === null ? [] : ['numbers[0].y'])];
  return layersOf(middle, '0').slice(0, count).map((four, w) => {
    const held = 4 * w < head.planes ? `ivec4(texelFetch(inputs, ivec3(place, ${w}), 0)) + ` : '';
    return `    ivec4 values${w} = ivec4(0);
    if (inside) values${w} = ${held}ivec4(${four.join(', ')});`;
  }).join('\n');
}

/** What the others see. */
function activationsIn(count) {
  return Array.from({ length: Math.ceil(count / 4) }, (_, l) => {
    const used = NAMES.slice(0, count - 4 * l);
    return `    uvec4 texel${l} = uvec4(${OUTSIDE});
    if (inside) texel${l} = texelFetch(inputs, ivec3(place, ${l}), 0);
${used.map((name, k) => `    ivec4 values${4 * l + k} = unpacked(texel${l}.${name});`).join('\n')}`;
  }).join('\n');
}

const ACTIVATIONS_OUT = `layout(location = 0) out uvec4 outputs;

uint packed(ivec4 sums, int shift) {
  uvec4 a = uvec4(clamp((sums + ((1 << shift) >> 1)) >> shift, 0, ${ACTIVATION_MAX}));
  return (a.x | (a.y << 8) | (a.z << 16) | (a.w << 24)) ^ ${OUTSIDE};
}

ivec4 added(uint word, int shift) {
  uint a = word ^ ${OUTSIDE};
  return ivec4(uvec4(a, a >> 8, a >> 16, a >> 24) & 255u) << shift;
}
`;

/** a = clip((sum + b + (1 << s >> 1)) >> s, 0, 255), after the layer's input << s where it adds that. */
function activationEnd({ adds }, { vectors }, part) {
  const input = (k) => (adds ? ` + added(here.${NAMES[k]}, shift)` : '');
  const four = NAMES.map((_, k) => (k < vectors ? `packed(sum${k}${input(k)}, shift)` : OUTSIDE));
  return `${adds ? `  uvec4 here = texelFetch(inputs, ivec3(cell, ${part}), 0);
` : ''}  outputs = uvec4(
    ${four.join(',\n    ')});`;
}

/** clip(((U << s) + sum + b + (1 << t >> 1)) >> t, 0, peak), t = s + 10 - depth; of a
 * still in 1/16 of a 10-bit step (`corrections`). */
const cellsOut = (film, vectors) => `uniform usampler2DArray upscaled;
${cellTargets(vectors)}

uvec4 predicted(ivec4 sums, uvec4 u, int shift) {
${film.still ? `  int drop = max(shift - 4, 0);
  ivec4 more = ((sums + ((1 << drop) >> 1)) >> drop) << max(4 - shift, 0);
  return uvec4(clamp((ivec4(u) << 4) + clamp(more, ${-FINE.limit}, ${FINE.limit - 1}), 0, ${FINE.top}));`
    : `  int drop = shift + ${BASE_DEPTH - film.depth};
  ivec4 whole = (ivec4(u) << shift) + sums + ((1 << drop) >> 1);
  return uvec4(clamp(whole >> drop, 0, ${peakOf(film.depth)}));`}
}
`;

const predictionEnd = ({ vectors }) => Array.from({ length: vectors }, (_, l) =>
  `  cells${l} = predicted(sum${l}, texelFetch(upscaled, ivec3(cell, ${l}), 0), shift);`).join('\n');

/** The prediction without a head: min((U + 2) >> 2, 255) of 8 bits, U of 10; of a still 16 U.
 * @param {import('../restore/planes.js').Film} film
 * @param {boolean} [some] whether only the blocks that a steered head does not predict are written
 * @returns {string} GLSL: `inputs` are the cells of U, `blocks`, where only `some` are written, a texel a block */
export function plainShader(film, some = false) {
  const layers = wordsIn(channelsOf(film.chroma).length);
  const rounded = film.still ? 'u << 4' : film.depth === 8 ? 'min((u + 2u) >> 2, 255u)' : 'u';
  const stores = Array.from({ length: layers }, (_, l) =>
    `  cells${l} = rounded(texelFetch(inputs, ivec3(cell, ${l}), 0));`);
  return `${BEGIN}${some ? `
uniform usampler2D blocks;` : ''}
uniform usampler2DArray inputs;
${cellTargets(layers)}

uvec4 rounded(uvec4 u) {
  return ${rounded};
}

void main() {
  ivec2 cell = ivec2(gl_FragCoord.xy);
${some ? `  if (texelFetch(blocks, cell / ${CELLS}, 0).r != 0u) discard;
` : ''}${stores.join('\n')}
}
`;
}

/** A plane of a prediction, 16 bytes a fragment: as many samples of 8 bits, or half as many of 16.
 * @param {import('../restore/planes.js').Film} film
 * @param {number} p number of the plane
 * @param {{width: number, height: number}} shape of it
 * @param {number} across fragments in a row
 * @param {number} top row of the target where the plane begins
 * @returns {string} GLSL: `inputs` are the cells */
export function flatShader(film, p, { width, height }, across, top) {
  const channels = channelsOf(film.chroma);
  const start = channels.findIndex(({ plane }) => plane === p);
  const { fold } = channels[start];
  const each = film.depth === 8 ? 4 : 2;
  return `${BEGIN}
uniform usampler2DArray inputs;
layout(location = 0) out uvec4 samples;

void main() {
  int first = (((int(gl_FragCoord.y) - ${top}) * ${across}) + int(gl_FragCoord.x)) * ${4 * each};
  uvec4 words = uvec4(0u);
  for (int k = 0; k < ${4 * each}; k++) {
    int y = (first + k) / ${width};
    if (y >= ${height}) break;
    int x = (first + k) % ${width};
    int channel = ${start} + y % ${fold.rows} * ${fold.columns} + x % ${fold.columns};
    uvec4 four = texelFetch(inputs, ivec3(x / ${fold.columns}, y / ${fold.rows}, channel / 4), 0);
    words[k / ${each}] |= four[channel % 4] << (k % ${each} * ${32 / each});
  }
  samples = words;
}
`;
}
