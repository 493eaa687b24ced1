"""What a film holds, in words that any reader can fill in: pictures, sound, subtitles, chapters, attachments.

Times are seconds as the file has them; `FilmReading.origin` is the time of the earliest picture, from which films are
compared. A reading knows nothing of the codec under test: `programs` makes it with ffprobe and ffmpeg, `plainly` with
PyAV where those are not installed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

Time = Fraction  # seconds


class Unreadable(Exception):
    """The judge cannot read a file."""


@dataclass(frozen=True)
class Shown:
    """A picture: when it is shown (None: the file does not say), how long the container says (0 = it does not), and the
    CRC-32 of its samples."""

    time: Time | None
    duration: Time
    crc: int


@dataclass(frozen=True)
class Sound:
    """A track of sound, decoded: time and samples of every frame as decoded; `wave`: all samples as 64-bit floats,
    channels interleaved; `coded`: CRC-32 that tells whether packets are the same."""

    codec: str
    rate: int
    channels: int
    tick: Time
    packets: int
    frames: tuple[tuple[Time, int], ...]
    wave: bytes
    coded: int

    @property
    def samples(self) -> int:
        return sum(count for _, count in self.frames)


@dataclass(frozen=True)
class Line:
    """A subtitle."""

    start: Time
    end: Time
    text: str


@dataclass(frozen=True)
class Texts:
    """A track of subtitles; no lines where they are no text."""

    codec: str
    tick: Time
    packets: int
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class FilmReading:
    """A whole film. `colour`: range, matrix, transfer, primaries as the judge names them; `turn`: the nine numbers of
    its display matrix, empty where it is shown as it is coded."""

    width: int
    height: int
    pix_fmt: str
    sar: Fraction
    turn: tuple[int, ...]
    colour: tuple[str, ...]
    chroma_place: str
    tick: Time
    pictures: tuple[Shown, ...]
    sounds: tuple[Sound, ...] = ()
    subtitles: tuple[Texts, ...] = ()
    chapters: tuple[Line, ...] = ()
    attachments: int = 0
    covers: int = 0
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def origin(self) -> Time:
        """When the earliest picture is shown."""
        return min((one.time for one in self.pictures if one.time is not None), default=Fraction(0))

    @property
    def length(self) -> Time:
        """Seconds from the earliest picture to the end of the last."""
        ends = (one.time + one.duration for one in self.pictures if one.time is not None)
        return max(ends, default=self.origin) - self.origin

    @property
    def timed(self) -> bool:
        """Whether the file says when each picture is shown."""
        return all(one.time is not None for one in self.pictures)


Reader = Callable[[Path, str | None], FilmReading]  # the path, and the pixel format that samples are taken in


def find_reader() -> tuple[str, Reader]:
    """The judge that there is: its name, and what reads a film."""
    from . import plainly, programs

    if version := programs.version():
        return version, programs.read
    return f"PyAV {plainly.version()}", plainly.read
