"""The LZMA baseline: films and stills by prediction, and by nothing but a general compressor behind it.

It is what a sceptic would try first, in the best form that we found. A film may lose up to `bound` in every sample.
Memory is that of a group of pictures, whatever the length of the film. A file, numbers little-endian:

- `LZB1`, the fields of Header, `times` bytes, CRC-32 of all these. Pictures come a number of units of `unit` / `per`
  seconds after one another: one, where `times` is empty, else what it unpacks to by LZMA, 32 bits each.
- groups until there are `pictures`: the fields of Group, `bytes` bytes, CRC-32 of these and of what they decode to, its
  samples as in the codec's payloads. Nothing follows the last group.
- a group unpacks, by raw LZMA2 or zstd, to a predictor for each block of each picture, a byte each; 12 weights, 16 bits
  each, for each plane of each block that FIT predicts; then a byte for each residual, or two where levels exceed 255:
  the low one, and (residual + 128) >> 8. Order: all that is of one place and plane, picture after picture; or a
  picture after the other, and within it the planes of a block sample by sample.
- a block is what shares a predictor: luma, both chromas; of a still all colours, alpha.
- levels are what is predicted. With N = `bound`: of a sample x, (x + N) // (2 N + 1); or, with quantiser CHANGE, M plus
  the steps of N + 1 from the sample decoded before, M being the fewest that reach from 0 to the largest sample less N.
  Samples are clipped to their range; before the first picture all are 0.
- the reference of a picture are the levels of the one before it; of the first one in a group the levels that the last
  decoded picture has, or all 0 with CHANGE. Residuals are modulo 256, or 1024 where there are two bytes.
- a still's `colour` 1: red and blue are stored less green, modulo 256.

A reader trusts nothing: it unpacks no more than the pictures take, allocates planes only when as many bytes have come,
and raises BenchError for whatever does not fit.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import gcd
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from codec.errors import FormatError
from codec.frames import Frame, PlaneFormat, checksum
from codec.segment.payload import CHROMA
from codec.wire.fields import WORD_MAX, Record, check_picture, key_of, wire

from ..method import Picture
from ..process import BenchError
from .group import (
    EVERYTHING,
    WINDOW_LOG_MAX,
    Choices,
    Coder,
    Layout,
    Order,
    Packed,
    Planes,
    Quantiser,
    decoded_group,
    encoded_group,
    lzma_packed,
    lzma_unpacked,
)

MAGIC = b"LZB1"
FILM, STILL = 0, 1
BOUND_MAX = 127
GROUP_MAX = 65535  # pictures
TICKS = np.dtype("<u4")
_CRC = struct.Struct("<I")
R = TypeVar("R", bound=Record)


@dataclass(frozen=True)
class Header(Record, what="the header", order="<"):
    """What a file begins with, behind MAGIC."""

    kind: int = wire("B", FILM, STILL)
    width: int = wire("H", 1, 65535)
    height: int = wire("H", 1, 65535)
    chroma: int = wire("B", 0, 3)  # of a film, as in the codec's payloads
    depth: int = wire("B", 8, 10, reserved=(9,))
    channels: int = wire("B", 0, 4)  # of a still; 0 of a film
    colour: int = wire("B", 0, 1)
    bound: int = wire("B", 0, BOUND_MAX)
    unit: int = wire("I", 1, WORD_MAX)
    per: int = wire("I", 1, WORD_MAX)
    pictures: int = wire("I", 1, 1 << 24)
    times: int = wire("I", 0, 1 << 27)


@dataclass(frozen=True)
class Group(Record, what="a group", order="<"):
    """What a group begins with."""

    pictures: int = wire("H", 1, GROUP_MAX)
    quantiser: Quantiser = wire("B", 0, 1, of=Quantiser)
    order: Order = wire("B", 0, 1, of=Order)
    coder: Coder = wire("B", 0, 1, of=Coder)
    bytes: int = wire("I", 1, WORD_MAX)


def encode_film(
    frames: Iterable[Frame], fmt: PlaneFormat, time_base: Fraction, bound: int = 0, choices: Choices = EVERYTHING
) -> bytes:
    """A file with the pictures of a film, `pts` in `time_base`; every sample is at most `bound` off.

    Raises BenchError where there are no pictures, where they change their size, or where times do not fit.
    """
    if not 0 <= bound <= BOUND_MAX:
        raise BenchError(f"the bound is {bound}, outside 0..{BOUND_MAX}")
    groups = bytearray()
    waiting: list[Planes] = []
    last: Planes | None = None
    times: list[int] = []
    layout: Layout | None = None
    for frame in frames:
        height, width = frame.planes[0].shape
        if layout is None:
            size, layout = (width, height), Layout.of_film(width, height, fmt, bound)
        if tuple(plane.shape for plane in frame.planes) != layout.shapes:
            raise BenchError(f"picture {len(times)} is of another size than those before it")
        times.append(frame.pts)
        waiting.append(frame.planes)
        if layout.room(len(waiting) + 1, Quantiser.CHANGE) > choices.group_bytes or len(waiting) == GROUP_MAX:
            last = _write_group(groups, waiting, last, layout, choices)
            waiting = []
    if layout is None:
        raise BenchError("there are no pictures")
    if waiting:
        _write_group(groups, waiting, last, layout, choices)
    return _written_header(
        size, time_base, times,
        kind=FILM, chroma=CHROMA[fmt.chroma], depth=fmt.depth, channels=0, colour=0, bound=bound,
    ) + bytes(groups)  # fmt: skip


def encode_still(pixels: NDArray[np.uint8], choices: Choices = EVERYTHING) -> bytes:
    """A file with one picture: (rows, columns, channels), uint8, 1 to 4 channels, grey or RGB, then alpha.

    Raises BenchError for any other.
    """
    height, width, channels = pixels.shape
    if pixels.dtype != np.uint8 or not 1 <= channels <= 4:
        raise BenchError(f"{channels} channels of {pixels.dtype} are no picture of this baseline")
    layout = Layout.of_still(width, height, channels)
    found = []
    for colour in (0, 1) if channels >= 3 else (0,):
        groups = bytearray()
        planes = _less_green(_planes(pixels), colour)
        _write_group(groups, [planes], None, layout, choices)
        header = _written_header(
            (width, height), Fraction(1), [0],
            kind=STILL, chroma=0, depth=8, channels=channels, colour=colour, bound=0,
        )  # fmt: skip
        found.append(header + bytes(groups))
    return min(found, key=len)


def decode(data: bytes) -> Iterator[Picture]:
    """The pictures of a file, a group at a time in memory. Raises BenchError where the file is damaged."""
    taker = _Taker(data)
    if taker.take(len(MAGIC), "its first bytes") != MAGIC:
        raise BenchError("this is no file of the LZMA baseline")
    header = taker.record(Header)
    packed_times = taker.take(header.times, "the times of pictures")
    if _CRC.unpack(taker.take(_CRC.size, "the header"))[0] != zlib.crc32(data[: taker.at - _CRC.size]):
        raise BenchError("the header does not match its CRC-32")
    layout = _layout(header)
    ticks = _ticks(packed_times, header.pictures)
    unit, time = Fraction(header.unit, header.per), Fraction(0)
    last: Planes | None = None
    at = 0
    while at < header.pictures:
        group = _read_group(taker, header.pictures - at, last, layout)
        for planes in group:
            if at:
                time += unit * (1 if ticks is None else int(ticks[at - 1]))
            shown = _plus_green(planes, header.colour) if header.kind == STILL else planes
            yield Picture(shown, header.depth, time)
            at += 1
        last = group[-1]
    if taker.left:
        raise BenchError(f"{taker.left} bytes follow the last picture")


def _write_group(
    groups: bytearray, pictures: Sequence[Planes], last: Planes | None, layout: Layout, choices: Choices
) -> Planes:
    """Append a group; what its last picture decodes to."""
    packed, decoded = encoded_group(pictures, last, layout, choices)
    stored = packed.data
    fields = _packed(Group(len(pictures), packed.quantiser, packed.order, packed.coder, len(stored)))
    groups += fields + stored + _CRC.pack(_checksum(decoded, fields + stored))
    return decoded[-1]


def _read_group(taker: _Taker, pictures: int, last: Planes | None, layout: Layout) -> list[Planes]:
    """The pictures of the next group, of which there may be so many."""
    start = taker.at
    fields = taker.record(Group)
    count, quantiser = fields.pictures, fields.quantiser
    if count > pictures:
        raise BenchError("a group has more pictures than the film")
    if count > 1 and layout.room(count, quantiser) > 1 << WINDOW_LOG_MAX:
        raise BenchError(f"a group of {count} pictures is too large")
    data = taker.take(fields.bytes, "a group")
    stored = taker.data[start : taker.at]
    (wanted,) = _CRC.unpack(taker.take(_CRC.size, "a group"))
    packed = Packed(quantiser, fields.order, fields.coder, data)
    decoded = decoded_group(packed, count, last, layout)
    if _checksum(decoded, stored) != wanted:
        raise BenchError("a group does not match its checksum")
    return decoded


def _checksum(pictures: Sequence[Planes], stored: bytes) -> int:
    crc = zlib.crc32(stored)
    for planes in pictures:
        crc = checksum(planes, crc)
    return crc


def _planes(pixels: NDArray[np.uint8]) -> Planes:
    return tuple(np.ascontiguousarray(pixels[..., k]) for k in range(pixels.shape[2]))


def _less_green(planes: Planes, colour: int) -> Planes:
    """Red and blue less green, where `colour` is 1; modulo 256."""
    if not colour:
        return planes
    red, green, blue, *alpha = planes
    return (red - green, green, blue - green, *alpha)


def _plus_green(planes: Planes, colour: int) -> Planes:
    """Inverse of `_less_green`."""
    if not colour:
        return planes
    red, green, blue, *alpha = planes
    return (red + green, green, blue + green, *alpha)


# Header


def _written_header(size: tuple[int, int], time_base: Fraction, times: Sequence[int], **values: int) -> bytes:
    """Everything before the first group."""
    distances = [after - before for before, after in pairwise(times)]
    common = gcd(*distances) or 1
    unit = time_base * common
    ticks = np.array(distances, np.int64) // common
    packed = b""
    if (ticks != 1).any():
        if ticks.min() < 0 or ticks.max() > np.iinfo(TICKS).max:
            raise BenchError("pictures follow one another by distances that the file cannot hold")
        packed = lzma_packed(ticks.astype(TICKS).tobytes())
    header = Header(
        width=size[0], height=size[1], unit=unit.numerator, per=unit.denominator, pictures=len(times),
        times=len(packed), **values,
    )  # fmt: skip
    body = MAGIC + _packed(header) + packed
    return body + _CRC.pack(zlib.crc32(body))


def _layout(header: Header) -> Layout:
    """The layout of a header's pictures. Raises BenchError for a header that nobody writes."""
    try:
        check_picture(header.width, header.height)
    except FormatError as error:
        raise BenchError(str(error)) from None
    if header.kind == STILL:
        if not header.channels or header.depth != 8 or header.chroma or header.bound or header.pictures != 1:
            raise BenchError("the header describes no still")
        if header.colour and header.channels < 3:
            raise BenchError("a grey picture is said to have colours")
        return Layout.of_still(header.width, header.height, header.channels)
    if header.channels or header.colour:
        raise BenchError("the header describes no film")
    fmt = PlaneFormat(key_of(CHROMA, header.chroma), header.depth)
    return Layout.of_film(header.width, header.height, fmt, header.bound)


def _ticks(packed: bytes, pictures: int) -> NDArray[np.uint32] | None:
    """Units between pictures; None: one."""
    if not packed:
        return None
    data = lzma_unpacked(packed, (pictures - 1) * TICKS.itemsize)
    if len(data) != (pictures - 1) * TICKS.itemsize:
        raise BenchError("there are not as many times as pictures")
    return np.frombuffer(data, TICKS)


def _packed(record: Record) -> bytes:
    try:
        return record.pack()
    except FormatError as error:
        raise BenchError(str(error)) from None


class _Taker:
    """Takes bytes off the front of a file. Raises BenchError where there are not enough."""

    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def take(self, size: int, what: str) -> bytes:
        if size > self.left:
            raise BenchError(f"the file ends within {what}")
        self.at += size
        return self.data[self.at - size : self.at]

    def record(self, kind: type[R]) -> R:
        """A record of that kind. Raises BenchError also where it is not legal."""
        try:
            return kind.unpack(self.take(kind.layout.size, kind.what))
        except FormatError as error:
            raise BenchError(str(error)) from None

    @property
    def left(self) -> int:
        return len(self.data) - self.at
