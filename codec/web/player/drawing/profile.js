/**
 * Colour profiles of stills: those of a matrix and curves (ICC.1), and code points of H.273, as a way to the sRGB of
 * the page. Others are not applied, which is said.
 */

import { Bytes, NvcError, ascii } from '../files/bytes.js';

const TAGS_MAX = 128;
const CURVE_MAX = 65536; // entries
const STEPS = 4096; // of light that is encoded
const NEAR = 1.5; // levels of 255 by which a way may differ from sRGB and count as that
const FROM_XYZ = [ // D50, as profiles have it, to light of sRGB
  [3.1338561, -1.6168667, -0.4906146], [-0.9787684, 1.9161415, 0.033454], [0.0719453, -0.2289914, 1.4052427],
];
const PRIMARIES = { // light of their red, green and blue to that of sRGB; H.273
  1: [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
  9: [[1.660491, -0.587641, -0.07285], [-0.12455, 1.1329, -0.008349], [-0.018151, -0.100579, 1.11873]],
  12: [[1.22494, -0.22494, 0], [-0.042057, 1.042057, 0], [-0.019638, -0.078636, 1.098274]],
};
const GAMMAS = { 4: 2.2, 5: 2.8, 8: 1 }; // by transfer function; the others are taken for that of sRGB
const LIGHT = { 16: 'PQ', 18: 'HLG' };

const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
const encoded = (v) => (v <= 0.0031308 ? 12.92 * v : 1.055 * v ** (1 / 2.4) - 0.055);

/**
 * How samples become colours of the page.
 * @typedef {object} Way
 * @property {((rgba: Uint8ClampedArray) => void) | null} apply changes colours in place; null where they are sRGB
 * @property {string | null} note a sentence for the viewer
 */

/** @param {{icc: Uint8Array | null, colour: {primaries: number, transfer: number}}} picture
 * @returns {Way} */
export function wayOf({ icc, colour: { primaries, transfer } }) {
  if (icc) {
    try {
      const { name, curves, matrix } = readProfile(icc);
      return wayBy(curves, matrix, `its colour profile (${name}) is applied, to sRGB`);
    } catch (error) {
      if (!(error instanceof NvcError)) throw error;
      return { apply: null, note: `its colour profile is not applied: ${error.message}` };
    }
  }
  if (LIGHT[transfer]) return { apply: null, note: `HDR (${LIGHT[transfer]}): its light is not converted` };
  const matrix = PRIMARIES[primaries];
  if (!matrix) {
    const told = primaries !== 2 && primaries !== 0;
    return { apply: null, note: told ? `its colours (primaries ${primaries}) are shown as if they were sRGB` : null };
  }
  const curve = GAMMAS[transfer] ? (v) => v ** GAMMAS[transfer] : linear;
  return wayBy([curve, curve, curve], matrix, 'its colours are converted to sRGB');
}

function wayBy(curves, matrix, note) {
  const light = curves.map((curve) => Float64Array.from({ length: 256 }, (_, k) => curve(k / 255)));
  const levels = Uint8Array.from({ length: STEPS + 1 }, (_, k) => Math.round(255 * encoded(k / STEPS)));
  const level = (v) => levels[Math.round(STEPS * Math.min(Math.max(v, 0), 1))];
  const apply = (rgba) => {
    for (let at = 0; at < rgba.length; at += 4) {
      const [r, g, b] = [light[0][rgba[at]], light[1][rgba[at + 1]], light[2][rgba[at + 2]]];
      for (let k = 0; k < 3; k++) {
        const v = matrix[k][0] * r + matrix[k][1] * g + matrix[k][2] * b;
        // dark ones by the function: a table is too coarse there
        rgba[at + k] = v < 0.01 ? 255 * encoded(Math.max(v, 0)) : level(v);
      }
    }
  };
  return isPlain(apply) ? { apply: null, note: null } : { apply, note };
}

/** Whether a way leaves colours as they are, but for rounding. */
function isPlain(apply) {
  const grid = [0, 32, 64, 128, 192, 255];
  const before = grid.flatMap((r) => grid.flatMap((g) => grid.flatMap((b) => [r, g, b, 255])));
  const after = Uint8ClampedArray.from(before);
  apply(after);
  return after.every((value, k) => Math.abs(value - before[k]) <= NEAR);
}

/** Curves and matrix to light of sRGB of a profile. */
function readProfile(data) {
  const bytes = new Bytes(data, 0, undefined, 'the profile');
  bytes.skip(16);
  const [space, connection] = [bytes.name(), bytes.name()];
  if (!['RGB ', 'GRAY'].includes(space) || connection !== 'XYZ ') {
    throw new NvcError('it is not one of a matrix and curves');
  }
  bytes.skip(128 - bytes.at);
  const tags = new Map();
  for (let left = Math.min(bytes.u32(), TAGS_MAX); left > 0; left--) {
    const name = bytes.name();
    const [offset, size] = [bytes.u32(), bytes.u32()];
    if (offset + size <= data.length) tags.set(name, new Bytes(data, offset, offset + size, 'the profile'));
  }
  const tag = (name) => {
    if (!tags.has(name)) throw new NvcError('it is not one of a matrix and curves');
    return tags.get(name);
  };
  const name = tags.has('desc') ? described(tags.get('desc')) : '';
  if (space === 'GRAY') {
    const curve = readCurve(tag('kTRC'));
    return { name: name || 'grey', curves: [curve, curve, curve], matrix: PRIMARIES[1] };
  }
  const columns = ['rXYZ', 'gXYZ', 'bXYZ'].map((column) => readXyz(tag(column)));
  const matrix = FROM_XYZ.map((row) => columns.map((xyz) => row.reduce((sum, v, k) => sum + v * xyz[k], 0)));
  return { name: name || 'RGB', curves: ['rTRC', 'gTRC', 'bTRC'].map((curve) => readCurve(tag(curve))), matrix };
}

/** A profile's name, in ASCII or UTF-16. */
function described(bytes) {
  const kind = bytes.name();
  bytes.skip(4);
  let text = '';
  if (kind === 'desc') text = ascii(bytes.take(Math.min(bytes.u32(), bytes.left)));
  else if (kind === 'mluc' && bytes.u32() > 0) {
    bytes.skip(8);
    const [size, offset] = [bytes.u32(), bytes.u32()];
    bytes.skip(Math.max(offset - 28, 0));
    text = new TextDecoder('utf-16be').decode(bytes.take(Math.min(size, bytes.left)));
  }
  return text.replace(/[^ -~]/g, '').slice(0, 40);
}

const fixed = (bytes) => bytes.i32() / 65536;

function readXyz(bytes) {
  if (bytes.name() !== 'XYZ ') throw new NvcError('its matrix is of an unknown form');
  bytes.skip(4);
  return [fixed(bytes), fixed(bytes), fixed(bytes)];
}

/** A curve as a function of 0 .. 1. */
function readCurve(bytes) {
  const kind = bytes.name();
  bytes.skip(4);
  if (kind === 'curv') {
    const count = bytes.u32();
    if (count > CURVE_MAX) throw new NvcError('a curve is too long');
    if (!count) return (v) => v;
    if (count === 1) {
      const gamma = bytes.u16() / 256;
      return (v) => v ** gamma;
    }
    const table = Float64Array.from({ length: count }, () => bytes.u16() / 65535);
    return (v) => {
      const at = v * (count - 1);
      const low = Math.min(Math.floor(at), count - 2);
      return table[low] + (at - low) * (table[low + 1] - table[low]);
    };
  }
  if (kind !== 'para') throw new NvcError('a curve is of an unknown form');
  const form = bytes.u16();
  bytes.skip(2);
  if (form > 4) throw new NvcError('a curve is of an unknown form');
  const numbers = Array.from({ length: [1, 3, 4, 5, 7][form] }, () => fixed(bytes));
  const [g, a = 1, b = 0, c = 0, d = 0, e = 0, f = 0] = numbers;
  const power = (v) => Math.max(a * v + b, 0) ** g;
  if (form < 3) {
    const more = form === 2 ? c : 0;
    return (v) => (form === 0 || v >= -b / a ? power(v) : 0) + more;
  }
  return (v) => (v >= d ? power(v) + e : c * v + f);
}
