"""Does the codec lose anything of odd but legal inputs without a word?

    bench check sources --count 500 --seed 1

Inputs are made by combination: films of container, codec, times, other tracks, geometry and colour; pictures of type,
depth, alpha, profile and orientation. Each is encoded and decoded, losslessly where that is possible, and both are read
by an independent judge (ffmpeg and ffprobe where they are installed, else PyAV; Pillow and formulas of our own for
pictures). A difference must be named by a note, and a refusal must be a sentence that names the file.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from codec.cli.options import COUNT, Number


@click.command()
@click.option("--count", type=COUNT, default=500, show_default=True, help="So many combinations.")
@click.option("--seed", type=Number(int, 0, 1 << 31), default=1, show_default=True, help="Of the sampling.")
@click.option("--only", type=click.Choice(("films", "pictures")), help="Inputs of one kind alone.")
@click.option("--case", "cases", type=Number(int, 0, 1 << 20), multiple=True, help="Only the case of this number.")
@click.option("--keep", type=click.Path(file_okay=False, path_type=Path), help="Folder for the files of findings.")
@click.option("--jobs", type=Number(int, 1, 64), default=1, show_default=True, help="Cases side by side.")
def main(count: int, seed: int, only: str | None, cases: tuple[int, ...], keep: Path | None, jobs: int) -> None:
    """Make odd inputs and judge what becomes of them; exit code 1 where something is lost in silence."""
    from .running import run

    sys.exit(run(count, seed, only, cases, keep, jobs))
