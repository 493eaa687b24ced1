"use strict";
(() => {

// What the page was given. Names in it are written as text, never as markup.
const get = (id) => document.getElementById(id);
const data = JSON.parse(get("data").textContent);
const images = JSON.parse(get("images").textContent);
const [chart, stage, tip] = [get("chart"), get("stage"), get("tip")];
const SVG = chart.namespaceURI;

// ---------------------------------------------------------------- small things

function build(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children.filter((child) => child !== null));
  return node;
}
const html = (name, attributes = {}, ...children) => build(document.createElement(name), attributes, children);
const svg = (name, attributes = {}, ...children) => build(document.createElementNS(SVG, name), attributes, children);

const fixed = (digits) => (v) =>
  v.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
const grouped = fixed(0);
const plain = (v) => v.toLocaleString("en", { maximumFractionDigits: 6 });
const short = (v) => (v >= 1000 ? grouped(v) : String(Number(v.toPrecision(4))));
const megabytes = (v) => grouped(v / 1e6);
const psnr = (v) => (v >= 100 ? "∞" : fixed(2)(v));
const isNumber = (v) => typeof v === "number" && Number.isFinite(v);

// Fields of a record that are shown, in this order: name, words, how it is written.
const FIELDS = [
  ["setting", "setting", String],
  ["bytes", "bytes", grouped],
  ["kbps", "kbit/s", short],
  ["bpp", "bits per pixel", short],
  ...["YUV", "Y", "U", "V", "RGB"].map((of) => [`psnr_${of.toLowerCase()}`, `PSNR-${of}, dB`, psnr]),
  ["ssim", "SSIM", fixed(5)],
  ["ms_ssim", "MS-SSIM", fixed(5)],
  ["xpsnr", "XPSNR, dB", psnr],
  ["identical", "identical pictures", grouped],
  ["worst", "largest error", String],
  ["encode_s", "encoding, s", short],
  ["decode_s", "decoding, s", short],
  ["encode_memory", "encoding, MB", megabytes],
  ["decode_memory", "decoding, MB", megabytes],
  ["jobs", "jobs side by side", String],
];
const written = ([name, , write], record) => (record[name] == null ? "–" : write(record[name]));

const decibels = (name) => (r) => (isNumber(r[name]) ? (r[name] < 1 ? -10 * Math.log10(1 - r[name]) : Infinity) : null);
const METRICS = [
  ...["psnr_yuv", "psnr_y", "psnr_rgb"].map((n) => ({ id: n, of: (r) => r[n], open: true })),
  { id: "ssim", of: (r) => r.ssim },
  { id: "ssim_db", words: "SSIM, dB", of: decibels("ssim"), open: true },
  { id: "ms_ssim", of: (r) => r.ms_ssim },
  { id: "ms_ssim_db", words: "MS-SSIM, dB", of: decibels("ms_ssim"), open: true },
  { id: "xpsnr", of: (r) => r.xpsnr, open: true },
]; // open: a scale without an upper end
for (const metric of METRICS) metric.words ??= FIELDS.find(([name]) => name === metric.id)[1];
const AXES = [
  { id: "rate", words: "rate, logarithmic", of: (r, panel) => r[panel.rate], log: true },
  { id: "linear", words: "rate, linear", of: (r, panel) => r[panel.rate] },
  { id: "encode", words: "encoding time, s", of: (r) => r.encode_s, log: true },
  { id: "decode", words: "decoding time, s", of: (r) => r.decode_s, log: true },
];

// ---------------------------------------------------------------- what is shown: kept in the address, after the "#"

const state = { clip: 0, metric: "", axis: "rate", hidden: new Set(), pins: [], double: false, difference: false };
let pressed = null; // a node; while it is pressed, the original is shown in the place of what was decoded
let order = { key: null, down: false }; // of the table of points
const panel = () => data.panels[state.clip];
const recordOf = (id) => {
  const [l, p] = id.split(".").map(Number);
  const line = panel()?.lines[l];
  return line?.records[p] && line.reference === null ? { line, record: line.records[p] } : null;
};

function readAddress() {
  const said = new URLSearchParams(location.hash.slice(1));
  state.clip = Math.max(0, data.panels.findIndex((p) => p.clip === said.get("clip")));
  state.metric = said.get("y") ?? "";
  state.axis = said.get("x") ?? "rate";
  state.hidden = new Set(said.getAll("off"));
  state.pins = [...new Set(said.getAll("pin"))].filter(recordOf).slice(0, 2);
  state.double = said.has("double");
  state.difference = said.has("difference");
}

function writeAddress() {
  const said = new URLSearchParams([["clip", panel().clip], ["y", state.metric], ["x", state.axis]]);
  for (const name of state.hidden) said.append("off", name);
  for (const id of state.pins) said.append("pin", id);
  for (const name of ["double", "difference"]) if (state[name]) said.append(name, "1");
  history.replaceState(null, "", `#${said}`);
}

function choices(select, options, chosen) {
  select.replaceChildren(...options.map(([value, words]) => html("option", { value }, words)));
  select.value = chosen;
}

/** Show the state; what a panel does not have cannot be chosen. */
function update() {
  const has = (of) => panel().lines.some((line) => line.records.some((r) => isNumber(of(r, panel()))));
  const metrics = METRICS.filter((m) => has(m.of)), axes = AXES.filter((a) => has(a.of));
  if (!metrics.some((m) => m.id === state.metric)) state.metric = panel().quality;
  if (!axes.some((a) => a.id === state.axis)) state.axis = "rate";
  choices(get("clip"), data.panels.map((p, k) => [k, p.clip]), state.clip);
  choices(get("metric"), metrics.map((m) => [m.id, m.words]), state.metric);
  choices(get("axis"), axes.map((a) => [a.id, a.words]), state.axis);
  for (const name of ["double", "difference"]) get(name).checked = state[name];
  drawLegend();
  drawChart();
  showPictures();
  showPoints();
  writeAddress();
}

// ---------------------------------------------------------------- marks

const SHAPES = {
  s: "-.9,-.9 .9,-.9 .9,.9 -.9,.9",
  "^": "0,-1.15 1.1,.85 -1.1,.85",
  v: "0,1.15 1.1,-.85 -1.1,-.85",
  D: "0,-1.25 1.25,0 0,1.25 -1.25,0",
  P: "-.4,-1.15 .4,-1.15 .4,-.4 1.15,-.4 1.15,.4 .4,.4 .4,1.15 -.4,1.15 -.4,.4 -1.15,.4 -1.15,-.4 -.4,-.4",
};
SHAPES.X = SHAPES.P;
const DASHES = ["7 3", "2 3", "9 3 2 3", "12 5"];

/** A node in the colours of a method. */
function coloured(node, method) {
  const look = data.looks[method];
  node.classList.add("method");
  node.style.setProperty("--light", look.light);
  node.style.setProperty("--dark", look.dark);
  return node;
}

function dashed(line, k) {
  line.setAttribute("class", "reference");
  line.setAttribute("stroke-dasharray", DASHES[k % DASHES.length]);
  return line;
}

function mark(method, x, y, size = 4.5) {
  const { marker, hollow } = data.looks[method];
  const attributes = { class: hollow ? "mark hollow" : "mark" };
  if (!(marker in SHAPES)) return svg("circle", { ...attributes, cx: x, cy: y, r: size });
  const corners = SHAPES[marker].split(" ").map((corner) => {
    const [a, b] = corner.split(",").map((v) => v * size);
    const [c, d] = marker === "X" ? [(a - b) * Math.SQRT1_2, (a + b) * Math.SQRT1_2] : [a, b];
    return `${x + c},${y + d}`;
  });
  return svg("polygon", { ...attributes, points: corners.join(" ") });
}

function drawLegend() {
  let references = 0;
  get("legend").replaceChildren(...panel().lines.map(({ method, reference }) => {
    const line = svg("line", { class: "curve", x1: 0, x2: 26, y1: 7, y2: 7 });
    const swatch = svg("svg", { "aria-hidden": "true" }, line);
    if (reference === null) coloured(swatch, method).append(mark(method, 13, 7));
    else dashed(line, references++);
    const button = html("button", { type: "button", "aria-pressed": !state.hidden.has(method) }, swatch,
      html("span", {}, method));
    button.addEventListener("click", () => {
      if (!state.hidden.delete(method)) state.hidden.add(method);
      button.setAttribute("aria-pressed", !state.hidden.has(method));
      drawChart();
      writeAddress();
    });
    return button;
  }));
}

// ---------------------------------------------------------------- chart

let drawn = []; // the points that can be pointed at: {id, line, record, x, y (pixels), node}
let focused = ""; // the id of the one that the Tab key reaches

function niceTicks(low, high, most) {
  const size = 10 ** Math.floor(Math.log10((high - low) / most));
  const step = size * [1, 2, 5, 10].find((k) => (high - low) / (k * size) <= most);
  const first = Math.ceil(low / step - 1e-9), last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, k) => Number(((first + k) * step).toPrecision(10)));
}

