"""The order in which the samples of a plane are coded where every one is sent: interleaved passes.

A coarse grid first, then the samples between, each pass with its decoded neighbours around it (P. G. Howard and
J. S. Vitter, "MLP", DCC 1991)."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from heads.density.head import PHASES

from ..frames import SUBSAMPLING, PlaneFormat
from .entropy import Ints

Shorts = NDArray[np.int16]
COARSE, LAST, BOTH, THIRD = 1, 2, 2, 4  # flags of heads: coarse grid; last picture known; samples of RGB; third plane
PASSES = ((2, 0), (2, 1), (2, 2), (2, 3), (1, 1), (1, 2), (1, 3))  # unit of the grid, phase


def whole_cells(plane: NDArray, mode: Literal["edge", "constant"] = "edge") -> Shorts:
    """The plane continued by its edge (or by zeros) to a multiple of four samples a side: whole cells of the coarse
    grid."""
    h, w = plane.shape
    clipped = np.clip(plane, -(1 << 14), 1 << 14).astype(np.int16)
    return np.pad(clipped, ((0, -h % 4), (0, -w % 4)), mode=mode) if h % 4 or w % 4 else clipped


def samples_of(unit: int, phase: int) -> tuple[slice, slice]:
    """Where a plane's samples of a phase lie, on the grid of that unit."""
    y, x = PHASES[phase]
    return slice(unit * y, None, 2 * unit), slice(unit * x, None, 2 * unit)


def under_chroma(luma: Ints, fmt: PlaneFormat) -> Ints:
    """Four times the mean of the luma samples that lie under each chroma sample."""
    sx, sy = SUBSAMPLING[fmt.chroma] or (1, 1)
    h, w = luma.shape
    if sy == 2:
        luma = np.pad(luma, ((0, h % 2), (0, 0)), mode="edge")
        luma = luma[::2] + luma[1::2]
    else:
        luma = 2 * luma
    if sx == 2:
        luma = np.pad(luma, ((0, 0), (0, w % 2)), mode="edge")
        return luma[:, ::2] + luma[:, 1::2]
    return 2 * luma


def to_chroma(luma: Ints, fmt: PlaneFormat) -> Ints:
    """Twice the mean of the luma samples that lie under each chroma sample, rounded down; in 4:4:4 the samples."""
    return under_chroma(luma, fmt) >> (2 if fmt.chroma == "444" else 1)
