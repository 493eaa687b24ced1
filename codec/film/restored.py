"""An .nvc film as the source of another: its pictures are restored and checked first, its other tracks copied as they
are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Self

from ..errors import FormatError, InputError
from ..frames import Frame
from ..limits import DEFAULT, Limits
from ..media.clock import FileClock
from ..media.source import Source
from .film import Film


class Restored(Source):
    """The film that an .nvc file restores, within `limits`; `device` is where its heads run. What does not decode
    exactly is damage: under `best_effort` the upscaled base takes its place, and `exact` is False from then on."""

    exact = True

    def __init__(
        self,
        path: str,
        threads: int = 0,
        best_effort: bool = False,
        limits: Limits = DEFAULT,
        device: str = "auto",
    ):
        super().__init__(path, best_effort)
        self._limits, self._device = limits, device
        try:
            self._film = Film(path, best_effort=best_effort, device=device, threads=threads, limits=limits)
            begin = self._film.begin
        except FormatError as error:
            raise InputError(str(error)) from None
        self.info = self._film.info
        self.clock = FileClock(origin=min(begin, Fraction(0)))
        self.notes.append(f"{self.name} is an .nvc film; its restored pictures are encoded")

    def close(self) -> None:
        """Nothing is held open."""

    def _reopened(self, threads: int) -> Self:
        # networks have the threads of this process, which another reader shares
        return type(self)(self.path, self._film.threads, self.best_effort, self._limits, self._device)

    def since(self, start: Fraction) -> Iterator[Frame]:
        shift = round(self.origin / self.info.time_base)
        try:
            for frame in self._film.frames(start + self.origin):
                yield replace(frame, pts=frame.pts - shift)
        except FormatError as error:
            raise InputError(str(error)) from None

    def _frames(self) -> Iterator[Frame]:
        shift = round(self.origin / self.info.time_base)
        problems, known = self._film.problems, 0
        try:
            for frame in self._film.frames():
                if len(problems) > known:
                    self.notes += problems[known:]
                    self.exact, known = False, len(problems)
                yield replace(frame, pts=frame.pts - shift)
        except FormatError as error:
            raise InputError(str(error)) from None
        finally:
            self.notes += problems[known:]
