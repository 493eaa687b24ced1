/**
 * Fragmented MP4 files: samples are told of along the file, in a `moof` before each stretch of them.
 *
 * Where a file has an index of its fragments (`sidx` before the first, or `mfra` at its end), one goes by it; else the
 * fragments are found one after the other as they are wanted, by the sizes of the boxes.
 */

import { Bytes, NvcError } from './bytes.js';
import { boxes, child, contents, fullBox, outerBox } from './boxes.js';
import { SampleTable } from './samples.js';

const BETWEEN_MAX = 1 << 12; // boxes between two fragments
const FRAGMENT_MAX = 1 << 20; // samples of a track in one piece
const WALK_MAX = 1 << 6; // fragments that are looked at for how long the film is, where its end does not tell
const TAILS = [1 << 18, 1 << 20, 1 << 23]; // bytes at the end of a file in which its last fragment is looked for
const OUTER = ['moof', 'mdat', 'free', 'skip', 'styp', 'sidx', 'emsg', 'prft', 'mfra'];
const NOT_KEY = 0x10000; // sample_is_non_sync_sample

/** What `Pieces` reads by. */
export class Fragments {
  /**
   * @param {import('./source.js').Source} source
   * @param {number} offset behind the index of the tracks
   * @param {Bytes} mvex contents of that box
   */
  constructor(source, offset, mvex) {
    this.source = source;
    /** @type {{time: number, offset: number, end: number, tables?: Map<number, SampleTable>}[]} */
    this.pieces = [];
    this.offset = offset; // from which on nothing was looked for
    this.indexed = false;
    this.keyed = false; // whether each fragment begins with a keyframe
    this.tracks = new Map();
    this.first = new Map(); // tables of samples that come before all fragments
    this.defaults = new Map();
    this.reached = new Map(); // ticks, by track: where the samples known so far end
    this.claimed = new Map(); // samples, by where the fragments lie that were read
    this.room = source.size; // samples that others may have: each has a byte at least
    this.duration = 0; // seconds; 0 where it is not known
    this.told = 0; // ticks of the film that mehd tells
    for (const [kind, box] of boxes(mvex)) {
      const { version } = kind === 'trex' || kind === 'mehd' ? fullBox(box) : {};
      if (kind === 'mehd') this.told = version === 1 ? box.u64() : box.u32();
      if (kind !== 'trex') continue;
      const id = box.u32();
      box.skip(4);
      this.defaults.set(id, { duration: box.u32(), size: box.u32(), flags: box.u32() });
    }
  }

  /** Let a track's samples be found here: its id, kind, edits, and `shown` with its time scale. `table`: those that the
   * index of the tracks tells of. */
  add(info, table) {
    this.tracks.set(info.id, info);
    if (table.count) this.first.set(info.id, table);
  }

  /** The track whose times tell where a fragment lies. */
  get main() {
    const all = [...this.tracks.values()];
    return all.find((info) => info.kind === 'video') ?? all[0];
  }

