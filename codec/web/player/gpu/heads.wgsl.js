/**
 * `prediction.js` on a GPU: shaders in WGSL, made for the shape of one head.
 *
 *     cells, U ──first──> activations ──between──> activations ──last──> cells, prediction ──flat──> planes
 *
 * An invocation computes, for one cell, up to 16 channels of activations, or all of the prediction.
 *
 * Activations and weights lie as `layers.js` says, cells as `upscale.wgsl.js` does. Sums are exact in two ways: of
 * bytes by dot4I8Packed, which multiplies four activations at once where a GPU can; and of f32, which GPUs multiply
 * faster than i32: they are integers below 2^24 (FORMAT.md, section 3) however they are added, and WGSL rounds
 * correctly, hence not at all.
 *
 * @typedef {import('../restore/prediction.js').Head} Head
 */

import { layersOf, planOf, TAPS, wordsIn } from './layers.js';
import { BASE_DEPTH, peakOf } from '../restore/planes.js';
import { ACTIVATION_MAX, channelsOf, FINE, gridOf, MIDDLE } from '../restore/prediction.js';
import { blocksOf, CELLS } from '../restore/steering.js';
import { begin, GROUP } from './upscale.wgsl.js';

export const PACKED = 'packed_4x8_integer_dot_product'; // the language feature that has dot4I8Packed
const OUTSIDE = '0x80808080u'; // four activations of 0

/** A layer of a head.
 * @param {Head} head
 * @param {number} i number of the layer
 * @param {import('../restore/planes.js').Film} film
 * @param {boolean} packed whether dot4I8Packed is used
 * @returns {string} WGSL: binding 0 the weights, 1 the numbers, 2 what goes in (cells or activations), 3 what comes
 *   out; of the last layer 4, the cells of U */
export function layerShader(head, i, film, packed) {
  const plan = planOf(head, i);
  const dots = packed && !plan.first;
  const { columns, rows } = gridOf(film);
  const vectors = Array.from({ length: plan.vectors }, (_, k) => k);
  const products = Array.from({ length: plan.words }, (_, w) => vectors.map((k) =>
    `    all${k} += products(word${w}, at + ${w * plan.vectors + k});`)).flat();
  return `${dots ? `requires ${PACKED};` : ''}
@group(0) @binding(0) var<storage, read> weights: array<${dots ? 'vec4<u32>' : 'vec4<f32>'}>;
@group(0) @binding(1) var<storage, read> numbers: array<vec4<i32>>;
@group(0) @binding(2) var inputs: texture_2d_array<u32>;
${plan.last ? cellsOut(film) : activationsOut()}${head.layers[i].adds ? addedText() : ''}
${dots ? packedProducts() : floatProducts(plan.first)}
${begin(GROUP, GROUP)}
  let grid = vec2<i32>(${columns}, ${rows});
  let cell = vec2<i32>(id.xy);
  let part = i32(id.z);
  if (any(cell >= grid)) { return; }
  let shift = u32(numbers[0].x);
  let bias = 1 + part * ${plan.vectors};
${vectors.map((k) => `  var all${k} = vec4<${dots ? 'i32' : 'f32'}>(0);`).join('\n')}
  for (var tap = 0; tap < ${TAPS}; tap++) {
    let place = cell + vec2<i32>(tap % 3 - 1, tap / 3 - 1);
    let inside = all(place >= vec2<i32>(0, 0)) && all(place < grid);
${plan.first ? cellsIn(head, plan.words) : activationsIn(plan.words, dots)}
    let at = (part * ${TAPS} + tap) * ${plan.words * plan.vectors};
${products.join('\n')}
  }
${vectors.map((k) => `  let sum${k} = numbers[bias + ${k}] + vec4<i32>(all${k});`).join('\n')}
${plan.last ? predictionEnd(plan) : activationEnd(head.layers[i], plan)}
}
`;
}

/** Four products and their sum, for four outputs: by bytes with their sign. */
const packedProducts = () => `
fn products(word: u32, at: i32) -> vec4<i32> {
  let w = weights[at];
  return vec4<i32>(dot4I8Packed(word, w.x), dot4I8Packed(word, w.y), dot4I8Packed(word, w.z), dot4I8Packed(word, w.w));
}
`;

