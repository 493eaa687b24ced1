"""Whether a file of a kind that mostly holds one picture holds several that follow each other: GIF, WebP, PNG, AVIF;
JPEG and JPEG 2000, of which films are one picture behind the other.

Only headers are read (of the last two, the first picture), and nothing is believed: whoever decodes the file finds out
what is true. References: GIF89a, RFC 9649 (WebP), the PNG specification's third edition (APNG), AV1 Image File Format
1.1 (sequences).
"""

from __future__ import annotations

import io
import os
import struct
from typing import IO

from ..errors import InputError
from ..wire import avif
from . import jpeg, jpeg_2000
from .behind import repeats
from .files import STDIN, is_pipe, opened, peeked
from .png import SIGNATURE

GIF = (b"GIF87a", b"GIF89a")
_ANIMATED = 0x02  # flag of a WebP
_FIRST_PICTURE = 1 << 26  # bytes that a JPEG is taken to have at most


def kind_of_animation(path: str) -> str:
    """ "webp", "png", "gif", "jpeg", "jpeg 2000" or "avif" where the file at `path` holds more than one picture, to be
    shown one after the other; else "". Of a pipe ("-") only what stands in it is looked at, and nothing taken."""
    if is_pipe(path):
        return _kind_of(io.BytesIO(peeked(path)))
    if path != STDIN and not os.path.isfile(path):  # what is read of a pipe is lost to whoever reads it next
        return ""
    try:
        with opened(path) as file:
            return _kind_of(file)
    except (InputError, OSError):  # said by whoever reads it
        return ""


def is_animation(path: str) -> bool:
    """Whether there are more pictures than one in the file at `path`, or on standard input ("-")."""
    return bool(kind_of_animation(path))


def holds_animation(data: bytes) -> bool:
    """The same for a file of which at least the beginning is in `data`: true where what is there says so."""
    return bool(_kind_of(io.BytesIO(data)))


def is_animated_webp(head: bytes) -> bool:
    """Whether a file that begins so is a WebP that says it is animated."""
    return head[:4] + head[8:16] == b"RIFFWEBPVP8X" and len(head) > 20 and bool(head[20] & _ANIMATED)


def _kind_of(file: IO[bytes]) -> str:
    head = file.read(avif.PEEK)
    try:
        if is_animated_webp(head):
            return "webp" * _webp(file, int.from_bytes(head[4:8], "little") + 8)
        if head.startswith(SIGNATURE):
            return "png" * _png(file)
        if head.startswith(GIF):
            return "gif" * _gif(file, head)
        if head.startswith((jpeg.MAGIC, *jpeg_2000.MAGICS)):
            file.seek(0)
            return ("jpeg" if head.startswith(jpeg.MAGIC) else "jpeg 2000") * repeats(file.read(_FIRST_PICTURE))
        return "avif" * avif.is_sequence(file)
    except (struct.error, IndexError, OverflowError):  # the file ends within its headers
        return ""


def _webp(file: IO[bytes], end: int) -> bool:
    """Whether there is a second frame, or the file is cut off before it might come."""
    at, frames = 12, 0
    while at + 8 <= end and frames < 2:
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            return True
        kind, size = struct.unpack("<4sI", head)
        frames += kind == b"ANMF"
        at += 8 + size + size % 2
    return frames > 1


def _png(file: IO[bytes]) -> bool:
    at = len(SIGNATURE)
    while True:
        file.seek(at)
        size, kind, count = struct.unpack(">I4sI", file.read(12))
        if kind == b"acTL":
            return count > 1
        if kind in (b"IDAT", b"IEND"):
            return False
        at += 12 + size


def _gif(file: IO[bytes], head: bytes) -> bool:
    at, frames = 13 + _palette(head[10]), 0
    while True:
        file.seek(at)
        kind = file.read(1)
        if kind == b",":
            frames += 1
            if frames > 1:
                return True
            at += 11 + _palette(file.read(9)[8])
        elif kind == b"!":
            at += 2
        else:
            return False
        while True:  # blocks of up to 255 bytes, until an empty one
            file.seek(at)
            size = file.read(1)[0]
            at += 1 + size
            if not size:
                break


def _palette(flags: int) -> int:
    """Bytes of a palette."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0
