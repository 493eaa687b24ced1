/**
 * Matroska and WebM files (RFC 9559): tracks, chapters, tags; cues say where clusters lie, which `clusters.js` reads.
 *
 * Times are in ticks of the file, mostly milliseconds. What precedes `pts` 0 is for decoders alone.
 */

import { Bytes, NvcError } from './bytes.js';
import { Clusters } from './clusters.js';
import { MANY, UNKNOWN, binary, bodyOf, elementAt, elements, float, record, string, uint } from './ebml.js';
import { aacCodec, av1Codec, unknownColour } from './entries.js';
import { endChapters } from './text.js';
import { Pieces, Track } from './samples.js';

const EBML = 0x1a45dfa3;
const SEGMENT = 0x18538067;
const CLUSTER = 0x1f43b675;
const PARTS = {
  0x114d9b74: 'seek', 0x1549a966: 'info', 0x1654ae6b: 'tracks', 0x1043a770: 'chapters', 0x1254c367: 'tags',
  0x1c53bb6b: 'cues',
};
const PARTS_MAX = 1 << 10; // elements before the first cluster
const WALK_MAX = 1 << 24; // bytes of clusters that are passed through for how long the film is
const UNPACKED_MAX = 1 << 24; // bytes of a frame that was compressed
const KINDS = { 1: 'video', 2: 'audio', 17: 'text' };

const COLOUR = {
  0x55b1: ['matrix', uint], 0x55b9: ['range', uint], 0x55ba: ['transfer', uint], 0x55bb: ['primaries', uint],
  0x55bc: ['max', uint], 0x55bd: ['average', uint],
  0x55d0: ['mastering', (body) => record(body, {
    0x55d1: ['redX', float], 0x55d2: ['redY', float], 0x55d3: ['greenX', float], 0x55d4: ['greenY', float],
    0x55d5: ['blueX', float], 0x55d6: ['blueY', float], 0x55d7: ['whiteX', float], 0x55d8: ['whiteY', float],
    0x55d9: ['max', float], 0x55da: ['min', float],
  })],
};
const VIDEO = {
  0xb0: ['width', uint], 0xba: ['height', uint], 0x54b0: ['displayWidth', uint], 0x54ba: ['displayHeight', uint],
  0x54b2: ['displayUnit', uint], 0x55b0: ['colour', (body) => record(body, COLOUR)],
  0x7670: ['projection', (body) => record(body, { 0x7673: ['yaw', float], 0x7675: ['roll', float] })],
};
const AUDIO = {
  0xb5: ['rate', float], 0x78b5: ['outputRate', float], 0x9f: ['channels', uint], 0x6264: ['bits', uint],
};
const ENCODING = {
  0x5032: ['scope', uint], 0x5033: ['type', uint],
  0x5034: ['compression', (body) => record(body, { 0x4254: ['algorithm', uint], 0x4255: ['settings', binary] })],
};
const ENTRY = {
  0xd7: ['number', uint], 0x83: ['type', uint], 0x86: ['codec', string], 0x63a2: ['private', binary],
  0x22b59c: ['language', string], 0x22b59d: ['languageTag', string], 0x23e383: ['defaultDuration', uint],
  0x56aa: ['delay', uint], 0xe0: ['video', (body) => record(body, VIDEO)],
  0xe1: ['audio', (body) => record(body, AUDIO)],
  0x6d80: ['encoding', (body) => record(body, { 0x6240: ['encodings', (inner) => record(inner, ENCODING), MANY] })],
};

const present = (body) => body.rest().some((byte) => byte !== 0); // ids of 64 bits
const TARGETS = {
  0x63c5: ['track', present], 0x63c9: ['edition', present], 0x63c4: ['chapter', present], 0x63c6: ['file', present],
};
const INFO = { 0x2ad7b1: ['scale', uint], 0x4489: ['duration', float], 0x7ba9: ['title', string] };
const DISPLAY = { 0x85: ['title', string] };
const ATOM = {
  0x91: ['start', uint], 0x92: ['end', uint], 0x98: ['hidden', uint],
  0x80: ['displays', (body) => record(body, DISPLAY), MANY],
};

