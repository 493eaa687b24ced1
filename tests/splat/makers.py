"""Pictures for the tests of stills, and how near two are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


def scene(height: int = 96, width: int = 128, channels: int = 3) -> Pixels:
    """A sloping sky, a disc, an edge and some texture: uint8 (height, width, channels)."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    disc = ((y - height / 3) ** 2 + (x - width / 2) ** 2 < (height / 5) ** 2)[..., None]
    sky = np.stack([90 + y, 130 + 0.5 * y, 200 - 0.3 * x], axis=2)
    ground = np.stack([70 + 25 * np.sin(x / 2.3), 110 + 20 * np.sin(y / 1.7), 60 + 0 * x], axis=2)
    drawn = np.where((y + 0.2 * x > 0.7 * height)[..., None], ground, np.where(disc, [230, 180, 40], sky))
    noise = np.random.default_rng(7).normal(0, 2, drawn.shape)
    colours = np.clip(drawn + noise, 0, 255).astype(np.uint8)
    alpha = np.clip(255 * disc + 40, 0, 255).astype(np.uint8)
    parts = {1: [colours[..., 1:2]], 2: [colours[..., 1:2], alpha], 3: [colours], 4: [colours, alpha]}[channels]
    return np.concatenate(parts, axis=2)


def psnr(a: Pixels, b: Pixels) -> float:
    return float(10 * np.log10(255**2 / max(1e-9, np.mean((a.astype(float) - b) ** 2))))
