"""The float twin of a head: what training moves, and the integers that it stands for, alike for both families.

Quantisation follows Jacob et al., "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference" (CVPR 2018), section 3, restricted to power-of-two scales and no zero points; its
gradients are straight-through: those of the identity (Bengio, Léonard and Courville, arXiv:1308.3432).

All weights and biases lie in one vector, so that to round it, to limit it and to step it are a few operations each,
whatever the number of layers. Nothing here runs in a decoder.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from .layers import WEIGHT_MAX, Layer


def nearest(x: Tensor) -> Tensor:
    """The nearest integers, halves rounded up."""
    return torch.floor(x + 0.5)


def finest_scale(weight: Tensor, most: int, room: float = 1.0, coarser: int = 0) -> int:
    """The scale of 0..most bits that is the finest at which `room` times the largest weight still fits, less `coarser`
    bits."""
    top = room * (float(weight.detach().abs().max()) or 1.0)
    return min(max(int(np.floor(np.log2(WEIGHT_MAX / top))) - coarser, 0), most)


@dataclass(frozen=True)
class Grid:
    """The integers that a vector can stand for, each `anchor` + k · `unit` with a whole `low` <= k <= `high`; `scale`:
    integers per real-valued unit. Tensors of the vector's length."""

    anchor: Tensor
    unit: Tensor
    low: Tensor
    high: Tensor
    scale: Tensor

    def integers(self, x: Tensor) -> Tensor:
        """The nearest to real-valued x, as floats."""
        k = nearest((x * self.scale - self.anchor) / self.unit)
        return self.anchor + torch.minimum(torch.maximum(k, self.low), self.high) * self.unit

    def rounded(self, x: Tensor) -> Tensor:
        """What those integers stand for."""
        return self.integers(x) / self.scale

    def limit(self, x: Tensor) -> None:
        """Keep x within what integers can stand for, in place."""
        low, high = ((self.anchor + k * self.unit) / self.scale for k in (self.low, self.high))
        torch.minimum(torch.maximum(x, low, out=x), high, out=x)


