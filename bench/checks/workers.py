"""How much faster are several worker processes than one, by their own accounting?

    bench check workers CLIP --jobs 4 -- --preset fast --scale 1

CLIP is encoded by one process, then by as many workers as are asked for, each with one thread; the bytes must be the
same. Counted are the seconds of processors that each encode takes, all its processes together: what is read several
times, sent to and fro and loaded by each worker is in them. On as many processors as there are workers, each with its
share of the film, the work would take at least the last of these seconds divided by the workers; so the factor is a
bound, which a film reaches that is long enough to give all of them as much to do. Ends with exit code 1 where it is
below the claim or bytes differ. Not on Windows.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from codec.cli.options import Number

from ..process import BenchError, python, run
from ..tables import fixed, table

HEAD = ("workers", "processor, s", "clock, s", "bytes")


def encode(clip: str, target: Path, jobs: int, options: Sequence[str]) -> tuple[float, float]:
    """Seconds of processors, and of the clock, that an encode takes. Raises BenchError."""
    import resource  # which Windows has not

    def used() -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return children.ru_utime + children.ru_stime

    # as many threads as workers: each process gets one of them
    before = used()
    ran = run(python("codec", "encode", clip, target, "-q", "--jobs", jobs, "--threads", jobs, *options))
    return used() - before, ran.seconds


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("clip", type=click.Path(exists=True, dir_okay=False))
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
@click.option("--jobs", type=Number(int, 2, 64), default=4, show_default=True, help="Worker processes.")
@click.option("--claim", type=Number(float, 1, 64), default=3.0, show_default=True, help="Least factor.")
def main(clip: str, options: tuple[str, ...], jobs: int, claim: float) -> None:
    """Encode CLIP by one process and by several, with OPTIONS of `codec encode`, and compare what they take."""
    rows, taken, files = [], [], []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for count in (1, jobs):
            target = Path(folder) / f"{count}.nvc"
            seconds, clock = encode(clip, target, count, options)
            taken.append(seconds)
            files.append(target.read_bytes())
            rows.append((count, fixed(seconds, 1), fixed(clock, 1), f"{len(files[-1]):,}"))
    if files[0] != files[1]:
        raise BenchError("several workers gave other bytes than one")
    factor = jobs * taken[0] / taken[1]
    click.echo(table(HEAD, rows))
    click.echo(f"\n{jobs} workers on as many processors: at most {factor:.2f} times as fast as one (claim {claim:g})")
    click.echo(f"this machine has {os.cpu_count()} processors")
    sys.exit(factor < claim)
