/**
 * How a still picture is enlarged and moved under the eye: wheel, two fingers, keys, dragging.
 *
 * A part of the picture is `{x, y, width, height}`, 0 .. 1 of it. The scale is told in pixels of the screen to a pixel
 * of the picture, as 100 % shows each pixel as one.
 */

const LEVELS = [1 / 16, 1 / 8, 1 / 4, 1 / 3, 1 / 2, 2 / 3, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32]; // of keys
const NEAR = 1.001; // scales that are nearer count as equal
const WHEEL = 0.002; // of a wheel's pixel, as an exponent
const LINE = 16; // pixels of a wheel that counts lines
const MOVE = 0.15; // of what is to be seen, by which arrows move
const WHOLE = { x: 0, y: 0, width: 1, height: 1 };

const $ = (id) => document.getElementById(id);

/** The enlargement of one picture. */
export class Zoom {
  #stop = new AbortController();
  #changed;
  #size; // of the picture, its pixels
  #scale = null; // CSS pixels to a pixel of the picture; null: all of it, as large as there is room
  #centre = [0.5, 0.5]; // of the picture, in the middle of the box
  #box = [1, 1]; // CSS pixels
  #least = 1;
  #pointers = new Map(); // that are down, by id: where
  #part = WHOLE;

  /** @param {[number, number]} size pixels of the picture as it is shown
   * @param {() => void} changed called when another part is to be shown
   * @param {() => boolean} magnifying whether the pointer belongs to the lens */
  constructor(size, changed, magnifying) {
    this.#size = size;
    this.#changed = changed;
    const stage = $('stage');
    const on = (name, does, options = {}) =>
      stage.addEventListener(name, does, { ...options, signal: this.#stop.signal });
    on('wheel', (event) => this.#wheel(event), { passive: false });
    on('pointerdown', (event) => this.#down(event, magnifying()));
    on('pointermove', (event) => this.#drag(event));
    for (const name of ['pointerup', 'pointercancel']) on(name, (event) => this.#pointers.delete(event.pointerId));
    const before = { capture: true, signal: this.#stop.signal }; // the keys of films
    document.addEventListener('keydown', (event) => this.#key(event), before);
    stage.classList.add('zooms');
  }

  close() {
    this.#stop.abort();
    $('stage').classList.remove('zooms', 'enlarged');
    $('zoom').hidden = true;
  }

  /** Pixels of the screen to a pixel of the picture, as laid out last. */
  get scale() {
    return (this.#scale ?? this.#least) * devicePixelRatio;
  }

  /** How much of a stage the picture takes, and which part of it is to be seen.
   * @param {number} width of the stage, CSS pixels
   * @param {number} height
   * @returns {{width: number, height: number, part: {x: number, y: number, width: number, height: number}}} CSS pixels
   */
  layout(width, height) {
    const [w, h] = this.#size;
    this.#least = Math.min(width / w, height / h);
    const scale = this.#scale ?? this.#least;
    const [wide, high] = [Math.min(width, w * scale), Math.min(height, h * scale)]
      .map((n) => Math.max(Math.floor(n), 1));
    this.#box = [wide, high];
    this.#part = this.#scale === null ? WHOLE : this.#partOf(wide, high);
    this.#tell();
    return { width: wide, height: high, part: this.#part };
  }

  /** The part around the centre, on whole pixels of the screen. */
  #partOf(wide, high) {
    const size = [wide / (this.#size[0] * this.#scale), high / (this.#size[1] * this.#scale)];
    const start = size.map((share, k) => {
      const steps = this.#size[k] * this.scale;
      const at = Math.min(Math.max(this.#centre[k] - share / 2, 0), Math.max(1 - share, 0));
      this.#centre[k] = at + share / 2;
      return Math.round(at * steps) / steps;
    });
    return { x: start[0], y: start[1], width: size[0], height: size[1] };
  }

  /** Show all of it. */
  whole() {
    this.#scale = null;
    this.#centre = [0.5, 0.5];
    this.#changed();
  }

  /** Enlarge around a place of the box, which stays where it is.
   * @param {number} scale pixels of the screen to one of the picture
   * @param {number[]} [at] 0 .. 1 of the box */
  to(scale, at = [0.5, 0.5]) {
    // small pictures may be made smaller than the room for them, but not beyond their own size
    const least = Math.min(this.#least, 1 / devicePixelRatio);
    const next = Math.max(Math.min(scale, LEVELS.at(-1)) / devicePixelRatio, least);
    if (Math.max(next / this.#least, this.#least / next) < NEAR && scale !== 1) {
      this.whole();
      return;
    }
    const { x, y, width, height } = this.#part;
    const fixed = [x + at[0] * width, y + at[1] * height];
    const shares = this.#box.map((pixels, k) => pixels / (this.#size[k] * next));
    this.#centre = fixed.map((place, k) => place + (0.5 - at[k]) * shares[k]);
    this.#scale = next;
    this.#changed();
  }

  /** To the next level of keys, larger or smaller. */
  #level(larger) {
    const now = this.scale;
    this.to(larger
      ? (LEVELS.find((level) => level > now * NEAR) ?? now)
      : (LEVELS.findLast((level) => level < now / NEAR) ?? now));
  }

  /** Move what is seen; shares of the box. */
  #move(across, down) {
    if (this.#scale === null) return;
    this.#centre = [this.#centre[0] + across * this.#part.width, this.#centre[1] + down * this.#part.height];
    this.#changed();
  }

  #tell() {
    const word = $('zoom');
    const percent = `${Math.round(100 * this.scale)} %`;
    const text = this.#scale === null ? '' : `${percent}; 0 shows all`;
    if (word.textContent !== text) word.textContent = text;
    word.hidden = !text;
    $('stage').classList.toggle('enlarged', this.#scale !== null);
  }

  #placeOf({ clientX, clientY }) {
    const { left, top, width, height } = $('box').getBoundingClientRect();
    const limited = (value) => Math.min(Math.max(value, 0), 1);
    return [limited((clientX - left) / width), limited((clientY - top) / height)];
  }

  #wheel(event) {
    if (event.target.closest('#statistics')) return;
    event.preventDefault();
    const pixels = event.deltaY * (event.deltaMode ? LINE : 1);
    this.to(this.scale * Math.exp(-pixels * WHEEL * (event.ctrlKey ? 5 : 1)), this.#placeOf(event));
  }

  #down(event, magnifying) {
    if (magnifying || event.button > 0 || event.target.closest('#divider, button, a')) return;
    this.#pointers.set(event.pointerId, [event.clientX, event.clientY]);
    event.target.setPointerCapture?.(event.pointerId);
  }

  #drag(event) {
    const before = this.#pointers.get(event.pointerId);
    if (!before) return;
    const now = [event.clientX, event.clientY];
    const other = [...this.#pointers].find(([id]) => id !== event.pointerId)?.[1];
    this.#pointers.set(event.pointerId, now);
    if (!other) {
      this.#move((before[0] - now[0]) / this.#box[0], (before[1] - now[1]) / this.#box[1]);
      return;
    }
    const far = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]);
    const middle = { clientX: (now[0] + other[0]) / 2, clientY: (now[1] + other[1]) / 2 };
    if (far(before) > 0) this.to((this.scale * far(now)) / far(before), this.#placeOf(middle));
    this.#move((before[0] - now[0]) / 2 / this.#box[0], (before[1] - now[1]) / 2 / this.#box[1]);
  }

  #key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || $('keys').open) return;
    if (event.target instanceof HTMLInputElement || event.target.id === 'divider') return;
    const does = {
      '+': () => this.#level(true), '=': () => this.#level(true), '-': () => this.#level(false),
      0: () => this.whole(), 1: () => this.to(1),
      ArrowLeft: () => this.#move(-MOVE, 0), ArrowRight: () => this.#move(MOVE, 0),
      ArrowUp: () => this.#move(0, -MOVE), ArrowDown: () => this.#move(0, MOVE),
    }[event.key];
    if (!does) return;
    event.preventDefault();
    event.stopPropagation();
    does();
  }
}
