"""How far an encode is and how long it will take, told by any number of lanes.

Stages of an encoder differ by what they cost, and by how well that can be known beforehand. So each has a price, the
seconds that it takes for a second of what was expected (`codec.segment.effort`), which is learnt from what was done of
it so far; a stage that nobody has come to yet is priced by the others. The time left is the work left at these prices.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from ..events import Encoding, Event, Listener, Note, SegmentDone, SegmentStats, Stage
from ..segment.encoder import Segment
from ..segment.payload import SegmentHeader, film_memory
from .task import CHUNK

PRIOR = 0.03  # of what a segment's stage is expected to take: how much what was expected weighs beside what was seen
BELIEF = 0.7, 0.85  # in other stages' prices, as exponents, where a stage has none: below and above 1
WRITING = 0.2, 5e-4  # seconds, and for each picture: of writing the file
CHOICE, LEARNT = "scale", "head"  # stages: told of a segment that is kept as well; not gone through a second time
UNLIKELY = 0.1  # share of a stage that is still to come where more time has passed than was to be

Expected = Callable[[int, bool], Mapping[str, float]]  # (pictures, whether the film's first segment) -> seconds a stage


def even(frames: int, first: bool) -> Mapping[str, float]:
    """What stages take, for want of something better."""
    return {"base": 0.5 * frames, "head": 0.3 * frames, "restore": 0.2 * frames}


@dataclass
class _UnderWay:
    """A segment that is being encoded. Of its stages: seconds `spent`, the share `done`, and what was done `before`
    they were begun again; `told`: when the last time was."""

    frames: int
    first: bool
    told: float
    stage: str = ""
    spent: dict[str, float] = field(default_factory=dict)
    done: dict[str, float] = field(default_factory=dict)
    before: dict[str, float] = field(default_factory=dict)

    @property
    def kept(self) -> bool:
        """Whether, when it is finished, it was kept from an earlier run: by it the film's scale was chosen, no more."""
        return {self.stage, *self.spent} <= {CHOICE}

    def tell(self, stage: Stage, now: float) -> None:
        passed = self.stage or stage.stage  # a stage that begins does not know how long the one before took to end
        self.spent[passed] = self.spent.get(passed, 0.0) + now - self.told
        if stage.stage != passed:
            self.done[passed] = 1.0  # whatever it was thought to be
            self._begin(stage.stage)
        self.stage = stage.stage
        self.done[self.stage] = min(max(self.done.get(self.stage, 0.0), stage.done), 1.0)
        self.told = now

    def _begin(self, stage: str) -> None:
        """Where a stage that was left is begun again, it and those after it are still to be done: a base that came out
        too large is coded anew and restored, under the head that there is."""
        begun = list(self.done)
        for again in begun[begun.index(stage) :] if stage in begun else ():
            if again != LEARNT:
                self.before[again] = self.before.get(again, 0.0) + self.done.pop(again)

    def left(self, expected: Mapping[str, float], prices: Mapping[str, float], now: float) -> float:
        """Seconds."""
        total, reached = 0.0, self.stage not in expected
        for stage, seconds in expected.items():
            reached = reached or stage == self.stage
            if reached:
                rest = (1 - self.done.get(stage, 0.0)) * seconds * prices[stage]
                total += max(rest - (now - self.told), UNLIKELY * rest) if stage == self.stage else rest
        return total


