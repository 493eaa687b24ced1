"""The density head: what a sample will be, and how far it may be off, by the context that the decoder already has.

A plane is coded in interleaved passes (`codec.loss.density`). On the grid of one pass every cell holds four samples,
the *phases* of PHASES, coded one after the other. A head's context is, around the sample to come, the cells' samples
that are known, the plane's prediction, the last picture moved into place, and the errors of planes already coded. The
head gives the mean of the sample, as a correction of its prediction, and the spread around it.

It is an integer network whose every operation is exact in bfloat16 with sums in float32, so it runs on matrix units
(AMX and its like) as well as in float32:

    inputs -255 .. 255 ─> 3x3 conv ─> 3x3 conv, adding its input ─> 3x3 conv, adding its input ─> 1x1 conv ─> 2 outputs

Weights have 8 bits and a power-of-two scale a layer. A sum of products is exact in float32 in any order (see
`DensitySpec`), is rounded once to bfloat16 (8 significant bits, to nearest, ties to even), then down to an integer and
limited to 0 .. 255: integers that bfloat16 holds.

References: Cao, Wu and Krähenbühl, "Lossless Image Compression through Super-Resolution" (arXiv:2004.02872) and
Kamisli, "Learned Lossless Image Compression Through Interpolation With Low Complexity" (arXiv:2212.13243) for networks
that predict densities pass by pass; Salimans et al., "PixelCNN++" (ICLR 2017) for the discretised logistic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..exact import HeadError, exact_kernels, has_bfloat16
from ..layers import Layer
from ..threads import for_all

PHASES = ((0, 0), (1, 1), (0, 1), (1, 0))  # (y, x) in a cell, in the order of coding
FLAGS = 3  # that shift the first layer's biases: coarse grid, a last picture is known, third plane
LIMIT = 255  # of inputs
ACT_MAX = 255
WEIGHT_MAX = BIAS_MAX = 127
SCALE_MAX = 7  # a weight is w / 2^scale; 2^7 + 127 still has 8 bits, so a layer can add its input
WIDTH = 24
MEAN_BITS, SPREAD_BITS = 4, 4  # of the outputs: a mean in 1/16 of a sample, log2 of a spread in 1/16
MEAN_MAX, SPREAD_MAX = 4080, 255
# Real-valued units for training: an input is x / 8, an activation a / 32; an output of 1 is 8 samples or one octave.
INPUT_BITS, ACT_BITS, OUTPUT_BITS = 3, 5, (7, 4)
CORNER = 32  # columns of a patch that are compared
BAND, HALO = 48, 3  # rows of a grid computed at once, and those around them that bear on them
_PATCHES = (7, 10), (BAND + 2 * HALO, 200)  # that a head's kernels are checked on: libraries choose them by size


@dataclass(frozen=True)
class DensitySpec:
    """Shape of a head for one phase. `known`: samples of the cell that are coded already, 0..3, which is also the phase
    to come; `temporal`: whether its context has the last picture; `others`: whether it has errors of two planes coded
    before.

    With at most 32 channels a sum is at most 32 * 9 * 255 * 127 units of its products, and what is added to it (an
    input, a bias) at most 2^7 * 382 more: below 2^24, hence exact in float32. `check` sees to it that products, and not
    biases, have the smaller unit.
    """

    known: int
    temporal: bool
    others: bool
    width: int = WIDTH

    @property
    def inputs(self) -> int:
        return self.known + 3 + 8 * self.temporal + 8 * self.others

    def shapes(self) -> list[tuple[int, int, int, int]]:
        """Weight shapes: what the flags add to the first layer's biases, then four convolutions."""
        w = self.width
        return [(w, FLAGS, 1, 1), (w, self.inputs, 3, 3), (w, w, 3, 3), (w, w, 3, 3), (2, w, 1, 1)]


Phases = Sequence[NDArray[np.int16]]  # four arrays of one shape: a plane's samples at each of PHASES


