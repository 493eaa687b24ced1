"""Pictures as planes: the one form in which samples travel through the codec.

A frame is a tuple of 2-D arrays, luma first, then U and V where there is chroma; uint8 for 8-bit sources and
uint16 for 10-bit ones. Chroma planes of odd-sized pictures are rounded up, as in libav. Nothing here filters,
scales or converts a sample: what goes in comes out.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[Any]  # uint8 or uint16, (rows, columns)
Planes = tuple[Plane, ...]  # of one picture: luma, then U and V where there is chroma

# chroma name -> (horizontal, vertical) subsampling; None where there is no chroma
SUBSAMPLING: dict[str, tuple[int, int] | None] = {"400": None, "420": (2, 2), "422": (2, 1), "444": (1, 1)}
# where a chroma sample lies among the luma samples that it stands for, by libav's name -> ChromaLocType of H.273, and 1
CHROMA_PLACES = {"left": 1, "center": 2, "topleft": 3, "top": 4}


@dataclass(frozen=True)
class PlaneFormat:
    """Chroma layout ("400", "420", "422", "444") and bits per sample (8 or 10)."""

    chroma: str = "420"
    depth: int = 8

    def __post_init__(self) -> None:
        if self.chroma not in SUBSAMPLING or self.depth not in (8, 10):
            raise ValueError(f"no such plane format: {self.chroma}, {self.depth} bits")

    @property
    def peak(self) -> int:
        """Largest sample value."""
        return (1 << self.depth) - 1

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.uint8 if self.depth == 8 else np.uint16)

    @property
    def av_name(self) -> str:
        """libav's name of this format, e.g. "yuv420p10le"."""
        stem = "gray" if self.chroma == "400" else f"yuv{self.chroma}p"
        return stem + ("" if self.depth == 8 else "10le")

    @classmethod
    def from_av_name(cls, name: str) -> PlaneFormat | None:
        """The format whose planes equal libav's `name` sample for sample, or None."""
        name = name.replace("yuvj", "yuv")
        for chroma in SUBSAMPLING:
            for depth in (8, 10):
                if cls(chroma, depth).av_name == name:
                    return cls(chroma, depth)
        return None

    def shapes(self, width: int, height: int) -> list[tuple[int, int]]:
        """(rows, columns) of every plane of a width x height picture."""
        sub = SUBSAMPLING[self.chroma]
        chroma = [] if sub is None else [(-(-height // sub[1]), -(-width // sub[0]))] * 2
        return [(height, width), *chroma]

    def frame_bytes(self, width: int, height: int) -> int:
        """Bytes of one uncompressed picture."""
        return sum(h * w for h, w in self.shapes(width, height)) * self.dtype.itemsize


class Colour(NamedTuple):
    """Code points of ITU-T H.273 for primaries, transfer and matrix (2 = unspecified), and libav's range
    (0 unspecified, 1 limited, 2 full)."""

    primaries: int = 2
    transfer: int = 2
    matrix: int = 2
    range: int = 0


@dataclass(frozen=True)
class VideoInfo:
    """What is true of a whole track. `time_base` is the unit of every pts, in seconds."""

    width: int
    height: int
    format: PlaneFormat
    time_base: Fraction
    rate: Fraction  # average frames per second
    sar: Fraction = Fraction(1)  # sample aspect ratio
    colour: Colour = Colour()
    chroma_place: str = ""  # one of CHROMA_PLACES, empty = not told, and where every luma sample has its own chroma
    display_matrix: tuple[int, ...] = ()  # nine 16.16 / 2.30 fixed-point numbers, empty = identity
    side_data: dict[str, bytes] = field(default_factory=dict)  # HDR: "mastering", "content_light" (libav structs)
    frames: int = 0  # 0 = unknown
    duration: Fraction = Fraction(0)  # seconds, 0 = unknown


@dataclass(frozen=True)
class Frame:
    """One picture. `pts` and `duration` (0 = unknown) are in the track's time base; `messages`: what belongs to it as
    ITU-T T.35 has it (`codec.wire.t35`)."""

    planes: Planes
    pts: int
    duration: int = 0
    messages: tuple[bytes, ...] = ()


def checksum(planes: Sequence[Plane], crc: int = 0) -> int:
    """CRC-32 of the samples of a picture, row by row, plane by plane, 10-bit samples as 16 bits little-endian;
    `crc` continues the checksum of the picture before it in the same group."""
    for plane in planes:
        crc = zlib.crc32(np.ascontiguousarray(plane, plane.dtype.newbyteorder("<")).data, crc)
    return crc


def joined(crc: int, other: int, size: int) -> int:
    """CRC-32 of some bytes with checksum `crc` and, behind them, `size` bytes with checksum `other`: those of pictures
    that are computed side by side become that of their group."""
    return _product(_shift(size), crc) ^ other


_CRC = 0xEDB88320  # polynomial of CRC-32 over two elements, like all of them here the highest bit being that of x^0


def _product(a: int, b: int) -> int:
    """Of two polynomials, by that of CRC-32."""
    product = 0
    for bit in range(31, -1, -1):
        product ^= b if a >> bit & 1 else 0
        b = b >> 1 ^ (_CRC if b & 1 else 0)
    return product


@lru_cache(16)
def _shift(size: int) -> int:
    """What a checksum is multiplied by where `size` bytes follow: x to the number of their bits."""
    shift, power = 1 << 31, 1 << 31 - 8
    while size:
        shift = _product(power, shift) if size & 1 else shift
        power, size = _product(power, power), size >> 1
    return shift


def folds_of(chroma: str) -> list[tuple[int, int]]:
    """Fold of each plane for a chroma layout "400", "420", "422" or "444"."""
    sub = SUBSAMPLING[chroma]
    return [(2, 2), *([] if sub is None else [(2 // sub[1], 2 // sub[0])] * 2)]


def channels_of(chroma: str) -> int:
    """Packed planes of a picture: 4, 6, 8 or 12."""
    return sum(r * c for r, c in folds_of(chroma))
