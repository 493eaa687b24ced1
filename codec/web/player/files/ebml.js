/**
 * EBML (RFC 8794), of which Matroska files are made: an element is an id, a size and a body.
 *
 * An element that sticks out of what holds it is an NvcError, except at the end of a file that is cut off.
 */

import { Bytes, NvcError } from './bytes.js';
import { textOf } from './text.js';

const MASTER_MAX = 1 << 27; // bytes of an element that is read as a whole
export const MANY = Symbol('many');
export const UNKNOWN = -1; // the size of an element that goes on until another begins

/**
 * @typedef {object} Element
 * @property {number} id with its marker, as specifications write it
 * @property {number} offset of the element in the file
 * @property {number} body first byte of its contents
 * @property {number} end behind it; UNKNOWN where that is not told
 */

/** A number of variable length at the cursor; `marked`: with the bit that tells its length, as ids are. */
function variable(bytes, marked, longest) {
  const first = bytes.u8();
  const length = Math.clz32(first) - 23;
  if (length > longest) throw new NvcError(`${bytes.what} holds something that is no element of Matroska`);
  let number = marked ? first : first - 2 ** (8 - length);
  let ones = number === 2 ** (8 - length) - 1;
  for (let k = 1; k < length; k++) {
    const byte = bytes.u8();
    ones &&= byte === 255;
    number = number * 256 + byte;
  }
  if (ones && !marked) return UNKNOWN;
  if (!Number.isSafeInteger(number)) throw new NvcError(`${bytes.what} holds a number beyond 2^53`);
  return number;
}

/**
 * @param {Bytes} bytes
 * @returns {number} a number of variable length, as sizes and numbers of tracks are written; UNKNOWN if all bits are 1
 */
export function sizeAt(bytes) {
  return variable(bytes, false, 8);
}

/**
 * @param {Bytes} bytes
 * @returns {number} a number with a sign, as the sizes of frames in a block
 */
export function signedSizeAt(bytes) {
  const start = bytes.at;
  const number = variable(bytes, false, 8);
  const length = bytes.at - start;
  const bias = 2 ** (7 * length - 1) - 1;
  return (number === UNKNOWN ? 2 ** (7 * length) - 1 : number) - bias;
}

/**
 * @param {import('./source.js').Source} source
 * @param {number} offset
 * @returns {Promise<Element | null>} the element there; null at the end of the file
 */
export async function elementAt(source, offset) {
  const left = Math.min(12, source.size - offset);
  if (left < 2) return null;
  const bytes = new Bytes(await source.read(offset, left), 0, undefined, source.name);
  const id = variable(bytes, true, 4);
  const size = sizeAt(bytes);
  const body = offset + bytes.at;
  return { id, offset, body, end: size === UNKNOWN ? UNKNOWN : body + size };
}

/**
 * @param {import('./source.js').Source} source
 * @param {Element} element
 * @returns {Promise<Bytes>} its contents
 */
export async function bodyOf(source, element) {
  const size = element.end - element.body;
  if (element.end === UNKNOWN || element.end > source.size) {
    throw new NvcError(`${source.name} is cut off within its index`);
  }
  if (size > MASTER_MAX) throw new NvcError(`the index of ${source.name} is larger than any film's`);
  return new Bytes(await source.read(element.body, size), 0, undefined, source.name);
}

/**
 * @param {Bytes} bytes contents of an element
 * @yields {[number, Bytes]} id and contents of each element within
 */
export function* elements(bytes) {
  while (bytes.left > 0) {
    const id = variable(bytes, true, 4);
    const size = sizeAt(bytes);
    const end = size === UNKNOWN ? bytes.end : bytes.at + size;
    if (end > bytes.end) throw new NvcError(`an element of ${bytes.what} reaches past what holds it`);
    const start = bytes.at;
    bytes.at = end;
    yield [id, new Bytes(bytes.data, start, end, bytes.what)];
  }
}

/**
 * What a master element holds, by names.
 * @param {Bytes} bytes its contents
 * @param {Record<number, [string, (body: Bytes) => any, symbol?]>} known name and reader by id, and MANY where all of
 *   them count, as an array; else the last one does. Elements of other ids are passed over
 * @returns {object}
 */
export function record(bytes, known) {
  const found = {};
  for (const [id, body] of elements(bytes)) {
    const [name, read, times] = known[id] ?? [];
    if (!name) continue;
    if (times === MANY) (found[name] ??= []).push(read(body));
    else found[name] = read(body);
  }
  return found;
}

/** @param {Bytes} body @returns {number} an unsigned integer of up to 8 bytes */
export function uint(body) {
  return body.number(Math.min(body.left, 8));
}

/** @param {Bytes} body @returns {number} */
export function float(body) {
  if (body.left === 4) return body.view.getFloat32(body.skip(4));
  if (body.left === 8) return body.view.getFloat64(body.skip(8));
  return 0;
}

/** @param {Bytes} body @returns {string} */
export function string(body) {
  return textOf(body.rest());
}

/** @param {Bytes} body @returns {Uint8Array} */
export function binary(body) {
  return body.rest();
}
