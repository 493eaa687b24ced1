/**
 * Which samples a track has, and where they lie: tables in typed arrays, and tracks that read by them.
 *
 * An MP4 that has all of its index in one place is known as a whole: its samples are numbered 0 .. count - 1. Matroska
 * and fragmented MP4 files tell of their samples piece by piece, along the file: a piece is looked into when it is
 * wanted, and a sample's number is its place in the piece plus 2^20 times the piece's number. `find` and `following`
 * work for both; nothing is gained by adding to numbers oneself.
 */

import { NvcError } from './bytes.js';
import { plainText } from './text.js';

const SAMPLE_MAX = 1 << 28; // bytes of one
const SAMPLES_MAX = 1 << 24; // of a table: four days of pictures
const WORD_MAX = 2 ** 32 - 1;
const TICKS_MAX = Number.MAX_SAFE_INTEGER;
const PIECE = 1 << 20; // samples of a piece, at the most
const ROOM_MAX = 1 << 16; // samples that a table has room for on a file's word
const BACK = { video: 1, audio: 2, text: 8 }; // pieces to go back for what is still to be seen or heard
const EMPTY_MAX = 64; // pieces without pictures, or sound, that are passed over in doing so

/**
 * @typedef {object} Sample
 * @property {number} pts when it begins, in ticks of its track; what begins before `track.begin` is for decoders alone
 * @property {number} duration ticks, 0 where it is not known
 * @property {boolean} key whether decoding can begin there
 * @property {number} offset of its bytes in the file
 * @property {number} size bytes
 */

/** Samples in the order of decoding. */
export class SampleTable {
  /** @param {number} [room] samples that are to be added at least; nothing is lost by a wrong guess */
  constructor(room = 16) {
    this.count = 0;
    this.#allocate(Math.min(room, ROOM_MAX));
  }

  #allocate(room) {
    const grown = (Type, old) => {
      const array = new Type(room);
      if (old) array.set(old.subarray(0, this.count));
      return array;
    };
    this.pts = grown(Float64Array, this.pts);
    this.offsets = grown(Float64Array, this.offsets);
    this.durations = grown(Uint32Array, this.durations);
    this.sizes = grown(Uint32Array, this.sizes);
    this.keys = grown(Uint8Array, this.keys);
    this.order = null; // numbers in the order of presentation, where that is another
    this.rising = true; // whether it is the same
  }

  /** Add a sample; see `Sample`. */
  push(pts, duration, key, offset, size) {
    if (this.count === SAMPLES_MAX) throw new NvcError('the index of the file claims more samples than any film has');
    if (!(Math.abs(pts) <= TICKS_MAX && offset <= TICKS_MAX)) {
      throw new NvcError('the index of the file tells of times or places beyond 2^53');
    }
    if (this.count === this.pts.length) this.#allocate(Math.max(16, this.count * 2));
    const i = this.count++;
    this.pts[i] = pts;
    this.durations[i] = Math.min(duration, WORD_MAX);
    this.keys[i] = key ? 1 : 0;
    this.offsets[i] = offset;
    this.sizes[i] = Math.min(size, WORD_MAX); // which `Track.data` refuses
  }

  /** To be called when all samples are there, and whenever their times were changed. */
  finish() {
    this.rising = true;
    for (let i = 1; i < this.count && this.rising; i++) this.rising = this.pts[i - 1] <= this.pts[i];
    this.order = null;
    if (!this.rising) {
      const { pts } = this;
      this.order = Uint32Array.from({ length: this.count }, (_, i) => i);
      this.order.sort((a, b) => pts[a] - pts[b] || a - b);
    }
    return this;
  }

  /**
   * @param {number} i
   * @returns {Sample}
   */
  sample(i) {
    if (!(i >= 0 && i < this.count)) throw new NvcError(`there is no sample ${i}`);
    return {
      pts: this.pts[i],
      duration: this.durations[i],
      key: this.keys[i] === 1,
      offset: this.offsets[i],
      size: this.sizes[i],
    };
  }

  /**
   * @param {number} pts
   * @returns {number} the last sample, in the order of presentation, that begins at or before `pts`; -1 without one
   */
  at(pts) {
    let low = -1;
    let high = this.count;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (this.pts[this.order ? this.order[middle] : middle] <= pts) low = middle;
      else high = middle;
    }
    return low < 0 || !this.order ? low : this.order[low];
  }

  /**
   * @param {number} i
   * @returns {number} the last sample at or before it, in the order of decoding, with which decoding can begin; or -1
   */
  keyBefore(i) {
    let k = Math.min(i, this.count - 1);
    while (k >= 0 && !this.keys[k]) k--;
    return k;
  }

  /** @returns {number[]} seconds at which samples begin with which decoding can begin */
  keyTimes(timescale) {
    const found = [];
    for (let i = 0; i < this.count; i++) if (this.keys[i]) found.push(this.pts[i] / timescale);
    return found;
  }

  /** @returns {number} when the first sample of all is shown; Infinity without samples */
  get first() {
    return this.count ? this.pts[this.order ? this.order[0] : 0] : Infinity;
  }
}