/**
 * @param {Uint8Array} head the first four bytes of a file, or more
 * @returns {boolean} whether it is Matroska or WebM
 */
export function knows(head) {
  return head.length >= 4 && new Bytes(head).u32() === EBML;
}

/**
 * @param {import('./source.js').Source} source
 * @returns {Promise<import('./mp4.js').Film>}
 */
export async function open(source) {
  const { parts, segment, first } = await findParts(source);
  const info = parts.info ? record(parts.info, INFO) : {};
  const scale = info.scale || 1000000; // ns
  const common = divisor(1e9, scale);
  const clock = { timescale: 1e9 / common, multiple: scale / common };
  if (!parts.tracks) throw new NvcError(`${source.name} has no index of its tracks`);
  const clusters = new Clusters(source, first, segment.end, clock);
  const pieces = new Pieces(clusters);
  const tracks = [];
  for (const [id, body] of elements(parts.tracks)) {
    const entry = id === 0xae ? record(body, ENTRY) : {};
    if (!KINDS[entry.type] || !entry.number) continue;
    const shown = trackOf(entry, clock);
    const defaultDuration = entry.defaultDuration ?? 0;
    const delay = Math.round(((entry.delay ?? 0) * clock.timescale) / 1e9);
    clusters.tracks.set(entry.number, { id: entry.number, kind: shown.kind, defaultDuration, delay });
    tracks.push(new Track(source, shown, pieces));
  }
  const main = tracks.find((track) => track.kind === 'video') ?? tracks[0];
  if (parts.cues && main) clusters.index(cuesOf(parts.cues, main.id, segment.body, scale));
  const film = {
    duration: ((info.duration ?? 0) * scale) / 1e9,
    tracks,
    chapters: parts.chapters ? chaptersOf(parts.chapters) : [],
    tags: { ...(info.title ? { title: info.title } : {}), ...(parts.tags ? tagsOf(parts.tags) : {}) },
  };
  if (!film.duration && main) film.duration = await endOf(main, clusters);
  endChapters(film);
  return film;
}

function divisor(a, b) {
  return b ? divisor(b, a % b) : a;
}

/** The parts of the index as they lie before the first cluster, and those elsewhere that the file tells of. */
async function findParts(source) {
  const head = await elementAt(source, 0);
  if (head?.id !== EBML || head.end === UNKNOWN) throw new NvcError(`${source.name} is no Matroska file`);
  const segment = await elementAt(source, head.end);
  if (segment?.id !== SEGMENT) throw new NvcError(`${source.name} is cut off: nothing follows its head`);
  segment.end = segment.end === UNKNOWN ? source.size : Math.min(segment.end, source.size);
  const parts = {};
  let first = segment.end;
  let at = segment.body;
  for (let k = 0; k < PARTS_MAX && at < segment.end; k++) {
    const element = await elementAt(source, at);
    if (!element) break;
    if (element.id === CLUSTER) {
      first = element.offset;
      break;
    }
    const name = PARTS[element.id];
    if (name) parts[name] ??= await bodyOf(source, element);
    if (element.end === UNKNOWN) throw new NvcError(`the index of ${source.name} does not say where it ends`);
    at = element.end;
  }
  for (const offset of parts.seek ? soughtIn(parts.seek, segment.body) : []) {
    // a place beyond the end is of a file that was cut off, which may still be played
    const element = offset < segment.end ? await elementAt(source, offset).catch(() => null) : null;
    const name = element && PARTS[element.id];
    if (name && name !== 'seek' && element.end <= source.size) parts[name] ??= await bodyOf(source, element);
  }
  return { parts, segment, first };
}

function soughtIn(seek, start) {
  const offsets = [];
  for (const [id, body] of elements(seek)) {
    if (id === 0x4dbb) offsets.push(start + (record(body, { 0x53ac: ['position', uint] }).position ?? Infinity));
  }
  return offsets.slice(0, PARTS_MAX);
}

