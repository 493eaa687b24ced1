"""What the presets of films stand for, in numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from heads.restorer.fit import Schedule

from ..loss.modes import LIGHT, WHOLE, Mode
from ..settings import CRF_MAX, CRF_STEP


@dataclass(frozen=True)
class Preset:
    """Time against size. `base`: SVT-AV1's preset; `bound`: the mode of the loss-stream that keeps films within a bound
    of the error, one with density heads; `fit`: batches that the pretrained head learns from a segment for each
    megasample of it, `least` and `most` of them, at full size only where it `learns`: otherwise a last layer of the
    segment's own is all; `density`: batches that each density head of luma learns from a
    long one, below a bound on the error. Where no pretrained head suits, one is trained from noise: `schedule`, and
    `widths`: channels to choose from, each with the fewest bytes of base from which it is worth a try; `try_all`: each
    of them. `finer`: quantisers that a pretrained head is told of, in its own steps below the truth, each in turn.
    `shift`: what the base's crf differs by from the one that is asked for, at its `crf`s, straight between them."""

    base: int
    fit: float
    density: int
    schedule: Schedule
    widths: tuple[tuple[int, int], ...]
    try_all: bool = False
    least: int = 150
    most: int = 500
    finer: tuple[int, ...] = (0, 32)
    shift: tuple[tuple[float, float], ...] = ((1.0, 0.0),)
    bound: Mode = WHOLE
    learns: bool = True

    def quantiser(self, crf: float) -> float:
        """The crf of SVT-AV1 that gives, at this preset, about the quality that `crf` stands for; in its steps."""
        crfs, shifts = zip(*self.shift, strict=True)
        found = round((crf + float(np.interp(crf, crfs, shifts))) / CRF_STEP) * CRF_STEP
        return min(max(found, 1.0), CRF_MAX)

    def asked(self, quantiser: float) -> float:
        """The crf that `quantiser` makes this crf of SVT-AV1 of; in its steps."""
        crfs = np.arange(1.0, CRF_MAX + CRF_STEP, CRF_STEP)
        found = float(np.interp(quantiser, [self.quantiser(float(crf)) for crf in crfs], crfs))
        return min(max(round(found / CRF_STEP) * CRF_STEP, 1.0), CRF_MAX)

    def batches(self, megasamples: float, enlarged: bool = False) -> int:
        """That the pretrained head learns from a segment of that size, if its bytes allow; twice as many where it
        enlarges."""
        if not (self.learns or enlarged):
            return 0
        return min(max(round(self.fit * megasamples), self.least), self.most) * (1 + enlarged)


PRESETS = {
    "fast": Preset(
        6,
        1,
        150,
        Schedule(600, 400),
        ((8, 0),),
        least=75,
        most=225,
        finer=(0,),
        shift=((10.0, 0.0), (22.0, -1.5), (32.0, -2.75), (44.0, -4.0), (54.0, -4.0), (63.0, 0.0)),
        bound=LIGHT,
        learns=False,
    ),
    "medium": Preset(2, 4, 400, Schedule(2200, 1200), ((8, 0), (16, 150_000))),
    "slow": Preset(
        1,
        8,
        1200,
        Schedule(4500, 2500),
        ((8, 0), (16, 60_000), (32, 700_000)),
        try_all=True,
        least=500,
        most=1000,
        finer=(0, 16, 32, 48, 64),
    ),
}
