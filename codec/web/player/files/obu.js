/**
 * AV1 temporal units: their OBUs, what a sequence header says, and our payloads in metadata OBUs (FORMAT.md,
 * section 1).
 */

import { Bits, NvcError } from './bytes.js';

export const OBU = { sequenceHeader: 1, delimiter: 2, frameHeader: 3, tileGroup: 4, metadata: 5, frame: 6 };

const HAS_SIZE = 2;
const HAS_EXTENSION = 4;
const T35 = 4; // metadata type
const SIGNATURE = Uint8Array.from([T35, 0xb5, 0x7f, 0xfd, 0x4e, 0x56, 0x43]); // T.35, country, provider, "NVC"
const TRAILING = 0x80;

/**
 * @typedef {object} Obu where an OBU lies in its unit
 * @property {number} type one of OBU
 * @property {number} start of its header
 * @property {number} body first byte of its contents
 * @property {number} end behind it
 */

/**
 * The OBUs of a unit, in order. Zero bytes that pad the unit's end are passed over.
 * @param {Uint8Array} unit
 * @returns {Obu[]}
 */
export function obus(unit) {
  const found = [];
  const end = unit.length;
  let at = 0;
  while (at < end) {
    const header = unit[at];
    if (header === 0 && unit.subarray(at).every((byte) => byte === 0)) break;
    if (header & 0x80) throw new NvcError(`no AV1 OBU begins at byte ${at} of a temporal unit of ${end}`);
    let body = at + 1 + (header & HAS_EXTENSION ? 1 : 0);
    let size = end - body;
    if (header & HAS_SIZE) [size, body] = leb128(unit, body);
    if (size < 0 || body + size > end) {
      throw new NvcError(`the AV1 OBU at byte ${at} reaches past the end of its temporal unit of ${end} bytes`);
    }
    found.push({ type: (header >> 3) & 15, start: at, body, end: body + size });
    at = body + size;
  }
  return found;
}

/**
 * @param {Uint8Array} data
 * @param {number} at
 * @returns {[number, number]} the number there, of at most 8 bytes and 32 bits, and where what follows it begins
 */
export function leb128(data, at) {
  let value = 0;
  for (let k = 0; k < 8; k++) {
    if (at + k >= data.length) throw new NvcError('an AV1 size field is cut off');
    const byte = data[at + k];
    value += (byte & 127) * 2 ** (7 * k);
    if (byte < 128) {
      if (value >= 2 ** 32) throw new NvcError('an AV1 size field exceeds 32 bits');
      return [value, at + k + 1];
    }
  }
  throw new NvcError('an AV1 size field is longer than eight bytes');
}

/** Whether an OBU carries a payload of ours. */
function isOurs(unit, obu) {
  if (obu.type !== OBU.metadata || obu.end - obu.body < SIGNATURE.length) return false;
  return SIGNATURE.every((byte, k) => unit[obu.body + k] === byte);
}

/**
 * Our payloads, in order, and what an AV1 decoder is to be given: the unit without T.35 metadata, ours or of others.
 * @param {Uint8Array} unit
 * @returns {{payloads: Uint8Array[], base: Uint8Array}} views of the unit where they can be
 */
export function split(unit) {
  const payloads = [];
  const kept = [];
  let size = 0;
  for (const obu of obus(unit)) {
    if (isOurs(unit, obu)) {
      let end = obu.end; // muxers may pad an OBU with zero bytes behind its trailing bit
      while (end > obu.body && unit[end - 1] === 0) end--;
      if (end <= obu.body + SIGNATURE.length || unit[end - 1] !== TRAILING) {
        throw new NvcError('a payload OBU does not end with trailing bits');
      }
      payloads.push(unit.subarray(obu.body + SIGNATURE.length, end - 1));
    } else if (obu.type !== OBU.metadata || unit[obu.body] !== T35) {
      kept.push(unit.subarray(obu.start, obu.end));
      size += obu.end - obu.start;
    }
  }
  if (size === unit.length) return { payloads, base: unit };
  const base = new Uint8Array(size);
  let at = 0;
  for (const part of kept) {
    base.set(part, at);
    at += part.length;
  }
  return { payloads, base };
}