/** Where the clusters of the main track's keys lie; those of any track where it has none. */
function cuesOf(bytes, main, start, scale) {
  const all = [];
  for (const [id, body] of elements(bytes)) {
    if (id !== 0xbb) continue;
    const positions = (inner) => record(inner, { 0xf7: ['track', uint], 0xf1: ['cluster', uint] });
    const cue = record(body, { 0xb3: ['time', uint], 0xb7: ['places', positions, MANY] });
    for (const { track, cluster } of cue.places ?? []) {
      if (cluster !== undefined) all.push({ track, time: ((cue.time ?? 0) * scale) / 1e9, offset: start + cluster });
    }
  }
  const own = all.filter((cue) => cue.track === main);
  return own.length ? own : all;
}

function trackOf(entry, clock) {
  const kind = KINDS[entry.type];
  const language = (entry.languageTag || entry.language || 'eng').replace(/^und$/, '');
  const shown = { id: entry.number, kind, timescale: clock.timescale, language, begin: 0, ...codecOf(entry) };
  if (kind === 'video') Object.assign(shown, pictureOf(entry.video ?? {}));
  if (kind === 'audio') {
    shown.channels = entry.audio?.channels ?? 1;
    shown.sampleRate = Math.round(entry.audio?.outputRate || entry.audio?.rate || 8000);
  }
  const unpacked = unpackerOf(entry.encoding?.encodings ?? []);
  return unpacked ? { ...shown, unpacked } : shown;
}