function logTicks(low, high, most) {
  const first = Math.floor(Math.log10(low)), last = Math.ceil(Math.log10(high));
  let best = [];
  for (const steps of [[1], [1, 3], [1, 2, 5], [1, 1.5, 2, 3, 5, 7]]) {
    const ticks = [];
    for (let k = first; k <= last; k++) ticks.push(...steps.map((step) => Number(`${step}e${k}`)));
    const within = ticks.filter((tick) => tick >= low && tick <= high);
    if (within.length <= most || !best.length) best = within;
  }
  return best.length > 1 ? best : niceTicks(low, high, most);
}

/** From values to pixels, with round numbers to label. */
function scale(values, from, to, most, { log = false, zero = false }) {
  let low = Math.min(...values), high = Math.max(...values);
  const pad = log ? Math.max((high / low) ** 0.04, 1.06) : Math.max((high - low) * 0.05, Math.abs(high) * 0.002, 1e-6);
  [low, high] = log ? [low / pad, high * pad] : [zero ? 0 : low - pad, high + pad];
  const f = log ? Math.log : (v) => v;
  const at = (v) => from + ((f(v) - f(low)) / (f(high) - f(low))) * (to - from);
  return { at, ticks: (log ? logTicks : niceTicks)(low, high, most) };
}

