"""Density heads as advisers of the linear mode: one more tap and one more magnitude for its forms.

Pretrained heads know photographs at large, linear forms are fitted to the picture at hand; a picture too small to
train heads on is coded best by forms that have what the heads say.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from heads.density.spec import SPREAD_MAX, Rules
from heads.density.store import Family

from .changes import heads_of
from .entropy import Ints
from .grid import PlaneHeads

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
    """What heads say of the samples of one plane of a still, pass by pass."""

    def __init__(self, flags: int, base: Ints, errors: Sequence[Ints]):
        """`errors`: of the planes before this one, all of one size."""
        self.heads = PlaneHeads(heads_of(Family.STILL, Rules.SIGNIFICANT), Rules.SIGNIFICANT, flags, base, errors)

    def advice(self, number: int, decoded: Ints) -> tuple[Ints, Ints]:
        """(expected values, expected magnitudes), 1/16 of a sample, of pass `number`; `decoded` holds those before."""
        value, spread = self.heads.predict(number, decoded)
        return value, _MAGNITUDES[spread + SPREAD_MAX]