def phases(plane: NDArray[np.int16], unit: int) -> Phases:
    """Views of the samples at each phase of a grid whose cells have 2 * unit samples a side; whole cells."""
    return [plane[y * unit :: 2 * unit, x * unit :: 2 * unit] for y, x in PHASES]


@dataclass(frozen=True)
class Context:
    """What heads predict from, on one grid. `error`: at each phase, sample less prediction where it is known, else 0
    (views of a plane that is being decoded); `base`: the prediction at each phase; `rest`: bfloat16 (channels, rows,
    columns), what else there is, at four phases each."""

    error: Phases
    base: Phases
    rest: Tensor

    def rows(self, first: int, end: int) -> Context:
        """Some rows of the grid."""
        return Context([p[first:end] for p in self.error], [p[first:end] for p in self.base], self.rest[:, first:end])


def context_of(
    unit: int,
    error: NDArray[np.int16],
    base: NDArray[np.int16],
    temporal: Sequence[NDArray[np.int16]],
    others: Sequence[NDArray[np.int16]],
) -> Context:
    """The context in whole planes. `temporal`: the last picture less the prediction, and the last picture's error;
    `others`: errors of two planes coded before."""
    steady = [np.ascontiguousarray(p) for p in phases(base, unit)]
    channels = [phase for plane in (*temporal, *others) for phase in phases(plane, unit)]
    rest = torch.empty((len(channels), *steady[0].shape), dtype=torch.bfloat16)
    for to, channel in zip(rest, channels, strict=True):
        to.copy_(torch.from_numpy(_limited(channel)))
    return Context(phases(error, unit), steady, rest)


def _limited(values: NDArray[np.int16]) -> NDArray[np.int16]:
    return np.clip(values, -LIMIT, LIMIT)


def inputs_of(spec: DensitySpec, context: Context) -> Tensor:
    """bfloat16 (inputs, rows, columns) for one head: integers within +-LIMIT, which bfloat16 holds."""
    t, base = spec.known, context.base
    out = torch.empty((spec.inputs, *base[0].shape), dtype=torch.bfloat16)
    own = [*context.error[:t], *(base[j] - base[t] for j in range(4) if j != t)]
    for to, channel in zip(out[: t + 3], own, strict=True):
        to.copy_(torch.from_numpy(_limited(channel)))
    out[t + 3 :] = context.rest
    return out


def check(spec: DensitySpec, layers: Sequence[Layer]) -> None:
    """Raise HeadError unless `layers` form a head of shape `spec`."""
    if max(spec.inputs, spec.width) > 32:
        raise HeadError("a density head has at most 32 channels")
    if [layer.weight.shape for layer in layers] != spec.shapes():
        raise HeadError("the weights do not have the head's shape")
    for i, layer in enumerate(layers):
        if int(np.abs(layer.weight.astype(np.int16)).max()) > WEIGHT_MAX:
            raise HeadError(f"layer {i} has a weight beyond ±{WEIGHT_MAX}")
        if int(np.abs(layer.bias.astype(np.int64)).max()) > (BIAS_MAX if i else 0):
            raise HeadError(f"layer {i} has a bias out of range")
        if not (2 if i in (1, 4) else 0) <= layer.scale_bits <= SCALE_MAX:
            raise HeadError(f"layer {i} has a scale out of range")


def _shift(index: int) -> int:
    """log2 of what a layer's products are multiplied by to get its outputs' unit, its own scale apart."""
    return ACT_BITS - INPUT_BITS if index == 1 else 0