/** The same by f32. */
const floatProducts = (cells) => `
fn products(values: vec4<f32>, at: i32) -> vec4<f32> {
  return vec4<f32>(dot(values, weights[4 * at]), dot(values, weights[4 * at + 1]),
    dot(values, weights[4 * at + 2]), dot(values, weights[4 * at + 3]));
}
${cells ? '' : `
fn unpacked(word: u32) -> vec4<f32> {
  return vec4<f32>(vec4<i32>(vec4<u32>(word << 24u, word << 16u, word << 8u, word)) >> vec4<u32>(24u));
}
`}`;

/** What the first layer sees: U - 512, then what the head is told; 0 beyond the grid. */
function cellsIn(head, count) {
  const middle = [...Array(head.planes).fill(-MIDDLE), ...(head.baseQ === null ? [] : ['numbers[0].y'])];
  return layersOf(middle, '0').slice(0, count).map((four, w) => {
    const held = 4 * w < head.planes ? `vec4<i32>(textureLoad(inputs, place, ${w}, 0)) + ` : '';
    return `    var word${w} = vec4<f32>(0);
    if (inside) { word${w} = vec4<f32>(${held}vec4<i32>(${four.join(', ')})); }`;
  }).join('\n');
}

/** What the others see: words as they are, or four numbers. */
function activationsIn(count, dots) {
  const read = (text) => (dots ? text : `unpacked(${text})`);
  return Array.from({ length: Math.ceil(count / 4) }, (_, l) => {
    const used = ['x', 'y', 'z', 'w'].slice(0, count - 4 * l);
    return `    var texel${l} = vec4<u32>(${OUTSIDE});
    if (inside) { texel${l} = textureLoad(inputs, place, ${l}, 0); }
${used.map((name, k) => `    let word${4 * l + k} = ${read(`texel${l}.${name}`)};`).join('\n')}`;
  }).join('\n');
}

const activationsOut = () => `@group(0) @binding(3) var outputs: texture_storage_2d_array<rgba32uint, write>;

fn packed(sums: vec4<i32>, shift: u32) -> u32 {
  let a = vec4<u32>(clamp((sums + vec4<i32>((1 << shift) >> 1u)) >> vec4<u32>(shift), vec4<i32>(0), vec4<i32>(${
  ACTIVATION_MAX})));
  return (a.x | (a.y << 8u) | (a.z << 16u) | (a.w << 24u)) ^ ${OUTSIDE};
}
`;

/** a = clip((sum + b + (1 << s >> 1)) >> s, 0, 255), after the layer's input << s where it adds that. */
function activationEnd({ adds }, { vectors }) {
  const names = ['x', 'y', 'z', 'w'];
  const input = (k) => (adds ? ` + added(here.${names[k]}, shift)` : '');
  const four = names.map((_, k) => (k < vectors ? `packed(sum${k}${input(k)}, shift)` : OUTSIDE));
  return `${adds ? `  let here = textureLoad(inputs, cell, part, 0);
` : ''}  textureStore(outputs, cell, part, vec4<u32>(
    ${four.join(',\n    ')}));`;
}

const addedText = () => `
fn added(word: u32, shift: u32) -> vec4<i32> {
  let a = word ^ ${OUTSIDE};
  return vec4<i32>(vec4<u32>(a, a >> 8u, a >> 16u, a >> 24u) & vec4<u32>(255u)) << vec4<u32>(shift);
}
`;

/** clip(((U << s) + sum + b + (1 << t >> 1)) >> t, 0, peak), t = s + 10 - depth; of a still in 1/16 of a 10-bit step
 * (`corrections`). */
