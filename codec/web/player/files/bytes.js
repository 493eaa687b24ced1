/**
 * Bytes as they lie in files: a cursor that never leaves what it was given, single bits, CRC-32.
 *
 * Numbers are big-endian. Whatever would be read beyond the end is an NvcError, never `undefined` or 0.
 */

/** What is wrong with a file, as a sentence to be shown. */
export class NvcError extends Error {
  /** @param {string} message a sentence, without a full stop */
  constructor(message) {
    super(message);
    this.name = 'NvcError';
  }
}

const ASCII = new TextDecoder('latin1');

/** Reads numbers and runs of bytes one after the other. */
export class Bytes {
  /**
   * @param {Uint8Array} data what is read; it is not copied
   * @param {number} [at] first byte
   * @param {number} [end] behind the last byte
   * @param {string} [what] what sentences call it
   */
  constructor(data, at = 0, end = data.length, what = 'the file') {
    this.data = data;
    this.at = at;
    this.end = end;
    this.what = what;
    this.view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  }

  /** @returns {number} bytes that are left */
  get left() {
    return this.end - this.at;
  }

  /**
   * Pass over bytes.
   * @param {number} count bytes
   * @returns {number} where they began
   */
  skip(count) {
    const start = this.at;
    if (!(count >= 0 && count <= this.end - start)) throw new NvcError(`${this.what} is shorter than it says`);
    this.at = start + count;
    return start;
  }

  /**
   * @param {number} count bytes
   * @returns {Uint8Array} a view of them
   */
  take(count) {
    const start = this.skip(count);
    return this.data.subarray(start, start + count);
  }

  /** @returns {Uint8Array} a view of all that is left */
  rest() {
    return this.take(this.left);
  }

  /** @returns {number} 0 .. 255 */
  u8() {
    return this.data[this.skip(1)];
  }

  /** @returns {number} 0 .. 2^16 - 1 */
  u16() {
    return this.view.getUint16(this.skip(2));
  }

  /** @returns {number} 0 .. 2^24 - 1 */
  u24() {
    return this.u8() * 65536 + this.u16();
  }

  /** @returns {number} 0 .. 2^32 - 1 */
  u32() {
    return this.view.getUint32(this.skip(4));
  }

  /** @returns {number} -2^31 .. 2^31 - 1 */
  i32() {
    return this.view.getInt32(this.skip(4));
  }

  /** @returns {number} 0 .. 2^53 - 1; more is an NvcError, as no file is so long */
  u64() {
    const number = this.u32() * 4294967296 + this.u32();
    if (!Number.isSafeInteger(number)) throw new NvcError(`${this.what} holds a number beyond 2^53`);
    return number;
  }

  /** @returns {number} of 64 bits with a sign, within ±2^53 */
  i64() {
    const number = this.i32() * 4294967296 + this.u32();
    if (!Number.isSafeInteger(number)) throw new NvcError(`${this.what} holds a number beyond 2^53`);
    return number;
  }

  /**
   * @param {number} width bytes, 0 .. 8; of none the number is 0
   * @returns {number}
   */
  number(width) {
    let number = 0;
    for (let k = 0; k < width; k++) number = number * 256 + this.u8();
    if (!Number.isSafeInteger(number)) throw new NvcError(`${this.what} holds a number beyond 2^53`);
    return number;
  }

  /** @returns {string} four letters, as boxes are named by */
  name() {
    return ascii(this.take(4));
  }
}

/** Reads bits, the highest of a byte first. */
export class Bits {
  /**
   * @param {Uint8Array} data what is read
   * @param {string} [what] what sentences call it
   */
  constructor(data, what = 'the file') {
    this.data = data;
    this.what = what;
    this.at = 0; // in bits
  }

  /**
   * @param {number} count bits, 0 .. 32
   * @returns {number} 0 .. 2^count - 1
   */
  take(count) {
    if (this.at + count > this.data.length * 8) throw new NvcError(`${this.what} is cut off`);
    let number = 0;
    for (let k = 0; k < count; k++, this.at++) {
      number = number * 2 + ((this.data[this.at >> 3] >> (7 - (this.at & 7))) & 1);
    }
    return number;
  }
}

/**
 * @param {Uint8Array} bytes
 * @returns {string} a character for each byte
 */
export function ascii(bytes) {
  return ASCII.decode(bytes);
}

/**
 * @param {Uint8Array[]} parts
 * @returns {Uint8Array} one after the other
 */
export function joined(parts) {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

const TABLES = crcTables();

/** Eight tables, so that eight bytes are looked up side by side: entry 256 k + b is of byte b with k zeros behind. */
function crcTables() {
  const tables = new Int32Array(8 * 256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
    tables[byte] = crc;
  }
  for (let at = 256; at < tables.length; at++) {
    const before = tables[at - 256];
    tables[at] = (before >>> 8) ^ tables[before & 255];
  }
  return tables;
}

/**
 * CRC-32 as zlib has it (ISO-HDLC).
 * @param {Uint8Array} bytes
 * @param {number} [crc] of what came before
 * @returns {number} 0 .. 2^32 - 1
 */
export function crc32(bytes, crc = 0) {
  const t = TABLES;
  const whole = bytes.length - (bytes.length & 7);
  let state = ~crc;
  let at = 0;
  for (; at < whole; at += 8) {
    state ^= bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24);
    state =
      t[1792 + (state & 255)] ^
      t[1536 + ((state >>> 8) & 255)] ^
      t[1280 + ((state >>> 16) & 255)] ^
      t[1024 + (state >>> 24)] ^
      t[768 + bytes[at + 4]] ^
      t[512 + bytes[at + 5]] ^
      t[256 + bytes[at + 6]] ^
      t[bytes[at + 7]];
  }
  for (; at < bytes.length; at++) state = (state >>> 8) ^ t[(state ^ bytes[at]) & 255];
  return ~state >>> 0;
}
