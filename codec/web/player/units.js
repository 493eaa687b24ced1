/**
 * The temporal units of a film's base: their payloads read, each segment's head at hand, one picture after the other.
 */

import { NvcError } from './bytes.js';
import { split, sequenceHeader } from './obu.js';
import { HEAD, readProperties, unitPayloads } from './payload.js';
import { baseSize } from './planes.js';
import { missing } from './restore.js';
import { readHead, readHeadFile } from './weights.js';

const HEADS_KEPT = 32; // heads of segments that were read last
const PRETRAINED = { 1: 'film.bin' }; // files beside the page, by their number

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
    const name = PRETRAINED[number];
    if (!name || this.#files.has(number)) return;
    const response = await fetch(new URL(name, this.page)).catch(() => null);
    if (!response?.ok) throw new NvcError(`${name}, a head of the program, is not beside this page`);
    this.#files.set(number, readHeadFile(new Uint8Array(await response.arrayBuffer())));
  }

  /** @param {number} number
   * @returns {import('./weights.js').HeadFile} one that was wanted before */
  get(number) {
    const file = this.#files.get(number);
    if (!file) throw new NvcError(`the film wants the program's head ${number}, which this player does not have`);
    return file;
  }
}

/** Reads a film's units. */
export class Units {
  #heads = new Map(); // by the sample that opens their segment

  /** @param {import('./samples.js').Track} track the base
   * @param {Pretrained} pretrained */
  constructor(track, pretrained) {
    this.track = track;
    this.pretrained = pretrained;
  }

  /** What the film's first unit says of it.
   * @returns {Promise<{header: import('./payload.js').Segment, sequence: import('./obu.js').SequenceHeader,
   *   chromaPlace: number}>} chromaPlace: ChromaLocType of H.273, and 1; 0 where it is not told
   * @throws {NvcError} where it is no film of ours */
  async first() {
    const i = await this.track.find(-Infinity);
    if (i < 0) throw new NvcError('the film has no pictures');
    const unit = await this.track.data(i);
    const { payloads } = split(unit);
    if (!payloads.length) throw new NvcError('this is an AV1 film without payloads of NVC: any player shows it');
    const { segment, properties } = unitPayloads(payloads, true);
    const sequence = sequenceHeader(unit);
    if (!sequence) throw new NvcError('the first unit of the film has no sequence header');
    let chromaPlace = [0, 1, 3][sequence.place] ?? 0;
    try {
      if (properties) chromaPlace = readProperties(properties).chroma_place;
    } catch (error) {
      if (!(error instanceof NvcError)) throw error; // a record that pictures do not depend on
    }
    return { header: segment, sequence, chromaPlace };
  }

  /** All units from a keyframe on.
   * @param {number} key sample
   * @returns {AsyncGenerator<Unit>} */
  async *from(key) {
    let segment = null;
    let number = 0;
    for (let i = key; i >= 0; i = await this.track.following(i)) {
      const sample = this.track.sample(i);
      const whole = await this.track.data(i);
      const { payloads, base } = split(whole);
      const read = unitPayloads(payloads, sample.key);
      if (read.segment) {
        segment = await this.#open(i, read.segment, whole);
        number = 0;
      }
      if (!segment) throw new NvcError('decoding does not begin at a keyframe');
      const { timescale } = this.track;
      const bytes = { base: base.length, head: read.segment?.head.length ?? 0, loss: read.residual?.length ?? 0 };
      yield {
        segment, sample: i, number: number++, key: sample.key, time: sample.pts / timescale,
        duration: sample.duration / timescale, base, residual: read.residual, bytes,
      };
    }
  }

  /** A segment with its head, or why it cannot be restored. */
  async #open(key, header, unit) {
    const sequence = sequenceHeader(unit);
    const { width, height } = baseSize(header);
    if (!sequence || sequence.width !== width || sequence.height !== height || sequence.depth !== 10) {
      throw new NvcError('the base of a segment has another size or depth than its header asks for');
    }
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
      if (here.head_kind !== HEAD.difference) break;
      at = await this.#keyBefore(at);
      if (at < 0) break;
      here = unitPayloads(split(await this.track.data(at)).payloads, true).segment;
    }
    for (const [at, here] of chain.reverse()) {
      if (here.head_kind === HEAD.pretrained) await this.pretrained.want(here.reference);
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
