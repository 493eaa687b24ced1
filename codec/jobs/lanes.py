"""The segments of a film, encoded side by side.

A lane is a thread that reads the film for itself, from the beginning, and has the chunks that it takes encoded one
after the other; whoever is free takes the next chunk. To read a film many times costs a small part of what encoding it
costs, and keeps memory bounded by a segment for each lane, where chunks that are read ahead would need three. With one
lane the same happens in the caller's thread, and the base of the next segment is coded while a segment is finished;
not where a wish decides the quantiser, which follows from what the segment before has spent.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from ..errors import NvcError, OutputError, Unsteady
from ..events import Event, Stage
from ..frames import Frame
from ..media.source import Source
from ..segment.encoder import Segment
from ..segment.rate import RateControl, seconds_of
from ..segment.scenes import bounds_of, split
from ..settings import Settings
from .store import Store
from .task import CHUNK, Smaller, Task
from .workers import Workers

HELD = 256 << 20  # bytes of two segments' pictures that may be held at once; see bench/NOTES.md, "The encoder by stage"


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
        self._all(_Run(self), segments)

    def again(self, plan: Mapping[int, Smaller], versions: Mapping[int, int], version: int) -> None:
        """Code the segments of `plan`, by their numbers, again, as the newest ones, which `versions` tells, were coded;
        they are kept as `version`."""
        run = _Again(self, plan, versions, version)
        self._all(run, self._read())
        if run.missed:
            raise self.unsteady

    @property
    def unsteady(self) -> Unsteady:
        """What is wrong with a film of which no two readings are the same."""
        ways = ["without --jobs or --cluster"] if self.workers.count > 1 else []
        ways += ["with --bitrate in place of --target-size"] if self.settings.target_size is not None else []
        once = f"; encode it {' and '.join(ways)}, so that it is read once" if ways else ""
        return Unsteady(f"{self.film.name} gives other pictures when it is read again{once}")

    def _all(self, run: _Run, segments: Iterable[list[Frame]]) -> None:
        """Have all lanes take part in a run."""
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
        with self.film.again(1) as film:
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
        """Raise Unsteady where this reading of the film differs from another lane's."""
        found = frames[0].pts, len(frames)
        if self._seen.setdefault(index, found) != found:
            raise self._of.unsteady

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
        ahead = self._of.workers.ahead and not control.wish  # which follows from the segment before
        # not by `enumerate`, which holds on to a segment while the next one is read
        for frames in self._begun(segments) if ahead else segments:
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

    def _begun(self, segments: Iterable[list[Frame]]) -> Iterator[list[Frame]]:
        """The segments in their turns; where there is room for the longest one that can follow, that is read and begun
        before. What goes wrong with it goes wrong in its turn."""
        info = self._of.film.info
        picture = info.format.frame_bytes(info.width, info.height)
        coming, index, fault = iter(segments), 0, None
        present = next(coming, None)
        if present is not None:
            self._begin(index, present)
        while present is not None:
            following, early = None, (len(present) + bounds_of(info).longest) * picture <= HELD
            if early:
                try:
                    following = next(coming, None)
                except NvcError as error:
                    fault = error
                if following is not None:
                    self._begin(index + 1, following)
            yield present
            if fault is not None:
                raise fault
            present, index = following, index + 1
            if not early:
                present = next(coming, None)

    def _begin(self, index: int, frames: list[Frame]) -> None:
        """Have a segment begun that is not finished from an earlier run."""
        of = self._of
        if of.store.get(index) is None:
            of.workers.begin(Task(index, frames, of.film.info, of.settings, of.scale, of.start, None))

    def _segment(
        self, lane: int, index: int, frames: list[Frame], control: RateControl, previous: Segment | None
    ) -> Segment:
        """The segment as it was finished before, or encoded now; `control` has learnt from it."""
        of = self._of
        segment = of.store.get(index)
        if segment is not None and not _of_frames(segment, frames):
            raise Unsteady(f"{of.film.name} gives other pictures than finished segments hold; they go, encode it anew")
        if segment is None:
            task = Task(index, frames, of.film.info, of.settings, of.scale, control, previous)
            segment = self._encoded(lane, task)
            of.store.put(index, segment)
        control.finished(segment.stats, segment.bytes, seconds_of(frames, of.film.info))
        if index == 0 and not self._learnt.done():
            self._learnt.set_result(control.anew())
        of.watcher.finished(index, segment)
        return segment

    def _encoded(self, lane: int, task: Task) -> Segment:
        """What a worker makes of a task."""
        of = self._of

        def listen(event: Event) -> None:
            if isinstance(event, Stage):
                of.watcher.under_way(task.index, len(task.frames), event)

        return of.workers.run(lane, task, listen, of.watcher.lost)


class _Again(_Run):
    """A run that codes some segments again, each by the first lane that comes to it: none depends on another."""

    def __init__(self, lanes: Lanes, plan: Mapping[int, Smaller], versions: Mapping[int, int], version: int):
        super().__init__(lanes)
        self._plan, self._versions, self._version = plan, versions, version
        self._left = set(plan)

    @property
    def missed(self) -> bool:
        """Whether no lane came to some of them."""
        return bool(self._left)

    def lane(self, number: int, segments: Iterable[list[Frame]]) -> None:
        index = -1
        for frames in segments:
            index += 1
            if self._stopped or not self._left:
                return
            self._compare(index, frames)
            if self._claim(index):
                self._once_more(number, index, frames)
            del frames

    def _claim(self, index: int) -> bool:
        with self._lock:
            wanted = index in self._left
            self._left.discard(index)
            return wanted

    def _once_more(self, lane: int, index: int, frames: list[Frame]) -> None:
        of = self._of
        segment = of.store.get(index, self._version)
        if segment is None:
            before = of.store.get(index, self._versions.get(index, 0))
            if before is None:
                raise OutputError(f"segment {index} of {of.film.name} has disappeared from {of.store.folder}")
            if not _of_frames(before, frames):
                raise of.unsteady
            task = Task(index, frames, of.film.info, of.settings, of.scale, of.start, before, self._plan[index])
            segment = self._encoded(lane, task)
            of.store.put(index, segment, self._version)
        of.watcher.finished(index, segment)


def _of_frames(segment: Segment, frames: list[Frame]) -> bool:
    """Whether a segment was made of these pictures, as their times tell."""
    return [unit.pts for unit in segment.units] == [frame.pts for frame in frames]
