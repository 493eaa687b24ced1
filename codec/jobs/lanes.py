"""The segments of a film, encoded side by side.

A lane is a thread that reads the film for itself, from the beginning, and has the chunks that it takes encoded one
after the other; whoever is free takes the next chunk. To read a film many times costs a small part of what encoding it
costs, and keeps memory bounded by a segment for each lane, where chunks that are read ahead would need three. With one
lane the same happens in the caller's thread.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from ..errors import InputError
from ..events import Event, Stage
from ..frames import Frame
from ..media.source import Source, open_again
from ..segment.encoder import Segment
from ..segment.rate import RateControl
from ..segment.scenes import split
from ..settings import Settings
from .store import Store
from .task import CHUNK, Task
from .workers import Workers


class Watcher(Protocol):
    """Is told what happens, by any thread."""

    def under_way(self, index: int, frames: int, stage: Stage) -> None:
        """How far a segment of `frames` pictures is."""

    def finished(self, index: int, segment: Segment) -> None: ...

    def lost(self, text: str) -> None:
        """A worker died; its segment is encoded again."""


@dataclass(frozen=True)
class Lanes:
    """Encodes `film` into `store`. `start`: the state of rate control at the film's beginning."""

    film: Source
    settings: Settings
    scale: Fraction
    start: RateControl
    store: Store
    workers: Workers
    watcher: Watcher

    def run(self, segments: Iterable[list[Frame]]) -> None:
        """Encode every segment; the first lane gets them from `segments`, others read the film anew."""
        run = _Run(self)
        if self.workers.count == 1:
            run.lane(0, segments)
            return
        with ThreadPoolExecutor(self.workers.count, "lane") as pool:
            try:
                lanes = [pool.submit(run.lane, 0, segments)]
                lanes += [pool.submit(run.lane, n, self._read()) for n in range(1, self.workers.count)]
                done: set[Future[None]] = set()
                while len(done) < len(lanes):  # now and then, as Windows does not interrupt a thread that waits
                    done, _ = wait(lanes, 1, FIRST_EXCEPTION)
                    for lane in done:
                        lane.result()
            except BaseException:
                run.stop()
                raise

    def _read(self) -> Iterator[list[Frame]]:
        """The film's segments, read once more."""
        with open_again(self.film, 1) as film:
            yield from split(film.frames(), film.info)


class _Run:
    """What the lanes of one run share."""

    def __init__(self, lanes: Lanes):
        self._of = lanes
        self._lock = threading.Lock()
        self._chunks = 0  # that were taken
        self._seen: dict[int, tuple[int, int]] = {}  # of each segment: time of its first picture, pictures
        self._stopped = False
        self._learnt: Future[RateControl] = Future()  # rate control after the film's first segment
        if not lanes.start.wish:
            self._learnt.set_result(lanes.start)

    def _take(self) -> int:
        """The next chunk that nobody has begun."""
        with self._lock:
            self._chunks += 1
            return self._chunks - 1

    def _compare(self, index: int, frames: list[Frame]) -> None:
        """Raise InputError where this reading of the film differs from another lane's."""
        found = frames[0].pts, len(frames)
        if self._seen.setdefault(index, found) != found:
            name = self._of.film.name
            raise InputError(f"{name} gives other pictures when it is read again; encode it without --jobs")

    def stop(self) -> None:
        """Let every lane end as soon as it can."""
        self._stopped = True
        self._learnt.cancel()
        self._of.workers.close()

    def lane(self, number: int, segments: Iterable[list[Frame]]) -> None:
        """Encode the chunks that this lane takes."""
        index, mine = -1, -1
        previous: Segment | None = None
        control = self._of.start
        for frames in segments:  # not by `enumerate`, which holds on to a segment while the next one is read
            index += 1
            if self._stopped:
                return
            self._compare(index, frames)
            if index // CHUNK > mine:
                mine, previous = self._take(), None
            if index // CHUNK == mine:
                if previous is None:
                    control = (self._learnt.result() if mine else self._of.start).anew()
                previous = self._segment(number, index, frames, control, previous)
            del frames

    def _segment(
        self, lane: int, index: int, frames: list[Frame], control: RateControl, previous: Segment | None
    ) -> Segment:
        """The segment as it was finished before, or encoded now; `control` has learnt from it."""
        of = self._of
        segment = of.store.get(index)
        if segment is None:
            task = Task(index, frames, of.film.info, of.settings, of.scale, control, previous)

            def listen(event: Event) -> None:
                if isinstance(event, Stage):
                    of.watcher.under_way(index, len(frames), event)

            segment = of.workers.run(lane, task, listen, of.watcher.lost)
            of.store.put(index, segment)
        seconds = float((frames[-1].pts - frames[0].pts) * of.film.info.time_base) + float(1 / of.film.info.rate)
        control.finished(segment.stats, seconds)
        if index == 0 and not self._learnt.done():
            self._learnt.set_result(control.anew())
        of.watcher.finished(index, segment)
        return segment
