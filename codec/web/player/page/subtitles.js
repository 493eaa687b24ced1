/** Which subtitle is to be seen: one track's texts, looked up when the time has come. */

/** Texts of one track. */
export class Subtitles {
  #track;
  #now = { from: 0, to: 0, text: '' }; // what is known: from when to when, seconds
  #looking = false;

  /** @param {import('../files/samples.js').Track} track
   * @param {(text: string) => void} show */
  constructor(track, show) {
    this.#track = track;
    this.show = show;
  }

  /** Tell what time it is.
   * @param {number} time seconds */
  async at(time) {
    if (this.#looking || (time >= this.#now.from && time < this.#now.to)) return;
    this.#looking = true;
    try {
      this.#now = await this.#look(time);
    } catch {
      this.#now = { from: 0, to: Infinity, text: '' }; // a damaged text keeps nobody from watching
    }
    this.#looking = false;
    this.show(this.#now.text);
  }

  async #look(time) {
    const { timescale } = this.#track;
    const i = await this.#track.find(Math.floor(time * timescale));
    if (i < 0) return { from: 0, to: Infinity, text: '' };
    const { pts, duration } = this.#track.sample(i);
    const begin = pts / timescale;
    if (time < begin) return { from: 0, to: begin, text: '' };
    const next = await this.#track.following(i);
    const last = next < 0 ? Infinity : this.#track.sample(next).pts / timescale;
    const end = duration ? begin + duration / timescale : last;
    if (time < end) return { from: begin, to: end, text: await this.#track.text(i) };
    return { from: end, to: Math.max(last, time + 0.1), text: '' };
  }
}

/** A time as people write it.
 * @param {number} seconds
 * @returns {string} such as "1:02:03" */
export function clockText(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (n) => String(n).padStart(2, '0');
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** A time in words, for screen readers.
 * @param {number} seconds
 * @returns {string} */
export function spoken(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const parts = [[Math.floor(whole / 3600), 'hour'], [Math.floor(whole / 60) % 60, 'minute'], [whole % 60, 'second']];
  const told = parts.filter(([n], k) => n || k === 2).map(([n, unit]) => `${n} ${unit}${n === 1 ? '' : 's'}`);
  return told.join(' ');
}
