"""Runs measurements: every method's points on every clip, each kept as soon as it is there.

Points that the results already hold, for the same content, settings and versions, are not measured again, so an
interrupted run goes on where it stopped. A point that fails is kept as its error and tried again the next time.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codec.errors import NvcError, reason

from ..method import Kind, Method, Source
from ..process import BenchError
from ..results import RESULTS, Record, Results, axes, equal
from ..sources import about, open_source_of
from .point import measure, point
from .sweep import ladder, spread, spread_rates

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Below:
    """Rates to measure at: from `share` times that of `method` at `setting` up to it."""

    method: Method
    setting: float
    share: float = 0.3

    def __str__(self) -> str:
        return f"{self.share:g} to 1 times the rate of {self.method.name} at {self.setting:g}"


class Runner:
    """Measures points for the folder `out`, at most `jobs` side by side; `tell` is given a line about each."""

    def __init__(self, out: Path, jobs: int, tell: Tell):
        self.out, self.jobs, self._tell = out, jobs, tell
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BenchError(f"{out}: no folder for results can be made there: {reason(error)}") from None
        if not os.access(out, os.W_OK | os.X_OK):
            raise BenchError(f"{out}: no permission to write results into it")
        self._results = Results(out / RESULTS)
        self._id = f"{time.time():.0f}"
        self._free = threading.Semaphore(jobs)
        self._lock = threading.Lock()
        self.failed = 0

    def record(self, method: Method, clip: str, source: Source, setting: float) -> Record:
        """A finished point, measured now unless it has been; with `error` where it failed."""
        wanted = point(method, clip, source, setting)
        with self._lock:
            found = self._results.find(wanted)
        if found is not None and "error" not in found and self._whole(found):
            return found
        with self._free:
            try:
                found = measure(method, clip, source, setting, self.out)
                found |= {"run": self._id, "jobs": self.jobs}
                self._tell(line_about(found))
            except NvcError as error:
                found = wanted | {"error": str(error)}
                self._tell(f"{clip}  {method.name} at {setting:g} FAILED: {error}")
        with self._lock:
            self.failed += "error" in found
            self._results.add(found)
        return found

    def opened(self, sources: AbstractContextManager[Source], stack: ExitStack) -> Source | None:
        """A source, open until `stack` is closed. One that cannot be read is told of, and None: the others go on."""
        try:
            return stack.enter_context(sources)
        except NvcError as error:
            self._tell(f"{error}; it is left out")
            self.failed += 1
            return None

    def _whole(self, record: Record) -> bool:
        return all((self.out / record[name]).exists() for name in ("crop", "crop_source") if record.get(name))

    def mean(self, field: str, method: Method, sources: dict[str, Source], setting: float) -> float | None:
        """Mean of a field of the records of all sources at a setting; None where one fails."""
        with ThreadPoolExecutor(self.jobs) as pool:
            records = list(pool.map(lambda item: self.record(method, item[0], item[1], setting), sources.items()))
        if any("error" in record for record in records):
            return None
        return float(sum(record[field] for record in records) / len(records))

    def curves(self, sources: dict[str, Source], methods: Sequence[Method], anchor: Method, points: int) -> None:
        """All points of all methods on `sources`, whose mean is swept; the anchor decides the range of quality."""
        field = axes(anchor.kind)[1]
        found = [self.mean(field, anchor, sources, setting) for setting in settings_of(anchor, points)]
        known = [quality for quality in found if quality is not None]
        low, high = (min(known), max(known)) if known else (0.0, 0.0)

        def sweep(method: Method) -> None:
            if method.knob is None or not known:
                for setting in settings_of(method, points):
                    self.mean(field, method, sources, setting)
            else:
                spread(method.knob, points, low, high, lambda setting: self.mean(field, method, sources, setting))

        with ThreadPoolExecutor(self.jobs) as pool:
            list(pool.map(sweep, [m for m in methods if m is not anchor]))

    def low_curves(
        self, sources: dict[str, Source], methods: Sequence[Method], below: Below, points: int
    ) -> tuple[float, float] | None:
        """All points of all methods over a range of rates; that range, None where its own point fails."""
        field = axes(below.method.kind)[0]
        high = self.mean(field, below.method, sources, below.setting)
        if high is None:
            return None
        low = high * below.share

        def sweep(method: Method) -> None:
            if method.knob is None:
                for setting in settings_of(method, points):
                    self.mean(field, method, sources, setting)
            else:
                spread_rates(method.knob, points, low, high, lambda setting: self.mean(field, method, sources, setting))

        with ThreadPoolExecutor(self.jobs) as pool:
            list(pool.map(sweep, methods))
        return low, high


def settings_of(method: Method, points: int) -> list[float]:
    """The settings of a method whose range of quality is its own affair."""
    if method.knob is not None:
        return ladder(method.knob, points)
    return [0.0 if method.lossless is None else method.lossless]


def line_about(record: Record) -> str:
    """A finished point in one line."""
    field = axes(record["kind"])[1]
    quality = "equal" if equal(record) else f"{record[field]:.2f} dB"
    return (
        f"{record['clip']}  {record['method']} at {record['setting']:g}: {record['bytes']:,} B, {quality}, "
        f"encode {record['encode_s']:.1f} s, decode {record['decode_s']:.2f} s"
    )


def unique_names(paths: Sequence[str]) -> list[str]:
    """A name for each file, its folder's before it where another has the same."""
    names = [Path(path).name for path in paths]
    return [name if names.count(name) == 1 else str(Path(path)) for name, path in zip(names, paths, strict=True)]


def run_curves(
    kind: Kind,
    paths: Sequence[str],
    methods: Sequence[Method],
    over: Method | Below,
    points: int,
    frames: int | None,
    runner: Runner,
) -> list[dict[str, Any]]:
    """Measure curves, of each film for itself, of pictures all together, over the qualities of a method or over rates.
    What `run.json` says of the clips. Raises BenchError where none can be read."""
    clips = []
    names = unique_names(paths)
    sets = [names] if kind == "image" else [[name] for name in names]
    for names_of_set in sets:
        with ExitStack() as stack:
            found = {
                n: runner.opened(open_source_of(p, frames), stack)
                for n, p in zip(names, paths, strict=True)
                if n in names_of_set
            }
            sources = {name: source for name, source in found.items() if source is not None}
            if not sources:
                continue
            rates = None
            if isinstance(over, Below):
                rates = runner.low_curves(sources, methods, over, points)
            else:
                runner.curves(sources, methods, over, points)
            clips += [described_clip(name, source, rates) for name, source in sources.items()]
    if not clips:
        raise BenchError("there is nothing to measure")
    return clips


def described_clip(name: str, source: Source, rates: tuple[float, float] | None) -> dict[str, Any]:
    """What `run.json` says of a clip; `rates`: those that were asked for, if any were."""
    known = {"name": name, "hash": source.hash, "about": about(source), "frames": getattr(source, "frames", 1)}
    return known | ({"rates": list(rates)} if rates else {})
