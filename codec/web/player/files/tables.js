/** The sample tables of an MP4's track, unfolded: when each sample is shown, whether it is a key, where it lies. */

import { NvcError } from './bytes.js';
import { child, fullBox } from './boxes.js';
import { SampleTable } from './samples.js';

const ENTRY = { stts: 8, ctts: 8, stsc: 12, stco: 4, co64: 8, stss: 4 }; // bytes

/** A table of the index: how many entries it has, and a cursor at the first; one that is longer than its box throws. */
function entriesOf(stbl, name) {
  const box = child(stbl, name);
  if (!box) return null;
  const { version } = fullBox(box);
  const count = box.u32();
  if (count * ENTRY[name] > box.left) throw new NvcError(`the table '${name}' of the index is longer than its box`);
  return { box, version, count };
}

/** Runs of equal values: `next()` gives one value after the other, the last one for ever. */
class Runs {
  constructor(table, read) {
    this.table = table;
    this.read = read;
    this.left = 0; // of the run
    this.runs = table ? table.count : 0;
    this.value = 0;
  }

  next() {
    while (this.left === 0 && this.runs > 0) {
      this.runs--;
      this.left = this.table.box.u32();
      this.value = this.read(this.table.box);
    }
    if (this.left > 0) this.left--;
    return this.value;
  }

  /** The sum of the next `count` values. */
  sum(count) {
    let sum = 0;
    while (count > 0) {
      const value = this.next();
      const more = this.runs || this.left ? Math.min(count - 1, this.left) : count - 1; // of the same run
      this.left = Math.max(0, this.left - more);
      sum += value * (1 + more);
      count -= 1 + more;
    }
    return sum;
  }
}

/** Bytes of samples: how many there are, `next()`, and `each`, the size of all where it is the same, else 0. */
function sizesOf(stbl) {
  const box = child(stbl, 'stsz');
  if (box) {
    fullBox(box);
    const each = box.u32();
    const count = box.u32();
    if (!each && count * 4 > box.left) throw new NvcError("the table 'stsz' of the index is longer than its box");
    return { count, each, next: each ? () => each : () => box.u32() };
  }
  const small = child(stbl, 'stz2');
  if (!small) return { count: 0, each: 0, next: () => 0 };
  return smallSizes(small);
}

/** Sizes of 4, 8 or 16 bits. */
function smallSizes(box) {
  fullBox(box);
  const width = box.u32() & 255;
  const count = box.u32();
  if (![4, 8, 16].includes(width) || (count * width) / 8 > box.left) {
    throw new NvcError("the table 'stz2' of the index is longer than its box");
  }
  let half = 0; // a byte of two sizes
  let odd = false;
  const next = () => {
    if (width > 4) return box.number(width / 8);
    odd = !odd;
    if (odd) half = box.u8();
    return odd ? half >> 4 : half & 15;
  };
  return { count, each: 0, next };
}

/** Where chunks lie, and how many samples each has. */
function chunksOf(stbl) {
  const offsets = entriesOf(stbl, 'stco') ?? entriesOf(stbl, 'co64');
  const wide = !child(stbl, 'stco');
  const runs = entriesOf(stbl, 'stsc');
  if (!offsets || !runs) return { count: 0, next: () => null };
  let chunk = 0;
  let samples = 0;
  let left = runs.count; // runs that were not looked at
  let following = left ? runs.box.u32() : Infinity; // the chunk that the next run begins with, from 1
  const next = () => {
    chunk++;
    while (left > 0 && following <= chunk) {
      samples = runs.box.u32();
      runs.box.skip(4); // sample_description_index
      following = --left > 0 ? runs.box.u32() : Infinity;
    }
    return { offset: wide ? offsets.box.u64() : offsets.box.u32(), samples };
  };
  return { count: offsets.count, next };
}

/**
 * @param {import('./bytes.js').Bytes} stbl
 * @param {{kind: string, plain: boolean}} info `plain`: of sound that is not coded, a chunk is a sample
 * @param {number} size the most samples that there are: bytes of the file, less the samples of other tracks
 * @returns {SampleTable} times as the track has them, before edits
 */
export function sampleTable(stbl, info, size) {
  const sizes = sizesOf(stbl);
  if (sizes.count > size) throw new NvcError(`the index claims ${sizes.count} samples, more than its file can hold`);
  const chunks = chunksOf(stbl);
  const times = entriesOf(stbl, 'stts');
  if (sizes.count && !times?.count) throw new NvcError('the index does not say how long samples last');
  const deltas = new Runs(times, (box) => box.u32());
  const shifts = entriesOf(stbl, 'ctts');
  const offsets = new Runs(shifts, (box) => box.i32()); // muxers write negative ones in version 0 too
  const keys = entriesOf(stbl, 'stss');
  const grouped = info.plain && sizes.each > 0;
  const table = new SampleTable(grouped ? chunks.count : sizes.count);
  let nextKey = keys?.count ? keys.box.u32() : Infinity;
  let keysLeft = keys?.count ?? 0;
  let dts = 0;
  let i = 0;
  for (let c = 0; c < chunks.count && i < sizes.count; c++) {
    let { offset, samples } = chunks.next();
    samples = Math.min(samples, sizes.count - i);
    if (grouped) {
      i += samples;
      const duration = deltas.sum(samples);
      if (samples) table.push(dts, duration, true, offset, samples * sizes.each);
      dts += duration;
      continue;
    }
    for (; samples > 0; samples--, i++) {
      const [bytes, delta] = [sizes.next(), deltas.next()];
      const key = !keys || nextKey === i + 1;
      while (keysLeft > 0 && nextKey <= i + 1) nextKey = --keysLeft > 0 ? keys.box.u32() : Infinity;
      table.push(dts + offsets.next(), delta, key, offset, bytes);
      offset += bytes;
      dts += delta;
    }
  }
  return table.finish();
}
