/**
 * A still's samples (FORMAT.md, section 7): of its base, Y'CgCo, upscaled and corrected by a head, and of what its
 * loss-streams make of that.
 *
 * @typedef {import('./planes.js').Plane} Plane
 */

import { NvcError } from '../files/bytes.js';
import { boundedSamples } from './exact.js';
import { paletteSamples } from './palette.js';
import { checksum, newPlane } from './planes.js';
import { corrections, Head } from './prediction.js';
import { upscale } from './upscale.js';

const UNIT = 16; // of a 10-bit step
const MIDDLE = 512 * UNIT;
const TOP = 1023 * UNIT;
const LIMIT = 2 ** 15; // of corrections
const [GUIDED, PALETTE] = [2, 3]; // of loss-streams
const PALETTE_MAX = 2 ** 24; // pixels, which encoders keep to
const ITEM = 1; // alpha is an item

/** Why a still cannot be restored here but is shown by its base alone.
 * @param {import('./payload.js').Still} still
 * @returns {string | null} a sentence, or null where it can */
export function missingOf(still) {
  if (still.bounded === GUIDED) return 'its loss-stream is guided by density heads, which this player lacks yet';
  if (still.bounded === PALETTE && still.width * still.height > PALETTE_MAX) {
    return 'its palette is of more pixels than this player takes';
  }
  return null;
}

/** Whether a still's samples depend on its base.
 * @param {import('./payload.js').Still} still
 * @returns {boolean} */
export function needsBase(still) {
  return still.bounded !== PALETTE;
}

/**
 * @typedef {object} Bases the decoded temporal units of a still, 10 bits, 4:2:0
 * @property {Plane[]} picture
 * @property {Plane[] | null} alpha
 *
 * A still's samples, and whether they are those of the file.
 * @typedef {object} Samples
 * @property {import('./exact.js').Channel[]} planes grey, or R, G, B, of the still's depth
 * @property {import('./exact.js').Channel | null} alpha null where it is opaque everywhere
 * @property {boolean} exact
 */

/** @param {Bases} bases
 * @param {import('./payload.js').Still} still one that nothing is `missingOf`
 * @param {import('./prediction.js').SentHead | null} sent
 * @param {Plane[] | null} [fine] y, g, o, where they were computed elsewhere
 * @returns {Samples}
 * @throws {NvcError} where a loss-stream is damaged */
export function stillSamples({ picture, alpha: alphaBase }, still, sent, fine = null) {
  const { depth, bounded, max_error: maxError } = still;
  let planes;
  let alpha = null;
  if (bounded === PALETTE) [planes, alpha] = paletteSamples(still);
  else {
    planes = coloured(fine ?? finePlanes(picture, still, sent), still);
    if (bounded) planes = boundedSamples(planes, { loss: still.loss, low: still.loss_low, maxError, depth });
  }
  if (still.alpha === ITEM && !alpha) alpha = alphaSamples(alphaBase, still);
  const summed = still.alpha ? [...planes, alpha ?? opaque(planes[0], depth)] : planes;
  return { planes, alpha, exact: checksum(summed) === still.checksum };
}

const peakOf = (depth) => (depth === 8 ? 255 : 65535);
const scaled = (v, peak) => limited(Math.floor((2 * peak * v + 16368) / 32736), 0, peak);

/** What base and head say: y, g, o, in 1/16 of a 10-bit step. */
function finePlanes(base, { width, height }, sent) {
  const film = { width, height, chroma: 3, depth: 10, scale: 0 };
  const upscaled = upscale(base, film);
  const added = sent && corrections(new Head(sent, film.chroma), upscaled, film);
  return upscaled.map((plane, p) => ({
    ...plane,
    samples: plane.samples.map((sample, i) => {
      const more = added ? limited(added[p][i], -LIMIT, LIMIT - 1) : 0;
      return limited(UNIT * sample + more, 0, TOP);
    }),
  }));
}

/** Grey, or R, G, B. */
function coloured([{ samples: y }, { samples: g }, { samples: o }], { width, height, channels, depth }) {
  const peak = peakOf(depth);
  const planes = Array.from({ length: channels }, () => newPlane({ width, height }, depth));
  for (let i = 0; i < y.length; i++) {
    if (channels === 1) planes[0].samples[i] = scaled(y[i], peak);
    else {
      const [cg, co] = [g[i] - MIDDLE, o[i] - MIDDLE];
      planes[0].samples[i] = scaled(y[i] - cg + co, peak);
      planes[1].samples[i] = scaled(y[i] + cg, peak);
      planes[2].samples[i] = scaled(y[i] - cg - co, peak);
    }
  }
  return planes;
}

/** Transparency, predicted by the luma of its own item. */
function alphaSamples(base, { width, height, depth, alpha_loss: loss, alpha_low: low }) {
  if (!base) throw new NvcError('the payload says that there is transparency, and the file has no item of it');
  const [luma] = base;
  const plane = newPlane({ width, height }, depth);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      plane.samples[i] = scaled(UNIT * luma.samples[y * luma.width + x], peakOf(depth));
    }
  }
  return boundedSamples([plane], { loss, low, maxError: 0, depth })[0];
}

const limited = (value, least, most) => (value < least ? least : value > most ? most : value);

function opaque(shape, depth) {
  const plane = newPlane(shape, depth);
  plane.samples.fill(peakOf(depth));
  return plane;
}
