/**
 * What time it is in the film: by the sound that is heard where there is some, else by the machine's clock.
 */

/** Seconds of a film that pass. */
export class Clock {
  #at = 0; // seconds of the film, when it stood still last
  #since = null; // when it began to run, milliseconds; null while it stands still
  #run = 0; // counts starts, so that one that was overtaken is noticed
  #rate = 1;
  #sound = null;

  /** @returns {boolean} whether it runs, or is about to */
  running = false;

  /** @param {import('./sound.js').Sound | null} sound that it goes by from now on */
  follow(sound) {
    this.#sound = sound;
  }

  /** @returns {string} what it goes by */
  get name() {
    return this.#sound?.works ? 'sound' : 'machine';
  }

  /** @returns {number} seconds of the film */
  get now() {
    if (this.#sound?.playing) return this.#sound.heard;
    if (this.#since === null) return this.#at;
    return this.#at + ((performance.now() - this.#since) / 1000) * this.#rate;
  }

  get rate() {
    return this.#rate;
  }

  /** Let it run. Sound that has to be fetched first is waited for. */
  async start() {
    if (this.running) return;
    this.running = true;
    const run = ++this.#run;
    const sounding = (await this.#sound?.play(this.#at, this.#rate)) ?? false;
    if (run !== this.#run) return;
    if (!sounding) this.#since = performance.now();
  }

  /** Let it stand still. */
  stop() {
    this.#at = this.now;
    this.#since = null;
    this.running = false;
    this.#run++;
    this.#sound?.stop();
  }

  /** @param {number} time seconds; it goes on from there if it ran */
  set(time) {
    const ran = this.running;
    this.stop();
    this.#at = time;
    if (ran) this.start();
  }

  /** @param {number} rate seconds of the film in a second */
  speed(rate) {
    const ran = this.running;
    this.stop();
    this.#rate = rate;
    if (ran) this.start();
  }
}
