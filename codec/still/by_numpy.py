"""Heads of stills in NumPy alone: for one small picture in a fresh process, which torch would keep waiting."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from heads.layers import Layer
from heads.restorer.numpy_kernel import NumpyHead
from heads.restorer.planes import fold, grid_of
from heads.restorer.spec import INPUT_MAX, HeadSpec

from ..frames import Plane, folds_of
from .restore import Add, Correct


def correcting(spec: HeadSpec, layers: Sequence[Layer], base_q: int, threads: int) -> Correct:
    """The head, ready to run."""
    head = NumpyHead(spec, layers, threads or os.cpu_count() or 1)

    def correct(planes: Sequence[Plane], add: Add) -> None:
        def fill(rows: slice, to: NDArray[Any]) -> None:
            samples = to[:, : spec.planes]
            fold([p[2 * rows.start : 2 * rows.stop] for p in planes], folds_of("444"), samples.transpose(0, 2, 1))
            samples -= INPUT_MAX
            if spec.base_q:
                to[:, -1] = base_q

        def take(rows: slice, y: NDArray[Any]) -> None:
            add(rows, y.transpose(0, 2, 1))

        head.correct(*grid_of(planes[0].shape), fill, take)

    return correct
