"""Animations that tests make: WebP and PNG put together chunk by chunk, so that every field can be any."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Samples = NDArray[Any]


class Drawn(NamedTuple):
    """A frame: its samples, where they lie, and how they are drawn. `delay`: ms; `dispose`: as the format counts."""

    samples: Samples
    left: int = 0
    top: int = 0
    delay: int = 40
    dispose: int = 0
    over: bool = False


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of RIFF."""
    return kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)


def _sides(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(3, "little") for number in numbers)


def webp(width: int, height: int, frames: Sequence[Drawn], flags: int = 0x12, extra: bytes = b"") -> bytes:
    """An animated WebP of lossless frames, RGB or RGBA; `flags` of its header."""
    parts = [chunk(b"VP8X", bytes([flags, 0, 0, 0]) + _sides(width - 1, height - 1)), chunk(b"ANIM", bytes(6))]
    for frame in frames:
        rows, columns = frame.samples.shape[:2]
        swapped = np.concatenate([frame.samples[..., 2::-1], frame.samples[..., 3:]], axis=2)
        still = cv2.imencode(".webp", swapped, [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes()
        at = still.index(b"VP8L")
        coded = still[at : at + 8 + int.from_bytes(still[at + 4 : at + 8], "little") + 1 & ~1]
        head = _sides(frame.left // 2, frame.top // 2, columns - 1, rows - 1, frame.delay)
        parts.append(chunk(b"ANMF", head + bytes([frame.dispose | (not frame.over) << 1]) + coded))
    body = b"WEBP" + b"".join(parts) + extra
    return b"RIFF" + struct.pack("<I", len(body)) + body


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def apng(width: int, height: int, frames: Sequence[Drawn], default: Samples | None = None, extra: bytes = b"") -> bytes:
    """An animated PNG; `default` is a picture that is no part of the animation."""
    channels = {1: 0, 2: 4, 3: 2, 4: 6}[frames[0].samples.shape[2]]
    depth = frames[0].samples.dtype.itemsize * 8
    parts = [b"\x89PNG\r\n\x1a\n"]
    parts += [png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, channels, 0, 0, 0))]
    parts += [png_chunk(b"acTL", struct.pack(">II", len(frames), 0)), extra]
    number = 0
    if default is not None:
        parts.append(png_chunk(b"IDAT", _deflated(default)))
    for k, frame in enumerate(frames):
        rows, columns = frame.samples.shape[:2]
        place = struct.pack(">5I", number, columns, rows, frame.left, frame.top)
        how = struct.pack(">HHBB", frame.delay, 1000, frame.dispose, frame.over)
        parts.append(png_chunk(b"fcTL", place + how))
        number += 1
        if k == 0 and default is None:
            parts.append(png_chunk(b"IDAT", _deflated(frame.samples)))
        else:
            parts.append(png_chunk(b"fdAT", struct.pack(">I", number) + _deflated(frame.samples)))
            number += 1
    return b"".join([*parts, png_chunk(b"IEND", b"")])


def _deflated(samples: Samples) -> bytes:
    rows = samples.astype(samples.dtype.newbyteorder(">"))
    return zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))


def random_frames(seed: int, width: int, height: int, count: int, disposals: int, channels: int = 4) -> list[Drawn]:
    """Frames of random samples, places, delays and ways; the first covers all. Places are even, as WebP needs."""
    rng = np.random.default_rng(seed)
    frames = []
    for k in range(count):
        whole = k == 0 or rng.random() < 0.2
        left, top = (0, 0) if whole else (2 * int(rng.integers(0, width // 2)), 2 * int(rng.integers(0, height // 2)))
        columns = width if whole else int(rng.integers(1, width - left + 1))
        rows = height if whole else int(rng.integers(1, height - top + 1))
        samples = rng.integers(0, 256, (rows, columns, channels)).astype(np.uint8)
        if channels in (2, 4):
            samples[rng.random((rows, columns)) < 0.3, -1] = 0
            samples[rng.random((rows, columns)) < 0.3, -1] = 255
        delay, dispose = int(rng.integers(20, 500)), int(rng.integers(0, disposals))
        frames.append(Drawn(samples, left, top, delay, dispose, bool(rng.integers(0, 2))))
    return frames
