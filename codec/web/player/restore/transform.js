/**
 * The loss-stream's mode 1, transform: a prediction corrected by quantised 8x8 blocks (FORMAT.md, section 6).
 *
 * A block's origin says what is corrected: the prediction, the prediction plus the last picture's displaced
 * correction, or the displaced last picture. Its extent says how many anti-diagonals of coefficients follow.
 *
 * @typedef {import('./planes.js').Plane} Plane
 */

import { displaced, MotionTables } from './motion.js';
import { peakOf, shapesOf, subsamplingOf } from './planes.js';
import { CountTables, SymbolReader } from './range.js';

const SIDE = 8; // of a block
const ENDS = [0, 1, 2, 3, 4, 6, 8, 15]; // extent -> anti-diagonals that follow
const ZONE = [0, 1, 2, 3, 4, 4, 5, 5, 6, 6, 6, 6, 6, 6, 6]; // anti-diagonal -> zone
const ESCAPE = 15; // the symbol of larger magnitudes
const ESCAPES = 1 << 14; // values that may be added to it
const COEFFICIENT_MAX = 2 ** 18; // 1/16 of a sample

const HALVES = [ // the left halves of M's rows
  [64, 64, 64, 64], [89, 75, 50, 18], [83, 36, -36, -83], [75, -18, -89, -50],
  [64, -64, -64, 64], [50, -89, 18, 75], [36, -83, 83, -36], [18, -50, 75, -89],
];
const MATRIX = Int32Array.from(HALVES.flatMap((half, k) =>
  [...half, ...half.toReversed().map((value) => (k % 2 ? -value : value))]));

const DIAGONALS = Array.from({ length: 15 }, (_, d) => { // each anti-diagonal, v ascending
  const all = Array.from({ length: SIDE }, (__, v) => [v, d - v]).filter(([, u]) => u >= 0 && u < SIDE);
  return {
    places: Int32Array.from(all, ([v, u]) => 10 * (v + 2) + u + 2), // in magnitudes of 10x10
    kept: Int32Array.from(all, ([v, u]) => SIDE * v + u), // in levels of 8x8
  };
});

const PHASES = [[0, 0], [1, 1], [0, 1], [1, 0]]; // of blocks, in the order of the calls of extents
const AROUND = [[], [[-1, -1], [-1, 1], [1, -1], [1, 1]], [[0, -1], [0, 1], [-1, 0], [1, 0]]]; // neighbours known then

const repeated = (rows, row) => Array.from({ length: rows }, () => row);
const allZero = (numbers) => numbers.every((number) => !number);
const atMost = ([a, b, c], value) => (a <= value) + (b <= value) + (c <= value); // how many of the limits

/** Initial counts of levels: row 5 i + c. */
function levelCounts() {
  return repeated(14, [224, 176, 144, 112, 64]).flat().map((zero) =>
    Array.from({ length: 16 }, (_, k) => (k ? Math.max(1, 2 * ((256 - zero) >> k)) : 2 * zero)));
}

/** Blocks of a plane in raster order: how many, and their origins and extents in one picture. */
class Grid {
  constructor({ width, height }) {
    this.columns = Math.ceil(width / SIDE);
    this.rows = Math.ceil(height / SIDE);
    this.size = this.rows * this.columns;
  }

  zeros() {
    return new Uint8Array(this.size);
  }
}

/** Decodes the loss-stream of one segment, picture after picture. */
export class TransformDecoder {
  #film;
  #quantum; // 1/16 of a sample
  #grids;
  #motion;
  #flags;
  #origins;
  #extents;
  #levels;
  #lastOrigins;
  #lastExtents;
  #last = null; // {decoded, predicted}: planes of the picture before

  /** @param {import('./planes.js').Film} film
   * @param {number} step loss_step of the segment, 1 .. 255 */
  constructor(film, step) {
    this.#film = film;
    this.#quantum = (film.depth === 8 ? 4 : 16) * step;
    this.#grids = shapesOf(film.width, film.height, film.chroma).map((shape) => new Grid(shape));
    const kinds = this.#grids.slice(0, 2); // luma, chroma
    this.#motion = new MotionTables(film.width, film.height);
    this.#flags = new CountTables(repeated(2 * this.#grids.length, [32, 32]));
    this.#origins = kinds.map(() => new CountTables(repeated(24, [128, 32, 32])));
    this.#extents = kinds.map(() => new CountTables(repeated(60, [256, 24, 20, 16, 16, 16, 12, 8])));
    this.#levels = kinds.map(() => new CountTables(levelCounts()));
    this.#lastOrigins = this.#grids.map((grid) => grid.zeros());
    this.#lastExtents = this.#grids.map((grid) => grid.zeros());
  }