/**
 * @typedef {object} SequenceHeader of AV1, section 5.5
 * @property {boolean} still whether it is that of a still picture
 * @property {number} profile
 * @property {number} level of the first operating point
 * @property {number} tier
 * @property {number} width the largest of any frame, luma samples
 * @property {number} height
 * @property {number} depth bits
 * @property {boolean} grey without chroma
 * @property {number} primaries code points of H.273, 2 where it does not tell
 * @property {number} transfer
 * @property {number} matrix
 * @property {boolean} full whether samples have the full range
 * @property {number} [place] chroma_sample_position, of 4:2:0
 */

/**
 * @param {Uint8Array} unit
 * @returns {SequenceHeader | null} null where the unit has none
 */
export function sequenceHeader(unit) {
  const header = obus(unit).find((obu) => obu.type === OBU.sequenceHeader);
  if (!header) return null;
  const bits = new Bits(unit.subarray(header.body, header.end), 'the AV1 sequence header');
  const profile = bits.take(3);
  const still = bits.take(1) === 1;
  const reduced = bits.take(1);
  const [level, tier] = reduced ? [bits.take(5), 0] : operatingPoint(bits);
  const sizes = [bits.take(4) + 1, bits.take(4) + 1];
  const [width, height] = sizes.map((size) => bits.take(size) + 1);
  if (!reduced && bits.take(1)) bits.take(7); // frame numbers
  bits.take(3); // use_128x128_superblock, enable_filter_intra, enable_intra_edge_filter
  if (!reduced) passOverTools(bits);
  bits.take(3); // enable_superres, enable_cdef, enable_restoration
  return { still, profile, level, tier, width, height, ...colours(bits, profile) };
}

/** Level and tier of the first operating point; passes over what lies around it, and the others. */
function operatingPoint(bits) {
  let modelled = 0;
  let delay = 0;
  if (bits.take(1)) {
    bits.take(32); // num_units_in_display_tick
    bits.take(32); // time_scale
    if (bits.take(1)) passOverUvlc(bits); // num_ticks_per_picture_minus_1
    modelled = bits.take(1);
    if (modelled) {
      delay = bits.take(5) + 1;
      bits.take(32);
      bits.take(10);
    }
  }
  const delayed = bits.take(1);
  let first = null;
  for (let left = bits.take(5); left >= 0; left--) {
    bits.take(12); // operating_point_idc
    const level = bits.take(5);
    const tier = level > 7 ? bits.take(1) : 0;
    first ??= [level, tier];
    if (modelled && bits.take(1)) {
      bits.take(delay);
      bits.take(delay);
      bits.take(1);
    }
    if (delayed && bits.take(1)) bits.take(4);
  }
  return first;
}

function passOverUvlc(bits) {
  let zeros = 0;
  while (!bits.take(1)) zeros++;
  if (zeros < 32) bits.take(zeros);
}

/** What a sequence of several pictures may use, up to the order of its frames. */
function passOverTools(bits) {
  bits.take(4); // enable_interintra_compound, enable_masked_compound, enable_warped_motion, enable_dual_filter
  const ordered = bits.take(1);
  if (ordered) bits.take(2); // enable_jnt_comp, enable_ref_frame_mvs
  const screen = bits.take(1) ? 2 : bits.take(1);
  if (screen && !bits.take(1)) bits.take(1); // seq_choose_integer_mv, seq_force_integer_mv
  if (ordered) bits.take(3); // order_hint_bits_minus_1
}

/** color_config, section 5.5.2. */
function colours(bits, profile) {
  const high = bits.take(1);
  const depth = profile === 2 && high && bits.take(1) ? 12 : high ? 10 : 8;
  const grey = profile !== 1 && bits.take(1) === 1;
  const found = { depth, grey, primaries: 2, transfer: 2, matrix: 2, full: false };
  if (bits.take(1)) Object.assign(found, { primaries: bits.take(8), transfer: bits.take(8), matrix: bits.take(8) });
  if (grey) return { ...found, full: bits.take(1) === 1 };
  if (found.primaries === 1 && found.transfer === 13 && found.matrix === 0) return { ...found, full: true };
  found.full = bits.take(1) === 1;
  if (profile === 0) found.place = bits.take(2);
  return found;
}
