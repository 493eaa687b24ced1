/**
 * MP4 files, progressive and fragmented (ISO/IEC 14496-12): tracks, chapters, tags.
 *
 *   moov    mvhd · trak ..        trak: tkhd, edts, mdia (mdhd, hdlr, minf (stbl)), tref, udta
 *   moof .. in fragmented files: see `fragments.js`
 *
 * A file's times begin where its edit lists say: `pts` 0 is where the film begins. What lies before `track.begin`
 * (sound that precedes its own beginning, pictures before a cut) is for decoders alone.
 */

import { NvcError, ascii } from './bytes.js';
import { boxes, child, contents, fresh, fullBox, outerBox } from './boxes.js';
import { sampleEntry } from './entries.js';
import { Fragments } from './fragments.js';
import { Pieces, Track } from './samples.js';
import { sampleTable } from './tables.js';
import { endChapters, textOf } from './text.js';

const KINDS = { vide: 'video', soun: 'audio', text: 'text', sbtl: 'text', subt: 'text', clcp: 'text' };
const OUTER_MAX = 1 << 16; // boxes that are passed over before the index is found
const EDITS_MAX = 1 << 10;
const TAGS = {
  '©nam': 'title', '©ART': 'artist', aART: 'album_artist', '©alb': 'album', '©day': 'date', '©gen': 'genre',
  '©cmt': 'comment', '©wrt': 'composer', cprt: 'copyright', desc: 'description', ldes: 'synopsis', tvsh: 'show',
  '©too': 'encoder', '©lyr': 'lyrics',
};

/**
 * @typedef {object} Film
 * @property {number} duration seconds
 * @property {Track[]} tracks
 * @property {{start: number, end: number, title: string}[]} chapters seconds
 * @property {Record<string, string>} tags
 */

/**
 * @param {Uint8Array} head the first 12 bytes of a file, or more
 * @returns {boolean} whether it is an MP4
 */
export function knows(head) {
  const kinds = ['ftyp', 'styp', 'moov', 'moof', 'mdat', 'free', 'skip', 'wide'];
  return head.length >= 8 && kinds.includes(ascii(head.subarray(4, 8)));
}

/**
 * @param {import('./source.js').Source} source
 * @returns {Promise<Film>}
 */
export async function open(source) {
  const index = await findIndex(source);
  const moov = await contents(source, index);
  const header = child(moov, 'mvhd');
  if (!header) throw new NvcError(`the index of ${source.name} says nothing of its times`);
  const movie = readTimes(header);
  if (!movie.timescale) throw new NvcError(`the index of ${source.name} gives its times no unit`);
  const extends_ = child(moov, 'mvex');
  const fragments = extends_ ? new Fragments(source, index.end, extends_) : null;
  const pieces = fragments && new Pieces(fragments);
  const tracks = [];
  const chapterTracks = new Set();
  let room = source.size; // samples, which have a byte at least
  for (const [kind, body] of boxes(fresh(moov))) {
    if (kind !== 'trak') continue;
    const info = readTrack(body, movie);
    if (!info) continue;
    for (const id of info.chapters) chapterTracks.add(id);
    const table = sampleTable(info.stbl, info, room);
    room -= table.count;
    shift(table, info);
    fragments?.add(info, table);
    tracks.push(new Track(source, info.shown, pieces ?? table));
  }
  if (fragments) await fragments.begin(movie.timescale);
  const film = {
    duration: fragments?.duration || durationOf(tracks, movie),
    tracks: tracks.filter((track) => !chapterTracks.has(track.id)),
    chapters: [],
    tags: beside(() => readTags(moov), {}),
  };
  film.chapters = beside(() => neroChapters(moov), []);
  if (!film.chapters.length) film.chapters = await textChapters(tracks.find((track) => chapterTracks.has(track.id)));
  endChapters(film);
  return film;
}

/** What is said beside the tracks; where that is damaged the film is still one. */
function beside(read, otherwise) {
  try {
    return read();
  } catch (error) {
    if (error instanceof NvcError) return otherwise;
    throw error;
  }
}

async function findIndex(source) {
  let offset = 0;
  for (let k = 0; k < OUTER_MAX && offset < source.size; k++) {
    const box = await outerBox(source, offset);
    if (!box) break;
    if (box.kind === 'moov') return box;
    offset = box.end;
  }
  throw new NvcError(`${source.name} has no index: it is cut off, or no MP4`);
}

/** Time scale and duration of mvhd or mdhd. */
function readTimes(box) {
  const { version } = fullBox(box);
  box.skip(version === 1 ? 16 : 8);
  const timescale = box.u32();
  return { timescale, duration: durationIn(box, version) };
}

/** Ticks; a duration that is not known is all ones. */
function durationIn(box, version) {
  if (version !== 1) return box.u32();
  const [high, low] = [box.u32(), box.u32()];
  return high < 2 ** 21 ? high * 2 ** 32 + low : 0;
}

