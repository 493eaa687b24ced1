/**
 * The .nvs file (SPLAT.md, "File"): what its header says, where its groups of tiles lie, and all that is in them.
 *
 * Nothing is allocated before the lengths that a header tells were compared with the file's.
 *
 * @typedef {object} Code the picture, or its alpha
 * @property {number} channels 1 or 3
 * @property {number} step of the quantiser, 1/64 of a pixel value
 * @property {Int32Array} base of each tile and channel mean, gradient along x, gradient along y, in steps
 * @property {Int32Array} starts where each tile's atoms begin, and the last ones end
 * @property {import('./nvssections.js').Atoms} atoms tile by tile
 *
 * @typedef {object} Gaussians what a file holds
 * @property {number} width pixels
 * @property {number} height
 * @property {{rows: number, columns: number}} grid tiles
 * @property {Code[]} codes the picture and, if there is one, its alpha
 */

import { Bytes, NvcError, ascii, crc32 } from '../files/bytes.js';
import { TILE } from './nvsatoms.js';
import { Models, readBase, readGroup } from './nvssections.js';

const FORM = 4; // version 1
const [COLOUR, ALPHA] = [1, 2];
const GROUP = 8; // tiles a side
const PIXELS_MAX = 2 ** 26; // that a decoder takes on the word of a header
const STEP_MIN = 16;
const RATIO_MAX = 254;

/** @param {Uint8Array} head the beginning of a file
 * @returns {boolean} whether it is an .nvs file */
export function isGaussians(head) {
  return ascii(head.subarray(0, 3)) === 'NVS';
}

/** CRC-16 (CCITT): polynomial 0x1021, highest bit first. */
function crc16(bytes, start) {
  let crc = start;
  for (const byte of bytes) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1;
    crc &= 0xffff;
  }
  return crc;
}

/** A number of 1 to 4 bytes, seven bits each, lowest first. */
function varint(bytes) {
  let value = 0;
  for (let shift = 0; shift < 28; shift += 7) {
    const byte = bytes.u8();
    value |= (byte & 127) << shift;
    if (byte < 128) {
      if (shift && !byte) break;
      return value;
    }
  }
  throw new NvcError("a section's length is damaged");
}

function ranged(name, value, least, most) {
  if (value < least || value > most) throw new NvcError(`the file's ${name} is ${value}, outside ${least}..${most}`);
  return value;
}

/** Width, height, and step and ratios of each code. */
function readFront(bytes) {
  if (!isGaussians(bytes.take(3))) throw new NvcError('this is no .nvs file');
  const form = ranged('form', bytes.u8(), FORM, FORM + COLOUR + ALPHA);
  const [width, height] = [ranged('width', bytes.u16(), 1, 65535), ranged('height', bytes.u16(), 1, 65535)];
  if (width * height > PIXELS_MAX) throw new NvcError(`a picture of ${width}x${height} pixels is too large`);
  const fronts = [form & COLOUR ? 3 : 1, ...(form & ALPHA ? [1] : [])].map((channels) => ({
    channels,
    step: ranged('step', bytes.u16(), STEP_MIN, 65535),
    ratios: Array.from({ length: 3 * channels }, () => ranged('ratio', bytes.u8(), 1, RATIO_MAX)),
  }));
  return { width, height, fronts };
}

/** Numbers of the tiles of each group, row by row. */
function* groupsOf({ rows, columns }) {
  for (let y = 0; y < rows; y += GROUP) {
    for (let x = 0; x < columns; x += GROUP) {
      const tiles = [];
      for (let j = y; j < Math.min(y + GROUP, rows); j++) {
        for (let i = x; i < Math.min(x + GROUP, columns); i++) tiles.push(j * columns + i);
      }
      yield tiles;
    }
  }
}

/**
 * @param {Uint8Array} data the whole file
 * @param {Uint8Array} tables the file tables.bin of the program
 * @returns {Gaussians}
 * @throws {NvcError} on anything illegal
 */
export function readGaussians(data, tables) {
  const bytes = new Bytes(data);
  const { width, height, fronts } = readFront(bytes);
  const grid = { rows: Math.ceil(height / TILE), columns: Math.ceil(width / TILE) };
  const groups = [...groupsOf(grid)];
  const lengths = Array.from({ length: (1 + groups.length) * fronts.length }, () => varint(bytes));
  const heads = fronts.map((_, k) => bytes.take(lengths[k]));
  const crc = crc32(data.subarray(0, bytes.at));
  if (bytes.u32() !== crc) throw new NvcError("the file's header is damaged: it does not match its CRC-32");
  const sections = groups.map((_, g) => readSealed(bytes, lengths.slice((g + 1) * fronts.length), fronts, crc, g));
  if (bytes.left) throw new NvcError('the file is longer than its header says');
  const models = new Models(tables);
  const codes = fronts.map(({ channels, step, ratios }, k) => {
    const { base, counts } = readBase(heads[k], models, grid, ratios);
    const found = groups.map((tiles, g) =>
      [tiles, groupOf(sections[g][k], models, channels, counts, tiles, g)]);
    return { channels, step, base, ...inOrder(found, counts, channels) };
  });
  return { width, height, grid, codes };
}

/** The sections of a group, one a code, compared with their CRC-16. */
function readSealed(bytes, lengths, fronts, crc, number) {
  const start = bytes.at;
  const sections = fronts.map((_, k) => bytes.take(lengths[k]));
  if (bytes.at === start) return sections;
  const sum = crc16(bytes.data.subarray(start, bytes.at), (crc ^ number) & 0xffff);
  if (bytes.u16() !== sum) throw new NvcError(`group ${number} of the file is damaged: it does not match its CRC-16`);
  return sections;
}

function groupOf(section, models, channels, counts, tiles, number) {
  const own = Uint8Array.from(tiles, (tile) => counts[tile]);
  const total = own.reduce((a, b) => a + b, 0);
  if (section.length < Math.ceil(total / 8) || (section.length && !total)) {
    throw new NvcError(`group ${number} of the file has ${section.length} bytes for its ${total} atoms`);
  }
  return readGroup(section, models, channels, own, number);
}

/** Atoms of all groups, tile by tile. */
function inOrder(groups, counts, channels) {
  const starts = new Int32Array(counts.length + 1);
  counts.forEach((count, tile) => (starts[tile + 1] = starts[tile] + count));
  const total = starts[counts.length];
  const next = starts.slice();
  const [tile, shape, place] = [new Int32Array(total), new Int32Array(total), new Int32Array(total)];
  const amplitudes = Array.from({ length: channels }, () => new Int32Array(total));
  for (const [tiles, atoms] of groups) {
    atoms.tile.forEach((t, i) => {
      const at = next[tiles[t]]++;
      [tile[at], shape[at], place[at]] = [tiles[t], atoms.shape[i], atoms.place[i]];
      amplitudes.forEach((values, channel) => (values[at] = atoms.amplitudes[channel][i]));
    });
  }
  return { starts, atoms: { tile, shape, place, amplitudes } };
}
