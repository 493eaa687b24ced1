/** Buttons and menus of the page, and what they do to the film that is open. */

import { lines } from './statistics.js';
import { Subtitles } from './subtitles.js';

const $ = (id) => document.getElementById(id);
const SPEEDS = [0.25, 0.5, 0.75, 1, 1.25, 1.5, 2, 4];
const IDLE = 2500; // milliseconds after which controls hide in full screen
const TOLD = 250; // milliseconds between two readings of the statistics
const TAPS = 300; // milliseconds between two taps that are one double tap
const TAPPED = 10; // seconds that a double tap beside the middle moves by

/** Controls of one film. */
export class Controls {
  #session;
  #stop = new AbortController();
  #subtitles = null;
  #volume = Number($('volume').value); // as it was left
  #muted = false;
  #timer;
  #idle = 0;
  #touched = false; // whether the last pointer was a finger
  #tapped = 0; // when it tapped last, milliseconds
  #pointed = false; // whether a control was last used by a pointer

  /** @param {import('./session.js').Session} session
   * @param {() => void} another asks for another file */
  constructor(session, another) {
    this.#session = session;
    this.actions = this.#actions(another);
    const { player } = session;
    for (const id of ['compare', 'magnify', 'baseOnly', 'told', 'mute', 'help', 'full', 'another']) {
      this.#on($(id), 'click', () => this.actions[id]());
    }
    this.#on($('play'), 'click', () => this.actions.toggle());
    this.#on($('back'), 'click', () => this.actions.step(-1));
    this.#on($('on'), 'click', () => this.actions.step(1));
    this.#on($('volume'), 'input', () => this.#loud(Number($('volume').value)));
    this.#on($('picture'), 'click', () => session.view.magnifying || this.actions.toggle());
    this.#on($('picture'), 'dblclick', () => this.#touched || this.actions.full());
    this.#on($('picture'), 'pointerup', (event) => this.#tap(event));
    this.#on(player, 'state', () => this.#state());
    this.#on(player, 'time', () => this.#time());
    this.#on(player, 'picture', () => this.#time());
    for (const name of ['pointermove', 'pointerdown', 'keydown']) this.#on($('player'), name, () => this.#awake());
    this.#menus();
    this.#on($('buttons'), 'pointerdown', () => (this.#pointed = true));
    this.#on($('buttons'), 'keydown', () => (this.#pointed = false));
    for (const name of ['click', 'change']) this.#on($('buttons'), name, ({ target }) => this.#used(target, name));
    this.#mute($('mute').getAttribute('aria-pressed') === 'true');
    this.#timer = setInterval(() => this.#tell(), TOLD);
    $('sounds').hidden = session.sound === null;
    $('controls').hidden = false;
    this.#state();
    this.#time();
  }

  close() {
    this.#stop.abort();
    clearInterval(this.#timer);
    clearTimeout(this.#idle);
    unlook(this.#session.view);
    $('controls').hidden = true;
    $('statistics').hidden = true;
    $('wait').hidden = true;
    $('told').setAttribute('aria-pressed', 'false');
    $('player').classList.remove('playing', 'idle');
  }

  #on(target, name, does) {
    target.addEventListener(name, does, { signal: this.#stop.signal });
  }

  /** What a pointer has used gives the keys back to the film; who uses keys stays where they are. */
  #used(target, name) {
    const used = name === 'change' ? target.closest('select, input') : target.closest('button');
    if (this.#pointed && used) used.blur();
  }

  /** Two taps of a finger: at the sides they move, in the middle they are a double click. */
  #tap({ pointerType, clientX, timeStamp }) {
    this.#touched = pointerType === 'touch';
    if (!this.#touched) return;
    const { left, width } = $('picture').getBoundingClientRect();
    const side = Math.floor((3 * (clientX - left)) / width) - 1; // -1, 0 or 1
    if (timeStamp - this.#tapped < TAPS) {
      this.#tapped = 0;
      if (side) this.actions.move(side * TAPPED);
      else this.actions.full();
    } else this.#tapped = timeStamp;
  }

  #actions(another) {
    const { player, view } = this.#session;
    return {
      another,
      toggle: () => player.toggle(),
      step: (direction) => player.step(direction),
      move: (seconds) => player.seek(player.time + seconds),
      tenth: (n) => player.seek((player.duration * n) / 10),
      chapter: (direction) => this.#chapter(direction),
      louder: (by) => this.#loud(Math.min(Math.max(this.#volume + by, 0), 1)),
      mute: () => this.#mute(!this.#muted),
      faster: (direction) => {
        const next = SPEEDS.indexOf(player.rate) + direction;
        if (SPEEDS[next]) player.rate = SPEEDS[next];
      },
      full: () => {
        fullScreen();
        this.#awake();
      },
      ...looking(view),
      baseOnly: () => player.setBaseOnly(!player.baseOnly),
      patient: () => player.setPatient(!player.patient),
      told: () => {
        $('statistics').hidden = !$('statistics').hidden;
        $('told').setAttribute('aria-pressed', String(!$('statistics').hidden));
        this.#tell();
      },
      subtitles: () => {
        const menu = $('subtitles');
        menu.selectedIndex = (menu.selectedIndex + 1) % menu.options.length;
        menu.dispatchEvent(new Event('change'));
      },
      help: () => $('keys').showModal(),
    };
  }

  #menus() {
    const { player, film } = this.#session;
    fill('speed', SPEEDS.map((speed) => [String(speed), `${speed}×`]), '1');
    this.#on($('speed'), 'change', () => (player.rate = Number($('speed').value)));
    const { sounds } = this.#session;
    fill('tracks', named(sounds), '0');
    this.#on($('tracks'), 'change', () => this.#session.hear(sounds[Number($('tracks').value)], this.#heard));
    $('tracks').parentElement.hidden = sounds.length < 2;
    const texts = film.tracks.filter(({ kind }) => kind === 'text');
    fill('subtitles', [['', 'Off'], ...named(texts)], '');
    this.#on($('subtitles'), 'change', () => {
      const chosen = texts[Number($('subtitles').value || NaN)];
      this.#session.view.caption('');
      this.#subtitles = chosen ? new Subtitles(chosen, (text) => this.#session.view.caption(text)) : null;
      this.#subtitles?.at(player.time);
    });
    $('subtitles').parentElement.hidden = !texts.length;
    const chapters = film.chapters.map(({ title }, k) => [String(k), title || `Chapter ${k + 1}`]);
    fill('chapters', chapters, '0');
    this.#on($('chapters'), 'change', () => player.seek(film.chapters[Number($('chapters').value)].start));
    $('chapters').parentElement.hidden = !chapters.length;
  }

