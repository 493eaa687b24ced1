// The shaders against `prediction.js`, on drawn pictures and drawn heads of every layout, scale and depth: WebGPU's, or
// WebGL2's (`?by=webgl2`). Runs in a page (gpu.html) and needs nothing but the player's modules; `?all=1` compares every
// scale with every layout and depth, `?time=1` measures a head of 4 layers and 16 channels at 1280x720.

const query = new URLSearchParams(location.search);
const player = new URL(query.get('player') ?? '../../codec/web/player/', location.href);
const module = (name) => import(new URL(name, player));

const { baseSize, newPlane, shapesOf } = await module('restore/planes.js');
const { channelsOf, corrections, FINE, Head, predict } = await module('restore/prediction.js');
const { blocksOf, putPlain, toldOf } = await module('restore/steering.js');
const { plainPrediction, upscale } = await module('restore/upscale.js');
const { GpuRestorer, openDevice, waysOf } = await module('gpu/gpu.js');
const { GlRestorer, openGl } = await module('gpu/webgl.js');

/** Numbers 0 .. n-1 that are the same in every run. */
function drawer(seed) {
  let state = seed + 1;
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}

/** Base planes with slopes, noise, and samples at both ends of the range. */
function drawnBase(film, draw) {
  const { width, height } = baseSize(film);
  return shapesOf(width, height, 1).map((shape) => {
    const plane = newPlane(shape, 10);
    plane.samples.forEach((_, i) => {
      const slope = 7 * (i % shape.width) + 5 * Math.floor(i / shape.width);
      plane.samples[i] = draw(30) ? (slope + draw(40)) % 1024 : 1023 * draw(2);
    });
    return plane;
  });
}

/** A head with weights as large as exact sums allow. */
function drawnHead(film, layers, width, baseQ, adds, draw) {
  const planes = channelsOf(film.chroma).length;
  const channels = [planes + (baseQ === null ? 0 : 1), ...Array(layers - 1).fill(width), planes];
  for (let most = 127; ; most = Math.floor(most * 0.8)) {
    const drawn = Array.from({ length: layers }, (_, i) => {
      const scaleBits = 5 + draw(4);
      const shape = [channels[i + 1], channels[i], 3, 3];
      return {
        scaleBits,
        shape,
        weight: Int8Array.from({ length: shape[0] * shape[1] * 9 }, () => draw(2 * most + 1) - most),
        bias: Int32Array.from({ length: shape[0] }, () => draw(80 << scaleBits) - (20 << scaleBits)),
      };
    });
    try {
      return new Head({ layers: drawn, baseQ, adds }, film.chroma);
    } catch (error) {
      if (!error.message.includes('exact')) throw error;
    }
  }
}

/** Samples that differ. */
function differing(a, b) {
  return a.reduce((sum, plane, p) => {
    const other = b[p].samples;
    if (plane.samples.constructor !== other.constructor || plane.samples.length !== other.length) return Infinity;
    return sum + plane.samples.reduce((count, sample, i) => count + (sample === other[i] ? 0 : 1), 0);
  }, 0);
}

const SHAPES = [[2, 1], [4, 16], [3, 5], [4, 8], [2, 64], [3, 20]]; // layers, channels
const found = [];

async function compare(make, film, number, how) {
  const draw = drawer(number);
  const [layers, width] = SHAPES[number % SHAPES.length];
  const told = number % 2 ? [-128, 100, 127][number % 3] : null;
  const head = drawnHead(film, layers, width, told, number % 4 > 1, draw);
  const restorer = make(film);
  const prepared = restorer.prepare(head);
  const bases = [0, 1, 2].map(() => drawnBase(film, draw));
  // three are asked for at once; the first with some of the head's blocks, the second without the head
  const { columns, rows } = blocksOf(film);
  const blocks = Uint8Array.from({ length: columns * rows }, (_, at) => (at + number) % 2);
  const steered = [{ difference: draw(65) - 32, blocks }, null, null];
  const read = bases.map((base, k) => restorer.predict(base, k === 1 ? null : prepared, steered[k]));
  for (const [k, base] of bases.entries()) {
    const upscaled = upscale(base, film);
    const plain = plainPrediction(upscaled, film.depth);
    const wanted = k === 1 ? plain : predict(head, upscaled, film, toldOf(told, steered[k]));
    if (steered[k]?.blocks) putPlain(wanted, plain, blocks, film);
    const wrong = differing(wanted, await read[k]);
    const values = new Set(wanted[0].samples).size;
    if (wrong || (values < 2 && film.width > 1)) {
      found.push({ film, layers, width, told, how, picture: k, wrong, values });
    }
  }
  restorer.destroy();
}

