/**
 * Gaussians to pixels (SPLAT.md, "Pixels"): by integers at the picture's size, which is part of the format and the same
 * everywhere; as real functions at any other, which is not.
 *
 * @typedef {import('./nvs.js').Code} Code
 * @typedef {import('./nvs.js').Gaussians} Gaussians
 */

import { dictionary, KERNEL, REACH, SHAPES, TILE } from './nvsatoms.js';

const PIXELS = TILE * TILE;
const LIMIT = 2 ** 18; // 1/256 of a pixel value
const [THIRD, HALF, SIXTH] = [2365, 2896, 1672]; // 4096 / sqrt(3), sqrt(2), sqrt(6)
const SOFTENING = 28;
const ROWS = 8; // of tiles that are drawn at once: bounds the memory beyond the picture itself
const RISING = [28, 83, 139, 194, 250, 305, 360, 416, 471, 527, 582, 638, 693, 749, 804, 860];
const RAMP = Int32Array.from([...RISING.map((r) => -r).reverse(), ...RISING]);
/** The gradients' norm where they are real functions: of the odd numbers -31 .. 31 over a tile. */
export const RAMP_NORM = Math.sqrt(TILE * RAMP.reduce((sum, _, i) => sum + (2 * i + 1 - TILE) ** 2, 0));

const clip = (value, least, most) => (value < least ? least : value > most ? most : value);

/** Values of a tile and channel, 1/256 of a pixel value less 128.
 * @param {Float64Array} sums 32x32, overwritten */
function drawTile({ step, base, starts, atoms }, channels, tile, channel, sums) {
  const { kernels, places, first } = dictionary();
  const [mean, a, b] = base.subarray(3 * (tile * channels + channel));
  for (let y = 0, at = 0; y < TILE; y++) {
    for (let x = 0; x < TILE; x++, at++) sums[at] = 512 * mean + RAMP[x] * a + RAMP[y] * b;
  }
  for (let i = starts[tile]; i < starts[tile + 1]; i++) {
    const amplitude = atoms.amplitudes[channel][i];
    if (!amplitude) continue;
    const place = 2 * (first[atoms.shape[i]] + atoms.place[i]);
    const [top, left] = [REACH - places[place], REACH - places[place + 1]];
    const kernel = atoms.shape[i] * KERNEL * KERNEL;
    for (let y = 0, at = 0; y < TILE; y++) {
      const row = kernel + (top + y) * KERNEL + left;
      for (let x = 0; x < TILE; x++, at++) sums[at] += amplitude * kernels[row + x];
    }
  }
  // sums stay below 2^31, times the step below 2^47
  for (let at = 0; at < PIXELS; at++) sums[at] = clip(Math.floor((sums[at] * step + 2048) / 4096), -LIMIT, LIMIT);
}

/** Planes of whole tiles before softening, 1/256 of a pixel value less 128, of some rows of tiles.
 * @param {Code} code
 * @param {number} columns of tiles
 * @param {number} top first row of tiles
 * @param {number} bottom behind the last
 * @returns {Int32Array[]} R, G, B or one channel */
function planesOf(code, columns, top, bottom) {
  const width = columns * TILE;
  const planes = Array.from({ length: code.channels }, () => new Int32Array(width * (bottom - top) * TILE));
  const sums = planes.map(() => new Float64Array(PIXELS));
  for (let row = top; row < bottom; row++) {
    for (let column = 0; column < columns; column++) {
      sums.forEach((sum, channel) => drawTile(code, code.channels, row * columns + column, channel, sum));
      if (code.channels === 3) colour(...sums);
      const start = (row - top) * TILE * width + column * TILE;
      planes.forEach((plane, channel) => {
        for (let y = 0; y < TILE; y++) {
          plane.set(sums[channel].subarray(y * TILE, (y + 1) * TILE), start + y * width);
        }
      });
    }
  }
  return planes;
}

/** R, G, B from a tile's three channels, in place. */
function colour(first, second, third) {
  for (let at = 0; at < PIXELS; at++) {
    const [p, q, t] = [THIRD * first[at] + 2048, HALF * second[at], SIXTH * third[at]];
    first[at] = (p + q + t) >> 12;
    second[at] = (p - 2 * t) >> 12;
    third[at] = (p - q + t) >> 12;
  }
}

/** Soften a plane's borders between tiles, in place: those of rows, then those of columns. */
function soften(plane, width, step) {
  const height = plane.length / width;
  const most = (SOFTENING * step) >> 6;
  for (let y = TILE; y < height; y += TILE) {
    for (let x = 0; x < width; x++) softenAt(plane, y * width + x, width, most);
  }
  for (let x = TILE; x < width; x += TILE) {
    for (let y = 0; y < height; y++) softenAt(plane, y * width + x, 1, most);
  }
}