/**
 * A table whose pieces are read when they are wanted. A container gives
 *
 *   pieces                 where they begin, as far as they are known: {time}, in seconds, and perhaps `tables`, what
 *                          `load` would give
 *   keyed                  whether each begins with a keyframe, and no other has one
 *   grow() → Promise       whether it found one piece more
 *   load(p) → Promise      its samples: a Map from the tracks' ids to SampleTables
 *
 * and keeps both; what is loaded stays, 25 bytes a sample.
 */
export class Pieces {
  /**
   * @param {object} container
   * @param {{time: number}[]} container.pieces
   * @param {() => Promise<boolean>} container.grow
   * @param {(p: number) => Promise<Map<number, SampleTable>>} container.load
   */
  constructor(container) {
    this.container = container;
    /** @type {Map<number, Promise<Map<number, SampleTable>>>} */
    this.asked = new Map();
    /** @type {Map<number, Map<number, SampleTable>>} */
    this.loaded = new Map();
    this.growing = null;
  }

  /** @returns {Promise<boolean>} whether the piece is there */
  async reaches(p) {
    while (this.container.pieces.length <= p) {
      this.growing ??= this.container.grow().finally(() => (this.growing = null));
      if (!(await this.growing)) return false;
    }
    return true;
  }

  /** @returns {Promise<SampleTable | undefined>} a track's samples in a piece */
  async table(p, id) {
    if (!this.asked.has(p)) {
      const asked = this.container.load(p);
      this.asked.set(p, asked);
      asked.then((tables) => this.loaded.set(p, tables)).catch(() => this.asked.delete(p));
    }
    return (await this.asked.get(p)).get(id);
  }

  /** @returns {Promise<number>} the piece in which a time lies, in seconds */
  async pieceAt(time) {
    const pieces = this.container.pieces;
    let last = pieces.length - 1;
    while (last < 0 || pieces[last].time <= time) {
      if (!(await this.reaches(last + 1))) break;
      last++;
    }
    let low = 0;
    let high = last + 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (pieces[middle].time <= time) low = middle;
      else high = middle;
    }
    return low;
  }
}

/** A track of a file. What it is stands in its fields; see the modules of the containers. */
export class Track {
  /**
   * @param {import('./source.js').Source} source
   * @param {object} info id, kind, codec, description, timescale, width, height, rotation, mirrored, pixelAspect,
   *   colour, language, channels, sampleRate, begin
   * @param {SampleTable | Pieces} samples
   */
  constructor(source, info, samples) {
    Object.assign(this, info);
    this.source = source;
    /** Whether all samples are known: then they are numbered 0 .. count - 1. */
    this.whole = samples instanceof SampleTable;
    this.table = this.whole ? samples : null;
    this.pieces = this.whole ? null : samples;
  }

  /** @returns {number} samples; of a track that is read by pieces, those known so far */
  get count() {
    if (this.table) return this.table.count;
    let count = 0;
    for (const tables of this.pieces.loaded.values()) count += tables.get(this.id)?.count ?? 0;
    return count;
  }

  /** Where decoding can begin, as far as the index tells without being read further.
   * @returns {number[]} seconds */
  keyTimes() {
    if (this.table) return this.table.keyTimes(this.timescale);
    const { pieces, keyed } = this.pieces.container;
    return pieces.flatMap(({ time, tables }) => {
      if (tables) return tables.get(this.id)?.keyTimes(this.timescale) ?? [];
      return keyed ? [time] : [];
    });
  }