/** The points of the panel as {id, l, line, record, u, v}, in the units of the axes; `above`: off the scale, at its top
    edge. What has no place in this chart goes to `absent`. */
function place(metric, axis) {
  const points = [], absent = [];
  panel().lines.forEach((line, l) => {
    if (state.hidden.has(line.method)) return;
    line.records.forEach((record, p) => {
      const u = axis.of(record, panel()), v = metric.of(record);
      const above = metric.open && (line.lossless[p] || v > data.ceiling);
      if (record.error || !(u > 0) || !(above || isNumber(v))) {
        const why = record.error ? " (failed)" : "";
        if (line.reference === null) absent.push(`${line.method} at ${record.setting}${why}`);
      } else points.push({ id: `${l}.${p}`, l, line, record, u, v, above, lossless: line.lossless[p] });
    });
  });
  return { points, absent };
}

function drawChart() {
  const metric = METRICS.find((m) => m.id === state.metric), axis = AXES.find((a) => a.id === state.axis);
  const { points, absent } = place(metric, axis);
  const held = chart.contains(document.activeElement);
  const width = stage.clientWidth, height = Math.min(560, Math.max(320, width * 0.56));
  const [left, right, bottom] = [52, width - 14, height - 44];
  chart.setAttribute("viewBox", `0 0 ${width} ${height}`);
  chart.style.height = `${height}px`;
  chart.replaceChildren();
  showTip(null);
  const rest = absent.length ? `. Without a place in this chart: ${absent.join(", ")}.` : "";
  get("source").textContent = panel().about + rest;
  drawn = [];
  if (!points.length) {
    chart.append(svg("text", { x: width / 2, y: height / 2, "text-anchor": "middle" }, "Nothing to draw"));
    return;
  }
  const inside = points.filter((p) => !p.above), counted = axis.log || !inside.length ? points : inside;
  const x = scale(counted.map((p) => p.u), left, right, Math.max(3, width / 75), { log: axis.log, zero: !axis.log });
  for (const p of points) p.x = x.at(p.u);
  const beyond = points.filter((p) => p.x > right).sort((a, b) => b.u - a.u);
  beyond.forEach((p, k) => { p.x = right - 14 * k; });
  const above = points.filter((p) => p.above && p.line.reference === null).sort((a, b) => a.x - b.x);
  const top = 26 + 13 * rowsOf(above, right);
  const y = scale(inside.length ? inside.map((p) => p.v) : [30, 45], bottom, top, height / 45, {});
  for (const p of points) p.y = p.above ? top : y.at(p.v);
  drawFrame(x, y, [left, right, top, bottom], metric, axis);
  let references = 0;
  for (const line of panel().lines) {
    const lossy = inside.filter((p) => p.line === line && !p.lossless);
    const curve = svg("polyline", { class: "curve", points: lossy.map((p) => `${p.x},${p.y}`).join(" ") });
    chart.append(line.reference === null ? coloured(curve, line.method) : dashed(curve, references++));
  }
  above.forEach(labelTop);
  drawn = points.filter((p) => p.line.reference === null);
  if (!drawn.some((p) => p.id === focused)) focused = drawn[0]?.id;
  for (const p of drawn) chart.append(drawPoint(p, metric, axis));
  nameReferences(inside, right);
  if (held) drawn.find((p) => p.id === focused)?.node.focus();
}

