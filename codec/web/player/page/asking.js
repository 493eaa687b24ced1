/** Work that is left to a worker. */

import { NvcError } from '../files/bytes.js';

/** What a worker answers; it has one job at a time.
 * @param {Worker} worker
 * @param {object} job
 * @returns {Promise<object>}
 * @throws {NvcError} where it says that it failed, or stops */
export function answer(worker, job) {
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => (data.failed ? reject(new NvcError(data.failed)) : resolve(data));
    worker.onerror = () => reject(new NvcError('the worker of the player stopped'));
    worker.postMessage(job);
  });
}
