/**
 * Sample entries of MP4 files: what a track is coded with, in the words of WebCodecs, and how it is to be shown.
 *
 * `codec` is a string of the WebCodecs registry where it has one, else the entry's four letters. `description` is what
 * a decoder is to be configured with; AV1 needs none, as its keyframes bring their sequence header.
 */

import { joined, NvcError } from './bytes.js';
import { boxes, child, fresh, fullBox } from './boxes.js';

const VISUAL = 78; // bytes of fields before the boxes of a visual entry
const TEXT = { tx3g: 'tx3g', text: 'tx3g', sbtl: 'tx3g', wvtt: 'wvtt', stpp: 'stpp' };

/**
 * @typedef {object} Colour code points of H.273 (2: not told) and light of HDR, where a file tells of them
 * @property {number} primaries
 * @property {number} transfer
 * @property {number} matrix
 * @property {boolean | null} full whether samples have the full range; null where it is not told
 * @property {{max: number, average: number}} [light] of the content, cd/m²
 * @property {{red: number[], green: number[], blue: number[], white: number[], max: number, min: number}} [mastering]
 *   chromaticities and light, cd/m², of the display that the film was made on
 */

/** @returns {Colour} of a film that tells nothing */
export function unknownColour() {
  return { primaries: 2, transfer: 2, matrix: 2, full: null };
}

/**
 * @param {import('./bytes.js').Bytes} stsd contents of a box of sample entries
 * @param {'video' | 'audio' | 'text'} kind
 * @returns {object} codec, description and what else the first entry tells; see `Track`
 */
export function sampleEntry(stsd, kind) {
  fullBox(stsd);
  stsd.u32(); // how many
  const all = [...boxes(stsd)];
  if (!all.length) return { codec: '', description: null };
  const [[name, entry]] = all; // others may differ in what keyframes tell too
  if (all.some(([other]) => other !== name)) {
    throw new NvcError('a track of the film has another codec on its way, which cannot be played');
  }
  entry.skip(8); // reserved, data_reference_index
  if (kind === 'video') return visual(name, entry);
  if (kind === 'audio') return sound(name, entry);
  return { codec: TEXT[name] ?? name, description: null };
}

function visual(name, entry) {
  const start = entry.at - 8;
  entry.skip(16);
  const [width, height] = [entry.u16(), entry.u16()];
  entry.at = start;
  entry.skip(VISUAL);
  const found = { codec: name, description: null, width, height, pixelAspect: [1, 1], colour: unknownColour() };
  for (const [kind, box] of boxes(entry)) readProperty(kind, box, found);
  return found;
}

/**
 * What a box beside a picture says of it: in sample entries, and in the properties of an AVIF's items.
 * @param {string} kind
 * @param {import('./bytes.js').Bytes} box its contents
 * @param {object} found codec, description, pixelAspect and colour are set
 */
export function readProperty(kind, box, found) {
  if (kind === 'av1C') found.codec = av1Codec(box);
  else if (kind === 'avcC') {
    found.codec = `${found.codec}.${hex(box.data.subarray(box.at + 1, box.at + 4))}`;
    found.description = box.rest();
  } else if (kind === 'hvcC') found.description = box.rest();
  else if (kind === 'vpcC') {
    fullBox(box);
    const [profile, level, depth] = [box.u8(), box.u8(), box.u8() >> 4];
    found.codec = [found.codec, ...[profile, level, depth].map((n) => String(n).padStart(2, '0'))].join('.');
  } else if (kind === 'pasp') {
    const aspect = [box.u32(), box.u32()];
    if (aspect[0] && aspect[1]) found.pixelAspect = aspect;
  } else if (kind === 'colr') readColour(box, found.colour);
  else if (kind === 'clli') found.colour.light = { max: box.u16(), average: box.u16() };
  else if (kind === 'mdcv') found.colour.mastering = masteringDisplay(box);
}

/**
 * @param {import('./bytes.js').Bytes} box contents of an av1C box, or the CodecPrivate of Matroska, which is the same
 * @returns {string} such as "av01.0.04M.10"
 */
export function av1Codec(box) {
  box.u8(); // marker, version
  const [levels, depths] = [box.u8(), box.u8()];
  const depth = depths & 0x40 ? (depths & 0x20 ? 12 : 10) : 8;
  const level = String(levels & 31).padStart(2, '0');
  return `av01.${levels >> 5}.${level}${depths & 0x80 ? 'H' : 'M'}.${String(depth).padStart(2, '0')}`;
}

function readColour(box, colour) {
  const form = box.name();
  if (form !== 'nclx' && form !== 'nclc') return; // a profile
  Object.assign(colour, { primaries: box.u16(), transfer: box.u16(), matrix: box.u16() });
  if (form === 'nclx') colour.full = (box.u8() & 0x80) !== 0;
}

function masteringDisplay(box) {
  const point = () => [box.u16() / 50000, box.u16() / 50000];
  const [green, blue, red, white] = [point(), point(), point(), point()];
  return { red, green, blue, white, max: box.u32() / 10000, min: box.u32() / 10000 };
}