function drawFrame(x, y, [left, right, top, bottom], metric, axis) {
  for (const tick of x.ticks) {
    const at = x.at(tick);
    chart.append(svg("line", { class: "grid", x1: at, x2: at, y1: top, y2: bottom }),
      svg("text", { x: at, y: bottom + 16, "text-anchor": "middle" }, plain(tick)));
  }
  for (const tick of y.ticks) {
    const at = y.at(tick);
    chart.append(svg("line", { class: "grid", x1: left, x2: right, y1: at, y2: at }),
      svg("text", { x: left - 7, y: at + 4, "text-anchor": "end" }, String(tick)));
  }
  const rate = panel().rate === "kbps" ? "kbit/s" : "bits per pixel";
  const words = metric.id.endsWith("_db") ? `${metric.words}: −10 log₁₀(1 − index)` : metric.words;
  const unit = axis.id === "rate" || axis.id === "linear" ? rate : axis.words;
  chart.append(svg("path", { class: "frame", d: `M${left},${top}V${bottom}H${right}` }),
    svg("text", { class: "axis", x: (left + right) / 2, y: bottom + 36, "text-anchor": "middle" }, unit),
    svg("text", { class: "axis", x: 0, y: 11 }, words));
}

/** The names of reference lines at their ends, none over another. */
function nameReferences(points, right) {
  const lines = panel().lines.filter((line) => line.reference !== null);
  const ends = lines.map((line) => points.filter((p) => p.line === line).at(-1)).filter(Boolean);
  const taken = [];
  for (const p of ends.sort((a, b) => a.y - b.y)) {
    const wide = p.line.method.length * 6.2, left = p.x + 5 + wide <= right ? p.x + 5 : p.x - 5 - wide;
    let y = p.y + 4;
    while (taken.some((t) => left < t.left + t.wide && t.left < left + wide && Math.abs(t.y - y) < 12)) y += 2;
    taken.push({ left, wide, y });
    chart.append(svg("text", { class: "label", x: left, y }, p.line.method));
  }
}

