/**
 * Boxes of ISO/IEC 14496-12, of which MP4 and AVIF files are made: a size, a name of four letters, contents.
 *
 * A box that sticks out of what holds it is an NvcError; nothing is allocated on a box's word.
 */

import { Bytes, NvcError } from './bytes.js';

const INDEX_MAX = 1 << 28; // bytes of a box that is read as a whole

/**
 * @param {Bytes} bytes the contents of a box; what is left of them
 * @yields {[string, Bytes]} name and contents of each box within
 */
export function* boxes(bytes) {
  while (bytes.left >= 8) {
    const start = bytes.at;
    let size = bytes.u32();
    const kind = bytes.name();
    if (size === 1) size = bytes.u64();
    else if (size === 0) size = bytes.end - start;
    if (size < bytes.at - start) return; // no box
    if (start + size > bytes.end) {
      throw new NvcError(`the box '${kind.replace(/[^ -~]/g, '?')}' of ${bytes.what} reaches past what holds it`);
    }
    yield [kind, new Bytes(bytes.data, bytes.at, start + size, bytes.what)];
    bytes.at = start + size;
  }
}

/**
 * @param {Bytes} bytes contents of a box
 * @param {...string} path names of boxes, each within the one before
 * @returns {Bytes | null} the contents of the first that lies there
 */
export function child(bytes, ...path) {
  let found = bytes;
  for (const name of path) {
    let inner = null;
    for (const [kind, body] of boxes(fresh(found))) {
      if (kind === name) {
        inner = body;
        break;
      }
    }
    if (!inner) return null;
    found = inner;
  }
  return found;
}

/**
 * @param {Bytes} bytes
 * @returns {Bytes} another cursor over what is left
 */
export function fresh(bytes) {
  return new Bytes(bytes.data, bytes.at, bytes.end, bytes.what);
}

/**
 * Version and flags of a full box.
 * @param {Bytes} bytes
 * @returns {{version: number, flags: number}}
 */
export function fullBox(bytes) {
  return { version: bytes.u8(), flags: bytes.u24() };
}

/**
 * @typedef {object} Outer a box of the file itself
 * @property {string} kind
 * @property {number} offset of the box
 * @property {number} body first byte of its contents
 * @property {number} end behind it; beyond the file's where the file is cut off
 */

/**
 * @param {import('./source.js').Source} source
 * @param {number} offset of a box
 * @returns {Promise<Outer | null>} the box there, null at the end of the file, and where none is
 */
export async function outerBox(source, offset) {
  const there = Math.min(16, Math.max(0, source.size - offset));
  const head = new Bytes(await source.read(offset, there), 0, undefined, source.name);
  if (head.left < 8) return null;
  let size = head.u32();
  const kind = head.name();
  if (size === 1) size = head.left < 8 ? 0 : head.u64();
  else if (size === 0) size = source.size - offset;
  return size < head.at ? null : { kind, offset, body: offset + head.at, end: offset + size };
}

/**
 * @param {import('./source.js').Source} source
 * @param {Outer} box
 * @returns {Promise<Bytes>} its contents
 */
export async function contents(source, box) {
  if (box.end > source.size) throw new NvcError(`${source.name} is cut off within its index`);
  if (box.end - box.body > INDEX_MAX) throw new NvcError(`the index of ${source.name} is larger than any film's`);
  return new Bytes(await source.read(box.body, box.end - box.body), 0, undefined, source.name);
}
