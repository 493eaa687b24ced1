"""Films to be encoded, as pictures one after the other, exactly as their decoder gives them.

    with open_source("film.mp4") as source:
        for frame in source.frames():
            ...

`Source` is what every kind of film has in common; `Demuxed` is one that libav reads.

Invariants: frames come in presentation order with strictly increasing pts in `info.time_base`; the planes are the
source's own samples wherever `source.exact`; everything that is not kept is a sentence in `source.notes`. Every fault
raises InputError; no libav exception passes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from fractions import Fraction
from types import TracebackType
from typing import Self

from ..errors import InputError, SourceDamaged
from ..frames import Frame, VideoInfo
from .clock import FileClock
from .files import is_pipe, named
from .identity import Identity


class Source(ABC):
    """An open film. A context manager.

    Attributes:
        path: as it was given; "-" for standard input. identity: that of its file.
        info: VideoInfo; `frames` and `duration` are what the container claims, an estimate.
        exact: whether the planes are the source's own samples, with nothing (such as alpha) left out.
        notes: sentences about what is not kept; more may be added while frames are read.
        clock: the file's, by which the film's other streams come to their times; frames are told on the film's own.
        accompanied: whether sound and other tracks can be read from its file, beside the pictures.
        until: seconds on the film's clock, where sound has to end with pictures that end too early; None where they do
            not, as it is until all frames are read.
    """

    info: VideoInfo
    exact: bool
    clock = FileClock()
    until: Fraction | None = None

    def __init__(self, path: str, best_effort: bool):
        self.path = path
        self.best_effort = best_effort
        self.notes: list[str] = []
        self.identity = Identity(path)

    @property
    def origin(self) -> Fraction:
        """Seconds on the file's clock where the film's begins."""
        return self.clock.origin

    @property
    def name(self) -> str:
        """What sentences call the film."""
        return named(self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def accompanied(self) -> bool:
        return not is_pipe(self.path)

    @abstractmethod
    def close(self) -> None:
        """Let go of the file."""

    def frames(self) -> Iterator[Frame]:
        """Every picture, once. Raises SourceChanged where the file changes meanwhile, SourceDamaged where the film is
        damaged or changes size, but under `best_effort` goes on behind damage, and ends where that is no longer
        possible; what is left out is noted."""
        end = 0
        try:
            for frame in self._frames():
                yield frame
                end = frame.pts + (frame.duration or max(1, round(1 / (self.info.rate * self.info.time_base))))
        except InputError as fault:
            self.identity.check()  # a file that was changed is another fault
            if not self.best_effort:
                raise SourceDamaged(str(fault)) from None
            self.until = end * self.info.time_base
            self.notes.append(f"{fault}; the film is kept up to there")
        self.identity.check()

    def since(self, start: Fraction) -> Iterator[Frame]:
        """The pictures that are shown from `start` seconds on, by a reading of their own; `notes` are those of another.
        Raises what `again` and `frames` raise."""
        with self.again(1) as film:
            yield from (frame for frame in film.frames() if frame.pts * film.info.time_base >= start)

    @abstractmethod
    def _frames(self) -> Iterator[Frame]:
        """Every picture; whatever is wrong with the film is an InputError."""

    @abstractmethod
    def _reopened(self, threads: int) -> Self:
        """The same path as a film of its own."""

    def again(self, threads: int) -> Self:
        """The film, opened once more for another reader. Raises SourceChanged where it is no longer the same."""
        other = self._reopened(threads)
        try:
            self.identity.check()
        except BaseException:
            other.close()
            raise
        other.identity = self.identity
        return other
