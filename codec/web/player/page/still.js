/** Still pictures: the base decoded, restored in a worker, and drawn beside each other as films are. */

import { answer } from './asking.js';
import { openStill } from '../files/avif.js';
import { bytesBeside, headFileOf } from '../files/beside.js';
import { NvcError } from '../files/bytes.js';
import { placed } from '../drawing/colour.js';
import { missingOf, needsBase } from '../restore/colours.js';
import { openDevice } from '../gpu/gpu.js';
import { ImageScreen } from '../drawing/imagescreen.js';
import { split } from '../files/obu.js';
import { readStill } from '../restore/payload.js';
import { decoderConfig, planesOf } from './pictures.js';
import { wayOf } from '../drawing/profile.js';
import { fineStill } from '../restore/restoring.js';
import { baseImage, filmImage } from './stillimage.js';
import { readHeadFile, stillHead } from '../restore/weights.js';

const SIZE_MAX = 2 ** 29; // bytes of a file
const BASE_LEAST = 16; // samples a side
const EXACT = 'exact: its checksum is that of the file';
const LOSSLESS = 10000; // of psnr: equal to the source

/** A still that is open. */
export class Still {
  notes = [];

  /** @param {import('../files/source.js').Source} source
   * @param {import('./view.js').View} view
   * @returns {Promise<Still>}
   * @throws {NvcError} where it cannot be shown here; its base may be shown by the browser */
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
    const { width, height, depth } = header;
    this.way = wayOf(picture);
    const bases = await decodedBases(picture, unit, header);
    const place = placed(header, picture);
    this.screen = new ImageScreen(this.view.canvas(), place);
    this.view.begin(this.screen, [place.width, place.height], true);
    this.base = bases && baseImage(bases, header, this.way);
    const psnr = header.psnr === LOSSLESS ? '' : `, ${(header.psnr / 100).toFixed(2)} dB as stored`;
    this.notes.push(`${width}x${height}, ${depth} bits${psnr}`, ...(this.way.note ? [this.way.note] : []));
    const missing = missingOf(header);
    if (missing) this.#showBase(missing);
    else if (this.base) this.#show(this.base, 'This is the base: it is being restored …');
    /** Settles when it has been restored, or cannot be. */
    this.done = missing ? Promise.resolve() : this.#restore(header, bases);
  }

  async #restore(header, bases) {
    let found;
    try {
      const head = header.head ? stillHead(header, await headFile(header.head)) : null;
      const fine = head && (await fineByGpu(bases.picture, header, head));
      if (this.closed) return;
      if (head && !fine) this.#show(this.base, 'This is the base: it is being restored, in JavaScript …');
      found = await this.#restored(header, bases, head, fine);
    } catch (error) {
      if (!(error instanceof NvcError) || !this.base) throw error;
      if (!this.closed) this.#showBase(error.message);
      return;
    }
    if (this.closed) return;
    const wrong = 'This picture is not exact: its checksum is not that of the file';
    this.#show(filmImage(found, header, this.way), found.exact ? null : wrong);
    if (found.exact) this.notes[0] += `; ${EXACT}`;
  }

  /** Let a worker restore it. */
  #restored(still, bases, head, fine) {
    this.worker = new Worker(new URL('../restore/worker.js', import.meta.url), { type: 'module' });
    const job = { do: 'still', ticket: 0, bases, still, head, fine };
    return answer(this.worker, job).finally(() => this.worker.terminate());
  }

  #showBase(why) {
    if (!this.base) throw new NvcError(why);
    this.#show(this.base, `This is the base: ${why}`);
  }

  #show(film, words) {
    this.view.show({ images: { film, base: this.base ?? film }, words });
  }

  close() {
    this.closed = true;
    this.worker?.terminate();
    this.screen?.destroy();
    this.view.end();
  }
}

/** The base of a picture and of its transparency; null where nothing needs it and the browser cannot decode it. */
async function decodedBases(picture, unit, header) {
  try {
    const alpha = header.alpha === 1 && picture.alpha ? await decoded(picture.codec, picture.alpha, header) : null;
    return { picture: await decoded(picture.codec, unit, header), alpha };
  } catch (error) {
    if (!(error instanceof NvcError) || needsBase(header)) throw error;
    return null;
  }
}

/** A base's planes. */
async function decoded(codec, unit, still) {
  if (typeof VideoDecoder === 'undefined') throw new NvcError('this browser has no WebCodecs');
  let planes = null;
  let failed = null;
  const decoder = new VideoDecoder({
    output: (frame) => (planes ? frame.close() : (planes = planesOf(frame))),
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
  const found = await planes;
  const size = [still.width, still.height].map((side) => Math.max(BASE_LEAST, side));
  if (found[0].width !== size[0] || found[0].height !== size[1]) {
    throw new NvcError('its base is of another size than the payload says');
  }
  return found;
}

/** What base and head say, by the GPU; null where there is none that can do it. */
async function fineByGpu(base, still, head) {
  const device = await openDevice(navigator.gpu);
  try {
    return await fineStill(device, base, still, head);
  } catch (error) {
    if (!(error instanceof NvcError)) throw error;
    return null;
  } finally {
    device?.destroy();
  }
}

async function headFile(number) {
  const data = await bytesBeside(headFileOf('still', number), document.baseURI);
  if (!data) throw new NvcError(`the program's head ${number} of stills is not beside this page`);
  const file = readHeadFile(data);
  return () => file;
}
