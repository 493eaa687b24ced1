"""How large a picture its file claims to be, read from the headers alone: what is known before anything is decoded.

A decoder allocates what a header says, so a file of a few bytes could take any memory. Only kinds whose headers are
read here are decoded at all (`codec.media.pictures`): PNG, JPEG, TIFF, BMP, PNM and PAM, WebP, AVIF, GIF, JPEG 2000 and
Sun raster. References: ISO/IEC 15948 (PNG), ITU-T T.81 (JPEG), TIFF 6.0, RFC 9649 (WebP), ISO/IEC 15444-1 (JPEG 2000).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator

from ..errors import FormatError
from ..wire import avif

Size = tuple[int, int]  # width, height

PNG = b"\x89PNG\r\n\x1a\n"
TIFF = (b"II*\0", b"MM\0*")
BIG_TIFF = (b"II+\0", b"MM\0+")
_SPACE = rb"(?:\s|#[^\r\n]*[\r\n])+"  # comments are space
_PNM = re.compile(rb"P[1-6]" + _SPACE + rb"(\d{1,10})" + _SPACE + rb"(\d{1,10})[\s#]")
_PAM = re.compile(rb"P7\s(?:[^\n]*\n)*?ENDHDR\s")
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers of JPEG that begin a frame
_BARE = {0x01, *range(0xD0, 0xD9)}  # markers without a length
_WIDTH, _HEIGHT, _TILE_WIDTH, _TILE_HEIGHT = 256, 257, 322, 323  # tags of TIFF
_ENTRIES_MAX = 4096  # of a directory of TIFF


def claimed_sizes(data: bytes) -> list[Size]:
    """(width, height) of the picture that a file's bytes claim, then of what it is made of where that may be larger, as
    tiles. Empty for a file of another kind, or one whose header is cut off or makes no sense."""
    for begins, sizes in _KINDS:
        if begins(data):
            try:
                return [(width, height) for width, height in sizes(data) if width > 0 and height > 0]
            except (struct.error, FormatError):  # the file ends within its header
                return []
    return []


def has_more_pages(data: bytes) -> bool:
    """Whether a file is a TIFF of several pages."""
    if not data.startswith((*TIFF, *BIG_TIFF)):
        return False
    try:
        *_, (_, following) = _directory(data)
    except struct.error:
        return False
    return following != 0


def _png(data: bytes) -> Iterator[Size]:
    if data[12:16] == b"IHDR":
        yield struct.unpack_from(">II", data, 16)
    at = 8
    while at + 8 <= len(data):  # of an animation, each frame has a size of its own
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"fcTL":
            yield struct.unpack_from(">II", data, at + 12)
        if kind == b"IEND":
            break
        at += 12 + length


def _jpeg(data: bytes) -> Iterator[Size]:
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
            if marker in _FRAMES:
                height, width = struct.unpack_from(">HH", data, at + 5)
                yield width, height
            if marker in (0xDA, 0xD9):  # what follows is coded
                return
            at += 2 + length


def _directory(data: bytes) -> Iterator[tuple[int, int]]:
    """(tag, value) of the numbers of the first directory of a TIFF; at last (0, where the next one lies)."""
    order = "<" if data[:2] == b"II" else ">"
    big = data[:4] in BIG_TIFF
    count_form, entry_form, at_form = ("Q", "HHQ", "Q") if big else ("H", "HHI", "I")
    (at,) = struct.unpack_from(order + at_form, data, 8 if big else 4)
    (count,) = struct.unpack_from(order + count_form, data, at)
    at += struct.calcsize(order + count_form)
    entry = struct.calcsize(order + entry_form)
    wide = entry + struct.calcsize(order + at_form)
    for number in range(min(count, _ENTRIES_MAX)):
        tag, kind, _ = struct.unpack_from(order + entry_form, data, at + number * wide)
        form = {3: "H", 4: "I", 16: "Q"}.get(kind)
        if form:
            yield tag, *struct.unpack_from(order + form, data, at + number * wide + entry)
    yield 0, *struct.unpack_from(order + at_form, data, at + count * wide)


def _tiff(data: bytes) -> Iterator[Size]:
    found: dict[int, int] = {}
    for tag, value in _directory(data):
        found.setdefault(tag, value)
    yield found.get(_WIDTH, 0), found.get(_HEIGHT, 0)
    yield found.get(_TILE_WIDTH, 0), found.get(_TILE_HEIGHT, 0)


def _bmp(data: bytes) -> Iterator[Size]:
    (header,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if header == 12 else "<ii", data, 18)
    yield abs(width), abs(height)


def _pnm(data: bytes) -> Iterator[Size]:
    if found := _PNM.match(data):
        yield int(found[1]), int(found[2])


def _pam(data: bytes) -> Iterator[Size]:
    header = _PAM.match(data)
    words = dict(re.findall(rb"^(WIDTH|HEIGHT)\s+(\d{1,10})", header[0] if header else b"", re.MULTILINE))
    yield int(words.get(b"WIDTH", 0)), int(words.get(b"HEIGHT", 0))


def _webp(data: bytes) -> Iterator[Size]:
    kind = data[12:16]
    if kind == b"VP8X":
        low, high, low_rows, high_rows = struct.unpack_from("<HBHB", data, 24)
        yield (high << 16 | low) + 1, (high_rows << 16 | low_rows) + 1
    elif kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        yield (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        yield width & 0x3FFF, height & 0x3FFF


def _gif(data: bytes) -> Iterator[Size]:
    yield struct.unpack_from("<HH", data, 6)


def _jpeg_2000(data: bytes) -> Iterator[Size]:
    at = 0
    while data[at : at + 4] != _CODESTREAM:  # boxes of a JP2 file
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"jp2c":
            at += 16 if length == 1 else 8
            break
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, at + 8)
        if length < 8:
            return
        at += length
    if data[at : at + 4] == _CODESTREAM:
        right, bottom, left, top = struct.unpack_from(">IIII", data, at + 8)
        yield right - left, bottom - top


def _sun(data: bytes) -> Iterator[Size]:
    yield struct.unpack_from(">II", data, 4)


_CODESTREAM = b"\xff\x4f\xff\x51"


def _beginning(*magics: bytes) -> Callable[[bytes], bool]:
    return lambda data: data.startswith(magics)


_KINDS: tuple[tuple[Callable[[bytes], bool], Callable[[bytes], Iterator[Size]]], ...] = (
    (_beginning(PNG), _png),
    (_beginning(b"\xff\xd8\xff"), _jpeg),
    (_beginning(*TIFF, *BIG_TIFF), _tiff),
    (_beginning(b"BM"), _bmp),
    (lambda data: bool(re.match(rb"P[1-6]\s", data)), _pnm),
    (_beginning(b"P7"), _pam),
    (lambda data: data[:4] + data[8:12] == b"RIFFWEBP", _webp),
    (avif.is_avif, avif.claimed_sizes),
    (_beginning(b"GIF87a", b"GIF89a"), _gif),
    (_beginning(_CODESTREAM, b"\0\0\0\x0cjP  "), _jpeg_2000),
    (_beginning(b"\x59\xa6\x6a\x95"), _sun),
)
