/**
 * The temporal units of a film's base: their payloads read, each segment's head at hand, one picture after the other.
 */

import { bytesBeside, headFileOf } from '../files/beside.js';
import { NvcError } from '../files/bytes.js';
import { split, sequenceHeader } from '../files/obu.js';
import { HEAD, isSteered, readProperties, sentAs, unitPayloads } from './payload.js';
import { BASE_DEPTH, baseSize } from './planes.js';
import { missing } from './restore.js';
import { Steering } from './steering.js';
import { readHead, readHeadFile } from './weights.js';

const HEADS_KEPT = 32; // heads of segments that were read last
const CHAIN = 64; // segments to go back for the head that a difference refers to
const PIXELS_MAX = 2 ** 26; // luma samples of a picture: twice those of 8K
const SAME = ['width', 'height', 'chroma', 'depth', 'scale']; // in all segments of a film
const NOTHING = { // what is known of a segment whose payloads are damaged, beside the film
  frames: 0, group: 1, psnr: 0, head_kind: HEAD.none, history: 0, gate: 0, layers: 0, head_width: 0, reference: 0,
  loss_kind: 0, loss_step: 0, max_error: 0, head: new Uint8Array(0), used: new Uint8Array(0),
  checksums: new Uint32Array(0),
};
const DAMAGED = new Uint8Array(8).fill(255); // stands for a loss-stream that cannot be read: no decoder takes it

/**
 * A segment that is being decoded.
 * @typedef {object} OpenSegment
 * @property {number} key sample that opens it
 * @property {import('./payload.js').Segment} header
 * @property {import('./weights.js').Head | null} head
 * @property {string | null} missing why it is shown by its base alone; null where it can be restored
 *
 * @typedef {object} Unit
 * @property {OpenSegment} segment
 * @property {number} sample its number in the track
 * @property {number} number of its picture in the segment
 * @property {boolean} key
 * @property {number} time when it is shown, seconds
 * @property {number} duration seconds, 0 where it is not known
 * @property {Uint8Array} base what the AV1 decoder takes
 * @property {Uint8Array | null} residual loss-stream of its picture
 * @property {import('./steering.js').Steered | string | null} steered how the head is, if it is and predicts the
 *   picture; a sentence where that is damaged, which leaves the base of it and of those after it
 * @property {{base: number, head: number, loss: number}} bytes what each part takes
 */

/** The heads of the program: files beside the page that are fetched once. */
export class Pretrained {
  #files = new Map();

  /** @param {string} page address that the files lie beside */
  constructor(page) {
    this.page = page;
  }

  /** Fetch a head where it is not here yet.
   * @param {number} number */
  async want(number) {
    if (this.#files.has(number)) return;
    const data = await bytesBeside(headFileOf('film', number), this.page);
    if (!data) throw new NvcError(`the film wants the program's head ${number}, which is not beside this page`);
    this.#files.set(number, readHeadFile(data));
  }

  /** @param {number} number
   * @returns {import('./weights.js').HeadFile} one that was wanted before */
  get(number) {
    return this.#files.get(number);
  }
}

/** Reads a film's units. */
export class Units {
  #heads = new Map(); // by the sample that opens their segment
  #film = null; // header of the first segment

  /** @param {import('../files/samples.js').Track} track the base
   * @param {Pretrained} pretrained */
  constructor(track, pretrained) {
    this.track = track;
    this.pretrained = pretrained;
  }

  /** What the film's first unit says of it.
   * @returns {Promise<{header: import('./payload.js').Segment, sequence: import('../files/obu.js').SequenceHeader,
   *   chromaPlace: number}>} chromaPlace: ChromaLocType of H.273, and 1; 0 where it is not told
   * @throws {NvcError} where it is no film of ours */
  async first() {
    const i = await this.track.find(-Infinity);
    if (i < 0) throw new NvcError('the film has no pictures');
    const unit = await this.track.data(i);
    const { payloads } = split(unit);
    if (!payloads.length) throw new NvcError('this is an AV1 film without payloads of NVC: any player shows it');
    const { segment, properties } = unitPayloads(payloads, true);
    const sequence = checkedBase(segment, unit);
    this.#film = segment;
    let chromaPlace = [0, 1, 3][sequence.place] ?? 0;
    try {
      if (properties) chromaPlace = readProperties(properties).chroma_place;
    } catch (error) {
      if (!(error instanceof NvcError)) throw error; // a record that pictures do not depend on
    }
    return { header: segment, sequence, chromaPlace };
  }

