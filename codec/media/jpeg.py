"""Segments of a JPEG file before its coded data: profile, EXIF's neighbours, how colour is coded.

References: ITU-T T.81, ICC.1:2022 annex B.4 (profiles in parts), CIPA DC-007 (several pictures in one file), Adobe
technical note 5116 (colour transforms), ISO 21496-1 (gain maps).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from .attributes import BROKEN_PROFILE, Attributes

MAGIC = b"\xff\xd8\xff"
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers that begin a frame
_BARE = {0x01, *range(0xD0, 0xD9)}  # markers without a length
_SCAN, _END, _COMMENT = 0xDA, 0xD9, 0xFE
_APP1, _APP2, _APP13 = 0xE1, 0xE2, 0xED
_LOSSLESS = {0xC3, 0xC7, 0xCB, 0xCF}
_ICC, _MPF, _GAIN = b"ICC_PROFILE\0", b"MPF\0", b"urn:iso:std:iso:ts:21496:-1\0"
_XMP, _MORE_XMP = b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0"
_GAIN_MAP_WORDS = (b"http://ns.adobe.com/hdr-gain-map/", b"http://ns.apple.com/HDRGainMap/")
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")  # within coded data, where other bytes are data or of no interest
_PICTURES = 0xB001  # entry of the index of several pictures: their number


def segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(marker, contents) of the segments up to the first scan. Raises struct.error where one is cut off."""
    at = 2
    while True:
        at = data.find(b"\xff", at)
        if at < 0 or at + 1 >= len(data):
            return
        marker = data[at + 1]
        if marker in (0xFF, 0x00):  # fill bytes, or coded data
            at += 1
        elif marker in _BARE:
            at += 2
        else:
            (length,) = struct.unpack_from(">H", data, at + 2)
            yield marker, data[at + 4 : at + 2 + length]
            if marker in (_SCAN, _END):  # what follows is coded
                return
            at += 2 + length


def end_of(data: bytes) -> int:
    """Where the picture ends: behind its last scan; the file's end where it is cut off. Raises struct.error."""
    at = 2
    while found := _MARKER.search(data, at):
        marker, at = data[found.start() + 1], found.end()
        if marker == _END:
            return at
        if marker not in _BARE:
            at += struct.unpack_from(">H", data, at)[0]
    return len(data)


def size_of(data: bytes) -> tuple[int, int] | None:
    """Width and height, None where they are not told."""
    for marker, body in _whole(data):
        if marker in FRAMES and len(body) >= 5:
            height, width = struct.unpack_from(">HH", body, 1)
            return width, height
    return None


def has_index(data: bytes) -> bool:
    """Whether an index of several pictures, or what tells of a gain map, is in the file."""
    return any(marker == _APP2 and body.startswith((_MPF, _GAIN)) for marker, body in _whole(data))


def look(data: bytes, beside: Attributes) -> None:
    """Tell what the segments of a file hold: the profile of all its parts; what is not kept; other colours than RGB."""
    parts: dict[int, bytes] = {}
    count, gain, pictures = 0, False, 1
    for marker, body in _whole(data):
        if marker == _APP2 and body.startswith(_ICC) and len(body) >= 14:
            parts.setdefault(body[12], body[14:])
            count = max(count, body[13])
        elif marker == _APP2 and body.startswith(_MPF):
            pictures = _pictures(body[4:])
        elif marker == _APP2 and body.startswith(_GAIN):
            gain = True
        elif marker == _APP1 and body.startswith((_XMP, _MORE_XMP)):
            beside.lose("its XMP")
            gain = gain or any(word in body for word in _GAIN_MAP_WORDS)
        elif marker == _APP13:
            beside.lose("its IPTC")
        elif marker == _COMMENT:
            beside.lose("its comment")
        elif marker in FRAMES and body[5:6] == b"\x04":
            beside.convert("CMYK is converted to RGB without its profile")
    beside.icc = b"".join(parts[k] for k in sorted(parts))
    if sorted(parts) != list(range(1, count + 1)):
        beside.icc = b""
        beside.lose(BROKEN_PROFILE)
    if gain:
        beside.lose("its gain map")
    elif pictures > 1:
        beside.lose("all pictures but the first")


def unreadable(data: bytes) -> str:
    """Why no decoder may be found for a JPEG; empty where none of that is so."""
    for marker, body in _whole(data):
        if marker in FRAMES and body:
            if marker in _LOSSLESS:
                return "lossless JPEG cannot be read"
            if body[0] != 8:
                return f"JPEG of {body[0]} bits a sample cannot be read"
    return ""


def _whole(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Segments up to one that is cut off."""
    try:
        yield from segments(data)
    except struct.error:
        return


def _pictures(index: bytes) -> int:
    """How many pictures the index of a file names; 1 where it cannot be read."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(index[:4])
    try:
        if order is not None:
            (at,) = struct.unpack_from(order + "I", index, 4)
            (count,) = struct.unpack_from(order + "H", index, at)
            for entry in range(at + 2, at + 2 + 12 * count, 12):
                tag, _, _, value = struct.unpack_from(order + "HHII", index, entry)
                if tag == _PICTURES:
                    return int(value)
    except struct.error:
        pass
    return 1
