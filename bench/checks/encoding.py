"""Where does the time of an encode go, stage by stage?

    bench check encoding CLIP --frames 48 --preset fast

The clip's first pictures are encoded as one segment of full size: as a whole, as `codec encode` does it, and each
stage for itself. Seconds are those of all processors together and of the clock; where other work takes a processor, the
former still tell. A trial is one of a few that a preset makes, and training is as long as the preset lets it be.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from typing import TypeVar

import click

from codec.base.av1 import base_frames
from codec.base.coded import Base
from codec.base.quantiser import base_q_of
from codec.base.resample import base_size, plain_prediction
from codec.cli.options import COUNT
from codec.film.sources import source_of
from codec.frames import Frame, VideoInfo
from codec.loss.coder import LossSettings
from codec.machine import use_threads
from codec.metrics import plane_psnrs
from codec.segment.choice import FIT_RATE
from codec.segment.encoder import SegmentEncoder
from codec.segment.fit_restorer import examples_of, fit_restorer
from codec.segment.head import film_head
from codec.segment.passes import Passes
from codec.settings import PRESETS, Settings
from heads.restorer.fit import Schedule
from heads.restorer.store import film_head_for

from ..process import BenchError
from ..tables import fixed, table

HEAD = ("stage", "processor, s", "clock, s", "processor, ms a picture")
T = TypeVar("T")


@dataclass
class Stages:
    """What was measured: of each stage its name, seconds of processors and of the clock, and pictures."""

    rows: list[tuple[str, float, float, int]]

    def time(self, name: str, pictures: int, work: Callable[[], T]) -> T:
        """Do `work`, a stage."""
        processor, clock = time.process_time(), time.perf_counter()
        found = work()
        self.rows.append((name, time.process_time() - processor, time.perf_counter() - clock, pictures))
        return found


def read(clip: str, count: int) -> tuple[list[Frame], VideoInfo]:
    with source_of(clip) as film:
        return list(islice(film.frames(), count)), film.info


def compare(base: Base, frames: Sequence[Frame], info: VideoInfo) -> None:
    """Decode a base and compare it with its source."""
    width, height = base_size(info.width, info.height, Fraction(1))
    for found, frame in zip(base_frames(base.packets, (height, width)), frames, strict=True):
        plane_psnrs(plain_prediction(found.planes, info.format.depth), frame.planes, info.format.peak)


def measured(clip: str, count: int, settings: Settings) -> tuple[Stages, int]:
    """The stages of an encode of `count` pictures, and how many there are."""
    stages = Stages([])
    frames, info = stages.time("source read", count, lambda: read(clip, count))
    count = len(frames)
    if not count or info.format.chroma != "420":
        raise BenchError(f"{clip} has no pictures of 4:2:0 to encode")
    passes = Passes(frames, info, settings, Fraction(1))
    base = stages.time("base coded, decoded, compared", count, lambda: passes.base(settings.start_crf))
    stages.time("of that: decoded, compared", count, lambda: compare(base, frames, info))
    head = film_head(film_head_for(1), base_q_of(passes.quantiser(base.crf)))
    batches = passes.preset.batches(info.width * info.height * count / 1e6)
    schedule = Schedule(0, batches, rate=FIT_RATE)
    examples, _ = stages.time("examples", count, lambda: examples_of(passes, base, schedule, base_q=head.base_q))
    stages.time(
        f"training, {batches} batches",
        count,
        lambda: fit_restorer(passes, examples, head.spec, schedule, head, anchor=head),
    )
    stages.time("a trial", len(passes.evaluated()), lambda: passes.trial(base, head))
    stages.time("restored", count, lambda: passes.run(base, head, LossSettings()))
    encoder = SegmentEncoder(frames, info, settings, Fraction(1))
    stages.time("the segment as a whole", count, lambda: encoder.finish(encoder.base(settings.start_crf)))
    return stages, count


@click.command()
@click.argument("clip", type=click.Path(exists=True, dir_okay=False))
@click.option("--frames", "count", type=COUNT, default=48, show_default=True, help="Pictures that are encoded.")
@click.option("--preset", type=click.Choice(PRESETS), default="fast", show_default=True)
@click.option("--threads", type=COUNT, default=None, help="As many threads as this; one a core by default.")
def main(clip: str, count: int, preset: str, threads: int | None) -> None:
    """Encode CLIP's first pictures, stage by stage, and show what each takes."""
    settings = Settings(preset=preset, scale=Fraction(1), threads=threads or 0)
    use_threads(settings.threads)
    stages, count = measured(clip, count, settings)
    rows = [(n, fixed(p, 2), fixed(c, 2), fixed(1000 * p / max(k, 1), 1)) for n, p, c, k in stages.rows]
    click.echo(f"{clip}, {count} pictures, preset {preset}\n")
    click.echo(table(HEAD, rows))
