"""Chunks of PNG: what a file says of its colours and of transparent samples, read and written.

Reference: Portable Network Graphics, third edition (W3C, 2025). Of what speaks of colour the first of cICP, iCCP, sRGB,
and gAMA with cHRM counts. Samples are decoded elsewhere; of plain pictures they are written here.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .attributes import Attributes
from .colours import CHROMATICITIES, GAMMAS, Chromaticities, Points, named, points_of, profile

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB = 0, 2  # colour types without alpha or palette
_TYPES = {1: GREY, 2: GREY + 4, 3: RGB, 4: RGB + 4}  # by channels
_UP = 2  # the filter of a row: differences to the row above
_LEVEL = 1  # zlib's
_BAND = 1 << 19  # bytes of samples that are worth a thread
_XMP = b"XML:com.adobe.xmp\0"
_OF_HDR = {b"mDCV": "its mastering display", b"cLLI": "its content light levels"}
_TEXT = (b"tEXt", b"zTXt", b"iTXt")
_CRC = 4  # bytes behind the contents of a chunk
_HEAD = 33  # bytes of the signature and IHDR
_DEFLATE_MAX = 1032  # bytes that one byte holds at most: 258 of two bits
_PARTS = 100000  # in which gAMA and cHRM count


def walk(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(kind, where the contents begin, where they end) of the chunks up to IEND, as they claim; the last may reach
    beyond the file."""
    at, kind = len(SIGNATURE), b""
    while kind != b"IEND" and at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        yield kind, at + 8, at + 8 + length
        at += 12 + length


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(kind, contents) of the chunks of a file that are whole, but for the picture's own data."""
    for kind, at, end in walk(data):
        if kind == b"IEND" or end + _CRC > len(data):
            return
        if kind not in (b"IDAT", b"fdAT"):
            yield kind, data[at:end]


def check(data: bytes) -> None:
    """Raise InputError for a file whose chunks reach beyond its end, or whose samples are fewer than its header claims:
    decoders allocate what is claimed, and only then find nothing there."""
    last, stop, packed = b"", 0, 0
    for last, at, end in walk(data):
        stop = end + _CRC
        packed += end - at if last == b"IDAT" else 0
    if last != b"IEND" or stop > len(data):
        raise InputError("the PNG is cut off or damaged")
    columns, rows, depth = struct.unpack_from(">IIB", data, len(SIGNATURE) + 8)
    if columns * rows * depth > 8 * packed * _DEFLATE_MAX:
        raise InputError("the PNG is cut off or damaged")


def look(data: bytes, beside: Attributes) -> None:
    """Tell what the chunks of a file say of colour, beside a profile that is known, and what else is not kept."""
    found: dict[bytes, bytes] = {}
    for kind, body in chunks(data):
        found.setdefault(kind, body)
        if kind == b"iTXt" and body.startswith(_XMP):
            beside.lose("its XMP")
        elif kind in _TEXT and not body.startswith(b"date:"):  # times of files, which some programs write unasked
            beside.lose("its text")
    for kind, name in _OF_HDR.items():
        if kind in found:
            beside.lose(name)
    _colour(found, beside, grey=found.get(b"IHDR", b"")[9:10] in (b"\0", b"\4"))


def _colour(found: dict[bytes, bytes], beside: Attributes, grey: bool) -> None:
    cicp = found.get(b"cICP", b"")
    if len(cicp) == 4 and points_of(cicp[0], cicp[1]) == (cicp[0], cicp[1]):  # others mean nothing
        beside.points = points_of(cicp[0], cicp[1])
        if beside.icc:
            beside.icc = b""
            beside.lose("its colour profile, which its code points overrule,")
        if not cicp[3]:
            beside.lose("that its samples are of limited range")
        return
    if b"iCCP" in found and not beside.icc:
        beside.lose("its colour profile, which cannot be read,")
    if beside.icc or b"iCCP" in found or b"sRGB" in found:
        return
    gamma, chromaticities = _gamma(found.get(b"gAMA", b"")), _chromaticities(found.get(b"cHRM", b""))
    if gamma is None and chromaticities is None:
        return
    points = named(gamma, chromaticities)
    if points is not None:
        beside.points = points
        return
    beside.icc = profile(gamma, chromaticities, grey)
    if beside.icc:
        beside.notes.append("its gamma and chromaticities are kept as a colour profile")
    else:
        beside.lose("its gamma and chromaticities, which describe no colours,")


