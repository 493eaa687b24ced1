"""An .nvc file opened for decoding: seeking, limits, and what becomes of damage.

    file ──FilmReader──> temporal units ──OpenSegment──> base pictures   a thread that reads ahead
         ──restored──> predictions                                       the threads of networks, side by side
         ──SegmentDecoder──> checked pictures                            a thread ahead of whoever asks for them

With one thread for networks, all of it happens where pictures are asked for, one after another.

No picture leaves before the checksum of its group was compared. What does not decode exactly raises DamageError; with
`best_effort` the base picture, upscaled by the fixed filter, takes its place and a sentence goes to `problems`.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import closing
from fractions import Fraction
from math import ceil
from typing import TypeVar

from ..errors import DamageError, FormatError
from ..frames import Frame
from ..limits import DEFAULT, Limits
from ..machine import device_of, threads_here, use_threads
from ..pipeline import ahead
from ..segment.decoder import checked, size_of
from ..segment.head import CHAIN, Head
from ..segment.opened import BasePicture, Fault, FilmContext, OpenSegment, SegmentEnd
from ..segment.payload import room_ahead
from ..segment.units import by_segment
from ..wire.obu import TemporalUnit
from .contents import Contents

Item = TypeVar("Item")


class Film(Contents):
    """An .nvc file opened for decoding: iterate `frames()`. Nothing is held open between calls.

    `info` describes the full-size film, `problems` what best effort has passed over, `kernels` what has computed the
    restoring heads so far, such as "int8" (`heads.choice.KERNELS`). Raises FormatError where the file
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
        self.kernels: set[str] = set()
        super().__init__(path, limits, best_effort)

    def frames(self, start: Fraction | None = None, duration: Fraction | None = None) -> Iterator[Frame]:
        """Pictures in order, from time `start` for `duration` (seconds on the film's clock); all by default. Close it,
        or let go of it, to end the work before the last picture.

        Planes are fresh arrays in `info.format`. Raises DamageError, or notes the damage under `best_effort`; damage
        before `start` or behind the end is not looked for.
        """
        end = None if duration is None else (start or Fraction(0)) + duration
        since, until, threads = self._pts(start), self._pts(end), threads_here()
        read: list[str] = []
        told: list[str] = []
        context = FilmContext(
            self.first, self.limits, self.best_effort, self.device, threads,
            self._earlier, self._fault(read), self._fault(told), self.kernels,
        )  # fmt: skip
        steps = self._ahead(_after(read, self._steps(context, start, until, read)), threads)
        with closing(self._ahead(_after(told, checked(steps, since, until, threads)), threads)) as found:
            for item in found:
                if isinstance(item, Frame):
                    yield item
                elif item is not None:
                    self.problems.append(item)

    def _ahead(self, items: Generator[Item], threads: int) -> Generator[Item]:
        """The items, by a thread of their own where there is more than one."""
        return ahead(items, size_of, room_ahead(self.first, self.limits, threads)) if threads > 1 else items

    def _steps(
        self, context: FilmContext, start: Fraction | None, until: int | None, told: list[str]
    ) -> Generator[BasePicture | SegmentEnd]:
        """What is read of the film from the keyframe before `start` on, up to the segment that begins at `until`."""
        known: Head | None = None
        chain = CHAIN  # after a seek; later the segment before has just been read
        for units in by_segment(self._units(start, told), self.limits.film_memory):
            if until is not None and units.first.pts >= until:
                return
            segment = OpenSegment(context, units, known, chain)
            known, chain = segment.head, 0
            yield from segment.steps()

    def _pts(self, time: Fraction | None) -> int | None:
        """The first pts that is not before `time`."""
        return None if time is None else ceil(time / self.time_base)

    def _units(self, start: Fraction | None, told: list[str]) -> Iterator[TemporalUnit]:
        """The file's units; under `best_effort`, what cannot be read is noted."""
        if not self.best_effort:
            yield from self._reader.units(start)
            return
        try:
            yield from self._reader.units(start, lambda error: told.append(str(error)))
        except FormatError as error:
            told.append(f"{error}; what follows is lost")

    def _earlier(self, pts: int) -> TemporalUnit | None:
        """The first unit of the segment before the one at `pts`."""
        unit = next(self._reader.units((pts - 1) * self.time_base), None)
        return unit if unit and unit.pts < pts else None

    def _fault(self, told: list[str]) -> Fault:
        """Raises DamageError, or tells of the damage and what becomes of the rest of the segment, and lets it pass."""

        def fault(pts: int, what: str, rest: str) -> None:
            text = f"{self.place(pts)}: {what}"
            if not self.best_effort:
                raise DamageError(text, pts)
            told.append(f"{text}; from here on the segment {rest}")

        return fault


def _after(told: list[str], items: Generator[Item]) -> Generator[Item | str]:
    """Items, each after the sentences that were told while it was made."""
    with closing(items):
        for item in items:
            while told:
                yield told.pop(0)
            yield item
            del item
    while told:
        yield told.pop(0)
