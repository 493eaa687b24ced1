/**
 * The clusters of a Matroska file: which blocks they hold. A piece is what lies between two entries of the file's cues;
 * where it has none, a piece is a cluster, found by the sizes of those before it.
 */

import { Bytes, NvcError } from './bytes.js';
import { UNKNOWN, elementAt, signedSizeAt, sizeAt } from './ebml.js';
import { SampleTable } from './samples.js';

const CLUSTER = 0x1f43b675;
const [TIMESTAMP, SIMPLE_BLOCK, GROUP, BLOCK, DURATION, REFERENCE] = [0xe7, 0xa3, 0xa0, 0xa1, 0x9b, 0xfb];
const HEAD = 16; // bytes of a block that hold its head, without the sizes of laced frames
const LACES = 1 << 16; // bytes that hold those sizes
const PIECE_MAX = 1 << 20; // samples of a track
const DURATION_MAX = 2 ** 31; // ticks
const [NONE, XIPH, FIXED] = [0, 1, 2]; // and 3: EBML

/** Whether an id is that of an element beside clusters, which ends one of unknown size. */
function isOuter(id) {
  return id >= 0x10000000;
}

/** What `Pieces` reads by. */
export class Clusters {
  /**
   * @param {import('./source.js').Source} source
   * @param {number} offset of the first cluster
   * @param {number} end of the segment
   * @param {{multiple: number, timescale: number}} clock a tick of the file is `multiple` ticks of the tracks
   */
  constructor(source, offset, end, clock) {
    this.source = source;
    this.offset = offset; // from which on clusters are looked for
    this.end = end;
    this.clock = clock;
    /** @type {{time: number, offset: number, end: number}[]} */
    this.pieces = [];
    this.indexed = false;
    this.keyed = false; // whether keyframes begin the pieces
    /** @type {Map<number, object>} by number; see `matroska.js` */
    this.tracks = new Map();
  }

  /**
   * Go by cues.
   * @param {{time: number, offset: number}[]} cues seconds, and where clusters lie
   */
  index(cues) {
    const sorted = cues.filter((cue) => cue.offset >= this.offset && cue.offset < this.end);
    sorted.sort((a, b) => a.offset - b.offset || a.time - b.time);
    if (!sorted.length) return;
    if (sorted[0].offset > this.offset) sorted.unshift({ time: 0, offset: this.offset });
    for (const { time, offset } of sorted) {
      const before = this.pieces[this.pieces.length - 1];
      if (before?.offset === offset) continue;
      if (before) before.end = offset;
      this.pieces.push({ time: Math.max(time, before?.time ?? 0), offset, end: this.end });
    }
    [this.indexed, this.keyed] = [true, true];
  }

  /** Find one cluster more. */
  async grow() {
    while (!this.indexed && this.offset < this.end) {
      const element = await elementAt(this.source, this.offset);
      if (!element) return false;
      const { id, offset } = element;
      if (id === CLUSTER) {
        const { time, end } = await this.#read(element, null);
        this.offset = end;
        const seconds = (time * this.clock.multiple) / this.clock.timescale;
        const before = this.pieces[this.pieces.length - 1]?.time ?? 0;
        this.pieces.push({ time: Math.max(seconds, before), offset, end });
        return true;
      }
      if (element.end === UNKNOWN) return false;
      this.offset = element.end;
    }
    return false;
  }

  /** Samples of the piece with that number. */
  async load(p) {
    const { offset, end } = this.pieces[p];
    const tables = new Map();
    for (let at = offset; at < end; ) {
      const element = await elementAt(this.source, at);
      if (!element) break;
      if (element.id === CLUSTER) at = (await this.#read(element, tables)).end;
      else if (element.end === UNKNOWN) break;
      else at = element.end;
    }
    for (const table of tables.values()) this.#finish(table);
    return new Map([...tables].map(([number, table]) => [this.tracks.get(number).id, table]));
  }

  /** Where no block tells durations, samples last until the next block, which those of one block share. */
  #finish(table) {
    table.finish();
    if (!table.rising) return;
    let before = 0; // duration of the samples of the block before
    for (let i = 0; i < table.count; ) {
      let next = i + 1;
      while (next < table.count && table.pts[next] === table.pts[i] && !table.durations[i]) next++;
      const start = table.pts[i];
      const each = next < table.count ? Math.min((table.pts[next] - start) / (next - i), DURATION_MAX) : before;
      for (let k = 0; i < next; i++, k++) {
        if (table.durations[i]) continue;
        table.pts[i] = start + Math.round(k * each);
        table.durations[i] = Math.round(each);
      }
      before = table.durations[next - 1];
    }
  }

