/**
 * A film that is open: all its parts, from the file to the page, made for each other and closed together.
 */

import { NvcError } from '../files/bytes.js';
import { known, light } from '../drawing/colour.js';
import { open } from '../files/film.js';
import { openDevice } from '../gpu/gpu.js';
import { Marks } from './marks.js';
import { Painting } from '../drawing/paint.js';
import { Peek } from './peek.js';
import { decoderConfig } from './pictures.js';
import { Player } from './player.js';
import { Restoring } from '../restore/restoring.js';
import { Screen } from '../drawing/screen.js';
import { Sound } from './sound.js';
import { Pretrained, Units } from '../restore/units.js';

const PEEK = 90; // pixels that small pictures are high
const LONG = 1 << 26; // bytes of a file without an index in which going ahead takes a while

/** Why the browser has to show the base by itself. */
export class OnlyPlain extends NvcError {
  /** @param {string} message
   * @param {string} codec of the base */
  constructor(message, codec) {
    super(message);
    this.codec = codec;
  }
}

/** An open film. */
export class Session {
  /** Sentences for the viewer. @type {string[]} */
  notes = [];

  /** @param {import('../files/source.js').Source} source
   * @param {import('./view.js').View} view
   * @returns {Promise<Session>}
   * @throws {NvcError} where it cannot be opened; OnlyPlain where the browser can show its base */
  static async open(source, view) {
    const session = new Session();
    session.view = view;
    try {
      await session.#open(source);
    } catch (error) {
      session.close();
      throw error;
    }
    return session;
  }

  async #open(source) {
    this.opening = openDevice(navigator.gpu); // it takes as long as the film does
    this.film = await open(source);
    this.track = this.film.tracks.find(({ kind, codec }) => kind === 'video' && codec.startsWith('av01'));
    if (!this.track) throw new NvcError(`${source.name} has no AV1 video, so it is no film of ours`);
    const units = new Units(this.track, new Pretrained(document.baseURI));
    const { header, sequence, chromaPlace } = await units.first();
    await this.#checkBrowser();
    this.device = await this.opening;
    if (this.device) {
      this.device.lost.then(({ reason }) => reason !== 'destroyed' && this.#lost());
      this.device.addEventListener('uncapturederror', ({ error }) => this.#told(error.message));
    }
    this.restoring = new Restoring(header, this.device);
    if (this.restoring.note) this.notes.push(this.restoring.note);
    const colour = known(this.track.colour, sequence, header.height);
    this.#draw(header, colour, chromaPlace);
    if (source.size > LONG && this.track.pieces?.container.indexed === false) {
      this.notes.push('The file has no index: it is read as far as one goes ahead in it');
    }
    const { note } = light(colour);
    if (note) this.notes.push(note);
    await this.#openSound();
    this.player = new Player(units, this.restoring, header, this.film.duration, this.sound);
    this.player.addEventListener('picture', ({ detail }) => this.view.show(detail));
    this.marks = new Marks(this.player, this.film, this.track, new Peek(this.track, PEEK));
  }

  close() {
    this.player?.close();
    this.sound?.close();
    this.marks?.close();
    this.restoring?.destroy();
    this.screen?.destroy();
    this.opening?.then((device) => device?.destroy());
    this.view.end();
  }

  async #checkBrowser() {
    const { codec } = this.track;
    if (typeof VideoDecoder === 'undefined') {
      const why = isSecureContext ? 'this browser has no WebCodecs' : 'browsers have WebCodecs only behind https';
      throw new OnlyPlain(`The base alone: ${why}, so nothing can be restored here`, codec);
    }
    const found = await VideoDecoder.isConfigSupported(decoderConfig(codec)).catch(() => null);
    if (!found?.supported) throw new OnlyPlain('The base alone: WebCodecs of this browser does not decode AV1', codec);
  }

  #draw(header, colour, chromaPlace) {
    const canvas = this.view.canvas();
    const drawn = this.restoring.by === 'WebGPU'
      ? new Screen(canvas, this.device, header, this.track, colour, chromaPlace)
      : new Painting(canvas, header, this.track, colour, chromaPlace);
    this.screen = drawn;
    this.view.begin(drawn);
  }

  async #openSound() {
    const tracks = this.film.tracks.filter(({ kind }) => kind === 'audio');
    this.sounds = []; // those that can be heard here
    for (const track of tracks) {
      if (await Sound.open(track)) this.sounds.push(track);
      else this.notes.push(`This browser cannot decode sound as ${track.codec}: a track is left out`);
    }
    this.sound = this.sounds.length ? await Sound.open(this.sounds[0]) : null;
  }

  /** Let another track be heard.
   * @param {import('../files/samples.js').Track} track one of `sounds`
   * @param {number} volume 0 .. 1 */
  async hear(track, volume) {
    const sound = await Sound.open(track);
    const { clock } = this.player;
    const ran = clock.running;
    clock.stop();
    this.sound?.close();
    this.sound = sound;
    sound.volume = volume;
    clock.follow(sound);
    if (ran) clock.start();
  }

  #lost() {
    this.player?.pause();
    this.view.words('The GPU gave up; load the page again');
  }

  #told(message) {
    this.view.words(`The GPU refuses: ${message.split('\n')[0]}`);
  }
}
