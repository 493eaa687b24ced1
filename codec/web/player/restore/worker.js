/**
 * What follows predictions, beside the page: loss-streams, checksums of groups and, without a GPU, the predictions
 * themselves. Pictures of a segment come in order.
 *
 *     {do: 'open', id, segment, head, restored}        a segment; `restored`: whether its checksums can hold
 *     {do: 'picture', id, ticket, number, base | predicted, payload, steered}
 *     {do: 'close', id}
 *     {do: 'still', ticket, bases, still, head, fine}   answered by {ticket, planes, alpha, exact}
 *
 * A picture is answered by {ticket, planes, group, exact, error}: `group` is the number of the group that it ended, or
 * null; `exact` whether that has the checksum of the payload; `error` a sentence, or null.
 */

import { NvcError } from '../files/bytes.js';
import { stillSamples } from './colours.js';
import { checksum } from './planes.js';
import { Restorer } from './restore.js';
import { plainPrediction, upscale } from './upscale.js';

const open = new Map();

/** A segment's pictures, and the checksum of the group that they are in. */
class Checked {
  constructor({ segment, head, restored }) {
    this.segment = segment;
    this.restorer = restored ? new Restorer(segment, head) : null;
    this.error = null;
    this.next = 0; // picture that would go on with the group
    this.crc = 0;
  }

  picture({ number, base, predicted, payload, steered = null }) {
    if (typeof steered === 'string') this.error ??= steered; // and those after it cannot be without it
    let planes = predicted ?? this.predicted(base, number, steered);
    if (this.restorer && !this.error) planes = this.completed(planes, payload);
    const found = this.check(planes, number);
    return { planes, error: this.error, ...found };
  }

  predicted(base, number, steered) {
    if (this.restorer && typeof steered !== 'string') return this.restorer.predict(base, number, steered);
    return plainPrediction(upscale(base, this.segment), this.segment.depth);
  }

  completed(predicted, payload) {
    try {
      return this.restorer.complete(predicted, payload);
    } catch (error) {
      if (!(error instanceof NvcError)) throw error;
      this.error = error.message;
      return predicted;
    }
  }

  /** Sum up a picture; pictures that were passed over leave their group without a sum. */
  check(planes, number) {
    const { group, frames, checksums } = this.segment;
    if (!this.restorer) return { group: null, exact: false };
    if (number >= frames) {
      this.error = 'the segment has more pictures than its header says';
      return { group: null, exact: false };
    }
    if (number % group === 0) [this.next, this.crc] = [number, 0];
    if (number !== this.next) return { group: null, exact: false };
    this.next++;
    this.crc = checksum(planes, this.crc);
    const ends = this.next % group === 0 || this.next === frames;
    const which = Math.floor(number / group);
    return { group: ends ? which : null, exact: ends && this.crc === checksums[which] };
  }

  /** Whether pictures that were given away are still needed here. */
  get keeps() {
    return this.segment.loss_kind !== 0 && this.restorer !== null;
  }
}

const DOES = {
  open: (job) => open.set(job.id, new Checked(job)),
  close: ({ id }) => open.delete(id),
  still({ ticket, bases, still, head, fine }) {
    postMessage({ ticket, ...stillSamples(bases, still, head, fine) });
  },
  picture(job) {
    const checked = open.get(job.id);
    if (!checked) throw new NvcError('the segment was closed');
    const found = checked.picture(job);
    const given = checked.keeps ? [] : [...new Set(found.planes.map(({ samples }) => samples.buffer))];
    postMessage({ ticket: job.ticket, ...found }, given);
  },
};

addEventListener('message', ({ data }) => {
  try {
    DOES[data.do](data);
  } catch (error) {
    const failed = error instanceof NvcError ? error.message : String(error);
    postMessage({ ticket: data.ticket, failed });
  }
});