function sound(name, entry) {
  const version = entry.u16();
  entry.skip(6);
  let channels = entry.u16();
  const bits = entry.u16();
  entry.skip(4);
  let sampleRate = entry.u32() / 65536;
  if (version === 1) entry.skip(16);
  else if (version === 2) {
    entry.skip(4);
    sampleRate = entry.view.getFloat64(entry.skip(8));
    channels = entry.u32();
    entry.skip(20);
  }
  const found = { codec: name, description: null, channels, sampleRate: Math.round(sampleRate) };
  if (PLAIN[name]) found.codec = PLAIN[name](bits);
  const wave = name === 'mp4a' && child(fresh(entry), 'wave');
  for (const [kind, box] of boxes(wave || entry)) {
    if (kind === 'esds') readDescriptors(box, found);
    else if (kind === 'dOps') Object.assign(found, opus(box));
    else if (kind === 'dfLa') Object.assign(found, flac(box));
    else if (kind === 'alac') found.description = box.rest();
    else if (kind === 'pcmC') found.codec = plainCodec(box, found.codec);
  }
  if (name === '.mp3') found.codec = 'mp3';
  return found;
}

/** Sound as it is: entries of QuickTime, and what WebCodecs calls them. */
const PLAIN = {
  sowt: (bits) => `pcm-s${bits}`,
  twos: (bits) => `pcm-s${bits}be`,
  ipcm: (bits) => `pcm-s${bits}`,
  fpcm: () => 'pcm-f32',
};

function plainCodec(box, codec) {
  fullBox(box);
  const little = (box.u8() & 1) !== 0;
  const bits = box.u8();
  return `${codec.startsWith('pcm-f') ? 'pcm-f' : 'pcm-s'}${bits}${little ? '' : 'be'}`;
}

/** MPEG-4 descriptors (ISO/IEC 14496-1): tag, size, contents. */
function readDescriptors(box, found) {
  fullBox(box);
  let object = 0;
  while (box.left > 1) {
    const tag = box.u8();
    let size = 0;
    for (let k = 0; k < 4; k++) {
      const byte = box.u8();
      size = size * 128 + (byte & 127);
      if (byte < 128) break;
    }
    if (tag === 3) {
      // ES_Descriptor: what follows its fields lies within
      box.skip(2);
      const flags = box.u8();
      if (flags & 0x80) box.skip(2);
      if (flags & 0x40) box.skip(box.u8());
      if (flags & 0x20) box.skip(2);
    } else if (tag === 4) {
      object = box.u8();
      box.skip(12);
    } else if (tag === 5) found.description = box.take(Math.min(size, box.left));
    else box.skip(Math.min(size, box.left));
  }
  Object.assign(found, mpegSound(object, found.description));
}

/**
 * @param {number} object ObjectTypeIndication of MPEG-4
 * @param {Uint8Array | null} config AudioSpecificConfig
 * @returns {object} codec and description
 */
function mpegSound(object, config) {
  if (object === 0x69 || object === 0x6b) return { codec: 'mp3', description: null };
  if (object === 0xa5) return { codec: 'ac-3', description: null };
  if (object === 0xa6) return { codec: 'ec-3', description: null };
  if (object === 0xdd) return { codec: 'vorbis', description: config }; // as libav writes it
  if (object === 0x40 && config?.length) return { codec: aacCodec(config), description: config };
  return { codec: `mp4a.${object.toString(16).padStart(2, '0')}`, description: config };
}

/**
 * @param {Uint8Array} config AudioSpecificConfig
 * @returns {string} such as "mp4a.40.2"
 */
export function aacCodec(config) {
  let type = config[0] >> 3;
  if (type === 31) type = 32 + (((config[0] & 7) << 3) | ((config[1] ?? 0) >> 5));
  return `mp4a.40.${type}`;
}

/** Opus: the box dOps as the header of an Ogg stream, which decoders are configured with. */
function opus(box) {
  box.u8(); // version
  const channels = box.u8();
  const [skipped, rate, gain, family] = [box.u16(), box.u32(), box.u16(), box.u8()];
  const head = new Uint8Array(19);
  const view = new DataView(head.buffer);
  head.set([...'OpusHead'].map((letter) => letter.charCodeAt(0)));
  head[8] = 1;
  head[9] = channels;
  view.setUint16(10, skipped, true);
  view.setUint32(12, rate, true);
  view.setUint16(16, gain, true);
  head[18] = family;
  const description = family ? joined([head, box.take(2 + channels)]) : head;
  return { codec: 'opus', description, channels, sampleRate: 48000 };
}

function flac(box) {
  fullBox(box);
  const blocks = box.rest();
  const found = { codec: 'flac', description: joined([Uint8Array.from([0x66, 0x4c, 0x61, 0x43]), blocks]) };
  // STREAMINFO tells rates beyond 16 bits, which the entry cannot
  if (blocks.length >= 38) found.sampleRate = (blocks[14] << 12) | (blocks[15] << 4) | (blocks[16] >> 4);
  return found;
}

function hex(bytes) {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

