"""From a still's base to its colour: what encoder and decoder both run, so that they cannot differ.

All of it is integer arithmetic. A base is 10-bit 4:2:0 of the picture's own size; only its chroma is upscaled.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import cache

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from heads.exact import HeadError
from heads.int8 import filled
from heads.restorer.coded import decode_last
from heads.restorer.integer import IntegerHead
from heads.restorer.planes import cells, grid_of, unpack
from heads.restorer.spec import INPUT_MAX, HeadSpec
from heads.restorer.store import STILL_HEADS, pretrained

from ..base.colour import BITS, PEAK, to_pixels
from ..base.resample import upscale
from ..errors import FormatError
from ..frames import Plane, PlaneFormat, checksum, folds_of
from ..media.pictures import Pixels
from .payload import BAND_ROWS, NO_HEAD, StillHeader

BAND = 64  # rows of cells that `bands` gives at once
LIMIT = 1 << 15  # of corrections
BASE_SCALE = Fraction(1)  # a still's base is as large as the picture
FULL = PlaneFormat("444", 10)


def upscaled(base: Sequence[Plane], width: int, height: int) -> list[Plane]:
    """Three full-size 10-bit planes of the base by the fixed filter."""
    return upscale(base, FULL, width, height, BASE_SCALE)


def restored(planes: Sequence[Plane], header: StillHeader) -> Pixels:
    """Colour as the head that `header` describes makes it of the `upscaled` base, or as that is alone."""
    if header.head != NO_HEAD:
        full = corrected(head_of(header), planes, header.base_q)
    else:
        full = plain(planes)
    return to_pixels(full[: header.channels], (1 << header.depth) - 1)


def head_of(header: StillHeader) -> IntegerHead:
    """The head that a picture uses: a pretrained one, or that with another last layer. Raises FormatError."""
    head = pretrained_head(header.head)
    if not header.delta:
        return head
    try:
        return IntegerHead(head.spec, decode_last(header.delta, head.spec, head.layers))
    except HeadError as error:
        raise FormatError(f"the picture's own head is damaged: {error}") from None


@cache
def pretrained_head(number: int) -> IntegerHead:
    """The pretrained head of that number, ready to run. Raises FormatError where there is none of that number."""
    if number not in STILL_HEADS:
        raise FormatError(f"the picture needs head {number}, which this version does not have")
    stored = pretrained(STILL_HEADS[number])
    return IntegerHead(stored.spec, stored.layers)


def corrected(head: IntegerHead, planes: Sequence[Plane], base_q: int = 0) -> list[NDArray[np.int32]]:
    """Three full-size 10-bit planes as a head restores them, with BITS more bits."""
    folds = folds_of("444")
    out = [np.empty(p.shape, np.int32) for p in planes]

    def band(rows: slice, seen: slice, inner: slice) -> None:
        y = head.correction(inputs(head.spec, planes, base_q, seen).to(head.device))[inner]
        here = slice(2 * rows.start, 2 * rows.stop)
        parts = [plane[here] for plane in out]
        unpack(y.clamp_(-LIMIT, LIMIT - 1), folds, parts)
        for part, upscaled in zip(parts, planes, strict=True):
            part += upscaled[here].astype(np.int32) << BITS
            np.clip(part, 0, PEAK << BITS, out=part)

    head.in_bands(*grid_of(planes[0].shape), band, BAND_ROWS)
    return out


def plain(planes: Sequence[Plane]) -> list[NDArray[np.int32]]:
    """Planes with BITS more bits, as a picture without a head has them."""
    return [p.astype(np.int32) << BITS for p in planes]


def bands(spec: HeadSpec, planes: Sequence[Plane], base_q: int) -> Iterator[tuple[int, int, int, Tensor]]:
    """(first and last + 1 row of cells, row where the inputs begin, inputs of a head): band by band, each with as many
    rows around it as the layers see."""
    rows = grid_of(planes[0].shape)[0]
    for first in range(0, rows, BAND):
        last = min(first + BAND, rows)
        top, bottom = max(first - spec.layers, 0), min(last + spec.layers, rows)
        yield first, last, top, inputs(spec, planes, base_q, slice(top, bottom))


def inputs(spec: HeadSpec, planes: Sequence[Plane], base_q: int, rows: slice) -> Tensor:
    """The inputs of a head in some rows of cells: float32 (rows, columns, at least `spec.inputs`), integers."""
    here = [p[2 * rows.start : 2 * rows.stop] for p in planes]
    return cells(here, folds_of("444"), filled(spec.inputs), INPUT_MAX, base_q if spec.base_q else 0)


def alpha_prediction(base: Sequence[Plane], width: int, height: int, peak: int) -> Pixels:
    """Alpha (rows, columns, 1) of 0..peak as its own base shows it: what its loss-stream starts from."""
    return to_pixels(plain([base[0][:height, :width]]), peak)


def checksum_of_picture(pixels: Pixels) -> int:
    """CRC-32 of all samples, channel after channel."""
    return checksum(list(np.moveaxis(pixels, 2, 0)))
