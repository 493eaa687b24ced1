/**
 * Pictures from one keyframe on: units are read, the base decoded, pictures restored, and kept ready in order.
 *
 *     units ──VideoDecoder──> base planes ──Restoring──> pictures ──take──> whoever shows them
 *
 * No more than `ahead` units are under way or ready at a time: memory is bounded, whatever the film. How many of them
 * a GPU has been given is `Restoring`'s to bound.
 *
 * @typedef {import('../restore/planes.js').Plane} Plane
 *
 * @typedef {object} Picture
 * @property {number} time when it is shown, seconds
 * @property {number} duration seconds, 0 where it is not known
 * @property {number} sample number in the track
 * @property {Plane[]} base
 * @property {Plane[] | null} planes null where only the base was wanted
 * @property {string | null} words why it is not what the film is; null where nothing is missing
 * @property {import('../restore/units.js').Unit} unit
 */

import { NvcError } from '../files/bytes.js';
import { checkBase, newPlane, shapesOf } from '../restore/planes.js';

const MEMORY = 2 ** 28; // bytes of pictures ahead
const AHEAD = [6, 24]; // least and most of them
const TICK = 1000; // microseconds between the numbers that stand for times in the decoder
const EARLIER = 1e-6; // seconds that times may be off by, as they are fractions
const BASE_FORMAT = 'I420P10';
const RESTORING = 'This is the base: the exact picture is being restored …';

/** How the base is decoded: by software, as hardware gives samples in forms that cannot be read.
 * @param {string} codec
 * @returns {VideoDecoderConfig} */
export function decoderConfig(codec) {
  return { codec, hardwareAcceleration: 'prefer-software' };
}

/** Pictures that may be under way for a film.
 * @param {import('../restore/planes.js').Film} film
 * @returns {number} */
export function aheadOf({ width, height }) {
  const fit = Math.floor(MEMORY / (width * height * 4));
  return Math.min(Math.max(fit, AHEAD[0]), AHEAD[1]);
}

/** The samples of a decoded base picture; the frame is closed.
 * @param {VideoFrame} frame
 * @returns {Promise<Plane[]>} 10 bits, 4:2:0 */
export async function planesOf(frame) {
  try {
    if (frame.format !== BASE_FORMAT) {
      const form = frame.format ?? 'something unknown';
      throw new NvcError(`this browser gives decoded pictures as ${form}, not as samples`);
    }
    const { width, height } = frame.visibleRect;
    const planes = shapesOf(width, height, 1).map((shape) => newPlane(shape, 10));
    const whole = new Uint8Array(planes.reduce((sum, { samples }) => sum + samples.byteLength, 0));
    let offset = 0;
    const layout = planes.map(({ width: across, samples }) => {
      const place = { offset, stride: 2 * across };
      offset += samples.byteLength;
      return place;
    });
    await frame.copyTo(whole, { layout });
    planes.forEach((plane, p) => {
      plane.samples = new Uint16Array(whole.buffer, layout[p].offset, plane.samples.length);
    });
    return planes;
  } finally {
    frame.close();
  }
}

/** One run of decoding, from a keyframe to the film's end or until it is closed. */
export class Pictures {
  #options;
  #decoder;
  #fed = new Map(); // units under way in the decoder, by number
  #ready = [];
  #under = 0; // units under way or ready
  #begun = false; // whether a picture is being restored that is to be shown
  #predicted = Promise.resolve();
  #finished = Promise.resolve();
  #wake = null; // lets the reader go on
  #stop = new AbortController();
  #decoded = 0; // when the decoder gave its last picture, milliseconds
  #restored = 0;

  /** Whether the last picture has been made ready. */
  ended = false;
  /** What went wrong, for good; null as long as nothing did. */
  error = null;

