/**
 * From base planes to finished pictures: on the GPU and in a worker, or in the worker alone.
 *
 * @typedef {import('./planes.js').Plane} Plane
 * @typedef {import('./units.js').OpenSegment} OpenSegment
 *
 * @typedef {object} Finished
 * @property {Plane[]} planes of the film
 * @property {number | null} group number of the group that the picture ended
 * @property {boolean} exact whether that group has the checksum of the payload
 * @property {string | null} error a sentence
 */

import { NvcError } from './bytes.js';
import { GpuRestorer } from './gpu.js';
import { Head } from './prediction.js';
import { Turns } from './portions.js';
import { usesHead } from './restore.js';

const PREPARED = 64; // segments that are open at a time; more than are ever under way
const IN_FLIGHT = 2; // predictions that a GPU has been given and that are not read: one in work, one after it

/** Restores the pictures of one film. */
export class Restoring {
  #gpu = null;
  #turns = new Turns(IN_FLIGHT);
  #worker;
  #prepared = new Map(); // by segment
  #ids = new Map(); // of segments that the worker knows
  #waiting = new Map(); // by ticket
  #next = 1;

  /** @param {import('./planes.js').Film} film
   * @param {GPUDevice | null} device */
  constructor(film, device) {
    if (device) {
      try {
        this.#gpu = new GpuRestorer(device, film);
      } catch (error) {
        if (!(error instanceof NvcError)) throw error;
        this.why = error.message;
      }
    }
    this.#worker = new Worker(new URL('worker.js', import.meta.url), { type: 'module' });
    this.#worker.addEventListener('message', ({ data }) => this.#answered(data));
    this.#worker.addEventListener('error', () => this.#fail('the worker of the player stopped'));
  }

  /** @returns {boolean} whether heads run on the GPU */
  get onGpu() {
    return this.#gpu !== null;
  }

  /** Make a segment known, before its first picture.
   * @param {OpenSegment} segment
   * @returns {void} where its head is illegal, `segment.missing` says so afterwards */
  open(segment) {
    if (this.#ids.has(segment)) return;
    let head = null;
    try {
      head = segment.missing || !segment.head ? null : new Head(segment.head, segment.header.chroma);
    } catch (error) {
      if (!(error instanceof NvcError)) throw error;
      segment.missing = error.message;
    }
    const id = this.#next++;
    this.#ids.set(segment, id);
    this.#worker.postMessage({
      do: 'open', id, segment: segment.header, head: segment.head, restored: !segment.missing,
    });
    if (this.#gpu && head) this.#prepared.set(segment, this.#gpu.prepare(head));
    for (const old of this.#ids.keys()) {
      if (this.#ids.size <= PREPARED) break;
      this.close(old);
    }
  }

  /** Forget a segment.
   * @param {OpenSegment} segment */
  close(segment) {
    const id = this.#ids.get(segment);
    if (id !== undefined) this.#worker.postMessage({ do: 'close', id });
    this.#ids.delete(segment);
    this.#prepared.delete(segment);
  }

  /** Begin a picture's prediction; calls follow one another in the order of pictures.
   * @param {OpenSegment} segment one that is open
   * @param {number} number of the picture in it
   * @param {Plane[]} base
   * @param {AbortSignal} signal tells that nobody wants it any more
   * @returns {Promise<Plane[] | null>} null without a GPU, where `finish` predicts it, or if nobody wants it */
  async predict(segment, number, base, signal) {
    if (!this.#gpu) return null;
    await this.#turns.take();
    try {
      if (signal.aborted) return null;
      const used = !segment.missing && segment.head !== null && usesHead(segment.header, number);
      return await this.#gpu.predict(base, used ? this.#prepared.get(segment) : null, signal);
    } finally {
      this.#turns.give();
    }
  }

  /** What its loss-stream makes of a picture, and its group's checksum.
   * @param {OpenSegment} segment
   * @param {number} number
   * @param {Plane[] | null} predicted handed over to the worker
   * @param {Plane[]} base
   * @param {Uint8Array | null} payload
   * @returns {Promise<Finished>} */
  finish(segment, number, predicted, base, payload) {
    const ticket = this.#next++;
    const job = { do: 'picture', id: this.#ids.get(segment), ticket, number, predicted, payload };
    if (!predicted) job.base = base;
    const given = predicted ? predicted.map(({ samples }) => samples.buffer) : [];
    this.#worker.postMessage(job, given);
    return new Promise((resolve, reject) => this.#waiting.set(ticket, { resolve, reject }));
  }

  /** Stop, and free what the GPU holds. */
  destroy() {
    this.#worker.terminate();
    this.#gpu?.destroy();
    this.#fail('the film was closed');
  }

  #answered({ ticket, failed, ...found }) {
    const waiting = this.#waiting.get(ticket);
    this.#waiting.delete(ticket);
    if (failed) waiting?.reject(new NvcError(failed));
    else waiting?.resolve(found);
  }

  #fail(sentence) {
    for (const { reject } of this.#waiting.values()) reject(new NvcError(sentence));
    this.#waiting.clear();
  }
}
