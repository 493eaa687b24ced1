// What scripts share that node runs on the player's modules:
//
//     node SCRIPT.mjs PLAYER JOBS
//
// PLAYER: folder of the modules; JOBS: a JSON file, a list of jobs, which `player.py` writes. What came of each is a
// line of JSON; an NvcError is {error}, any other fault {fault}.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [player, jobs] = process.argv.slice(2);

export const listed = JSON.parse(readFileSync(jobs, 'utf8'));

/** One of the player's modules. */
export const module = (name) => import(pathToFileURL(join(player, name)));

/** Most memory that this process has had, bytes. */
export function peak() {
  // Linux counts in maxRSS what the process that started this one had
  const status = process.platform === 'linux' ? readFileSync('/proc/self/status', 'utf8') : '';
  const found = /^VmHWM:\s*(\d+) kB$/m.exec(status);
  return 1024 * (found ? Number(found[1]) : process.resourceUsage().maxRSS);
}

/** Do all jobs, each by the function of its name; `told` makes a line of what one returns. */
export async function answer(does, told = (found) => ({ found })) {
  const { NvcError } = await module('files/bytes.js');
  for (const job of listed) {
    let line;
    try {
      line = told(await does[job.do](job));
    } catch (error) {
      line = error instanceof NvcError ? { error: error.message } : { fault: String(error?.stack ?? error) };
    }
    process.stdout.write(`${JSON.stringify(line)}\n`);
  }
}
