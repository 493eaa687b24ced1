"""What proves that a head's arithmetic is exact: bounds that follow from its integers, and what plain integer
arithmetic makes of a patch, for kernels to be compared with. NumPy alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..layers import BIAS_MAX, EXACT, WEIGHT_MAX, HeadError, Layer
from .spec import ACT_MAX, HISTORY_MAX, INPUT_MAX, SKIP_BITS, HeadSpec, effective, shift_of


def worst_sums(spec: HeadSpec, layers: Sequence[Layer]) -> list[int]:
    """Largest magnitude that any partial sum of each layer can reach, rounding constant and base included."""
    sums = []
    for i, layer in enumerate(layers):
        peak = np.full(layer.weight.shape[1], ACT_MAX, np.int64)
        if i == 0:
            peak[: spec.planes], peak[spec.planes :] = INPUT_MAX, HISTORY_MAX
        elif i == len(layers) - 1:
            peak[spec.width :] = HISTORY_MAX << SKIP_BITS
        w = np.abs(effective(spec, i, layer)).sum(axis=(2, 3)) @ peak
        shift = shift_of(i, len(layers) - 1, layer.scale_bits)
        worst = int((w + np.abs(layer.bias.astype(np.int64))).max()) + (1 << shift + 1)
        worst += ACT_MAX << shift if spec.adds(i) else 0
        if i == len(layers) - 1:
            worst += 2 * INPUT_MAX << shift
        sums.append(worst)
    return sums


def check(spec: HeadSpec, layers: Sequence[Layer]) -> None:
    """Raise HeadError unless `layers` form a head of shape `spec` whose arithmetic is exact in float32."""
    if [layer.weight.shape for layer in layers] != spec.shapes():
        raise HeadError("the weights do not have the head's shape")
    for i, layer in enumerate(layers):
        if int(np.abs(layer.weight.astype(np.int16)).max()) > WEIGHT_MAX:
            raise HeadError(f"layer {i} has a weight beyond ±{WEIGHT_MAX}")
        if int(np.abs(layer.bias.astype(np.int64)).max()) > BIAS_MAX:
            raise HeadError(f"layer {i} has a bias beyond ±{BIAS_MAX}")
    for i, worst in enumerate(worst_sums(spec, layers)):
        if worst >= EXACT:
            raise HeadError(f"layer {i} can reach {worst}, beyond what is exact (2^24)")


def is_legal(spec: HeadSpec, layers: Sequence[Layer]) -> bool:
    """Whether `check` has nothing against `layers`."""
    try:
        check(spec, layers)
    except HeadError:
        return False
    return True


def integer_sums(spec: HeadSpec, layers: Sequence[Layer], x: NDArray[np.int64]) -> NDArray[np.int64]:
    """The accumulators (planes, h, w) of the last layer for inputs (inputs, h, w), by integer arithmetic."""
    last = spec.layers - 1
    skips = x[spec.skips] << SKIP_BITS
    for i, layer in enumerate(layers):
        if i == last:
            x = np.concatenate([x, skips])
        acc = _sums_of(effective(spec, i, layer), x) + layer.bias[:, None, None]
        shift = shift_of(i, last, layer.scale_bits)
        acc += x << shift if spec.adds(i) else 0
        x = acc if i == last else np.clip((acc + (1 << shift >> 1)) >> shift, 0, ACT_MAX)
    return x


def _sums_of(weight: NDArray[np.int64], x: NDArray[np.int64]) -> NDArray[np.int64]:
    """(outputs, h, w) sums of products of `weight` (outputs, inputs, 3, 3), zeros beyond the edge."""
    inputs, rows, columns = x.shape
    # integers below 2^53, which float64 holds: NumPy is many times as fast at those as at int64
    padded = np.pad(x.astype(np.float64), ((0, 0), (1, 1), (1, 1)))
    seen = np.empty((9, inputs, rows, columns))
    for k in range(9):
        seen[k] = padded[:, k // 3 : k // 3 + rows, k % 3 : k % 3 + columns]
    products = weight.transpose(0, 2, 3, 1).reshape(len(weight), -1).astype(np.float64) @ seen.reshape(9 * inputs, -1)
    return products.astype(np.int64).reshape(-1, rows, columns)
