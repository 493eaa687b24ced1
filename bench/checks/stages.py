"""Where a decoder's time goes, stage by stage, and what the stages take where they overlap.

    bench check stages FILM.nvc --pictures 96

The stages run one after another on one thread first, then all together, as `codec decode` has them: to nowhere and to
y4m, on one thread and on all. Printed are milliseconds of processor a picture, of the least of `--rounds`, and page
faults a picture; of the whole also the seconds that passed, as pictures a second, and the time until the first picture
was there, of a film just opened. Processor time counts where other work runs on the machine, wall time does not.
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

import click

from codec import Film
from codec.cli.options import COUNT, Number
from codec.film.reader import FilmReader
from codec.frames import checksum
from codec.machine import threads_here
from codec.media.sinks import open_sink
from codec.segment.decoder import Restored, SegmentDecoder, restored
from codec.segment.opened import FilmContext, OpenSegment, SegmentEnd
from codec.segment.units import by_segment

from ..tables import fixed, table

Item = TypeVar("Item")


@dataclass
class Spent:
    """Seconds of processor and of wall time, and page faults."""

    processor: float = 0.0
    wall: float = 0.0
    faults: int = 0

    @classmethod
    def until_now(cls) -> Spent:
        """By this process."""
        return cls(time.process_time(), time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_minflt)

    def add(self, since: Spent, sign: int = 1) -> None:
        """Add what was spent since then, or take it away."""
        now = Spent.until_now()
        self.processor += sign * (now.processor - since.processor)
        self.wall += sign * (now.wall - since.wall)
        self.faults += sign * (now.faults - since.faults)


class Stages:
    """What each stage of the work has spent, by its name; `done`: the pictures that have come out."""

    def __init__(self) -> None:
        self.spent: dict[str, Spent] = {}
        self.done = 0

    def of(self, name: str, work: Callable[..., Item], *given: Any) -> Item:
        """What some work makes of what it is given; it counts for a stage."""
        began = Spent.until_now()
        result = work(*given)
        self.spent.setdefault(name, Spent()).add(began)
        return result

    def each(self, name: str, items: Iterator[Item], within: str = "") -> Iterator[Item]:
        """The items of an iterator, which count for a stage; not for that `within` which they are asked for."""
        while True:
            began = Spent.until_now()
            item = next(items, None)
            self.spent.setdefault(name, Spent()).add(began)
            if within:
                self.spent.setdefault(within, Spent()).add(began, -1)
            if item is None:
                return
            yield item


def staged(path: str, pictures: int, target: Path, device: str) -> Stages:
    """Decode the first pictures of a film, stage after stage on one thread."""

    def fault(pts: int, what: str, rest: str) -> None:
        raise click.ClickException(f"{path}: {what}")

    stages = Stages()
    film = Film(path, device=device, threads=1)
    context = FilmContext(film.first, film.limits, False, film.device, 1, lambda pts: None, fault, fault, set())
    head = None
    units = stages.each("packets of the file", FilmReader(path).units(), "AV1")
    with open_sink(target, film.info, overwrite=True) as sink:
        for group in by_segment(units, film.limits.film_memory):
            segment = stages.of("heads, once a segment", OpenSegment, context, group, head, 0)
            head, decoder = segment.head, SegmentDecoder(segment)
            for step in stages.each("AV1", segment.steps()):
                done = stages.of("restoring, checksum", restored, step)
                if isinstance(done, Restored) and done.crc is not None:
                    stages.of("checksum alone", checksum, done.output)
                if isinstance(done, Restored | SegmentEnd):
                    for frame in stages.of("loss-stream, comparing", decoder.take, done):
                        stages.of("writing y4m", sink.write, frame)
                        stages.done += 1
                if stages.done >= pictures:
                    return stages
    return stages


def whole(path: str, pictures: int, target: Path | None, threads: int, device: str) -> tuple[Spent, float, int]:
    """(spent, seconds until the first picture, pictures) of a decode as it is done, to y4m or to nowhere."""
    began, spent, first, count = Spent.until_now(), Spent(), 0.0, 0
    film = Film(path, device=device, threads=threads)
    with open_sink(target, film.info, overwrite=True) if target else nullcontext() as sink:
        for frame in film.frames(duration=Fraction(pictures) / film.info.rate):
            first = first or time.perf_counter() - began.wall
            if sink:
                sink.write(frame)
            count += 1
    spent.add(began)
    return spent, first, count


@click.command()
@click.argument("film", type=click.Path(exists=True, dir_okay=False))
@click.option("--pictures", type=COUNT, default=96, show_default=True, help="The first so many of the film.")
@click.option("--rounds", type=COUNT, default=3, show_default=True)
@click.option("--threads", type=Number(int, 0, 256), default=0, help="Of the whole.  [default: one a core]")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
def main(film: str, pictures: int, rounds: int, threads: int, device: str) -> None:
    """Tell what the stages of decoding FILM take."""
    threads = threads or threads_here()
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "film.y4m"
        found = [staged(film, pictures, target, device) for _ in range(rounds)]
        click.echo(table(("stage", "ms of processor", "page faults"), _rows(found)) + "\n")
        rows = []
        for name, to, count in (
            ("to nowhere, one thread", None, 1),
            (f"to nowhere, {threads} threads", None, threads),
            (f"to y4m, {threads} threads", target, threads),
        ):
            runs = [whole(film, pictures, to, count, device) for _ in range(rounds)]
            spent, first, done = min(runs, key=lambda run: run[0].processor)
            each = [1000 * spent.processor / done, spent.faults / done, done / spent.wall, 1000 * first]
            rows.append((name, *(fixed(number, 1) for number in each)))
        click.echo(table(("whole", "ms of processor", "page faults", "pictures a second", "ms until the first"), rows))


def _rows(found: list[Stages]) -> Iterator[tuple[str, str | None, str | None]]:
    """Each stage, and all of them: what a picture takes in the round that took least."""
    for name in found[0].spent:
        least = min((stages for stages in found), key=lambda stages: stages.spent[name].processor)
        spent = least.spent[name]
        yield name, fixed(1000 * spent.processor / least.done), fixed(spent.faults / least.done, 0)