/** A still, which is wanted in 1/16: what is added is limited first. */
async function compareStill(make, number, how, shifts) {
  const draw = drawer(number);
  const film = { width: 35, height: 22, chroma: 3, depth: 10, scale: 0, still: true };
  const head = drawnHead(film, 3, 8, 90, true, draw);
  head.layers.at(-1).shift = shifts; // of the last layer's sums
  const restorer = make(film);
  const base = drawnBase(film, draw);
  const upscaled = upscale(base, film);
  const added = corrections(head, upscaled, film);
  const limit = (value, least, most) => Math.min(Math.max(value, least), most);
  for (const prepared of [restorer.prepare(head), null]) {
    const wanted = upscaled.map((plane, p) => ({ ...plane, samples: plane.samples.map((sample, i) => {
      const more = prepared ? limit(added[p][i], -FINE.limit, FINE.limit - 1) : 0;
      return limit(FINE.unit * sample + more, 0, FINE.top);
    }) }));
    const wrong = differing(wanted, await restorer.predict(base, prepared));
    if (wrong) found.push({ still: shifts, how, head: prepared !== null, wrong });
  }
  restorer.destroy();
}

async function time(make, how) {
  const film = { width: 1280, height: 720, chroma: 1, depth: 8, scale: 0 };
  const draw = drawer(1);
  const head = drawnHead(film, 4, 16, 72, true, draw);
  const base = drawnBase(film, draw);
  const restorer = make(film);
  const prepared = restorer.prepare(head);
  const run = async (pictures) => {
    const start = performance.now();
    const all = await Promise.all(Array.from({ length: pictures }, () => restorer.predict(base, prepared)));
    return [(performance.now() - start) / pictures, all[0]];
  };
  const [, shown] = await run(1);
  const [taken] = await run(3);
  const start = performance.now();
  const wrong = differing(predict(head, upscale(base, film), film), shown);
  const reference = performance.now() - start;
  restorer.destroy();
  return { how, gpu: taken, reference, wrong };
}

/** What predicts, by how: functions that make it for a film; null without. */
async function makers(by, errors) {
  if (by === 'webgl2') return openGl() && { webgl2: (film) => new GlRestorer(openGl(), film) };
  const device = await openDevice(navigator.gpu);
  device?.addEventListener('uncapturederror', ({ error }) => errors.push(error.message));
  return device && {
    ...(waysOf()[0] ? { packed: (film) => new GpuRestorer(device, film, [true]) } : {}),
    floats: (film) => new GpuRestorer(device, film, [false]),
  };
}

async function all() {
  const errors = [];
  const known = await makers(query.get('by'), errors);
  if (!known) return 'none';
  const modes = Object.entries(known);
  let count = 0;
  for (const [how, make] of modes) {
    for (let chroma = 0; chroma < 4; chroma++) {
      for (const depth of how === modes[0][0] ? [8, 10] : [count % 2 ? 8 : 10]) {
        const scales = query.get('all') ? [0, 1, 2, 3, 4] : [count % 5];
        for (const scale of scales) {
          const size = count % 2 ? { width: 67, height: 21 } : { width: 22, height: 65 };
          await compare(make, { ...size, chroma, depth, scale }, count++, how);
        }
      }
    }
  }
  for (const [how, make] of modes) for (const shifts of [2, 4, 9]) await compareStill(make, count++, how, shifts);
  await compare(modes[0][1], { width: 1, height: 1, chroma: 1, depth: 8, scale: 0 }, count++, modes[0][0]);
  const said = { compared: count, modes: Object.keys(known), found, errors: errors.slice(0, 5) };
  if (query.get('time')) {
    said.milliseconds = [];
    for (const [how, make] of modes) said.milliseconds.push(await time(make, how));
  }
  document.title = found.length || errors.length ? 'different' : 'equal';
  return JSON.stringify(said, null, 1);
}

try {
  document.getElementById('said').textContent = await all();
  if (document.title === 'running') document.title = 'different';
} catch (error) {
  document.getElementById('said').textContent = String(error.stack);
  document.title = 'different';
}
document.body.dataset.done = 'yes';
