"""How the encoder fits the weights of linear forms, and whether it sends them. The decoder never imports this module.

Iteratively reweighted least squares (P. W. Holland and R. E. Welsch, Communications in Statistics 6(9), 1977).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .entropy import Ints
from .linear_forms import FOLD, WEIGHT_BITS

ESCAPE_BITS = 12  # of an escaped difference
FIRST_GAIN = 0.05  # bits a sample; later passes live on what the first fit does for earlier ones


def thinned(shape: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns that full-plane weights are fitted on: all of a small plane, some of a large one.

    The spacing is odd: a source that was once enlarged, and any block transform, tells even places from odd ones.
    """
    thin = int((shape[0] * shape[1] / 20000) ** 0.5) | 1
    return slice(thin // 2, None, thin), slice(thin // 2, None, thin)


def differences(
    columns: Sequence[NDArray],
    target: NDArray,
    old: Ints,
    limit: NDArray | int,
    magnitude: bool,
    samples: int,
    prices: NDArray,
    sent_before: bool,
) -> Ints | None:
    """Folded differences between fitted weights and the old ones, or None where they cost more than they save over
    `samples`. `prices`: bits of each symbol of a difference."""
    new, gain = fit(columns, target, old, limit, magnitude)
    folded = np.where(new < old, 2 * (old - new) - 1, 2 * (new - old))
    symbols = np.minimum(folded, FOLD - 1)
    price = prices[symbols].sum() + ESCAPE_BITS * (symbols == FOLD - 1).sum()
    if not sent_before:
        gain = max(gain, FIRST_GAIN)
    return folded if gain * samples > price else None


def fit(
    columns: Sequence[NDArray], target: NDArray, old: Ints, limit: NDArray | int, magnitude: bool
) -> tuple[Ints, float]:
    """Integer weights (WEIGHT_BITS fractional bits) with sum(weight * column) near `target`, and the bits a sample
    that they save against `old`.

    Towards least absolute deviation, or for a `magnitude` towards a constant relative error, which is what one wants.
    """
    thin = max(1, target.size // 20000) | 1
    # In slices that BLAS does not hand to its threads, which on a busy machine wait for each other far too long.
    rows = min(8192 // len(columns), -(-target.size // thin))
    slices = -(-target.size // thin) // rows
    a = np.stack([c.reshape(-1)[::thin] for c in columns], axis=1)[: slices * rows].astype(np.float64)
    a = a.reshape(slices, rows, len(columns))
    y = target.reshape(-1)[::thin][: slices * rows].astype(np.float64).reshape(slices, rows)
    unit = np.abs(y).mean() / 4 + 0.05
    weight = np.ones_like(y)
    solution = np.zeros(len(columns))
    for _ in range(3):
        weighted = (a * weight[..., None]).transpose(0, 2, 1)
        normal = np.matmul(weighted, a).sum(axis=0)
        ridge = 1e-4 * np.trace(normal) / len(normal) + 1e-6
        moment = np.matmul(weighted, y[..., None]).sum(axis=0)[:, 0]
        solution = np.linalg.solve(normal + ridge * np.eye(len(normal)), moment)
        fitted = np.matmul(a, solution)
        weight = 1 / (np.maximum(fitted, 0) + unit) ** 2 if magnitude else 1 / (np.abs(y - fitted) + unit)
    limit = np.asarray(limit)
    new = np.clip(np.rint(solution * (1 << WEIGHT_BITS)), -limit, limit).astype(np.int32)

    def bits(w: Ints) -> float:
        """Mean code length up to a constant, where the scale of the remainder follows its surroundings."""
        value = np.matmul(a, w / (1 << WEIGHT_BITS))
        if not magnitude:
            return np.log2(np.abs(y - value) + unit).mean()
        value = np.maximum(value, 0) + unit / 16
        return (np.log2(value) + math.log2(math.e) * y / value).mean()

    return new, bits(old) - bits(new)