  /** @param {object} options
   * @param {import('../restore/units.js').Units} options.units
   * @param {import('../restore/restoring.js').Restoring} options.restoring
   * @param {import('./statistics.js').Statistics} options.statistics
   * @param {string} options.codec
   * @param {number} options.key sample to begin with
   * @param {number} options.target seconds; pictures that end before it are not kept
   * @param {number} options.ahead
   * @param {boolean} options.baseOnly
   * @param {string | null} options.words why it is the base only; null where that was asked for
   * @param {(picture: Picture) => void} options.begun called with the first picture's base, as its restoring begins
   * @param {() => void} options.changed called when a picture is ready, or the end or an error is there */
  constructor(options) {
    this.#options = options;
    this.#decoder = new VideoDecoder({
      output: (frame) => this.#output(frame),
      error: (error) => this.#fail(new NvcError(`the AV1 base cannot be decoded: ${error.message}`)),
    });
    this.#decoder.configure(decoderConfig(options.codec));
    this.#run().catch((error) => this.#fail(error));
  }

  /** Pictures that are ready, in order; to be looked at.
   * @returns {Picture[]} */
  get ready() {
    return this.#ready;
  }

  /** Whether as many are ready as will be, before one is taken. */
  get full() {
    return this.ended || this.error !== null || this.#ready.length >= this.#options.ahead / 2;
  }

  /** The next picture.
   * @returns {Picture | null} */
  take() {
    const picture = this.#ready.shift() ?? null;
    if (picture) this.#left();
    return picture;
  }

  get #closed() {
    return this.#stop.signal.aborted;
  }

  /** Stop. */
  close() {
    this.#stop.abort();
    this.#wake?.();
    if (this.#decoder.state !== 'closed') this.#decoder.close();
    this.#ready.length = 0;
    this.#fed.clear();
  }

  /** Feed the decoder. */
  async #run() {
    let count = 0;
    for await (const unit of this.#options.units.from(this.#options.key)) {
      while (this.#under >= this.#options.ahead && !this.#closed) await new Promise((wake) => (this.#wake = wake));
      if (this.#closed || this.error) return;
      this.#under++;
      this.#options.statistics.unit(unit);
      this.#fed.set(count, { unit, since: performance.now() });
      const type = unit.key ? 'key' : 'delta';
      this.#decoder.decode(new EncodedVideoChunk({ type, timestamp: TICK * count++, data: unit.base }));
    }
    await this.#decoder.flush();
    await this.#finished;
    if (this.#closed) return;
    this.ended = true;
    this.#options.changed();
  }

  #left() {
    this.#under--;
    this.#wake?.();
  }

  #output(frame) {
    const number = Math.round(frame.timestamp / TICK);
    const { unit, since } = this.#fed.get(number) ?? {};
    this.#fed.delete(number);
    if (!unit || this.#closed) {
      frame.close();
      return;
    }
    const now = performance.now();
    this.#options.statistics.decoded(now - Math.max(since, this.#decoded));
    this.#decoded = now;
    const copied = planesOf(frame);
    copied.catch(() => {}); // it is waited for below
    const predicted = this.#predicted.then(async () => this.#predict(unit, await copied));
    this.#predicted = predicted;
    this.#finished = Promise.all([predicted, this.#finished]).then(([begun]) => this.#finish(unit, begun));
    this.#predicted.catch(() => {});
    this.#finished.catch((error) => this.#fail(error));
  }

  /** Whether a picture lies before what is wanted. */
  #early({ time, duration }) {
    const { target } = this.#options;
    return (duration ? time + duration : time + EARLIER) <= target + EARLIER;
  }

  /** Begin a picture. @returns {{base: Plane[], planes: Promise<Plane[]> | null, since: number}} */
  #predict(unit, base) {
    checkBase(base, unit.segment.header);
    const since = performance.now();
    const idle = this.#options.baseOnly || (this.#early(unit) && !unit.segment.header.loss_kind);
    if (this.#closed || idle) return { base, planes: null, since, idle };
    this.#options.restoring.open(unit.segment);
    const planes = this.#options.restoring.predict(unit, base, this.#stop.signal);
    planes.catch(() => {}); // it is waited for when its turn has come
    if (!this.#begun && !this.#early(unit)) {
      this.#begun = true;
      this.#options.begun({ ...shownOf(unit), base, planes: null, words: missingWords(unit) ?? RESTORING, unit });
    }
    return { base, planes, since, idle };
  }

  async #finish(unit, { base, planes, since, idle }) {
    if (this.#closed) return;
    const picture = { ...shownOf(unit), base, planes: null, words: this.#options.words, unit };
    if (!idle) {
      const { restoring, statistics } = this.#options;
      const predicted = await planes;
      if (this.#closed) return;
      const done = await restoring.finish(unit, predicted, base);
      const now = performance.now();
      statistics.restored(now - Math.max(since, this.#restored));
      this.#restored = now;
      picture.planes = done.planes;
      picture.words = missingWords(unit);
      if (done.error) picture.words ??= `This picture is not exact: ${done.error}`;
      const wrong = statistics.checked(unit, done);
      if (wrong && !picture.words) picture.words = 'This picture is not exact: its checksum is not that of the file';
    }
    if (this.#closed) return;
    if (this.#early(unit)) this.#left();
    else {
      this.#ready.push(picture);
      this.#options.changed();
    }
  }

  #fail(error) {
    if (this.#closed || this.error) return;
    this.error = error instanceof NvcError ? error : new NvcError(`something went wrong: ${error?.message ?? error}`);
    this.#wake?.();
    this.#options.changed();
  }
}

/** Why a picture is shown by its base alone; null where it can be restored. */
function missingWords({ segment }) {
  return segment.missing && `This is the base: ${segment.missing}`;
}

function shownOf({ time, duration, sample }) {
  return { time, duration, sample };
}
