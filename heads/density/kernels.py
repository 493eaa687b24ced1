"""The arithmetic of density heads: every kind gives the same integers, the fastest that proves exact here is used.

`INT8` is for `Rules.WHOLE`, by which a layer is one call that reads and writes bytes. A choice is checked on patches of
extremes against sums that no library's convolution takes part in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..choice import first_exact
from ..exact import exact_kernels, has_bfloat16
from ..int8 import Int8Convolution, int8_convolution, paired
from ..layers import Layer
from .cells import OFFSET, channels, packed, places
from .spec import (
    ACT_BITS,
    ACT_MAX,
    BAND,
    BIAS_MAX,
    FLAGS,
    INPUT_BITS,
    MEAN_MAX,
    OUTPUT_BITS,
    SPREAD_MAX,
    DensitySpec,
    Rules,
)

INT8, BFLOAT16, FLOAT32, FLOAT64 = "int8", "bfloat16", "float32", "float64"
CORNER = 32  # columns of a patch that are compared
# that kernels are checked on: libraries choose them by size
PATCHES = (7, 10), (BAND + 2 * DensitySpec(0, False, False).halo, 200)
_TYPES = {BFLOAT16: torch.bfloat16, FLOAT32: torch.float32, FLOAT64: torch.float64}


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


def units_of(layer: Scaled) -> Tensor:
    """What sums of products are multiplied by, (outputs or 1, 1, 1) float64."""
    return torch.tensor(layer.shift).neg().double().exp2()[:, None, None]


def settled(sums: Tensor, rules: Rules) -> Tensor:
    """What sums are rounded to, before limits; they are overwritten."""
    if rules == Rules.SIGNIFICANT and sums.dtype != torch.bfloat16:
        sums.copy_(sums.bfloat16())
    return sums.floor_()


def outputs_of(sums: Tensor, rules: Rules) -> NDArray[np.int16]:
    """The two outputs (2, rows, columns) from their sums, which are overwritten."""
    for plane, most in zip(settled(sums, rules), (MEAN_MAX, SPREAD_MAX), strict=True):
        plane.clamp_(-most, most)
    return sums.to(torch.int16).numpy()


class Arithmetic(Protocol):
    """Runs one head's layers."""

    name: str

    def prepare(self, flags: int) -> None:
        """To be called before `run` is with those flags."""

    def run(self, inputs: Tensor, flags: int) -> NDArray[np.int16]:
        """Outputs (2, rows, columns) of `Cells.inputs`. By any number of threads at once."""
        ...


class Floats:
    """Convolutions in a type of floating point."""

    def __init__(self, name: str, spec: DensitySpec, layers: Sequence[Layer], rules: Rules):
        self.name, self._rules, self._type = name, rules, _TYPES[name]
        self._spec, self._layers = spec, layers
        self._kernels: dict[int, list[tuple[Tensor, Tensor]]] = {}

    def prepare(self, flags: int) -> None:
        if flags in self._kernels:
            return
        found = []
        for i, layer in enumerate(scaled(self._spec, self._layers, flags), 1):
            weight = torch.from_numpy(layer.weight.astype(np.float64)) * units_of(layer)[..., None]
            if i in (2, 3) and not self._spec.light:
                weight[:, :, 1, 1] += torch.eye(len(weight), dtype=weight.dtype)
            weight = weight.to(self._type).contiguous(memory_format=torch.channels_last)
            found.append((weight, torch.from_numpy(layer.bias).to(self._type)))
        self._kernels[flags] = found

    def run(self, inputs: Tensor, flags: int) -> NDArray[np.int16]:
        with exact_kernels():
            x = inputs.to(self._type)
            if inputs.dtype == torch.uint8:
                x -= OFFSET
            *inner, (weight, bias) = self._kernels[flags]
            for i, (w, b) in enumerate(inner):
                pad = w.shape[-1] // 2 if i else 0
                x = settled(F.conv2d(x, w, b, padding=pad).clamp_(0, ACT_MAX), self._rules)
            return outputs_of(F.conv2d(x, weight, bias)[0], self._rules)


class Int8:
    """Convolutions of bytes. Raises ValueError where they are not exact."""

    name = INT8

    def __init__(self, spec: DensitySpec, layers: Sequence[Layer]):
        self._spec, self._layers = spec, ordered(layers)
        self._first: dict[int, Int8Convolution] = {}
        _, *inner, last = scaled(spec, self._layers, 0)
        self.prepare(0)
        width = self._first[0].outputs
        self._inner = [_loaded(layer, inputs=width, adds=not spec.light) for layer in inner]
        self._last = _loaded(Scaled(last.weight, 0 * last.bias, (0,)), inputs=width, output=torch.float32)
        self._units, self._bias = units_of(last).float(), torch.from_numpy(last.bias).float()[:, None, None]

    def prepare(self, flags: int) -> None:
        if flags in self._first:
            return
        first = scaled(self._spec, self._layers, flags)[0]
        offset = OFFSET * first.weight.astype(np.int64).sum((1, 2, 3))
        self._first[flags] = _loaded(first, offset=offset).inside()

    def run(self, inputs: Tensor, flags: int) -> NDArray[np.int16]:
        with exact_kernels():
            x = self._first[flags](inputs)
            for convolution in self._inner:
                x = convolution(x)
            sums = self._last(x)[0, : len(self._units)].contiguous()
            return outputs_of(sums.mul_(self._units).add_(self._bias), Rules.WHOLE)


