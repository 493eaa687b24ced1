"""Adds the display aspect ratio to a finished Matroska file, which PyAV gives libav's muxer no way to write.

EBML (RFC 8794): an element is an id, a size and a body, both numbers of variable length; masters hold elements. libav
leaves a Void between its SeekHead and the track headers, so there is room to grow: what lies between the Void and the
track's Video master moves into the Void, and everything behind stays where its index says.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

_SEGMENT, _SEEK_HEAD, _SEEK, _SEEK_POSITION, _VOID = 0x18538067, 0x114D9B74, 0x4DBB, 0x53AC, 0xEC
_TRACKS, _TRACK_ENTRY, _VIDEO = 0x1654AE6B, 0xAE, 0xE0
_PIXEL_WIDTH, _PIXEL_HEIGHT, _DISPLAY_UNIT = 0xB0, 0xBA, 0x54B2
_DISPLAY_WIDTH, _DISPLAY_HEIGHT = b"\x54\xb0\x84", b"\x54\xba\x84"  # with the size of a four-byte number
_ASPECT_RATIO = 3  # DisplayUnit: width and height are a ratio
_HEAD = 1 << 20  # bytes of a file that hold its headers


def set_sample_aspect_ratio(path: str | os.PathLike[str], sar: Fraction) -> None:
    """Set the sample aspect ratio of the first video track of a file that libav wrote without checksums.

    Raises ValueError where the headers are not as libav writes them; the file is then as it was.
    """
    with open(path, "r+b") as file:
        data = bytearray(file.read(_HEAD))
        segment = _find(data, (_SEGMENT,), 0, len(data))[0]
        seek_head, void = (_find(data, (i,), segment.body, segment.end)[0] for i in (_SEEK_HEAD, _VOID))
        masters = _find(data, (_TRACKS, _TRACK_ENTRY, _VIDEO), segment.body, segment.end)
        video = masters[-1]
        fields = {e.id: e for e in _elements(data, video.body, video.end)}
        width, height = (int.from_bytes(data[fields[i].body : fields[i].end]) for i in (_PIXEL_WIDTH, _PIXEL_HEIGHT))
        if unit := fields.get(_DISPLAY_UNIT):
            shape = (Fraction(width, height) * sar).as_integer_ratio()
            data[unit.body] = _ASPECT_RATIO
        else:  # WebM knows pixels only
            shape = (round(width * sar), height) if sar > 1 else (width, round(height / sar))
        new = _DISPLAY_WIDTH + shape[0].to_bytes(4) + _DISPLAY_HEIGHT + shape[1].to_bytes(4)
        tracks = masters[0]
        moved = data[void.end : tracks.start] + _grown(data, masters, new)
        by = len(moved) - (tracks.end - void.end)
        room = void.end - void.size_at - 8 - by
        if void.end > tracks.start or tracks.end > len(data) or room < 0:
            raise ValueError("the Matroska file's headers leave no room for the aspect ratio")
        for seek in _elements(data, seek_head.body, seek_head.end):
            if seek.id == _SEEK:
                (position,) = _find(data, (_SEEK_POSITION,), seek.body, seek.end)
                target = int.from_bytes(data[position.body : position.end])
                if void.end <= segment.body + target < tracks.end:
                    data[position.body : position.end] = (target - by).to_bytes(position.end - position.body)
        data[void.size_at : tracks.end] = _size(room) + bytes(room) + moved
        file.seek(0)
        file.write(data)


class _Element(NamedTuple):
    """The size field at [size_at, body), the contents at [body, end)."""

    id: int
    start: int
    size_at: int
    body: int
    end: int


def _elements(data: bytes | bytearray, at: int, end: int) -> Iterator[_Element]:
    """The elements in data[at:end], as far as their heads are there."""
    while at < min(end, len(data) - 12):
        size_at = at + 9 - data[at].bit_length()
        length = 9 - data[size_at].bit_length()
        body = size_at + length
        size = int.from_bytes(data[size_at:body]) & (1 << 7 * length) - 1
        yield _Element(int.from_bytes(data[at:size_at]), at, size_at, body, body + size)
        at = body + size


def _find(data: bytes | bytearray, ids: tuple[int, ...], at: int, end: int) -> list[_Element]:
    """The path of elements from the outermost id to the innermost; raises ValueError where there is none."""
    for element in _elements(data, at, end):
        if element.id == ids[0]:
            return [element, *(_find(data, ids[1:], element.body, element.end) if ids[1:] else [])]
    raise ValueError(f"the Matroska file has no element {ids[0]:x}")


def _grown(data: bytes | bytearray, path: list[_Element], new: bytes) -> bytes:
    """The outermost element of `path` with `new` at the end of the innermost."""
    outer, inner = path[0], path[1:]
    if inner:
        child = _grown(data, inner, new)
        body = data[outer.body : inner[0].start] + child + data[inner[0].end : outer.end]
    else:
        body = data[outer.body : outer.end] + new
    return bytes(data[outer.start : outer.size_at]) + _size(len(body)) + bytes(body)


def _size(value: int) -> bytes:
    """A size field of eight bytes."""
    return (value | 1 << 56).to_bytes(8)