  #chapter(direction) {
    const { film, player } = this.#session;
    const now = film.chapters.findLastIndex(({ start }) => start <= player.time + 1e-3);
    const next = film.chapters[now + direction];
    if (next) player.seek(next.start);
  }

  #state() {
    const { player } = this.#session;
    $('player').classList.toggle('playing', player.playing);
    $('play').setAttribute('aria-label', player.playing ? 'Pause' : 'Play');
    $('speed').value = String(player.rate);
    $('baseOnly').setAttribute('aria-pressed', String(player.baseOnly));
    const slow = player.waiting && player.shown !== null;
    $('wait').hidden = !slow;
    if (slow) $('wait').textContent = 'waiting for pictures to be restored; b shows the base, which is faster';
  }

  #time() {
    const { player, marks, film } = this.#session;
    marks.tell();
    this.#subtitles?.at(player.time);
    const chapter = film.chapters.findLastIndex(({ start }) => start <= player.time + 1e-3);
    const value = String(Math.max(chapter, 0));
    if ($('chapters').value !== value && document.activeElement !== $('chapters')) $('chapters').value = value;
  }

  #tell() {
    const list = $('statistics');
    if (list.hidden) return;
    const { player, restoring } = this.#session;
    const { exact, checked } = player.statistics.sums;
    const now = { picture: player.shown, restoring, clock: player.clock.name, late: player.late };
    list.replaceChildren(...lines(player.statistics, now).flatMap(([name, value], k) => {
      const [term, text] = [document.createElement('dt'), document.createElement('dd')];
      [term.textContent, text.textContent] = [name, value];
      if (!k && checked) text.className = exact === checked ? 'right' : 'wrong';
      return [term, text];
    }));
  }

  #loud(volume) {
    this.#volume = volume;
    $('volume').value = String(volume);
    $('volume').setAttribute('aria-valuetext', `${Math.round(100 * volume)} per cent`);
    this.#mute(false);
  }

  #mute(muted) {
    this.#muted = muted;
    $('mute').setAttribute('aria-pressed', String(muted));
    if (this.#session.sound) this.#session.sound.volume = this.#heard;
  }

  /** What the sound is multiplied by; ears hear powers. */
  get #heard() {
    return this.#muted ? 0 : this.#volume ** 2;
  }

  #awake() {
    $('player').classList.remove('idle');
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => {
      $('player').classList.toggle('idle', this.#session.player.playing);
    }, IDLE);
  }
}

/** Controls of a still picture: those of films that it has a use for. */
export class StillControls {
  #stop = new AbortController();
  #view;

  /** @param {import('./still.js').Still} still
   * @param {() => void} another asks for another file */
  constructor({ view }, another) {
    this.#view = view;
    this.actions = new Proxy(stillActions(view, another), { get: (known, name) => known[name] ?? (() => {}) });
    for (const id of ['compare', 'magnify', 'help', 'full', 'another']) {
      $(id).addEventListener('click', () => this.actions[id](), { signal: this.#stop.signal });
    }
    $('player').classList.add('still');
    $('controls').hidden = false;
  }

  close() {
    this.#stop.abort();
    unlook(this.#view);
    $('player').classList.remove('still');
    $('controls').hidden = true;
  }
}

/** What can be done to a still. */
function stillActions(view, another) {
  return { another, ...looking(view), full: fullScreen, help: () => $('keys').showModal() };
}

function fullScreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else $('player').requestFullscreen?.();
}

/** What can be compared. */
function looking(view) {
  const pressed = (id, on) => $(id).setAttribute('aria-pressed', String(on));
  return {
    compare: () => {
      view.compare(!view.comparing);
      pressed('compare', view.comparing);
    },
    magnify: () => {
      view.magnify(!view.magnifying);
      pressed('magnify', view.magnifying);
    },
  };
}

function unlook(view) {
  view.compare(false);
  view.magnify(false);
  for (const id of ['compare', 'magnify']) $(id).setAttribute('aria-pressed', 'false');
}

/** Fill a menu with [value, text]. */
function fill(id, options, chosen) {
  $(id).replaceChildren(...options.map(([value, text]) => new Option(text, value, value === chosen, value === chosen)));
}

/** Tracks as a menu names them. */
function named(tracks) {
  return tracks.map(({ language }, k) => [String(k), nameOf(language) || `Track ${k + 1}`]);
}

/** A language's name in English. */
function nameOf(code) {
  if (!code) return '';
  try {
    return new Intl.DisplayNames(['en'], { type: 'language' }).of(code) ?? code;
  } catch {
    return code;
  }
}
