/** What is counted while a film plays: exact pictures, bytes by part, milliseconds. */

import { isSteered, sentAs } from '../restore/payload.js';

const WINDOW = 1000; // milliseconds over which pictures a second are counted
const SMOOTH = 0.1; // weight of the newest measurement in a mean
const PACED = [2, 9]; // least and most measurements that a pace is told by
const SEEN = 1; // of a group: what its pictures were found to be
const WRONG = 2;

/** Counts what a film is found to be; what is decoded again is not counted again. */
export class Statistics {
  #segments = new Map(); // by the sample that opens them
  #shown = []; // when pictures were shown, within the window
  #last = []; // milliseconds that the last pictures took to be restored
  /** Milliseconds that a picture takes to decode, and to be restored; null before the first. */
  decode = null;
  head = null;
  dropped = 0;

  /** A unit that was read.
   * @param {import('../restore/units.js').Unit} unit */
  unit({ segment, number, bytes }) {
    const counted = this.#of(segment);
    counted.missing = segment.missing !== null;
    if (number < counted.units) return;
    counted.units = number + 1;
    for (const part of ['base', 'head', 'loss']) counted.bytes[part] += bytes[part];
  }

  /** @param {number} milliseconds that the decoder was at a picture */
  decoded(milliseconds) {
    this.decode = mean(this.decode, milliseconds);
  }

  /** @param {number} milliseconds that a picture took to be restored */
  restored(milliseconds) {
    this.head = mean(this.head, milliseconds);
    this.#last.push(milliseconds);
    if (this.#last.length > PACED[1]) this.#last.shift();
  }

  /** Milliseconds that a picture takes here to be restored, whatever single ones took (the first waits for shaders);
   * null as long as too few are known. */
  get pace() {
    if (this.#last.length < PACED[0]) return null;
    return this.#last.toSorted((a, b) => a - b)[(this.#last.length - 1) >> 1];
  }

  /** What a picture was found to be.
   * @param {import('../restore/units.js').Unit} unit
   * @param {import('../restore/restoring.js').Finished} done
   * @returns {boolean} whether its group has another checksum than the file says */
  checked({ segment, number }, { group, exact }) {
    const counted = this.#of(segment);
    counted.missing = segment.missing !== null;
    if (counted.missing) counted.based = Math.max(counted.based, number + 1);
    if (group === null) return false;
    counted.groups[group] = exact ? SEEN : WRONG;
    return !exact;
  }

  /** A picture that is shown now. */
  picture() {
    this.#shown.push(performance.now());
  }

  /** Pictures a second, at this moment. */
  get rate() {
    const since = performance.now() - WINDOW;
    while (this.#shown.length && this.#shown[0] < since) this.#shown.shift();
    return this.#shown.length * 1000 / WINDOW;
  }

  /** @returns {{exact: number, checked: number, based: number, base: number, head: number, loss: number}} pictures
   *   whose checksum is right, those that have been compared, those shown by their base; bytes of each part */
  get sums() {
    const sums = { exact: 0, checked: 0, based: 0, base: 0, head: 0, loss: 0 };
    for (const { groups, header, bytes, based } of this.#segments.values()) {
      groups.forEach((found, k) => {
        const pictures = Math.min(header.group, header.frames - k * header.group);
        if (found) sums.checked += pictures;
        if (found === SEEN) sums.exact += pictures;
      });
      sums.based += based;
      for (const part of ['base', 'head', 'loss']) sums[part] += bytes[part];
    }
    return sums;
  }

  #of({ key, header }) {
    let counted = this.#segments.get(key);
    if (!counted) {
      const groups = new Uint8Array(header.checksums.length);
      counted = { header: small(header), groups, units: 0, based: 0, bytes: { base: 0, head: 0, loss: 0 } };
      this.#segments.set(key, counted);
    }
    return counted;
  }
}

/** What is counted by; the head's bytes are not kept. */
function small({ frames, group }) {
  return { frames, group };
}

function mean(before, value) {
  return before === null ? value : before + SMOOTH * (value - before);
}

/** The lines of the overlay.
 * @param {Statistics} statistics
 * @param {{picture: import('./pictures.js').Picture | null, restoring: import('../restore/restoring.js').Restoring,
 *   clock: string, late: number | null}} now
 * @returns {[string, string][]} names and values */
export function lines(statistics, { picture, restoring, clock, late }) {
  const { exact, checked, based, base, head, loss } = statistics.sums;
  const header = picture?.unit.segment.header;
  const count = (n) => n.toLocaleString('en');
  const milliseconds = (n) => (n === null ? '–' : `${n.toFixed(1)} ms`);
  const lines = [
    ['exact', `${count(exact)} of ${count(checked)} pictures${based ? `; ${count(based)} by their base` : ''}`],
    ['pictures a second', `${statistics.rate}${statistics.dropped ? `, ${statistics.dropped} passed over` : ''}`],
    ['decoding', milliseconds(statistics.decode)],
    [`head, by ${restoring.by}`, milliseconds(statistics.head)],
    ['base', bytes(base)],
    ['heads', bytes(head)],
    ['loss-stream', bytes(loss)],
  ];
  if (header) {
    const psnr = header.psnr === 10000 ? 'exact' : `${(header.psnr / 100).toFixed(2)} dB`;
    lines.push(['PSNR as stored', psnr]);
    const layout = ['4:0:0', '4:2:0', '4:2:2', '4:4:4'][header.chroma];
    lines.push(['film', `${header.width}x${header.height}, ${layout}, ${header.depth} bits`]);
    lines.push(['head', headText(picture.unit.segment)]);
  }
  lines.push(['clock', late === null ? clock : `${clock}, picture ${late.toFixed(0)} ms after it`]);
  return lines;
}

function headText({ head, header }) {
  if (!header.layers) return 'none';
  const kind = `${['', 'whole', 'difference', 'pretrained'][sentAs(header)]}${isSteered(header) ? ', steered' : ''}`;
  const parameters = head?.layers.reduce((sum, { weight, bias }) => sum + weight.length + bias.length, 0);
  return `${kind}, ${header.layers} layers of ${header.head_width}${parameters ? `, ${parameters} numbers` : ''}`;
}

/** @param {number} n
 * @returns {string} such as "1.2 MB" */
export function bytes(n) {
  if (n < 1000) return `${n} B`;
  return n < 1e6 ? `${(n / 1e3).toFixed(1)} kB` : `${(n / 1e6).toFixed(2)} MB`;
}
