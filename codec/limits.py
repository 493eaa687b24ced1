"""What a decoder may take on the word of a file: checked before anything is allocated, and what a user can raise.

    codec.open("film.nvc", limits=Limits(max_memory=8 << 30))
    codec decode film.nvc film.mkv --max-memory 8GiB

A header tells how large a picture is and what has to be computed for it; from that `film_memory` and `still_memory`
tell how much memory a decoder takes at most. Their constants are measured: `bench check memory` (bench/NOTES.md,
"Limits of memory"). Memory grows with the picture alone, never with the length of a film.
"""

from __future__ import annotations

from dataclasses import dataclass

from .errors import FormatError
from .wire.fields import PIXELS_MAX

FILM_PIXELS, FILM_MEMORY = 1 << 26, 16 << 30  # twice an 8K film's pictures; what one with head and loss-stream takes
STILL_PIXELS, STILL_MEMORY = PIXELS_MAX, 24 << 30  # the largest of the format, lossless: it is but one picture


@dataclass(frozen=True)
class Limits:
    """max_pixels: luma samples of a picture; max_memory: bytes that decoding may take beside the program itself, the
    file and its index. None is FILM_PIXELS and FILM_MEMORY for films, STILL_PIXELS and STILL_MEMORY for stills."""

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
    def still_memory(self) -> int:
        """Bytes for a still picture."""
        return STILL_MEMORY if self.max_memory is None else self.max_memory


DEFAULT = Limits()

FIXED = 64 << 20  # bytes: heads, tables, what each thread needs


def check(width: int, height: int, pixels: int, needed: int, memory: int) -> None:
    """Raise FormatError where a picture has more samples than `pixels`, or takes more bytes than `memory`."""
    size = f"{width}x{height}"
    if width * height > pixels:
        raise FormatError(f"a picture of {size} is claimed, more than {pixels:,} samples; --max-pixels raises that")
    if needed > memory:
        raise FormatError(
            f"a picture of {size}, coded as is claimed, may take {_amount(needed)} of memory to decode, more than "
            f"{_amount(memory)}; --max-memory raises that"
        )


def _amount(size: int) -> str:
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit:
            return f"{size / unit:.4g} {name}"
    return f"{size} bytes"
