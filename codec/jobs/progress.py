"""How far an encode is, told by any number of lanes."""

from __future__ import annotations

import threading
import time

from ..events import Encoding, Event, Listener, Note, SegmentDone, SegmentStats, Stage
from ..segment.encoder import Segment
from ..segment.payload import SegmentHeader, film_memory

STAGES = {"scale": (0.0, 0.1), "base": (0.0, 0.4), "head": (0.4, 0.85), "restore": (0.85, 1.0)}


class Progress:
    """How far an encode is, told by any number of lanes (it is their `codec.jobs.lanes.Watcher`). `total`: pictures, 0
    where that is not known."""

    def __init__(self, total: int, listen: Listener):
        self._total, self._listen = total, listen
        self._began = time.monotonic()
        self._lock = threading.RLock()
        self._under_way: dict[int, float] = {}  # pictures' worth of work done, by segment
        self._reached = 0.0
        self.stats: dict[int, SegmentStats] = {}
        self.bytes = 0
        self.hardest: SegmentHeader | None = None  # of the segment that takes most memory to decode

    @property
    def frames(self) -> int:
        """Pictures in finished segments."""
        return sum(s.frames for s in self.stats.values())

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def tell(self, event: Event) -> None:
        with self._lock:
            self._listen(event)

    def lost(self, text: str) -> None:
        self.tell(Note(text))

    def under_way(self, index: int, frames: int, stage: Stage) -> None:
        low, high = STAGES[stage.stage]
        with self._lock:
            if index in self.stats:
                return  # told late, by way of a network
            self._under_way[index] = frames * (low + (high - low) * stage.done)
            self._show(index, stage.stage)

    def finished(self, index: int, segment: Segment) -> None:
        with self._lock:
            self._under_way.pop(index, None)
            self.stats[index] = segment.stats
            self.hardest = max(self.hardest or segment.header, segment.header, key=film_memory)
            self.bytes += sum(len(u.data) + sum(map(len, u.payloads)) for u in segment.units)
            self.tell(SegmentDone(index, segment.stats))
            self._show(index, "segment")

    def _show(self, index: int, stage: str) -> None:
        frames = self.frames + sum(self._under_way.values())
        frames = self._reached = max(frames, self._reached)  # a stage that is run again is no step back
        speed = frames / self.seconds if self.seconds > 0 else 0.0
        total = max(self._total, 0)
        eta = round((total - frames) / speed, 1) if total > frames and speed > 0 else None
        now = round(frames, 1), total, round(speed, 2), eta, self.bytes, round(self.seconds, 2)
        self.tell(Encoding(stage, index, *now))