class DensityHead:
    """A checked head, ready to run. Immutable; safe to share between threads."""

    def __init__(self, spec: DensitySpec, layers: Sequence[Layer]):
        check(spec, layers)
        self.spec, self.layers = spec, tuple(layers)
        kernels = []
        for i, layer in enumerate(layers[1:], 1):
            w = torch.from_numpy(layer.weight.astype(np.float64)) * 2.0 ** (_shift(i) - layer.scale_bits)
            if i in (2, 3):
                w[:, :, 1, 1] += torch.eye(spec.width, dtype=w.dtype)
            if i == 4:
                units = [2.0 ** (bits - ACT_BITS) for bits in OUTPUT_BITS]
                w *= torch.tensor(units, dtype=w.dtype)[:, None, None, None]
            kernels.append((w, torch.from_numpy(layer.bias.astype(np.float64))))
        wanted = [self._reference(kernels, shape) for shape in _PATCHES]
        for dtype in _types():
            self._dtype = dtype
            layout = torch.channels_last
            self._kernels = [(w.to(dtype).contiguous(memory_format=layout), b.to(dtype)) for w, b in kernels]
            found = [self._convolved(self._patch(shape), 0)[:, :, :CORNER].double() for shape in _PATCHES]
            if all(map(torch.equal, found, wanted)):
                break
        else:
            raise AssertionError("no arithmetic of this machine gives sums of products")

    def _patch(self, shape: tuple[int, int]) -> Tensor:
        rng = np.random.default_rng(0)
        values = rng.choice(np.array([-LIMIT, 0, 1, LIMIT], np.float32), (self.spec.inputs, *shape))
        return torch.from_numpy(values).bfloat16()

    def _reference(self, kernels: Sequence[tuple[Tensor, Tensor]], shape: tuple[int, int]) -> Tensor:
        """What a patch gives, the CORNER columns at its left, in float64 and without a library's convolution."""
        x = self._patch(shape)[:, :, : CORNER + HALO].double()
        for i, (w, b) in enumerate(kernels):
            side = w.shape[-1]
            windows = F.pad(x, (side // 2,) * 4).unfold(1, side, 1).unfold(2, side, 1)  # (channels, h, w, side, side)
            y = torch.tensordot(w, windows, ((1, 2, 3), (0, 3, 4))) + b[:, None, None]
            y = y.bfloat16().floor()
            x = (y.clamp(0, ACT_MAX) if i < 3 else y).double()
        return x[:, :, :CORNER]

    def _convolved(self, inputs: Tensor, flags: int) -> Tensor:
        with exact_kernels():
            x = inputs[None].to(self._dtype)
            for i, (w, b) in enumerate(self._kernels):
                x = F.conv2d(x, w, b if i else self._bias(flags), padding=w.shape[-1] // 2)
                x = (x if self._dtype == torch.bfloat16 else x.bfloat16()).floor_()
                if i < 3:
                    x = x.clamp_(0, ACT_MAX).to(self._dtype)
            return x[0]

    def _bias(self, flags: int) -> Tensor:
        """The first layer's biases where those of FLAGS are up whose bits are set."""
        up = np.array([flags >> k & 1 for k in range(FLAGS)])
        bias = self.layers[1].bias + self.layers[0].weight[:, :, 0, 0].astype(np.int32) @ up
        return torch.from_numpy(np.clip(bias, -BIAS_MAX, BIAS_MAX)).to(self._dtype)

    def run(self, context: Context, flags: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """(mean less prediction in 1/16 of a sample, log2 of the spread in 1/16), int32 arrays of the grid. Computed in
        bands of rows that stay in a core's cache."""
        rows, columns = context.base[0].shape
        out = np.empty((2, rows, columns), np.int32)

        def band(first: int) -> None:
            end, above, below = min(first + BAND, rows), max(first - HALO, 0), min(first + BAND + HALO, rows)
            found = self._convolved(inputs_of(self.spec, context.rows(above, below)), flags).to(torch.int32).numpy()
            for to, values, limit in zip(out, found, (MEAN_MAX, SPREAD_MAX), strict=True):
                np.clip(values[first - above : end - above], -limit, limit, out=to[first:end])

        for_all(band, range(0, rows, BAND))
        return out[0], out[1]


def _types() -> list[torch.dtype]:
    """Arithmetic to try, the fastest first."""
    return [torch.bfloat16] * has_bfloat16() + [torch.float32, torch.float64]