/** Codec in the words of WebCodecs, and what its decoder is configured with. */
function codecOf(entry) {
  const given = entry.private ?? new Uint8Array(0);
  const bits = entry.audio?.bits ?? 16;
  const description = given.length ? given : null;
  switch (entry.codec) {
    case 'V_AV1': return { codec: given.length >= 4 ? av1Codec(new Bytes(given)) : 'av01.0.08M.10', description: null };
    case 'V_VP9': return { codec: 'vp09.00.10.08', description: null };
    case 'V_MPEG4/ISO/AVC': {
      const profile = [...given.subarray(1, 4)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
      return { codec: `avc1.${profile}`, description };
    }
    case 'A_OPUS': return { codec: 'opus', description };
    case 'A_FLAC': return { codec: 'flac', description };
    case 'A_VORBIS': return { codec: 'vorbis', description };
    case 'A_MPEG/L3': return { codec: 'mp3', description: null };
    case 'A_AC3': return { codec: 'ac-3', description: null };
    case 'A_EAC3': return { codec: 'ec-3', description: null };
    case 'A_AAC': return { codec: given.length ? aacCodec(given) : 'mp4a.40.2', description };
    case 'A_PCM/INT/LIT': return { codec: bits === 8 ? 'pcm-u8' : `pcm-s${bits}`, description: null };
    case 'A_PCM/FLOAT/IEEE': return { codec: `pcm-f${bits}`, description: null };
    case 'S_TEXT/UTF8': case 'S_TEXT/ASCII': return { codec: 'text', description: null };
    case 'S_TEXT/WEBVTT': case 'D_WEBVTT/SUBTITLES': return { codec: 'webvtt', description: null };
    case 'S_TEXT/ASS': case 'S_TEXT/SSA': return { codec: 'ass', description };
    default: return { codec: entry.codec ?? '', description };
  }
}

function pictureOf(video) {
  const { width = 0, height = 0, displayUnit = 0 } = video;
  let aspect = [1, 1];
  if (width && height && (displayUnit === 0 || displayUnit === 3)) {
    const sides = [(video.displayWidth || width) * height, (video.displayHeight || height) * width];
    aspect = sides.map((side) => side / divisor(...sides));
  }
  const told = video.colour ?? {};
  const colour = { ...unknownColour(), ...picked(told, ['primaries', 'transfer', 'matrix']) };
  if (told.range === 1 || told.range === 2) colour.full = told.range === 2;
  if (told.max !== undefined) colour.light = { max: told.max, average: told.average ?? 0 };
  if (told.mastering) colour.mastering = masteringDisplay(told.mastering);
  return { width, height, pixelAspect: aspect, colour, ...turnOf(video.projection ?? {}) };
}

function picked(object, names) {
  return Object.fromEntries(names.filter((name) => object[name] !== undefined).map((name) => [name, object[name]]));
}

function masteringDisplay(m) {
  const point = (name) => [m[`${name}X`] ?? 0, m[`${name}Y`] ?? 0];
  const [red, green, blue, white] = ['red', 'green', 'blue', 'white'].map(point);
  return { red, green, blue, white, max: m.max ?? 0, min: m.min ?? 0 };
}

/** How a picture is to be turned, as `mp4.js` says it; a roll is counter-clockwise, a yaw of 180 degrees mirrors. */
function turnOf({ yaw = 0, roll = 0 }) {
  const mirrored = Math.abs(Math.round(yaw)) === 180;
  return { rotation: (Math.round((mirrored ? roll : -roll) / 90) * 90 + 720) % 360, mirrored };
}

/** What makes of a block's frame what decoders take; null where nothing is to be done. */
function unpackerOf(encodings) {
  if (!encodings.length) return null;
  const [{ type = 0, scope = 1, compression = {} }] = encodings;
  const algorithm = compression.algorithm ?? 0;
  if (encodings.length > 1 || type !== 0 || ![0, 3].includes(algorithm)) {
    return () => {
      throw new NvcError('a track of the film is encrypted, or compressed in a way that is not known here');
    };
  }
  if (!(scope & 1)) return null;
  if (algorithm === 0) return inflated;
  const start = compression.settings ?? new Uint8Array(0);
  return (bytes) => {
    const whole = new Uint8Array(start.length + bytes.length);
    whole.set(start);
    whole.set(bytes, start.length);
    return whole;
  };
}

async function inflated(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate'));
  try {
    return new Uint8Array(await new Response(bounded(stream)).arrayBuffer());
  } catch {
    throw new NvcError('a compressed sample of the film is damaged, or too large');
  }
}

/** A stream that ends with an error beyond UNPACKED_MAX bytes. */
function bounded(stream) {
  let size = 0;
  return stream.pipeThrough(
    new TransformStream({
      transform(chunk, controller) {
        size += chunk.length;
        if (size > UNPACKED_MAX) controller.error(new NvcError('too large'));
        else controller.enqueue(chunk);
      },
    }),
  );
}

function chaptersOf(bytes) {
  const chapters = [];
  for (const [id, edition] of elements(bytes)) {
    if (id !== 0x45b9 || chapters.length) continue; // the first edition counts
    for (const [kind, atom] of elements(edition)) {
      if (kind !== 0xb6) continue;
      const { start = 0, end = 0, hidden, displays } = record(atom, ATOM);
      if (!hidden) chapters.push({ start: start / 1e9, end: end / 1e9, title: displays?.[0]?.title ?? '' });
    }
  }
  return chapters.sort((a, b) => a.start - b.start);
}

/** Tags of the file as a whole, by their names in small letters. */
function tagsOf(bytes) {
  const tags = {};
  for (const [id, tag] of elements(bytes)) {
    if (id !== 0x7373) continue;
    const simple = (body) => record(body, { 0x45a3: ['name', string], 0x4487: ['value', string] });
  const targets = (body) => record(body, TARGETS);
    const found = record(tag, { 0x63c0: ['target', targets], 0x67c8: ['values', simple, MANY] });
    if (Object.values(found.target ?? {}).some(Boolean)) continue;
    for (const { name, value } of found.values ?? []) if (name && value) tags[name.toLowerCase()] = value;
  }
  return tags;
}

/** When the last sample of a track ends, of a file that does not say how long it is; guessed by the bytes of those that
 * were looked at where that takes too long. */
async function endOf(track, clusters) {
  const start = clusters.offset;
  let more = !clusters.indexed;
  while (more && clusters.offset - start < WALK_MAX) more = await clusters.grow();
  const part = more ? (clusters.offset - start) / (clusters.end - start) : 1;
  const { pieces } = clusters;
  for (let p = pieces.length - 1; p >= 0; p--) {
    const table = await track.pieces.table(p, track.id);
    const last = table ? table.at(Infinity) : -1;
    if (last >= 0) return (table.pts[last] + table.durations[last]) / track.timescale / part;
  }
  return 0;
}
