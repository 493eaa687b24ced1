"""Animated PNG (PNG specification, third edition): chunks, of which fcTL begins a frame and IDAT or fdAT hold its data.

    signature | IHDR | acTL frames plays | PLTE, tRNS ... | (fcTL)? IDAT ... | fcTL fdAT ... | fcTL fdAT ... | IEND
    fcTL: number, width, height, left, top (32 bits each), delay as a fraction (16, 16), dispose (8), blend (8)

A frame is a PNG without its envelope, and is decoded as one by libav. The picture of IDAT without an fcTL before it is
for readers that know no animations, and no part of the film.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from typing import IO, Any

import av
import numpy as np

from ..errors import InputError
from ..frames import Colour
from ..limits import Limits, check_source
from .canvas import LAYOUTS, UNTOLD, Animation, Area, Header, Samples, samples_of
from .libav import faults_as, packet_of
from .png import SIGNATURE

_USUAL, _FINEST = 90000, 32767  # ticks a second: that hold most rates; that the longest delay can be counted in
_LEAST = 1 << 16  # bytes that any chunk may have; with data of large pictures, as many as their samples
_GREY, _RGB, _PALETTE, _GREY_ALPHA, _RGBA = 0, 2, 3, 4, 6
_CHANNELS = {_GREY: 1, _RGB: 3, _PALETTE: 1, _GREY_ALPHA: 2, _RGBA: 4}  # as coded
_LAYOUTS = {  # without and with tRNS
    _GREY: ("gray", "ya8"), _RGB: ("rgb24", "rgba"), _PALETTE: ("rgb24", "rgba"),
    _GREY_ALPHA: ("ya8", "ya8"), _RGBA: ("rgba", "rgba"),
}  # fmt: skip
_DEEP = {"gray": "gray16le", "ya8": "ya16le", "rgb24": "rgb48le", "rgba": "rgba64le"}
_READ = {b"IHDR", b"acTL", b"PLTE", b"tRNS", b"fcTL", b"fdAT", b"IDAT", b"IEND", b"cICP", b"gAMA", b"cHRM", b"pHYs"}
_LOST = {b"iCCP": "the ICC colour profile", b"gAMA": "the gamma of its samples", b"cHRM": "the place of its primaries"}
_LOST |= {b"eXIf": "EXIF", b"mDCV": "the mastering display's colour volume", b"cLLI": "the content light level"}
# what is true of sRGB: there is nothing to lose
_USUAL_COLOURS = {
    b"gAMA": struct.pack(">I", 45455),
    b"cHRM": struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000),
}
_FULL = 2  # range of samples, by libav's number
_LARGEST = (1 << 31) - 1  # number of an aspect ratio that libav takes
_BACKGROUND, _PREVIOUS = 1, 2  # what becomes of a frame before the next one
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))  # Adam7


@dataclass(frozen=True)
class _Shot:
    """What an fcTL says of a frame. `delay`: its seconds."""

    area: Area
    delay: Fraction
    dispose: int
    over: bool


class Apng(Animation):
    """An animated PNG."""

    def __init__(self, file: IO[bytes], name: str, limits: Limits):
        super().__init__(file, name)
        self._most = _LEAST  # bytes that a chunk may have
        self._exactly(len(SIGNATURE))
        kind, data = self._chunk()
        if kind != b"IHDR" or len(data) != 13:
            raise InputError(f"{name} has no header")
        width, height, self._depth, self._kind, *_, self._interlaced = struct.unpack(">IIBBBBB", data)
        if self._kind not in _CHANNELS or not width or not height:
            raise InputError(f"{name} has a header that makes no sense")
        try:
            check_source(width, height, limits)
        except InputError as error:
            raise InputError(f"{name}: {error}") from None
        self._most += 9 * width * height
        self._head, self._tables, self._number = data[8:], b"", 0  # the tables are chunks that frames are decoded by
        self.header = Header(width, height, "", Fraction(1, _USUAL))
        self._first = self._read_header()

    def _read_header(self) -> tuple[bytes, bytes]:
        """All that is before the first frame; returns the chunk after it."""
        found: dict[bytes, bytes] = {}
        while True:
            kind, data = self._chunk()
            if kind in (b"fcTL", b"IDAT", b"IEND"):
                break
            if kind in (b"PLTE", b"tRNS"):
                self._tables += _chunked(kind, data)
            found[kind] = data
        layout = _LAYOUTS[self._kind][b"tRNS" in found]
        self.header.layout = _DEEP[layout] if self._depth == 16 else layout
        if len(found.get(b"acTL", b"")) == 8:
            self.header.frames = int.from_bytes(found[b"acTL"][:4], "big")
        told = {b"gAMA", b"cHRM"} if found.keys() & {b"cICP", b"sRGB", b"iCCP"} else set()  # these go before those
        lost = [k for k in _LOST if k in found and k not in told and found[k] != _USUAL_COLOURS.get(k)]
        self.header.lost = [_LOST[k] for k in lost]
        if len(found.get(b"cICP", b"")) == 4:
            self.header.colour = Colour(*found[b"cICP"][:2])
        if self._kind in (_GREY, _GREY_ALPHA):  # which becomes no other colours, that would have a range of their own
            self.header.colour = self.header.colour._replace(range=_FULL)
        self.header.sar = _shape(found.get(b"pHYs", b""))
        if self._file.seekable():
            self._look_ahead(data if kind == b"fcTL" else b"")
        return kind, data

    def _look_ahead(self, control: bytes) -> None:
        """Find out how long the film is, and what its times are counted in, from this fcTL on; then go back."""
        here = at = self._file.tell()
        frames = micros = 0
        base = 1
        while True:
            if len(control) == 26:
                seconds = _delay(control) or UNTOLD
                frames += 1
                micros += int(seconds * 1_000_000)
                base = lcm(base, seconds.denominator) if base <= _FINEST else base
            self._file.seek(at)
            head = self._file.read(8 + 26)
            if len(head) < 8 or head[4:8] == b"IEND":
                break
            control = head[8:] if head[4:8] == b"fcTL" else b""
            at += 12 + int.from_bytes(head[:4], "big")
        self._file.seek(here)
        self.header.tick = Fraction(1, base if base <= _FINEST else _USUAL)
        self.header.frames, self.header.ticks = frames, round(Fraction(micros, 1_000_000) / self.header.tick)

    def _chunk(self) -> tuple[bytes, bytes]:
        """The next chunk's kind and data, which are left out for kinds that tell nothing. Its checksum is right."""
        size, kind = struct.unpack(">I4s", self._exactly(8))
        if kind not in _READ:
            self._skip(size + 4)
            return kind, b""
        if size > self._most:
            raise InputError(f"{self._name} has a chunk of {size:,} bytes, more than its samples can take")
        data = self._exactly(size)
        if zlib.crc32(kind + data) != int.from_bytes(self._exactly(4), "big"):
            raise InputError(f"{self._name} is damaged: a checksum is wrong")
        return kind, data

    def _shots(self) -> Iterator[tuple[_Shot, bytes]]:
        """The frames, and the data of each."""
        kind, data = self._first
        shot: _Shot | None = None
        parts: list[bytes] = []
        size = 0
        while True:
            if kind in (b"fcTL", b"IEND") and shot is not None:
                yield shot, b"".join(parts)
            if kind == b"IEND":
                return
            if kind in (b"fcTL", b"fdAT"):
                if int.from_bytes(data[:4], "big") != self._number or len(data) < 4:
                    raise InputError(f"{self._name} is damaged: parts of it are missing or out of order")
                self._number += 1
            if kind == b"fcTL":
                shot, parts, size = self._controlled(data), [], 0
            elif kind in (b"IDAT", b"fdAT") and shot is not None:
                parts.append(data if kind == b"IDAT" else data[4:])
                size += len(parts[-1])
                if size > self._most:
                    raise InputError(f"{self._name} has a frame of more data than its samples can take")
            kind, data = self._chunk()

    def _controlled(self, data: bytes) -> _Shot:
        """What an fcTL says."""
        if len(data) != 26:
            raise InputError(f"{self._name} has a frame whose header is too short")
        width, height, left, top = struct.unpack_from(">4I", data, 4)
        area = Area(left, top, width, height)
        if not area.within(self.header.width, self.header.height):
            raise InputError(f"{self._name} has a frame that lies beyond its canvas")
        return _Shot(area, _delay(data), data[24], data[25] == 1)

    def pictures(self) -> Iterator[tuple[Samples, int]]:
        channels, kind = LAYOUTS[self.header.layout]
        canvas: Samples = np.zeros((self.header.height, self.header.width, channels), kind)
        first = True
        for shot, data in self._shots():
            part = shot.area.of(canvas)
            before = part.copy() if shot.dispose == _PREVIOUS and not first else np.zeros_like(part)
            samples = self._decoded(shot.area, data)
            part[:] = _over(samples, part) if shot.over and not first and channels in (2, 4) else samples
            yield canvas, max(round(shot.delay / self.header.tick), 1) if shot.delay else 0
            if shot.dispose in (_BACKGROUND, _PREVIOUS):
                part[:] = before if shot.dispose == _PREVIOUS else 0
            first = False
        if first:
            raise InputError(f"{self._name} has no frame")

    def _decoded(self, area: Area, data: bytes) -> Samples:
        """The samples of a frame."""
        self._check_whole(area, data)
        header = struct.pack(">II", area.width, area.height) + self._head
        parts = [SIGNATURE, _chunked(b"IHDR", header), self._tables, _chunked(b"IDAT", data), _chunked(b"IEND", b"")]
        context: Any = av.CodecContext.create("png", "r")
        context.thread_count = 1
        with faults_as(InputError, f"{self._name} has a frame that cannot be decoded"):
            frames = context.decode(packet_of(b"".join(parts)))
        if len(frames) != 1 or (frames[0].width, frames[0].height) != (area.width, area.height):
            raise InputError(f"{self._name} has a frame that cannot be decoded")
        return samples_of(frames[0], self.header.layout)

    def _check_whole(self, area: Area, data: bytes) -> None:
        """Raise InputError where data do not inflate to all rows of a frame: libav would take the rest for black."""
        bits = _CHANNELS[self._kind] * self._depth
        left = 0
        for x, y, across, down in _PASSES if self._interlaced else ((0, 0, 1, 1),):
            columns, rows = -(-(area.width - x) // across), -(-(area.height - y) // down)
            left += (1 + (columns * bits + 7) // 8) * rows if columns > 0 and rows > 0 else 0
        inflater = zlib.decompressobj()
        try:
            while left > 0 and (found := inflater.decompress(data, min(left, _LEAST))):
                left, data = left - len(found), inflater.unconsumed_tail
        except zlib.error:
            left = 1
        if left > 0:
            raise InputError(f"{self._name} has a frame whose data are damaged or cut off")


def _shape(density: bytes) -> Fraction:
    """The aspect ratio of samples that a pHYs tells, as libav writes and reads it of films; 1 where that is none."""
    if len(density) != 9:
        return Fraction(1)
    across, down, unit = struct.unpack(">IIB", density)
    known = unit == 0 and 0 < across <= _LARGEST and 0 < down <= _LARGEST
    return Fraction(across, down) if known else Fraction(1)


def _delay(control: bytes) -> Fraction:
    """The seconds that an fcTL gives its frame; 0 where it leaves them to the reader."""
    numerator, denominator = struct.unpack_from(">HH", control, 20)
    return Fraction(numerator, denominator or 100)


def _over(samples: Samples, below: Samples) -> Samples:
    """`samples` drawn over what is `below`, both with alpha, in the arithmetic of the specification."""
    peak = np.iinfo(samples.dtype).max
    source, under = samples.astype(np.uint64), below.astype(np.uint64)
    alpha, rest = source[..., -1:] * peak, under[..., -1:] * (peak - source[..., -1:])
    both = alpha + rest
    mixed = (source[..., :-1] * alpha + under[..., :-1] * rest) // np.maximum(both, 1)
    drawn = np.concatenate([mixed, both // peak], axis=2).astype(samples.dtype)
    return np.where(samples[..., -1:] == 0, below, drawn)


def _chunked(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
