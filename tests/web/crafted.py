"""MP4 files box by box, as muxers that are not at hand write them, and as nobody should."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

TIMESCALE = 1000  # of the film
_VISUAL = 78  # bytes of fields before the boxes of a visual sample entry


def box(kind: str, *parts: bytes) -> bytes:
    """A box of those contents."""
    body = b"".join(parts)
    return struct.pack(">I", 8 + len(body)) + kind.encode("latin1") + body


def full(kind: str, body: bytes, version: int = 0, flags: int = 0) -> bytes:
    """A box with version and flags."""
    return box(kind, struct.pack(">I", version << 24 | flags), body)


def table(kind: str, entries: Sequence[tuple[int, ...]], form: str, version: int = 0) -> bytes:
    """A table of entries of that form; see `struct`."""
    rows = b"".join(struct.pack(">" + form, *entry) for entry in entries)
    return full(kind, struct.pack(">I", len(entries)) + rows, version)


@dataclass(frozen=True)
class Crafted:
    """A track: `samples` are its bytes in the order of decoding, `tables` the boxes that tell of them beside `stsd`,
    and where they lie; `edits`: the box `elst`."""

    samples: Sequence[bytes]
    tables: Sequence[bytes]
    edits: bytes = b""
    timescale: int = 25
    handler: str = "vide"
    entries: Sequence[bytes] = field(default=())

    def trak(self, number: int) -> bytes:
        """The box of a track with that number."""
        matrix = struct.pack(">9I", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
        tkhd = full("tkhd", struct.pack(">5I", 0, 0, number, 0, 0) + bytes(16) + matrix + bytes(8), flags=7)
        mdhd = full("mdhd", struct.pack(">4IHH", 0, 0, self.timescale, len(self.samples), 0x55C4, 0))
        hdlr = full("hdlr", bytes(4) + self.handler.encode() + bytes(13))
        dref = full("dref", struct.pack(">I", 1) + full("url ", b"", flags=1))
        stsd = full("stsd", struct.pack(">I", len(self.entries)) + b"".join(self.entries))
        head = full("vmhd", bytes(8), flags=1) if self.handler == "vide" else full("smhd", bytes(4))
        minf = box("minf", head, box("dinf", dref), box("stbl", stsd, *self.tables))
        edits = box("edts", self.edits) if self.edits else b""
        return box("trak", tkhd, edits, box("mdia", mdhd, hdlr, minf))


def av01(width: int = 64, height: int = 48, kind: str = "av01") -> bytes:
    """A sample entry of AV1, 10 bits, 4:2:0."""
    fields = bytearray(_VISUAL)
    struct.pack_into(">H", fields, 6, 1)
    struct.pack_into(">HHIIIH", fields, 24, width, height, 72 << 16, 72 << 16, 0, 1)
    struct.pack_into(">Hh", fields, 74, 24, -1)
    return box(kind, bytes(fields), box("av1C", bytes([0x81, 0x00, 0x4C, 0x00])))


def mp4(tracks: Sequence[Crafted], more: bytes = b"", behind: bytes = b"") -> bytes:
    """A film whose index lies at its end. `more`: further boxes of the index, `behind`: of the file."""
    head = box("ftyp", b"isom", bytes(4), b"isomav01") + box("free", bytes(100))
    data = box("mdat", *(sample for track in tracks for sample in track.samples))
    mvhd = full("mvhd", struct.pack(">4I", 0, 0, TIMESCALE, 0) + bytes(80))
    traks = [track.trak(number) for number, track in enumerate(tracks, 1)]
    return head + data + box("moov", mvhd, *traks, more) + behind


FIRST = len(box("ftyp", b"isom", bytes(4), b"isomav01") + box("free", bytes(100))) + 8  # byte of the first sample
