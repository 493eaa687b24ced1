"""An MP4's index: refused where it claims more than the file has, before libav builds tables from it; given boxes that
libav does not write.

An index (ISO/IEC 14496-12) is a tree of boxes. Most tables are as long as their boxes, but some only claim: a `stsz`
of one size for all samples, a run of a fragment without entries, an edit list that plays the same samples again and
again. libav keeps some bytes for each sample and edit on their word. A sample has a byte at least, so a file has no
more samples than bytes. Files of other kinds are passed over: their demuxers keep nothing for what is not there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO

import numpy as np

from ..errors import FormatError

EDITS_MAX = 2  # of a track, where they would play more samples than the file has bytes; muxers write one or two
# bytes of an entry at the least
_TABLES = {b"stts": 8, b"ctts": 8, b"stsc": 12, b"stco": 4, b"co64": 8, b"stss": 4, b"stps": 4, b"elst": 12}
_BOXES_MAX = 1 << 16  # of an index, or of one fragment's
_DEPTH = 8  # of folders in folders; libav itself gives up at ten boxes
_FOLDERS = {
    b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"moof", b"traf", b"mvex", b"udta", b"dinf", b"wave", b"tref",
    b"sinf", b"schi", b"ilst", b"meta",
}  # fmt: skip
# what no film of ours has, and libav believes
_FOREIGN = {
    b"cmov": "is compressed",
    b"iinf": "is one of still pictures",
    b"iloc": "is one of still pictures",
    b"pssh": "is one of an encrypted film",
}
# what libav counts by
_COUNTING = (*_FOREIGN, *_TABLES, b"stsz", b"trun")


def check_index(file: IO[bytes]) -> None:
    """Raise FormatError where `file` is an MP4 whose index claims what cannot be; OSError as files do."""
    size = file.seek(0, 2)
    _Walk(file, size).look(0, size, _Track())


@dataclass
class _Track:
    """What a track's boxes have claimed so far."""

    samples: int = 0
    edits: int = 0


@dataclass
class _Walk:
    """Goes through the boxes of a file of `size` bytes and raises FormatError for what cannot be."""

    file: IO[bytes]
    size: int
    boxes: int = 0
    fragments: _Track = field(default_factory=_Track)  # all of them: their samples lie in one file

    def number(self, at: int) -> int:
        """Four bytes big-endian; what lies behind the end is 0."""
        self.file.seek(at)
        return int.from_bytes(self.file.read(4))

    def children(self, at: int, end: int, depth: int) -> Iterator[tuple[bytes, int, int]]:
        """(kind, first byte of the contents, end) of each box. At the end of a file, which may be cut off, and nowhere
        else a box may stick out of what holds it."""
        while at + 8 <= end:
            self.boxes += depth > 0
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
            if depth and at + size > end:
                raise FormatError(f"the box {kind.decode('latin1')!r} of its index reaches past what holds it")
            yield kind, body, min(at + size, end)
            at += size

    def look(self, at: int, end: int, track: _Track, depth: int = 0) -> None:
        """Boxes in [at, end), which belong to `track` or hold tracks of their own."""
        for kind, body, stop in self.children(at, end, depth):
            if kind in _FOLDERS:
                if depth >= _DEPTH:
                    raise FormatError("its index is nested deeper than any film's")
                if depth == 0:
                    self.boxes = 0
                inner = {b"trak": _Track(), b"traf": self.fragments}.get(kind, track)
                if kind == b"meta" and self.number(body + 4) != int.from_bytes(b"hdlr"):
                    body += 4  # version and flags, which QuickTime leaves out
                self.look(body, stop, inner, depth + 1)
            elif kind == b"stsd":
                self.entries(body, stop, depth)
            elif kind in _FOREIGN:
                raise FormatError(f"its index {_FOREIGN[kind]}, which no .nvc film's is")
            elif kind == b"stsz":
                each, count = self.number(body + 4), self.number(body + 8)
                self.fits(kind, count * 4 * (not each), stop - body - 12)
                self.claim(track, count * max(each, 1))
            elif kind == b"trun":
                self.claim(track, self.number(body + 4))
            elif kind in _TABLES:
                self.table(kind, body, stop, track)

    def entries(self, body: int, stop: int, depth: int) -> None:
        """Sample entries: boxes lie in them behind fields of their own, where libav reads such as belong elsewhere."""
        for _ in self.children(body + 8, stop, depth + 1):
            pass
        self.file.seek(body)
        data = self.file.read(stop - body)
        for kind in _COUNTING:
            at = data.find(kind)
            while at >= 0:  # four letters may be there by chance, in a text; not behind a size that fits
                if at >= 4 and 8 <= int.from_bytes(data[at - 4 : at]) <= len(data) - at + 4:
                    raise FormatError("its index describes samples with tables, which belong elsewhere")
                at = data.find(kind, at + 1)

    def table(self, kind: bytes, body: int, stop: int, track: _Track) -> None:
        """A table of entries of one size. Raises FormatError."""
        count = self.number(body + 4)
        self.fits(kind, count * _TABLES[kind], stop - body - 8)
        if kind == b"elst":
            track.edits += count
            self.claim(track, 0)
        elif kind in (b"stts", b"ctts"):
            self.file.seek(body + 8)
            table = self.file.read(8 * count)
            self.claim(_Track(), int(np.frombuffer(table, ">u4")[::2].sum(dtype=np.uint64)))

    @staticmethod
    def fits(kind: bytes, needed: int, there: int) -> None:
        """Raise FormatError for a table that is longer than its box."""
        if needed > there:
            raise FormatError(f"the table {kind.decode()!r} of its index claims {needed:,} bytes, where {there:,} are")

    def claim(self, track: _Track, count: int) -> None:
        """So many samples more, of a byte at least each. Raises FormatError."""
        track.samples += count
        played = track.samples * (track.edits if track.edits > EDITS_MAX else 1)
        if played > self.size or track.edits > self.size:
            raise FormatError(f"its index claims {played:,} samples, more than {self.size:,} bytes can hold")


def with_boxes(mp4: bytes, boxes: bytes) -> bytes:
    """An MP4 that ends with its index, with `boxes` at the end of its only AV1 sample entry."""
    out = bytearray(mp4)
    at = 0
    # the box's name, and how many bytes of fields precede its children
    for name, fields in (("moov", 0), ("trak", 0), ("mdia", 0), ("minf", 0), ("stbl", 0), ("stsd", 8), ("av01", 78)):
        while out[at + 4 : at + 8] != name.encode():
            at += int.from_bytes(out[at : at + 4])
        size = int.from_bytes(out[at : at + 4])
        out[at : at + 4] = (size + len(boxes)).to_bytes(4)
        end = at + size
        at += 8 + fields
    out[end:end] = boxes
    return bytes(out)
