"""The arithmetic of density heads: every kind gives the same integers, the fastest that proves exact here is used.

`INT8` takes the pairs of `heads.density.cells` as they are. Rounding down, a layer is one call that reads and writes
bytes; rounding to 8 significant bits needs the sums in float32. The others convert pairs to numbers of their type.
A choice is checked on patches of extremes against sums that no library's convolution takes part in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..exact import exact_kernels, has_bfloat16
from ..int8 import PAIR_MAX, int8_convolution
from ..layers import Layer
from .cells import channels, places
from .spec import (
    ACT_BITS,
    ACT_MAX,
    BAND,
    BIAS_MAX,
    FLAGS,
    HALO,
    INPUT_BITS,
    LIMIT,
    MEAN_MAX,
    OUTPUT_BITS,
    SPREAD_MAX,
    DensitySpec,
    Rounding,
)

INT8, BFLOAT16, FLOAT32, FLOAT64 = "int8", "bfloat16", "float32", "float64"
CORNER = 32  # columns of a patch that are compared
PATCHES = (7, 10), (BAND + 2 * HALO, 200)  # that kernels are checked on: libraries choose them by size
_TYPES = {BFLOAT16: torch.bfloat16, FLOAT32: torch.float32, FLOAT64: torch.float64}
_LIMITS = torch.tensor([MEAN_MAX, SPREAD_MAX], dtype=torch.float64)[:, None, None]


class Scaled(NamedTuple):
    """A layer in integers: its sum is (weights (outputs, channels, k, k) times inputs + bias * 2^shift) / 2^shift.
    `shift` is that of each output: of layers 1 to 3 the same for all."""

    weight: NDArray[np.int8]
    bias: NDArray[np.int64]
    shift: tuple[int, ...]


def scaled(spec: DensitySpec, layers: Sequence[Layer], flags: int) -> list[Scaled]:
    """Layers 1 to 4 with the biases of `flags`. The first takes the channels of `heads.density.cells`."""
    first, found = layers[1], []
    spread = np.zeros((len(first.weight), channels(spec), 3, 3), np.int8)
    spread[:, places(spec)] = first.weight
    up = np.array([flags >> k & 1 for k in range(FLAGS)])
    bias = np.clip(first.bias + layers[0].weight[:, :, 0, 0].astype(np.int64) @ up, -BIAS_MAX, BIAS_MAX)
    found.append(Scaled(spread, bias, (first.scale_bits - (ACT_BITS - INPUT_BITS),)))
    for layer in layers[2:4]:
        found.append(Scaled(layer.weight, layer.bias.astype(np.int64), (layer.scale_bits,)))
    last = layers[4]
    shifts = tuple(last.scale_bits - (bits - ACT_BITS) for bits in OUTPUT_BITS)
    return [*found, Scaled(last.weight, last.bias.astype(np.int64), shifts)]


def settled(x: Tensor, rounding: Rounding) -> Tensor:
    """What sums are rounded to, before limits."""
    return (x.bfloat16().to(x.dtype) if rounding == Rounding.SIGNIFICANT else x).floor_()


def outputs_of(sums: Tensor, rounding: Rounding) -> NDArray[np.int16]:
    """The two outputs (2, rows, columns) from their sums."""
    limits = _LIMITS.to(sums.dtype)
    return settled(sums, rounding).clamp_(-limits, limits).to(torch.int16).numpy()


class Arithmetic(Protocol):
    """Runs one head's layers."""

    name: str

    def prepare(self, flags: int) -> None:
        """Called before `run`, by one thread."""

    def run(self, inputs: Tensor, flags: int) -> NDArray[np.int16]:
        """Outputs (2, rows, columns) of `Cells.inputs`. By any number of threads at once."""
        ...


