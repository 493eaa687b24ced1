// Reads with the player's modules what the jobs of a JSON file ask for, and prints what came of each, as JSON lines.
//
//     node reading.mjs PLAYER JOBS
//
// PLAYER: folder of the modules; JOBS: written by test_reading.py. A job's NvcError is {error}, any other fault {fault}.

import { openSync, readFileSync, readSync, statSync } from 'node:fs';

import { answer, module, peak } from './jobs.mjs';

const { NvcError, crc32 } = await module('files/bytes.js');
const { open } = await module('files/film.js');
const { bytesOf } = await module('restore/planes.js');
const { Head } = await module('restore/prediction.js');
const { Restorer } = await module('restore/restore.js');
const { fileSource, urlSource } = await module('files/source.js');
const { plainText, textOf } = await module('files/text.js');
const { Pretrained, Units } = await module('restore/units.js');

const fromBase64 = (text) => new Uint8Array(Buffer.from(text, 'base64'));
const sourceOf = ({ path }) => fileSource(new Opened(path));
const trackOf = (film, kind) => film.tracks.find((track) => track.kind === kind);

/** A file as browsers give it, which is never read as a whole. */
class Opened {
  name = 'it';

  constructor(path) {
    this.size = statSync(path).size;
    this.file = openSync(path);
  }

  slice(from, to) {
    const bytes = new Uint8Array(to - from);
    const arrayBuffer = async () => bytes.buffer.slice(0, readSync(this.file, bytes, 0, bytes.length, from));
    return { arrayBuffer };
  }
}

/** How many samples each track has, by kind, and what its first and last say. */
async function ends(job) {
  const { tracks, duration } = await open(sourceOf(job));
  const told = [];
  for (const track of tracks) {
    const [first, last] = [await track.find(-Infinity), await track.find(Infinity)];
    const crcs = [];
    for (const i of [first, last]) crcs.push(crc32(await track.data(i)));
    told.push([track.kind, track.count, track.sample(first), track.sample(last), crcs]);
  }
  return { duration, told };
}

/** For each time, in seconds, when the sample of each track begins that `find` names. */
async function finds({ times, ...job }) {
  const { tracks } = await open(sourceOf(job));
  const found = [];
  for (const time of times) {
    const begins = [];
    for (const track of tracks) {
      const i = await track.find(Math.floor(time * track.timescale));
      begins.push(i < 0 ? null : track.sample(i).pts / track.timescale);
    }
    found.push(begins);
  }
  return found;
}

/** The units from the first keyframe on: number in the segment, why that is not restored, the head's identity, checksum
 * of the residual, how the head is steered. */
async function units(job) {
  const track = trackOf(await open(sourceOf(job)), 'video');
  const read = new Units(track, new Pretrained(job.beside ?? 'file:///'));
  await read.first();
  const found = [];
  const keys = [];
  for (let i = 0; i < track.count; i++) if (track.sample(i).key) keys.push(i);
  for await (const { number, segment, residual, steered } of read.from(keys[job.since ?? 0])) {
    const told = steered?.blocks ? { ...steered, blocks: [...steered.blocks] } : steered;
    found.push([number, segment.missing, segment.head?.identity ?? null, residual && crc32(residual), told]);
  }
  return found;
}

/** What `fetch` gets of a server that answers as its name says; a file of `size` bytes, all of them different. */
const SERVERS = {
  good: (from, to, file) => part(file, from, to),
  moved: (from, to, file) => part(file, Math.max(0, from - 1), to),
  broken: (from, to, file, asked) => (asked > 1 ? new Response(failing(), part(file, from, to)) : part(file, from, to)),
  shrunk: (from, to, file, asked) => (asked > 1 ? new Response('', { status: 416 }) : part(file, from, to)),
  replaced: (from, to, file, asked) => part(file, from, to, { ETag: `"${Math.min(asked, 2)}"` }),
  untold: (from, to, file) => part(file, from, to, { 'Content-Range': `bytes ${from}-${to - 1}/*` }),
  endless: (from, to, file) => part(file, from, to, { 'Content-Range': `bytes ${from}-${to - 1}/${'9'.repeat(400)}` }),
  short: (from, to, file) => part(file, from, from ? to - 1 : to, { 'Content-Range': `bytes ${from}-${to - 1}/${file.length}` }),
  empty: () => new Response('', { status: 416 }),
  nothing: () => new Response(null, { status: 204 }),
  large: () => new Response(failing(), { headers: { 'Content-Length': String(2 ** 40) } }),
  breaking: () => new Response(failing()),
};

