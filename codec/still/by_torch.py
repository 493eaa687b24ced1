"""Heads of stills on torch's kernels, on a processor or a GPU: for large pictures, for many, and for the encoder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from heads.int8 import filled
from heads.layers import Layer
from heads.restorer.integer import IntegerHead
from heads.restorer.loaded import restoring_head
from heads.restorer.planes import cells, grid_of
from heads.restorer.spec import INPUT_MAX, HeadSpec

from ..frames import Plane, folds_of
from ..machine import use_threads
from .payload import BAND_ROWS, StillHeader
from .restore import Add, Correct, layers_of

BAND = 64  # rows of cells that `bands` gives at once


def head_of(header: StillHeader, device: str) -> IntegerHead:
    """The head that a picture uses, ready to run. Raises FormatError."""
    return restoring_head(*layers_of(header), device)


def correcting(spec: HeadSpec, layers: Sequence[Layer], base_q: int, device: str, threads: int) -> Correct:
    """The head, ready to run."""
    use_threads(threads)
    head = restoring_head(spec, layers, device)

    def correct(planes: Sequence[Plane], add: Add) -> None:
        def band(rows: slice, seen: slice, inner: slice) -> None:
            x = inputs(spec, planes, base_q, seen).to(head.device)
            add(rows, head.correction(x)[inner].cpu().numpy())

        head.in_bands(*grid_of(planes[0].shape), band, BAND_ROWS)

    return correct


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
