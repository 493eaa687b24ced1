"""Animated WebP and PNG as films; those of other kinds libav reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from fractions import Fraction
from itertools import chain
from typing import IO, Self

from ..errors import InputError
from ..frames import Frame, Plane, VideoInfo
from ..limits import DEFAULT, Limits
from .animations import is_animated_webp
from .apng import Apng
from .canvas import UNTOLD, Animation, frame_of
from .conversion import Conversion
from .files import STDIN, opened
from .libav import faults_as
from .png import SIGNATURE
from .source import Source
from .timeline import LONGEST_STEP, clock
from .webp import WebpAnimation


class Animated(Source):
    """The film that an animated WebP or PNG is. What is larger than `limits` allow is refused before it is decoded."""

    def __init__(self, path: str, best_effort: bool = False, limits: Limits = DEFAULT):
        super().__init__(path, best_effort)
        self._limits = limits
        self._file: IO[bytes] = opened(path)
        try:
            animation = self._begun()
            self._header = animation.header
            self._shown = animation.pictures()
            samples, ticks = next(self._shown)
            with self._converting():
                picture = frame_of(samples, self._header.layout)
                self._conversion = Conversion(picture, self._header.colour)
                self._first: tuple[tuple[Plane, ...], int] | None = self._conversion.planes(picture), ticks
        except BaseException:
            self.close()
            raise
        self.exact = self._conversion.exact
        self.notes += self._conversion.notes
        self.notes += [f"not kept: {text}" for text in self._header.lost]
        self.info = self._described(ticks)

    @property
    def accompanied(self) -> bool:
        return False

    def close(self) -> None:
        if self.path != STDIN:
            self._file.close()

    def _reopened(self, threads: int) -> Self:
        return type(self)(self.path, self.best_effort, self._limits)

    def _begun(self) -> Animation:
        """The animation, its header read."""
        head = self._file.peek(32) if hasattr(self._file, "peek") else b""
        if is_animated_webp(head):
            return WebpAnimation(self._file, self.name, self._limits)
        if head.startswith(SIGNATURE):
            return Apng(self._file, self.name, self._limits)
        raise InputError(f"{self.name} is no animated WebP or PNG")

    def _described(self, ticks: int) -> VideoInfo:
        """VideoInfo, with a first picture that lasts so many ticks."""
        header = self._header
        rate = 1 / self._seconds(ticks)
        if header.frames and header.ticks:
            rate = Fraction(header.frames) / (header.ticks * header.tick)
        return VideoInfo(
            width=header.width,
            height=header.height,
            format=self._conversion.format,
            time_base=header.tick,
            rate=rate,
            sar=header.sar,
            colour=self._conversion.colour,
            frames=header.frames,
            duration=header.ticks * header.tick,
        )

    def _converting(self) -> AbstractContextManager[None]:
        return faults_as(InputError, f"a picture of {self.name} cannot be converted")

    def _seconds(self, ticks: int) -> Fraction:
        return ticks * self._header.tick or UNTOLD

    def _converted(self) -> Iterator[tuple[tuple[Plane, ...], int]]:
        """Planes and ticks of the pictures behind the first."""
        for samples, ticks in self._shown:
            with self._converting():
                planes = self._conversion.planes(frame_of(samples, self._header.layout))
            yield planes, ticks

    def _frames(self) -> Iterator[Frame]:
        if self._first is None:
            raise InputError(f"the pictures of {self.name} have been read already; open it again")
        tick, pts, untold = self._header.tick, 0, 0
        shown, self._first = chain([self._first], self._converted()), None
        try:
            for planes, ticks in shown:
                duration = ticks or round(UNTOLD / tick)
                untold += not ticks
                if duration * tick.numerator > LONGEST_STEP:
                    raise InputError(f"{self.name} shows the picture at {clock(pts, tick)} longer than any MP4 can")
                yield Frame(planes, pts, duration)
                pts += duration
        except InputError as fault:
            raise InputError(f"{fault} at {clock(pts, tick)}") from None
        finally:
            if untold:
                times = "a picture has" if untold == 1 else f"{untold} pictures have"
                self.notes.append(f"{times} no duration; {float(UNTOLD):g} s are taken, as browsers do")