  /**
   * Find what tells where fragments lie, and how long the film is.
   * @param {number} timescale of the film
   */
  async begin(timescale) {
    if (!this.main) return;
    const indexed = (await this.#byIndex()) || (await this.#byTable());
    const { first, offset } = this;
    if (first.size) this.pieces.unshift({ time: -Infinity, offset, end: offset, tables: first });
    else if (!indexed) await this.grow();
    this.keyed = indexed && (await this.#beginWithKeys());
    this.duration = this.told / timescale || this.duration || (await this.#end());
  }

  /** Whether fragments begin with keyframes, as two of them tell: what indexes say of that is often wrong. */
  async #beginWithKeys() {
    for (const piece of this.pieces.filter(({ tables }) => !tables).slice(1, 3)) {
      const table = (await this.load(this.pieces.indexOf(piece))).get(this.main.id);
      if (!table?.count || !table.keys[0]) return false;
    }
    return true;
  }

  /** By a `sidx` before the first fragment, one that covers all of the file. */
  async #byIndex() {
    for (let offset = this.offset, k = 0; k < BETWEEN_MAX; k++) {
      const box = await outerBox(this.source, offset);
      if (!box || box.kind === 'moof') return false;
      if (box.kind === 'sidx' && (await this.#covered(await contents(this.source, box), box.end))) return true;
      offset = box.end;
    }
    return false;
  }

  /** Take the pieces that such a box tells of, which ends at `offset`; whether it did. */
  async #covered(sidx, offset) {
    const { version } = fullBox(sidx);
    if (sidx.u32() !== this.main.id) return false;
    const timescale = sidx.u32();
    const first = version ? sidx.u64() : sidx.u32();
    let end = offset + (version ? sidx.u64() : sidx.u32());
    let ticks = first;
    sidx.skip(2);
    const pieces = [];
    for (let left = sidx.u16(); left > 0; left--) {
      const size = sidx.u32();
      if (size >= 0x80000000) return false; // an index of indexes
      const time = (ticks + this.main.edits.shift) / timescale;
      ticks += sidx.u32();
      pieces.push({ time, offset: end, end: end + size });
      end += size;
      sidx.skip(4);
    }
    if (!timescale || !pieces.length) return false;
    const behind = end < this.source.size ? await outerBox(this.source, end) : null;
    if (behind && behind.kind !== 'mfra') return false; // it is an index of the first fragments alone
    [this.pieces, this.indexed, this.duration] = [pieces, true, (ticks - first) / timescale];
    return true;
  }

  /** By a `mfra` at the end of the file. */
  async #byTable() {
    const { size } = this.source;
    if (size < 16) return false;
    const last = new Bytes(await this.source.read(size - 16, 16));
    const length = last.u32();
    if (length !== 16 || last.name() !== 'mfro') return false;
    last.skip(4);
    const start = size - last.u32();
    const outer = start >= this.offset ? await outerBox(this.source, start) : null;
    if (outer?.kind !== 'mfra' || outer.end !== size) return false;
    for (const [kind, table] of boxes(await contents(this.source, outer))) {
      if (kind !== 'tfra') continue;
      const { version } = fullBox(table);
      if (table.u32() !== this.main.id) continue;
      const widths = table.u32();
      const extra = [4, 2, 0].reduce((sum, shift) => sum + ((widths >> shift) & 3) + 1, 0);
      for (let left = table.u32(); left > 0; left--) {
        const ticks = version ? table.u64() : table.u32();
        this.#indexed(ticks, version ? table.u64() : table.u32(), start);
        table.skip(extra);
      }
    }
    this.indexed = this.pieces.length > 0;
    if (!this.indexed) return false;
    this.pieces[0].offset = this.offset; // fragments of other tracks may come first
    this.pieces[this.pieces.length - 1].end = start;
    return true;
  }

  /** An entry of that table, unless it is of the fragment before, or before it. */
  #indexed(ticks, offset, end) {
    const before = this.pieces[this.pieces.length - 1];
    if (offset >= end || (before && offset <= before.offset)) return;
    if (before) before.end = offset;
    const time = (ticks + this.main.edits.shift) / this.main.shown.timescale;
    this.pieces.push({ time: Math.max(time, before?.time ?? -Infinity), offset, end });
  }

  /** When the last sample ends, seconds; guessed by the bytes where that takes too long. */
  async #end() {
    if (this.indexed) {
      await this.load(this.pieces.length - 1);
      return this.#reach;
    }
    const end = await this.#endOfLast();
    if (end) return end;
    for (let k = 0; k < WALK_MAX; k++) if (!(await this.grow())) return this.#reach;
    return (this.#reach * this.source.size) / this.offset;
  }

