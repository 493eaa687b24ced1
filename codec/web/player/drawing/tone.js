/** From R'G'B' of a film to a plain screen's bytes, in JavaScript: what `screen.wgsl.js` does on a GPU. */

import { light, TRANSFER } from './colour.js';

const STEPS = 4096; // entries of tables

/** How a film's colours become those of a plain screen.
 * @param {{primaries: number, transfer: number}} colour what `known` tells
 * @returns {((red: number, green: number, blue: number, out: Uint8ClampedArray, at: number) => void) | null} writes
 *   three bytes from R'G'B' of 0 .. 1; null where those need nothing but to be multiplied by 255 */
export function tone(colour) {
  const { transfer, wide, peak } = light(colour);
  if (transfer === TRANSFER.plain && !wide) return null;
  const linear = table(LINEAR[transfer]);
  const plain = transfer === TRANSFER.plain;
  const encoded = table(plain ? (v) => 255 * v ** (1 / 2.4) : srgb);
  return (red, green, blue, out, at) => {
    let [r, g, b] = [looked(linear, red), looked(linear, green), looked(linear, blue)];
    if (transfer === TRANSFER.hlg) {
      const system = Math.max(0.2627 * r + 0.678 * g + 0.0593 * b, 1e-6) ** 0.2 * (1000 / 203);
      [r, g, b] = [r * system, g * system, b * system];
    }
    if (wide) [r, g, b] = narrowed(r, g, b);
    const most = Math.max(r, g, b, 1e-6);
    const less = plain ? 1 : (1.25 * (1 + most / (peak * peak))) / (1 + most);
    out[at] = looked(encoded, r * less);
    out[at + 1] = looked(encoded, g * less);
    out[at + 2] = looked(encoded, b * less);
  };
}

/** Light by R', in units of diffuse white; of HLG that of the scene. */
const LINEAR = {
  [TRANSFER.plain]: (v) => v ** 2.4,
  [TRANSFER.pq]: (v) => {
    const p = v ** (1 / 78.84375);
    return ((Math.max(p - 0.8359375, 0) / (18.8515625 - 18.6875 * p)) ** (1 / 0.1593017578125) * 10000) / 203;
  },
  [TRANSFER.hlg]: (v) => (v <= 0.5 ? (v * v) / 3 : (Math.exp((v - 0.55991073) / 0.17883277) + 0.28466892) / 12),
};

const srgb = (v) => 255 * (v <= 0.0031308 ? 12.92 * v : 1.055 * v ** (1 / 2.4) - 0.055);

/** BT.2020 to BT.709. */
function narrowed(r, g, b) {
  return [
    1.6605 * r - 0.5876 * g - 0.0728 * b,
    -0.1246 * r + 1.1329 * g - 0.0083 * b,
    -0.0182 * r - 0.1006 * g + 1.1187 * b,
  ];
}

/** A function of 0 .. 1, where tables are densest near 0: there it is the steepest. */
function table(of) {
  return Float64Array.from({ length: STEPS + 1 }, (_, k) => of((k / STEPS) ** 2));
}

function looked(values, v) {
  const place = v > 0 ? Math.sqrt(Math.min(v, 1)) * STEPS : 0;
  const k = Math.min(Math.floor(place), STEPS - 1);
  return values[k] + (place - k) * (values[k + 1] - values[k]);
}
