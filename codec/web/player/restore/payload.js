/**
 * Payloads (FORMAT.md, sections 2 and 7): sealed by a CRC-32, and what their fields say.
 *
 * Each record is declared once, field by field, with FORMAT.md's names, widths and legal ranges; parts follow the
 * numbers, as long as those say. Views of the payload are given, not copies.
 */

import { Bytes, NvcError, ascii, crc32 } from '../files/bytes.js';

const VERSION = 1;
export const KIND = { segment: 1, residual: 2, still: 3, tracks: 4, properties: 5 };
export const HEAD = { none: 0, whole: 1, difference: 2, pretrained: 3 };
const STEERED = 4; // of head_kind, with one of them that is a head
export const LOSS = { off: 0, transform: 1, linear: 2, density: 3, wholeDensity: 4, light: 5 };
export const BASE_Q_ZERO = 128; // a byte that tells of base_q is that much more

const PIXELS_MAX = 2 ** 27;
const WORD_MAX = 2 ** 32 - 1;
const PART_MAX = 2 ** 30;
const TRACK_KINDS = [null, 'audio', 'subtitle', 'cover', 'attachment'];

/** Name, width in bits, least and largest legal value, and those between them that are illegal. */
const SEGMENT = [
  ['width', 16, 1, 65535],
  ['height', 16, 1, 65535],
  ['chroma', 8, 0, 3],
  ['depth', 8, 8, 10, [9]],
  ['scale', 8, 0, 4],
  ['rate', 32, 1, WORD_MAX],
  ['rate_unit', 32, 1, WORD_MAX],
  ['frames', 16, 1, 65535],
  ['group', 8, 1, 255],
  ['psnr', 16, 0, 10000],
  ['head_kind', 8, 0, STEERED | HEAD.pretrained, [STEERED | HEAD.none]],
  ['history', 8, 0, 2],
  ['gate', 8, 0, 8],
  ['layers', 8, 0, 8],
  ['head_width', 8, 0, 64],
  ['reference', 32, 0, WORD_MAX],
  ['head_bytes', 32, 0, 2 ** 22],
  ['loss_kind', 8, 0, 5],
  ['loss_step', 8, 0, 255],
  ['max_error', 8, 0, 127],
];

const STILL = [
  ['width', 16, 1, 65535],
  ['height', 16, 1, 65535],
  ['channels', 8, 1, 3, [2]],
  ['depth', 8, 8, 16, [9, 10, 11, 12, 13, 14, 15]],
  ['alpha', 8, 0, 2],
  ['head', 8, 0, 255],
  ['base_q', 8, 0, 255],
  ['bounded', 8, 0, 3],
  ['max_error', 8, 0, 127],
  ['psnr', 16, 0, 10000],
  ['checksum', 32, 0, WORD_MAX],
  ['delta_bytes', 32, 0, 2 ** 20],
  ['loss_bytes', 32, 0, PART_MAX],
  ['loss_low_bytes', 32, 0, PART_MAX],
  ['alpha_bytes', 32, 0, PART_MAX],
  ['alpha_low_bytes', 32, 0, PART_MAX],
];

const TRACK = [
  ['kind', 8, 1, 4],
  ['packets', 32, 0, WORD_MAX],
  ['size', 64, 0, Number.MAX_SAFE_INTEGER],
  ['crc', 32, 0, WORD_MAX],
  ['codec_bytes', 8, 0, 63],
];

const PROPERTIES = [['chroma_place', 8, 1, 4]];

/** Reads numbers as a table declares them; an illegal one is an NvcError. */
function numbers(bytes, fields) {
  const found = {};
  for (const [name, width, least, most, reserved] of fields) {
    const value = bytes.number(width / 8);
    if (value < least || value > most || reserved?.includes(value)) {
      throw new NvcError(`the field '${name}' of a payload is ${value}, which is illegal`);
    }
    found[name] = value;
  }
  return found;
}

/** Throws unless what is said is so. */
function demand(holds, sentence) {
  if (!holds) throw new NvcError(sentence);
}

/**
 * @param {Uint8Array} payload
 * @returns {{kind: number, body: Uint8Array}} kind: one of KIND
 * @throws {NvcError} where it is damaged, or of a version or kind unknown
 */
