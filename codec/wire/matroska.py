"""What the header of a Matroska file says of its pictures: read from what libav wrote, and added to a finished file
where PyAV gives libav's muxer no way to write it.

EBML (RFC 8794): an element is an id, a size and a body, both numbers of variable length; masters hold elements. A file
keeps its length, as its index says where everything lies: the room that is needed is taken from the track's name, which
has to be written with `ROOM` at its end.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from typing import NamedTuple

from .hdr import content_light_of, mastering_of

ROOM = " " * 256  # what the name of a track ends with that is to be described; mastering data take half of it

SEGMENT, _VOID, TRACKS, TRACK_ENTRY, _NAME, VIDEO = 0x18538067, 0xEC, 0x1654AE6B, 0xAE, 0x536E, 0xE0
PIXEL_WIDTH, PIXEL_HEIGHT, _DISPLAY_WIDTH, _DISPLAY_HEIGHT, DISPLAY_UNIT = 0xB0, 0xBA, 0x54B0, 0x54BA, 0x54B2
COLOUR, _SITING_ACROSS, _SITING_DOWN, _MAX_CLL, _MAX_FALL, _MASTERING = 0x55B0, 0x55B7, 0x55B8, 0x55BC, 0x55BD, 0x55D0
_POINTS, _BRIGHTEST, _DARKEST = range(0x55D1, 0x55D9), 0x55D9, 0x55DA  # x and y of red, green, blue and white
_ADDITIONS, _ADDITION_TYPE, _ADDITION_DATA = 0x41E4, 0x41E7, 0x41ED
CLUSTER, _BLOCK_GROUP, _BLOCK_ADDITIONS, _BLOCK_MORE, _BLOCK_ADDITION = 0x1F43B675, 0xA0, 0x75A1, 0xA6, 0xA5
_DOLBY_VISION = (int.from_bytes(b"dvcC"), int.from_bytes(b"dvvC"), int.from_bytes(b"dvwC"))
_ASPECT_RATIO = 3  # DisplayUnit: width and height are a ratio
_HEAD = 1 << 20  # bytes of a file that hold its headers
# place of chroma samples -> ChromaSitingHorz, ChromaSitingVert
_SITING = {"left": (1, 2), "center": (2, 2), "topleft": (1, 1), "top": (2, 1)}


# -------------------------------------------------------------------------------------------------------------- reading


def chroma_place_of(header: bytes) -> str:
    """Where the first track's chroma samples lie, by libav's name; empty where its header does not say."""
    try:
        colour = _find(header, (SEGMENT, TRACKS, TRACK_ENTRY, VIDEO, COLOUR), 0, len(header))[-1]
    except ValueError:
        return ""
    fields = {e.id: _number(header, e) for e in _elements(header, colour.body, colour.end)}
    siting = fields.get(_SITING_ACROSS), fields.get(_SITING_DOWN)
    return next((place for place, numbers in _SITING.items() if numbers == siting), "")


def dolby_vision_of(header: bytes) -> int | None:
    """The Dolby Vision profile of the first track, None where it has none."""
    try:
        track = _find(header, (SEGMENT, TRACKS, TRACK_ENTRY), 0, len(header))[-1]
    except ValueError:
        return None
    for mapping in _elements(header, track.body, track.end):
        if mapping.id == _ADDITIONS:
            fields = {e.id: e for e in _elements(header, mapping.body, mapping.end)}
            kind, record = fields.get(_ADDITION_TYPE), fields.get(_ADDITION_DATA)
            if kind and record and _number(header, kind) in _DOLBY_VISION and record.end - record.body > 2:
                return header[record.body + 2] >> 1 if len(header) > record.body + 2 else None
    return None


def block_addition_of(file: bytes) -> bytes:
    """What is added to the first block of a file; nothing where there is no such."""
    path = SEGMENT, CLUSTER, _BLOCK_GROUP, _BLOCK_ADDITIONS, _BLOCK_MORE, _BLOCK_ADDITION
    try:
        found = _find(file, path, 0, len(file))[-1]
    except ValueError:
        return b""
    return file[found.body : found.end]


# -------------------------------------------------------------------------------------------------------------- writing


def describe_pictures(
    path: str | os.PathLike[str], sar: Fraction, chroma_place: str, side_data: Mapping[str, bytes]
) -> Fraction:
    """Set sample aspect ratio, place of chroma samples and HDR metadata of the first video track of a file that libav
    wrote without checksums, with `ROOM` at the end of that track's name; the room is taken away. Returns the sample
    aspect ratio that the file then tells, which in WebM is that of a picture of whole samples.

    Raises ValueError where the headers are not as libav writes them; the file is then as it was.
    """
    with open(path, "r+b") as file:
        data = file.read(_HEAD)
        track, video = _find(data, (SEGMENT, TRACKS, TRACK_ENTRY, VIDEO), 0, len(data))[-2:]
        pictures = described(dict(_children(data, video.body, video.end)), sar, chroma_place, side_data)
        fields = []
        for i, body in _children(data, track.body, track.end):
            body = joined(pictures.items()) if i == VIDEO else body.rstrip(b" ") if i == _NAME else body
            fields += [(i, body)] if body or i != _NAME else []
        body = joined(fields)
        room = track.end - track.body - len(body) - 9
        if room < 0 or track.end > len(data):
            raise ValueError("the Matroska file's headers leave no room to describe its pictures")
        file.seek(track.body)
        file.write(body + bytes([_VOID]) + long_size(room) + bytes(room))
    return sar if sar == 1 else _ratio(pictures)


def described(
    video: dict[int, bytes], sar: Fraction, chroma_place: str, side_data: Mapping[str, bytes]
) -> dict[int, bytes]:
    """The fields of a Video master, by their ids, with those that tell this of its pictures."""
    pictures = _shaped(video, sar)
    if colour := _coloured(dict(_children(pictures.get(COLOUR, b""))), chroma_place, side_data):
        pictures[COLOUR] = joined(colour.items())
    return pictures


def sar_notes(container: str, wanted: Fraction, told: Fraction) -> list[str]:
    """A sentence where a file tells another sample aspect ratio than is wanted."""
    same = told == wanted
    return [] if same else [f"{container} does not hold the aspect ratio {wanted} of samples; the nearest is {told}"]


def _shaped(video: dict[int, bytes], sar: Fraction) -> dict[int, bytes]:
    """The fields of a Video master with that sample aspect ratio."""
    if sar == 1:
        return video
    width, height = (int.from_bytes(video[i]) for i in (PIXEL_WIDTH, PIXEL_HEIGHT))
    if DISPLAY_UNIT in video:
        shape = (Fraction(width, height) * sar).as_integer_ratio()
        video[DISPLAY_UNIT] = bytes([_ASPECT_RATIO])
    else:  # WebM knows pixels only
        shape = (round(width * sar), height) if sar > 1 else (width, round(height / sar))
    return video | {_DISPLAY_WIDTH: shape[0].to_bytes(4), _DISPLAY_HEIGHT: shape[1].to_bytes(4)}


def _ratio(video: dict[int, bytes]) -> Fraction:
    """The sample aspect ratio that a Video master tells."""
    width, height = (int.from_bytes(video[i]) for i in (PIXEL_WIDTH, PIXEL_HEIGHT))
    across, down = (int.from_bytes(video[i]) for i in (_DISPLAY_WIDTH, _DISPLAY_HEIGHT))
    return Fraction(across * height, max(down * width, 1))


def _coloured(colour: dict[int, bytes], chroma_place: str, side_data: Mapping[str, bytes]) -> dict[int, bytes]:
    """The fields of a Colour master with what is known."""
    if chroma_place in _SITING:
        across, down = _SITING[chroma_place]
        colour |= {_SITING_ACROSS: bytes([across]), _SITING_DOWN: bytes([down])}
    if light := content_light_of(side_data):
        colour |= {_MAX_CLL: light.most.to_bytes(4), _MAX_FALL: light.average.to_bytes(4)}
    if display := mastering_of(side_data):
        numbers = dict(zip(_POINTS, (number for point in display[:4] for number in point), strict=True))
        numbers |= {_BRIGHTEST: display.brightest, _DARKEST: display.darkest}
        colour[_MASTERING] = joined((i, struct.pack(">d", number)) for i, number in numbers.items())
    return colour


# ----------------------------------------------------------------------------------------------------------------- EBML


class _Element(NamedTuple):
    """An id and the contents at [body, end)."""

    id: int
    body: int
    end: int


def _elements(data: bytes, at: int, end: int) -> Iterator[_Element]:
    """The elements in data[at:end], as far as their heads are there."""
    end = min(end, len(data))
    while at < end and data[at]:
        size_at = at + 9 - data[at].bit_length()
        if size_at >= end or not data[size_at]:
            return
        length = 9 - data[size_at].bit_length()
        body = size_at + length
        size = int.from_bytes(data[size_at:body]) & (1 << 7 * length) - 1
        yield _Element(int.from_bytes(data[at:size_at]), body, body + size)
        at = body + size


def _find(data: bytes, ids: tuple[int, ...], at: int, end: int) -> list[_Element]:
    """The path of elements from the outermost id to the innermost; raises ValueError where there is none."""
    for element in _elements(data, at, end):
        if element.id == ids[0]:
            return [element, *(_find(data, ids[1:], element.body, element.end) if ids[1:] else [])]
    raise ValueError(f"the Matroska file has no element {ids[0]:x}")


def _children(data: bytes, at: int = 0, end: int | None = None) -> list[tuple[int, bytes]]:
    """(id, body) of the elements in data[at:end], but for room that is left."""
    found = _elements(data, at, len(data) if end is None else end)
    return [(e.id, data[e.body : e.end]) for e in found if e.id != _VOID]


def joined(fields: Iterable[tuple[int, bytes]]) -> bytes:
    """Elements one after the other."""
    return b"".join(i.to_bytes((i.bit_length() + 7) // 8) + _size(len(body)) + body for i, body in fields)


def _number(data: bytes, element: _Element) -> int:
    return int.from_bytes(data[element.body : element.end])


def _size(value: int) -> bytes:
    """A size field, of one byte where that will do."""
    return bytes([value | 0x80]) if value < 0x7F else long_size(value)


def long_size(value: int) -> bytes:
    """A size field of eight bytes."""
    return (value | 1 << 56).to_bytes(8)
