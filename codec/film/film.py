"""An .nvc file opened for decoding: seeking, limits, and what becomes of damage.

    file ──FilmReader──> temporal units ──by_segment──> segments ──SegmentDecoder──> checked pictures

No picture leaves before the checksum of its group was compared. What does not decode exactly raises DamageError; with
`best_effort` the base picture, upscaled by the fixed filter, takes its place and a sentence goes to `problems`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from math import ceil

from ..errors import DamageError, FormatError
from ..frames import Frame
from ..limits import DEFAULT, Limits
from ..machine import device_of, use_threads
from ..segment.decoder import FilmContext, SegmentDecoder
from ..segment.head import CHAIN, Head
from ..segment.units import by_segment
from ..wire.obu import TemporalUnit
from .contents import Contents


class Film(Contents):
    """An .nvc file opened for decoding: iterate `frames()`. Nothing is held open between calls.

    `info` describes the full-size film, `problems` what best effort has passed over. Raises FormatError where the file
    is not one of ours, is damaged at its beginning, or claims what is beyond `limits`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        best_effort: bool = False,
        device: str = "auto",
        threads: int = 0,
        limits: Limits = DEFAULT,
    ):
        self.device, self.threads = device_of(device), threads
        use_threads(threads)
        self.problems: list[str] = []
        super().__init__(path, limits, best_effort)
        self._context = FilmContext(
            self.first, limits, best_effort, self.device, threads, earlier=self._earlier, fault=self._fault
        )

    def frames(self, start: Fraction | None = None, duration: Fraction | None = None) -> Iterator[Frame]:
        """Pictures in order, from time `start` for `duration` (seconds on the film's clock); all by default.

        Planes are fresh arrays in `info.format`. Raises DamageError, or notes the damage under `best_effort`; damage
        before `start` or behind the end is not looked for.
        """
        end = None if duration is None else (start or Fraction(0)) + duration
        since, until = self._pts(start), self._pts(end)
        known: Head | None = None
        chain = CHAIN  # after a seek; later the segment before has just been read
        for units in by_segment(self._units(start), self.limits.film_memory):
            if until is not None and units.first.pts >= until:
                return
            segment = SegmentDecoder(self._context, units, known, chain)
            known, chain = segment.head, 0
            for picture in segment.pictures(since, until):
                yield Frame(tuple(picture.output), picture.pts, picture.duration, picture.messages)
            if segment.over:
                return

    def _pts(self, time: Fraction | None) -> int | None:
        """The first pts that is not before `time`."""
        return None if time is None else ceil(time / self.info.time_base)

    def _units(self, start: Fraction | None) -> Iterator[TemporalUnit]:
        """The file's units; under `best_effort`, what cannot be read is noted."""
        if not self.best_effort:
            yield from self._reader.units(start)
            return
        try:
            yield from self._reader.units(start, lambda error: self.problems.append(str(error)))
        except FormatError as error:
            self.problems.append(f"{error}; what follows is lost")

    def _earlier(self, pts: int) -> TemporalUnit | None:
        """The first unit of the segment before the one at `pts`."""
        unit = next(self._reader.units((pts - 1) * self.info.time_base), None)
        return unit if unit and unit.pts < pts else None

    def _fault(self, pts: int, what: str, rest: str) -> None:
        """Raise DamageError, or note the damage and what becomes of the rest of the segment, and go on."""
        text = f"{self.place(pts)}: {what}"
        if not self.best_effort:
            raise DamageError(text, pts)
        self.problems.append(f"{text}; from here on the segment {rest}")