export function unseal(payload) {
  demand(payload.length >= 6, 'a payload is shorter than its frame');
  const end = payload.length - 4;
  const stored = new Bytes(payload, end).u32();
  demand(stored === crc32(payload.subarray(0, end)), 'a payload does not match its CRC-32');
  demand(payload[0] === VERSION, `the payload is of version ${payload[0]}; this player reads version ${VERSION}`);
  demand(payload[1] >= 1 && payload[1] <= 5, `a payload is of unknown kind ${payload[1]}`);
  return { kind: payload[1], body: payload.subarray(2, end) };
}

/** The body of a payload that is to be of that kind. */
function bodyOf(payload, wanted, what) {
  const { kind, body } = unseal(payload);
  demand(kind === wanted, `a payload is not ${what}`);
  return body;
}

/**
 * @typedef {object} UnitPayloads what a temporal unit brings beside its picture; null where it brings none
 * @property {Segment | null} segment of keyframes, which open one
 * @property {Uint8Array | null} tracks payload that tells of the film; what decodes pictures passes over it, damaged
 *   or not
 * @property {Uint8Array | null} properties likewise
 * @property {Uint8Array | null} residual the loss-stream of the picture
 */

/**
 * What the payloads of a unit say; an order that FORMAT.md does not know is an NvcError.
 * @param {Uint8Array[]} payloads
 * @param {boolean} key whether the unit is that of a keyframe
 * @returns {UnitPayloads}
 */
export function unitPayloads(payloads, key) {
  const found = { segment: null, tracks: null, properties: null, residual: null };
  const rest = [...payloads];
  if (key) {
    demand(rest.length, 'the segment header is missing');
    found.segment = readSegment(rest.shift());
    if (rest[0]?.[1] === KIND.tracks) found.tracks = rest.shift();
    if (rest[0]?.[1] === KIND.properties) found.properties = rest.shift();
  }
  if (rest.length) found.residual = bodyOf(rest.shift(), KIND.residual, 'a loss-stream');
  demand(!rest.length, 'there are more payloads than one picture can have');
  return found;
}

/**
 * @typedef {object} Segment a segment's header: the fields of FORMAT.md by their names, as they are on the wire, and
 * @property {Uint8Array} head steering, of a head that is steered, and coded weights
 * @property {Uint8Array} used bit k & 7 of byte k >> 3: whether the head predicts picture k; empty without a head
 * @property {Uint32Array} checksums of each group of pictures
 */

/**
 * @param {Uint8Array} payload
 * @returns {Segment}
 */
export function readSegment(payload) {
  const body = bodyOf(payload, KIND.segment, 'a segment header');
  const bytes = new Bytes(body, 0, undefined, 'a segment header');
  const v = numbers(bytes, SEGMENT);
  checkPicture(v);
  const head = v.head_kind !== HEAD.none;
  const described = [v.layers, v.head_width, v.head_bytes];
  demand(head || !(described.some(Boolean) || v.history || v.reference), 'a segment without a head describes one');
  demand(!head || (v.layers >= 2 && described.every(Boolean)), 'a head has too few layers, no channels or no bytes');
  demand(v.history > 0 === v.gate > 0 && v.gate !== 1, 'the gate does not fit the history');
  demand(!isSteered(v) || !v.history, 'a head that sees earlier pictures is steered');
  demand(sentAs(v) !== HEAD.whole || !v.reference, 'a whole head refers to another one');
  demand(
    sentAs(v) !== HEAD.pretrained || (v.reference && !v.history),
    'a head of the program has no number, or a history',
  );
  const stepped = v.loss_kind === LOSS.transform;
  demand(v.loss_step > 0 === stepped, 'the quantiser step does not fit the kind of loss-stream');
  demand(!v.max_error || v.loss_kind >= LOSS.linear, 'an error bound is given without a bounded loss-stream');
  const groups = Math.ceil(v.frames / v.group);
  const used = head ? Math.ceil(v.frames / 8) : 0;
  demand(bytes.left === v.head_bytes + used + 4 * groups, 'a segment header is not as long as its fields say');
  const segment = { ...v, head: bytes.take(v.head_bytes), used: bytes.take(used), checksums: new Uint32Array(groups) };
  for (let k = 0; k < groups; k++) segment.checksums[k] = bytes.u32();
  demand(
    !used || v.frames % 8 === 0 || segment.used[used - 1] >> v.frames % 8 === 0,
    "a picture beyond the segment's last is said to use the head",
  );
  return segment;
}

