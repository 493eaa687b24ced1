"""Portable anymaps: PBM, PGM and PPM (P1 to P6) and PAM (P7), decoded here since samples reach up to any maximum.

Samples below a maximum other than 255 and 65535 are scaled to one of these: rounded, one value to one, so that the
file's own samples can be worked out again. Reference: the pages pbm(5), pgm(5), ppm(5), pam(5) of Netpbm.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

_SPACE = rb"(?:\s|#[^\r\n]*[\r\n])+"  # comments are space
_BITS = re.compile(rb"P([14])" + _SPACE + rb"(\d{1,10})" + _SPACE + rb"(\d{1,10})(?:\s|#[^\r\n]*[\r\n])")
_HEAD = re.compile(
    rb"P([2356])" + _SPACE + rb"(\d{1,10})" + _SPACE + rb"(\d{1,10})" + _SPACE + rb"(\d{1,5})(?:\s|#[^\r\n]*[\r\n])"
)
_PAM = re.compile(rb"P7\s(?:[^\n]*\n)*?ENDHDR[^\n]*\n")
_FIELDS = re.compile(rb"^(WIDTH|HEIGHT|DEPTH|MAXVAL)\s+(\d{1,10})", re.MULTILINE)
_FLOATS = re.compile(rb"P[FfHh]4?\s")
_ANY = re.compile(rb"P[1-7]\s")
_DIGITS_MAX = 9
_HEAD_MAX = 1 << 16  # bytes that are searched for a header


class Header(NamedTuple):
    """`kind` 1..7 as in the file's first bytes, samples a pixel, their maximum, where they begin."""

    kind: int
    width: int
    height: int
    channels: int
    peak: int
    at: int


def is_pnm(data: bytes) -> bool:
    """Whether a file that begins so is one of these."""
    return bool(_ANY.match(data))


def is_float(data: bytes) -> bool:
    """Whether a file that begins so is of their kind, but of floating-point samples."""
    return bool(_FLOATS.match(data))


def header_of(data: bytes) -> Header | None:
    """The header of a file, None where it is cut off or makes no sense."""
    head = data[:_HEAD_MAX]
    if found := _BITS.match(head):
        return Header(int(found[1]), int(found[2]), int(found[3]), 1, 1, found.end())
    if found := _HEAD.match(head):
        kind = int(found[1])
        header = Header(kind, int(found[2]), int(found[3]), 3 if kind in (3, 6) else 1, int(found[4]), found.end())
    elif found := _PAM.match(head):
        words = {name: int(value) for name, value in _FIELDS.findall(found[0])}
        if len(words) < 4:
            return None
        width, height, channels, peak = (words[name] for name in (b"WIDTH", b"HEIGHT", b"DEPTH", b"MAXVAL"))
        header = Header(7, width, height, channels, peak, found.end())
    else:
        return None
    return header if 1 <= header.peak <= 65535 else None


def decode(data: bytes, header: Header) -> tuple[NDArray[Any], int]:
    """(samples (rows, columns, channels) of 0..255 or 0..65535, position behind them). Raises InputError."""
    if not 1 <= header.channels <= 4:
        raise InputError(f"a picture of {header.channels} channels cannot be stored")
    count = header.width * header.height * header.channels
    if header.kind in (1, 2, 3):
        samples, end = _ascii(data, header, count)
    elif header.kind == 4:
        stride = -(-header.width // 8)
        end = header.at + stride * header.height
        packed = _taken(data, header.at, end, np.dtype(np.uint8)).reshape(header.height, stride)
        samples = np.unpackbits(packed, axis=1)[:, : header.width]
    else:
        dtype = np.dtype(np.uint8 if header.peak < 256 else ">u2")
        end = header.at + count * dtype.itemsize
        samples = _taken(data, header.at, end, dtype)
    if header.kind in (1, 4):
        samples = 1 - samples  # ones are black
    if count and int(samples.max()) > header.peak:
        raise InputError(f"samples exceed the maximum of {header.peak}")
    return scaled(samples, header.peak).reshape(header.height, header.width, header.channels), end


def _taken(data: bytes, at: int, end: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    if end > len(data):
        raise InputError("the picture is cut off")
    return np.frombuffer(data[at:end], dtype)


def _ascii(data: bytes, header: Header, count: int) -> tuple[NDArray[Any], int]:
    """Samples in digits. Raises InputError."""
    text = np.frombuffer(re.sub(rb"#[^\r\n]*", b"", data[header.at :]) + b" ", np.uint8)
    digit = (text >= ord("0")) & (text <= ord("9"))
    if header.kind == 1:  # digits need no space between them
        samples = text[digit] - ord("0")
    else:
        edges = np.flatnonzero(np.diff(digit, prepend=False))[: 2 * count].reshape(-1, 2)
        first, end = edges[:, 0], edges[:, 1]
        if len(edges) and int((end - first).max()) > _DIGITS_MAX:
            raise InputError("a sample has too many digits")
        samples = np.zeros(len(edges), np.uint32)
        for place in range(_DIGITS_MAX):
            there = end - place > first
            samples[there] += (text[end[there] - place - 1] - ord("0")) * np.uint32(10**place)
    if len(samples) < count:
        raise InputError("the picture is cut off")
    return samples[:count], len(data)


def scaled(samples: NDArray[Any], peak: int) -> NDArray[Any]:
    """Samples of 0..peak as 8 bits, or 16 where they do not fit, rounded half up."""
    top = 255 if peak <= 255 else 65535
    dtype = np.uint8 if top == 255 else np.uint16
    if peak == top:
        return samples.astype(dtype)
    table = ((np.arange(peak + 1, dtype=np.int64) * (2 * top) + peak) // (2 * peak)).astype(dtype)
    return table[samples]
