/**
 * Bounded samples of stills (FORMAT.md, section 7, "Bounded colour" and "Alpha"): 8 bits through one loss-stream, 16
 * bits through two, the second of their lower bytes.
 *
 * @typedef {{width: number, height: number, samples: Uint8Array | Uint16Array}} Channel of 8 or 16 bits
 */

import { NvcError } from '../files/bytes.js';
import { LinearDecoder } from './linear.js';
import { newPlane } from './planes.js';

/** The samples that a loss-stream makes of predicted ones.
 * @param {Channel[]} predicted grey, or R, G, B
 * @param {{loss: Uint8Array, low: Uint8Array, maxError: number, depth: number}} coded `low` of 16 bits alone
 * @returns {Channel[]}
 * @throws {NvcError} on damage */
export function boundedSamples(predicted, { loss, low, maxError, depth }) {
  if (depth === 8) return eightBits(predicted, loss, maxError);
  const high = eightBits(predicted.map((plane) => bytes(plane, (sample) => sample >> 8)), loss, 0);
  if (!low.length || low[0] > 1) throw new NvcError('the lower bytes of 16-bit samples are of an unknown kind');
  const guess = low[0] ? high : high.map((plane) => bytes(plane, () => 128));
  const lower = eightBits(guess, low.subarray(1), 0);
  return high.map(({ width, height, samples }, p) =>
    ({ width, height, samples: Uint16Array.from(samples, (sample, i) => (sample << 8) | lower[p].samples[i]) }));
}

function bytes({ width, height, samples }, of) {
  return { width, height, samples: Uint8Array.from(samples, of) };
}

/** 8-bit channels through a loss-stream: exact colour as Y'CgCo-R, which is reversible, else as G, R, B. */
function eightBits(predicted, loss, maxError) {
  if (predicted.length === 1) return new LinearDecoder(loss, 8, maxError).decode(predicted);
  if (!maxError) return irreversible(new LinearDecoder(loss, 10, 0).decode(reversible(predicted)));
  const [r, g, b] = predicted;
  const [green, red, blue] = new LinearDecoder(loss, 8, maxError).decode([g, r, b]);
  return [red, green, blue];
}

function reversible([r, g, b]) {
  const planes = [0, 1, 2].map(() => newPlane(r, 10));
  const [luma, greenish, orange] = planes.map(({ samples }) => samples);
  for (let i = 0; i < luma.length; i++) {
    const o = r.samples[i] - b.samples[i];
    const t = b.samples[i] + (o >> 1);
    const c = g.samples[i] - t;
    [luma[i], greenish[i], orange[i]] = [t + (c >> 1), c + 256, o + 256];
  }
  return planes;
}

function irreversible([luma, greenish, orange]) {
  const planes = [0, 1, 2].map(() => newPlane(luma, 8));
  const [r, g, b] = planes.map(({ samples }) => samples);
  const limited = (value) => (value < 0 ? 0 : value > 255 ? 255 : value);
  for (let i = 0; i < r.length; i++) {
    const c = greenish.samples[i] - 256;
    const o = orange.samples[i] - 256;
    const t = luma.samples[i] - (c >> 1);
    const blue = t - (o >> 1);
    [r[i], g[i], b[i]] = [limited(blue + o), limited(c + t), limited(blue)];
  }
  return planes;
}
