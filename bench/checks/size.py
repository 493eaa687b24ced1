"""Is a size that `codec encode` is asked for kept, and used?

    bench check size SOURCE... --frames 72 --crop 320x180

A film is encoded as it is, with its sound, or cut to a few pictures and to the middle of each; of several that are
cut, all in a row make one more film, of as many scenes. Each is asked for in sizes of so many bits a pixel, in a fresh
process.
Exit code 1 where a file is larger than what was asked for.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path

import click

from codec.cli.options import Number
from codec.errors import NvcError
from codec.film.containers import MP4
from codec.film.sources import source_of
from codec.film.writer import check_side
from codec.frames import Frame
from codec.media.beside import Beside
from codec.media.sinks import open_sink
from codec.settings import JOBS_MAX, PRESETS

from ..process import BenchError, python, run
from ..sources import kind_of, open_still
from ..tables import table


def cut(paths: Sequence[str], target: str, frames: int, size: tuple[int, int]) -> None:
    """Write the first `frames` pictures of each film to one film, the middle of each, `size` (width, height) or less.
    Raises NvcError, and BenchError where the films are of two formats."""
    infos = []
    for path in paths:
        with source_of(path) as source:
            infos.append(source.info)
    width = min(size[0], *(i.width for i in infos)) & ~1
    height = min(size[1], *(i.height for i in infos)) & ~1
    if len({i.format for i in infos}) > 1:
        raise BenchError(f"{', '.join(paths)} are of different formats")
    info = replace(infos[0], width=width, height=height, frames=frames * len(paths))
    step = round(1 / (info.rate * info.time_base))
    with open_sink(target, info) as sink:
        number = 0
        for path in paths:
            with source_of(path) as source:
                for frame in islice(source.frames(), frames):
                    planes = []
                    full = frame.planes[0].shape
                    for plane, shape in zip(frame.planes, info.format.shapes(width, height), strict=True):
                        part = tuple(full[k] // plane.shape[k] for k in (0, 1))
                        top, left = ((full[k] - (height, width)[k]) // 4 * 2 // part[k] for k in (0, 1))
                        planes.append(plane[top : top + shape[0], left : left + shape[1]].copy())
                    sink.write(Frame(tuple(planes), number * step, step))
                    number += 1


@contextmanager
def sources(paths: Sequence[str], frames: int | None, size: tuple[int, int]) -> Iterator[list[tuple[str, str]]]:
    """(name, path) of all that is encoded."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        films = [p for p in paths if kind_of(p) == "video"]
        if not frames:
            yield [(Path(p).stem, p) for p in paths]
            return
        groups = {Path(p).stem: [p] for p in films} | ({"all in a row": films} if len(films) > 1 else {})
        found = [(Path(p).stem, p) for p in paths if p not in films]
        for number, (name, group) in enumerate(groups.items()):
            found.append((name, os.path.join(folder, f"{number}.mkv")))
            cut(group, found[-1][1], frames, size)
        yield found


def samples_of(path: str) -> tuple[int, int]:
    """(pixels of all pictures, bytes of the sound) of a source."""
    if kind_of(path) == "image":
        rows, columns, _ = open_still(path).pixels.shape
        return rows * columns, 0
    with source_of(path) as source:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            target = os.path.join(folder, "a.nvc")
            sound = check_side(Beside(path), source.info, MP4, target).bytes if source.accompanied else 0
        count = sum(1 for _ in source.frames())
        return count * source.info.width * source.info.height, sound


def tried(path: str, wish: float, options: Sequence[str]) -> tuple[int | None, float, str]:
    """(bytes of the file, None where none is written; seconds; what is said then) for `wish` MB."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        target = os.path.join(folder, "a.nvc")
        try:
            ran = run(python("codec", "encode", path, target, "--target-size", f"{wish:.6f}", "-q", *options))
        except BenchError as error:
            return None, 0.0, str(error).partition(": ")[2]
        return os.path.getsize(target), ran.seconds, ""


@click.command()
@click.argument("source", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False))
@click.option("--bpp", default="0.03,0.1,0.3", show_default=True, help="Sizes: bits a pixel, and the sound.")
@click.option("--frames", type=Number(int, 1, 100_000), help="Only so many pictures of each film, without its sound.")
@click.option("--crop", default="320x180", show_default=True, help="With --frames: the middle of each picture.")
@click.option("--preset", type=click.Choice(PRESETS), default="fast", show_default=True)
@click.option("--jobs", type=Number(int, 1, JOBS_MAX), help="Segments of a film encoded at a time.")
def main(source: tuple[str, ...], bpp: str, frames: int | None, crop: str, preset: str, jobs: int | None) -> None:
    """Encode each SOURCE to sizes that are asked for, and compare."""
    rows: list[tuple[object, ...]] = []
    over = 0
    try:
        rates = [float(rate) for rate in bpp.split(",")]
        width, _, height = crop.partition("x")
        with sources(source, frames, (int(width), int(height))) as found:
            for name, path in found:
                samples, sound = samples_of(path)
                options = ["--preset", preset]
                if jobs and kind_of(path) == "video":
                    options += ["--jobs", str(jobs)]
                for rate in rates:
                    wish = float(f"{(rate * samples / 8 + sound) / 1e6:.3g}")
                    size, seconds, said = tried(path, wish, options)
                    over += size is not None and size > wish * 1e6
                    share = None if size is None else f"{100 * (size / (wish * 1e6) - 1):+.2f}"
                    rows.append((name, f"{wish * 1e6:,.0f}", size and f"{size:,}", share, f"{seconds:.0f}", said))
                    click.echo(f"{name}, {wish:g} MB: {share} %", err=True)
    except (BenchError, NvcError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    print(table(("source", "asked for, B", "file, B", "difference, %", "s", ""), rows))
    print(f"\n{over} of {len(rows)} files are larger than asked for")
    sys.exit(1 if over else 0)
