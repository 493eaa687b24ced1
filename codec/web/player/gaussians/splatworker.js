/**
 * Reads and draws .nvs files beside the page.
 *
 *     {do: 'open', data, tables}    answered by {gaussians, rgba, moved}
 *     {do: 'enlarge', part}         answered by {rgba, part}
 *
 * What cannot be done is answered by {failed}, a sentence.
 */

import { NvcError } from '../files/bytes.js';
import { readGaussians } from './nvs.js';
import { enlarge, render } from './splatrender.js';

const ENLARGED_MAX = 2 ** 24; // pixels of pictures that are drawn between their pixels too

let open = null; // {gaussians, moved}

const DOES = {
  open({ data, tables }) {
    const gaussians = readGaussians(data, tables);
    const { width, height } = gaussians;
    const { samples, channels, moved } = render(gaussians, width * height <= ENLARGED_MAX);
    open = { gaussians, moved };
    const rgba = rgbaOf(samples, channels);
    postMessage({ gaussians, rgba, moved }, [rgba.buffer]);
  },
  enlarge({ part }) {
    const rgba = enlarge(open.gaussians, open.moved, part);
    postMessage({ rgba, part }, [rgba.buffer]);
  },
};

/** Grey, grey and alpha, RGB, or RGB and alpha as RGBA. */
function rgbaOf(samples, channels) {
  const rgba = new Uint8ClampedArray((4 * samples.length) / channels);
  const [green, blue] = channels > 2 ? [1, 2] : [0, 0];
  const alpha = channels % 2 === 0 ? channels - 1 : -1;
  for (let at = 0, from = 0; at < rgba.length; at += 4, from += channels) {
    rgba[at] = samples[from];
    rgba[at + 1] = samples[from + green];
    rgba[at + 2] = samples[from + blue];
    rgba[at + 3] = alpha < 0 ? 255 : samples[from + alpha];
  }
  return rgba;
}

addEventListener('message', ({ data }) => {
  try {
    DOES[data.do](data);
  } catch (error) {
    postMessage({ failed: error instanceof NvcError ? error.message : String(error) });
  }
});
