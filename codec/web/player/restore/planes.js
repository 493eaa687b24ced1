/**
 * Pictures as planes: the one form in which samples travel through the player.
 *
 * A plane is `{width, height, samples}`: rows from the top, one after the other without gaps, in a Uint8Array where
 * samples have 8 bits and a Uint16Array where they have 10. A picture is an array of planes: Y, then U and V where
 * there is chroma.
 *
 * @typedef {{width: number, height: number, samples: Uint8Array | Uint16Array}} Plane
 *
 * What is the same in all segments of a film, by FORMAT.md's names and numbers; a segment's header will do.
 * @typedef {{width: number, height: number, chroma: 0|1|2|3, depth: 8|10, scale: 0|1|2|3|4,
 *   still?: boolean}} Film `still`: predictions are wanted in 1/16 of a 10-bit step, in 16 bits
 */

import { crc32, NvcError } from '../files/bytes.js';

/** Luma samples that a chroma sample stands for, [across, down], by `chroma`; null without chroma. */
export const SUBSAMPLING = [null, [2, 2], [2, 1], [1, 1]];

export const BASE_DEPTH = 10; // bits of the base's samples, and of what is upscaled
const BASE_LEAST = 16; // samples a side
const SCALES = [[1, 1], [3, 2], [2, 1], [3, 1], [4, 1]]; // film size / base size, by `scale`

/** Film size / base size as a fraction.
 * @param {Film} film
 * @returns {[number, number]} numerator, denominator */
export function scaleOf(film) {
  return SCALES[film.scale];
}

/** Largest sample value.
 * @param {number} depth bits
 * @returns {number} */
export function peakOf(depth) {
  return (1 << depth) - 1;
}

/** Luma samples under a chroma sample, [across, down]; [1, 1] for luma, and where there is no chroma.
 * @param {number} chroma
 * @param {number} p number of the plane
 * @returns {[number, number]} */
export function subsamplingOf(chroma, p) {
  return (p && SUBSAMPLING[chroma]) || [1, 1];
}

/** Sizes of a picture's planes.
 * @param {number} width of luma, samples
 * @param {number} height of luma, samples
 * @param {number} chroma
 * @returns {{width: number, height: number}[]} */
export function shapesOf(width, height, chroma) {
  return Array.from({ length: SUBSAMPLING[chroma] ? 3 : 1 }, (_, p) => {
    const [sx, sy] = subsamplingOf(chroma, p);
    return { width: Math.ceil(width / sx), height: Math.ceil(height / sy) };
  });
}

/** Size of the base of a film, luma samples.
 * @param {Film} film
 * @returns {{width: number, height: number}} */
export function baseSize(film) {
  const [p, q] = scaleOf(film);
  return {
    width: Math.max(BASE_LEAST, Math.ceil((film.width * q) / p)),
    height: Math.max(BASE_LEAST, Math.ceil((film.height * q) / p)),
  };
}

/** Refuse a base picture of another size than its film's: a frame may be smaller than the sequence header says.
 * @param {Plane[]} base
 * @param {Film} film
 * @throws {NvcError} */
export function checkBase([luma], film) {
  const { width, height } = baseSize(film);
  if (luma.width !== width || luma.height !== height) {
    throw new NvcError(`the base shows a picture of ${luma.width}x${luma.height} samples, not of ${width}x${height}`);
  }
}

/** A plane of zeros.
 * @param {{width: number, height: number}} shape
 * @param {number} depth bits of a sample, 8 or 10
 * @returns {Plane} */
export function newPlane({ width, height }, depth) {
  const size = width * height;
  return { width, height, samples: depth === 8 ? new Uint8Array(size) : new Uint16Array(size) };
}

/** Bytes of samples as FORMAT.md sums them: of 10 bits as 16, the low byte first.
 * @param {Uint8Array | Uint16Array} samples
 * @returns {Uint8Array} the same memory, where this machine's order is that */
export function bytesOf(samples) {
  if (samples.BYTES_PER_ELEMENT === 2 && new Uint8Array(Uint16Array.of(1).buffer)[0] !== 1) {
    samples = samples.map((sample) => (sample >> 8) | (sample << 8));
  }
  return new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength);
}

/** Checksum of a picture: CRC-32 of its planes in order, rows from the top.
 * @param {Plane[]} planes
 * @param {number} crc of the pictures before it in its group
 * @returns {number} 32 bits, not negative */
export function checksum(planes, crc = 0) {
  return planes.reduce((sum, plane) => crc32(bytesOf(plane.samples), sum), crc);
}
