/** Still pictures: the base decoded, restored in a worker, and drawn beside each other as films are. */

import { openStill } from './avif.js';
import { NvcError } from './bytes.js';
import { missingOf } from './colours.js';
import { openDevice } from './gpu.js';
import { split } from './obu.js';
import { Painting } from './paint.js';
import { readStill } from './payload.js';
import { decoderConfig, planesOf } from './pictures.js';
import { Screen } from './screen.js';
import { readHeadFile, stillHead } from './weights.js';

const SIZE_MAX = 2 ** 29; // bytes of a file
const HEAD_FILE = 'still.bin'; // beside the page
const BASE_COLOUR = { primaries: 1, transfer: 13, matrix: 8, full: true };
const OWN_COLOUR = { primaries: 1, transfer: 13, matrix: 0, full: true };
const CHECKED = { // what is said of a still by whether it is exact
  true: 'exact: its checksum is that of the file',
  false: 'NOT exact: its checksum is not that of the file',
  null: 'colours restored; its transparency is not decoded, hence no checksum compared',
};
const LEFT = 1; // place of chroma

/** A still that is open. */
export class Still {
  notes = [];

  /** @param {import('./source.js').Source} source
   * @param {import('./view.js').View} view
   * @returns {Promise<Still>}
   * @throws {NvcError} where it cannot be restored here; its base may be shown by the browser */
  static async open(source, view) {
    const still = new Still();
    still.view = view;
    try {
      await still.#open(source);
    } catch (error) {
      still.close();
      throw error;
    }
    return still;
  }

  async #open(source) {
    if (source.size > SIZE_MAX) throw new NvcError('the picture is too large for this page');
    const picture = openStill(await source.read(0, source.size));
    const { payloads, base: unit } = split(picture.base);
    if (payloads.length !== 1) throw new NvcError('this AVIF file holds no payload of NVC: any browser shows it');
    const header = readStill(payloads[0]);
    const missing = missingOf(header);
    if (missing) throw new NvcError(missing);
    const base = await decoded(picture.codec, unit);
    const head = header.head ? stillHead(header, await headFile(header.head)) : null;
    this.device = await openDevice(navigator.gpu).catch(() => null);
    this.#draw(picture, header);
    this.view.show({ base, planes: null, words: 'This is the base: it is being restored, in JavaScript …' });
    /** Settles when it has been restored. */
    this.done = this.#restore(picture, header, base, head);
    this.done.catch(() => {}); // who opened it looks after that
  }

  async #restore(picture, header, base, head) {
    const { planes, exact } = await restored(base, header, head);
    if (this.closed) return;
    const [r, g, b] = header.depth === 8 ? planes : planes.map(upperBytes);
    const words = exact === false ? 'This picture is not exact: its checksum is not that of the file' : null;
    this.view.show({ base, planes: header.channels === 1 ? [r] : [g, b, r], words });
    const checked = CHECKED[String(exact)];
    const psnr = header.psnr === 10000 ? '' : `, ${(header.psnr / 100).toFixed(2)} dB as stored`;
    this.notes.push(`${header.width}x${header.height}, ${header.depth} bits${psnr}; ${checked}`);
    if (picture.icc) this.notes.push('its colour profile is not applied');
  }

  close() {
    this.closed = true;
    this.screen?.destroy();
    this.device?.destroy();
    this.view.end();
  }

  #draw(picture, { width, height, channels }) {
    const film = { width, height, chroma: channels === 1 ? 0 : 3, depth: 8, scale: 0 };
    const canvas = this.view.canvas();
    const own = channels === 1 ? { ...OWN_COLOUR, matrix: 1 } : OWN_COLOUR;
    const side = Math.max(width, height);
    const fits = this.device && side <= this.device.limits.maxTextureDimension2D;
    this.screen = fits
      ? new Screen(canvas, this.device, film, picture, own, LEFT, BASE_COLOUR)
      : new Painting(canvas, film, picture, own, LEFT, BASE_COLOUR);
    this.view.begin(this.screen);
  }
}

function upperBytes({ width, height, samples }) {
  return { width, height, samples: Uint8Array.from(samples, (sample) => sample >> 8) };
}

/** The base's planes. */
async function decoded(codec, unit) {
  if (typeof VideoDecoder === 'undefined') throw new NvcError('this browser has no WebCodecs');
  let planes = null;
  let failed = null;
  const decoder = new VideoDecoder({
    output: (frame) => (planes ??= planesOf(frame)),
    error: (error) => (failed = error),
  });
  try {
    decoder.configure(decoderConfig(codec));
    decoder.decode(new EncodedVideoChunk({ type: 'key', timestamp: 0, data: unit }));
    await decoder.flush();
  } catch (error) {
    failed ??= error;
  }
  if (decoder.state !== 'closed') decoder.close();
  if (!planes) throw new NvcError(`its base cannot be decoded: ${failed?.message ?? 'it has no picture'}`);
  return planes;
}

async function headFile(number) {
  const response = number === 1 ? await fetch(new URL(HEAD_FILE, document.baseURI)).catch(() => null) : null;
  if (!response?.ok) throw new NvcError(`the program's head ${number} of stills is not beside this page`);
  const file = readHeadFile(new Uint8Array(await response.arrayBuffer()));
  return () => file;
}

/** Let a worker restore it. */
function restored(base, still, head) {
  const worker = new Worker(new URL('worker.js', import.meta.url), { type: 'module' });
  return new Promise((resolve, reject) => {
    worker.addEventListener('message', ({ data }) => {
      if (data.failed) reject(new NvcError(data.failed));
      else resolve(data);
    });
    worker.addEventListener('error', () => reject(new NvcError('the worker of the player stopped')));
    worker.postMessage({ do: 'still', ticket: 0, base, still, head });
  }).finally(() => worker.terminate());
}
