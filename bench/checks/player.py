"""Milliseconds of the player in a browser: decoding, heads by WebGPU, WebGL2 and JavaScript, loss-stream, checksums.

    bench check player FILE.nvc [--pictures N] [--way WAY]... [--chromium PROGRAM] [--flag FLAG]...

Opens Chromium without a screen by playwright. Without `--flag` it computes on the processor (SwiftShader); a machine
with a GPU is measured with what its Chromium needs, as in `--flag=--enable-unsafe-webgpu --flag=--no-sandbox`. Prints
that it skips where playwright or Chromium is missing.
"""

from __future__ import annotations

import importlib
import os
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path
from queue import Queue
from typing import Any
from urllib.parse import urlsplit

import click

from codec.cli.options import COUNT
from codec.events import Event, PlayerOpened
from codec.web.player import play

from ..tables import fixed, table

WAYS = ("packed", "floats", "webgl2", "javascript")
NAMES = {
    "packed": "WebGPU, dot4I8Packed", "floats": "WebGPU, f32", "webgl2": "WebGL2", "javascript": "JavaScript",
}  # fmt: skip
HEAD = (
    "way",
    "GMAC",
    "the first",
    "one alone",
    "one of many",
    "decoding",
    "copying",
    "loss-stream",
    "checksum",
)
WHAT = """Milliseconds a picture. A prediction takes upload and reading with it: the first, with shaders to compile; one
alone; one where all are asked for at once."""
GRACE = 3600.0  # seconds that the server waits for a page
PATIENCE = 600_000  # milliseconds
SOFTWARE = {
    "webgpu": ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan",
               "--use-vulkan=swiftshader", "--use-angle=vulkan"),
    "webgl2": ("--enable-unsafe-swiftshader", "--use-angle=swiftshader"),
}  # fmt: skip

# what is run in the page, with a way and a number of pictures; it imports the page's own modules
MEASURE = """async ([way, count, address]) => {
  const at = (name) => import(new URL(name, document.baseURI));
  const median = (all) => all.toSorted((a, b) => a - b)[all.length >> 1];
  const timed = async (does) => {
    const since = performance.now();
    const found = await does();
    return [performance.now() - since, found];
  };
  const { urlSource } = await at('files/source.js');
  const { open } = await at('files/film.js');
  const { Pretrained, Units } = await at('restore/units.js');
  const { decoderConfig, planesOf } = await at('page/pictures.js');
  const { gridOf, Head } = await at('restore/prediction.js');
  const { Restorer } = await at('restore/restore.js');
  const { checksum } = await at('restore/planes.js');
  const { GpuRestorer, openDevice } = await at('gpu/gpu.js');
  const { GlRestorer, openGl } = await at('gpu/webgl.js');
  const film = await open(await urlSource(new URL(address, document.baseURI).href));
  const track = film.tracks.find(({ kind }) => kind === 'video');
  const units = new Units(track, new Pretrained(document.baseURI));
  const { header } = await units.first();
  const read = [];
  for await (const unit of units.from(await track.find(-Infinity))) {
    if (read.push(unit) === count) break;
  }
  const { segment } = read[0];
  if (segment.missing) return { missing: segment.missing };

  const frames = [];
  const decoder = new VideoDecoder({ output: (frame) => frames.push(frame), error: () => {} });
  decoder.configure(decoderConfig(track.codec));
  const [decoding] = await timed(async () => {
    read.forEach(({ base, key }, k) =>
      decoder.decode(new EncodedVideoChunk({ type: key ? 'key' : 'delta', timestamp: k, data: base })));
    await decoder.flush();
  });
  decoder.close();
  const [copying, bases] = await timed(async () => {
    const all = [];
    for (const frame of frames) all.push(await planesOf(frame));
    return all;
  });

  const restorer = new Restorer(segment.header, segment.head);
  const head = segment.head && new Head(segment.head, header.chroma);
  const { columns, rows } = gridOf(header);
  const products = head ? head.layers.reduce((sum, { weight }) => sum + weight.length, 0) * columns * rows : 0;
  let predict = (base, k) => restorer.predict(base, k, read[k].steered);
  if (way !== 'javascript') {
    const opened = way === 'webgl2' ? openGl() : await openDevice(navigator.gpu);
    const feature = 'packed_4x8_integer_dot_product';
    if (!opened || (way === 'packed' && !navigator.gpu.wgslLanguageFeatures.has(feature))) return { missing: 'none' };
    const gpu = way === 'webgl2' ? new GlRestorer(opened, header) : new GpuRestorer(opened, header, [way === 'packed']);
    const prepared = head && gpu.prepare(head);
    predict = (base, k) => gpu.predict(base, prepared, read[k].steered);
  }
  const [first] = await timed(() => predict(bases[0], 0));
  const alone = [];
  const planes = [];
  for (const [k, base] of bases.entries()) {
    const [took, found] = await timed(() => predict(base, k));
    alone.push(took);
    planes.push(found);
  }
  const [together] = await timed(() => Promise.all(bases.map((base, k) => predict(base, k))));
  const loss = [];
  const sums = [];
  let crc = 0;
  let compared = 0;
  let exact = 0;
  const { group, checksums, loss_kind: kind } = segment.header;
  for (const [k, unit] of read.entries()) {
    if (unit.segment !== segment) break;
    const used = (segment.header.used[k >> 3] >> (k & 7)) & 1;
    const predicted = head && !used ? restorer.predict(bases[k], k, unit.steered) : planes[k];
    const [took, found] = await timed(() => restorer.complete(predicted, unit.residual));
    if (kind) loss.push(took);
    const [summed, sum] = await timed(() => checksum(found, k % group ? crc : 0));
    sums.push(summed);
    crc = sum;
    if ((k + 1) % group && k + 1 < segment.header.frames) continue;
    compared += (k % group) + 1;
    if (crc === checksums[Math.floor(k / group)]) exact += (k % group) + 1;
  }
  return {
    products, first, alone: median(alone), together: together / bases.length, decoding: decoding / bases.length,
    copying: copying / bases.length, loss: loss.length ? median(loss) : null, sum: median(sums), compared, exact,
    size: `${header.width}x${header.height}`, pictures: bases.length,
  };
}"""


