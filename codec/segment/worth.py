"""What a head is worth by what is seen: PSNR-YUV, luma's PSNR and luma's SSIM, each against the bytes that AV1 would
have to spend for as much of it.

Chroma has a quarter of PSNR-YUV and is easily won back; luma's structure is easily lost to a head that smooths. So all
three count alike, and a head is worth nothing where it does not surely win by each of them.

Runs in the encoder alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..base.coded import Base
from ..frames import Plane
from ..metrics import ssim, weighted
from .passes import Passes, Predictions

# dB for each factor e of AV1's rate; see bench/NOTES.md, "What is seen counts"
SLOPES = (3.4, 3.7, 2.9)
PRICE = 1.0  # of bytes, in what AV1 takes for the same gains
SURE = 0.002  # that a head must win by each: few of the pictures are looked at
LEAST = 1e-9  # that SSIM is held to lack
EVERY = 4  # pictures of those that comparisons look at: one in so many is compared by SSIM, which takes long


class Measures(NamedTuple):
    """Means over pictures, in dB. `ssim`: -10 log10(1 - SSIM), of luma; nan where pictures are too small."""

    yuv: float
    luma: float
    ssim: float


class Judge:
    """Says what heads are worth on a base, by the pictures that comparisons look at."""

    def __init__(self, passes: Passes, base: Base):
        self._passes, self._base = passes, base
        numbers = passes.evaluated()
        self._numbers = numbers[EVERY // 2 :: EVERY] or numbers[:1]  # of those that SSIM is measured of

    def won(self, found: Predictions, size: float) -> float:
        """What a head is worth that predicts this of those pictures, where base and head take `size` bytes: see
        `won`."""
        psnrs = np.array([prediction.psnrs for prediction in found.values()])
        seen = self._measured(psnrs, [found[k].output[0] for k in self._numbers])
        return won(self._plain, seen, size / self._base.bytes)

    @cached_property
    def _plain(self) -> Measures:
        """Without a head."""
        restorer = self._passes.restorer(None)
        lumas = [restorer.predict(self._base.pictures[k])[0] for k in self._numbers]
        return self._measured(self._base.psnrs[self._passes.evaluated()], lumas)

    def _measured(self, psnrs: NDArray[np.float64], lumas: Sequence[Plane]) -> Measures:
        """`psnrs`: (pictures, planes), in dB; `lumas`: of some of the pictures."""
        frames, peak = self._passes.frames, self._passes.info.format.peak
        pairs = zip(self._numbers, lumas, strict=True)
        alike = float(np.mean([ssim(luma, frames[k].planes[0], peak) for k, luma in pairs]))
        lack = max(1 - alike, LEAST) if math.isfinite(alike) else alike
        return Measures(weighted(psnrs), float(psnrs[:, 0].mean()), -10 * math.log10(lack))


def won(plain: Measures, found: Measures, size: float) -> float:
    """The share of its bytes (as a natural logarithm) that a segment is worth more, where its measures go from `plain`
    to `found` and its bytes grow by the factor `size`; negative where it does not surely win by each of them."""
    pairs = zip(plain, found, SLOPES, strict=True)
    gains = [(after - before) / slope - PRICE * math.log(size) for before, after, slope in pairs]
    gains = [gain for gain in gains if math.isfinite(gain)]  # SSIM may be nan
    least = min(gains) - SURE
    return least if least < 0 else float(np.mean(gains))
