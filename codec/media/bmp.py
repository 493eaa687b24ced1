"""Windows and OS/2 bitmaps, decoded here: OpenCV passes over alpha, and gives other samples of run lengths and of OS/2.

    file header 14 bytes  "BM", size, reserved, where samples begin
    header                its size (12 OS/2; 40, 52, 56, 64, 108, 124), width, height (negative: from the top), ...
    masks, palette        as the header says
    samples               rows from the bottom, each a multiple of 4 bytes

Reference: Microsoft, "Bitmap storage"; run lengths as its "Bitmap compression" describes them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .attributes import Attributes
from .pnm import scaled

MAGIC = b"BM"
_FILE_HEADER, _CORE = 14, 12
_KNOWN = (_CORE, 40, 52, 56, 64, 108, 124)
_OS2 = 64
_PLAIN, _RUNS_8, _RUNS_4, _FIELDS, _ALPHA_FIELDS = 0, 1, 2, 3, 6
_MASKS = {16: (0x7C00, 0x3E0, 0x1F, 0), 32: (0xFF0000, 0xFF00, 0xFF, 0)}
_EMBEDDED = b"DEBM"  # PROFILE_EMBEDDED, as its number lies in the file


@dataclass(frozen=True)
class _Header:
    """`size` of the header, bits a pixel, `compression` of these, where samples begin, colours of the palette."""

    size: int
    width: int
    height: int
    bits: int
    compression: int
    at: int
    colours: int


def decode(data: bytes, beside: Attributes) -> NDArray[Any]:
    """Samples (rows, columns, 1, 3 or 4), uint8. Raises InputError."""
    try:
        header = _header(data)
        masks = _masks(data, header)
        profile = _profile(data, header)
    except struct.error:
        raise InputError("the BMP is cut off") from None
    beside.icc = profile
    rows = abs(header.height)
    if header.bits <= 8:
        pixels = _palette(data, header)[_indices(data, header, rows)]
        if not profile and (pixels[..., :1] == pixels[..., 1:]).all():
            pixels = pixels[..., :1]
    elif header.bits == 24:
        pixels = _lines(data, header, rows)[:, : 3 * header.width].reshape(rows, header.width, 3)[..., ::-1]
    else:
        whole = _lines(data, header, rows).view(f"<u{header.bits // 8}")[:, : header.width]
        channels = [_channel(whole, mask) for mask in masks if mask]
        if header.compression == _PLAIN and header.bits == 32 and not _fills(whole >> 24):
            beside.lose("its fourth channel, of which the file does not say that it is alpha,")
        if len(channels) == 4 and not channels[3].any():  # written by those who forget it
            channels.pop()
        pixels = np.stack(channels, axis=2)
    return pixels if header.height < 0 else pixels[::-1]


def _header(data: bytes) -> _Header:
    """Raises struct.error where it is cut off, InputError for what is not read."""
    at, size = struct.unpack_from("<II", data, 10)
    if size not in _KNOWN:
        raise InputError(f"BMP with a header of {size} bytes cannot be read")
    if size == _CORE:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        compression, colours = _PLAIN, 1 << bits if bits <= 8 else 0
    else:
        width, height, _, bits, compression, _, _, _, colours = struct.unpack_from("<iiHHIIiiI", data, 18)
        if bits <= 8:
            colours = min(colours or 1 << bits, 1 << bits)
    allowed = {
        _PLAIN: (1, 2, 4, 8, 16, 24, 32),
        _RUNS_8: (8,),
        _RUNS_4: (4,),
        _FIELDS: (16, 32),
        _ALPHA_FIELDS: (16, 32),
    }
    if bits not in allowed.get(compression, ()) or (size == _OS2 and compression >= _FIELDS) or width <= 0:
        raise InputError(f"BMP of {bits} bits a pixel and compression {compression} cannot be read")
    return _Header(size, width, height, bits, compression, at, colours)


def _masks(data: bytes, header: _Header) -> tuple[int, ...]:
    """Of red, green, blue and alpha, 0 without; none where pixels are not masked."""
    if header.compression not in (_FIELDS, _ALPHA_FIELDS):
        return _MASKS.get(header.bits, ())
    place = _FILE_HEADER + 40
    four = header.size >= 56 or header.compression == _ALPHA_FIELDS
    masks = (*struct.unpack_from("<III", data, place), *(struct.unpack_from("<I", data, place + 12) if four else (0,)))
    if 0 in masks[:3] or not all(_in_one(mask) and mask >> header.bits == 0 for mask in masks):
        raise InputError("BMP of such masks of channels cannot be read")
    return masks


def _in_one(mask: int) -> bool:
    """Whether a mask's bits, 8 at most, follow one another."""
    run = mask // (mask & -mask) if mask else 0
    return run & (run + 1) == 0 and run <= 255