def opened(file: Path) -> str:
    """The address at which a server of this process shows a film."""
    told: Queue[Event] = Queue()
    options = {"browser": False, "grace": GRACE, "listen": told.put}
    threading.Thread(target=play, args=(file,), kwargs=options, daemon=True).start()
    event = told.get(timeout=60)
    if not isinstance(event, PlayerOpened):
        raise click.ClickException(f"{file} cannot be played")
    return event.address


def chromium_of(named: str | None) -> str | None:
    """The program of a browser; None without one."""
    on_path = map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))
    return named or os.environ.get("NVC_CHROMIUM") or next(filter(None, on_path), None)


def measured(page: Any, address: str, way: str, pictures: int) -> dict[str, Any]:
    """What a page of the player finds of the film at `address`."""
    parts = urlsplit(address)
    source = next(value for name, _, value in (p.partition("=") for p in parts.query.split("&")) if name == "src")
    page.goto(parts._replace(query="").geturl())
    found: dict[str, Any] = page.evaluate(MEASURE, [way, pictures, source])
    return found


def first_pictures(page: Any, address: str) -> tuple[float, float]:
    """Seconds from the page's beginning to the first picture that is shown, and to the first that is restored."""
    page.goto(address)
    shown = "document.getElementById('picture')?.dataset.shown !== undefined"
    restored = f"{shown} && document.getElementById('words').hidden"
    times = []
    for holds in (shown, restored):
        while not page.evaluate(holds):
            page.wait_for_timeout(10)
        times.append(page.evaluate("performance.now()") / 1000)
    return times[0], times[1]


def row_of(way: str, found: dict[str, Any]) -> Sequence[object]:
    """A way's milliseconds a picture."""
    if "missing" in found:
        return (NAMES[way], *[None] * (len(HEAD) - 1))
    names = ("first", "alone", "together", "decoding", "copying", "loss", "sum")
    return (NAMES[way], fixed(found["products"] / 1e9), *(fixed(found[name], 1) for name in names))


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--pictures", type=COUNT, default=6, show_default=True, help="So many of the film's first.")
@click.option("--way", "ways", multiple=True, type=click.Choice(WAYS), default=WAYS)
@click.option("--chromium", help="The browser.  [default: NVC_CHROMIUM, or one on the path]")
@click.option("--flag", "flags", multiple=True, help="Of the browser, in place of those that compute on the processor.")
def main(file: Path, pictures: int, ways: Sequence[str], chromium: str | None, flags: Sequence[str]) -> None:
    """Measure how many milliseconds a picture of FILE takes in the player's page, by each way."""
    program = chromium_of(chromium)
    try:
        playwright = importlib.import_module("playwright.sync_api")
    except ImportError:
        playwright = None
    if playwright is None or program is None:
        click.echo("skipped: there is no playwright, or no Chromium, to drive a browser with")
        return
    address = opened(file)
    rows, notes = [], []
    with playwright.sync_playwright() as driver:
        for way in ways:
            kind = "webgl2" if way == "webgl2" else "webgpu"
            browser = driver.chromium.launch(
                executable_path=program, args=list(flags) or ["--no-sandbox", *SOFTWARE[kind]]
            )
            try:
                page = browser.new_page()
                page.set_default_timeout(PATIENCE)
                found = measured(page, address, way, pictures)
                rows.append(row_of(way, found))
                if "missing" not in found:
                    notes.append(
                        f"{NAMES[way]}: {found['exact']} of {found['compared']} pictures whose group ended are exact; "
                        f"{found['pictures']} of {found['size']} were taken"
                    )
                if way == ways[0]:
                    shown, restored = first_pictures(page, address)
                    notes.append(f"first picture shown after {shown:.1f} s, restored after {restored:.1f} s")
            finally:
                browser.close()
    click.echo(table(HEAD, rows))
    click.echo("\n".join(["", WHAT, *notes]))


if __name__ == "__main__":
    main()
