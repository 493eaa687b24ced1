"""How well an encode knows how long it will take.

    bench check progress CLIP -- --preset fast --scale 1

Encodes CLIP with the options after `--` in a fresh process and reads what it tells as JSON. At each moment the time
that has passed and the time that is said to be left make a guess of the whole; its factor to the time that the whole
took is 1 where the guess was right. The worst factor, either way, after the first tenth must not exceed the claim.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import click

from codec.cli.options import Number

from ..process import BenchError, python
from ..tables import table

SHARES = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9)  # of the whole time, at which the table shows what was told


@dataclass(frozen=True)
class Told:
    """What an encode told: seconds since its beginning, its stage, pictures done, seconds left."""

    elapsed: float
    stage: str
    frames: float
    eta: float


def encode(clip: str, file: str, options: Sequence[str]) -> tuple[list[Told], float]:
    """What an encode tells, and the seconds that it took from its first word to its last. Raises BenchError."""
    command = python("codec", "encode", clip, file, "--json", "-q", *options)
    found: list[Told] = []
    began = last = 0.0
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            event, last = json.loads(line), time.monotonic()
            began = began or last
            if event["event"] == "progress" and event["eta"] is not None:
                found.append(Told(last - began, event["stage"], event["frames"], event["eta"]))
    if process.returncode:
        raise BenchError(f"the encode ended with code {process.returncode}")
    return found, last - began


def factor(told: Told, whole: float) -> float:
    """Of the guess to what the whole took."""
    return (told.elapsed + told.eta) / whole


def worst(found: Sequence[Told], whole: float, after: float) -> float:
    """The largest factor, either way, of what was told after that share of the time."""
    late = [factor(told, whole) for told in found if told.elapsed >= after * whole]
    return max((max(f, 1 / f) for f in late if f > 0), default=1.0)


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("clip", type=click.Path(exists=True, dir_okay=False))
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--claim", type=Number(float, 1, 1000), default=1.5, show_default=True, help="Largest factor after the first tenth."
)
@click.option("--all", "everything", is_flag=True, help="Show all that was told.")
def main(clip: str, options: tuple[str, ...], claim: float, everything: bool) -> None:
    """Encode CLIP with the OPTIONS of `codec encode`, and compare the time left with the time that it took."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        found, whole = encode(clip, os.path.join(folder, "a.nvc"), options)
    if not found:
        raise BenchError("the encode told no time left: the length of the film is not known")
    shown = found
    if not everything:
        shown = [next((t for t in found if t.elapsed >= share * whole), found[-1]) for share in SHARES]
    rows = [
        (f"{t.elapsed:.1f}", f"{t.elapsed / whole:.0%}", t.stage, t.frames, t.eta, f"{factor(t, whole):.2f}")
        for t in shown
    ]
    click.echo(table(("seconds", "of all", "stage", "pictures", "told to be left", "factor"), rows))
    found_worst = worst(found, whole, 0.1)
    backwards = sum(b.frames < a.frames for a, b in pairwise(found))
    click.echo(
        f"\n{whole:.1f} s; {len(found)} reports; pictures went back {backwards} times; worst factor after the first "
        f"tenth {found_worst:.2f} (claim {claim:g}), after the first half {worst(found, whole, 0.5):.2f}"
    )
    sys.exit(1 if found_worst > claim else 0)