/** Labels for what lies above the scale, sorted from the left, in rows that do not collide; the number of rows. */
function rowsOf(above, right) {
  const ends = [];
  for (const p of above) {
    p.words = `${p.lossless ? "∞" : `${fixed(1)(p.v)} dB`} at ${short(p.u)}`;
    const half = p.words.length * 3.2;
    p.middle = Math.min(p.x, right - half);
    p.row = ends.findIndex((end) => end + 4 <= p.middle - half);
    if (p.row < 0) p.row = ends.length;
    ends[p.row] = p.middle + half;
  }
  return ends.length;
}

function labelTop(p) {
  const arrow = svg("path", { class: "curve", d: `M${p.x},${p.y}v-16m-3,4l3,-4l3,4` });
  const y = p.y - 21 - 13 * p.row;
  const label = svg("text", { class: "label", x: p.middle, y, "text-anchor": "middle" }, p.words);
  chart.append(coloured(arrow, p.line.method), coloured(label, p.line.method));
}

function drawPoint(p, metric, axis) {
  const pin = state.pins.indexOf(p.id), value = p.lossless && metric.open ? "identical" : short(p.v);
  const label = `${p.line.method} at ${p.record.setting}: ${axis.words} ${short(p.u)}, ${metric.words} ${value}`;
  p.node = coloured(svg("g", { class: pin < 0 ? "point" : "point pinned", role: "button", "aria-label": label,
    "aria-pressed": pin >= 0, tabindex: p.id === focused ? 0 : -1 },
  svg("circle", { class: "ring", cx: p.x, cy: p.y, r: 9 }), mark(p.line.method, p.x, p.y),
  pin < 0 ? null : svg("text", { class: "label letter", x: p.x - 17, y: p.y - 6 }, "AB"[pin])), p.line.method);
  return p.node;
}

function facts(record) {
  const known = FIELDS.filter(([name]) => record[name] != null && name !== "jobs");
  const pairs = known.flatMap((field) => [html("dt", {}, field[1]), html("dd", {}, written(field, record))]);
  return html("dl", { class: "facts" }, ...pairs);
}

function showTip(p) {
  for (const q of drawn) q.node?.classList.toggle("over", q === p);
  tip.hidden = !p;
  if (!p) return;
  const crowd = p.record.jobs > 1 ? `Measured beside ${p.record.jobs - 1} more: seconds say little.` : "";
  tip.replaceChildren(html("strong", {}, p.line.method), facts(p.record), crowd);
  const room = stage.clientWidth, [w, h] = [tip.offsetWidth, tip.offsetHeight];
  const beside = p.x + 16 + w <= room ? p.x + 16 : p.x - 16 - w;
  tip.style.left = `${Math.max(0, beside >= 0 ? beside : (room - w) / 2)}px`;
  tip.style.top = `${beside >= 0 ? Math.max(0, Math.min(p.y - h / 2, stage.clientHeight - h)) : p.y + 16}px`;
}

/** The drawn point next to the pointer, if it is near. */
function nearest(event) {
  const box = chart.getBoundingClientRect();
  const far = (p) => Math.hypot(p.x - event.clientX + box.left, p.y - event.clientY + box.top);
  const best = drawn.reduce((a, b) => (a && far(a) <= far(b) ? a : b), null);
  return best && far(best) < 24 ? best : null;
}

/** Pin a point as A, the next as B; pinning it again lets it go. */
function pin(id) {
  state.pins = state.pins.includes(id) ? state.pins.filter((other) => other !== id) : [...state.pins.slice(0, 1), id];
  drawChart();
  showPictures();
  writeAddress();
}

