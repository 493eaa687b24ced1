"""A quality that is asked for: by which metric, for which pictures, and how near the pictures of a segment come to it.

One number stands for a segment: the mean over its pictures, or with `worst` what all but so many percent of them reach.
Metrics are those of `codec.metrics` and `codec.media.xpsnr`, on the film's own samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..events import SegmentStats
from ..frames import Plane, VideoInfo
from ..media.xpsnr import Xpsnr, filter_fits
from ..metrics import WINDOW, ssim, weighted
from ..settings import PSNR, SSIM, TARGETS, XPSNR, Settings

_ARTICLES = {PSNR: "a", SSIM: "an", XPSNR: "an"}
_LEAST = 1e-10  # of what an SSIM lacks of 1, in decibels


@dataclass(frozen=True)
class Target:
    """`wish`: what is asked for of a `metric`, PSNR, SSIM or XPSNR; `worst`: see `share_reaches`."""

    metric: str
    wish: float
    worst: float | None

    @classmethod
    def of(cls, settings: Settings) -> Target | None:
        """What the settings ask for, None where that is no quality."""
        name = settings.target
        return None if name is None else cls(TARGETS[name], getattr(settings, name), settings.worst)

    @property
    def words(self) -> str:
        """What is asked for, in words."""
        unit = "" if self.metric == SSIM else " dB"
        wish = f"{_ARTICLES[self.metric]} {self.metric} of {self.wish:g}{unit}"
        return wish if self.worst is None else f"{wish} in all but {self.worst:g} % of pictures"

    def check(self, info: VideoInfo, name: str) -> None:
        """Raise InputError where pictures such as those of the film `name` cannot be measured so."""
        size = f"{info.width}x{info.height}"
        if self.metric == SSIM and min(info.width, info.height) < WINDOW:
            raise InputError(f"{name} has no SSIM: its pictures of {size} are smaller than {WINDOW}x{WINDOW}")
        if self.metric == XPSNR and not filter_fits(info.format, info.width, info.height):
            raise InputError(f"{name} has no XPSNR: libav's filter does not measure {size} {info.format.av_name}")

    def level(self, value: float) -> float:
        """A value of the metric in decibels, which fall about evenly with the quantiser."""
        return -10 * math.log10(max(1 - value, _LEAST)) if self.metric == SSIM else value

    def lacks(self, value: float) -> float:
        """Decibels by which a value falls short of the wish; negative where it does not."""
        return self.level(self.wish) - self.level(value)


class Gauge:
    """Measures pictures for a target, one after the other."""

    def __init__(self, target: Target, info: VideoInfo):
        self._target, self._peak = target, info.format.peak
        self._values: list[float] = []
        self._xpsnr = Xpsnr(info) if target.metric == XPSNR else None

    def add(self, source: Sequence[Plane], shown: Sequence[Plane], psnrs: NDArray[np.float64]) -> None:
        """Compare the next picture with its source; `psnrs`: of its planes, in dB."""
        if self._xpsnr is not None:
            self._xpsnr.add(source, shown)
        elif self._target.metric == SSIM:
            self._values.append(ssim(source[0], shown[0], self._peak))
        else:
            self._values.append(weighted(psnrs))

    @property
    def value(self) -> float:
        """What stands for the pictures so far."""
        if self._target.worst is not None:
            return share_reaches(self._xpsnr.values if self._xpsnr else self._values, self._target.worst)
        mean = self._xpsnr.value() if self._xpsnr else float(np.mean(self._values))
        assert mean is not None
        return mean


def quality_of(segments: Sequence[SegmentStats], worst: float | None) -> float | None:
    """What stands for a film: the mean over its pictures, or with `worst` the least of its segments'; None where no
    target was asked for."""
    known = [(s.quality, s.frames) for s in segments if s.quality is not None]
    if not known:
        return None
    if worst is not None:
        return min(quality for quality, _ in known)
    return sum(quality * frames for quality, frames in known) / sum(frames for _, frames in known)


def share_reaches(values: Sequence[float], worst: float) -> float:
    """What all but `worst` percent of the values, 0 to below 100, reach at least; of few values, all of them."""
    return sorted(values)[math.floor(len(values) * worst / 100)]
