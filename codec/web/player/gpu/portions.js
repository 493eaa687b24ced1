/**
 * How much a GPU is given at a time. It works in the order in which it is asked, and the page's own drawing waits in
 * the same line: what takes long is handed over in portions, each once the one before is done, so that the page
 * answers, and what nobody wants any more is left.
 */

const PORTION = 40; // milliseconds that one may take
const LEAST = 1e6; // products a millisecond that a GPU is taken to compute before that is known

/** What pictures of one film are found to take. */
export class Portions {
  #took = null; // milliseconds
  #done = 0; // when the last one was, milliseconds

  /** How a picture's passes are to be given: each inner array at once, after the one before is done.
   * @template {{rows: number, work: number}} P
   * @param {P[]} passes in their order; `work`: products of each, about
   * @returns {[P, number, number][][]} passes with their first row and how many */
  of(passes) {
    const all = passes.reduce((sum, { work }) => sum + work, 0);
    const expected = this.#took ?? all / LEAST;
    if (expected <= PORTION) return [passes.map((pass) => [pass, 0, pass.rows])];
    return passes.flatMap((pass) => {
      const parts = Math.ceil((expected * pass.work) / all / PORTION);
      return bandsOf(pass.rows, parts).map(([first, rows]) => [[pass, first, rows]]);
    });
  }

  /** A picture is done now.
   * @param {number} since when it was begun, by `performance.now()` */
  done(since) {
    const now = performance.now();
    this.#took = now - Math.max(since, this.#done);
    this.#done = now;
  }
}

/** Rows in about equal parts: first row and number of rows of each. */
function bandsOf(rows, parts) {
  const each = Math.ceil(rows / parts);
  return Array.from({ length: Math.ceil(rows / each) }, (_, k) => [k * each, Math.min(each, rows - k * each)]);
}

/** Lets so many go on at a time, in the order in which they ask. */
export class Turns {
  #free;
  #queue = [];

  /** @param {number} count */
  constructor(count) {
    this.#free = count;
  }

  async take() {
    if (this.#free) this.#free--;
    else await new Promise((go) => this.#queue.push(go));
  }

  give() {
    const next = this.#queue.shift();
    if (next) next();
    else this.#free++;
  }
}
