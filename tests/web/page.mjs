// Does with the page's modules what the jobs of a JSON file ask for, and prints what came of each, as JSON lines.
//
//     node page.mjs PLAYER JOBS

import { listed, module } from './jobs.mjs';

const { chromaOffset, known, light, placed, rows } = await module('drawing/colour.js');
const { clockText, spoken } = await module('page/subtitles.js');
const { Statistics } = await module('page/statistics.js');

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
  colours, counted,
  placed: ({ film, track }) => placed(film, track),
  known: ({ told, sequence, height }) => known(told, sequence, height),
  light: ({ colour }) => light(colour),
  chroma: ({ chroma, place }) => chromaOffset(chroma, place),
  times: ({ seconds }) => seconds.map((n) => [clockText(n), spoken(n)]),
};

for (const job of listed) {
  process.stdout.write(`${JSON.stringify(await JOBS[job.do](job))}\n`);
}
