"""From a still's base to its colour: what encoder and decoder both run, so that they cannot differ.

All of it is integer arithmetic. A base is 10-bit 4:2:0 of the picture's own size; only its chroma is upscaled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heads.choice import without_torch
from heads.layers import HeadError, Layer
from heads.restorer.coded import decode_last
from heads.restorer.planes import grid_of, unfold
from heads.restorer.spec import HeadSpec
from heads.restorer.store import STILL_HEADS, pretrained

from ..base.colour import BITS, PEAK, to_pixels
from ..base.resample import upscale
from ..errors import FormatError
from ..frames import Plane, PlaneFormat, checksum, folds_of
from ..loss.modes import GUIDED
from ..media.pictures import Pixels
from .payload import NO_HEAD, StillHeader

LIMIT = 1 << 15  # of corrections
BASE_SCALE = Fraction(1)  # a still's base is as large as the picture
FULL = PlaneFormat("444", 10)
Add = Callable[[slice, NDArray[Any]], None]  # takes what a head adds to some rows: (rows, columns, planes)
Correct = Callable[[Sequence[Plane], Add], None]  # a head, ready to run: it is given the upscaled base


def upscaled(base: Sequence[Plane], width: int, height: int) -> list[Plane]:
    """Three full-size 10-bit planes of the base by the fixed filter."""
    return upscale(base, FULL, width, height, BASE_SCALE)


def restored(planes: Sequence[Plane], header: StillHeader, head: Correct | None) -> Pixels:
    """Colour as `restoring` of a header makes it of the `upscaled` base, or as that is alone."""
    full = corrected(planes, head) if head else plain(planes)
    return to_pixels(full[: header.channels], (1 << header.depth) - 1)


def layers_of(header: StillHeader) -> tuple[HeadSpec, Sequence[Layer]]:
    """The head that a picture uses: a pretrained one, or that with another last layer. Raises FormatError."""
    if header.head not in STILL_HEADS:
        raise FormatError(f"the picture needs head {header.head}, which this version does not have")
    stored = pretrained(STILL_HEADS[header.head])
    if not header.delta:
        return stored.spec, stored.layers
    try:
        return stored.spec, decode_last(header.delta, stored.spec, stored.layers)
    except HeadError as error:
        raise FormatError(f"the picture's own head is damaged: {error}") from None


def restoring(header: StillHeader, device: str = "cpu", threads: int = 0) -> Correct | None:
    """The head that `header` describes, loaded and proven exact; None without one. Raises FormatError."""
    if header.head == NO_HEAD:
        return None
    spec, layers = layers_of(header)
    rows, columns = grid_of((header.height, header.width))
    # heads that guide a loss-stream are torch's
    if device == "cpu" and header.bounded != GUIDED.still and without_torch(spec.weights * rows * columns):
        from . import by_numpy

        return by_numpy.correcting(spec, layers, header.base_q, threads)
    from . import by_torch

    return by_torch.correcting(spec, layers, header.base_q, device, threads)


def corrected(planes: Sequence[Plane], head: Correct) -> list[NDArray[np.int32]]:
    """Three full-size 10-bit planes as a head restores them, with BITS more bits."""
    folds = folds_of("444")
    out = [np.empty(p.shape, np.int32) for p in planes]

    def add(rows: slice, cells: NDArray[Any]) -> None:
        here = slice(2 * rows.start, 2 * rows.stop)
        parts = [plane[here] for plane in out]
        unfold(np.clip(cells, -LIMIT, LIMIT - 1, out=cells), folds, parts)
        for part, upscaled in zip(parts, planes, strict=True):
            part += upscaled[here].astype(np.int32) << BITS
            np.clip(part, 0, PEAK << BITS, out=part)

    head(planes, add)
    return out


def plain(planes: Sequence[Plane]) -> list[NDArray[np.int32]]:
    """Planes with BITS more bits, as a picture without a head has them."""
    return [p.astype(np.int32) << BITS for p in planes]


def alpha_prediction(base: Sequence[Plane], width: int, height: int, peak: int) -> Pixels:
    """Alpha (rows, columns, 1) of 0..peak as its own base shows it: what its loss-stream starts from."""
    return to_pixels(plain([base[0][:height, :width]]), peak)


def checksum_of_picture(pixels: Pixels) -> int:
    """CRC-32 of all samples, channel after channel."""
    return checksum(list(np.moveaxis(pixels, 2, 0)))
