"""Pictures of every kind, for tests of stills."""

from __future__ import annotations

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