  /** When the samples that were read last end, seconds. */
  get #reach() {
    const ends = [...this.reached].map(([id, ticks]) => {
      const { edits, shown } = this.tracks.get(id);
      return (ticks + edits.shift) / shown.timescale;
    });
    return Math.max(0, ...ends);
  }

  /** When the file's last fragment ends, seconds; 0 where it is not found at the end of the file. */
  async #endOfLast() {
    const { source, reached } = this;
    for (const tail of TAILS) {
      const start = Math.max(this.offset, source.size - tail);
      const box = lastFragment(await source.read(start, source.size - start), start);
      if (!box) continue;
      this.reached = new Map();
      const tables = new Map();
      await this.#read(await outerBox(source, box), tables, NaN);
      const end = (tables.get(this.main.id)?.finish().first ?? 0) > 0 ? this.#reach : 0; // else it does not tell times
      this.reached = reached;
      return end;
    }
    return 0;
  }

  /** The next box of one of these kinds; null at the end of the file. */
  async #next(kinds) {
    for (let k = 0; k < BETWEEN_MAX && this.offset < this.source.size; k++) {
      const box = await outerBox(this.source, this.offset);
      if (!box) return null;
      if (kinds.includes(box.kind)) return box;
      this.offset = box.end;
    }
    return null;
  }

  /** Find one fragment more. */
  async grow() {
    const box = this.indexed ? null : await this.#next(['moof']);
    if (!box) return false;
    const tables = new Map();
    await this.#read(box, tables, NaN);
    const first = tables.get(this.main.id)?.finish().first ?? Infinity;
    const before = this.pieces[this.pieces.length - 1]?.time ?? 0;
    const time = Number.isFinite(first) ? first / this.main.shown.timescale : before;
    this.offset = box.end;
    this.pieces.push({ time: Math.max(time, before), offset: box.offset, end: box.end, tables: finished(tables) });
    return true;
  }

  /** Samples of the piece with that number. */
  async load(p) {
    const piece = this.pieces[p];
    if (piece.tables) return piece.tables;
    const tables = new Map();
    let time = piece.time;
    for (let offset = piece.offset; offset < Math.min(piece.end, this.source.size); ) {
      const box = await outerBox(this.source, offset);
      if (!box) break;
      if (box.kind === 'moof') {
        await this.#read(box, tables, time);
        time = NaN;
      }
      offset = box.end;
    }
    return finished(tables);
  }

  /** Samples of a fragment; `time`: seconds where it begins if it does not say so itself. */
  async #read(box, tables, time) {
    let reach = box.offset; // where the data of the track before ends
    this.room += this.claimed.get(box.offset) ?? 0; // it is read again
    const before = this.room;
    for (const [kind, traf] of boxes(await contents(this.source, box))) {
      if (kind !== 'traf') continue;
      const tfhd = child(traf, 'tfhd');
      if (!tfhd) throw new NvcError('a fragment of the film does not say of which track it is');
      const { flags } = fullBox(tfhd);
      const id = tfhd.u32();
      const info = this.tracks.get(id);
      if (!info) continue;
      const usual = { ...(this.defaults.get(id) ?? { duration: 0, size: 0, flags: 0 }) };
      const base = flags & 1 ? tfhd.u64() : flags & 0x20000 ? box.offset : reach;
      if (flags & 2) tfhd.skip(4);
      if (flags & 8) usual.duration = tfhd.u32();
      if (flags & 16) usual.size = tfhd.u32();
      if (flags & 32) usual.flags = tfhd.u32();
      if (!tables.has(id)) tables.set(id, new SampleTable());
      reach = this.#runs(traf, info, usual, base, tables.get(id), time);
    }
    this.claimed.set(box.offset, before - this.room);
  }

  /** Add the samples of a track in a fragment; returns where their data end. */
  #runs(traf, info, usual, base, table, time) {
    const tfdt = child(traf, 'tfdt');
    let dts = Number.isFinite(time) ? Math.round(time * info.shown.timescale) - info.edits.shift : 0;
    if (tfdt) dts = fullBox(tfdt).version === 1 ? tfdt.u64() : tfdt.u32();
    else dts = Number.isFinite(time) ? dts : (this.reached.get(info.id) ?? 0);
    let offset = base;
    for (const [kind, run] of boxes(traf)) {
      if (kind !== 'trun') continue;
      const { flags } = fullBox(run);
      const count = run.u32();
      if (count + table.count > FRAGMENT_MAX || count > this.room) {
        throw new NvcError(`a fragment of the film claims ${count} samples`);
      }
      this.room -= count;
      if (flags & 1) offset = base + run.i32();
      const first = flags & 4 ? run.u32() : null;
      for (let k = 0; k < count; k++) {
        const duration = flags & 0x100 ? run.u32() : usual.duration;
        const size = flags & 0x200 ? run.u32() : usual.size;
        let of = flags & 0x400 ? run.u32() : usual.flags;
        if (k === 0 && first !== null) of = first;
        const shift = flags & 0x800 ? run.i32() : 0;
        table.push(dts + shift + info.edits.shift, duration, info.kind !== 'video' || !(of & NOT_KEY), offset, size);
        offset += size;
        dts += duration;
      }
    }
    this.reached.set(info.id, dts);
    return offset;
  }
}

/** Where the last fragment begins in a file of which these are the last bytes, from `start` on; 0 without one. */
function lastFragment(bytes, start) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const kind = (at) => String.fromCharCode(...bytes.subarray(at + 4, at + 8));
  const vain = new Set(); // boxes behind which no other begins, somewhere before the end
  for (let first = bytes.length - 8; first >= 0; first--) {
    if (bytes[first + 4] !== 0x6d || kind(first) !== 'moof') continue;
    let at = first;
    while (at + 8 <= bytes.length && !vain.has(at) && OUTER.includes(kind(at)) && view.getUint32(at) >= 8) {
      vain.add(at);
      at += view.getUint32(at);
    }
    if (at === bytes.length) return start + first;
  }
  return 0;
}

function finished(tables) {
  for (const table of tables.values()) table.finish();
  return tables;
}
