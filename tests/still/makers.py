"""Pictures of every kind, for tests of stills."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.splat.makers import scene


def drawn(rows: int, columns: int, channels: int, deep: bool = False) -> NDArray[Any]:
    """A smooth scene with noise; alpha has clear, half clear and opaque parts."""
    pixels = scene(rows, columns, 3 if channels >= 3 else 1)
    if deep:
        low = np.random.default_rng(0).integers(0, 256, pixels.shape).astype(np.uint16)
        pixels = pixels.astype(np.uint16) << 8 | low
    if channels in (2, 4):
        alpha = np.clip(np.arange(columns) * 400 // columns - 50, 0, 255).astype(np.uint16)
        alpha = np.broadcast_to(alpha * (257 if deep else 1), (rows, columns))[..., None].astype(pixels.dtype)
        pixels = np.concatenate([pixels, alpha], axis=2)
    return pixels


def claiming_png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of a few bytes that claims to be an RGB picture of that size; `chunks` (kind, contents) follow IHDR."""
    header = b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [header, *chunks, (b"IDAT", zlib.compress(bytes(64))), (b"IEND", b"")]
    packed = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)
