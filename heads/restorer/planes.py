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


def continued(plane: NDArray[Any], shape: tuple[int, int]) -> NDArray[Any]:
    """A plane continued to `shape` by its last row and column; itself where it is as large."""
    if plane.shape == shape:
        return plane
    return np.pad(plane, [(0, n - have) for n, have in zip(shape, plane.shape, strict=True)], mode="edge")


def pack(planes: Sequence[NDArray[np.generic]], folds: Sequence[tuple[int, int]], out: Tensor) -> None:
    """`fold` into a tensor."""
    fold(planes, folds, out.numpy())


def cells(
    planes: Sequence[NDArray[np.uint16]], folds: Sequence[tuple[int, int]], channels: int, middle: int, fill: int = 0
) -> Tensor:
    """Planes less `middle`, float32 (h, w, channels); the first channel after theirs is `fill`, others are 0."""
    import torch

    h, w = (-(-n // r) for n, r in zip(planes[0].shape, folds[0], strict=True))
    used = sum(r * c for r, c in folds)
    grid = np.empty((h, w, channels), np.uint16)
    fold(planes, folds, grid[:, :, :used])
    for channel in range(used, channels):  # one by one: NumPy's inner loop would be over the channels
        grid[:, :, channel] = middle + (fill if channel == used else 0)
    return torch.from_numpy(np.subtract(grid, np.float32(middle), dtype=np.float32))


def fold(planes: Sequence[NDArray[np.generic]], folds: Sequence[tuple[int, int]], grid: NDArray[Any]) -> None:
    """Write `planes` (2-D integer arrays) into `grid`, a float32 or integer (h, w, channels) view of the grid."""
    h, w = grid.shape[:2]
    at = 0
    for plane, (r, c) in zip(planes, folds, strict=True):
        plane = continued(plane, (h * r, w * c))
        for y in range(r):
            for one, other in _copies(plane[y::r], grid[:, :, at : at + c]):
                other[:] = one
            at += c


def packed(planes: Sequence[NDArray[np.int16]], folds: Sequence[tuple[int, int]]) -> NDArray[np.int16]:
    """Planes as (h, w, channels)."""
    out = np.empty((*grid_of(planes[0].shape), sum(r * c for r, c in folds)), np.int16)
    fold(planes, folds, out)
    return out


def unpack(grid: Tensor, folds: Sequence[tuple[int, int]], out: Sequence[NDArray[np.generic]]) -> None:
    """`unfold` of a tensor."""
    unfold(grid.cpu().numpy(), folds, out)


def unfold(found: NDArray[Any], folds: Sequence[tuple[int, int]], out: Sequence[NDArray[np.generic]]) -> None:
    """Write `found`, (h, w, channels) integers that the planes' dtype holds, into the planes `out`."""
    at = 0
    for plane, (r, c) in zip(out, folds, strict=True):
        for y in range(r):
            row = plane[y::r]
            for one, other in _copies(row, found[: len(row), :, at : at + c]):
                one[:] = other
            at += c


def _copies(plane: NDArray[Any], grid: NDArray[Any]) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """Views of rows of a plane (h, w · c) and of their channels (h, w, c) in the grid that hold the same samples: one
    for each channel, or a single one of pairs, where two neighbours lie side by side in both."""
    c, size, width = grid.shape[2], plane.itemsize, plane.shape[1]
    beside = plane.strides[1] == grid.strides[2] == size == grid.itemsize <= 2
    if c == 2 and beside and width == 2 * grid.shape[1]:
        pair = np.dtype(f"u{2 * size}")
        return [(plane.view(pair), grid.view(pair)[:, :, 0])]
    return [(plane[:, x::c], grid[:, : -(-(width - x) // c), x]) for x in range(c)]
