"""The context of a plane on one grid, packed for kernels: cells in raster order, the channels of a cell side by side.

All heads of a plane share the channels, those that a head does not use have weights of 0:

    errors at phases 0 .. 2 | the prediction at the other phases less that at the phase to come | the rest | filling

For light heads the prediction is that at phases 1 to 3 less that at phase 0, whichever is to come.
By `Rules.WHOLE` an input is a byte, to which 128 was added; else it has 16 bits. A border of cells of zeros surrounds
the grid.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .spec import PHASES, DensitySpec, Rules, Shorts, phases

KNOWN = len(PHASES) - 1  # channels of errors, and of predictions
LANES = 8  # channels are filled up to a multiple
OFFSET = 128  # of bytes
ALL = slice(None)


def channels(spec: DensitySpec) -> int:
    """That the cells of a head's planes have."""
    return -(-(KNOWN - spec.known + spec.inputs) // LANES) * LANES


def places(spec: DensitySpec) -> list[int]:
    """Where the inputs of a head stand among the channels."""
    return [*range(spec.known), *range(KNOWN, KNOWN - spec.known + spec.inputs)]


def packed(values: Shorts, rules: Rules) -> NDArray:
    """Inputs within their limits, in the type of cells."""
    limited = np.clip(values, *rules.limits)
    if rules != Rules.WHOLE:
        return limited
    limited += OFFSET
    return limited.astype(np.uint8)


class Cells:
    """The cells of one plane. `unit`: see `phases`; `base`: the prediction; `rest`: planes that are known from the
    start, packed, in the heads' order; all of whole cells; `light`: for heads of that kind."""

    def __init__(self, unit: int, base: Shorts, rest: Sequence[NDArray], rules: Rules, light: bool = False):
        self._base = [np.ascontiguousarray(phase) for phase in phases(base, unit)]
        rows, columns = self.shape = self._base[0].shape
        self._rules = rules
        filled = -(-(2 * KNOWN + len(PHASES) * len(rest)) // LANES) * LANES
        zero = packed(np.zeros((), np.int16), rules)
        self._values = np.full((rows + 2, columns + 2, filled), zero, zero.dtype)
        self._inner = self._values[1:-1, 1:-1]
        for k, plane in enumerate(rest):
            for j, phase in enumerate(phases(plane, unit)):
                self._inner[..., 2 * KNOWN + len(PHASES) * k + j] = phase
        self._light = light
        if light:
            self._refer(0, ALL)

    def learn(self, phase: int, errors: Shorts, rows: slice = ALL) -> None:
        """The errors at one of the first three phases are known, in some rows."""
        self._inner[rows, :, phase] = packed(errors, self._rules)

    def aim(self, phase: int, rows: slice = ALL) -> None:
        """The samples of this phase come next, in some rows."""
        if not self._light:
            self._refer(phase, rows)

    def _refer(self, phase: int, rows: slice) -> None:
        """Take the prediction at this phase off that at the others."""
        others = (base for j, base in enumerate(self._base) if j != phase)
        for place, base in enumerate(others, KNOWN):
            self._inner[rows, :, place] = packed(base[rows] - self._base[phase][rows], self._rules)

    def inputs(self, first: int, end: int) -> Tensor:
        """Some rows, and the cells around them: uint8 or int16 (1, channels, rows + 2, columns + 2) in channels-last
        memory."""
        return torch.from_numpy(self._values[first : end + 2]).permute(2, 0, 1)[None]
