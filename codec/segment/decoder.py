"""One segment from temporal units to checked pictures: the mirror of `codec.segment.encoder`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import DamageError
from ..frames import Plane
from ..wire.obu import TemporalUnit

AHEAD = 512  # units that the base decoder may take before it shows the first one's picture; its threads need some


@dataclass
class Decoded:
    pts: int
    duration: int
    base: list[Plane]  # kept under best effort only
    output: list[Plane]


class SegmentUnits:
    """The temporal units of one segment: streamed to the base decoder, payloads and durations kept by pts until the
    picture comes out. Raises DamageError where too many pictures, or `held` bytes of payloads, are waited for."""

    def __init__(self, first: TemporalUnit, rest: Iterator[TemporalUnit], held: int):
        self.first = self.last = first
        self._room = held
        self._rest = rest
        self._payloads: dict[int, tuple[bytes, ...]] = {}
        self._durations: dict[int, int] = {}
        self._source = self._all()

    def _all(self) -> Iterator[TemporalUnit]:
        yield self.first
        yield from self._rest

    def stream(self) -> Iterator[tuple[bytes, int]]:
        for unit in self._source:
            self.last = unit
            found = unit.payloads[1:] if unit is self.first else unit.payloads
            self._payloads[unit.pts] = found
            self._durations[unit.pts] = unit.duration
            self._room -= sum(map(len, found))
            if self._room < 0 or len(self._durations) > AHEAD:
                raise DamageError(f"the base shows no picture for {len(self._durations)} units", unit.pts)
            yield unit.data, unit.pts

    def residual(self, pts: int) -> tuple[bytes, ...]:
        """Payloads of the picture at `pts`, the segment header left out."""
        found = self._payloads.pop(pts, ())
        self._room += sum(map(len, found))
        return found

    def duration(self, pts: int) -> int:
        return self._durations.pop(pts, 0)

    def drain(self) -> None:
        """Read past what is left."""
        for unit in self._source:
            self.last = unit


def by_segment(units: Iterator[TemporalUnit], held: int) -> Iterator[SegmentUnits]:
    """Group units by keyframe; each group must be used up before the next is asked for. `held`: see `_Units`."""
    following = next(units, None)
    while following is not None:
        first, following = following, None

        def rest() -> Iterator[TemporalUnit]:
            nonlocal following
            for unit in units:
                if unit.keyframe:
                    following = unit
                    return
                yield unit

        group = SegmentUnits(first, rest(), held)
        yield group
        group.drain()
