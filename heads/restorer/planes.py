"""Pictures as the head sees them: every plane folded onto the grid of half the luma resolution.

A luma plane becomes four channels (the samples of each 2x2 cell), a chroma plane one (4:2:0), two (4:2:2, one under
the other) or four (4:4:4). Planes of odd size are first continued by repeating their last row and column. The fold
is a permutation: `unpack` undoes `pack`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor


def grid_of(luma_shape: tuple[int, int]) -> tuple[int, int]:
    """(rows, columns) of the grid of a picture whose luma plane has this shape."""
    return -(-luma_shape[0] // 2), -(-luma_shape[1] // 2)


def pack(planes: Sequence[NDArray[np.generic]], folds: Sequence[tuple[int, int]], out: Tensor) -> None:
    """`fold` into a tensor."""
    fold(planes, folds, out.numpy())


def fold(planes: Sequence[NDArray[np.generic]], folds: Sequence[tuple[int, int]], grid: NDArray[Any]) -> None:
    """Write `planes` (2-D integer arrays) into `grid`, a float32 or int16 (h, w, channels) view of the grid."""
    h, w = grid.shape[:2]
    at = 0
    for plane, (r, c) in zip(planes, folds, strict=True):
        if plane.shape != (h * r, w * c):
            plane = np.pad(plane, ((0, h * r - plane.shape[0]), (0, w * c - plane.shape[1])), mode="edge")
        for y in range(r):
            for x in range(c):  # channel by channel: torch's copies of permuted views take six times as long
                grid[:, :, at] = plane[y::r, x::c]
                at += 1


def packed(planes: Sequence[NDArray[np.int16]], folds: Sequence[tuple[int, int]]) -> NDArray[np.int16]:
    """Planes as (h, w, channels)."""
    out = np.empty((*grid_of(planes[0].shape), sum(r * c for r, c in folds)), np.int16)
    fold(planes, folds, out)
    return out


def unpack(grid: Tensor, folds: Sequence[tuple[int, int]], out: Sequence[NDArray[np.generic]]) -> None:
    """`unfold` of a tensor."""
    unfold(grid.cpu().numpy(), folds, out)


def unfold(cells: NDArray[Any], folds: Sequence[tuple[int, int]], out: Sequence[NDArray[np.generic]]) -> None:
    """Write `cells`, (h, w, channels) integers that the planes' dtype holds, into the planes `out`."""
    at = 0
    for plane, (r, c) in zip(out, folds, strict=True):
        for y in range(r):
            for x in range(c):
                to = plane[y::r, x::c]
                to[:] = cells[: to.shape[0], : to.shape[1], at]
                at += 1
