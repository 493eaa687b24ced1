"""Still pictures as Gaussians: a file of a few kilobytes that a decoder turns into pixels in a tenth of a second.

A tile of 32x32 pixels is a plane plus Gaussians of 376 shapes at places of fixed lattices, chosen greedily for what
they explain against what they cost, and quantised with one step for the whole picture. Nothing is blended or sorted:
atoms add up. `atoms` is the alphabet, `tables` what was learnt of it, `entropy` and `sections` the coding, `payload`
the .nvs file (SPLAT.md), `render` the way back to pixels; `pursuit`, `fit` and `rate` make files and need torch.
Arrays in, arrays or bytes out: imports no other package of the project.

    data = splat.encode(pixels, bpp=0.3)      # uint8 (h, w, 1..4)
    pixels = splat.decode(data)
    corner = splat.decode(data, region=(0, 0, 256, 256), zoom=2)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .atoms import check_size
from .errors import SplatError
from .payload import MAX_MEMORY, MAX_PIXELS, Region, describe, read
from .render import compose

__all__ = ["Region", "SplatError", "check_size", "decode", "describe", "encode"]


def encode(pixels: NDArray[np.uint8], **wishes: Any) -> bytes:
    """The file of a picture, uint8 (h, w, 1..4): grey, grey and alpha, RGB, RGB and alpha.

    Wishes: see `splat.rate.encode`.
    """
    from .rate import encode as made  # brings torch, which decoding does without

    return made(pixels, **wishes)


def decode(
    data: bytes,
    region: Region | None = None,
    zoom: float = 1.0,
    *,
    max_pixels: int = MAX_PIXELS,
    max_memory: int = MAX_MEMORY,
) -> NDArray[np.uint8]:
    """Pixels of a file, uint8 (h, w, 1..4). Raises SplatError.

    region: x, y, width, height in the picture's pixels; only the parts of the file that it needs are read.
    zoom: 0.1..16, of the result's size (see `splat.render.zoomed`).
    max_pixels, max_memory (bytes): what a file may claim, and take, before it is refused.
    """
    return compose(read(data, region, max_pixels=max_pixels, max_memory=max_memory), region, zoom)