class Floats:
    """Convolutions in a type of floating point."""

    def __init__(self, name: str, spec: DensitySpec, layers: Sequence[Layer], rounding: Rounding):
        self.name, self._rounding, self._type = name, rounding, _TYPES[name]
        self._spec, self._layers = spec, layers
        self._kernels: dict[int, list[tuple[Tensor, Tensor]]] = {}

    def prepare(self, flags: int) -> None:
        if flags in self._kernels:
            return
        found = []
        for i, layer in enumerate(scaled(self._spec, self._layers, flags), 1):
            weight = torch.from_numpy(layer.weight.astype(np.float64))
            weight *= torch.tensor(layer.shift).neg().double().exp2()[:, None, None, None]
            if i in (2, 3):
                weight[:, :, 1, 1] += torch.eye(len(weight), dtype=weight.dtype)
            weight = weight.to(self._type).contiguous(memory_format=torch.channels_last)
            found.append((weight, torch.from_numpy(layer.bias).to(self._type)))
        self._kernels[flags] = found

    def run(self, inputs: Tensor, flags: int) -> NDArray[np.int16]:
        with exact_kernels():
            x = inputs[:, ::2].to(self._type).sub_(inputs[:, 1::2])
            *inner, (weight, bias) = self._kernels[flags]
            for w, b in inner:
                x = settled(F.conv2d(x, w, b, padding=1), self._rounding).clamp_(0, ACT_MAX)
            return outputs_of(F.conv2d(x, weight, bias)[0], self._rounding)


class Int8:
    """Convolutions of bytes. Raises ValueError where they are not exact."""

    name = INT8

    def __init__(self, spec: DensitySpec, layers: Sequence[Layer], rounding: Rounding):
        self._spec, self._rounding, self._down = spec, rounding, rounding == Rounding.DOWN
        self._layers = ordered(layers)
        self._first: dict[int, Callable[[Tensor], Tensor]] = {}
        first, *inner, last = scaled(spec, self._layers, 0)
        self.prepare(0)
        width = self._first[0].outputs
        self._inner = [self._loaded(layer, inputs=width, adds=self._down) for layer in inner]
        self._last = self._loaded(Scaled(last.weight, last.bias * 0, (0,)), inputs=width, output=torch.float32)
        self._unit = torch.tensor(last.shift).neg().float().exp2()[:, None, None]
        self._bias = torch.from_numpy(last.bias).float()[:, None, None]

    def _loaded(self, layer: Scaled, **how):
        (shift,) = layer.shift
        bias = layer.bias << shift
        if self._down:
            how.setdefault("output", torch.uint8)
            if how["output"] == torch.uint8:
                bias = bias - (1 << shift >> 1)  # instead of to nearest, halves up
        else:
            how["output"] = torch.float32
        found = int8_convolution(layer.weight, bias, shift, **how)
        if found is None:
            raise ValueError("sums of int8 are not exact")
        return found

    def prepare(self, flags: int) -> None:
        if flags in self._first:
            return
        first = scaled(self._spec, self._layers, flags)[0]
        pairs = np.stack([first.weight, -first.weight], axis=2).reshape(len(first.weight), -1, 3, 3)
        self._first[flags] = self._loaded(first._replace(weight=pairs))

    def run(self, inputs: Tensor, flags: int) -> NDArray[np.int16]:
        with exact_kernels():
            x = self._first[flags](inputs)
            if not self._down:
                x = _significant(x)
            for convolution in self._inner:
                x = convolution(x) if self._down else _significant(convolution(x).add_(x))
            return outputs_of(self._last(x)[0, :2] * self._unit + self._bias, self._rounding)


def _significant(sums: Tensor) -> Tensor:
    """Activations of sums in float32, which is overwritten: as limits have 8 bits they may be applied first."""
    return sums.clamp_(0, ACT_MAX).bfloat16().to(torch.uint8)


