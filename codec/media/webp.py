"""Animated WebP (RFC 9649): chunks of RIFF, of which each ANMF holds a frame, drawn as libwebp's WebPAnimDecoder does.

    RIFF size WEBP | VP8X flags width height | ICCP? | ANIM background loops | ANMF ... ANMF | EXIF? | XMP?
    ANMF: left/2 top/2 width-1 height-1 (24 bits each), duration in ms (24), blend and dispose (8), ALPH? VP8 or VP8L

A frame is a still WebP without its envelope, and is decoded as one. The background of ANIM is a hint that libwebp and
browsers pass over: what is not drawn is transparent.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import IO

import cv2
import numpy as np

from ..errors import InputError
from ..limits import Limits, check_source
from .canvas import UNTOLD, Animation, Area, Header, Samples
from .claims import claimed_sizes

_ALPHA, _LOST = 0x10, {0x20: "the ICC colour profile", 0x08: "EXIF", 0x04: "XMP"}  # flags of VP8X
_REPLACES, _DISPOSED = 2, 1  # flags of a frame
_TICK = Fraction(1, 1000)  # seconds
_UNTOLD = int(UNTOLD / _TICK)
_FRAME = 16  # bytes before a frame's own chunks
_LEAST = 1 << 16  # bytes that any frame's data may have; larger pictures, as many as their samples


@dataclass(frozen=True)
class _Shot:
    """A frame as it lies in the file. `still`: a WebP file of it alone."""

    area: Area
    duration: int
    replaces: bool
    disposed: bool
    still: bytes


class WebpAnimation(Animation):
    """An animated WebP."""

    def __init__(self, file: IO[bytes], name: str, limits: Limits):
        super().__init__(file, name)
        head = self._exactly(30)
        self._end, self._at = int.from_bytes(head[4:8], "little") + 8, 30
        flags, size = head[20], int.from_bytes(head[16:20], "little")
        width, height = _number(head[24:27]) + 1, _number(head[27:30]) + 1
        if size < 10:
            raise InputError(f"{name} has a header that is too short")
        self._skip_chunk(size - 10 + size % 2)
        try:
            check_source(width, height, limits)
        except InputError as error:
            raise InputError(f"{name}: {error}") from None
        layout = "rgba" if flags & _ALPHA else "rgb24"
        lost = [text for flag, text in _LOST.items() if flags & flag]
        self.header = Header(width, height, layout, _TICK, lost=lost)
        if file.seekable():
            self._look_ahead()

    def _look_ahead(self) -> None:
        """Count frames and time, then go back."""
        here = self._file.tell()
        at = self._at
        while at + 8 <= self._end:
            self._file.seek(here + at - self._at)
            head = self._file.read(8 + _FRAME)
            if len(head) < 8:
                break
            kind, size = struct.unpack_from("<4sI", head)
            if kind == b"ANMF" and len(head) == 8 + _FRAME:
                self.header.frames += 1
                self.header.ticks += _number(head[20:23]) or _UNTOLD
            at += 8 + size + size % 2
        self._file.seek(here)

    def _skip_chunk(self, size: int) -> None:
        self._skip(size)
        self._at += size

    def _shots(self) -> Iterator[_Shot]:
        """The frames in the file."""
        while self._at + 8 <= self._end:
            kind, size = struct.unpack("<4sI", self._exactly(8))
            self._at += 8
            if kind != b"ANMF":
                self._skip_chunk(size + size % 2)
                continue
            if size < _FRAME:
                raise InputError(f"{self._name} has a frame without a header")
            data = self._exactly(_FRAME)
            left, top, width, height, duration = (_number(data[k : k + 3]) for k in range(0, 15, 3))
            area = Area(2 * left, 2 * top, width + 1, height + 1)
            if not area.within(self.header.width, self.header.height):
                raise InputError(f"{self._name} has a frame that lies beyond its canvas")
            if size > _LEAST + 8 * area.width * area.height:
                raise InputError(f"{self._name} has a frame of {size:,} bytes, more than its samples can take")
            still = self._still(self._exactly(size - _FRAME), area)
            self._read(size % 2)  # which some files lack at their end
            self._at += size + size % 2
            yield _Shot(area, duration, bool(data[15] & _REPLACES), bool(data[15] & _DISPOSED), still)

    def _still(self, chunks: bytes, area: Area) -> bytes:
        """A WebP file of one frame."""
        kept, at, alpha = [], 0, False
        while at + 8 <= len(chunks):
            kind, size = struct.unpack_from("<4sI", chunks, at)
            end = at + 8 + size
            if kind in (b"ALPH", b"VP8 ", b"VP8L") and end <= len(chunks):
                kept.append(chunks[at:end] + bytes(size % 2))
                alpha |= kind == b"ALPH"
            at = end + size % 2
        if alpha:
            sides = (area.width - 1).to_bytes(3, "little") + (area.height - 1).to_bytes(3, "little")
            kept.insert(0, struct.pack("<4sIB3x", b"VP8X", 10, _ALPHA) + sides)
        body = b"WEBP" + b"".join(kept)
        still = struct.pack("<4sI", b"RIFF", len(body)) + body
        inner = kept[-1][:4] if kept else b""
        sizes = claimed_sizes(b"RIFF" + bytes(4) + b"WEBP" + kept[-1]) if inner in (b"VP8 ", b"VP8L") else []
        if sizes != [(area.width, area.height)]:
            raise InputError(f"{self._name} has a frame whose picture is not of the frame's size")
        return still

    def pictures(self) -> Iterator[tuple[Samples, int]]:
        width, height = self.header.width, self.header.height
        canvas: Samples = np.zeros((height, width, 4), np.uint8)
        whole = Area(0, 0, width, height)
        last: _Shot | None = None
        was_key = False
        for shot in self._shots():
            samples = self._decoded(shot)
            opaque = samples.shape[2] == 3
            key = last is None or (shot.area == whole and (opaque or shot.replaces))
            if last is not None and last.disposed:
                last.area.of(canvas)[:] = 0
                key |= last.area == whole or was_key
            if key:
                canvas[:] = 0
            elif not (opaque or shot.replaces):
                bare = last.area if last is not None and last.disposed else None
                samples = _over(samples, shot.area.of(canvas), shot.area, bare)
            to = shot.area.of(canvas)
            to[..., : samples.shape[2]] = samples
            if samples.shape[2] == 3:
                to[..., 3] = 255
            yield canvas if self.header.layout == "rgba" else canvas[..., :3], shot.duration
            last, was_key = shot, key
        if last is None:
            raise InputError(f"{self._name} has no frame")

    def _decoded(self, shot: _Shot) -> Samples:
        """RGB or RGBA of a frame."""
        try:
            found = cv2.imdecode(np.frombuffer(shot.still, np.uint8), cv2.IMREAD_UNCHANGED)
        except cv2.error:
            found = None
        if found is None or found.shape[:2] != (shot.area.height, shot.area.width):
            raise InputError(f"{self._name} has a frame that cannot be decoded")
        return np.concatenate([found[..., 2::-1], found[..., 3:]], axis=2)


def _over(samples: Samples, below: Samples, area: Area, bare: Area | None) -> Samples:
    """RGBA `samples`, which lie at `area`, drawn over what is `below`, in libwebp's arithmetic: divisions by 255 are
    approximated. Where the frame before was taken away, at `bare`, there is nothing below, and samples stay."""
    source, under = samples.astype(np.uint32), below.astype(np.uint32)
    alpha = source[..., 3:]
    rest = under[..., 3:] * (256 - alpha) >> 8
    both = alpha + rest
    scale = (1 << 24) // np.maximum(both, 1)
    mixed = (source[..., :3] * alpha + under[..., :3] * rest) * scale >> 24
    drawn = np.concatenate([mixed, both], axis=2).astype(np.uint8)
    drawn = np.where(alpha == 0, below, np.where(alpha == 255, samples, drawn))
    if bare is not None:
        rows = slice(max(bare.top - area.top, 0), max(bare.top + bare.height - area.top, 0))
        columns = slice(max(bare.left - area.left, 0), max(bare.left + bare.width - area.left, 0))
        drawn[rows, columns] = samples[rows, columns]
    return drawn


def _number(data: bytes) -> int:
    return int.from_bytes(data, "little")