def _gamma(body: bytes) -> float | None:
    value = int.from_bytes(body) if len(body) == 4 else 0
    return value / _PARTS if value else None


def _chromaticities(body: bytes) -> Chromaticities | None:
    return tuple(value / _PARTS for value in struct.unpack(">8I", body)) if len(body) == 32 else None


def encoded(pixels: NDArray[Any]) -> bytes:
    """A file of samples (rows, columns, 1 to 4), uint8 or uint16; bands of rows are packed side by side."""
    rows, columns, channels = pixels.shape
    high_first = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder(">"))
    samples = high_first.view(np.uint8).reshape(rows, -1)
    filtered = np.empty((rows, 1 + samples.shape[1]), np.uint8)
    filtered[:, 0], filtered[0, 1:] = _UP, samples[0]
    np.subtract(samples[1:], samples[:-1], out=filtered[1:, 1:])
    count = max(1, min(os.cpu_count() or 1, filtered.size // _BAND, rows))
    bands = [filtered[rows * k // count : rows * (k + 1) // count] for k in range(count)]

    def packed(k: int) -> bytes:
        packer = zlib.compressobj(_LEVEL, wbits=-15)  # of one stream: each band but the last ends at a whole byte
        return packer.compress(bands[k].data) + packer.flush(zlib.Z_FINISH if k == count - 1 else zlib.Z_FULL_FLUSH)

    with ThreadPoolExecutor(count, "png") as pool:
        parts = list(pool.map(packed, range(count)))
    stream = b"\x78\x01" + b"".join(parts) + struct.pack(">I", zlib.adler32(filtered.data))
    head = struct.pack(">IIBBBBB", columns, rows, 8 * pixels.itemsize, _TYPES[channels], 0, 0, 0)
    return SIGNATURE + _chunk(b"IHDR", head) + _chunk(b"IDAT", stream) + _chunk(b"IEND", b"")


def with_transparency(data: bytes, pixels: NDArray[Any]) -> NDArray[Any]:
    """Grey samples (rows, columns, 1) with the alpha that tRNS says: the samples of one value are clear. Other pictures
    as they are."""
    found = dict(reversed(list(chunks(data))))
    head, clear = found.get(b"IHDR", b""), found.get(b"tRNS", b"")
    if pixels.shape[2] != 1 or len(head) != 13 or len(clear) != 2 or head[9] != GREY:
        return pixels
    depth = head[8]
    peak = (1 << depth) - 1
    top = np.iinfo(pixels.dtype).max
    value = (int.from_bytes(clear) & peak) * top // peak
    return np.concatenate([pixels, np.where(pixels == value, 0, top).astype(pixels.dtype)], axis=2)


def with_points(data: bytes, points: Points) -> bytes:
    """A file that tells code points, and to older readers a gamma and chromaticities where those are known."""
    parts = [_chunk(b"cICP", bytes([*points, 0, 1]))]
    if points.transfer in GAMMAS:
        parts.append(_chunk(b"gAMA", struct.pack(">I", round(GAMMAS[points.transfer] * _PARTS))))
        values = CHROMATICITIES[points.primaries]
        parts.append(_chunk(b"cHRM", struct.pack(">8I", *(round(value * _PARTS) for value in values))))
    return data[:_HEAD] + b"".join(parts) + data[_HEAD:]


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
