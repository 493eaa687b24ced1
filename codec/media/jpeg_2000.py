"""Boxes of a JPEG 2000 file: bits a sample, which OpenCV does not scale, and what is said of colours.

Reference: ISO/IEC 15444-1, annexes A and I.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .attributes import Attributes
from .pnm import scaled

CODESTREAM = b"\xff\x4f\xff\x51"
MAGICS = (CODESTREAM, b"\0\0\0\x0cjP  ")
_FILM = b"mjp2"  # brand
_SIZES = 42  # of a codestream: where the depths of its components begin
_ENUMERATED, _PROFILES = 1, (2, 3)
_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")  # the name of its box
_RGB_AND_GREY = (16, 17)


def is_picture(head: bytes) -> bool:
    """Whether a file that begins so is a picture, and no film of Motion JPEG 2000, which begins alike."""
    return head.startswith(MAGICS) and (head.startswith(CODESTREAM) or head[20:24] != _FILM)


def boxes(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(kind, begin and end of contents) of boxes, those within the header too, up to one that is cut off."""
    at = 0
    while at + 16 <= len(data) and data[at : at + 4] != CODESTREAM:
        length, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, at + 8)
            head = 16
        if kind == b"jp2h":
            at += head  # its boxes follow
            continue
        end = at + length if length else len(data)
        if end < at + head:
            return
        yield kind, at + head, end
        at = end


def codestream(data: bytes) -> int:
    """Where the coded picture begins, -1 where there is none."""
    if data.startswith(CODESTREAM):
        return 0
    return next((first for kind, first, _ in boxes(data) if kind == b"jp2c"), -1)


def look(data: bytes, pixels: NDArray[Any], beside: Attributes) -> NDArray[Any]:
    """Samples of all their 8 or 16 bits; tells the profile. Raises InputError for what OpenCV reads wrongly."""
    at = codestream(data)
    depths = {depth & 0x7F for depth in data[at + _SIZES : at + _SIZES + 3 * pixels.shape[2] : 3]}
    palette = False
    if at:
        for kind, first, end in boxes(data):
            palette = palette or kind == b"pclr"
            if kind == b"uuid":
                beside.lose("its XMP" if data[first : first + 16] == _XMP else "its metadata")
            elif kind == b"xml ":
                beside.lose("its text")
            if kind == b"colr" and not beside.icc and end - first >= 7:
                _colour(data[first:end], beside)
    if palette or len(depths) != 1:
        raise InputError("JPEG 2000 with a palette, or channels of several depths, cannot be read")
    (bits,) = depths
    if not 8 < bits + 1 < 16:
        return pixels
    peak = (2 << bits) - 1
    beside.notes.append(f"samples of {bits + 1} bits are scaled to 16")
    return scaled(np.minimum(pixels, peak), peak)


def _colour(body: bytes, beside: Attributes) -> None:
    if body[0] in _PROFILES:
        beside.icc = body[3:]
    elif body[0] == _ENUMERATED and int.from_bytes(body[3:7]) not in _RGB_AND_GREY:
        beside.convert("colours of another space are converted to RGB")
