// Does with the player's modules what the jobs of a JSON file ask for, and prints what came of each, as JSON lines.
//
//     node files.mjs PLAYER JOBS
//
// PLAYER: folder of the modules; JOBS: written by test_files.py. A job's NvcError is {error}, any other fault {fault}.

import { readFileSync } from 'node:fs';

import { answer, module, peak } from './jobs.mjs';

const { NvcError, crc32 } = await module('files/bytes.js');
const { fileSource, urlSource } = await module('files/source.js');
const { split, sequenceHeader } = await module('files/obu.js');
const { readProperties, readSegment, readStill, readTracks, unitPayloads } = await module('restore/payload.js');
const { headFileOf } = await module('files/beside.js');
const { derived } = await module('restore/derived.js');
const { splitSteering, Steering } = await module('restore/steering.js');
const { decodeLayers, readHead, readHeadFile, stillHead } = await module('restore/weights.js');
const { isAvif, openStill } = await module('files/avif.js');
const { open } = await module('files/film.js');

const bytesOf = (text) => new Uint8Array(Buffer.from(text, 'base64'));
const fileOf = ({ path, data }) => (data === undefined ? new Uint8Array(readFileSync(path)) : bytesOf(data));
const sourceOf = (job) => fileSource(Object.assign(new Blob([fileOf(job)]), { name: job.path }));
const numbers = (record) => Object.fromEntries(Object.entries(record).filter(([, value]) => typeof value === 'number'));
const layersOf = (layers) => layers.map((layer) => ({ ...layer, weight: [...layer.weight], bias: [...layer.bias] }));
const layersFrom = (layers) =>
  layers.map((layer) => ({ ...layer, weight: Int8Array.from(layer.weight), bias: Int32Array.from(layer.bias) }));
const filesOf = (paths) => (number) => {
  if (!paths[number]) throw new NvcError(`there is no head ${number}`);
  return readHeadFile(new Uint8Array(readFileSync(paths[number])));
};

/** All that a film's index says, and a checksum of each sample. */
async function film(job) {
  const { tracks, ...rest } = await open(sourceOf(job));
  const told = [];
  for (const track of tracks) {
    const { source, table, pieces, unpacked, description, ...info } = track;
    const keys = track.keyTimes();
    const samples = [];
    const texts = [];
    for (let i = await track.find(-Infinity); i >= 0; i = await track.following(i)) {
      const { pts, duration, key, size } = track.sample(i);
      const bytes = await track.data(i);
      if (track.kind === 'text') texts.push(await track.text(i));
      samples.push([pts, duration, key, unpacked ? bytes.length : size, crc32(bytes)]);
    }
    told.push({ ...info, description: description && [...description], count: track.count, keys, samples, texts });
  }
  return { ...rest, tracks: told };
}

/** What `find` and `keyBefore` say of times, in the order given: the times of those samples. */
async function seeks({ times, ...job }) {
  const track = (await open(sourceOf(job))).tracks.find(({ kind }) => kind === 'video');
  const found = [];
  for (const time of times) {
    const i = await track.find(time);
    const key = await track.keyBefore(i);
    found.push([track.sample(i).pts, track.at(time) === i, track.sample(key).pts]);
  }
  return found;
}

/** What the units of a film carry. */
async function units({ heads, ...job }) {
  const track = (await open(sourceOf(job))).tracks.find(({ kind }) => kind === 'video');
  const found = [];
  let head = null;
  for (let i = await track.find(-Infinity); i >= 0; i = await track.following(i)) {
    const unit = await track.data(i);
    const { payloads, base } = split(unit);
    const { segment, tracks, properties, residual } = unitPayloads(payloads, track.sample(i).key);
    if (segment) head = readHead(segment, head, filesOf(heads));
    found.push({
      payloads: payloads.map((payload) => crc32(payload)),
      base: crc32(base),
      sequence: sequenceHeader(unit),
      segment: segment && {
        ...numbers(segment),
        head: crc32(segment.head),
        used: [...segment.used],
        checksums: [...segment.checksums],
      },
      head: segment && head && { ...head, layers: layersOf(head.layers) },
      tracks: tracks && readTracks(tracks),
      properties: properties && readProperties(properties),
      residual: residual && crc32(residual),
    });
  }
  return found;
}