def _loaded(
    layer: Scaled,
    *,
    offset: NDArray[np.int64] | int = 0,
    output: torch.dtype = torch.uint8,
    adds: bool = False,
    inputs: int | None = None,
) -> Int8Convolution:
    """A convolution that rounds down. `offset`: is taken off its sums; else see `int8_convolution`."""
    (shift,) = layer.shift
    half = 1 << shift >> 1 if output == torch.uint8 else 0  # the convolution rounds to nearest, halves up
    found = int8_convolution(
        layer.weight, (layer.bias << shift) - offset - half, shift, output, adds=adds, inputs=inputs
    )
    if found is None:
        raise ValueError("sums of int8 are not exact")
    return found


def ordered(layers: Sequence[Layer]) -> Sequence[Layer]:
    """The head with its inner channels in an order in which products of neighbours fit 16 bits together, if `paired`
    finds one: with whom a channel is paired changes nothing else."""
    order = paired([layer.weight for layer in layers[2:]])
    if order == sorted(order):
        return layers
    flags, first, second, third, last = layers

    def moved(layer: Layer, axes: Sequence[int]) -> Layer:
        weight = layer.weight
        for axis in axes:
            weight = np.take(weight, order, axis)
        return Layer(np.ascontiguousarray(weight), layer.bias[order] if 0 in axes else layer.bias, layer.scale_bits)

    return [moved(flags, [0]), moved(first, [0]), moved(second, [0, 1]), moved(third, [0, 1]), moved(last, [1])]


def patch(spec: DensitySpec, rules: Rules, shape: tuple[int, int]) -> Tensor:
    """Inputs of extremes on a grid of that shape."""
    rng, (low, high) = np.random.default_rng(0), rules.limits
    values = rng.choice(np.array([low, 0, 1, high], np.int16), (*shape, channels(spec)))
    return torch.from_numpy(packed(np.pad(values, ((1, 1), (1, 1), (0, 0))), rules)).permute(2, 0, 1)[None]


def reference(spec: DensitySpec, layers: Sequence[Layer], rules: Rules, inputs: Tensor) -> NDArray[np.int16]:
    """Outputs in float64, without flags and without a library's convolution."""
    x = inputs[0].double() - (OFFSET if rules == Rules.WHOLE else 0)
    for i, layer in enumerate(scaled(spec, layers, 0), 1):
        side = layer.weight.shape[-1]
        padded = F.pad(x, (side // 2,) * 4) if i > 1 else x
        windows = padded.unfold(1, side, 1).unfold(2, side, 1)  # (channels, h, w, side, side)
        weight, bias = (torch.from_numpy(a.astype(np.float64)) for a in (layer.weight, layer.bias))
        sums = torch.tensordot(weight, windows, ((1, 2, 3), (0, 3, 4))) * units_of(layer) + bias[:, None, None]
        if i == 4:
            return outputs_of(sums, rules)
        x = settled(sums + x if i > 1 and not spec.light else sums, rules).clamp_(0, ACT_MAX)
    raise AssertionError


def kernels(rules: Rules) -> list[str]:
    """Arithmetic to try, the fastest first."""
    if rules == Rules.WHOLE:
        return [INT8, FLOAT32, FLOAT64]
    return [BFLOAT16] * has_bfloat16() + [FLOAT32, FLOAT64]


def fastest(spec: DensitySpec, layers: Sequence[Layer], rules: Rules) -> Arithmetic:
    """What runs a head. Raises HeadError where nothing on this machine gives sums of products."""
    inputs = [patch(spec, rules, shape) for shape in PATCHES]
    wanted = [reference(spec, layers, rules, x[..., : CORNER + spec.halo + 1])[..., :CORNER] for x in inputs]

    def load(name: str) -> Arithmetic | None:
        try:
            found: Arithmetic = Int8(spec, layers) if name == INT8 else Floats(name, spec, layers, rules)
        except ValueError:
            return None
        found.prepare(0)
        exact = all(np.array_equal(found.run(x, 0)[..., :CORNER], y) for x, y in zip(inputs, wanted, strict=True))
        return found if exact else None

    return first_exact(kernels(rules), load)[1]
