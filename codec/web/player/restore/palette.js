/**
 * Stills of few colours (FORMAT.md, section 7, "Palette"): the colours, and what becomes of the indices.
 *
 * @typedef {import('./exact.js').Channel} Channel
 */

import { NvcError } from '../files/bytes.js';
import { IndexDecoder } from './indexed.js';
import { newPlane } from './planes.js';
import { CountTables, SymbolReader } from './range.js';

const FRONT = 3; // bytes
const [ROUNDS, TRANSPOSED, WITH_ALPHA] = [3, 4, 8]; // flags

/** The samples of a still that its palette holds.
 * @param {import('./payload.js').Still} still
 * @returns {[Channel[], Channel | null]} grey, or R, G, B; alpha where colours hold it
 * @throws {NvcError} on damage */
export function paletteSamples(still) {
  const { width, height, channels, depth, loss } = still;
  if (loss.length < FRONT) throw new NvcError('the loss-stream has no palette');
  const [flags, high, low] = loss;
  const withAlpha = (flags & WITH_ALPHA) !== 0;
  if (flags >= 2 * WITH_ALPHA || (withAlpha && still.alpha !== 1)) {
    throw new NvcError("the palette's flags are not those of its picture");
  }
  if (withAlpha && (still.alpha_loss.length || still.alpha_low.length)) {
    throw new NvcError('transparency is both of the palette and in a loss-stream of its own');
  }
  const count = high * 256 + low + 1;
  if (count > width * height) throw new NvcError(`a palette of ${count} colours is larger than its picture`);
  const reader = new SymbolReader(loss.subarray(FRONT));
  const colours = readColours(reader, count, channels, withAlpha, depth);
  const turned = (flags & TRANSPOSED) !== 0;
  const size = turned ? [width, height] : [height, width];
  const indices = count > 1 ? new IndexDecoder(reader, ...size, count, flags & ROUNDS).run() : null;
  reader.finish();
  const planes = colours.map((values) => {
    const plane = newPlane({ width, height }, depth);
    for (let y = 0, i = 0; y < height; y++) {
      for (let x = 0; x < width; x++, i++) {
        plane.samples[i] = values[indices ? indices[turned ? x * height + y : i] : 0];
      }
    }
    return plane;
  });
  const alpha = withAlpha ? planes.pop() : null;
  const [first, second, third] = planes; // green comes first
  return [third ? [second, first, third] : [first], alpha];
}

/** Values of all colours, channel by channel in the order in which they are compared. */
function readColours(reader, count, channels, withAlpha, depth) {
  const all = channels + (withAlpha ? 1 : 0);
  const wide = depth / 8;
  const tables = new CountTables(Array.from({ length: all * wide }, () => new Int32Array(256).fill(1)));
  const colours = Array.from({ length: all }, () => new Int32Array(count));
  const peak = 2 ** depth - 1;
  for (let first = 0; first < count;) {
    const end = Math.min(Math.max(1, 2 * first), count);
    const classes = Uint8Array.from({ length: (end - first) * all * wide }, (_, k) => k % (all * wide));
    const sent = reader.read(tables, classes);
    for (let k = first, at = 0; k < end; k++) {
      for (let c = 0; c < all; c++, at += wide) {
        const value = wide === 1 ? sent[at] : sent[at] * 256 + sent[at + 1];
        const alone = c === 0 || (withAlpha && c === all - 1); // else told by the first channel
        colours[c][k] = (alone ? (k ? colours[c][k - 1] : 0) : colours[0][k]) + value;
        if (c) colours[c][k] &= peak;
      }
    }
    first = end;
  }
  if (colours[0][count - 1] > peak) throw new NvcError('the palette is damaged: a colour that there is not');
  for (let k = 1; k < count; k++) {
    const differs = colours.find((values) => values[k] !== values[k - 1]);
    if (!differs || differs[k] < differs[k - 1]) throw new NvcError('the palette is damaged: its colours do not rise');
  }
  return colours;
}
