"""The density head: what a sample will be, and how far it may be off, by the context that the decoder already has.

A plane is coded in interleaved passes (`codec.loss.density`). On the grid of one pass every cell holds four samples,
the *phases* of PHASES, coded one after the other. A head's context is, around the sample to come, the cells' samples
that are known, the plane's prediction, the last picture moved into place, and the errors of planes already coded. The
head gives the mean of the sample, as a correction of its prediction, and the spread around it.

It is an integer network whose every operation is exact in int8 with sums in int32, in bfloat16 with sums in float32
(the older rules), and in float32:

    8 or 9 bits ─> 3x3 conv ─> 3x3 conv, adding its input ─> 3x3 conv, adding its input ─> 1x1 conv ─> 2 outputs
    8 bits ─> 3x3 conv, wider ─> 1x1 conv ─> 1x1 conv ─> 1x1 conv ─> 2 outputs                      (light heads)

Weights have 8 bits and a power-of-two scale a layer. A sum of products is exact in float32 in any order (see
`DensitySpec`). It is rounded down to an integer and limited to 0 .. 255; by the older of the two `Rules` it is rounded
to bfloat16 before that (8 significant bits, to nearest, ties to even). What runs a head is `heads.density.head`.

References: Cao, Wu and Krähenbühl, "Lossless Image Compression through Super-Resolution" (arXiv:2004.02872) and
Kamisli, "Learned Lossless Image Compression Through Interpolation With Low Complexity" (arXiv:2212.13243) for networks
that predict densities pass by pass; Salimans et al., "PixelCNN++" (ICLR 2017) for the discretised logistic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..layers import HeadError, Layer

PHASES = ((0, 0), (1, 1), (0, 1), (1, 0))  # (y, x) in a cell, in the order of coding
FLAGS = 3  # that shift the first layer's biases: coarse grid, a last picture is known, third plane
LIMIT = 255  # of inputs, at most
ACT_MAX = 255
WEIGHT_MAX = BIAS_MAX = 127
LIGHT_WEIGHT_MAX = 64  # of light heads: two products together fit 16 bits, whichever they are
SCALE_MAX = 7  # a weight is w / 2^scale; 2^7 + 127 still has 8 bits, so a layer can add its input
WIDTH, LIGHT_WIDTH = 24, 32
MEAN_BITS, SPREAD_BITS = 4, 4  # of the outputs: a mean in 1/16 of a sample, log2 of a spread in 1/16
MEAN_MAX, SPREAD_MAX = 4080, 255
# Real-valued units for training: an input is x / 8, an activation a / 32; an output of 1 is 8 samples or one octave.
INPUT_BITS, ACT_BITS, OUTPUT_BITS = 3, 5, (7, 4)
BAND = 90  # rows of a grid computed at once


class Rules(Enum):
    """By which of the format's modes heads count: the limits of inputs, and what becomes of a sum of products."""

    WHOLE = -128, 127  # rounded down
    SIGNIFICANT = -LIMIT, LIMIT  # rounded to 8 significant bits, ties to even, then down

    @property
    def limits(self) -> tuple[int, int]:
        """Of inputs."""
        return self.value


@dataclass(frozen=True)
class DensitySpec:
    """Shape of a head for one phase. `known`: samples of the cell that are coded already, 0..3, which is also the phase
    to come; `temporal`: whether its context has the last picture; `others`: whether it has errors of two planes coded
    before; `light`: whether it is of the later kind, which takes a third of the products.

    With at most 32 channels a sum is at most 32 * 9 * 255 * 127 units of its products, and what is added to it (an
    input, a bias) at most 2^7 * 382 more: below 2^24, hence exact in float32. `check` sees to it that products, and not
    biases, have the smaller unit.
    """

    known: int
    temporal: bool
    others: bool
    width: int = WIDTH
    light: bool = False

    @property
    def inputs(self) -> int:
        return self.known + 3 + 8 * self.temporal + 8 * self.others

    @property
    def origin(self) -> int:
        """The phase at which the prediction is taken off that at the other three."""
        return 0 if self.light else self.known

    @property
    def weight_max(self) -> int:
        return LIGHT_WEIGHT_MAX if self.light else WEIGHT_MAX

    @property
    def halo(self) -> int:
        """Rows of cells around those of an output that bear on it."""
        return sum(shape[2] // 2 for shape in self.shapes())

    def shapes(self) -> list[tuple[int, int, int, int]]:
        """Weight shapes: what the flags add to the first layer's biases, then four convolutions."""
        w, side = self.width, 1 if self.light else 3
        return [(w, FLAGS, 1, 1), (w, self.inputs, 3, 3), (w, w, side, side), (w, w, side, side), (2, w, 1, 1)]


Shorts = NDArray[np.int16]
Phases = Sequence[Shorts]  # four arrays of one shape: a plane's samples at each of PHASES


def phases(plane: NDArray, unit: int) -> Sequence[NDArray]:
    """Views of the samples at each phase of a grid whose cells have 2 * unit samples a side; whole cells."""
    return [plane[y * unit :: 2 * unit, x * unit :: 2 * unit] for y, x in PHASES]


@dataclass(frozen=True)
class Context:
    """What a head learns from, on one grid. `error`: at each phase, sample less prediction where it is known (those
    after the first `known` of the head are not looked at); `base`: the prediction at each phase; `rest`: bfloat16
    (channels, rows, columns), what else there is, at four phases each. What coders predict from is
    `heads.density.cells.Cells`."""

    error: Phases
    base: Phases
    rest: Tensor


def inputs_of(spec: DensitySpec, context: Context) -> Tensor:
    """bfloat16 (inputs, rows, columns) for one head: integers within +-LIMIT, which bfloat16 holds."""
    t, origin, base = spec.known, spec.origin, context.base
    out = torch.empty((spec.inputs, *base[0].shape), dtype=torch.bfloat16)
    own = [*context.error[:t], *(base[j] - base[origin] for j in range(4) if j != origin)]
    for to, channel in zip(out[: t + 3], own, strict=True):
        to.copy_(torch.from_numpy(np.clip(channel, -LIMIT, LIMIT)))
    out[t + 3 :] = context.rest
    return out


def check(spec: DensitySpec, layers: Sequence[Layer]) -> None:
    """Raise HeadError unless `layers` form a head of shape `spec`."""
    if max(spec.inputs, spec.width) > 32:
        raise HeadError("a density head has at most 32 channels")
    if [layer.weight.shape for layer in layers] != spec.shapes():
        raise HeadError("the weights do not have the head's shape")
    for i, layer in enumerate(layers):
        if int(np.abs(layer.weight.astype(np.int16)).max()) > spec.weight_max:
            raise HeadError(f"layer {i} has a weight beyond ±{spec.weight_max}")
        if int(np.abs(layer.bias.astype(np.int64)).max()) > (BIAS_MAX if i else 0):
            raise HeadError(f"layer {i} has a bias out of range")
        if not (2 if i in (1, 4) else 0) <= layer.scale_bits <= SCALE_MAX:
            raise HeadError(f"layer {i} has a scale out of range")
