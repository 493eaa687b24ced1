"""What follows a picture in its file: more of them, as in films that are pictures one after the other, or other data.

References: ISO/IEC 15948 (PNG), ITU-T T.81 (JPEG), RFC 9649 (WebP), ISO/IEC 15444-1 annex A (JPEG 2000).
"""

from __future__ import annotations

import re
import struct

from . import jpeg, jpeg_2000
from .png import SIGNATURE as PNG

_NEXT_2000 = re.compile(b"\xff\xd9(?=" + b"|".join(map(re.escape, jpeg_2000.MAGICS)) + b")")  # within none of them
_NOTHING = b"\0\xff\r\n \t\x1a"  # bytes that only fill


def end_of(data: bytes) -> int:
    """Where the first picture of a file ends; the file's end where that is not known."""
    try:
        if data.startswith(jpeg.MAGIC):
            return jpeg.end_of(data)
        if data.startswith(PNG):
            return _end_of_png(data)
        if data[:4] + data[8:12] == b"RIFFWEBP":
            (size,) = struct.unpack_from("<I", data, 4)
            return min(8 + size + size % 2, len(data))
    except struct.error:  # cut off
        return len(data)
    found = _NEXT_2000.search(data) if data.startswith(jpeg_2000.MAGICS) else None
    return found.end() if found else len(data)


def _end_of_png(data: bytes) -> int:
    at = len(PNG)
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        at += 12 + length
        if kind == b"IEND":
            return at
    return len(data)


def beginning(data: bytes) -> bytes:
    """How a file begins where it is of a kind whose end is found; else nothing."""
    if data[:4] + data[8:12] == b"RIFFWEBP":
        return data[:4]
    return next((magic for magic in (jpeg.MAGIC, PNG, *jpeg_2000.MAGICS) if data.startswith(magic)), b"")


def left_over(data: bytes) -> str:
    """What follows the first picture of a file, as notes call it; empty where nothing does."""
    rest = data[end_of(data) :]
    magic = beginning(data)
    if magic and rest.startswith(magic):
        return "all pictures but the first"
    return "what lies behind its end" if rest.strip(_NOTHING) else ""


def repeats(data: bytes) -> bool:
    """Whether pictures of JPEG or JPEG 2000 follow each other, as in a film; those that an index names belong together
    otherwise. `data`: a file, or as much of it as holds its first picture."""
    if not data.startswith((jpeg.MAGIC, *jpeg_2000.MAGICS)):
        return False
    following = data[end_of(data) :]
    if not following.startswith(beginning(data)):
        return False
    return data.startswith(jpeg_2000.MAGICS) or (
        not jpeg.has_index(data) and jpeg.size_of(data) == jpeg.size_of(following)
    )