/** Soften around a border; `at` is the pixel behind it, `by` the way across. */
function softenAt(plane, at, by, most) {
  const [p2, p1, p0] = [plane[at - 3 * by], plane[at - 2 * by], plane[at - by]];
  const [q0, q1, q2] = [plane[at], plane[at + by], plane[at + 2 * by]];
  const d = clip((9 * (q0 - p0) - 3 * (q1 - p1)) >> 4, -most, most);
  const h = (p0 + q0) >> 1;
  plane[at - by] = p0 + d;
  plane[at] = q0 - d;
  const half = most >> 1;
  plane[at - 2 * by] = p1 + clip(((p2 + h) >> 1) - p1, -half, half);
  plane[at + by] = q1 + clip(((q2 + h) >> 1) - q1, -half, half);
}

/**
 * The picture, sample for sample what every decoder gives, and what softening changed.
 * @param {Gaussians} gaussians
 * @param {boolean} [moves] whether `moved` is wanted, which drawing at other sizes needs
 * @returns {{samples: Uint8Array, channels: number, moved: Int16Array | null}} samples: of width x height pixels with
 *   all channels (1 .. 4); moved: of whole tiles, 4 numbers a pixel (colour or grey, then alpha), 1/256 of a value
 */
export function render({ width, height, grid, codes }, moves = false) {
  const channels = codes.reduce((sum, code) => sum + code.channels, 0);
  const samples = new Uint8Array(width * height * channels);
  const across = grid.columns * TILE;
  const moved = moves ? new Int16Array(4 * across * grid.rows * TILE) : null;
  let channel = 0;
  codes.forEach((code, k) => {
    // some rows of tiles at a time, with those above and below that their borders depend on
    for (let row = 0; row < grid.rows; row += ROWS) {
      const top = Math.max(0, row - 1);
      const end = Math.min(grid.rows, row + ROWS);
      const planes = planesOf(code, grid.columns, top, Math.min(grid.rows, end + 1));
      const start = (row - top) * TILE;
      planes.forEach((plane, c) => {
        const own = moves ? plane.slice(start * across, (end - top) * TILE * across) : null;
        soften(plane, across, code.step);
        const bottom = Math.min(end * TILE, height) - row * TILE;
        for (let y = 0; y < bottom; y++) {
          const from = (start + y) * across;
          const to = (row * TILE + y) * width;
          for (let x = 0; x < width; x++) {
            samples[(to + x) * channels + channel + c] = clip((plane[from + x] + 32896) >> 8, 0, 255);
          }
        }
        if (!moves) return;
        const first = row * TILE * across;
        for (let i = 0; i < own.length; i++) {
          moved[4 * (first + i) + (k ? 3 : c)] = plane[start * across + i] - own[i];
        }
      });
    }
    channel += code.channels;
  });
  return { samples, channels, moved };
}

/** A shape as a function of the plane: [cos / along, sin / along, cos / across, sin / across], its profile, and what
 * makes its norm 1 over whole pixels. */
const forms = new Map();

/** @param {number} number of the shape
 * @returns {{u: number[], v: number[], profile: number, norm: number, wide: number, high: number}} u, v: factors of x
 *   and y; wide, high: half the box that it fills, pixels */
export function formOf(number) {
  if (!forms.has(number)) forms.set(number, makeForm(SHAPES[number]));
  return forms.get(number);
}

const SIGMAS = 4; // how far Gaussians reach between the pixels
const WHOLE = 48; // pixels that the norm is summed up over, from the centre

function makeForm(shape) {
  const turn = (Math.PI * shape.angle) / 8;
  const [cos, sin] = [Math.cos(turn), Math.sin(turn)];
  const [along, across] = [shape.along / 10, shape.across / 10];
  const form = { u: [cos / along, sin / along], v: [-sin / across, cos / across], profile: shape.profile, norm: 1 };
  form.wide = SIGMAS * Math.hypot(along * cos, across * sin);
  form.high = SIGMAS * Math.hypot(along * sin, across * cos);
  let squares = 0;
  for (let y = -WHOLE; y <= WHOLE; y++) for (let x = -WHOLE; x <= WHOLE; x++) squares += valueAt(form, x, y) ** 2;
  form.norm = 1 / Math.sqrt(squares);
  return form;
}

/** Value of a shape at an offset from its centre, pixels. */
function valueAt({ u: [ux, uy], v: [vx, vy], profile, norm }, x, y) {
  const u = x * ux + y * uy;
  const v = x * vx + y * vy;
  const value = Math.exp(-0.5 * (u * u + v * v)) * norm;
  return profile === 0 ? value : value * (profile === 1 ? v : 1 - v * v);
}

/**
 * Part of the picture at another size: what the Gaussians are between the pixels, each tile within its borders, and
 * what softening changed, interpolated.
 * @param {Gaussians} gaussians
 * @param {Int16Array} moved as `render` gives it
 * @param {{x: number, y: number, scale: number, width: number, height: number}} part x, y: left and upper edge, pixels;
 *   scale: new pixels to a pixel; width, height: new pixels, none of them outside the picture
 * @returns {Uint8ClampedArray<ArrayBuffer>} RGBA
 */