const cellsOut = (film) => `@group(0) @binding(3) var outputs: texture_storage_2d_array<rgba16uint, write>;
@group(0) @binding(4) var upscaled: texture_2d_array<u32>;

fn predicted(sums: vec4<i32>, u: vec4<u32>, shift: u32) -> vec4<u32> {
${film.still ? `  let drop = u32(max(i32(shift) - 4, 0));
  let more = ((sums + vec4<i32>((1 << drop) >> 1u)) >> vec4<u32>(drop)) << vec4<u32>(u32(max(4 - i32(shift), 0)));
  let least = vec4<i32>(${-FINE.limit});
  let whole = (vec4<i32>(u) << vec4<u32>(4u)) + clamp(more, least, vec4<i32>(${FINE.limit - 1}));
  return vec4<u32>(clamp(whole, vec4<i32>(0), vec4<i32>(${FINE.top})));`
    : `  let drop = shift + ${BASE_DEPTH - film.depth}u;
  let whole = (vec4<i32>(u) << vec4<u32>(shift)) + sums + vec4<i32>((1 << drop) >> 1u);
  return vec4<u32>(clamp(whole >> vec4<u32>(drop), vec4<i32>(0), vec4<i32>(${peakOf(film.depth)})));`}
}
`;

const predictionEnd = ({ vectors }) => Array.from({ length: vectors }, (_, l) => `  textureStore(outputs, cell, ${l},
    predicted(sum${l}, textureLoad(upscaled, cell, ${l}, 0), shift));`).join('\n');

/** The prediction without a head: min((U + 2) >> 2, 255) of 8 bits, U of 10; of a still 16 U.
 * @param {import('../restore/planes.js').Film} film
 * @param {boolean} [some] whether only the blocks that a steered head does not predict are written
 * @returns {string} WGSL: binding 2 the cells of U, 3 those of the prediction; 1 the blocks, where only `some` are
 *   written */
export function plainShader(film, some = false) {
  const { columns, rows } = gridOf(film);
  const fine = film.still && 'u << vec4<u32>(4u)';
  const rounded = fine || (film.depth === 8 ? 'min((u + vec4<u32>(2u)) >> vec4<u32>(2u), vec4<u32>(255u))' : 'u');
  const layers = Array.from({ length: wordsIn(channelsOf(film.chroma).length) }, (_, l) => l);
  const block = `  let block = cell / ${CELLS};
  if (blocks[block.y * ${blocksOf(film).columns} + block.x] != 0u) { return; }`;
  return `${some ? `
@group(0) @binding(1) var<storage, read> blocks: array<u32>;` : ''}
@group(0) @binding(2) var inputs: texture_2d_array<u32>;
@group(0) @binding(3) var outputs: texture_storage_2d_array<rgba16uint, write>;

fn rounded(u: vec4<u32>) -> vec4<u32> {
  return ${rounded};
}

${begin(GROUP, GROUP)}
  let cell = vec2<i32>(id.xy);
  if (any(cell >= vec2<i32>(${columns}, ${rows}))) { return; }
${some ? block : ''}
${layers.map((l) => `  textureStore(outputs, cell, ${l}, rounded(textureLoad(inputs, cell, ${l}, 0)));`).join('\n')}
}
`;
}

/** A plane of a prediction as bytes in FORMAT.md's order, each invocation four of them: four samples of 8 bits, or two.
 * @param {import('../restore/planes.js').Film} film
 * @param {number} p number of the plane
 * @param {{width: number, height: number}} shape of it
 * @param {number} across invocations in a row of them
 * @returns {string} WGSL: binding 2 the cells, 3 the bytes */
export function flatShader(film, p, { width, height }, across) {
  const channels = channelsOf(film.chroma);
  const start = channels.findIndex(({ plane }) => plane === p);
  const { fold } = channels[start];
  const each = film.depth === 8 ? 4 : 2;
  return `
@group(0) @binding(2) var cells: texture_2d_array<u32>;
@group(0) @binding(3) var<storage, read_write> bytes: array<u32>;

${begin(GROUP * GROUP, 1)}
  let word = i32(id.y) * ${across} + i32(id.x);
  if (word >= ${Math.ceil((width * height) / each)}) { return; }
  var all = 0u;
  for (var k = 0; k < ${each}; k++) {
    let i = word * ${each} + k;
    let y = i / ${width};
    if (y < ${height}) {
      let x = i % ${width};
      let channel = ${start} + y % ${fold.rows} * ${fold.columns} + x % ${fold.columns};
      let four = textureLoad(cells, vec2<i32>(x / ${fold.columns}, y / ${fold.rows}), channel / 4, 0);
      all |= four[channel % 4] << u32(k * ${32 / each});
    }
  }
  bytes[word] = all;
}
`;
}