function still({ heads, ...job }) {
  const { base, alpha, icc, exif, ...shown } = openStill(fileOf(job));
  const { payloads } = split(base);
  if (payloads.length !== 1) throw new NvcError('this AVIF file holds no payload of NVC');
  const header = readStill(payloads[0]);
  const parts = ['delta', 'loss', 'loss_low', 'alpha_loss', 'alpha_low'].map((name) => crc32(header[name]));
  const head = stillHead(header, filesOf(heads));
  const crcs = [base, alpha, icc, exif].map((part) => part && crc32(part));
  return { ...shown, parts, crcs, header: numbers(header), head: head && { ...head, layers: layersOf(head.layers) } };
}

/** How a head is steered, picture by picture. */
function steering({ head, used, told, ...header }) {
  const segment = { ...header, head: bytesOf(head), used: bytesOf(used) };
  const read = new Steering(segment, told);
  const pictures = Array.from({ length: segment.frames }, (_, k) => {
    const found = read.of(k);
    return found?.blocks ? { ...found, blocks: [...found.blocks] } : found;
  });
  return { pictures, rest: splitSteering(segment.head).coded.length };
}

/** Opens a damaged file as its beginning says, and reads all of it. */
async function damaged(job) {
  const head = bytesOf(job.data);
  const found = isAvif(head) && job.still ? still(job) : await film(job);
  return { tracks: found.tracks?.length ?? 0 };
}

/** Ranges of a file behind a server that answers as it is told to. */
async function ranges({ path, wanted, server }) {
  const data = readFileSync(path);
  const asked = [];
  const get = async (url, { headers }) => {
    const [from, to] = /(\d+)-(\d+)/.exec(headers.Range).slice(1).map(Number);
    asked.push([from, to]);
    if (server === 'silent') throw new TypeError('fetch failed');
    if (server === 'missing') return new Response('', { status: 404 });
    if (server === 'whole') return new Response(data);
    const end = Math.min(to + 1, data.length);
    const total = server === 'changing' && asked.length > 1 ? data.length + 1 : data.length;
    const told = server === 'secret' ? {} : { 'Content-Range': `bytes ${from}-${end - 1}/${total}` };
    return new Response(data.subarray(from, end), { status: 206, headers: told });
  };
  const source = await urlSource(`https://example.org/films/${encodeURIComponent('a b.nvc')}?x=1`, get);
  const found = [];
  for (const [offset, length] of wanted) found.push(crc32(await source.read(offset, length)));
  return { name: source.name, size: source.size, found, asked };
}

const JOBS = {
  film, seeks, units, still, damaged, ranges, steering,
  crc: ({ data, cut }) => crc32(bytesOf(data).subarray(cut), crc32(bytesOf(data).subarray(0, cut))),
  weights: ({ data, shapes, base, change }) =>
    layersOf(decodeLayers(bytesOf(data), shapes, base && layersFrom(base), change)),
  segmentHeader: ({ data }) => numbers(readSegment(bytesOf(data))),
  stillHeader: ({ data }) => numbers(readStill(bytesOf(data))),
  nameOfHead: ({ kind, number }) => headFileOf(kind, number),
  segmentHead: ({ data, heads }) => readHead(readSegment(bytesOf(data)), null, filesOf(heads)).identity,
  headFile: (job) => {
    const file = readHeadFile(fileOf(job));
    return { ...file, layers: layersOf(file.layers) };
  },
  derivedHead: ({ chroma, ...job }) => {
    const file = derived(readHeadFile(fileOf(job)), chroma);
    return { ...file, layers: layersOf(file.layers) };
  },
  memory: peak,
};

await answer(JOBS);