  /** All units from a keyframe on; `first` has been asked before. What is damaged of a unit's payloads is said of its
   * segment, or decodes to a sentence, and the next segment is another matter.
   * @param {number} key sample
   * @returns {AsyncGenerator<Unit>} */
  async *from(key) {
    let segment = null;
    let steering = null;
    let number = 0;
    for (let i = key; i >= 0; i = await this.track.following(i)) {
      const sample = this.track.sample(i);
      const whole = await this.track.data(i);
      const { payloads, base } = split(whole);
      const { read, damage } = payloadsOf(payloads, sample.key);
      if (sample.key) {
        segment = read.segment ? await this.#open(i, read.segment, whole) : this.#unknown(i, damage, whole);
        steering = steeringOf(segment);
        number = 0;
      }
      if (!segment) throw new NvcError('decoding does not begin at a keyframe');
      const { timescale } = this.track;
      const bytes = { base: base.length, head: read.segment?.head.length ?? 0, loss: read.residual?.length ?? 0 };
      const steered = steering?.of(number) ?? null;
      yield {
        segment, sample: i, number: number++, key: sample.key, time: sample.pts / timescale,
        duration: sample.duration / timescale, base, residual: read.residual, steered, bytes,
      };
    }
  }

  /** A segment with its head, or why it cannot be restored. */
  async #open(key, header, unit) {
    if (SAME.some((name) => header[name] !== this.#film[name])) {
      throw new NvcError('a segment is of another size or format than the film');
    }
    checkedBase(header, unit);
    const open = { key, header, head: null, missing: missing(header) };
    if (open.missing) return open;
    try {
      open.head = await this.#head(key, header);
    } catch (error) {
      if (!(error instanceof NvcError)) throw error;
      open.missing = error.message;
    }
    return open;
  }

  /** A segment whose payloads cannot be read. */
  #unknown(key, damage, unit) {
    const header = { ...this.#film, ...NOTHING };
    checkedBase(header, unit);
    return { key, header, head: null, missing: `its payloads are damaged (${damage})` };
  }

  /** The head of a segment; those that it differs from are looked for in the segments before. */
  async #head(key, header) {
    const chain = []; // segments that differ from the one before them
    let before = null;
    for (let [at, here] = [key, header]; ; ) {
      if (this.#heads.has(at)) {
        before = this.#heads.get(at);
        break;
      }
      chain.push([at, here]);
      if (sentAs(here) !== HEAD.difference || chain.length > CHAIN) break;
      at = await this.#keyBefore(at);
      if (at < 0) break;
      here = unitPayloads(split(await this.track.data(at)).payloads, true).segment;
    }
    for (const [at, here] of chain.reverse()) {
      if (sentAs(here) === HEAD.pretrained) await this.pretrained.want(here.reference);
      before = readHead(here, before, (number) => this.pretrained.get(number));
      this.#keep(at, before);
    }
    return before;
  }

  async #keyBefore(key) {
    const before = await this.track.find(this.track.sample(key).pts - 1);
    return before < 0 || before >= key ? -1 : this.track.keyBefore(before);
  }

  #keep(key, head) {
    this.#heads.delete(key);
    this.#heads.set(key, head);
    for (const old of this.#heads.keys()) {
      if (this.#heads.size <= HEADS_KEPT) break;
      this.#heads.delete(old);
    }
  }
}

/** What steers the head of a segment; null where nothing does, or it has none that can be read. */
function steeringOf({ header, head }) {
  return head && isSteered(header) ? new Steering(header, head.baseQ !== null) : null;
}

/** What the payloads of a unit say; those that are damaged are missing, and `damage` says how. */
function payloadsOf(payloads, key) {
  try {
    return { read: unitPayloads(payloads, key), damage: null };
  } catch (error) {
    if (!(error instanceof NvcError)) throw error;
    return { read: { segment: null, residual: key ? null : DAMAGED }, damage: error.message };
  }
}

/** The sequence header of a keyframe's unit; one of another base than the segment's is an NvcError. */
function checkedBase(header, unit) {
  if (header.width * header.height > PIXELS_MAX) {
    throw new NvcError(`pictures of ${header.width}x${header.height} samples are too large for this player`);
  }
  const sequence = sequenceHeader(unit);
  if (!sequence) throw new NvcError('the keyframe of a segment has no sequence header');
  const { width, height } = baseSize(header);
  const sized = sequence.width === width && sequence.height === height;
  if (!sized || sequence.depth !== BASE_DEPTH || sequence.grey || sequence.profile) {
    throw new NvcError('the base of a segment is of another size or format than its header asks for');
  }
  return sequence;
}