  /** The next picture of the segment.
   * @param {Uint8Array} payload its loss-stream; empty where it has none
   * @param {Plane[]} predicted kept until the next picture; not to be written to
   * @returns {Plane[]} decoded planes; those that nothing corrects are the predicted ones
   * @throws {import('../files/bytes.js').NvcError} on damage; the decoder is of no use then */
  decode(payload, predicted) {
    const reader = new SymbolReader(payload);
    const motion = this.#last ? this.#motion.read(reader) : null;
    const origins = [];
    const extents = [];
    const decoded = predicted.map((plane, p) => this.#plane(reader, plane, p, motion, origins, extents));
    reader.finish();
    this.#lastOrigins = origins;
    this.#lastExtents = extents;
    this.#last = { decoded, predicted };
    return decoded;
  }

  /** One plane; its origins and extents are added to those of the planes before. */
  #plane(reader, plane, p, motion, origins, extents) {
    const grid = this.#grids[p];
    const kind = Math.min(p, 1);
    let origin = grid.zeros();
    let extent = grid.zeros();
    let past = null; // the last picture's planes, displaced
    if (this.#last && reader.readOne(this.#flags, 2 * p)) {
      const fetch = (planes) => displaced(planes[p], p, motion, this.#motion.columns, this.#film);
      past = { decoded: fetch(this.#last.decoded), predicted: null };
      origin = new Uint8Array(reader.read(this.#origins[kind], this.#originClasses(p, plane, past.decoded, origins)));
      if (origin.includes(1)) past.predicted = fetch(this.#last.predicted);
    }
    origins.push(origin);
    if (reader.readOne(this.#flags, 2 * p + 1)) extent = this.#readExtents(reader, plane, p, extents);
    extents.push(extent);
    if (allZero(origin) && allZero(extent)) return plane;
    const levels = readLevels(reader, this.#levels[kind], extent);
    return this.#corrected(plane, past, grid, origin, extent, levels);
  }

  /** Class of each block's origin: 4 o + how much the last picture differs from the prediction. */
  #originClasses(p, plane, past, origins) {
    const grid = this.#grids[p];
    const [sx, sy] = subsamplingOf(this.#film.chroma, p);
    const limits = [1, 4, 16].map((n) => n * this.#quantum);
    const classes = grid.zeros();
    for (let i = 0; i < grid.size; i++) {
      const row = Math.floor(i / grid.columns);
      const column = i % grid.columns;
      const sum = apart(plane, past, row, column);
      const luma = row * sy * this.#grids[0].columns + column * sx;
      classes[i] = 4 * (p ? 3 + origins[0][luma] : this.#lastOrigins[0][i]) + atMost(limits, sum);
    }
    return classes;
  }

  /** Extents of all blocks, in four calls. */
  #readExtents(reader, plane, p, extents) {
    const grid = this.#grids[p];
    const { rows, columns } = grid;
    const own = p ? this.#underChroma(p, extents[0]) : this.#activity(plane);
    const last = this.#lastExtents[p];
    const extent = grid.zeros();
    PHASES.forEach(([y0, x0], phase) => {
      const blocks = [];
      for (let y = y0; y < rows; y += 2) for (let x = x0; x < columns; x += 2) blocks.push(y * columns + x);
      if (!blocks.length) return;
      const classes = new Uint8Array(blocks.length);
      blocks.forEach((i, k) => {
        const row = Math.floor(i / columns);
        const column = i % columns;
        let sum = 0;
        for (const [dy, dx] of AROUND[Math.min(phase, 2)]) {
          const y = row + dy;
          const x = column + dx;
          if (y >= 0 && y < rows && x >= 0 && x < columns) sum += extent[y * columns + x];
        }
        const around = phase ? Math.min(Math.floor((sum + 2) / 3), 3) : 4;
        classes[k] = 12 * around + 4 * Math.min(last[i], 2) + own[i];
      });
      const found = reader.read(this.#extents[Math.min(p, 1)], classes);
      blocks.forEach((i, k) => { extent[i] = found[k]; });
    });
    return extent;
  }

  /** 0 .. 3 of each luma block: how much the prediction varies in it. */
  #activity(plane) {
    const grid = this.#grids[0];
    const limits = [1, 3, 8].map((n) => n * this.#quantum);
    const block = new Int32Array(SIDE * SIDE);
    const classes = grid.zeros();
    for (let i = 0; i < grid.size; i++) {
      blockOf(plane, Math.floor(i / grid.columns), i % grid.columns, block);
      let sum = 0;
      for (let k = 0; k < block.length; k += SIDE) {
        for (let x = k + 1; x < k + SIDE; x++) sum += Math.abs(block[x] - block[x - 1]);
      }
      for (let k = SIDE; k < block.length; k++) sum += Math.abs(block[k] - block[k - SIDE]);
      classes[i] = atMost(limits, sum);
    }
    return classes;
  }

  /** 0 .. 3 of each chroma block: half the largest luma extent under it. */
  #underChroma(p, luma) {
    const [grid, whole] = [this.#grids[p], this.#grids[0]];
    const [sx, sy] = subsamplingOf(this.#film.chroma, p);
    return grid.zeros().map((_, i) => {
      const top = Math.floor(i / grid.columns) * sy;
      const left = (i % grid.columns) * sx;
      let most = 0;
      for (let y = top; y < Math.min(top + sy, whole.rows); y++) {
        for (let x = left; x < Math.min(left + sx, whole.columns); x++) {
          most = Math.max(most, luma[y * whole.columns + x]);
        }
      }
      return Math.min((most + 1) >> 1, 3);
    });
  }

  /** What the origins say, plus the residuals. */
  #corrected(plane, past, grid, origin, extent, levels) {
    const out = { ...plane, samples: plane.samples.slice() };
    const peak = peakOf(this.#film.depth);
    const block = new Int32Array(SIDE * SIDE);
    const other = new Int32Array(SIDE * SIDE);
    let next = 0; // of the blocks that have levels
    for (let i = 0; i < grid.size; i++) {
      if (!origin[i] && !extent[i]) continue;
      const row = Math.floor(i / grid.columns);
      const column = i % grid.columns;
      blockOf(origin[i] === 2 ? past.decoded : plane, row, column, block);
      if (origin[i] === 1) {
        blockOf(past.decoded, row, column, other);
        for (let k = 0; k < block.length; k++) block[k] += other[k];
        blockOf(past.predicted, row, column, other);
        for (let k = 0; k < block.length; k++) block[k] -= other[k];
      }
      if (extent[i]) {
        addResidual(levels, SIDE * SIDE * next++, this.#quantum, block, other);
      }
      store(block, out, row, column, peak);
    }
    return out;
  }
}

/** How much two planes differ in a block, those beyond the edge being the edge's. */
function apart({ width, height, samples }, other, row, column) {
  let sum = 0;
  for (let y = row * SIDE; y < (row + 1) * SIDE; y++) {
    const start = Math.min(y, height - 1) * width;
    for (let x = column * SIDE; x < (column + 1) * SIDE; x++) {
      const at = start + Math.min(x, width - 1);
      sum += Math.abs(samples[at] - other.samples[at]);
    }
  }
  return sum;
}

/** The samples of a block, those beyond the plane's edge being the edge's. */
function blockOf({ width, height, samples }, row, column, block) {
  if ((row + 1) * SIDE <= height && (column + 1) * SIDE <= width) {
    let at = row * SIDE * width + column * SIDE;
    for (let k = 0; k < block.length; k += SIDE, at += width) {
      for (let x = 0; x < SIDE; x++) block[k + x] = samples[at + x];
    }
    return;
  }
  for (let y = 0; y < SIDE; y++) {
    const start = Math.min(row * SIDE + y, height - 1) * width;
    for (let x = 0; x < SIDE; x++) block[y * SIDE + x] = samples[start + Math.min(column * SIDE + x, width - 1)];
  }
}

/** Write what of a block lies in the plane, limited to 0 .. peak. */
function store(block, { width, height, samples }, row, column, peak) {
  const bottom = Math.min((row + 1) * SIDE, height);
  const right = Math.min((column + 1) * SIDE, width);
  for (let y = row * SIDE; y < bottom; y++) {
    for (let x = column * SIDE; x < right; x++) {
      const value = block[(y & 7) * SIDE + (x & 7)];
      samples[y * width + x] = value < 0 ? 0 : value > peak ? peak : value;
    }
  }
}

/** Levels of the blocks that have an extent, 64 each, in their order.
 * @param {SymbolReader} reader
 * @param {CountTables} tables
 * @param {Uint8Array} extent of all blocks
 * @returns {Int32Array} */
function readLevels(reader, tables, extent) {
  const extents = extent.filter(Boolean);
  const out = new Int32Array(extents.length * SIDE * SIDE);
  const sizes = new Uint8Array(extents.length * 100); // magnitudes in 10x10, two rows and columns of zeros first
  let blocks = Int32Array.from(extents, (_, i) => i); // those that go on
  for (let d = 0; d < DIAGONALS.length; d++) {
    blocks = blocks.filter((i) => ENDS[extents[i]] > d);
    if (!blocks.length) break;
    const { places, kept } = DIAGONALS[d];
    const found = reader.read(tables, levelClasses(d, blocks, extents, sizes));
    for (let b = 0, j = 0; b < blocks.length; b++) {
      for (let k = 0; k < places.length; k++, j++) sizes[100 * blocks[b] + places[k]] = found[j];
    }
    readRest(reader, found);
    for (let b = 0, j = 0; b < blocks.length; b++) {
      for (let k = 0; k < kept.length; k++, j++) out[SIDE * SIDE * blocks[b] + kept[k]] = found[j];
    }
  }
  return out;
}

/** Classes of a diagonal's levels: 5 times twice its zone, and whether it is the block's last; plus 0 .. 4 by the
 * magnitudes around, above and to the left. */
function levelClasses(d, blocks, extents, sizes) {
  const { places } = DIAGONALS[d];
  const classes = new Uint8Array(blocks.length * places.length);
  for (let b = 0, j = 0; b < blocks.length; b++) {
    const zone = 5 * (2 * ZONE[d] + (extents[blocks[b]] === ZONE[d] + 1 ? 1 : 0));
    for (let k = 0; k < places.length; k++, j++) {
      const at = 100 * blocks[b] + places[k];
      const near = 2 * (sizes[at - 10] + sizes[at - 1]) + sizes[at - 11] + sizes[at - 20] + sizes[at - 2];
      classes[j] = zone + (near >= 1 ? 1 : 0) + (near >= 3 ? 1 : 0) + (near >= 6 ? 1 : 0) + (near >= 12 ? 1 : 0);
    }
  }
  return classes;
}

/** What follows the symbols of a diagonal: the rest of large magnitudes, then signs. */
function readRest(reader, found) {
  let large = 0;
  let nonzero = 0;
  for (let j = 0; j < found.length; j++) {
    if (found[j] === ESCAPE) large++;
    if (found[j]) nonzero++;
  }
  const rest = reader.readRaw(large, ESCAPES);
  const negative = reader.readRaw(nonzero, 2);
  for (let j = 0, l = 0, s = 0; j < found.length; j++) {
    if (!found[j]) continue;
    if (found[j] === ESCAPE) found[j] += rest[l++];
    if (negative[s++]) found[j] = -found[j];
  }
}

/** Add the residual of a block's levels to it: A = (M^T C + 64) >> 7, residual = (A M + 2048) >> 12.
 * @param {Int32Array} levels of all blocks
 * @param {number} start where its 64 begin
 * @param {number} quantum 1/16 of a sample; products with levels stay below 2^31
 * @param {Int32Array} block 64, added to
 * @param {Int32Array} first 64, overwritten */
function addResidual(levels, start, quantum, block, first) {
  first.fill(64);
  let right = 0; // columns of A that are not 0
  for (let k = 0; k < first.length; k++) {
    const level = levels[start + k];
    if (!level) continue;
    const coefficient = Math.min(Math.max(level * quantum, -COEFFICIENT_MAX), COEFFICIENT_MAX);
    const v = k & 56; // 8 times the row
    const u = k & 7;
    if (u >= right) right = u + 1;
    for (let y = 0; y < SIDE; y++) first[SIDE * y + u] += MATRIX[v + y] * coefficient;
  }
  for (let k = 0; k < first.length; k++) first[k] >>= 7;
  for (let y = 0; y < first.length; y += SIDE) {
    for (let x = 0; x < SIDE; x++) {
      let sum = 2048;
      for (let u = 0; u < right; u++) sum += first[y + u] * MATRIX[SIDE * u + x];
      block[y + x] += sum >> 12;
    }
  }
}
