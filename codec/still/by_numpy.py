"""Heads of stills in NumPy alone: for one small picture in a fresh process, which torch would keep waiting."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from heads.restorer.numpy_kernel import NumpyHead
from heads.restorer.planes import fold, grid_of
from heads.restorer.spec import INPUT_MAX

from ..frames import Plane, folds_of
from .payload import StillHeader
from .restore import Add, layers_of


def correct(header: StillHeader, planes: Sequence[Plane], add: Add, threads: int) -> None:
    """Give `add` what the head adds to the `upscaled` base."""
    head = NumpyHead(*layers_of(header), threads or os.cpu_count() or 1)

    def fill(rows: slice, to: NDArray[Any]) -> None:
        samples = to[:, : head.spec.planes]
        fold([p[2 * rows.start : 2 * rows.stop] for p in planes], folds_of("444"), samples.transpose(0, 2, 1))
        samples -= INPUT_MAX
        if head.spec.base_q:
            to[:, -1] = header.base_q

    def take(rows: slice, y: NDArray[Any]) -> None:
        add(rows, y.transpose(0, 2, 1))

    head.correct(*grid_of(planes[0].shape), fill, take)
