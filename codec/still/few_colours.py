"""Whether a picture is coded as a palette, and what browsers show of it then."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from ..frames import Plane
from ..media.pictures import Picture, Pixels
from .palette import Indexed, order_of, palette_encode

COLOURS = 4096  # of a picture that is tried as a palette
SCATTERED = 0.17  # share of pixels unlike the four around them, from which on candidates do not pay
SURE, SURE_BITS = 0.1, 1.0  # share, and bits a pixel, below which nothing else is tried
TONES = 64  # of a grey picture: with more, and scattered ones, it is a photograph
TALL = 2  # times as high as wide: coded as columns, in fewer waves
COARSE_CRF, COARSE_PRESET = 63.0, 5  # of what browsers show of it
BLUR = (1, 8, 32)  # samples that are averaged in it, until it takes no more than
SHOWN_SHARE, SHOWN_LEAST = 1 / 16, 160  # that share of the loss-stream, or so many bytes


def indexed(picture: Picture) -> Indexed | None:
    """The picture as a palette with alpha, or without if that has too many colours; None where both have."""
    alpha = picture.alpha
    with_alpha = alpha is not None and not (alpha == picture.peak).all()  # opaque everywhere takes no bits
    found = _indexed(picture.pixels, True) if with_alpha else None
    return found or _indexed(picture.colour, False)


def _indexed(pixels: Pixels, alpha: bool) -> Indexed | None:
    rows, columns, channels = pixels.shape
    keys = np.zeros((rows, columns), np.uint64)
    for channel in order_of(channels):
        keys = keys << np.uint64(8 * pixels.itemsize) | pixels[..., channel]
    if len(np.unique(keys[:: max(1, rows // 64)])) > COLOURS:
        return None
    found, first, indices = np.unique(keys, return_index=True, return_inverse=True)
    if len(found) > COLOURS:
        return None
    palette = pixels.reshape(-1, channels)[first]
    return Indexed(palette, indices.reshape(rows, columns).astype(np.int32), alpha)


def scattered(indices: NDArray[np.int32]) -> float:
    """Share of pixels that equal none of those to the left, above, above left and above right."""
    padded = np.pad(indices, ((1, 0), (1, 1)))
    here = padded[1:, 1:-1]
    near = (padded[1:, :-2], padded[:-1, 1:-1], padded[:-1, :-2], padded[:-1, 2:])
    return float(np.logical_and.reduce([here != other for other in near]).mean())


def worth_trying(picture: Indexed, share: float) -> bool:
    """False for grey photographs, with alpha or without, which have few colours, but no palette."""
    return picture.palette.shape[1] - picture.alpha > 1 or share < SCATTERED or len(picture.palette) <= TONES


def stream_of(picture: Indexed, share: float) -> bytes:
    """Its loss-stream."""
    rows, columns = picture.indices.shape
    rounds = 3 if share < SCATTERED or len(picture.palette) <= 2 else 0
    return palette_encode(picture, rounds, rows > TALL * columns)


def shown(planes: Sequence[Plane], code: Callable[[Sequence[Plane]], bytes], stream: int) -> bytes:
    """The AV1 temporal unit of a picture for viewers alone: as fine as `stream` bytes beside it allow. `code` makes one
    of planes."""
    unit = b""
    for size in BLUR:
        unit = code(planes if size == 1 else blurred(planes, size))
        if len(unit) <= max(SHOWN_LEAST, SHOWN_SHARE * stream):
            break
    return unit


def blurred(planes: Sequence[Plane], size: int) -> list[Plane]:
    """Planes of the same sizes without detail finer than `size` samples."""
    found = []
    for plane in planes:
        rows, columns = plane.shape
        small = (max(1, columns // size), max(1, rows // size))
        mean = cv2.resize(plane, small, interpolation=cv2.INTER_AREA)
        found.append(cv2.resize(mean, (columns, rows), interpolation=cv2.INTER_LINEAR))
    return found