export function enlarge(gaussians, moved, part) {
  const out = new Uint8ClampedArray(4 * part.width * part.height);
  out.fill(255);
  const places = (start, count) =>
    Float64Array.from({ length: count }, (_, i) => start + (i + 0.5) / part.scale - 0.5);
  const [xs, ys] = [places(part.x, part.width), places(part.y, part.height)];
  for (const rows of runs(ys, gaussians.grid.rows)) {
    for (const columns of runs(xs, gaussians.grid.columns)) {
      gaussians.codes.forEach((code, k) => {
        const values = evaluate(code, gaussians.grid, rows, columns, ys, xs);
        put(values, moved, gaussians.grid, { rows, columns, ys, xs, alpha: k > 0 }, out, part.width);
      });
    }
  }
  return out;
}

/** Runs of rising places that lie in one tile: its number, the first, behind the last. */
function runs(places, tiles) {
  const found = [];
  for (let i = 0; i < places.length; i++) {
    const tile = clip(Math.floor((places[i] + 0.5) / TILE), 0, tiles - 1);
    if (found.at(-1)?.tile === tile) found.at(-1).end = i + 1;
    else found.push({ tile, start: i, end: i + 1 });
  }
  return found;
}

/** Values of a tile's channels at those places, 1/256 of a pixel value less 128. */
function evaluate(code, grid, rows, columns, ys, xs) {
  const { channels, base, starts, atoms, step } = code;
  const { places, first } = dictionary();
  const tile = rows.tile * grid.columns + columns.tile;
  const [height, width] = [rows.end - rows.start, columns.end - columns.start];
  const down = Float64Array.from({ length: height }, (_, i) => ys[rows.start + i] - rows.tile * TILE);
  const right = Float64Array.from({ length: width }, (_, i) => xs[columns.start + i] - columns.tile * TILE);
  const sums = Array.from({ length: channels }, (_, c) => {
    const [mean, a, b] = base.subarray(3 * (tile * channels + c));
    return Float64Array.from({ length: height * width }, (__, i) => mean / TILE
      + (a * (2 * right[i % width] + 1 - TILE) + b * (2 * down[Math.floor(i / width)] + 1 - TILE)) / RAMP_NORM);
  });
  for (let i = starts[tile]; i < starts[tile + 1]; i++) {
    const form = formOf(atoms.shape[i]);
    const place = 2 * (first[atoms.shape[i]] + atoms.place[i]);
    const amplitudes = atoms.amplitudes.map((values) => values[i]);
    for (let y = 0; y < height; y++) {
      const dy = down[y] - places[place];
      if (Math.abs(dy) > form.high) continue;
      for (let x = 0; x < width; x++) {
        const dx = right[x] - places[place + 1];
        if (Math.abs(dx) > form.wide) continue;
        const value = valueAt(form, dx, dy);
        for (let c = 0; c < channels; c++) sums[c][y * width + x] += amplitudes[c] * value;
      }
    }
  }
  for (const sum of sums) for (let i = 0; i < sum.length; i++) sum[i] *= 4 * step;
  return sums;
}

/** Write a tile's values, with what softening changed, as bytes. */
function put(values, moved, grid, { rows, columns, ys, xs, alpha }, out, stride) {
  const across = grid.columns * TILE;
  const width = columns.end - columns.start;
  const grey = values.length === 1;
  for (let i = rows.start; i < rows.end; i++) {
    const [y, fy] = within(ys[i] - rows.tile * TILE);
    for (let j = columns.start; j < columns.end; j++) {
      const [x, fx] = within(xs[j] - columns.tile * TILE);
      const at = (i - rows.start) * width + j - columns.start;
      const from = 4 * ((rows.tile * TILE + y) * across + columns.tile * TILE + x);
      const [next, below] = [fx ? 4 : 0, fy ? 4 * across : 0];
      const change = (c) => (moved[from + c] * (1 - fx) + moved[from + next + c] * fx) * (1 - fy)
        + (moved[from + below + c] * (1 - fx) + moved[from + below + next + c] * fx) * fy;
      const to = 4 * (i * stride + j);
      if (alpha) out[to + 3] = (values[0][at] + change(3)) / 256 + 128;
      else if (grey) out[to] = out[to + 1] = out[to + 2] = (values[0][at] + change(0)) / 256 + 128;
      else {
        const [p, q, t] = [THIRD * values[0][at], HALF * values[1][at], SIXTH * values[2][at]];
        out[to] = ((p + q + t) / 4096 + change(0)) / 256 + 128;
        out[to + 1] = ((p - 2 * t) / 4096 + change(1)) / 256 + 128;
        out[to + 2] = ((p - q + t) / 4096 + change(2)) / 256 + 128;
      }
    }
  }
}

/** A place in a tile as a whole pixel of it, and the share of the next one. */
function within(place) {
  const at = clip(place, 0, TILE - 1);
  const whole = Math.min(Math.floor(at), TILE - 2);
  return [whole, at - whole];
}