/** A track's properties; null for what is neither seen, heard nor read. */
function readTrack(trak, movie) {
  const mdia = child(trak, 'mdia');
  const [handler, times, minf] = ['hdlr', 'mdhd', 'minf'].map((name) => mdia && child(mdia, name));
  const tkhd = child(trak, 'tkhd');
  if (!handler || !times || !minf || !tkhd) return null;
  handler.skip(8);
  const kind = KINDS[handler.name()];
  const tables = child(minf, 'stbl');
  const stsd = tables && child(tables, 'stsd');
  if (!kind || !stsd) return null;
  const { timescale, duration } = readTimes(times);
  if (!timescale) throw new NvcError('a track of the index gives its times no unit');
  const language = times.left >= 2 ? languageOf(times.u16()) : '';
  const { version } = fullBox(tkhd);
  tkhd.skip(version === 1 ? 16 : 8);
  const id = tkhd.u32();
  tkhd.skip((version === 1 ? 12 : 8) + 16); // reserved, duration; layer, group, volume
  const matrix = Array.from({ length: 9 }, () => tkhd.i32());
  const edits = readEdits(child(trak, 'edts', 'elst'), movie, timescale);
  const { begin } = edits;
  const shown = { id, kind, timescale, language, begin, ...orientation(matrix), ...sampleEntry(stsd, kind) };
  const chapters = [];
  const references = child(trak, 'tref', 'chap');
  while (references && references.left >= 4) chapters.push(references.u32());
  return { id, kind, shown, stbl: tables, duration, edits, chapters, plain: shown.codec.startsWith('pcm-') };
}

/** Three letters of five bits each. */
function languageOf(packed) {
  const letters = [10, 5, 0].map((shift) => String.fromCharCode(0x60 + ((packed >> shift) & 31))).join('');
  return /^[a-z]{3}$/.test(letters) && letters !== 'und' ? letters : '';
}

/**
 * How a picture is to be turned for display: mirrored left to right first, where it is, then turned clockwise.
 * @param {number[]} matrix of nine, by rows: a b u, c d v, x y w
 * @returns {{rotation: number, mirrored: boolean}} degrees, a multiple of 90
 */
export function orientation([a, b, , c, d]) {
  const mirrored = a * d - b * c < 0;
  const degrees = (Math.atan2(mirrored ? -b : b, mirrored ? -a : a) * 180) / Math.PI;
  return { rotation: (Math.round(degrees / 90) * 90 + 360) % 360, mirrored };
}

/**
 * What an edit list makes of a track's times: `shift` is added to them, the track is shown from `begin` to `end`. Edits
 * that follow one another in the track are one; those that leave something out, or show it again, are not played.
 */
function readEdits(elst, movie, timescale) {
  let delay = 0;
  let start = null;
  let length = 0;
  const { version } = elst ? fullBox(elst) : { version: 0 };
  const count = elst ? elst.u32() : 0;
  if (count > EDITS_MAX) throw new NvcError('an edit list of the index is longer than any that can be played');
  for (let k = 0; k < count; k++) {
    const duration = durationIn(elst, version);
    const media = version === 1 ? elst.i64() : elst.i32();
    elst.skip(4); // rate
    const ticks = (duration * timescale) / movie.timescale;
    if (media === -1 && start === null) delay += ticks;
    else if (media >= 0 && start === null) [start, length] = [media, duration ? ticks : Infinity];
    else if (media >= 0 && Math.abs(media - start - length) <= timescale / movie.timescale) length += ticks;
    else if (k < count - 1 || media >= 0) {
      throw new NvcError('a track of the film is cut into pieces, which cannot be played');
    }
  }
  const begin = Math.round(delay);
  return { shift: begin - (start ?? 0), begin, end: start === null ? Infinity : begin + length };
}

/** Times of a table as its edits move them; samples at its end that are not shown are left out. */
function shift(table, { edits }) {
  for (let i = 0; i < table.count; i++) table.pts[i] += edits.shift;
  while (table.count > 1 && table.pts[table.count - 1] >= edits.end) table.count--;
  table.finish();
}

function durationOf(tracks, movie) {
  let longest = 0;
  for (const { table, timescale, kind } of tracks) {
    if (!table?.count || kind === 'text') continue;
    const last = table.order ? table.order[table.count - 1] : table.count - 1;
    longest = Math.max(longest, (table.pts[last] + table.durations[last]) / timescale);
  }
  return longest || movie.duration / movie.timescale;
}

function readTags(moov) {
  const tags = {};
  const meta = child(moov, 'udta', 'meta');
  if (!meta) return tags;
  if (ascii(meta.data.subarray(meta.at + 4, meta.at + 8)) !== 'hdlr') meta.skip(4); // QuickTime's has no version
  const list = child(meta, 'ilst');
  if (!list) return tags;
  for (const [name, item] of boxes(list)) {
    const data = TAGS[name] && child(item, 'data');
    if (!data || data.left < 8) continue;
    const type = data.u32();
    data.skip(4);
    if (type === 1) tags[TAGS[name]] = textOf(data.rest());
  }
  return tags;
}

/** Chapters as Nero writes them, which libav does too: in units of 100 ns. */
function neroChapters(moov) {
  const list = child(moov, 'udta', 'chpl');
  const chapters = [];
  if (!list) return chapters;
  const { version } = fullBox(list);
  if (version) list.skip(4);
  for (let left = list.u8(); left > 0 && list.left >= 9; left--) {
    const start = list.number(8) / 1e7;
    chapters.push({ start, end: 0, title: textOf(list.take(Math.min(list.u8(), list.left))) });
  }
  return chapters;
}

/** Chapters as QuickTime has them: a track of text. */
async function textChapters(track) {
  const chapters = [];
  if (!track?.table || track.kind !== 'text') return chapters;
  for (let i = 0; i < track.count; i++) {
    const { pts } = track.sample(i);
    const title = await track.text(i);
    if (title || i < track.count - 1) chapters.push({ start: pts / track.timescale, end: 0, title });
  }
  return chapters;
}