class FloatTwin(nn.Module, ABC):
    """Weights and biases of a head in real-valued units, which training moves, and the integers that they stand for:
    first all weights, then all biases, layer by layer, in one `vector`.

    While `quantised`, the forward pass takes what those integers stand for. With an anchor (`hold`) they are that
    head's, changed by multiples. A family of heads says what a unit is and what its limits are.
    """

    bias_max: ClassVar[int]
    bias_coarse: ClassVar[int]  # of `hold`: bits by which changes of biases are coarser than those of weights

    def __init__(self, weights: Iterable[Tensor], scale_bits: int, weight_max: int = WEIGHT_MAX):
        super().__init__()
        self.weight_max = weight_max
        drawn = list(weights)
        self._shapes = [w.shape for w in drawn] + [torch.Size([len(w)]) for w in drawn]
        self.vector: Tensor
        self.register_buffer("vector", torch.cat([*(w.flatten() for w in drawn), torch.zeros(sum(map(len, drawn)))]))
        self.scale_bits = [scale_bits] * len(drawn)
        self.quantised = False
        self.anchor: list[Layer] | None = None
        self.coarse = 0
        self._taken: list[Tensor] | None = None
        self._grid: tuple[object, Grid] | None = None

    @abstractmethod
    def weight_bits(self, index: int) -> int:
        """log2 of integers per real-valued unit of a layer's weights."""

    @abstractmethod
    def bias_unit(self, index: int) -> float | Tensor:
        """Integers per real-valued unit of a layer's biases; a tensor (out,) where they differ."""

    @property
    def weight(self) -> list[Tensor]:
        """Of each layer, (out, in, height, width): a view of the vector."""
        return self._parts(self.vector)[: len(self.scale_bits)]

    @property
    def bias(self) -> list[Tensor]:
        """Of each layer, (out,): a view of the vector."""
        return self._parts(self.vector)[len(self.scale_bits) :]

    def _parts(self, vector: Tensor) -> list[Tensor]:
        parts = vector.split([shape.numel() for shape in self._shapes])
        return [part.view(shape) for part, shape in zip(parts, self._shapes, strict=True)]

    def hold(self, anchor: Sequence[Layer], coarse: int) -> None:
        """Keep to what `heads.weights.encode_change` can say of `anchor`: its scales, integers that differ from its by
        multiples of 2^coarse, biases by multiples of 2^(coarse + bias_coarse)."""
        self.anchor, self.coarse, self.quantised = list(anchor), coarse, True
        self.scale_bits = [layer.scale_bits for layer in anchor]
        self._grid = None

    def load(self, layers: Sequence[Layer]) -> None:
        """Start from the integers of another head of the same shape."""
        for i, layer in enumerate(layers):
            self.scale_bits[i] = layer.scale_bits
            self.weight[i].copy_(torch.from_numpy(layer.weight.astype(np.float32)) / 2.0 ** self.weight_bits(i))
            self.bias[i].copy_(torch.from_numpy(layer.bias.astype(np.float32)) / self.bias_unit(i))

    def layers(self) -> list[Layer]:
        """The integers of the head as it is now, on the CPU."""
        whole = self._parts(self._found_grid(torch.float64, torch.device("cpu")).integers(self.vector.cpu().double()))
        out = []
        for w, b, bits in zip(whole, whole[len(self.scale_bits) :], self.scale_bits, strict=False):
            out.append(Layer(w.numpy().astype(np.int8), b.numpy().astype(np.int32), bits))
        return out

    # --- the forward pass ---------------------------------------------------------------------------------------

    def take(self) -> list[Tensor]:
        """Fix what the forward pass takes, from the vector as it is now, until the next call or `release`: leaves to
        derive by, in the order of the vector. As rounding has the gradient of the identity, theirs is the vector's."""
        vector = self.grid().rounded(self.vector) if self.quantised else self.vector.clone()
        self._taken = [_as_kernels_like(part).requires_grad_() for part in self._parts(vector)]
        return self._taken

    def release(self) -> None:
        """Let the forward pass take the vector as it will be."""
        self._taken = None

    def parameters_of(self, index: int) -> tuple[Tensor, Tensor]:
        """Weights and biases of a layer as the forward pass takes them."""
        taken = self._taken
        if taken is None:
            taken = self._parts(self.grid().rounded(self.vector) if self.quantised else self.vector)
        return taken[index], taken[index + len(self.scale_bits)]

    def limit(self) -> None:
        """Keep the vector within what integers can stand for, while quantised: beyond, nothing would change."""
        if self.quantised:
            self.grid().limit(self.vector)

    def grid(self) -> Grid:
        """The integers that there are now, made anew where scales have changed."""
        key = (tuple(self.scale_bits), self.vector.dtype, self.vector.device)
        if self._grid is None or self._grid[0] != key:
            self._grid = key, self._found_grid(self.vector.dtype, self.vector.device)
        return self._grid[1]

    def _found_grid(self, dtype: torch.dtype, device: torch.device) -> Grid:
        count = len(self.scale_bits)
        scales = [2.0 ** self.weight_bits(i) for i in range(count)] + [self.bias_unit(i) for i in range(count)]
        held = self.anchor or ()
        anchors = [a.weight for a in held] + [a.bias for a in held] if held else [0.0] * (2 * count)
        coarse = (self.coarse, self.coarse + self.bias_coarse) if held else (0, 0)
        units = [2.0 ** coarse[0]] * count + [2.0 ** coarse[1]] * count
        limits = [float(self.weight_max)] * count + [float(self.bias_max)] * count

        def spread(values: Sequence[Any]) -> Tensor:
            made = (torch.as_tensor(v, dtype=torch.float64) for v in values)
            return torch.cat([v.expand(shape).flatten() for v, shape in zip(made, self._shapes, strict=True)])

        anchor, unit, most = spread(anchors), spread(units), spread(limits)
        low, high = torch.ceil((-most - anchor) / unit), torch.floor((most - anchor) / unit)
        return Grid(*(t.to(device, dtype) for t in (anchor, unit, low, high, spread(scales))))


def _as_kernels_like(x: Tensor) -> Tensor:
    """A copy of its own, weights with their channels last."""
    form = torch.channels_last if x.dim() == 4 else torch.contiguous_format
    return x.detach().clone(memory_format=form)