  /** The table that holds a sample, and its number there. */
  #place(i) {
    if (this.table) return [this.table, i];
    const table = this.pieces.loaded.get(Math.floor(i / PIECE))?.get(this.id);
    if (!table) throw new NvcError(`sample ${i} has not been looked for yet`);
    return [table, i % PIECE];
  }

  /**
   * @param {number} i
   * @returns {Sample} one that `find`, `following` or `at` told of
   */
  sample(i) {
    const [table, k] = this.#place(i);
    return table.sample(k);
  }

  /**
   * What is shown at a time, as far as the table is known: of a track that is read by pieces, `find` looks further.
   * @param {number} pts ticks
   * @returns {number} the last sample that begins at or before `pts`, -1 where none is known
   */
  at(pts) {
    if (this.table) return this.table.at(pts);
    let best = -1;
    let latest = -Infinity;
    for (const [p, tables] of this.pieces.loaded) {
      const k = tables.get(this.id)?.at(pts) ?? -1;
      if (k >= 0 && tables.get(this.id).pts[k] > latest) {
        latest = tables.get(this.id).pts[k];
        best = p * PIECE + k;
      }
    }
    return best;
  }

  /**
   * What is shown at a time; reads of the index what that takes.
   * @param {number} pts ticks
   * @returns {Promise<number>} the last sample that begins at or before `pts`, else the track's first; -1 without any
   */
  async find(pts) {
    if (this.table) return this.table.count ? Math.max(this.table.at(pts), 0) : -1;
    if (!(await this.pieces.reaches(0))) return -1;
    const p = await this.pieces.pieceAt(pts / this.timescale);
    let back = BACK[this.kind];
    let q = p + 1;
    for (; q >= 0 && q >= p - EMPTY_MAX && back > 0; q--) {
      // sound lies up to a second away from the pictures of its time
      if (q > p && (this.kind === 'video' || !(await this.pieces.reaches(q)))) continue;
      const table = await this.pieces.table(q, this.id);
      const k = table ? table.at(pts) : -1;
      if (k >= 0) return q * PIECE + k;
      // fragments may be those of a single track: they do not count where it is another
      if (q < p && (table?.count || this.kind === 'text')) back--;
    }
    return this.#firstFrom(q + 1);
  }

  async #firstFrom(p) {
    for (; await this.pieces.reaches(p); p++) {
      if ((await this.pieces.table(p, this.id))?.count) return p * PIECE;
    }
    return -1;
  }

  /**
   * @param {number} i
   * @returns {Promise<number>} the sample that is decoded after it, -1 after the last
   */
  async following(i) {
    const [table, k] = this.#place(i);
    if (k + 1 < table.count) return i + 1;
    return this.table ? -1 : this.#firstFrom(Math.floor(i / PIECE) + 1);
  }

  /**
   * @param {number} i
   * @returns {Promise<number>} the sample that decoding has to begin with to show it; -1 where there is none
   */
  async keyBefore(i) {
    const [table, k] = this.#place(i);
    const key = table.keyBefore(k);
    if (this.table || key >= 0) return key < 0 ? -1 : i - k + key;
    for (let p = Math.floor(i / PIECE) - 1; p >= 0; p--) {
      const before = await this.pieces.table(p, this.id);
      const found = before ? before.keyBefore(before.count - 1) : -1;
      if (found >= 0) return p * PIECE + found;
    }
    return -1;
  }

  /**
   * @param {number} i
   * @returns {Promise<Uint8Array>} what decoders take: without the framing, or the compression, of the container
   */
  async data(i) {
    const { offset, size } = this.sample(i);
    if (size > SAMPLE_MAX) throw new NvcError(`${this.source.name} claims a sample of ${size} bytes`);
    const bytes = await this.source.read(offset, size);
    return this.unpacked ? this.unpacked(bytes) : bytes;
  }

  /**
   * @param {number} i of a text track
   * @returns {Promise<string>} its lines, without marks of style
   */
  async text(i) {
    return plainText(this.codec, await this.data(i));
  }
}
