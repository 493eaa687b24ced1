"""Which size the base should have: measured on the film's first segment.

A few pictures are coded at each size and three quantisers; sizes are compared at the rate (or the quality) that was
asked for. Below a certain rate a smaller base wins, at most rates the full size does; where a glance at the film shows
that it is far above, nothing is compared.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from ..base.coded import Base
from ..events import Listener, Stage
from ..frames import Frame, VideoInfo
from ..segment.effort import GLANCE_PRESET, PROBE_PRESET, PROBED, PROBED_SIZES
from ..segment.encoder import SegmentEncoder
from ..segment.presets import PRESETS
from ..segment.target import Target
from ..settings import CRF_MAX, SCALES, Settings

PROBE_CRFS = (24.0, 40.0, 56.0)
PLENTY = 0.05  # bits for each sample of luma, of a glance, from which no smaller base wins
SMALLEST = 64  # samples: no base is made narrower or lower than this
ADVANTAGE = 0.1  # dB by which a smaller base must win: short probes flatter it
MARGIN = 0.5  # dB by which a size may fall behind before smaller ones are no longer tried


@dataclass(frozen=True)
class _Curve:
    scale: Fraction
    rates: tuple[float, ...]  # ln bytes, rising
    psnrs: tuple[float, ...]
    crfs: tuple[float, ...]  # SVT-AV1's own

    def psnr_at(self, rate: float) -> float:
        return _line(rate, self.rates, self.psnrs)

    def reaches(self, rate: float) -> bool:
        """Whether the coarsest quantiser takes no more."""
        return _line(CRF_MAX, self.crfs[::-1], self.rates[::-1]) <= rate

    def crf_at(self, rate: float) -> float:
        return min(max(_line(rate, self.rates, self.crfs), 1.0), CRF_MAX)


def _line(x: float, xs: Sequence[float], ys: Sequence[float]) -> float:
    """Piecewise linear, continued beyond the ends along the outer pieces."""
    k = min(max(int(np.searchsorted(xs, x)), 1), len(xs) - 1)
    run = xs[k] - xs[k - 1]
    return ys[k - 1] if run == 0 else ys[k - 1] + (x - xs[k - 1]) * (ys[k] - ys[k - 1]) / run


def choose_scale(
    frames: Sequence[Frame], info: VideoInfo, settings: Settings, bytes_per_second: float, listen: Listener
) -> tuple[Fraction, float]:
    """(scale, crf to begin with). With `--crf N` the crf is that of the full-size base, and a smaller base gets the
    crf at which it takes the same bytes."""
    start, preset = settings.start_crf, PRESETS[settings.preset]
    if settings.scale is not None:
        return settings.scale, start
    if settings.max_error is not None:
        return Fraction(1), start
    middle = max(0, (len(frames) - PROBED) // 2)  # films begin with titles and fades
    frames = frames[middle : middle + PROBED]
    probe = replace(settings, preset="fast")
    target = Target.of(settings)
    if target is None and not bytes_per_second:
        glance = SegmentEncoder(frames, info, probe, Fraction(1)).base(preset.quantiser(start), GLANCE_PRESET)
        if 8 * glance.bytes > PLENTY * info.width * info.height * len(frames):
            return Fraction(1), start
    best: tuple[float, Fraction, float] | None = None  # PSNR, minus infinity where the rate is out of reach
    goal: float | None = None
    work = sum(1 / float(s) ** 2 for s in SCALES)
    for n, scale in enumerate(SCALES):
        if scale > 1 and min(info.width, info.height) / scale < SMALLEST:
            break
        encoder, points = SegmentEncoder(frames, info, probe, scale), list[Base]()
        for crf in reversed(PROBE_CRFS):
            done = sum(1 / float(s) ** 2 for s in SCALES[:n]) + len(points) / len(PROBE_CRFS) / float(scale) ** 2
            listen(Stage("scale", min(done / (work * PROBED_SIZES), 1.0)))
            points.append(encoder.base(crf, PROBE_PRESET))
        curve = _Curve(
            scale,
            tuple(math.log(p.bytes) for p in points),
            tuple(p.psnr for p in points),
            tuple(p.crf for p in points),
        )
        if goal is None:
            if target is not None:
                levels = [target.level(p.quality) for p in points if p.quality is not None]
                goal = _line(target.level(target.wish), levels, curve.rates)
            elif bytes_per_second:
                goal = math.log(max(1.0, bytes_per_second * len(frames) / float(info.rate)))
            else:
                goal = _line(preset.quantiser(start), curve.crfs[::-1], curve.rates[::-1])
        reached = not bytes_per_second or curve.reaches(goal)
        psnr = curve.psnr_at(goal) - (ADVANTAGE if scale > 1 else 0.0) if reached else -math.inf
        crf = preset.asked(curve.crf_at(goal)) if scale > 1 or settings.crf is None else start
        if best is None or psnr > best[0] or best[0] == -math.inf:  # where none reaches it, the smallest
            best = (psnr, scale, crf)
        elif psnr < best[0] - MARGIN:
            break
    assert best is not None
    return best[1], best[2]
