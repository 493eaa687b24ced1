/**
 * AVIF files (ISO/IEC 23008-12 as the AV1 Image File Format has it): the coded picture, its alpha, how it is shown.
 *
 * Of a still .nvc (FORMAT.md, section 7) the primary item is the base, whose temporal unit carries the payload.
 */

import { Bytes, NvcError, ascii, joined } from './bytes.js';
import { boxes, child, fresh, fullBox } from './boxes.js';
import { readProperty, unknownColour } from './entries.js';

const ITEMS_MAX = 1024;
const PROPERTIES_MAX = 256;
const ALPHA = 'urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0';

/**
 * @typedef {object} Picture
 * @property {Uint8Array} base temporal unit of the picture
 * @property {Uint8Array | null} alpha temporal unit of its alpha
 * @property {string} codec as WebCodecs has it
 * @property {number} width samples, as announced
 * @property {number} height
 * @property {number} rotation degrees clockwise, after it was mirrored
 * @property {boolean} mirrored left to right
 * @property {import('./entries.js').Colour} colour
 * @property {Uint8Array | null} icc colour profile
 * @property {Uint8Array | null} exif TIFF structure
 */

/**
 * @param {Uint8Array} head the beginning of a file
 * @returns {boolean} whether it is an AVIF
 */
export function isAvif(head) {
  if (head.length < 16 || ascii(head.subarray(4, 8)) !== 'ftyp') return false;
  const end = Math.min(new Bytes(head).u32(), head.length, 256);
  for (let at = 8; at + 4 <= end; at += 4) {
    if (at !== 12 && ascii(head.subarray(at, at + 4)) === 'avif') return true;
  }
  return false;
}

/**
 * @param {Uint8Array} data the whole file
 * @returns {Picture}
 */
export function openStill(data) {
  const file = new Bytes(data, 0, undefined, 'the AVIF file');
  const meta = child(file, 'meta');
  if (!isAvif(data) || !meta) throw new NvcError('this is no AVIF file, or it has no index of its items');
  const index = readIndex(meta);
  const { primary } = index;
  if (index.kinds.get(primary) !== 'av01') throw new NvcError("the AVIF file's picture is not AV1");
  const picture = { codec: 'av01', width: 0, height: 0, rotation: 0, mirrored: false, icc: null };
  picture.colour = unknownColour();
  for (const [kind, box] of index.propertiesOf(primary)) show(kind, box, picture);
  const alpha = index.referring('auxl').find((item) => index.isAlpha(item));
  const exif = index.referring('cdsc').find((item) => index.kinds.get(item) === 'Exif');
  return {
    ...picture,
    base: contentOf(data, index, primary),
    alpha: alpha === undefined ? null : contentOf(data, index, alpha),
    exif: exif === undefined ? null : tiffOf(contentOf(data, index, exif)),
  };
}

/** What a property says of a picture. */
function show(kind, box, picture) {
  if (kind === 'ispe') {
    fullBox(box);
    [picture.width, picture.height] = [box.u32(), box.u32()];
  } else if (kind === 'irot') picture.rotation = (picture.rotation + 360 - 90 * (box.u8() & 3)) % 360;
  else if (kind === 'imir') {
    // after the rotation: top to bottom is left to right and half a turn
    const sideways = (box.u8() & 1) === 1;
    picture.mirrored = true;
    picture.rotation = (360 - picture.rotation + (sideways ? 0 : 180)) % 360;
  } else if (kind === 'colr' && ['prof', 'rICC'].includes(ascii(box.data.subarray(box.at, box.at + 4)))) {
    picture.icc = box.data.subarray(box.at + 4, box.end);
  } else readProperty(kind, box, picture);
}

