"""What runs a density head (`heads.density.spec`): bands of rows, which stay in a core's cache, on the fastest
arithmetic that is exact here."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..layers import Layer
from ..threads import for_all
from .cells import Cells
from .kernels import fastest
from .spec import BAND, DensitySpec, Rules, check


class DensityHead:
    """A checked head, ready to run. Immutable; safe to share between threads. `rules`: of the format's mode."""

    def __init__(self, spec: DensitySpec, layers: Sequence[Layer], rules: Rules):
        check(spec, layers)
        self.spec, self.layers = spec, tuple(layers)
        self._arithmetic = fastest(spec, self.layers, rules)

    def __deepcopy__(self, memo: object) -> DensityHead:
        return self

    @property
    def kernel(self) -> str:
        """The arithmetic that was chosen: one of `heads.density.kernels.KERNELS`."""
        return self._arithmetic.name

    def prepare(self, flags: int) -> None:
        """To be called before `band` is with those flags."""
        self._arithmetic.prepare(flags)

    def band(self, cells: Cells, flags: int, first: int, end: int) -> NDArray[np.int16]:
        """Of some rows the mean less the prediction, in 1/16 of a sample, and log2 of the spread, in 1/16: int16
        (2, rows, columns). `cells` aim at the head's phase."""
        above, below = max(first - self.spec.halo, 0), min(end + self.spec.halo, cells.shape[0])
        found = self._arithmetic.run(cells.inputs(above, below), flags)
        return found[:, first - above : end - above]

    def run(self, cells: Cells, flags: int) -> NDArray[np.int16]:
        """`band` of the whole grid."""
        rows, columns = cells.shape
        out = np.empty((2, rows, columns), np.int16)
        self.prepare(flags)

        def band(first: int) -> None:
            end = min(first + BAND, rows)
            out[:, first:end] = self.band(cells, flags, first, end)

        for_all(band, range(0, rows, BAND))
        return out
