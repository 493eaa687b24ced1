/**
 * Plays a film: which picture is shown when, seeking, single pictures, speed.
 *
 * Where heads cannot keep up with the film, it plays on by its base, in time with the sound, and says so on the
 * picture; whenever it stands, the picture is restored. Who would rather have every picture is `patient`.
 *
 * Tells by events what changed: `state` (playing, waiting, ended, rate), `time`, `picture` (the one that is shown now)
 * and `failure` (`detail` is an NvcError).
 */

import { Clock } from './clock.js';
import { aheadOf, Pictures } from './pictures.js';
import { Statistics } from './statistics.js';

const LATE = 0.04; // seconds without a picture that is due, after which the film waits
const SOON = 0.008; // seconds by which a picture may come early: it is seen when the screen is drawn next
const LOST = 2; // seconds after which it is sought instead
const SPEEDS = [0.25, 4];
const PATIENCE = 250; // milliseconds without a picture that was sought, after which its base is shown
const ENDLESS = 2000; // milliseconds of restoring a picture, after which heads are held to be too slow
const USUAL = 1 / 24; // seconds that a picture is shown where the file does not tell

/** Plays one film. */
export class Player extends EventTarget {
  #units;
  #restoring;
  #pictures = null;
  #wanted = null; // where to seek once the present seeking is done
  #seeking = false;
  #asked = 0; // pictures that are to be shown whatever the time, as soon as they are ready
  #resume = false; // whether it plays on after that
  #frame = 0;
  #ahead;
  #begun = null; // when the picture that was sought began to be restored, milliseconds
  #least = null; // milliseconds that a picture took at least, where none was finished
  #standsIn = false; // whether the base is played as heads are too slow
  #loop = () => this.#tick();
  clock = new Clock();
  statistics = new Statistics();
  /** @type {import('./pictures.js').Picture | null} */
  shown = null;
  playing = false;
  waiting = false;
  ended = false;
  baseOnly = false;
  patient = false; // whether it waits for every picture
  late = null; // milliseconds that the last picture was shown after its time

  /** @param {import('../restore/units.js').Units} units
   * @param {import('../restore/restoring.js').Restoring} restoring
   * @param {import('../restore/planes.js').Film} header
   * @param {number} duration seconds
   * @param {import('./sound.js').Sound | null} sound */
  constructor(units, restoring, header, duration, sound) {
    super();
    this.#units = units;
    this.#restoring = restoring;
    this.duration = duration;
    this.#ahead = aheadOf(header);
    this.clock.follow(sound);
    this.#frame = requestAnimationFrame(this.#loop);
  }