def ordered(layers: Sequence[Layer]) -> Sequence[Layer]:
    """The head with its inner channels in an order in which products of neighbours fit 16 bits together, if a simple
    search finds one: with whom a channel is paired changes nothing else."""
    width = len(layers[1].weight)
    rows = np.concatenate([np.moveaxis(layer.weight.astype(np.int16), 1, 0).reshape(width, -1) for layer in layers[2:]], 1)
    most = np.maximum(*((np.maximum(s * rows, 0)[:, None] + np.maximum(s * rows, 0)).max(2) for s in (1, -1)))
    fits = most <= PAIR_MAX
    left, order = sorted(range(width), key=lambda k: int(fits[k].sum())), []
    while left:
        k = left.pop(0)
        partner = next((j for j in left if fits[k, j]), None)
        order.append(k)
        if partner is not None:
            left.remove(partner)
            order.append(partner)
    if order == list(range(width)):
        return layers
    flags, first, second, third, last = layers

    def moved(layer: Layer, axes: Sequence[int]) -> Layer:
        weight = layer.weight
        for axis in axes:
            weight = np.take(weight, order, axis)
        return Layer(np.ascontiguousarray(weight), layer.bias[order] if 0 in axes else layer.bias, layer.scale_bits)

    return [moved(flags, [0]), moved(first, [0]), moved(second, [0, 1]), moved(third, [0, 1]), moved(last, [1])]


def patch(spec: DensitySpec, shape: tuple[int, int]) -> Tensor:
    """Inputs of extremes."""
    rng = np.random.default_rng(0)
    values = rng.choice(np.array([-LIMIT, 0, 1, LIMIT], np.int16), (*shape, channels(spec)))
    pairs = np.stack([np.maximum(values, 0), np.maximum(-values, 0)], axis=-1).astype(np.uint8)
    return torch.from_numpy(pairs.reshape(*shape, -1)).permute(2, 0, 1)[None]


def reference(spec: DensitySpec, layers: Sequence[Layer], rounding: Rounding, inputs: Tensor) -> NDArray[np.int16]:
    """Outputs in float64, without flags and without a library's convolution."""
    x = (inputs[:, ::2].double() - inputs[:, 1::2].double())[0]
    for i, layer in enumerate(scaled(spec, layers, 0), 1):
        side = layer.weight.shape[-1]
        windows = F.pad(x, (side // 2,) * 4).unfold(1, side, 1).unfold(2, side, 1)  # (channels, h, w, side, side)
        weight, bias = (torch.from_numpy(a.astype(np.float64)) for a in (layer.weight, layer.bias))
        y = torch.tensordot(weight, windows, ((1, 2, 3), (0, 3, 4)))
        y = y * torch.tensor(layer.shift).neg().double().exp2()[:, None, None] + bias[:, None, None]
        if i == 4:
            return outputs_of(y, rounding)
        x = settled(y + x if i > 1 else y, rounding).clamp_(0, ACT_MAX)
    raise AssertionError


def kernels(rounding: Rounding) -> list[str]:
    """Arithmetic to try, the fastest first."""
    significant = rounding == Rounding.SIGNIFICANT
    return [BFLOAT16] * (significant and has_bfloat16()) + [INT8, FLOAT32, FLOAT64]


def fastest(spec: DensitySpec, layers: Sequence[Layer], rounding: Rounding) -> Arithmetic:
    """What runs a head. Raises AssertionError where nothing on this machine gives sums of products."""
    inputs = [patch(spec, shape) for shape in PATCHES]
    wanted = [
        reference(spec, layers, rounding, x[..., : CORNER + HALO])[..., :CORNER] for x in inputs
    ]
    for name in kernels(rounding):
        try:
            found: Arithmetic = (
                Int8(spec, layers, rounding) if name == INT8 else Floats(name, spec, layers, rounding)
            )
        except ValueError:
            continue
        found.prepare(0)
        if all(np.array_equal(found.run(x, 0)[..., :CORNER], y) for x, y in zip(inputs, wanted, strict=True)):
            return found
    raise AssertionError("no arithmetic of this machine gives sums of products")
