"""The shape of a restoring head, and the units of its integers."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ..layers import Layer

# Real-valued units. An input sample is (10-bit value - 512) / 2^INPUT_BITS, an activation a / 2^ACT_BITS with a in
# 0..255, and one unit of the last layer's output is 2^OUTPUT_BITS steps of the 10-bit scale: small, so that an
# untrained last layer changes little (training at high PSNR finds nothing otherwise).
INPUT_BITS, ACT_BITS, OUTPUT_BITS = 8, 6, 4
BASIS_BITS = 2  # the basis below stands for itself / 2^BASIS_BITS
CORRECTION_BITS = 4  # of a fraction of a 10-bit step, in corrections of stills
ACT_MAX = 255
SKIP_BITS = 2  # gated differences enter the last layer times 2^SKIP_BITS
INPUT_MAX = 512  # |10-bit value - 512|
HISTORY_MAX = 255  # differences to earlier pictures are clipped to this

# (rows, columns) of each plane's samples in one cell of the grid, by the number of planes when packed: luma alone,
# 4:2:0, 4:2:2 and 4:4:4
FOLDS = {
    4: [(2, 2)],
    6: [(2, 2), (1, 1), (1, 1)],
    8: [(2, 2), (2, 1), (2, 1)],
    12: [(2, 2), (2, 2), (2, 2)],
}


@dataclass(frozen=True)
class HeadSpec:
    """Shape of a head. `planes`: packed planes of a picture; `history`: earlier pictures it sees (0..2);
    `layers`: convolutions, the last one included (2..8); `width`: channels between them (1..64); `base_q`: one input
    more, the same everywhere, that says how coarse the base is; `adding`: every layer between the first and the last
    adds its input to its output (He et al., "Deep Residual Learning", CVPR 2016)."""

    planes: int = 6
    history: int = 0
    layers: int = 4
    width: int = 16
    base_q: bool = False
    adding: bool = False

    def __post_init__(self) -> None:
        if self.planes not in FOLDS or self.history not in (0, 1, 2):
            raise ValueError(f"no head for {self.planes} planes and history {self.history}")
        if not (2 <= self.layers <= 8 and 1 <= self.width <= 64):
            raise ValueError(f"no head of {self.layers} layers with {self.width} channels")

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Planes, history, layers, width: what a segment's header says of a head."""
        return self.planes, self.history, self.layers, self.width

    @property
    def folds(self) -> list[tuple[int, int]]:
        """(rows, columns) of each plane's samples in one cell."""
        return FOLDS[self.planes]

    @property
    def inputs(self) -> int:
        """Input channels: the base, for each earlier picture its two differences to the base, its quantiser."""
        return self.planes * (1 + 2 * self.history) + self.base_q

    def shapes(self) -> list[tuple[int, int, int, int]]:
        """Weight shape (out, in, 3, 3) of every layer."""
        channels = [self.inputs, *[self.width] * (self.layers - 1), self.planes]
        shapes = [(o, i, 3, 3) for i, o in pairwise(channels)]
        shapes[-1] = (self.planes, self.width + len(self.skips), 3, 3)
        return shapes

    @property
    def skips(self) -> list[int]:
        """Input channels that also enter the last layer, behind its activations: the gated differences."""
        starts = [self.planes * (1 + 2 * k) for k in range(self.history)]
        return [c for at in starts for c in range(at, at + self.planes)]

    @property
    def weights(self) -> int:
        """Number of weights, biases not counted."""
        return sum(int(np.prod(s)) for s in self.shapes())

    def adds(self, index: int) -> bool:
        """Whether layer `index` adds its input."""
        return self.adding and 0 < index < self.layers - 1


_BASES = {  # of a plane, by its samples in one cell
    1: [[4]],
    2: [[2, 2], [8, -8]],
    4: [[1, 1, 1, 1], [8, -8, 8, -8], [8, 8, -8, -8], [8, -8, -8, 8]],
}


def input_basis(spec: HeadSpec) -> NDArray[np.int64]:
    """(inputs, inputs) integers: row j is the pattern of input samples that weight j of the first layer sees."""
    blocks = [np.array(_BASES[n], np.int64) for n in (r * c for r, c in spec.folds)] * (1 + 2 * spec.history)
    blocks += [np.array(_BASES[1], np.int64)] * spec.base_q
    basis, at = np.zeros((spec.inputs, spec.inputs), np.int64), 0
    for block in blocks:
        basis[at : at + len(block), at : at + len(block)] = block
        at += len(block)
    return basis


def effective(spec: HeadSpec, index: int, layer: Layer) -> NDArray[np.int64]:
    """Weights of layer `index` as applied to samples: integers, for the first layer in units of 2^-BASIS_BITS."""
    weight = layer.weight.astype(np.int64)
    return np.einsum("ojyx,ji->oiyx", weight, input_basis(spec)) if index == 0 else weight


def shift_of(index: int, last: int, scale_bits: int) -> int:
    """Right shift that takes the accumulator of layer `index` to its output's unit (activation, or 10-bit step)."""
    shift = scale_bits
    shift += BASIS_BITS + INPUT_BITS - ACT_BITS if index == 0 else 0
    return shift + (ACT_BITS - OUTPUT_BITS if index == last else 0)


def accumulator_bits(index: int, scale_bits: int) -> int:
    """log2 of accumulator units per real-valued unit in layer `index`: what biases are counted in."""
    return scale_bits + (BASIS_BITS + INPUT_BITS if index == 0 else ACT_BITS)