function readIndex(meta) {
  fullBox(meta);
  const kinds = new Map();
  const extents = new Map();
  const references = []; // [kind, from, to]
  const properties = [];
  const owned = new Map();
  let primary = 0;
  for (const [kind, box] of boxes(meta)) {
    if (kind === 'pitm') primary = box.number(wide(box));
    else if (kind === 'iloc') readLocations(box, extents);
    else if (kind === 'iinf') readKinds(box, kinds);
    else if (kind === 'iref') readReferences(box, references);
    else if (kind === 'iprp') readProperties(box, properties, owned);
  }
  const propertiesOf = (item) =>
    (owned.get(item) ?? []).filter((k) => properties[k - 1]).map((k) => anew(properties[k - 1]));
  return {
    primary,
    kinds,
    extents,
    propertiesOf,
    referring: (kind) => references.filter(([name, , to]) => name === kind && to === primary).map(([, from]) => from),
    isAlpha: (item) => propertiesOf(item).some(isAlphaBox),
  };
}

/** Whether a property says of an auxiliary item that it is alpha. */
function isAlphaBox([kind, box]) {
  return kind === 'auxC' && ascii(box.data.subarray(box.at + 4, box.end)) === ALPHA;
}

/** A property with a cursor of its own. */
function anew([kind, box]) {
  return [kind, fresh(box)];
}

/** Reads a full box's version; bytes of an item's number by it. */
function wide(box) {
  return fullBox(box).version ? 4 : 2;
}

function counted(count) {
  if (count > ITEMS_MAX) throw new NvcError(`an AVIF file of ${count} items is not one of NVC's`);
  return count;
}

function readKinds(box, kinds) {
  const width = wide(box);
  counted(box.number(width));
  for (const [name, entry] of boxes(box)) {
    if (name !== 'infe' || kinds.size === ITEMS_MAX) continue;
    const { version } = fullBox(entry);
    if (version < 2) continue;
    const item = entry.number(version === 3 ? 4 : 2);
    entry.skip(2);
    kinds.set(item, entry.name());
  }
}

function readReferences(box, references) {
  const width = wide(box);
  for (const [name, entry] of boxes(box)) {
    const from = entry.number(width);
    for (let left = counted(entry.u16()); left > 0; left--) {
      if (references.length === ITEMS_MAX) throw new NvcError("an AVIF file of so many references is not one of NVC's");
      references.push([name, from, entry.number(width)]);
    }
  }
}

function readLocations(box, extents) {
  const { version } = fullBox(box);
  const sizes = box.u16();
  const [offsetSize, lengthSize, baseSize, indexSize] = [12, 8, 4, 0].map((shift) => (sizes >> shift) & 15);
  const width = version >= 2 ? 4 : 2;
  for (let left = counted(box.number(width)); left > 0; left--) {
    const item = box.number(width);
    const method = version >= 1 ? box.u16() & 15 : 0;
    box.skip(2);
    const base = box.number(baseSize);
    const parts = [];
    for (let more = counted(box.u16()); more > 0; more--) {
      if (version >= 1) box.skip(indexSize);
      parts.push([base + box.number(offsetSize), box.number(lengthSize)]);
    }
    if (method === 0) extents.set(item, parts);
  }
}

function readProperties(box, properties, owned) {
  for (const [kind, part] of boxes(box)) {
    if (kind === 'ipco') {
      for (const property of boxes(part)) if (properties.length < PROPERTIES_MAX) properties.push(property);
    } else if (kind === 'ipma') {
      const { version, flags } = fullBox(part);
      for (let left = counted(part.u32()); left > 0; left--) {
        const item = part.number(version ? 4 : 2);
        const indices = [];
        for (let more = part.u8(); more > 0; more--) indices.push(flags & 1 ? part.u16() & 0x7fff : part.u8() & 0x7f);
        if (!owned.has(item)) owned.set(item, indices);
      }
    }
  }
}

/** The bytes of an item. */
function contentOf(data, index, item) {
  const parts = [];
  let size = 0;
  for (const [offset, length] of index.extents.get(item) ?? []) {
    size += length;
    if (offset + length > data.length || size > data.length) {
      throw new NvcError('an item of the AVIF file lies beyond its end: the file is cut off');
    }
    parts.push(data.subarray(offset, offset + length));
  }
  return parts.length === 1 ? parts[0] : joined(parts);
}

/** EXIF without the offset that precedes it. */
function tiffOf(bytes) {
  return bytes.length < 4 ? null : bytes.subarray(Math.min(4 + new Bytes(bytes).u32(), bytes.length));
}
