/** Pictures as Gaussians (.nvs): read in a worker, and drawn at any size by a GPU or, without one, by that worker. */

import { answer } from './asking.js';
import { bytesBeside } from '../files/beside.js';
import { NvcError } from '../files/bytes.js';
import { openDevice } from '../gpu/gpu.js';
import { ImageScreen, imageOf } from '../drawing/imagescreen.js';
import { SplatScreen } from '../gaussians/splat.js';

const SIZE_MAX = 2 ** 28; // bytes of a file
const TABLES = 'tables.bin'; // beside the page
const UPRIGHT = [1, 0, 0, 1, 0, 0];
const EXACT = 'each pixel as every decoder of .nvs gives it (integers); between them, Gaussians as real functions';

/** An .nvs file that is open. */
export class Gaussians {
  notes = [];
  /** Settles when all has been shown. */
  done = Promise.resolve();

  /** @param {import('../files/source.js').Source} source
   * @param {import('./view.js').View} view
   * @returns {Promise<Gaussians>}
   * @throws {NvcError} where the file is none, or cannot be shown here */
  static async open(source, view) {
    const opened = new Gaussians();
    opened.view = view;
    try {
      await opened.#open(source);
    } catch (error) {
      opened.close();
      throw error;
    }
    return opened;
  }

  async #open(source) {
    if (source.size > SIZE_MAX) throw new NvcError('the picture is too large for this page');
    const [data, tables] = await Promise.all([source.read(0, source.size), tablesFile()]);
    this.worker = new Worker(new URL('../gaussians/splatworker.js', import.meta.url), { type: 'module' });
    const { gaussians, rgba, moved } = await answer(this.worker, { do: 'open', data, tables });
    this.device = moved && (await openDevice(navigator.gpu));
    this.screen = await this.#screenOf(gaussians, rgba, moved);
    const { width, height, codes } = gaussians;
    this.view.begin(this.screen, [width, height], true, ['pixels', 'Gaussians']);
    this.view.show(this.images ?? {});
    const count = codes.reduce((sum, { atoms }) => sum + atoms.tile.length, 0);
    this.notes.unshift(`${width}x${height}, ${count.toLocaleString('en')} Gaussians; ${EXACT}`);
  }

  /** What draws it: a GPU, else JavaScript. */
  async #screenOf(gaussians, rgba, moved) {
    const { width, height } = gaussians;
    if (this.device) {
      try {
        const screen = await SplatScreen.open(this.view.canvas(), this.device, gaussians, rgba, moved);
        this.worker.terminate();
        return screen;
      } catch (error) {
        if (!(error instanceof NvcError)) throw error;
        this.notes.push(error.message);
      }
    }
    const image = imageOf(rgba, width, height);
    this.images = { images: { film: image, base: image } };
    const screen = new ImageScreen(this.view.canvas(), { width, height, toFilm: UPRIGHT });
    if (moved) {
      const failed = (why) => this.closed || this.view.words(`Enlarged it is shown as squares: ${why}`);
      new Enlarging(screen, this.worker, gaussians, document.getElementById('picture'), failed);
      this.notes.push('enlarged it is drawn by JavaScript, as there is no WebGPU here: that takes longer');
    } else this.notes.push('it is too large to be drawn between its pixels here: enlarged, they are squares');
    return screen;
  }

  close() {
    this.closed = true;
    this.worker?.terminate();
    this.screen?.destroy();
    this.device?.destroy();
    this.view.end();
  }
}

/** Has a worker draw what is enlarged, once it is shown as squares. */
class Enlarging {
  #worker;
  #canvas;
  #gaussians;
  #failed; // is told why something cannot be drawn
  #busy = false;
  #wanted = null; // what is to be drawn next
  #shown = null; // what is on the canvas

  constructor(screen, worker, gaussians, canvas, failed) {
    [this.#worker, this.#gaussians, this.#canvas, this.#failed] = [worker, gaussians, canvas, failed];
    screen.looked = (part, divider) => this.#looked(part, divider);
    canvas.dataset.drawn = 'pixels';
  }

  #looked(part, divider) {
    const { width, height } = this.#canvas;
    const scale = width / (part.width * this.#gaussians.width);
    this.#shown = { part, divider, width, height };
    this.#canvas.dataset.drawn = 'pixels';
    this.#wanted = scale > 1 + 0.5 / width ? { look: this.#shown, scale } : null;
    this.#next().catch((error) => this.#failed(error.message));
  }

  async #next() {
    if (this.#busy || !this.#wanted) return;
    const { look, scale } = this.#wanted;
    const { width, height } = this.#gaussians;
    this.#wanted = null;
    this.#busy = true;
    const { x, y } = look.part;
    const part = { x: x * width, y: y * height, scale, width: look.width, height: look.height };
    const { rgba } = await answer(this.#worker, { do: 'enlarge', part });
    this.#busy = false;
    if (this.#shown === look) this.#put(rgba, look);
    await this.#next();
  }

  /** Draw it right of the divider. */
  #put(rgba, { width, height, divider }) {
    const left = Math.round(divider * width);
    this.#canvas.getContext('2d').putImageData(new ImageData(rgba, width, height), 0, 0, left, 0, width - left, height);
    this.#canvas.dataset.drawn = 'gaussians';
  }
}

async function tablesFile() {
  const data = await bytesBeside(TABLES, document.baseURI);
  if (!data) throw new NvcError('the tables of .nvs files (tables.bin) are not beside this page');
  return data;
}
