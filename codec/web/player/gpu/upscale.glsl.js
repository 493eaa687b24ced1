/**
 * What `upscale.wgsl.js` does, in GLSL for WebGL2: fragments in place of invocations, in integers throughout. Textures
 * are the same, and each is a target of its own; rows are counted as they are uploaded.
 *
 * @typedef {import('../restore/planes.js').Film} Film
 */

import { layersOf } from './layers.js';
import { BASE_DEPTH, peakOf, shapesOf } from '../restore/planes.js';
import { channelsOf, gridOf } from '../restore/prediction.js';
import { factorsOf, REACH } from '../restore/upscale.js';

/** How every fragment shader begins. */
export const BEGIN = `#version 300 es
precision highp int;
precision highp float;
precision highp isampler2D;
precision highp usampler2D;
precision highp usampler2DArray;
`;

/** The vertex shader of all: one triangle that covers the target. */
export const CORNERS = `#version 300 es
void main() {
  gl_Position = vec4(gl_VertexID == 1 ? 3.0 : -1.0, gl_VertexID == 2 ? 3.0 : -1.0, 0.0, 1.0);
}
`;

/** Targets of cells: one a layer.
 * @param {number} layers
 * @returns {string} GLSL */
export const cellTargets = (layers) =>
  Array.from({ length: layers }, (_, l) => `layout(location = ${l}) out uvec4 cells${l};`).join('\n');

const table = (name, taps) => `const int ${name}[${taps.flat().length}] = int[](
${taps.map((row) => `  ${row.join(', ')}`).join(',\n')});`;

/** Rows of a plane: x = (sum + 8) >> 4.
 * @param {import('../restore/upscale.js').Factor} factor vertical, one that has taps
 * @returns {string} GLSL: `plane` is the base plane */
export function downShader({ p, q, taps }) {
  const count = taps[0].length;
  return `${BEGIN}
${table('TAPS', taps)}
uniform usampler2D plane;
layout(location = 0) out ivec4 row;

void main() {
  ivec2 at = ivec2(gl_FragCoord.xy);
  int last = textureSize(plane, 0).y - 1;
  int first = at.y / ${p} * ${q} - ${REACH};
  int sum = 8;
  for (int t = 0; t < ${count}; t++) {
    int y = clamp(first + t, 0, last);
    sum += TAPS[at.y % ${p} * ${count} + t] * int(texelFetch(plane, ivec2(at.x, y), 0).r);
  }
  row = ivec4(sum >> 4, 0, 0, 0);
}
`;
}

/** Cells, planes continued by their last row and column: clip((sum + 2048) >> 12, 0, 1023).
 * @param {Film} film
 * @returns {string} GLSL: `plane0` .. are the base planes, or their rows where there are such */
export function foldShader(film) {
  const shapes = shapesOf(film.width, film.height, film.chroma);
  const planes = shapes.map((shape, p) => planeText(p, shape, factorsOf(film, p)));
  const channels = channelsOf(film.chroma).map(({ plane, fold, row, column }) =>
    `sample${plane}(cell * ivec2(${fold.columns}, ${fold.rows}) + ivec2(${column}, ${row}))`);
  const layers = layersOf(channels, '0u');
  return `${BEGIN}
${planes.join('')}
${cellTargets(layers.length)}

void main() {
  ivec2 cell = ivec2(gl_FragCoord.xy);
${layers.map((four, l) => `  cells${l} = uvec4(${four.join(', ')});`).join('\n')}
}
`;
}

/** Size of what a film's cells are drawn to.
 * @param {Film} film
 * @returns {{width: number, height: number}} */
export function cellSize(film) {
  const { columns, rows } = gridOf(film);
  return { width: columns, height: rows };
}

/** Functions that give a sample of plane `p`, and what lies in its row in 1/16. */
function planeText(p, { width, height }, { down, across }) {
  const row = `texelFetch(plane${p}, at, 0).r`;
  const peak = peakOf(BASE_DEPTH);
  const count = across.taps?.[0].length;
  const filtered = across.taps && `
  int last = textureSize(plane${p}, 0).x - 1;
  int first = at.x / ${across.p} * ${across.q} - ${REACH};
  int sum = 2048;
  for (int t = 0; t < ${count}; t++) {
    sum += TAPS${p}[at.x % ${across.p} * ${count} + t] * row${p}(ivec2(clamp(first + t, 0, last), at.y));
  }
  return uint(clamp(sum >> 12, 0, ${peak}));`;
  return `${across.taps ? table(`TAPS${p}`, across.taps) : ''}
uniform ${down.taps ? 'isampler2D' : 'usampler2D'} plane${p};

int row${p}(ivec2 at) {
  return ${down.taps ? row : `int(${row}) << 4`};
}

uint sample${p}(ivec2 place) {
  ivec2 at = min(place, ivec2(${width - 1}, ${height - 1}));${filtered || `
  return uint(clamp((row${p}(at) + 8) >> 4, 0, ${peak}));`}
}
`;
}
