"""A film of plain samples as a Matroska file that need not exist: where each byte of it lies follows from the number of
pictures, and so any part of it can be made alone.

    EBML | Segment | Info, Tracks, Cues (of every picture) | Cluster with picture 0 | Cluster with picture 1 | ..

Every picture has a cluster of the same length. Times are nanoseconds: one tick of a film's clock is never rounded to
that of its neighbour. Players read such a file by ranges, and find any picture in its index.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import cached_property
from itertools import count

from ..frames import VideoInfo
from .matroska import (
    CLUSTER,
    COLOUR,
    DISPLAY_UNIT,
    PIXEL_HEIGHT,
    PIXEL_WIDTH,
    SEGMENT,
    TRACK_ENTRY,
    TRACKS,
    VIDEO,
    described,
    joined,
    long_size,
)

SECOND = 10**9  # nanoseconds
TIME_MAX = 2**62  # nanoseconds: what players keep in 64 bits, with room to add

_EBML, _INFO, _CUES = 0x1A45DFA3, 0x1549A966, 0x1C53BB6B
_DOC_TYPE, _DOC_VERSION, _DOC_READ_VERSION = 0x4282, 0x4287, 0x4285
_TICK, _DURATION, _MUXER, _WRITER = 0x2AD7B1, 0x4489, 0x4D80, 0x5741
_NUMBER, _UID, _TYPE, _LACING, _PICTURE_DURATION, _CODEC = 0xD7, 0x73C5, 0x83, 0x9C, 0x23E383, 0x86
_FOURCC, _MATRIX, _RANGE, _TRANSFER, _PRIMARIES = 0x2EB524, 0x55B1, 0x55B9, 0x55BA, 0x55BB
_PIXELS = 0  # DisplayUnit
_PROGRAM = b"NVC"

# CuePoint: its time; the track, and where in the segment the cluster begins
_CUE = struct.Struct(">2s 2sQ 2s 3s 2sQ")
# Cluster: its time; SimpleBlock of track 1 at that time, a key picture
_CLUSTER_HEAD = struct.Struct(">4s 8s 2sQ 1s 8s 4s")
_BLOCK = b"\x81\0\0\x80"
_FOURCCS = {
    ("400", 8): b"Y800",
    ("420", 8): b"I420",
    ("422", 8): b"Y42B",
    ("444", 8): b"444P",
    ("400", 10): b"Y1\0\x0a",
    ("420", 10): b"Y3\x0b\x0a",
    ("422", 10): b"Y3\x0a\x0a",
    ("444", 10): b"Y3\0\x0a",
}  # libav's, for planes one after the other, rows without padding, 10-bit samples as 16 bits little-endian


class UncompressedFilm:
    """The bytes of such a file, but for samples.

    Attributes:
        picture_bytes: of one picture's samples.
        stride: from one cluster to the next.
        size: of the file.
    """

    def __init__(self, info: VideoInfo, times: Sequence[int]):
        """`times`: nanoseconds at which pictures are shown, 0 .. TIME_MAX, rising; at least one."""
        self._info, self._times = info, times
        self.picture_bytes = info.format.frame_bytes(info.width, info.height)
        self.stride = _CLUSTER_HEAD.size + self.picture_bytes
        self.size = len(self.header) + len(times) * self.stride

    @cached_property
    def header(self) -> bytes:
        """All before the first cluster."""
        fields = [(_DOC_TYPE, b"matroska"), (_DOC_VERSION, b"\x04"), (_DOC_READ_VERSION, b"\x02")]
        described = joined([(_INFO, self._about()), (TRACKS, joined([(TRACK_ENTRY, self._track())]))])
        index = len(self._times) * _CUE.size
        begin = len(described) + 4 + 8 + index  # of the first cluster, in the segment
        segment = SEGMENT.to_bytes(4) + long_size(begin + len(self._times) * self.stride)
        places = count(begin, self.stride)
        cues = b"".join(
            _CUE.pack(b"\xbb\x99", b"\xb3\x88", time, b"\xb7\x8d", b"\xf7\x81\x01", b"\xf1\x88", next(places))
            for time in self._times
        )
        return joined([(_EBML, joined(fields))]) + segment + described + _CUES.to_bytes(4) + long_size(index) + cues

    def head_of(self, number: int) -> bytes:
        """What stands before a picture's samples."""
        block = len(_BLOCK) + self.picture_bytes
        body = _CLUSTER_HEAD.size - 12 + self.picture_bytes
        return _CLUSTER_HEAD.pack(
            CLUSTER.to_bytes(4), long_size(body), b"\xe7\x88", self._times[number], b"\xa3", long_size(block), _BLOCK
        )

    def picture_at(self, offset: int) -> tuple[int, int]:
        """(number, bytes of its cluster before `offset`) of the picture there; `offset` lies behind the header."""
        return divmod(offset - len(self.header), self.stride)

    def _about(self) -> bytes:
        duration = self._times[-1] + self._picture_duration
        return joined([
            (_TICK, b"\x01"), (_DURATION, struct.pack(">d", duration)), (_MUXER, _PROGRAM), (_WRITER, _PROGRAM)
        ])  # fmt: skip

    @property
    def _picture_duration(self) -> int:
        return max(round(SECOND / self._info.rate), 1)

    def _track(self) -> bytes:
        info = self._info
        primaries, transfer, matrix, reach = info.colour
        colour = {_MATRIX: matrix, _TRANSFER: transfer, _PRIMARIES: primaries} | ({_RANGE: reach} if reach else {})
        video = {
            PIXEL_WIDTH: info.width.to_bytes(4),
            PIXEL_HEIGHT: info.height.to_bytes(4),
            DISPLAY_UNIT: bytes([_PIXELS]),
            _FOURCC: _FOURCCS[info.format.chroma, info.format.depth],
            COLOUR: joined((i, bytes([number])) for i, number in colour.items()),
        }
        return joined([
            (_NUMBER, b"\x01"), (_UID, b"\x01"), (_TYPE, b"\x01"), (_LACING, b"\0"),
            (_PICTURE_DURATION, self._picture_duration.to_bytes(8)), (_CODEC, b"V_UNCOMPRESSED"),
            (VIDEO, joined(described(video, info.sar, info.chroma_place, info.side_data).items())),
        ])  # fmt: skip