  /** Read a cluster: its time, and where it ends; its blocks go to `tables`, where those are wanted. */
  async #read(cluster, tables) {
    const until = cluster.end === UNKNOWN ? this.end : Math.min(cluster.end, this.end);
    let time = 0;
    let at = cluster.body;
    while (at < until) {
      const element = await elementAt(this.source, at);
      if (!element || (cluster.end === UNKNOWN && isOuter(element.id))) break;
      if (element.end === UNKNOWN) throw new NvcError(`${this.source.name} holds a block of unknown size`);
      if (element.id === TIMESTAMP) {
        time = await this.#number(element);
        if (!tables && cluster.end !== UNKNOWN) return { time, end: cluster.end };
      }
      if (element.end > this.source.size) return { time, end: this.end }; // cut off within a block
      if (tables && element.id === SIMPLE_BLOCK) await this.#block(element, time, tables, null);
      if (tables && element.id === GROUP) await this.#group(element, time, tables);
      at = element.end;
    }
    return { time, end: Math.max(at, cluster.body) };
  }

  /** What an element of a number says. */
  async #number({ body, end }) {
    const size = Math.min(end - body, 8);
    return new Bytes(await this.source.read(body, size)).number(size);
  }

  async #group(group, time, tables) {
    const told = { duration: 0, key: true };
    let block = null;
    for (let at = group.body; at < group.end; ) {
      const element = await elementAt(this.source, at);
      if (!element || element.end === UNKNOWN || element.end > group.end) {
        throw new NvcError(`a block of ${this.source.name} is damaged`);
      }
      if (element.id === BLOCK) block = element;
      if (element.id === REFERENCE) told.key = false;
      if (element.id === DURATION) told.duration = await this.#number(element);
      at = element.end;
    }
    if (block) await this.#block(block, time, tables, told);
  }

  /** Add the frames of a block; `told`: what a group says of it. */
  async #block({ body, end }, time, tables, told) {
    let bytes = new Bytes(await this.source.read(body, Math.min(HEAD, end - body)), 0, undefined, 'a block');
    const number = sizeAt(bytes);
    const track = this.tracks.get(number);
    if (!track) return;
    const relative = (bytes.u16() << 16) >> 16;
    const flags = bytes.u8();
    const lacing = (flags >> 1) & 3;
    let sizes = [end - body - bytes.at];
    let first = body + bytes.at;
    if (lacing !== NONE) {
      const { at } = bytes;
      bytes = new Bytes(await this.source.read(body, Math.min(LACES, end - body)), at, undefined, 'a block');
      sizes = laceSizes(bytes, lacing, end - body);
      first = body + bytes.at;
    }
    if (!tables.has(number)) tables.set(number, new SampleTable());
    const table = tables.get(number);
    if (table.count + sizes.length > PIECE_MAX) {
      throw new NvcError(`${this.source.name} holds too many blocks in one place`);
    }
    const { multiple, timescale } = this.clock;
    const whole = told?.duration ? (told.duration * multiple) / sizes.length : 0;
    const each = Math.min(whole || (track.defaultDuration * timescale) / 1e9, DURATION_MAX);
    const pts = (time + relative) * multiple - track.delay;
    const key = track.kind !== 'video' || (told ? told.key : (flags & 0x80) !== 0);
    for (let k = 0; k < sizes.length; k++) {
      table.push(pts + Math.round(k * each), Math.round(each), key, first, sizes[k]);
      first += sizes[k];
    }
  }
}

/** Bytes of each frame of a laced block of `size` bytes; the cursor is then at the first. */
function laceSizes(bytes, lacing, size) {
  const count = bytes.u8() + 1;
  const sizes = [];
  let sum = 0;
  for (let k = 0; k + 1 < count && lacing !== FIXED; k++) {
    let frame = 0;
    if (lacing === XIPH) {
      let byte;
      do frame += byte = bytes.u8();
      while (byte === 255);
    } else frame = k ? sizes[k - 1] + signedSizeAt(bytes) : sizeAt(bytes);
    if (frame < 0) throw new NvcError('the frames of a block are damaged');
    sizes.push(frame);
    sum += frame;
  }
  const left = size - bytes.at - sum;
  if (left < (lacing === FIXED ? count : 0)) throw new NvcError('the frames of a block are damaged');
  if (lacing === FIXED) return new Array(count).fill(Math.floor(left / count));
  return [...sizes, left];
}
