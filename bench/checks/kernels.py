"""How fast do this machine's kernels compute the heads that restore?

    bench check kernels [--size 1280x720]

Each row is a pretrained head by one kernel, forced (float64 is a last resort, and left out); what the head takes by
itself is marked. Milliseconds of processor a picture on one thread: packing planes, the network, unpacking. Rows are
measured in turn, round by round, so that other work on the machine meets all of them. Samples differ nowhere, or the
check fails.
"""

from __future__ import annotations

import sys
import time
from itertools import pairwise
from statistics import median

import click
import numpy as np

from codec.cli.options import COUNT
from heads.choice import forced
from heads.layers import HeadError
from heads.restorer.integer import CPU, IntegerHead
from heads.restorer.planes import cells, unpack
from heads.restorer.spec import INPUT_MAX
from heads.restorer.store import STILL_HEADS, Stored, film_head, pretrained, upscaler
from heads.threads import one_thread

from ..tables import fixed, table

HEAD = ("head", "kernel", "pack", "network", "unpack", "all", "least", "GMAC/s", "")
PARTS = ("pack", "network", "unpack")


class Runner:
    """One head by one kernel on one picture of noise (rows and columns of luma)."""

    def __init__(self, stored: Stored, kernel: str, shape: tuple[int, int]):
        with forced(kernel):
            self.head = IntegerHead(stored.spec, stored.layers)
        rng, self.folds = np.random.default_rng(0), stored.spec.folds
        self.cells = shape[0] // 2, shape[1] // 2
        shapes = [(self.cells[0] * r, self.cells[1] * c) for r, c in self.folds]
        self._planes = [rng.integers(0, 1024, s).astype(np.uint16) for s in shapes]
        self.out = [np.empty(s, np.uint8) for s in shapes]
        self.taken: list[dict[str, float]] = []

    def run(self) -> None:
        """Restore the picture, band by band, and note the milliseconds of each part."""
        spent = dict.fromkeys(PARTS, 0.0)

        def band(rows: slice, seen: slice, inner: slice) -> None:
            here = [p[seen.start * r : seen.stop * r] for p, (r, _) in zip(self._planes, self.folds, strict=True)]
            times = [time.process_time()]
            x = cells(here, self.folds, self.head.cell, INPUT_MAX)
            times.append(time.process_time())
            y = self.head.predict(x, 8)[inner]
            times.append(time.process_time())
            parts = [p[rows.start * r : rows.stop * r] for p, (r, _) in zip(self.out, self.folds, strict=True)]
            unpack(y, self.folds, parts)
            times.append(time.process_time())
            for part, (began, ended) in zip(PARTS, pairwise(times), strict=True):
                spent[part] += 1000 * (ended - began)

        self.head.in_bands(*self.cells, band)
        self.taken.append(spent)

    def row(self, name: str, note: str) -> tuple[object, ...]:
        """Of the table: medians, and the least of all rounds."""
        parts = [median(spent[part] for spent in self.taken) for part in PARTS]
        totals = [sum(spent.values()) for spent in self.taken]
        rate = self.head.spec.weights * self.cells[0] * self.cells[1] / median(totals) / 1e6
        shown = [fixed(ms, 1) for ms in (*parts, median(totals), min(totals))]
        return name, self.head.kernel, *shown, fixed(rate, 1), note


@click.command()
@click.option("--size", metavar="WIDTHxHEIGHT", default="1280x720", show_default=True, help="Of the picture.")
@click.option("--runs", type=COUNT, default=7, show_default=True)
def main(size: str, runs: int) -> None:
    """Measure the kernels of restoring heads; exit code 1 where their samples differ."""
    width, height = map(int, size.split("x"))
    found = {"film": film_head(1), "still": pretrained(STILL_HEADS[1]), "upscale 2": upscaler(2)}
    runners: list[tuple[str, bool, Runner]] = []
    rows, failed = [], False
    with one_thread():
        for name, stored in found.items():
            own = IntegerHead(stored.spec, stored.layers).kernel
            for kernel in CPU[:-1]:
                try:
                    runners.append((name, kernel == own, Runner(stored, kernel, (height, width))))
                except HeadError as error:
                    click.echo(f"{name}: {error}")
        for _ in range(runs + 1):
            for _, _, runner in runners:
                runner.run()
    first: dict[str, list[np.ndarray]] = {}
    for name, usual, runner in runners:
        same = all(map(np.array_equal, runner.out, first.setdefault(name, runner.out)))
        failed |= not same
        del runner.taken[0]  # fills caches
        rows.append(runner.row(name, ("its own" if usual else "") if same else "DIFFERS"))
    click.echo(table(HEAD, rows))
    sys.exit(1 if failed else 0)
