"""Does NVC carry a long film? Its memory, speed and seeking.

    bench check long-film make LONG.mp4 --minutes 30 --size 1280x720
    bench check long-film measure LONG.mp4 --seeks 12 -- --scale 1

`make` joins shots of the two sample films, each mirrored, moved, brighter or darker and tinted as a seeded chance has
it, by cuts and dissolves, with sound; every picture carries its number, so that no two are equal and a wrong one shows.
`measure` encodes a film with the real program, decodes at places all over it, each time opened afresh, and compares
with the source, which is read by seeking as well. It ends with exit code 1 where a picture is not the one asked for.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction

import click

from codec import Film
from codec.cli.options import SEED, Number, amount
from codec.film.sources import source_of
from codec.settings import PRESETS

from ...process import python, run_fresh
from ...tables import fixed, table
from .making import make
from .measuring import LOOK, MIB, Watched, decode_part, places, sought, watched


def _size(context: click.Context, parameter: click.Parameter, value: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)x(\d+)", value)
    if not found or any(int(n) < 16 or int(n) % 2 for n in found.groups()):
        raise click.BadParameter("must be WxH with even sides, e.g. 1280x720")
    return int(found[1]), int(found[2])


@click.group()
def main() -> None:
    """Make and measure long films."""


@main.command("make")
@click.argument("out")
@click.option("--minutes", type=Number(float, 0.01, 1e5), default=30.0, show_default=True)
@click.option("--size", default="1280x720", show_default=True, callback=_size)
@click.option("--rate", type=Number(int, 1, 120), default=25, show_default=True)
@click.option("--seed", type=SEED, default=1, show_default=True)
@click.option("--threads", type=Number(int, 0, 256), default=0, show_default=True, help="Of x264; 0: one a core.")
def make_command(out: str, minutes: float, size: tuple[int, int], rate: int, seed: int, threads: int) -> None:
    """Make the film OUT (MP4, H.264 and AAC)."""
    count, began = max(1, round(minutes * 60 * rate)), time.monotonic()

    def tell(done: int) -> None:
        if done % (60 * rate) == 0:
            speed = done / (time.monotonic() - began)
            click.echo(f"{done} of {count} pictures, {speed:.0f} a second", err=True)

    make(out, count, size, Fraction(rate), seed, threads, tell)
    seconds = time.monotonic() - began
    click.echo(f"{out}: {count} pictures, {os.path.getsize(out) / 1e6:.1f} MB, {count / seconds:.0f} pictures a second")


@main.command("measure")
@click.argument("film", type=click.Path(exists=True, dir_okay=False))
@click.option("--preset", type=click.Choice(PRESETS), default="fast", show_default=True)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--seeks", type=Number(int, 0, 10**6), default=12, show_default=True, help="Places to decode.")
@click.option("--part", type=amount(), default=20.0, show_default=True, help="Seconds to decode for speed and memory.")
@click.option("--seed", type=SEED, default=1, show_default=True)
@click.option("--out", help="Keep the coded film here; where it is already, it is measured without being encoded.")
@click.option("--log", "log_path", help="Add the lines of progress to this file as well.")
@click.argument("options", nargs=-1)
def measure_command(
    film: str,
    preset: str,
    device: str,
    seeks: int,
    part: float,
    seed: int,
    out: str | None,
    log_path: str | None,
    options: tuple[str, ...],
) -> None:
    """Encode FILM and seek in it; after "--" stand further options of `codec encode`. An encode that was interrupted
    is resumed where --out is the same."""

    def tell(text: str) -> None:
        click.echo(text, err=True)
        if log_path:
            with open(log_path, "a") as log:
                log.write(f"{text}\n")

    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        nvc = out or os.path.join(folder, "film.nvc")
        if os.path.exists(nvc):
            tell(f"{nvc} is there already and is not encoded again")
        else:
            words = ["--preset", preset, "--device", device, *options, "--json", "-q", "--resume"]
            _print_encode(film, nvc, watched([*python("codec", "encode", film, nvc), *words], tell))
        faults = _print_decode(film, nvc, device, seeks, part, seed, tell)
    sys.exit(1 if faults else 0)


def _print_encode(film: str, nvc: str, seen: Watched) -> None:
    with source_of(film) as source:
        info = source.info
    frames = int(seen.done.get("frames", 0))
    rows: list[tuple[object, ...]] = [
        ("pictures", f"{frames:,}, {info.width}x{info.height}"),
        ("source", f"{os.path.getsize(film) / 1e6:,.1f} MB"),
        ("file", f"{os.path.getsize(nvc) / 1e6:,.1f} MB"),
        ("PSNR-YUV", f"{float(seen.done.get('psnr', 0)):.2f} dB"),
        ("time", f"{seen.seconds:,.0f} s, {frames / seen.seconds:.2f} pictures a second"),
        ("memory at most", f"{seen.memory / MIB:,.0f} MiB"),
    ]
    # a leak shows as a rise from quarter to quarter
    for quarter in range(4) if len(seen.over) >= 4 else ():
        of = [m for done, m in seen.over if quarter <= 4 * done / max(1, frames) < quarter + 1]
        rows.append((f"memory at most, quarter {quarter + 1}", f"{max(of) / MIB:,.0f} MiB" if of else None))
    click.echo(table(("encode", "measured"), rows) + "\n")


def _print_decode(
    film: str, nvc: str, device: str, seeks: int, part: float, seed: int, tell: Callable[[str], None]
) -> int:
    """Tables of seeking and of decoding; how many places had faults."""
    info = Film(nvc, device=device).info
    rows: list[tuple[object, ...]] = []
    faults = 0
    for start in places(info.duration - LOOK, seeks, seed):
        seek = sought(nvc, film, start, device)
        faults += bool(seek.faults)
        rows.append((f"{float(start):,.3f}", seek.pictures, fixed(seek.first), fixed(seek.all), fixed(seek.psnr),
                     "; ".join(seek.faults)))  # fmt: skip
        tell(f"at {float(start):.3f} s: first picture after {seek.first:.2f} s, {'; '.join(seek.faults) or 'fine'}")
    click.echo(table(("seek to s", "pictures", "first after s", "all after s", "PSNR-YUV", "faults"), rows) + "\n")
    rows = []
    for name, at in (("beginning", 0.0), ("end", max(0.0, float(info.duration) - part))):
        ran = run_fresh(decode_part, json.dumps([nvc, at, part, device]), "decode")
        count, seconds = json.loads(ran.out)
        rows.append((name, count, fixed(seconds, 1), fixed(count / seconds, 1), f"{ran.memory / MIB:,.0f} MiB"))
    click.echo(table(("decode", "pictures", "seconds", "a second", "memory at most"), rows))
    return faults
