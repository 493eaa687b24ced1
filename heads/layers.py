"""A quantised layer and its limits: what both families of heads have in common. NumPy alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WEIGHT_MAX = 127
EXACT = 1 << 24  # integers below are exact in float32, in any order of summation
SCALE_BITS_MAX = 8  # a weight is w / 2^scale_bits
BIAS_MAX = 1 << 20
BIAS_COARSE = 4  # a change of biases is so many bits coarser than that of weights: their unit is that of sums


class HeadError(ValueError):
    """A head that breaks the rules of the format."""


def with_input(weight: NDArray[np.integer], shift: int) -> NDArray[np.int64]:
    """`weight` (n, n or more, k, k) of a layer that adds its input << `shift` to its sums, with that as 2^shift more at
    the centre."""
    own, middle = np.arange(len(weight)), weight.shape[-1] // 2
    whole = weight.astype(np.int64)
    whole[own, own, middle, middle] += 1 << shift
    return whole


@dataclass(frozen=True, eq=False)
class Layer:
    """One quantised convolution: weight int8 (out, in, 3, 3), bias int32 (out,) in accumulator units, and the
    scale: a weight stands for weight / 2^scale_bits. Equal to those of the same shape with the same integers."""

    weight: NDArray[np.int8]
    bias: NDArray[np.int32]
    scale_bits: int

    @property
    def numbers(self) -> bytes:
        """All its integers: the scale, weights, biases of 32 bits, the high byte first."""
        return bytes([self.scale_bits]) + self.weight.astype(">i1").tobytes() + self.bias.astype(">i4").tobytes()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Layer):
            return NotImplemented
        return self.weight.shape == other.weight.shape and self.numbers == other.numbers

    def __hash__(self) -> int:
        return hash((self.weight.shape, self.numbers))