class Progress:
    """How far an encode is, told by any number of lanes (it is their `codec.jobs.lanes.Watcher`). `total`: pictures, 0
    where that is not known; `expected`: what is expected of the encoder's stages, may be set anew; `clock`: seconds."""

    def __init__(
        self, total: int, listen: Listener, expected: Expected = even, clock: Callable[[], float] = time.monotonic
    ):
        self._total, self._listen, self.expected, self._clock = max(total, 0), listen, expected, clock
        self._began = clock()
        self._lock = threading.RLock()
        self._under_way: dict[int, _UnderWay] = {}
        self._free = [self._began]  # since when lanes have been without a segment
        self._spent: dict[str, float] = {}  # seconds of finished segments, by stage
        self._worked: dict[str, float] = {}  # and what was expected of them
        self._encoded = 0  # pictures in segments finished now, not kept from an earlier run
        self._reached = 0.0
        self.stats: dict[int, SegmentStats] = {}
        self._bytes: dict[int, int] = {}
        self.hardest: SegmentHeader | None = None  # of the segment that takes most memory to decode

    @property
    def frames(self) -> int:
        """Pictures in finished segments."""
        return sum(s.frames for s in self.stats.values())

    @property
    def bytes(self) -> int:
        """Of finished segments."""
        return sum(self._bytes.values())

    @property
    def seconds(self) -> float:
        return self._clock() - self._began

    def tell(self, event: Event) -> None:
        with self._lock:
            self._listen(event)

    def lost(self, text: str) -> None:
        self.tell(Note(text))

    def under_way(self, index: int, frames: int, stage: Stage) -> None:
        with self._lock:
            if index in self.stats:
                return  # told late, by way of a network
            now = self._clock()
            if index not in self._under_way:  # what passed since a lane became free, it read
                since = self._free.pop(0) if self._free else now
                self._under_way[index] = _UnderWay(frames, index == 0, since)
            self._under_way[index].tell(stage, now)
            self._show(index, stage.stage)

    def finished(self, index: int, segment: Segment) -> None:
        with self._lock:
            work, now = self._under_way.pop(index, None), self._clock()
            if work:
                self._learn(work, now)
                self._encoded += 0 if work.kept else segment.stats.frames
            elif self._free:  # kept from an earlier run: neither work nor speed, it only took a moment to read
                self._free.pop(0)
            self._free.append(now)
            self.stats[index] = segment.stats
            self.hardest = max(self.hardest or segment.header, segment.header, key=film_memory)
            self._bytes[index] = sum(len(u.data) + sum(map(len, u.payloads)) for u in segment.units)
            self.tell(SegmentDone(index, segment.stats))
            self._show(index, "segment")

    def again(self, indices: Iterable[int]) -> None:
        """These segments are coded again: until then they are not finished."""
        with self._lock:
            for index in indices:
                del self.stats[index], self._bytes[index]
            self._free = [self._clock()] * len(self._free)  # what passed meanwhile, no lane read
            self._reached = float(self.frames)

    def writing(self) -> None:
        """Every segment is finished, the file is being written."""
        with self._lock:
            self._show(max(self.stats, default=0), "write")

    # --- what was learnt ----------------------------------------------------------------------------------------

    def _learn(self, work: _UnderWay, now: float) -> None:
        work.spent[work.stage] = work.spent.get(work.stage, 0.0) + now - work.told
        for stage, seconds in self.expected(work.frames, work.first).items():
            if work.kept and stage != CHOICE:
                continue
            self._spent[stage] = self._spent.get(stage, 0.0) + work.spent.get(stage, 0.0)
            self._worked[stage] = self._worked.get(stage, 0.0) + seconds

    def _prices(self, frames: int) -> dict[str, float]:
        """Seconds of each stage for one that was expected. `frames`: of a segment, about."""
        spent, worked = dict(self._spent), dict(self._worked)
        for work in self._under_way.values():
            for stage, seconds in self.expected(work.frames, work.first).items():
                spent[stage] = spent.get(stage, 0.0) + work.spent.get(stage, 0.0)
                done = work.done.get(stage, 0.0) + work.before.get(stage, 0.0)
                worked[stage] = worked.get(stage, 0.0) + seconds * done
        usual = self.expected(frames, True)
        weight = PRIOR * sum(usual.values())
        common = (sum(spent.values()) + weight) / (sum(worked.values()) + weight) if weight else 1.0
        belief = common ** BELIEF[common > 1]  # how dear a film is has bounds, how slow a machine is has not
        prices = {}
        for stage in {**usual, **worked}:
            weight = PRIOR * usual.get(stage, 0.0)
            found = spent.get(stage, 0.0) + weight * belief
            of = worked.get(stage, 0.0) + weight
            prices[stage] = found / of if of else common
        return prices

    # --- what is shown ------------------------------------------------------------------------------------------

    def _show(self, index: int, stage: str) -> None:
        now = self._clock()
        finished, works = self.frames, list(self._under_way.values())
        known = [s.frames for s in self.stats.values()] + [w.frames for w in works]
        usual = max(1, round(sum(known) / len(known))) if known else 1
        prices = self._prices(usual)
        parts, longest, left = 0.0, 0.0, 0.0
        for work in works:
            expected = self.expected(work.frames, work.first)
            whole = sum(seconds * prices[s] for s, seconds in expected.items())
            rest = work.left(expected, prices, now)
            parts += work.frames * (1 - min(rest / whole, 1.0)) if whole else 0.0
            longest, left = max(longest, rest), left + rest
        to_come = max(self._total - finished - sum(w.frames for w in works), 0)
        each = sum(seconds * prices[s] for s, seconds in self.expected(usual, False).items()) / usual
        lanes = max(1, min(max(len(works), len(self._free)), -(-to_come // (usual * CHUNK)) + len(works)))
        eta = max((left + to_come * each) / lanes, longest) + WRITING[0] + WRITING[1] * self._total
        self._reached = max(finished + parts, self._reached)  # what was thought to be done is not taken back
        speed = (self._encoded + parts) / self.seconds if self.seconds > 0 else 0.0
        told = round(eta, 1) if self._total else None
        at = round(self._reached, 1), self._total, round(speed, 2), told, self.bytes, round(self.seconds, 2)
        self.tell(Encoding(stage, index, *at))
