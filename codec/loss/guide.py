"""Density heads as advisers of the bounded mode: one more tap and one more magnitude for its linear forms.

Heads of the package know photographs at large, linear forms are fitted to the picture at hand; a picture too small to
train heads on is coded best by forms that see what the heads say.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from heads.density.head import SPREAD_MAX, context_of
from heads.density.store import Family

from .changes import heads_of
from .entropy import Ints
from .grid import COARSE, PASSES, THIRD, samples_of, whole_cells

# 1.386 * 16 * 2^(j/16): a logistic's mean magnitude over its scale, in 1/16 of a sample
_SIXTEENTHS = (22, 23, 24, 25, 26, 28, 29, 30, 31, 33, 34, 36, 37, 39, 41, 42)
MAGNITUDE_MAX = (1 << 15) - 1


def _magnitudes() -> Ints:
    """Expected magnitude, 1/16 of a sample, for each spread -SPREAD_MAX .. SPREAD_MAX in 1/16 of an octave."""
    out = []
    for spread in range(-SPREAD_MAX, SPREAD_MAX + 1):
        octave, part = spread >> 4, _SIXTEENTHS[spread & 15]
        out.append(min(part << octave if octave >= 0 else part >> -octave, MAGNITUDE_MAX))
    return np.array(out, np.int32)


_MAGNITUDES = _magnitudes()


class Guide:
    """What heads say of the samples of one plane, pass by pass."""

    def __init__(self, flags: int, p: int, base: Ints, errors: Sequence[Ints]):
        """`errors`: of the planes before plane `p`, all of one size."""
        self._heads, self._flags = heads_of(Family.STILL), flags | (THIRD if p == 2 else 0)
        self._first, self._base, self._recorded = p == 0, base, 0
        cells = whole_cells(base)
        self._error = np.zeros_like(cells)
        others = []
        if p:
            others = [whole_cells(errors[0]), whole_cells(errors[1]) if p == 2 else np.zeros_like(cells)]
        self._contexts = {unit: context_of(unit, self._error, cells, (), others) for unit in (1, 2)}

    def context(self, number: int, decoded: Ints) -> tuple[Ints, Ints]:
        """(expected values, expected magnitudes), 1/16 of a sample, of pass `number`; `decoded` holds those before."""
        rows, columns = decoded.shape
        for unit, phase in PASSES[self._recorded : number]:  # what was found since the last look
            grid = samples_of(unit, phase)
            self._error[:rows, :columns][grid] = decoded[grid] - self._base[grid]
        self._recorded = number
        unit, phase = PASSES[number]
        grid = samples_of(unit, phase)
        head = self._heads[phase + (0 if self._first else 4)]
        mean, spread = head.run(self._contexts[unit], self._flags | (COARSE if unit == 2 else 0))
        base = self._base[grid]
        inner = tuple(slice(n) for n in base.shape)
        return 16 * base + mean[inner], _MAGNITUDES[spread[inner] + SPREAD_MAX]
