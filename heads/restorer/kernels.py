"""The convolutions of a restoring head as a machine computes them: in floating point, or in int8 as far as that is
exact.

Both kinds take a picture, or a band of one, as float32 (h, w, channels): the head's inputs, and zeros beyond, if there
are more channels. Heads are computed with as many channels as oneDNN computes anyway (`filled`): it is slow at others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..exact import exact_kernels
from ..int8 import Int8Convolution, filled, folded, int8_convolution, paired
from ..layers import Layer
from .spec import ACT_MAX, SKIP_BITS, HeadSpec, effective, shift_of

SLAB, SLAB_LEAST = 4 << 20, 8  # bytes of float32 and rows that a layer computes at once where its output is uint8

Ints = NDArray[np.int64]


class Kernels(Protocol):
    """A head's layers, ready to run. Safe to share between threads. `cell_bytes`: of a cell in the largest array."""

    cell_bytes: int

    def activations(self, x: Tensor) -> Tensor:
        """(1, width, h, w): what the last layer sees, 0..ACT_MAX."""
        ...

    def last(self, x: Tensor, drop: int, constant: int) -> Tensor:
        """(h, w, filled(planes)): the last layer's (sums + biases + constant) / 2^drop, not rounded."""
        ...


def kernels_of(kernel: str, spec: HeadSpec, layers: Sequence[Layer], device: torch.device) -> Kernels | None:
    """The layers computed by one of `heads.choice.KERNELS`; None where int8 serves for none of them."""
    if kernel == "int8":
        found = Int8Kernels(spec, layers)
        return found if found.used else None
    return FloatKernels(spec, layers, torch.float64 if kernel == "float64" else torch.float32, device)


def _filled(array: Ints, *channels: int) -> Ints:
    """`array` with zeros behind its first axes, up to so many `channels` each."""
    missing = [max(n - have, 0) for n, have in zip(channels, array.shape, strict=False)]
    return np.pad(array, [(0, n) for n in missing] + [(0, 0)] * (array.ndim - len(missing)))


def _first(spec: HeadSpec, layer: Layer, width: int) -> Ints:
    """The first layer's weights on samples, for `width` outputs."""
    return _filled(effective(spec, 0, layer), width, filled(spec.inputs))


def _grid(x: Tensor, spec: HeadSpec) -> Tensor:
    """(1, channels, h, w) of a picture, channels filled up."""
    missing = filled(spec.inputs) - x.shape[2]
    return (F.pad(x, (0, missing)) if missing else x).permute(2, 0, 1)[None]


def _skipped(x: Tensor, spec: HeadSpec) -> Tensor:
    """(1, skips, h, w): the gated differences as they enter the last layer."""
    return (x[:, :, spec.skips] * (1 << SKIP_BITS)).permute(2, 0, 1)[None]


def limit(x: Tensor, peak: int, out: Tensor) -> None:
    """Write numbers limited to 0 .. `peak` and rounded down into `out`, integers in the same layout."""
    if x.device.type == "cpu":  # one pass, where torch takes two, of which one is slow
        np.clip(_memory(x), 0, peak, out=_memory(out), casting="unsafe")
    else:
        out.copy_(x.clamp_(0, peak))


def _memory(x: Tensor) -> NDArray[np.generic]:
    """An array as it lies in memory, channels last."""
    return x.permute(0, 2, 3, 1).numpy() if x.ndim == 4 else x.numpy()


class FloatKernels:
    """All layers in float32 or float64, on any device."""

    def __init__(self, spec: HeadSpec, layers: Sequence[Layer], dtype: torch.dtype, device: torch.device):
        self._spec, self._dtype, self._device = spec, dtype, device
        self.cell_bytes = 4 * spec.width
        self._kernels, end = [], spec.layers - 1
        for i, layer in enumerate(layers[:-1]):
            weight = _first(spec, layer, spec.width) if i == 0 else layer.weight.astype(np.int64)
            # the shift is folded into the kernel: a power of two, so as exact as the integers
            shift = shift_of(i, end, layer.scale_bits)
            self._kernels.append(self._loaded(weight, layer.bias.astype(np.int64) + (1 << shift >> 1), shift))
        wide = filled(spec.planes)
        self._end = _filled(layers[-1].weight.astype(np.int64), wide), _filled(layers[-1].bias.astype(np.int64), wide)
        self._lasts: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}

    def _loaded(self, weight: Ints, bias: Ints, shift: int) -> tuple[Tensor, Tensor]:
        tensors = [torch.from_numpy(a).to(self._device, self._dtype) * 2.0**-shift for a in (weight, bias)]
        return tensors[0].contiguous(memory_format=torch.channels_last), tensors[1]

    def activations(self, x: Tensor) -> Tensor:
        with exact_kernels():
            y = _grid(x, self._spec).to(self._dtype)
            for i, (weight, bias) in enumerate(self._kernels):
                z = F.conv2d(y, weight, bias, padding=1)
                y = (z.add_(y) if self._spec.adds(i) else z).floor_().clamp_(0, ACT_MAX)
            return y

    def last(self, x: Tensor, drop: int, constant: int) -> Tensor:
        y = self.activations(x)
        if (drop, constant) not in self._lasts:
            weight, bias = self._end
            self._lasts[drop, constant] = self._loaded(weight, bias + constant, drop)
        with exact_kernels():
            if self._spec.history:
                y = torch.cat([y, _skipped(x, self._spec).to(self._dtype)], 1)
            return F.conv2d(y, *self._lasts[drop, constant], padding=1)[0].permute(1, 2, 0)


