"""The film that an .nvc file restores, as a file to be read by ranges: who reads at a picture has the decoder start
there, and its pictures are decoded as they are taken."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from threading import Condition
from typing import Any

import numpy as np

from ..errors import FormatError
from ..events import Listener, Problem, once_each, silent
from ..film.film import Film
from ..frames import Frame
from ..machine import use_threads
from ..wire.uncompressed import SECOND, TIME_MAX, UncompressedFilm
from .resources import Piece, Resource, State

DECODERS = 2  # at a time: one for the reader that is about to leave, one for where it goes


class RestoredFilm(Resource):
    """Exact pictures in Matroska, at the times that they have in the file.

    Under `film.best_effort` what is damaged is shown as `Film` shows it, a picture that is lost by the one before it;
    `listen` is told of both.

    Attributes:
        shift: seconds that pictures are late by, against the file's clock: more than 0 where that begins below 0.
        fault: what has ended the film before its end, None where nothing has; of any kind, memory that ran out among
            them.
    """

    def __init__(self, film: Film, listen: Listener = silent):
        """Raises FormatError where the file cannot be read, or has times that no player could keep."""
        self.fault: Exception | None = None
        self._film, self._listen = film, once_each(listen)
        self._times = film.times()
        base = film.info.time_base
        if not self._times:
            raise FormatError(f"{film.path} has no pictures")
        late = max(-self._times[0], 0)
        self.shift = late * base
        whole, part = 2 * base.numerator * SECOND, 2 * base.denominator  # integers: there may be a million times
        times = [((t + late) * whole + base.denominator) // part for t in self._times]
        if times[-1] > TIME_MAX or any(b <= a for a, b in pairwise(times)):
            raise FormatError(f"{film.path}: its times do not rise, or go beyond what a player can keep")
        self._file = UncompressedFilm(film.info, times)
        self._turns = Condition()
        self._running, self._last = 0, 0

    def state(self) -> State:
        return State("video/x-matroska", self._file.size)

    def parts(self, state: State, begin: int, end: int) -> Iterator[Piece]:
        header = self._file.header
        if begin < len(header):
            yield header[begin:end]
            begin = len(header)
        if begin < end:
            number, skipped = self._file.picture_at(begin)
            with self._turn() as mine:
                if mine:
                    yield from _cut(self._samples(number), skipped, end - begin)

    @contextmanager
    def _turn(self) -> Iterator[bool]:
        """Wait for a decoder; False where somebody has come since, who is where the player has gone meanwhile."""
        with self._turns:
            self._last += 1
            number = self._last
            self._turns.notify_all()
            self._turns.wait_for(lambda: self._running < DECODERS or number != self._last)
            mine = number == self._last
            self._running += mine
        try:
            yield mine
        finally:
            with self._turns:
                self._running -= mine
                self._turns.notify_all()

    def _samples(self, number: int) -> Iterator[Piece]:
        """The clusters from picture `number` on, in pieces."""
        with closing(self._pictures(number)) as pictures:
            for at, frame in enumerate(pictures, number):
                yield self._file.head_of(at)
                for plane in frame.planes:
                    rows = np.ascontiguousarray(plane, plane.dtype.newbyteorder("<"))
                    yield rows.reshape(-1).view(np.uint8).data

    def _pictures(self, number: int) -> Generator[Frame]:
        """The picture for each of the times from `number` on, as far as there are any."""
        film, known = self._film, len(self._film.problems)
        last: Frame | None = None
        use_threads(film.threads)  # torch counts them for each thread that asks
        try:
            frames: Any = film.frames(self._times[number] * film.info.time_base)
            with closing(frames):
                for frame in frames:
                    while number < len(self._times) and self._times[number] < frame.pts:
                        yield last or frame
                        number += 1
                    if number < len(self._times) and self._times[number] == frame.pts:
                        yield frame
                        number += 1
                    last = frame
                    known = self._tell(known)
            if last is not None:
                yield from (last for _ in range(number, len(self._times)))
        except Exception as fault:  # not what ends a reader that has gone; all else is told once mpv has ended
            self.fault = fault
        finally:
            self._tell(known)

    def _tell(self, known: int) -> int:
        """Tell of the film's problems beyond those that are known; returns how many there are."""
        problems = self._film.problems
        for text in problems[known:]:
            self._listen(Problem(text))
        return len(problems)


def _cut(pieces: Iterable[Piece], skipped: int, size: int) -> Iterator[Piece]:
    """`size` bytes of what the pieces are one after the other, behind the first `skipped` ones."""
    for piece in pieces:
        part = piece[skipped : skipped + size]
        skipped = max(skipped - len(piece), 0)
        size -= len(part)
        if part:
            yield part
        if not size:
            return