function part(file, from, to, headers = {}) {
  const end = Math.min(to, file.length);
  const told = { 'Content-Range': `bytes ${from}-${end - 1}/${file.length}`, ETag: '"1"', ...headers };
  return new Response(file.subarray(from, end), { status: 206, headers: told });
}

/** A body that breaks off. */
function failing() {
  return new ReadableStream({ pull: (controller) => controller.error(new TypeError('network error')) });
}

async function served({ server, size, wanted }) {
  const file = Uint8Array.from({ length: size }, (_, i) => i * 31 + (i >> 8));
  const asked = [];
  const source = await urlSource('https://example.org/film.nvc', async (url, { headers }) => {
    const [from, to] = /^bytes=(\d+)-(\d+)$/.exec(headers.Range).slice(1).map(Number);
    asked.push([from, to]);
    return SERVERS[server](from, to + 1, file, asked.length);
  });
  const found = [];
  for (const [offset, length] of wanted) {
    const bytes = await source.read(offset, length);
    found.push(bytes.length === length && bytes.every((byte, i) => byte === file[offset + i]));
  }
  return { size: source.size, found, asked: asked.length };
}

/** How often a film's server is asked before the film is open. */
async function asks({ path }) {
  const file = new Uint8Array(readFileSync(path));
  let asked = 0;
  const source = await urlSource('https://example.org/film.nvc', async (url, { headers }) => {
    const [from, to] = /(\d+)-(\d+)/.exec(headers.Range).slice(1).map(Number);
    asked++;
    return part(file, from, to + 1);
  });
  const film = await open(source);
  return { asked, tracks: film.tracks.length, duration: film.duration };
}

/** Pictures of loss-streams, each on its own: the checksums of what they make of a prediction, or why they do not. */
function losses({ film, step, predicted, payloads }) {
  const planes = predicted.map(({ width, height, data }) => {
    const bytes = fromBase64(data);
    const samples = film.depth === 8 ? bytes : new Uint16Array(bytes.buffer);
    return { width, height, samples };
  });
  return payloads.map((pictures) => {
    const restorer = new Restorer({ ...film, loss_kind: 1, loss_step: step, head_kind: 0 }, null);
    try {
      return pictures.map((payload) =>
        restorer.complete(planes, fromBase64(payload)).map(({ samples }) => crc32(bytesOf(samples))));
    } catch (error) {
      if (!(error instanceof NvcError)) throw error;
      return null;
    }
  });
}

/** Which heads are refused, as their sums could be too large. */
function heads({ chroma, sent }) {
  return sent.map(({ layers, ...head }) => {
    const numbers = layers.map((layer) => (
      { ...layer, weight: Int8Array.from(layer.weight), bias: Int32Array.from(layer.bias) }));
    try {
      return new Head({ ...head, layers: numbers }, chroma) && false;
    } catch (error) {
      if (!(error instanceof NvcError)) throw error;
      return error.message.includes('2^24');
    }
  });
}

/** What the worker answers to messages; a job of this kind can be had but once. */
async function worker({ messages }) {
  const heard = [];
  let tell;
  globalThis.addEventListener = (kind, listener) => (tell = listener);
  globalThis.postMessage = (message) => heard.push(message);
  await module('restore/worker.js');
  const plane = (length) => ({ width: 16, height: length / 16, samples: new Uint16Array(length) });
  for (const message of messages) {
    const data = { ...message };
    if (data.do === 'picture') data.base = [plane(256), { ...plane(64), width: 8, height: 8 }, { ...plane(64), width: 8, height: 8 }];
    tell({ data });
  }
  return heard.map(({ group = null, exact = null, error = null, failed = null }) => ({ group, exact, error, failed }));
}

const JOBS = {
  ends, finds, units, served, asks, losses, heads, worker,
  text: ({ codec, open: opening, times, then }) => plainText(codec, Buffer.from(opening.repeat(times) + then)).length,
  string: ({ text }) => textOf(Buffer.from(text)),
  memory: () => process.memoryUsage().rss,
  peak,
};

await answer(JOBS);
