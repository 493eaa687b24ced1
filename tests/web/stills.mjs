// Does with the player's modules of stills what the jobs of a JSON file ask for, and prints what came of each, as JSON
// lines.
//
//     node stills.mjs PLAYER JOBS
//
// An NvcError is {error}, any other fault {fault}.

import { readFileSync, writeFileSync } from 'node:fs';

import { answer, module } from './jobs.mjs';

const { openStill } = await module('files/avif.js');
const { crc32, NvcError } = await module('files/bytes.js');
const { missingOf, stillSamples } = await module('restore/colours.js');
const { readGaussians } = await module('gaussians/nvs.js');
const { split } = await module('files/obu.js');
const { readStill } = await module('restore/payload.js');
const { bytesOf, shapesOf } = await module('restore/planes.js');
const { wayOf } = await module('drawing/profile.js');
const { enlarge, render } = await module('gaussians/splatrender.js');
const { readHeadFile, stillHead } = await module('restore/weights.js');

const fileOf = (path) => new Uint8Array(readFileSync(path));
const bytesFrom = (text) => new Uint8Array(Buffer.from(text, 'base64'));

/** Planes that lie in a file, one after the other. */
function planesFrom(path, { width, height }) {
  if (!path) return null;
  const samples = new Uint16Array(fileOf(path).buffer);
  let at = 0;
  return shapesOf(Math.max(16, width), Math.max(16, height), 1).map((shape) => {
    const own = samples.slice(at, at + shape.width * shape.height);
    at += own.length;
    return { ...shape, samples: own };
  });
}

/** A still's samples from decoded bases; their sum as the golden one, pixel by pixel. */
function still({ path, data, picture, alpha, head }) {
  const header = readStill(split(openStill(data ? bytesFrom(data) : fileOf(path)).base).payloads[0]);
  const missing = missingOf(header);
  if (missing) return { missing };
  const sent = header.head ? stillHead(header, () => readHeadFile(fileOf(head))) : null;
  const bases = { picture: planesFrom(picture, header), alpha: planesFrom(alpha, header) };
  const found = stillSamples(bases, header, sent);
  const planes = header.alpha ? [...found.planes, found.alpha ?? opaque(found.planes[0], header)] : found.planes;
  const pixels = new planes[0].samples.constructor(planes.length * planes[0].samples.length);
  planes.forEach(({ samples }, c) => samples.forEach((sample, i) => (pixels[i * planes.length + c] = sample)));
  return { missing, exact: found.exact, crc: crc32(bytesOf(pixels)) };
}

function opaque({ samples }, { depth }) {
  return { samples: samples.map(() => 2 ** depth - 1) };
}

/** The sum of an .nvs file's pixels. */
function gaussians({ data, tables }) {
  return { crc: crc32(render(readGaussians(bytesFrom(data), fileOf(tables))).samples) };
}

/** An .nvs file at another size, to a file. */
function enlarged({ path, tables, scale, width, height, out }) {
  const found = readGaussians(fileOf(path), fileOf(tables));
  const { moved } = render(found, true);
  writeFileSync(out, enlarge(found, moved, { x: 0, y: 0, scale, width, height }));
  return {};
}

/** Colours by a profile. */
function profile({ icc, colour, rgba }) {
  const way = wayOf({ icc: icc ? bytesFrom(icc) : null, colour });
  const changed = Uint8ClampedArray.from(rgba);
  way.apply?.(changed);
  return { note: way.note, applied: way.apply !== null, rgba: [...changed] };
}

const JOBS = { still, gaussians, enlarged, profile };

await answer(JOBS, (found) => found);
