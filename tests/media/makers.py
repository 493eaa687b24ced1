"""Samples of any depth, and picture files made of them byte by byte."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

ICC = b"\0\0\2\0    \2\x10\0\0mntrRGB XYZ " + bytes(range(200))


def samples(peak: int, *shape: int) -> NDArray[Any]:
    """Values of 0..peak, each of these two at least once."""
    found = np.random.default_rng(peak).integers(0, peak + 1, shape)
    found.reshape(-1)[:2] = 0, peak
    return found


def scaled(values: NDArray[Any], peak: int) -> NDArray[Any]:
    """As 8 bits, or 16 where they do not fit, rounded."""
    top = 255 if peak <= 255 else 65535
    return np.floor(values * top / peak + 0.5).astype(np.uint8 if top == 255 else np.uint16)


def packed(values: NDArray[Any], bits: int, order: str) -> bytes:
    """Rows of samples (rows, samples), each from a byte on."""
    if bits == 16:
        return values.astype(order + "u2").tobytes()
    lines = ["".join(f"{value:0{bits}b}" for value in row) for row in values.reshape(len(values), -1)]
    return b"".join(int(line + "0" * (-len(line) % 8), 2).to_bytes(-(-len(line) // 8)) for line in lines)


def bgr(values: NDArray[Any], bits: int) -> NDArray[Any]:
    """RGB samples as OpenCV takes them."""
    return np.ascontiguousarray(values[..., ::-1].astype(np.uint8 if bits == 8 else np.uint16))


def png(depth: int, kind: int, values: NDArray[Any], *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of samples (rows, columns, channels); `chunks` follow its header."""
    rows, columns, _ = values.shape
    lines = b"".join(b"\0" + packed(row.reshape(1, -1), depth, ">") for row in values)
    head = struct.pack(">IIBBBBB", columns, rows, depth, kind, 0, 0, 0)
    parts = [(b"IHDR", head), *chunks, (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    written = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(written)