function step(key) {
  const here = drawn.find((p) => p.id === focused);
  const along = drawn.filter((p) => p.l === here.l), side = key === "ArrowRight" || key === "ArrowDown" ? 1 : -1;
  if (key === "ArrowLeft" || key === "ArrowRight") return along[along.indexOf(here) + side] ?? here;
  const lines = [...new Set(drawn.map((p) => p.l))], l = lines[lines.indexOf(here.l) + side];
  const far = (p) => Math.abs(p.x - here.x);
  return drawn.filter((p) => p.l === l).reduce((a, b) => (a && far(a) <= far(b) ? a : b), null) ?? here;
}

chart.addEventListener("pointermove", (event) => showTip(nearest(event)));
chart.addEventListener("pointerleave", () => showTip(null));
stage.addEventListener("focusin", (event) => { // not on the chart: what listens for focus can get it
  const p = drawn.find((q) => q.node === event.target);
  if (!p) return;
  for (const q of drawn) q.node.setAttribute("tabindex", q === p ? 0 : -1);
  focused = p.id;
  showTip(p);
});
stage.addEventListener("focusout", () => showTip(null));
chart.addEventListener("click", (event) => {
  const p = nearest(event);
  if (p) pin((focused = p.id));
});
chart.addEventListener("keydown", (event) => {
  if (!drawn.length) return;
  if (event.key === "Escape") showTip(null);
  else if (event.key.startsWith("Arrow")) step(event.key).node.focus();
  else if (event.key === "Enter" || event.key === " ") pin(focused);
  else return;
  event.preventDefault();
});

// ---------------------------------------------------------------- pictures

let views = []; // {canvas, name, source}: what is painted; source is null for the original itself
const loaded = new Map();

function load(name) {
  if (!name || !images[name]) return null;
  if (!loaded.has(name)) {
    const image = new Image();
    image.src = images[name];
    loaded.set(name, image.decode().then(() => image));
  }
  return loaded.get(name);
}

async function paint(view) {
  const [own, original] = await Promise.all([load(view.name), load(view.source)]);
  const { canvas } = view, [w, h] = [own.naturalWidth, own.naturalHeight];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const pixels = (image) => {
    [canvas.width, canvas.height] = [w, h];
    context.drawImage(image, 0, 0);
    return context.getImageData(0, 0, w, h);
  };
  canvas.style.width = `${w * (state.double ? 2 : 1)}px`;
  if (!original || !(pressed || state.difference)) pixels(own);
  else if (pressed) pixels(original);
  else {
    const a = pixels(original).data, b = pixels(own);
    b.data.forEach((value, k) => { b.data[k] = k % 4 === 3 ? 255 : 8 * Math.abs(value - a[k]); });
    context.putImageData(b, 0, 0);
  }
}
const repaint = () => views.forEach(paint);

function card(title, name, source, record) {
  const figure = html("figure", {}, html("figcaption", {}, title));
  if (!name) figure.append(html("p", {}, "No picture was kept of this point."));
  else if (!(name in images)) figure.append(html("p", {}, `The picture ${name} lies beside this page, not in it.`));
  else if (!images[name]) figure.append(html("p", {}, `The picture ${name} is missing.`));
  else {
    const canvas = html("canvas", { role: "img", "aria-label": title, width: 0, height: 0 });
    const box = html("div", { class: "scroll" }, canvas);
    box.addEventListener("scroll", () => { // all pictures show the same place
      for (const other of get("pictures").querySelectorAll(".scroll")) other.scrollLeft = box.scrollLeft;
    });
    if (source) hold(canvas);
    views.push({ canvas, name, source });
    figure.append(box);
  }
  if (record) figure.append(facts(record));
  return figure;
}