def _fills(channel: NDArray[Any]) -> bool:
    """Whether a channel says nothing: all bits set everywhere, or none."""
    first = channel.flat[0]
    return bool(first in (0, 255) and (channel == first).all())


def _channel(whole: NDArray[Any], mask: int) -> NDArray[np.uint8]:
    lowest = mask & -mask
    return scaled((whole & mask) // lowest, mask // lowest)


def _profile(data: bytes, header: _Header) -> bytes:
    """An ICC profile that the file holds, empty without."""
    if header.size < 124 or data[_FILE_HEADER + 56 : _FILE_HEADER + 60] != _EMBEDDED:
        return b""
    offset, size = struct.unpack_from("<II", data, _FILE_HEADER + 112)
    return data[_FILE_HEADER + offset :][:size]


def _palette(data: bytes, header: _Header) -> NDArray[np.uint8]:
    """(256, 3) red, green, blue; black where the file has none."""
    wide = 3 if header.size == _CORE else 4
    place = _FILE_HEADER + header.size
    found = np.frombuffer(data[place : place + wide * header.colours], np.uint8)
    found = found[: len(found) // wide * wide].reshape(-1, wide)[:, 2::-1]
    return np.concatenate([found, np.zeros((256 - len(found), 3), np.uint8)])


def _lines(data: bytes, header: _Header, rows: int) -> NDArray[np.uint8]:
    """(rows, bytes) in the order of the file."""
    stride = (header.width * header.bits + 31) // 32 * 4
    if header.at + stride * rows > len(data):
        raise InputError("the BMP is cut off")
    return np.frombuffer(data, np.uint8, stride * rows, header.at).reshape(rows, stride)


def _indices(data: bytes, header: _Header, rows: int) -> NDArray[np.uint8]:
    """(rows, columns) of numbers of colours, in the order of the file."""
    if header.compression in (_RUNS_8, _RUNS_4):
        return _of_runs(data[header.at :], header, rows)
    lines = _lines(data, header, rows)
    if header.bits < 8:
        places = np.arange(8 - header.bits, -1, -header.bits)
        lines = (lines[..., None] >> places & (1 << header.bits) - 1).astype(np.uint8).reshape(rows, -1)
    return lines[:, : header.width]


def _of_runs(data: bytes, header: _Header, rows: int) -> NDArray[np.uint8]:
    """Indices of run lengths; colour 0 where nothing is said. What lies outside of the picture is passed over."""
    width, small = header.width, header.compression == _RUNS_4
    out = bytearray(rows * width)
    x = y = at = 0
    while at + 1 < len(data) and y < rows:
        count, value = data[at], data[at + 1]
        at += 2
        if count:
            if x < width:  # beyond it any number of runs may follow
                fits = min(count, width - x)
                out[y * width + x : y * width + x + fits] = _repeated(value, fits, small)
            x += count
        elif value == 0:
            x, y = 0, y + 1
        elif value == 1 or (value == 2 and at + 1 >= len(data)):
            break
        elif value == 2:
            x, y, at = x + data[at], y + data[at + 1], at + 2
        else:
            length = (value + 1) // 2 if small else value
            said = data[at : at + length] if x < width else b""
            said = (_halves(said) if small else said)[: min(value, max(width - x, 0))]
            out[y * width + x : y * width + x + len(said)] = said
            x, at = x + value, at + length + length % 2
    return np.frombuffer(out, np.uint8).reshape(rows, width)


def _repeated(value: int, count: int, small: bool) -> bytes:
    """A run of one index, or of two in turn where they are of 4 bits."""
    return (bytes((value >> 4, value & 15)) * (count // 2 + 1))[:count] if small else bytes((value,)) * count


def _halves(data: bytes) -> bytes:
    """The two indices of 4 bits in each byte."""
    return bytes(half for value in data for half in (value >> 4, value & 15))
