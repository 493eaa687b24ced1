"""What runs a density head (`heads.density.spec`): bands of rows, on the fastest arithmetic that is exact here."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..exact import for_all
from ..layers import Layer
from .cells import Cells
from .kernels import fastest
from .spec import BAND, HALO, DensitySpec, Rules, Shorts, check


class DensityHead:
    """A checked head, ready to run. Immutable; safe to share between threads. `rules`: of the format's mode."""

    def __init__(self, spec: DensitySpec, layers: Sequence[Layer], rules: Rules = Rules.SIGNIFICANT):
        check(spec, layers)
        self.spec, self.layers = spec, tuple(layers)
        self._arithmetic = fastest(spec, self.layers, rules)

    @property
    def kernel(self) -> str:
        """The arithmetic that was chosen: one of `heads.density.kernels.KERNELS`."""
        return self._arithmetic.name

    def run(self, cells: Cells, flags: int) -> tuple[Shorts, Shorts]:
        """(mean less prediction in 1/16 of a sample, log2 of the spread in 1/16), int16 arrays of the grid. `cells` aim
        at the head's phase. Computed in bands of rows that stay in a core's cache."""
        rows, columns = cells.shape
        out = np.empty((2, rows, columns), np.int16)
        self._arithmetic.prepare(flags)

        def band(first: int) -> None:
            end, above, below = min(first + BAND, rows), max(first - HALO, 0), min(first + BAND + HALO, rows)
            found = self._arithmetic.run(cells.inputs(above, below), flags)
            out[:, first:end] = found[:, first - above : end - above]

        for_all(band, range(0, rows, BAND))
        return out[0], out[1]