function showPictures() {
  const pinned = state.pins.map(recordOf);
  views = [];
  get("tools").hidden = !pinned.length;
  get("hint").textContent = [
    "Choose a point of a curve to see a part of its picture beside the original, and a second one to compare.",
    "Press on a decoded picture to see the original in its place. Choose a second point to compare.",
    "Press on a decoded picture to see the original in its place.",
  ][pinned.length];
  const source = pinned.find(({ record }) => record.crop_source)?.record.crop_source;
  get("pictures").replaceChildren(...(source ? [card("Original", source, null, null)] : []),
    ...pinned.map(({ line, record }, k) =>
      card(`${"AB"[k]}: ${line.method} at ${record.setting}`, record.crop, record.crop_source, record)));
  repaint();
}

/** The original shows while the node, a picture or the button, is pressed. */
function hold(node) {
  const press = (by) => {
    pressed = by;
    repaint();
  };
  node.addEventListener("pointerdown", () => press(node));
  node.addEventListener("keydown", (event) => {
    if (event.key === " " || event.key === "Enter") press(node);
  });
  for (const end of ["pointerup", "pointerleave", "pointercancel", "keyup", "blur"]) {
    node.addEventListener(end, () => {
      if (pressed === node) press(null); // pressing a picture takes the focus from the button
    });
  }
  node.addEventListener("contextmenu", (event) => {
    if (pressed) event.preventDefault();
  });
}

// ---------------------------------------------------------------- table of points

function showPoints() {
  const panels = get("every").checked ? data.panels : [panel()];
  const rows = panels.flatMap((p) => p.lines.filter((line) => line.reference === null)
    .flatMap((line) => line.records.map((record) => ({ ...record, clip: p.clip, method: line.method }))));
  const all = [["clip", "clip", String], ["method", "method", String], ...FIELDS, ["error", "error", String]];
  const columns = all.slice(panels.length > 1 ? 0 : 1).filter(([name]) => rows.some((row) => row[name] != null));
  if (order.key) {
    const known = (row) => row[order.key] != null, way = order.down ? -1 : 1;
    const compare = (a, b) => (isNumber(a) && isNumber(b) ? a - b : String(a).localeCompare(String(b)));
    rows.sort((a, b) => known(b) - known(a) || (known(a) ? way * compare(a[order.key], b[order.key]) : 0));
  }
  const head = columns.map(([name, words]) => {
    const button = html("button", { type: "button", "data-key": name }, words);
    button.addEventListener("click", () => {
      order = { key: name, down: order.key === name && !order.down };
      showPoints();
      get("points").querySelector(`[data-key="${name}"]`).focus();
    });
    const sorted = order.key === name ? (order.down ? "descending" : "ascending") : "none";
    return html("th", { scope: "col", "aria-sort": sorted }, button);
  });
  const cells = (row) => columns.map((field) =>
    html("td", field[0] === "error" ? { class: "words" } : {}, written(field, row)));
  get("points").replaceChildren(html("table", {}, html("thead", {}, html("tr", {}, ...head)),
    html("tbody", {}, ...rows.map((row) => html("tr", {}, ...cells(row))))));
}

// ---------------------------------------------------------------- begin

if (!data.panels.length) {
  get("source").textContent = "Nothing was measured.";
  return;
}
for (const name of ["clip", "metric", "axis"]) {
  get(name).addEventListener("change", () => {
    state[name] = name === "clip" ? Number(get(name).value) : get(name).value;
    if (name === "clip") state.pins = [];
    update();
  });
}
for (const name of ["double", "difference"]) {
  get(name).addEventListener("change", () => {
    state[name] = get(name).checked;
    repaint();
    writeAddress();
  });
}
get("every").addEventListener("change", showPoints);
get("clear").addEventListener("click", () => {
  state.pins = [];
  update();
});
hold(get("flip"));
addEventListener("hashchange", () => {
  readAddress();
  update();
});
readAddress();
update();
let seen = stage.clientWidth;
new ResizeObserver(() => {
  if (stage.clientWidth !== seen) {
    seen = stage.clientWidth;
    drawChart();
  }
}).observe(stage);

})();
