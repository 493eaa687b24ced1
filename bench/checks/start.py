"""How long the `codec` command takes to begin: its help, what a file is made of, a still, a film's first picture.

    bench check start FILM.nvc STILL.nvc

Each row is a command in fresh processes, one of each in turn; a first round, which fills the caches of the disk, is not
counted. What Python itself takes is the first row.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import click

from codec.cli.options import COUNT
from codec.wire.avif import is_still

from ..process import environment, python
from ..tables import fixed, table

HEAD = ("what", "median seconds", "least", "more than Python")


FIRST = "import codec, sys; next(codec.open(sys.argv[1]).frames())"


def commands(files: Sequence[str], folder: str) -> dict[str, list[str]]:
    """What is measured, by the name of its row; pictures of stills go to `folder`."""
    inline = {"python -c pass": "pass", "import codec": "import codec"}
    rows = {name: [sys.executable, "-c", code] for name, code in inline.items()}
    for words in (["--version"], ["--help"], ["encode", "--help"]):
        rows[f"codec {' '.join(words)}"] = python("codec", *words)
    for file in files:
        name = Path(file).name
        rows[f"codec info {name}"] = python("codec", "info", file)
        if is_still(file):
            target = os.path.join(folder, f"{name}.png")
            rows[f"codec decode {name}"] = python("codec", "decode", file, target, "--overwrite")
        else:
            rows[f"first picture of {name}"] = [sys.executable, "-c", FIRST, file]
    return rows


def seconds_of(command: Sequence[str]) -> float:
    """Wall time of a program. Raises click.ClickException where it fails."""
    began = time.perf_counter()
    done = subprocess.run(command, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    if done.returncode:
        words = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise click.ClickException(f"{' '.join(command[1:])} ended with {done.returncode}: {words}")
    return seconds


@click.command()
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False))
@click.option("--runs", type=COUNT, default=7, show_default=True)
def main(files: tuple[str, ...], runs: int) -> None:
    """Measure how long `codec` takes to show its help, its version and what FILES are made of, and to decode them: a
    still into a PNG file, of a film the first picture."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        rows = commands(files, folder)
        taken: dict[str, list[float]] = {name: [] for name in rows}
        for _ in range(runs + 1):
            for name, command in rows.items():
                taken[name].append(seconds_of(command))
    counted = {name: seconds[1:] for name, seconds in taken.items()}
    python_alone = median(counted["python -c pass"])
    shown = [
        (name, fixed(median(seconds)), fixed(min(seconds)), fixed(median(seconds) - python_alone, sign=True))
        for name, seconds in counted.items()
    ]
    click.echo(table(HEAD, shown))
