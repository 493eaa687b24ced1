/**
 * The fixed filter of `upscale.js` on a GPU: shaders in WGSL, made for the sizes of one film.
 *
 *     base planes ──down (where a plane grows vertically)──> rows ──fold──> cells, U
 *
 * Textures: a base plane is r16uint. `rows` is r32sint, as wide as the base and as high as the film, in 1/16 of a
 * sample. Cells are rgba16uint, an array: channel c of a cell (`channelsOf`) is component c mod 4 of layer c // 4;
 * components that no channel has are 0.
 *
 * @typedef {import('../restore/planes.js').Film} Film
 */

import { layersOf } from './layers.js';
import { BASE_DEPTH, peakOf, shapesOf } from '../restore/planes.js';
import { channelsOf, gridOf } from '../restore/prediction.js';
import { factorsOf, REACH } from '../restore/upscale.js';

export const GROUP = 8; // invocations of a workgroup a side
export const BAND = 9; // binding of where a portion begins

/** How every shader begins: `id` is that of the invocation among all, of which a portion is some workgroups' rows.
 * @param {number} columns of invocations in a workgroup
 * @param {number} rows
 * @returns {string} WGSL */
export const begin = (columns, rows) => `
@group(0) @binding(${BAND}) var<uniform> band: vec4<u32>; // the first row of workgroups

@compute @workgroup_size(${columns}, ${rows})
fn main(@builtin(global_invocation_id) own: vec3<u32>) {
  let id = own + vec3<u32>(0u, band.x * ${rows}u, 0u);`;

const table = (name, taps) => `const ${name} = array<array<i32, ${taps[0].length}>, ${taps.length}>(
${taps.map((row) => `  array<i32, ${row.length}>(${row.join(', ')}),`).join('\n')}
);`;

/** Rows of a plane, each invocation a sample: x = (sum + 8) >> 4.
 * @param {import('../restore/upscale.js').Factor} factor vertical, one that has taps
 * @returns {string} WGSL: binding 0 the base plane, 1 the rows */
export function downShader({ p, q, taps }) {
  return `
${table('TAPS', taps)}
@group(0) @binding(0) var plane: texture_2d<u32>;
@group(0) @binding(1) var rows: texture_storage_2d<r32sint, write>;

${begin(GROUP, GROUP)}
  let at = vec2<i32>(id.xy);
  if (any(at >= vec2<i32>(textureDimensions(rows)))) { return; }
  let last = i32(textureDimensions(plane).y) - 1;
  let first = at.y / ${p} * ${q} - ${REACH};
  var sum = 8;
  for (var t = 0; t < ${taps[0].length}; t++) {
    let y = clamp(first + t, 0, last);
    sum += TAPS[at.y % ${p}][t] * i32(textureLoad(plane, vec2<i32>(at.x, y), 0).r);
  }
  textureStore(rows, at, vec4<i32>(sum >> 4, 0, 0, 0));
}
`;
}

/** Cells, each invocation one, planes continued by their last row and column: clip((sum + 2048) >> 12, 0, 1023).
 * @param {Film} film
 * @returns {string} WGSL: bindings 0 .. the base planes, or their rows where there are such; after them the cells */
export function foldShader(film) {
  const shapes = shapesOf(film.width, film.height, film.chroma);
  const { columns, rows } = gridOf(film);
  const planes = shapes.map((shape, p) => planeText(p, shape, factorsOf(film, p)));
  const channels = channelsOf(film.chroma).map(({ plane, fold, row, column }) =>
    `sample${plane}(cell * vec2<i32>(${fold.columns}, ${fold.rows}) + vec2<i32>(${column}, ${row}))`);
  const stores = layersOf(channels, '0u').map((four, l) =>
    `  textureStore(cells, cell, ${l}, vec4<u32>(${four.join(', ')}));`);
  return `
${planes.join('')}
@group(0) @binding(${shapes.length}) var cells: texture_storage_2d_array<rgba16uint, write>;

${begin(GROUP, GROUP)}
  let cell = vec2<i32>(id.xy);
  if (any(cell >= vec2<i32>(${columns}, ${rows}))) { return; }
${stores.join('\n')}
}
`;
}

/** Functions that give a sample of plane `p`, and what lies in its row in 1/16. */
function planeText(p, { width, height }, { down, across }) {
  const row = down.taps
    ? `textureLoad(plane${p}, at, 0).r`
    : `i32(textureLoad(plane${p}, at, 0).r) << 4u`;
  const peak = peakOf(BASE_DEPTH);
  const filtered = across.taps && `
  let last = i32(textureDimensions(plane${p}).x) - 1;
  let first = at.x / ${across.p} * ${across.q} - ${REACH};
  var sum = 2048;
  for (var t = 0; t < ${across.taps[0].length}; t++) {
    sum += TAPS${p}[at.x % ${across.p}][t] * row${p}(vec2<i32>(clamp(first + t, 0, last), at.y));
  }
  return u32(clamp(sum >> 12u, 0, ${peak}));`;
  return `${across.taps ? table(`TAPS${p}`, across.taps) : ''}
@group(0) @binding(${p}) var plane${p}: texture_2d<${down.taps ? 'i32' : 'u32'}>;

fn row${p}(at: vec2<i32>) -> i32 {
  return ${row};
}

fn sample${p}(place: vec2<i32>) -> u32 {
  let at = min(place, vec2<i32>(${width - 1}, ${height - 1}));${filtered || `
  return u32(clamp((row${p}(at) + 8) >> 4u, 0, ${peak}));`}
}
`;
}
