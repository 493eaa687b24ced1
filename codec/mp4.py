"""Whether an MP4's index claims more than the file has, told before libav builds its tables from it.

An index (ISO/IEC 14496-12) is a tree of boxes. Most of its tables are as long as their boxes, but some only claim: a
`stsz` of one size for all samples, a run of a fragment without entries, an edit list that plays the same samples again
and again. libav keeps some bytes for each sample and edit on their word. A sample has a byte at least, so a file has no
more samples than bytes. Files of other kinds are passed over: their demuxers keep nothing for what is not there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

import numpy as np

from .errors import FormatError

EDITS_MAX = 2  # of a track, where they would play more samples than the file has bytes; muxers write one or two
_DEPTH = 8
_BOXES_MAX = 1 << 16  # of an index
_FOLDERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"moof", b"traf", b"mvex", b"udta", b"dinf", b"wave"}


@dataclass
class _Track:
    """What a track's boxes have claimed so far."""

    samples: int = 0
    edits: int = 0


@dataclass
class _Walk:
    file: IO[bytes]
    size: int
    boxes: int = 0

    def number(self, at: int) -> int:
        """Four bytes big-endian; what lies behind the end is 0."""
        self.file.seek(at)
        return int.from_bytes(self.file.read(4))

    def children(self, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
        """(kind, first byte of the contents, end) of each box; what sticks out is cut, as libav does it."""
        while at + 8 <= end:
            self.boxes += 1
            if self.boxes > _BOXES_MAX:
                raise FormatError("its index has more boxes than any film needs")
            self.file.seek(at)
            head = self.file.read(16)
            size, kind, body = int.from_bytes(head[:4]), head[4:8], at + 8
            if size == 1:
                size, body = int.from_bytes(head[8:16]), at + 16
            elif size == 0:
                size = end - at
            if size < body - at:
                return  # no box: libav stops here too
            yield kind, body, min(at + size, end)
            at += size

    def look(self, at: int, end: int, track: _Track, depth: int = 0) -> None:
        """Boxes in [at, end), which belong to `track` or hold tracks of their own."""
        for kind, body, stop in self.children(at, end):
            if kind in _FOLDERS and depth < _DEPTH:
                inner = _Track() if kind in (b"trak", b"traf") else track
                self.look(body, stop, inner, depth + 1)
            elif kind == b"cmov":
                raise FormatError("its index is compressed, which no film of ours is")
            elif kind == b"stsz":
                self.claim(track, self.number(body + 8) * max(self.number(body + 4), 1))
            elif kind == b"trun":
                self.claim(track, self.number(body + 4))
            elif kind in (b"stts", b"ctts"):
                self.file.seek(body + 8)
                table = self.file.read(max(0, stop - body - 8) & ~7)
                self.claim(_Track(), int(np.frombuffer(table, ">u4")[::2].sum(dtype=np.uint64)))
            elif kind == b"elst":
                track.edits += self.number(body + 4)
                self.claim(track, 0)

    def claim(self, track: _Track, count: int) -> None:
        """So many samples more, of a byte at least each. Raises FormatError."""
        track.samples += count
        played = track.samples * (track.edits if track.edits > EDITS_MAX else 1)
        if played > self.size or track.edits > self.size:
            raise FormatError(f"its index claims {played:,} samples, more than {self.size:,} bytes can hold")


def check_index(path: str) -> None:
    """Raise FormatError where the file at `path` is an MP4 whose index claims what cannot be; OSError as files do."""
    with open(path, "rb") as file:
        size = file.seek(0, 2)
        _Walk(file, size).look(0, size, _Track())
