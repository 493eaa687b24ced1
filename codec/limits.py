"""What may be taken on the word of a file: checked before anything is allocated, and what a user can raise.

    codec.open("film.nvc", limits=Limits(max_memory=8 << 30))
    codec decode film.nvc film.mkv --max-memory 8GiB

A header tells how large a picture is and what has to be computed for it; from that `film_memory` and `still_memory`
tell how much memory a decoder takes at most. Their constants are measured: `bench check memory` (bench/NOTES.md,
"Limits of memory"). Memory grows with the picture alone, never with the length of a film. Palettes have a limit of
pixels of their own, for the sake of time: a few bytes can hold millions of pixels, each of which takes up to 22 µs.

Pictures that are read to be encoded or enlarged are checked by what their files' headers claim, before they are
decoded; `Work` tells what that takes.
"""

from __future__ import annotations

from dataclasses import dataclass

from .errors import FormatError, InputError
from .wire.fields import PIXELS_MAX

FILM_PIXELS, FILM_MEMORY = 1 << 26, 16 << 30  # twice an 8K film's pictures; what one with head and loss-stream takes
STILL_PIXELS, STILL_MEMORY = PIXELS_MAX, 24 << 30  # the largest of the format, lossless: it is but one picture
PALETTE_PIXELS = 1 << 24  # some minutes; larger ones are never coded so


@dataclass(frozen=True)
class Limits:
    """max_pixels: luma samples of a picture; max_memory: bytes that the work may take beside the program itself, the
    file and its index. None is FILM_PIXELS and FILM_MEMORY for films, STILL_PIXELS and STILL_MEMORY for stills, and
    PALETTE_PIXELS for stills with a palette."""

    max_pixels: int | None = None
    max_memory: int | None = None

    @property
    def film_pixels(self) -> int:
        """Luma samples of a film's picture."""
        return FILM_PIXELS if self.max_pixels is None else self.max_pixels

    @property
    def film_memory(self) -> int:
        """Bytes for a film."""
        return FILM_MEMORY if self.max_memory is None else self.max_memory

    @property
    def still_pixels(self) -> int:
        """Samples a channel of a still picture."""
        return STILL_PIXELS if self.max_pixels is None else self.max_pixels

    @property
    def palette_pixels(self) -> int:
        """Pixels of a still picture that is coded as a palette."""
        return PALETTE_PIXELS if self.max_pixels is None else self.max_pixels

    @property
    def still_memory(self) -> int:
        """Bytes for a still picture."""
        return STILL_MEMORY if self.max_memory is None else self.max_memory


DEFAULT = Limits()

FIXED = 64 << 20  # bytes: heads, tables, what each thread needs


@dataclass(frozen=True)
class Work:
    """What is done with a picture: `verb`, and the most bytes that it takes for each of its samples, about."""

    verb: str
    each: int


READING = Work("read", 32)  # 16 bits, four channels, three copies
ENCODING = Work("encode", 190)  # lossless, with alpha: bench/NOTES.md, "Limits of memory"
GAUSSIANS = Work("encode", 150)  # at 3 bits a pixel; what is known of it


def enlarging(scale: int) -> Work:
    """By a head: a tile at a time, but the result is whole, and copied where it is written."""
    return Work("enlarge", READING.each + 24 * scale * scale)


def check_source(width: int, height: int, limits: Limits, work: Work = READING) -> None:
    """Raise InputError where a picture that is to be read has too many samples, or takes too much memory."""
    needed = FIXED + width * height * work.each
    excess = _excess(width, height, limits.still_pixels, "", needed, work.verb, limits.still_memory)
    if excess:
        raise InputError(excess)


def check(width: int, height: int, pixels: int, needed: int, memory: int) -> None:
    """Raise FormatError where a picture has more samples than `pixels`, or takes more bytes than `memory`."""
    excess = _excess(width, height, pixels, ", coded as is claimed,", needed, "decode", memory)
    if excess:
        raise FormatError(excess)


def _excess(width: int, height: int, pixels: int, how: str, needed: int, verb: str, memory: int) -> str:
    """What is too much of a picture, in words; empty where nothing is."""
    size = f"{width}x{height}"
    if width * height > pixels:
        return f"a picture of {size} is claimed, more than {pixels:,} samples; --max-pixels raises that"
    if needed > memory:
        return (
            f"a picture of {size}{how} may take {_amount(needed)} of memory to {verb}, more than "
            f"{_amount(memory)}; --max-memory raises that"
        )
    return ""


def _amount(size: int) -> str:
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit:
            return f"{size / unit:.4g} {name}"
    return f"{size} bytes"
