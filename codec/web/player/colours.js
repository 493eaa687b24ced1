/**
 * A still's samples from its base (FORMAT.md, section 7): Y'CgCo, upscaled and corrected by a head, to grey or RGB.
 *
 * @typedef {import('./planes.js').Plane} Plane
 */

import { checksum, newPlane } from './planes.js';
import { corrections, Head } from './prediction.js';
import { boundOf } from './restore.js';
import { upscale } from './upscale.js';

const UNIT = 16; // of a 10-bit step
const MIDDLE = 512 * UNIT;
const TOP = 1023 * UNIT;
const LIMIT = 2 ** 15; // of corrections

/** Why a still cannot be restored here but is shown by its base alone.
 * @param {import('./payload.js').Still} still
 * @returns {string | null} a sentence, or null where it can */
export function missingOf(still) {
  if (still.bounded === 3) return 'it is lossless, by a palette, which this player cannot decode yet';
  if (still.bounded) return `its loss-stream ${boundOf(still)}, which this player cannot decode yet`;
  return null;
}

/** A still's samples, and whether they are those of the file.
 * @param {Plane[]} base 10 bits, 4:2:0
 * @param {import('./payload.js').Still} still one that nothing is `missingOf`
 * @param {import('./prediction.js').SentHead | null} sent
 * @returns {{planes: {width: number, height: number, samples: Uint8Array | Uint16Array}[],
 *   exact: boolean | null}} grey, or R, G, B, of the still's depth; `exact` is null where there is transparency, which
 *   is summed up too, and is not decoded here */
export function stillSamples(base, still, sent) {
  const { width, height, channels, depth, alpha } = still;
  const film = { width, height, chroma: 3, depth: 10, scale: 0 };
  const upscaled = upscale(base, film);
  const added = sent && corrections(new Head(sent, film.chroma), upscaled, film);
  const [y, g, o] = upscaled.map(({ samples }, p) => Int32Array.from(samples, (sample, i) => {
    const more = added ? limited(added[p][i], -LIMIT, LIMIT - 1) : 0;
    return limited(UNIT * sample + more, 0, TOP);
  }));
  const peak = depth === 8 ? 255 : 65535;
  const planes = Array.from({ length: channels }, () => newPlane({ width, height }, depth));
  const sample = (v) => limited(Math.floor((2 * peak * v + 16368) / 32736), 0, peak);
  for (let i = 0; i < y.length; i++) {
    if (channels === 1) planes[0].samples[i] = sample(y[i]);
    else {
      const [cg, co] = [g[i] - MIDDLE, o[i] - MIDDLE];
      planes[0].samples[i] = sample(y[i] - cg + co);
      planes[1].samples[i] = sample(y[i] + cg);
      planes[2].samples[i] = sample(y[i] - cg - co);
    }
  }
  const summed = alpha === 2 ? [...planes, opaque(planes[0], depth, peak)] : planes;
  return { planes, exact: alpha === 1 ? null : checksum(summed) === still.checksum };
}

const limited = (value, least, most) => (value < least ? least : value > most ? most : value);

function opaque(shape, depth, peak) {
  const plane = newPlane(shape, depth);
  plane.samples.fill(peak);
  return plane;
}
