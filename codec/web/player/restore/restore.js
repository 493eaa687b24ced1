/**
 * One segment of a film, from base pictures to finished ones (FORMAT.md, sections 4 and 6): what `gpu.js` does on a
 * GPU, and what follows it.
 *
 *     base ──predict──> prediction ──complete──> decoded planes ──checksum──> that of the group
 *
 * @typedef {import('./planes.js').Plane} Plane
 *
 * What a segment's header says beside the film (FORMAT.md, section 2).
 * @typedef {import('./planes.js').Film & {head_kind: number, history: number, loss_kind: number, loss_step: number,
 *   used: Uint8Array}} Segment
 */

import { NvcError } from '../files/bytes.js';
import { usesHead } from './payload.js';
import { Head, predict } from './prediction.js';
import { putPlain, toldOf } from './steering.js';
import { plainPrediction, upscale } from './upscale.js';
import { TransformDecoder } from './transform.js';

const OFF = 0;
const TRANSFORM = 1;
const NONE = new Uint8Array(0);

/** Why a segment cannot be restored here but is shown by its base alone.
 * @param {Segment} segment
 * @returns {string | null} a sentence, or null where it can */
export function missing(segment) {
  if (segment.history) return 'its head looks at earlier pictures, which this player cannot do yet';
  if (segment.loss_kind > TRANSFORM) {
    return `its loss-stream ${boundOf(segment)}, which this player cannot decode yet`;
  }
  return null;
}

/** What a bounded loss-stream promises, in words that follow it. */
function boundOf({ max_error: error }) {
  return error ? `is near-lossless (every sample within ${error} of the source's)` : 'is lossless';
}

/** Restores the pictures of one segment. */
export class Restorer {
  #segment;
  #head;
  #loss;

  /** @param {Segment} segment one that nothing is `missing` of
   * @param {import('./prediction.js').SentHead | null} head null where head_kind is 0
   * @throws {import('../files/bytes.js').NvcError} where the head is not legal */
  constructor(segment, head) {
    this.#segment = segment;
    this.#head = head && new Head(head, segment.chroma);
    this.#loss = segment.loss_kind === OFF ? null : new TransformDecoder(segment, segment.loss_step);
  }

  /** The head, ready to be applied; null without one. */
  get head() {
    return this.#head;
  }

  /** A picture's prediction. Pictures do not depend on each other here: any order will do.
   * @param {Plane[]} base 10-bit planes, 4:2:0
   * @param {number} picture its number in the segment
   * @param {import('./steering.js').Steered | null} [steered] how the head is
   * @returns {Plane[]} planes of the film's depth */
  predict(base, picture, steered = null) {
    const upscaled = upscale(base, this.#segment);
    if (!this.#head || !usesHead(this.#segment, picture)) return this.#plain(upscaled);
    const out = predict(this.#head, upscaled, this.#segment, toldOf(this.#head.baseQ, steered));
    if (steered?.blocks) putPlain(out, this.#plain(upscaled), steered.blocks, this.#segment);
    return out;
  }

  #plain(upscaled) {
    return plainPrediction(upscaled, this.#segment.depth);
  }

  /** The finished picture. Where there is a loss-stream, all pictures of the segment are to be completed, in order.
   * @param {Plane[]} predicted
   * @param {Uint8Array | null} payload its loss-stream; null without one
   * @returns {Plane[]} where nothing corrects them, the predicted planes
   * @throws {import('../files/bytes.js').NvcError} where the loss-stream is damaged; the rest of the segment is
   *   lost then */
  complete(predicted, payload) {
    if (!this.#loss && payload) throw new NvcError('there is a loss-stream in a segment that has none');
    return this.#loss ? this.#loss.decode(payload ?? NONE, predicted) : predicted;
  }
}
