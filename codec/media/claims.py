"""How large a picture its file claims to be, read from the headers alone: what is known before anything is decoded.

A decoder allocates what a header says, so a file of a few bytes could take any memory. Only kinds whose headers are
read here are decoded at all (`codec.media.pictures`): PNG, JPEG, TIFF, BMP, PNM and PAM, WebP, AVIF, GIF, JPEG 2000 and
such Sun rasters as OpenCV reads: those in the order of BGR, not of the newer kind of RGB. References: ISO/IEC 15948
(PNG), ITU-T T.81 (JPEG), TIFF 6.0, RFC 9649 (WebP), ISO/IEC 15444-1 (JPEG 2000).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from ..errors import FormatError
from ..wire import avif
from . import bmp, jpeg, jpeg_2000, png, pnm, tiff

Size = tuple[int, int]  # width, height


def claimed_sizes(data: bytes, page: tiff.Directory | None = None) -> list[Size]:
    """(width, height) of the picture that a file's bytes claim, of a TIFF on that page or the first, then of what it is
    made of where that may be larger, as tiles. Empty for a file of another kind, or whose header is cut off or
    senseless."""
    for begins, sizes in _KINDS:
        if begins(data):
            try:
                found = _tiff(data, page) if sizes is _tiff else sizes(data)
                return [(width, height) for width, height in found if width > 0 and height > 0]
            except (struct.error, FormatError):  # the file ends within its header
                return []
    return []


def _png(data: bytes) -> Iterator[Size]:
    if data[12:16] == b"IHDR":
        yield struct.unpack_from(">II", data, 16)
    for kind, at, _ in png.walk(data):
        if kind == b"fcTL":  # of an animation, each frame has a size of its own
            yield struct.unpack_from(">II", data, at + 4)


def _jpeg(data: bytes) -> Iterator[Size]:
    for marker, body in jpeg.segments(data):
        if marker in jpeg.FRAMES:
            height, width = struct.unpack_from(">HH", body, 1)
            yield width, height


def _tiff(data: bytes, page: tiff.Directory | None = None) -> Iterator[Size]:
    found = page or tiff.page_of(data, 1)[0]
    yield found.number(tiff.WIDTH), found.number(tiff.HEIGHT)
    yield found.number(tiff.TILE_WIDTH), found.number(tiff.TILE_HEIGHT)


def _bmp(data: bytes) -> Iterator[Size]:
    (header,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if header == 12 else "<ii", data, 18)
    yield abs(width), abs(height)


def _pnm(data: bytes) -> Iterator[Size]:
    if found := pnm.header_of(data):
        yield found.width, found.height


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
    at = jpeg_2000.codestream(data)
    if at >= 0 and data[at : at + 4] == jpeg_2000.CODESTREAM:
        right, bottom, left, top = struct.unpack_from(">IIII", data, at + 8)
        yield right - left, bottom - top


def _sun(data: bytes) -> Iterator[Size]:
    yield struct.unpack_from(">II", data, 4)


def _beginning(*magics: bytes) -> Callable[[bytes], bool]:
    return lambda data: data.startswith(magics)


_KINDS: tuple[tuple[Callable[[bytes], bool], Callable[[bytes], Iterator[Size]]], ...] = (
    (_beginning(png.SIGNATURE), _png),
    (_beginning(jpeg.MAGIC), _jpeg),
    (_beginning(*tiff.MAGICS), _tiff),
    (_beginning(bmp.MAGIC), _bmp),
    (pnm.is_pnm, _pnm),
    (lambda data: data[:4] + data[8:12] == b"RIFFWEBP", _webp),
    (avif.is_avif, avif.claimed_sizes),
    (_beginning(b"GIF87a", b"GIF89a"), _gif),
    (_beginning(*jpeg_2000.MAGICS), _jpeg_2000),
    (_beginning(b"\x59\xa6\x6a\x95"), _sun),
)
