/** Small pictures of other places in the film: the keyframe's base, decoded beside what plays. */

import { placed } from '../drawing/colour.js';
import { split } from '../files/obu.js';
import { drawTurned } from '../drawing/paint.js';
import { decoderConfig } from './pictures.js';

const KEPT = 64; // pictures
const WIDE = 16 / 9; // they are no wider, by their height

/** Makes small pictures, one at a time. */
export class Peek {
  #track;
  #kept = new Map(); // ImageBitmap by the sample of the keyframe
  #busy = false;
  #next = null;

  /** @param {import('../files/samples.js').Track} track
   * @param {number} height of the pictures, at most */
  constructor(track, height) {
    this.#track = track;
    this.height = height;
  }

  /** A decoded picture, small, and as it lies on the screen. */
  #small(frame) {
    const { width, height, toFilm } = placed({ width: frame.displayWidth, height: frame.displayHeight }, this.#track);
    const scale = Math.min(this.height / height, (this.height * WIDE) / width);
    const canvas = new OffscreenCanvas(Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale)));
    const context = canvas.getContext('2d');
    context.scale(canvas.width, canvas.height);
    drawTurned(context, frame, toFilm);
    frame.close();
    return canvas.transferToImageBitmap();
  }

  /** The picture of a time, handed to `show` unless another was asked for meanwhile.
   * @param {number} time seconds
   * @param {(picture: ImageBitmap) => void} show */
  async at(time, show) {
    this.#next = { time, show };
    if (this.#busy) return;
    this.#busy = true;
    try {
      while (this.#next) {
        const asked = this.#next;
        this.#next = null;
        const picture = await this.#picture(asked.time);
        if (picture && !this.#next) asked.show(picture);
      }
    } catch {
      // a picture that cannot be had is none that anybody needs
    } finally {
      this.#busy = false;
    }
  }

  async #picture(time) {
    const key = await this.#track.keyBefore(await this.#track.find(Math.floor(time * this.#track.timescale)));
    if (key < 0) return null;
    if (!this.#kept.has(key)) this.#keep(key, await this.#decoded(key));
    return this.#kept.get(key);
  }

  async #decoded(key) {
    const { base } = split(await this.#track.data(key));
    let made = null;
    const decoder = new VideoDecoder({
      output: (frame) => {
        made ??= this.#small(frame);
      },
      error: () => {},
    });
    try {
      decoder.configure(decoderConfig(this.#track.codec));
      decoder.decode(new EncodedVideoChunk({ type: 'key', timestamp: 0, data: base }));
      await decoder.flush();
      return await made;
    } finally {
      if (decoder.state !== 'closed') decoder.close();
    }
  }

  #keep(key, picture) {
    this.#kept.set(key, picture);
    if (this.#kept.size > KEPT) {
      const [oldest] = this.#kept.keys();
      this.#kept.get(oldest)?.close();
      this.#kept.delete(oldest);
    }
  }
}
