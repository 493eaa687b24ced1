/**
 * Where a film's bytes come from: a file that somebody chose, or an address, of which ranges are asked for.
 *
 * A source is `{size, name, read(offset, length)}`; `read` gives exactly so many bytes or throws an NvcError. Whatever
 * it is, it is read in blocks, and the last few blocks are kept: indexes are read in many small pieces.
 */

import { NvcError } from './bytes.js';

const BLOCK = 1 << 18; // bytes
const BLOCKS = 64; // that are kept
const WHOLE_MAX = 1 << 29; // bytes of a file that a server gives only as a whole
const STAMPS = ['ETag', 'Last-Modified']; // headers that differ where the file does

/**
 * @typedef {object} Source
 * @property {number} size bytes
 * @property {string} name what sentences call it
 * @property {(offset: number, length: number) => Promise<Uint8Array>} read
 */

/**
 * @param {File | Blob} file that somebody dropped or chose
 * @returns {Source}
 */
export function fileSource(file) {
  const name = /** @type {File} */ (file).name || 'the file';
  return new Blocks(file.size, name, async (offset, end) => {
    try {
      return new Uint8Array(await file.slice(offset, end).arrayBuffer());
    } catch {
      throw new NvcError(`${name} can no longer be read; it may have been moved or changed`);
    }
  });
}

/**
 * A file at an address. Servers that know no ranges have to give all of it, up to 512 MiB.
 * @param {string} url
 * @param {(url: string, init: object) => Promise<Response>} [get] `fetch`, or what a test puts in its place
 * @returns {Promise<Source>}
 */
export async function urlSource(url, get = (address, init) => fetch(address, init)) {
  const name = nameOf(url);
  const first = await answer(get, url, name, 0, BLOCK);
  if (first.status === 416) throw new NvcError(`${name} is empty`);
  if (first.status !== 206) return fileSource(Object.assign(await whole(first, name), { name }));
  const told = rangeOf(first, name);
  const { size } = told;
  let known = await bodyOf(first, name);
  return new Blocks(size, name, async (offset, end) => {
    if (offset === 0 && end === known.length) {
      const bytes = known; // the blocks keep it from now on
      known = new Uint8Array(0);
      return bytes;
    }
    const response = await answer(get, url, name, offset, end);
    if (response.status !== 206) throw changed(name);
    const now = rangeOf(response, name);
    const differs = (stamp) => now[stamp] && told[stamp] && now[stamp] !== told[stamp];
    if (now.size !== size || STAMPS.some(differs)) throw changed(name);
    if (now.start !== offset) throw new NvcError(`the server of ${name} gives other bytes than it is asked for`);
    return bodyOf(response, name);
  });
}

/** The last part of an address, as people would call the file. */
function nameOf(url) {
  const path = url.split(/[?#]/)[0].split('/').pop() || url;
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

function changed(name) {
  return new NvcError(`${name} changed on its server`);
}

async function answer(get, url, name, offset, end) {
  let response;
  try {
    response = await get(url, { headers: { Range: `bytes=${offset}-${end - 1}` } });
  } catch {
    throw new NvcError(`${name} cannot be fetched: its server does not answer, or does not let this page read it`);
  }
  if (!response.ok && response.status !== 416) {
    throw new NvcError(`${name} cannot be fetched: its server answers ${response.status}`);
  }
  return response;
}

/** What an answer with a part of the file says: where that begins, how long the file is, and which version of it. */
function rangeOf(response, name) {
  const found = /^bytes (\d+)-\d+\/(\d+)$/.exec(response.headers.get('Content-Range') ?? '');
  const [start, size] = found ? found.slice(1).map(Number) : [];
  if (!Number.isSafeInteger(size)) {
    throw new NvcError(`the server of ${name} does not tell this page how long it is (Content-Range)`);
  }
  return { start, size, ...Object.fromEntries(STAMPS.map((stamp) => [stamp, response.headers.get(stamp)])) };
}

/** All bytes of an answer. */
async function bodyOf(response, name) {
  try {
    return new Uint8Array(await response.arrayBuffer());
  } catch {
    throw brokenOff(name);
  }
}

function brokenOff(name) {
  return new NvcError(`${name} cannot be fetched: its server broke off, or compresses parts of it`);
}

/** All of an answer that is not one of a part. */
async function whole(response, name) {
  const parts = [];
  const reader = response.body?.getReader();
  let size = Number(response.headers.get('Content-Length') ?? 0);
  if (size <= WHOLE_MAX) size = 0; // of what came
  while (reader && size <= WHOLE_MAX) {
    const { done, value } = await reader.read().catch(() => {
      throw brokenOff(name);
    });
    if (done) return new Blob(parts);
    size += value.length;
    parts.push(value);
  }
  if (!reader) return new Blob();
  await reader.cancel().catch(() => {});
  throw new NvcError(`the server of ${name} knows no ranges, and the file is too large to be fetched as a whole`);
}

/** A source that is fetched in blocks; what is asked for twice at the same time is fetched once. */
class Blocks {
  /**
   * @param {number} size bytes
   * @param {string} name
   * @param {(offset: number, end: number) => Promise<Uint8Array>} fetched
   */
  constructor(size, name, fetched) {
    this.size = size;
    this.name = name;
    this.fetched = fetched;
    /** @type {Map<number, Promise<Uint8Array>>} by number, the one that was not asked for longest first */
    this.kept = new Map();
  }

  async read(offset, length) {
    if (!(offset >= 0 && length >= 0 && offset + length <= this.size)) {
      throw new NvcError(`${this.name} is cut off: it ends at byte ${this.size}, and holds more by its own account`);
    }
    if (!length) return new Uint8Array(0);
    const first = Math.floor(offset / BLOCK);
    const last = Math.floor((offset + length - 1) / BLOCK);
    const blocks = await Promise.all(this.blocks(first, last));
    if (first === last) return blocks[0].slice(offset - first * BLOCK, offset - first * BLOCK + length);
    const out = new Uint8Array(length);
    for (let k = 0; k < blocks.length; k++) {
      const block = blocks[k];
      const from = k === 0 ? offset - first * BLOCK : 0;
      const to = Math.max(0, (first + k) * BLOCK - offset);
      out.set(block.subarray(from, Math.min(block.length, from + length - to)), to);
    }
    return out;
  }

  /** Promises of the blocks first .. last; neighbours that are missing are fetched together. */
  blocks(first, last) {
    const found = [];
    for (let number = first; number <= last; number++) {
      let block = this.kept.get(number);
      if (!block) {
        let run = number + 1;
        while (run <= last && !this.kept.has(run)) run++;
        this.fetch(number, run);
        block = this.kept.get(number);
      }
      this.kept.delete(number);
      this.kept.set(number, block);
      found.push(block);
    }
    for (const number of this.kept.keys()) {
      if (this.kept.size <= BLOCKS) break;
      this.kept.delete(number);
    }
    return found;
  }

  /** Ask for the blocks in [first, end). */
  fetch(first, end) {
    const offset = first * BLOCK;
    const stop = Math.min(end * BLOCK, this.size);
    const run = this.fetched(offset, stop).then((bytes) => {
      if (bytes.length !== stop - offset) throw new NvcError(`${this.name} could not be read as far as byte ${stop}`);
      return bytes;
    });
    for (let number = first; number < end; number++) {
      const at = (number - first) * BLOCK;
      const block = end - first === 1 ? run : run.then((bytes) => bytes.slice(at, at + BLOCK));
      block.catch(() => this.kept.delete(number)); // so that it is asked for again
      this.kept.set(number, block);
    }
  }
}
