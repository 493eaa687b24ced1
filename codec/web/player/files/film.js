/** Films of any container that is known here. */

import { NvcError } from './bytes.js';
import * as matroska from './matroska.js';
import * as mp4 from './mp4.js';

/**
 * @param {import('./source.js').Source} source
 * @returns {Promise<import('./mp4.js').Film>}
 */
export async function open(source) {
  const head = await source.read(0, Math.min(12, source.size));
  const container = [mp4, matroska].find(({ knows }) => knows(head));
  if (!container) throw new NvcError(`${source.name} is no film of ours: it is neither MP4 nor Matroska`);
  return container.open(source);
}