class Int8Kernels:
    """Layers on the CPU whose activations are uint8. Those that int8 cannot compute exactly, and the first, whose
    inputs have more bits, are computed in float32.

    Which activation is which channel is free within a head. `paired` chooses an order in which as few layers as can be
    have pairs of neighbouring channels that saturate. Attributes: `used`, how many layers int8 computes."""

    def __init__(self, spec: HeadSpec, layers: Sequence[Layer]):
        self._spec, self.used = spec, 0
        self.cell_bytes = max(4 * filled(spec.inputs), 4 * filled(spec.planes), filled(spec.width))
        end, wide = spec.layers - 1, filled(spec.width)
        inner = [_filled(layer.weight[:, : spec.width].astype(np.int64), 0, wide) for layer in layers[1:]]
        shifts = [shift_of(i, end, layer.scale_bits) for i, layer in enumerate(layers)]
        paired_as = [folded(w, shifts[i]) if spec.adds(i) else w for i, w in enumerate(inner, 1)]
        self._order = order = paired(paired_as)
        self._back = torch.from_numpy(np.argsort(order)[: spec.width])
        first = _first(spec, layers[0], wide)[order]
        self._layers: list[_Float | Int8Convolution] = []
        for i, layer in enumerate(layers[:-1]):
            bias = _filled(layer.bias.astype(np.int64), wide)[order]
            weight = first if i == 0 else _filled(inner[i - 1], wide)[order][:, order]
            self._layers.append(self._made(i, weight, bias, shifts[i]))
        planes = filled(spec.planes)
        weight, bias = _filled(inner[-1], planes)[:, order], _filled(layers[-1].bias.astype(np.int64), planes)
        convolution = int8_convolution(weight.astype(np.int8), bias, 0, torch.float32)
        self.used += convolution is not None
        self._bias, self._end = bias, convolution or _Float(weight, bias, 0, torch.float32)
        skips = _filled(layers[-1].weight[:, spec.width :].astype(np.int64), planes)
        self._skips = _Float(skips, np.zeros(planes, np.int64), 0, torch.float32) if spec.history else None
        self._lasts: dict[tuple[int, int], _Float | Int8Convolution] = {}

    def _made(self, index: int, weight: Ints, bias: Ints, shift: int) -> _Float | Int8Convolution:
        """Layer `index`, but the last."""
        adds = self._spec.adds(index)
        found = int8_convolution(weight.astype(np.int8), bias, shift, adds=adds) if index else None
        self.used += found is not None
        return found or _Float(weight, bias + (1 << shift >> 1), shift, torch.uint8, adds)

    def _seen(self, x: Tensor) -> Tensor:
        """What the last layer sees, uint8, in this head's own order."""
        y = _grid(x, self._spec)
        for layer in self._layers:
            y = layer(y)
        return y

    def activations(self, x: Tensor) -> Tensor:
        with exact_kernels():
            return self._seen(x)[:, self._back]

    def last(self, x: Tensor, drop: int, constant: int) -> Tensor:
        if (drop, constant) not in self._lasts:
            self._lasts[drop, constant] = self._end.rescaled(self._bias + constant, drop)
        with exact_kernels():
            y = self._lasts[drop, constant](self._seen(x))
            if self._skips:
                y.add_(self._skips(_skipped(x, self._spec)), alpha=2.0**-drop)
            return y[0].permute(1, 2, 0)


class _Float:
    """A layer in float32. Its outputs are limited to 0..ACT_MAX and rounded down to uint8, or float32 as they are."""

    def __init__(self, weight: Ints, bias: Ints, shift: int, output: torch.dtype, adds: bool = False):
        self._whole, self._output, self._adds = weight, output, adds
        kernel = torch.from_numpy(weight).float() * 2.0**-shift
        self._kernel = kernel.contiguous(memory_format=torch.channels_last)
        self._bias = torch.from_numpy(bias).float() * 2.0**-shift

    def rescaled(self, bias: Ints, shift: int) -> _Float:
        """The same weights with other biases and another scale."""
        return _Float(self._whole, bias, shift, self._output, self._adds)

    def __call__(self, x: Tensor) -> Tensor:
        if self._output == torch.float32:
            return F.conv2d(x.float(), self._kernel, self._bias, padding=1)
        outputs, (rows, columns) = len(self._bias), x.shape[2:]
        out = torch.empty((1, rows, columns, outputs), dtype=self._output).permute(0, 3, 1, 2)
        some = max(SLAB_LEAST, SLAB // (4 * outputs * columns))
        for top in range(0, rows, some):
            bottom, above = min(top + some, rows), max(top - 1, 0)
            y = x[:, :, above : bottom + 1].float()
            z = F.conv2d(y, self._kernel, self._bias, padding=1)
            here = slice(top - above, bottom - above)
            if self._adds:
                z[:, :, here].add_(y[:, :, here])
            limit(z[:, :, here], ACT_MAX, out[:, :, top:bottom])
        return out