  /** @returns {number} seconds */
  get time() {
    return Math.min(this.#wanted ?? this.clock.now, this.duration);
  }

  get rate() {
    return this.clock.rate;
  }

  set rate(rate) {
    this.clock.speed(Math.min(Math.max(rate, SPEEDS[0]), SPEEDS[1]));
    this.#choose();
    this.#tell('state');
  }

  play() {
    if (this.playing) return;
    this.playing = true;
    if (this.ended) this.seek(0);
    else if (!this.#choose()) this.#wait();
    this.#tell('state');
  }

  pause() {
    if (!this.playing) return;
    this.playing = false;
    this.waiting = false;
    this.clock.stop();
    if (this.#standsIn) this.#makeGood();
    this.#tell('state');
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }

  /** @param {number} time seconds
   * @returns {Promise<void>} when decoding has begun there */
  async seek(time) {
    this.#wanted = Math.min(Math.max(time, 0), this.duration);
    this.#tell('time');
    if (this.#seeking) return;
    this.#seeking = true;
    try {
      while (this.#wanted !== null && !this.closed) await this.#go(this.#wanted);
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#seeking = false;
    }
  }

  /** One picture on or back; the film pauses.
   * @param {1 | -1} direction */
  async step(direction) {
    this.pause();
    if (!this.shown || this.#seeking) return;
    if (direction < 0) {
      const { track } = this.#units;
      const before = await track.find(track.sample(this.shown.sample).pts - 1);
      if (before >= 0) await this.seek(track.sample(before).pts / track.timescale);
    } else if (this.#asked || !this.#showNext()) this.#asked++;
  }

  /** Whether to play the base alone, which any machine can.
   * @param {boolean} only */
  setBaseOnly(only) {
    this.baseOnly = only;
    this.#tell('state');
    return this.seek(this.shown?.time ?? this.time);
  }

  /** Whether to wait for every picture, however long it takes to be restored.
   * @param {boolean} patient */
  setPatient(patient) {
    this.patient = patient;
    this.#choose();
    this.#tell('state');
  }

  close() {
    this.closed = true;
    cancelAnimationFrame(this.#frame);
    this.clock.stop();
    this.#pictures?.close();
  }

  /** Seconds that a picture is shown, at the present speed. */
  get #each() {
    return (this.shown?.duration || USUAL) / this.rate;
  }

  /** Why the base is to be played in place of the film; null where heads keep up, or nobody is in a hurry. */
  get #slow() {
    const pace = this.statistics.pace ?? this.#least;
    if (this.baseOnly || this.patient || !this.playing || pace === null || pace <= 1000 * this.#each) return null;
    const [restored, played] = [1000 / pace, 1 / this.#each].map((n) => n.toFixed(n < 10 ? 1 : 0));
    return `The base, as this machine restores ${restored} of ${played} pictures a second. Pause for the exact `
      + 'picture; w waits for each';
  }

  /** Play film or base, whichever is right now.
   * @returns {boolean} whether that is a change, which begins here */
  #choose() {
    if (!this.playing || this.#seeking || Boolean(this.#slow) === this.#standsIn) return false;
    this.seek(this.time);
    return true;
  }

  /** Restore the picture that its base stands in for. */
  async #makeGood() {
    const { shown, ended } = this;
    if (!shown) return;
    await this.seek(shown.time);
    if (!this.playing && this.shown.sample === shown.sample) this.ended = ended;
  }

  /** Begin to decode what is shown at a time. */
  async #go(time) {
    const { track } = this.#units;
    const sample = await track.find(Math.floor(time * track.timescale + 1e-3));
    const key = await track.keyBefore(sample);
    if (this.closed) return;
    if (this.#wanted !== time) return; // somebody was faster
    this.#wanted = null;
    this.#pictures?.close();
    this.clock.stop();
    this.clock.set(time);
    this.ended = false;
    const arrived = new Promise((resolve) => (this.arrived = resolve));
    this.#asked = 1;
    this.#begun = null;
    const { statistics } = this;
    const words = this.#slow;
    this.#standsIn = words !== null;
    const pictures = new Pictures({
      units: this.#units, restoring: this.#restoring, statistics, codec: track.codec, key: key < 0 ? sample : key,
      target: track.sample(sample).pts / track.timescale, ahead: this.#ahead, baseOnly: this.baseOnly || this.#standsIn,
      words, begun: (picture) => {
        this.#begun = performance.now();
        setTimeout(() => pictures === this.#pictures && this.#preview(picture), PATIENCE);
      },
      changed: () => pictures === this.#pictures && this.#changed(),
    });
    this.#pictures = pictures;
    if (this.playing) this.#wait();
    await arrived;
  }

  /** A picture has become ready, or the end or an error is there. */
  #changed() {
    const { error, ended } = this.#pictures;
    if (error) {
      this.arrived?.();
      this.#fail(error);
    } else if (this.#asked) {
      while (this.#asked && this.#showNext()) this.#asked--;
      if (ended) this.#asked = 0;
      if (!this.#asked) this.arrived?.();
    }
    if (this.waiting && this.#pictures.full) this.#goOn();
  }

  /** Let the clock stand until pictures are ready. */
  #wait() {
    this.clock.stop();
    this.waiting = true;
    if (this.#pictures?.full) this.#goOn();
    this.#tell('state');
  }

  #goOn() {
    this.waiting = false;
    this.clock.start();
    this.#tell('state');
  }

  #showNext() {
    const picture = this.#pictures?.take();
    if (!picture) return false;
    if (!this.playing) this.clock.set(this.#seeking ? Math.min(picture.time, this.clock.now) : picture.time);
    this.#show(picture);
    return true;
  }

  #show(picture) {
    this.statistics.picture();
    this.#present(picture);
  }

  /** Show the base of what was sought, until that is restored. */
  #preview(picture) {
    if (!this.#asked || this.closed) return;
    this.#present(picture);
    this.arrived?.();
  }

  #present(picture) {
    this.shown = picture;
    this.dispatchEvent(new CustomEvent('picture', { detail: picture }));
  }

  #tick() {
    this.#frame = requestAnimationFrame(this.#loop);
    if (!this.playing || !this.#pictures) return;
    if (this.waiting) {
      if (this.#asked && this.#begun && performance.now() > this.#begun + ENDLESS) this.#least = ENDLESS;
      this.#choose();
    }
    if (this.waiting || this.#asked) return;
    const now = this.clock.now;
    let due = null;
    while (this.#pictures.ready[0]?.time <= now + SOON * this.rate) {
      if (due) this.statistics.dropped++;
      due = this.#pictures.take();
    }
    if (due) {
      this.late = 1000 * (now - due.time);
      this.#show(due);
    } else if (!this.#pictures.ready.length) this.#without(now);
    this.#tell('time');
  }

  /** No picture is ready. */
  #without(now) {
    const end = this.shown ? this.shown.time + this.shown.duration : 0;
    if (this.#pictures.ended) {
      if (now < Math.max(end, Math.min(this.duration, end + 60))) return; // sound may last longer
      this.ended = true;
      this.pause();
    } else if (now > end + LOST) this.seek(now); // the page was hidden, and nothing was shown
    else if (now > end + LATE && !this.#choose()) this.#wait();
  }

  #fail(error) {
    this.#asked = 0; // no base stands in for what will not come, and hides why
    this.pause();
    this.dispatchEvent(new CustomEvent('failure', { detail: error }));
  }

  #tell(type) {
    this.dispatchEvent(new Event(type));
  }
}
