"""The float twin of a head: what training moves, and the integers that it stands for, alike for both families.

Quantisation follows Jacob et al., "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference" (CVPR 2018), section 3, restricted to power-of-two scales and no zero points; its
gradients are straight-through: those of the identity (Bengio, Léonard and Courville, arXiv:1308.3432).

Nothing here runs in a decoder.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .layers import WEIGHT_MAX, Layer


def straight_through(x: Tensor, rounded: Callable[[Tensor], Tensor]) -> Tensor:
    """`rounded` of x, with the gradient of the identity."""
    return x + (rounded(x.detach()) - x.detach())


def finest_scale(weight: Tensor, most: int, room: float = 1.0, coarser: int = 0) -> int:
    """The scale of 0..most bits that is the finest at which `room` times the largest weight still fits, less `coarser`
    bits."""
    top = room * (float(weight.detach().abs().max()) or 1.0)
    return min(max(int(np.floor(np.log2(WEIGHT_MAX / top))) - coarser, 0), most)


class FloatTwin(nn.Module, ABC):
    """Weights and biases of a head in real-valued units, which training moves, and the integers that they stand for.

    While `quantised`, `parameters_of` gives what those integers stand for, with straight-through gradients. With an
    anchor (`hold`) they are that head's, changed by multiples. A family of heads says what a unit is, how it rounds
    and what its limits are.
    """

    bias_max: ClassVar[int]
    bias_coarse: ClassVar[int]  # of `hold`: bits by which changes of biases are coarser than those of weights
    counted_in: ClassVar[torch.dtype]  # in which `layers` computes the integers

    def __init__(self, weights: Iterable[Tensor], scale_bits: int):
        super().__init__()
        self.weight, self.bias = nn.ParameterList(), nn.ParameterList()
        for weight in weights:
            self.weight.append(nn.Parameter(weight.contiguous(memory_format=torch.channels_last)))
            self.bias.append(nn.Parameter(torch.zeros(len(weight))))
        self.scale_bits = [scale_bits] * len(self.weight)
        self.quantised = False
        self.anchor: list[Layer] | None = None
        self.coarse = 0

    @abstractmethod
    def weight_bits(self, index: int) -> int:
        """log2 of integers per real-valued unit of a layer's weights."""

    @abstractmethod
    def bias_unit(self, index: int) -> float | Tensor:
        """Integers per real-valued unit of a layer's biases; a tensor (out,) where they differ."""

    @staticmethod
    @abstractmethod
    def to_integers(x: Tensor) -> Tensor:
        """The nearest integers."""

    @staticmethod
    @abstractmethod
    def limited(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """x within limits."""

    def hold(self, anchor: Sequence[Layer], coarse: int) -> None:
        """Keep to what `heads.weights.encode_change` can say of `anchor`: its scales, integers that differ from its by
        multiples of 2^coarse, biases by multiples of 2^(coarse + bias_coarse)."""
        self.anchor, self.coarse, self.quantised = list(anchor), coarse, True
        self.scale_bits = [layer.scale_bits for layer in anchor]

    def load(self, layers: Sequence[Layer]) -> None:
        """Start from the integers of another head of the same shape."""
        with torch.no_grad():
            for i, layer in enumerate(layers):
                self.scale_bits[i] = layer.scale_bits
                self.weight[i].copy_(torch.from_numpy(layer.weight.astype(np.float32)) / 2.0 ** self.weight_bits(i))
                self.bias[i].copy_(torch.from_numpy(layer.bias.astype(np.float32)) / self.bias_unit(i))

    def layers(self) -> list[Layer]:
        """The integers of the head as it is now, on the CPU."""
        out = []
        for i, scale_bits in enumerate(self.scale_bits):
            w, b = self._integers(i, *(p[i].detach().to(self.counted_in) for p in (self.weight, self.bias)))
            weight, bias = w.numpy().astype(np.int8), b.numpy().astype(np.int32)
            out.append(Layer(np.ascontiguousarray(weight), bias, scale_bits))
        return out

    def parameters_of(self, index: int) -> tuple[Tensor, Tensor]:
        """Weights and biases of a layer as the forward pass takes them."""
        weight, bias = self.weight[index], self.bias[index]
        if not self.quantised:
            return weight, bias
        w, b = self._integers(index, weight, bias)
        return w / 2.0 ** self.weight_bits(index), b / self.bias_unit(index)

    def _integers(self, index: int, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """The integers that a layer's parameters stand for, as floats, with the gradient of the identity."""
        w, b = weight * 2.0 ** self.weight_bits(index), bias * self.bias_unit(index)
        if self.anchor is None:
            whole = (straight_through(x, self.to_integers) for x in (w, b))
            w, b = (x.clamp(-most, most) for x, most in zip(whole, (WEIGHT_MAX, self.bias_max), strict=True))
            return w, b
        held, unit = self.anchor[index], 2.0**self.coarse
        w = self._held(w, held.weight, unit, WEIGHT_MAX)
        return w, self._held(b, held.bias, unit * 2.0**self.bias_coarse, self.bias_max)

    def _held(self, x: Tensor, anchor: NDArray[np.integer], unit: float, most: int) -> Tensor:
        """The nearest that differs from `anchor` by a multiple of `unit` and is within ±most."""
        a = torch.from_numpy(anchor).to(x)
        low, high = torch.ceil((-most - a) / unit), torch.floor((most - a) / unit)
        return a + self.limited(straight_through((x - a) / unit, self.to_integers), low, high) * unit
