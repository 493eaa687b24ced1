// Does with the page's modules what the jobs of a JSON file ask for, and prints what came of each, as JSON lines.
//
//     node page.mjs PLAYER JOBS

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [player, jobs] = process.argv.slice(2);
const module = (name) => import(pathToFileURL(join(player, name)));
const { openStill } = await module('avif.js');
const { crc32 } = await module('bytes.js');
const { chromaOffset, known, light, placed, rows } = await module('colour.js');
const { missingOf, stillSamples } = await module('colours.js');
const { split } = await module('obu.js');
const { readStill } = await module('payload.js');
const { bytesOf, shapesOf } = await module('planes.js');
const { readHeadFile, stillHead } = await module('weights.js');
const { clockText, spoken } = await module('subtitles.js');
const { Statistics } = await module('statistics.js');

const fileOf = (path) => new Uint8Array(readFileSync(path));

/** A still's samples from base planes that lie in a file, one after the other. */
function still({ path, base, head }) {
  const header = readStill(split(openStill(fileOf(path)).base).payloads[0]);
  const samples = new Uint16Array(fileOf(base).buffer);
  let at = 0;
  const planes = shapesOf(Math.max(16, header.width), Math.max(16, header.height), 1).map((shape) => {
    const own = samples.slice(at, at + shape.width * shape.height);
    at += own.length;
    return { ...shape, samples: own };
  });
  const sent = header.head ? stillHead(header, () => readHeadFile(fileOf(head))) : null;
  const found = stillSamples(planes, header, sent);
  return { missing: missingOf(header), exact: found.exact, crcs: found.planes.map((p) => crc32(bytesOf(p.samples))) };
}

/** Colours of samples, 0 .. 1. */
function colours({ colour, depth, samples }) {
  const all = rows(colour, depth);
  return samples.map((yuv) => all.map((row) => row[3] + yuv.reduce((sum, value, p) => sum + row[p] * value, 0)));
}

/** Sums of groups that are found to be exact or not, some of them twice. */
function counted({ segments, found }) {
  const statistics = new Statistics();
  const open = segments.map((header, key) => ({
    key, header: { ...header, checksums: new Uint32Array(Math.ceil(header.frames / header.group)) }, missing: null,
  }));
  for (const [k, number, group, exact] of found) {
    const unit = { segment: open[k], number, bytes: { base: 10, head: number ? 0 : 5, loss: 1 } };
    statistics.unit(unit);
    statistics.checked(unit, { group, exact });
  }
  return statistics.sums;
}

const JOBS = {
  still, colours, counted,
  placed: ({ film, track }) => placed(film, track),
  known: ({ told, sequence, height }) => known(told, sequence, height),
  light: ({ colour }) => light(colour),
  chroma: ({ chroma, place }) => chromaOffset(chroma, place),
  times: ({ seconds }) => seconds.map((n) => [clockText(n), spoken(n)]),
};

for (const job of JSON.parse(readFileSync(jobs, 'utf8'))) {
  process.stdout.write(`${JSON.stringify(await JOBS[job.do](job))}\n`);
}
