/**
 * From base planes to finished pictures: on the GPU, by WebGPU or else WebGL2, and in a worker; without either, in the
 * worker alone.
 *
 * @typedef {import('./planes.js').Plane} Plane
 * @typedef {import('./units.js').OpenSegment} OpenSegment
 * @typedef {import('./units.js').Unit} Unit
 *
 * @typedef {object} Finished
 * @property {Plane[]} planes of the film
 * @property {number | null} group number of the group that the picture ended
 * @property {boolean} exact whether that group has the checksum of the payload
 * @property {string | null} error a sentence
 */

import { NvcError } from '../files/bytes.js';
import { GpuRestorer } from '../gpu/gpu.js';
import { usesHead } from './payload.js';
import { Head } from './prediction.js';
import { Turns } from '../gpu/portions.js';
import { GlRestorer, GpuGone, openGl } from '../gpu/webgl.js';

const PREPARED = 64; // segments that are open at a time; more than are ever under way
const IN_FLIGHT = 2; // predictions that a GPU has been given and that are not read: one in work, one after it

/** The first of WebGPU, WebGL2 and JavaScript that is there and can hold such pictures.
 * @param {import('./planes.js').Film} film
 * @param {GPUDevice | null} device
 * @returns {{gpu: GpuRestorer | GlRestorer | null, by: string, note: string | null}} as in `Restoring` */
function restorerOf(film, device) {
  const why = [];
  for (const [by, open, make] of [
    ['WebGPU', () => device, (opened) => new GpuRestorer(opened, film)],
    ['WebGL2', openGl, (opened) => new GlRestorer(opened, film)],
  ]) {
    const opened = open();
    try {
      if (!opened) throw new NvcError(`this browser gives no ${by}`);
      const gpu = make(opened);
      return { gpu, by, note: why.length ? `Heads run by ${by}: ${why.join('; ')}` : null };
    } catch (error) {
      if (!(error instanceof NvcError)) throw error;
      why.push(error.message);
    }
  }
  return { gpu: null, by: 'JavaScript', note: `Heads run in JavaScript, slowly: ${why.join('; ')}` };
}

/** A still's samples before they become colours, on the GPU: y, g, o of FORMAT.md, section 7.
 * @param {GPUDevice | null} device
 * @param {Plane[]} base 10 bits, 4:2:0
 * @param {{width: number, height: number}} still
 * @param {import('./prediction.js').SentHead | null} sent
 * @returns {Promise<Plane[] | null>} 1/16 of a 10-bit step, in 16 bits; null where there is no GPU that can do it */
export async function fineStill(device, base, { width, height }, sent) {
  const film = { width, height, chroma: 3, depth: 10, scale: 0, still: true };
  const { gpu } = restorerOf(film, device);
  if (!gpu) return null;
  try {
    return await gpu.predict(base, sent && gpu.prepare(new Head(sent, film.chroma)));
  } finally {
    gpu.destroy();
  }
}

/** Restores the pictures of one film. */
export class Restoring {
  /** What predicts pictures; null in JavaScript. @type {GpuRestorer | GlRestorer | null} */
  gpu = null;
  /** What heads run by: 'WebGPU', 'WebGL2' or 'JavaScript'. */
  by = 'JavaScript';
  /** What the viewer is to know of that: a sentence, or null. @type {string | null} */
  note = null;
  #turns = new Turns(IN_FLIGHT);
  #worker;
  #prepared = new Map(); // by segment
  #ids = new Map(); // of segments that the worker knows
  #waiting = new Map(); // by ticket
  #next = 1;

  /** @param {import('./planes.js').Film} film
   * @param {GPUDevice | null} device */
  constructor(film, device) {
    Object.assign(this, restorerOf(film, device));
    this.#worker = new Worker(new URL('worker.js', import.meta.url), { type: 'module' });
    this.#worker.addEventListener('message', ({ data }) => this.#answered(data));
    this.#worker.addEventListener('error', () => this.#fail('the worker of the player stopped'));
  }

  /** Make a segment known, before its first picture.
   * @param {OpenSegment} segment
   * @returns {void} where its head is illegal, `segment.missing` says so afterwards
   * @throws {GpuGone} where there is no GPU any more */
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
    if (this.gpu && head) this.#prepare(segment, head);
    for (const old of this.#ids.keys()) {
      if (this.#ids.size <= PREPARED) break;
      this.close(old);
    }
  }

  /** Where a GPU cannot compute a head, JavaScript does from then on. */
  #prepare(segment, head) {
    try {
      this.#prepared.set(segment, this.gpu.prepare(head));
    } catch (error) {
      if (!(error instanceof NvcError) || error instanceof GpuGone) throw error;
      this.gpu.destroy();
      this.gpu = null;
      this.by = 'JavaScript';
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
   * @param {Unit} unit of a segment that is open
   * @param {Plane[]} base
   * @param {AbortSignal} signal tells that nobody wants it any more
   * @returns {Promise<Plane[] | null>} null without a GPU, where `finish` predicts it, or if nobody wants it */
  async predict({ segment, number, steered }, base, signal) {
    if (!this.gpu) return null;
    await this.#turns.take();
    try {
      if (signal.aborted || !this.gpu) return null;
      const able = !segment.missing && segment.head !== null && typeof steered !== 'string';
      const head = able && usesHead(segment.header, number) ? this.#prepared.get(segment) : null;
      return await this.gpu.predict(base, head, head && steered, signal);
    } finally {
      this.#turns.give();
    }
  }

  /** What its loss-stream makes of a picture, and its group's checksum.
   * @param {Unit} unit
   * @param {Plane[] | null} predicted handed over to the worker
   * @param {Plane[]} base
   * @returns {Promise<Finished>} */
  finish({ segment, number, residual: payload, steered }, predicted, base) {
    const ticket = this.#next++;
    const job = { do: 'picture', id: this.#ids.get(segment), ticket, number, predicted, payload, steered };
    if (!predicted) job.base = base;
    const given = predicted ? predicted.map(({ samples }) => samples.buffer) : [];
    this.#worker.postMessage(job, given);
    return new Promise((resolve, reject) => this.#waiting.set(ticket, { resolve, reject }));
  }

  /** Stop, and free what the GPU holds. */
  destroy() {
    this.#worker.terminate();
    this.gpu?.destroy();
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