/** How a segment's head is sent, whether it is steered or not.
 * @param {{head_kind: number}} segment
 * @returns {number} one of HEAD */
export function sentAs({ head_kind: kind }) {
  return kind & ~STEERED;
}

/** Whether a segment's head is steered.
 * @param {{head_kind: number}} segment
 * @returns {boolean} */
export function isSteered({ head_kind: kind }) {
  return (kind & STEERED) !== 0;
}

/** Whether the head predicts a picture.
 * @param {{used: Uint8Array}} segment
 * @param {number} picture its number in the segment
 * @returns {boolean} */
export function usesHead({ used }, picture) {
  return Boolean((used[picture >> 3] >> (picture & 7)) & 1);
}

function checkPicture({ width, height }) {
  demand(width * height <= PIXELS_MAX, `a picture of ${width}x${height} samples is too large`);
}

/**
 * @typedef {object} Still a still's header: the fields of FORMAT.md by their names, as they are on the wire, and
 * @property {Uint8Array} delta the head's last layer, coded as a difference
 * @property {Uint8Array} loss
 * @property {Uint8Array} loss_low
 * @property {Uint8Array} alpha_loss
 * @property {Uint8Array} alpha_low
 */

/**
 * @param {Uint8Array} payload
 * @returns {Still}
 */
export function readStill(payload) {
  const body = bodyOf(payload, KIND.still, 'that of a still picture');
  const bytes = new Bytes(body, 0, undefined, 'the header of a still picture');
  const v = numbers(bytes, STILL);
  checkPicture(v);
  const [guided, palette] = [v.bounded === 2, v.bounded === 3];
  demand(v.head || (v.base_q === BASE_Q_ZERO && !v.delta_bytes), 'a picture without a head describes one');
  demand(v.bounded || !(v.max_error || v.loss_bytes || v.loss_low_bytes), 'a picture without a loss-stream has one');
  demand(v.depth !== 8 || !(v.loss_low_bytes || v.alpha_low_bytes), '8-bit samples have no lower bytes');
  demand(v.depth !== 16 || !(v.max_error || guided), '16-bit samples have no error bound, and no heads that know them');
  demand(
    !palette || !(v.head || v.max_error || v.loss_low_bytes),
    'a picture with a palette is exact, without a head or lower bytes',
  );
  demand(v.alpha === 1 || !(v.alpha_bytes || v.alpha_low_bytes), 'a picture without alpha has a loss-stream of it');
  const sizes = [v.delta_bytes, v.loss_bytes, v.loss_low_bytes, v.alpha_bytes, v.alpha_low_bytes];
  const whole = sizes.reduce((a, b) => a + b);
  demand(bytes.left === whole, 'the header of a still picture is not as long as its fields say');
  const [delta, loss, loss_low, alpha_loss, alpha_low] = sizes.map((size) => bytes.take(size));
  return { ...v, delta, loss, loss_low, alpha_loss, alpha_low };
}

/**
 * @typedef {object} TrackRecord what a track beside the pictures was when it was written
 * @property {'audio' | 'subtitle' | 'cover' | 'attachment'} kind
 * @property {number} packets
 * @property {number} size bytes
 * @property {number} crc
 * @property {string} codec FFmpeg's name
 */

/**
 * @param {Uint8Array} payload
 * @returns {TrackRecord[]}
 */
export function readTracks(payload) {
  const bytes = new Bytes(bodyOf(payload, KIND.tracks, 'of tracks'), 0, undefined, 'the record of a track');
  const tracks = [];
  while (bytes.left) {
    const { kind, packets, size, crc, codec_bytes } = numbers(bytes, TRACK);
    const codec = ascii(bytes.take(codec_bytes));
    demand(/^[ -~]*$/.test(codec), 'the name of a codec is not printable');
    demand(kind !== 4 || !codec, 'an attachment has a codec');
    tracks.push({ kind: TRACK_KINDS[kind], packets, size, crc, codec });
  }
  return tracks;
}

/**
 * @param {Uint8Array} payload
 * @returns {{chroma_place: number}} ChromaLocType of H.273, and 1
 */
export function readProperties(payload) {
  const body = bodyOf(payload, KIND.properties, 'of the properties of pictures');
  const bytes = new Bytes(body, 0, undefined, "the record of the pictures' properties");
  const found = numbers(bytes, PROPERTIES);
  demand(!bytes.left, "the record of the pictures' properties is not as long as its fields say");
  return found;
}
