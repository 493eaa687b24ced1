/** The seek bar: where segments and chapters begin, how far it has played, and a small picture under the pointer. */

import { clockText, spoken } from './subtitles.js';

const $ = (id) => document.getElementById(id);
const FLASH = 0.3; // opacity of marks of segments
const APART = 4; // pixels between marks of segments, on the average; where they are closer there are none

/** The bar of one film. */
export class Marks {
  #film;
  #peek;
  #keys = [];
  #player;
  #stop = new AbortController();
  #drawn = '';

  /** @param {import('./player.js').Player} player
   * @param {import('../files/mp4.js').Film} film
   * @param {import('../files/samples.js').Track} track
   * @param {import('./peek.js').Peek | null} peek */
  constructor(player, film, track, peek) {
    this.#player = player;
    this.#film = film;
    this.#peek = peek;
    this.#keys = track.keyTimes().filter((time) => time > 0);
    const bar = $('seek');
    bar.max = String(film.duration);
    const on = (target, name, does) => target.addEventListener(name, does, { signal: this.#stop.signal });
    on(bar, 'input', () => player.seek(Number(bar.value)));
    on(bar, 'pointermove', (event) => this.#hover(event));
    on(bar, 'pointerleave', () => ($('peek').hidden = true));
    on(window, 'resize', () => this.draw(true));
    on(matchMedia('(prefers-color-scheme: dark)'), 'change', () => this.draw(true));
  }

  close() {
    this.#stop.abort();
    $('peek').hidden = true;
  }

  /** Show what time it is. */
  tell() {
    const { time, duration } = this.#player;
    const bar = $('seek');
    bar.value = String(time);
    const spokenTime = `${spoken(time)} of ${spoken(duration)}`;
    if (bar.getAttribute('aria-valuetext') !== spokenTime) bar.setAttribute('aria-valuetext', spokenTime);
    const text = `${clockText(time)} / ${clockText(duration)}`;
    if ($('time').textContent !== text) $('time').textContent = text;
    this.draw();
  }

  /** @param {boolean} [anew] even where nothing seems to have changed */
  draw(anew = false) {
    const canvas = $('marks');
    const width = Math.round(canvas.clientWidth * devicePixelRatio);
    const height = Math.round(canvas.clientHeight * devicePixelRatio);
    const { time, duration } = this.#player;
    const played = Math.round((width * time) / duration) || 0;
    const state = [width, height, played].join();
    if (state === this.#drawn && !anew) return;
    this.#drawn = state;
    [canvas.width, canvas.height] = [width, height];
    const context = canvas.getContext('2d');
    context.fillStyle = getComputedStyle(canvas).color;
    context.globalAlpha = 0.25;
    context.fillRect(0, 0, width, height);
    context.globalAlpha = 0.75;
    context.fillRect(0, 0, played, height);
    const line = Math.max(1, Math.round(devicePixelRatio));
    context.globalCompositeOperation = 'destination-out';
    const distance = width / devicePixelRatio / (this.#keys.length + 1);
    context.globalAlpha = Math.min(1, FLASH + (0.7 * distance) / 6);
    const marked = distance < APART ? [] : this.#keys;
    for (const key of marked) context.fillRect(Math.round((width * key) / duration), 0, line, height);
    context.globalAlpha = 1;
    for (const { start } of this.#film.chapters) {
      if (start > 0) context.fillRect(Math.round((width * start) / duration) - line, 0, 3 * line, height);
    }
  }

  #hover({ clientX }) {
    const { left, width } = $('line').getBoundingClientRect();
    const place = Math.min(Math.max((clientX - left) / width, 0), 1);
    const time = place * this.#player.duration;
    const box = $('peek');
    const [canvas, label] = box.children;
    const chapter = this.#film.chapters.findLast(({ start }) => start <= time);
    label.textContent = clockText(time) + (chapter?.title ? ` ${chapter.title}` : '');
    box.hidden = false;
    const half = box.offsetWidth / 2;
    box.style.left = `${Math.min(Math.max(place * width - half, 0), width - 2 * half)}px`;
    this.#peek?.at(time, (picture) => {
      [canvas.width, canvas.height] = [picture.width, picture.height];
      canvas.getContext('2d').drawImage(picture, 0, 0);
    });
  }
}
