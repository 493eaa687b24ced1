"""What a decoder may take on the word of a file: checked before anything is allocated, and what a user can raise.

    codec.open("film.nvc", limits=Limits(max_memory=8 << 30))
    codec decode film.nvc film.mkv --max-memory 8GiB

A header tells how large a picture is and what has to be computed for it; from that `film_memory` and `still_memory`
tell how much memory a decoder takes at most. Their constants are measured: `python -m bench.memory` (bench/NOTES.md,
"Limits of memory"). Memory grows with the picture alone, never with the length of a film.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from heads.planes import channels_of

from .errors import FormatError
from .payload import (
    LOSS_BOUNDED,
    LOSS_LEARNED,
    LOSS_OFF,
    LOSS_TRANSFORM,
    NO_HEAD,
    PIXELS_MAX,
    SegmentHeader,
)
from .resample import BASE_MIN, base_size
from .still_payload import ALPHA, GUIDED, StillHeader
from .still_payload import NO_HEAD as STILL_NO_HEAD

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

    @property
    def base_pixels(self) -> int:
        """Luma samples of a film's base, before a header has told more: never more than the film has, but a base has a
        least size."""
        return max(min(self.film_pixels, PIXELS_MAX, self.film_memory // BASE), BASE_MIN**2)


DEFAULT = Limits()

# bytes a luma sample, except where said otherwise; rounded up from what `python -m bench.memory` measured
FIXED = 64 << 20  # bytes: heads, tables, what each thread needs
BASE = 72  # of the base: dav1d's 8 references and what its threads have under way, 3 bytes each
UPSCALED = 12  # of each plane's sample
HISTORY, SEEN = 100, 8  # motion between bases; what is kept, of each plane's sample and earlier picture
TRANSFORM, BOUNDED, LEARNED = (0, 14), (34, 26), (0, 45)  # of luma, and of each plane's sample
MOVED = 60  # a loss-stream's displaced pictures: blocks with what their filters reach, in float32
BAND_ROWS, BAND_CELL = 96, 768  # rows of cells of a band with those around it; bytes of a cell in all layers
STILL, STILL_HEAD, STILL_EXACT, STILL_GUIDED, STILL_DEEP = 36, 44, 56, 70, 20


def film_memory(header: SegmentHeader, best_effort: bool = False) -> int:
    """Bytes that decoding a segment takes at most; under `best_effort` bases are kept with their pictures."""
    full = header.width * header.height
    base = prod(base_size(header.width, header.height, header.scale))
    samples = header.format.frame_bytes(header.width, header.height) // header.format.dtype.itemsize / full
    held = min(header.group, header.frames) + 1
    memory = FIXED + base * (BASE + 3 * held * best_effort)
    memory += held * header.format.frame_bytes(header.width, header.height)
    each = UPSCALED * samples
    if header.head_kind != NO_HEAD:
        planes = channels_of(header.format.chroma)
        each += 2 * (planes * (1 + 2 * header.history) + 1) + 3.5 * header.head_width + 2 * planes
        each += HISTORY + SEEN * samples * header.history if header.history else 0
    if header.loss_kind != LOSS_OFF:
        luma, any_plane = {LOSS_TRANSFORM: TRANSFORM, LOSS_BOUNDED: BOUNDED, LOSS_LEARNED: LEARNED}[header.loss_kind]
        each += luma + any_plane * samples + MOVED
    return memory + round(full * each)


def still_memory(header: StillHeader) -> int:
    """Bytes that decoding a still takes at most."""
    each = STILL + STILL_DEEP * (header.depth > 8)
    band = 0
    if header.head != STILL_NO_HEAD:
        each += STILL_HEAD
        # its layers see one band of cells at a time, which in a flat picture is the whole
        band = -(-header.width // 2) * min(-(-header.height // 2), BAND_ROWS) * BAND_CELL
    if header.bounded or header.alpha == ALPHA:
        each += STILL_GUIDED if header.bounded == GUIDED else STILL_EXACT
    return FIXED + band + max(header.width, BASE_MIN) * max(header.height, BASE_MIN) * each


def check_film(header: SegmentHeader, limits: Limits, best_effort: bool = False) -> None:
    """Raise FormatError where a segment is beyond the limits."""
    _check(header, limits.film_pixels, film_memory(header, best_effort), limits.film_memory)


def check_still(header: StillHeader, limits: Limits) -> None:
    """Raise FormatError where a still is beyond the limits."""
    _check(header, limits.still_pixels, still_memory(header), limits.still_memory)


def _check(header: SegmentHeader | StillHeader, pixels: int, needed: int, memory: int) -> None:
    size = f"{header.width}x{header.height}"
    if header.width * header.height > pixels:
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
