/**
 * The picture on the page: its size, the divider between base and restored film, the lens, the words on it.
 */

import { Zoom } from './zoom.js';

const LENS = 110; // half its size, CSS pixels
const TIMES = 4; // how much it magnifies
const STEP = 2; // hundredths of the width by which keys move the divider

const $ = (id) => document.getElementById(id);

/** The box that the picture lies in. */
export class View {
  #screen = null;
  #pointer = null; // where the lens is, 0 .. 1 of the box
  #divider = 0; // 0 .. 1
  #comparing = false;
  #magnifying = false;
  #aspect = [16, 9];
  #zoom = null; // of stills
  #part = { x: 0, y: 0, width: 1, height: 1 }; // that is to be seen of the picture

  constructor() {
    this.box = $('box');
    new ResizeObserver(() => this.fit()).observe($('stage'));
    const divider = $('divider');
    divider.addEventListener('pointerdown', (event) => {
      divider.setPointerCapture(event.pointerId);
      event.preventDefault();
      divider.focus();
    });
    divider.addEventListener('pointermove', (event) => {
      if (divider.hasPointerCapture(event.pointerId)) this.divide(this.#placeOf(event).x);
    });
    divider.addEventListener('keydown', (event) => this.#dividerKey(event));
    this.box.addEventListener('pointermove', (event) => this.#moved(event));
    this.box.addEventListener('pointerdown', (event) => this.#moved(event));
    this.box.addEventListener('pointerleave', () => this.#moved(null));
  }

  /** A canvas that nothing was drawn on; it takes the place of the last one.
   * @returns {HTMLCanvasElement} */
  canvas() {
    const old = $('picture');
    const canvas = document.createElement('canvas');
    canvas.id = 'picture';
    canvas.setAttribute('role', 'img');
    canvas.setAttribute('aria-label', 'Picture of the film');
    old.replaceWith(canvas);
    $('lensPicture').replaceWith(Object.assign(document.createElement('canvas'), { id: 'lensPicture' }));
    return canvas;
  }

  /** Show what is drawn by a screen, of which the canvas has got its size.
   * @param {import('../drawing/screen.js').Screen | null} screen
   * @param {[number, number]} [size] of what is shown, where the canvas does not tell
   * @param {boolean} [zooms] whether the screen draws parts of it, hence it can be enlarged
   * @param {[string, string]} [sides] what the divider divides */
  begin(screen, size, zooms = false, sides = ['base', 'restored']) {
    this.#screen = screen;
    const labels = [$('isBase'), $('isFilm'), ...$('lens').querySelectorAll('span')];
    labels.forEach((label, k) => (label.textContent = sides[k % 2]));
    $('divider').setAttribute('aria-label', `Divider: left of it is ${sides[0] === 'base' ? 'the base' : sides[0]}`);
    this.#zoom?.close();
    this.#zoom = zooms ? new Zoom(size, () => this.fit(), () => this.#magnifying) : null;
    if (zooms) $('picture').setAttribute('aria-label', 'The picture');
    const { width, height } = $('picture');
    this.#aspect = size ?? [width, height];
    this.box.hidden = false;
    this.fit();
  }

  end() {
    this.#screen = null;
    this.#zoom?.close();
    this.#zoom = null;
    this.#part = { x: 0, y: 0, width: 1, height: 1 };
    this.box.hidden = true;
    this.words(null);
    this.caption('');
  }

  /** @returns {import('../drawing/screen.js').Look} */
  get look() {
    const { clientWidth: width, clientHeight: height } = this.box;
    const divider = this.#comparing ? this.#divider : 0;
    const part = this.#part;
    if (!this.#magnifying || !this.#pointer) return { divider, part, lens: null };
    const [wide, high] = [(2 * LENS * part.width) / TIMES / width, (2 * LENS * part.height) / TIMES / height];
    const x = part.x + this.#pointer.x * part.width - wide / 2;
    const y = part.y + this.#pointer.y * part.height - high / 2;
    return { divider, part, lens: { x, y, width: wide, height: high, canvas: $('lensPicture') } };
  }

  /** @param {import('./pictures.js').Picture} picture */
  show(picture) {
    this.#screen?.show(picture, this.look);
    $('picture').dataset.shown = String(picture.time ?? 0);
    this.words(picture.words);
  }

  get comparing() {
    return this.#comparing;
  }

  get magnifying() {
    return this.#magnifying;
  }

  /** Show base and film beside each other, or no longer.
   * @param {boolean} on */
  compare(on) {
    this.#comparing = on;
    if (on && !this.#divider) this.#divider = 0.5;
    for (const id of ['divider', 'isBase', 'isFilm']) $(id).hidden = !on;
    this.divide(this.#divider);
  }

  /** @param {boolean} on whether the lens follows the pointer */
  magnify(on) {
    this.#magnifying = on;
    this.#pointer ??= { x: 0.5, y: 0.5 };
    this.#redraw();
  }

  /** @param {number} place of the divider, 0 .. 1 */
  divide(place) {
    this.#divider = Math.min(Math.max(place, 0), 1);
    const divider = $('divider');
    const percent = Math.round(100 * this.#divider);
    divider.style.left = `${100 * this.#divider}%`;
    divider.setAttribute('aria-valuenow', String(percent));
    divider.setAttribute('aria-valuetext', `${percent} per cent ${$('isBase').textContent}`);
    this.#redraw();
  }

  /** @param {string | null} sentence on the picture */
  words(sentence) {
    if ($('words').textContent !== (sentence ?? '')) $('words').textContent = sentence ?? '';
    $('words').hidden = !sentence;
  }

  /** @param {string} text subtitle */
  caption(text) {
    $('caption').textContent = text;
  }

  /** As large as there is room. */
  fit() {
    const { clientWidth, clientHeight } = $('stage');
    const [w, h] = this.#aspect;
    const scale = Math.min(clientWidth / w, clientHeight / h);
    let size = { width: Math.floor(w * scale), height: Math.floor(h * scale) };
    if (this.#zoom) ({ part: this.#part, ...size } = this.#zoom.layout(clientWidth, clientHeight));
    this.box.style.width = `${size.width}px`;
    this.box.style.height = `${size.height}px`;
    // on whole pixels of the screen, else all of them are mixed
    Object.assign(this.box.style, { left: 0, top: 0 });
    const { left, top } = this.box.getBoundingClientRect();
    const [x, y] = [left, top].map((at) => Math.round(at * devicePixelRatio) / devicePixelRatio - at);
    Object.assign(this.box.style, { left: `${x}px`, top: `${y}px` });
    this.#redraw();
  }

  #redraw() {
    const { look } = this;
    const lens = $('lens');
    lens.hidden = !look.lens;
    if (look.lens) {
      const { clientWidth: width, clientHeight: height } = this.box;
      const { x, y } = this.#pointer;
      Object.assign(lens.style, {
        left: `${x * width - LENS}px`, top: `${y * height - LENS}px`, width: `${2 * LENS}px`, height: `${2 * LENS}px`,
      });
      const side = Math.round(2 * LENS * devicePixelRatio);
      if (look.lens.canvas.width !== side) Object.assign(look.lens.canvas, { width: side, height: side });
    }
    this.#screen?.look(look);
  }

  #placeOf({ clientX, clientY }) {
    const { left, top, width, height } = this.box.getBoundingClientRect();
    return { x: (clientX - left) / width, y: (clientY - top) / height };
  }

  #moved(event) {
    if (!this.#magnifying) return;
    if (event === null) this.#pointer = null;
    else this.#pointer = this.#placeOf(event);
    this.#redraw();
  }

  #dividerKey(event) {
    const by = { ArrowLeft: -STEP, ArrowRight: STEP, PageDown: -10, PageUp: 10, Home: -100, End: 100 }[event.key];
    if (!by) return;
    event.preventDefault();
    event.stopPropagation();
    this.divide(this.#divider + by / 100);
  }
}
