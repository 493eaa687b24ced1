"""Settings of a method that spread its curve over a given range of quality, or of rate.

Quality and rate as functions of the setting are known only by trying. Both ends of the range are sought first, from
where the knob says they may lie, then the points between them, each by interpolation of what has been tried. Every try
is a point of the curve; none is thrown away. The choice depends on what was found alone, so that a second run asks for
the same settings and finds them measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from ..method import Knob

NEAR = 0.12  # share of the range within which an end counts as reached
TRIES = 3  # for each end, the first included

Probe = Callable[[float], float | None]  # what a setting gives: quality in dB or a rate, None where it failed


def ladder(knob: Knob, points: int) -> list[float]:
    """As many settings from best to worst; fewer where the knob has no more between them."""
    between = np.geomspace if knob.ratios else np.linspace
    return list(dict.fromkeys(knob.legal(s) for s in between(knob.best, knob.worst, points)))


def spread_rates(knob: Knob, points: int, low: float, high: float, probe: Probe) -> dict[float, float | None]:
    """Try settings until about `points` of them span the rates `low`..`high`; the logarithm of each one's rate."""

    def log_rate(setting: float) -> float | None:
        rate = probe(setting)
        return None if rate is None else math.log(rate)

    if knob.is_rate:
        settings = dict.fromkeys(knob.legal(float(s)) for s in np.geomspace(low, high, points))
        return {setting: log_rate(setting) for setting in settings}
    first = (knob.worst, knob.worst + (knob.best - knob.worst) / 6)  # rates that are asked for are low ones
    return spread(knob, points, math.log(low), math.log(high), log_rate, first)


def spread(
    knob: Knob, points: int, low: float, high: float, probe: Probe, first: Sequence[float] = ()
) -> dict[float, float | None]:
    """Try settings, those of `first` or else the knob's best and worst to begin with, until about `points` of them span
    the values `low`..`high`; what each gave.

    Ends that the method does not reach are left at its extreme setting.
    """
    tried: dict[float, float | None] = {}

    def attempt(setting: float) -> float | None:
        if setting not in tried:
            tried[setting] = probe(setting)
        return tried[setting]

    if high <= low or points < 2:
        attempt(knob.legal((knob.best + knob.worst) / 2))
        return tried
    for setting in first or (knob.best, knob.worst):
        attempt(knob.legal(setting))
    for target in (high, low):
        for _ in range(TRIES - 1):
            known = {s: q for s, q in tried.items() if q is not None}
            if len(known) < 2 or min(abs(q - target) for q in known.values()) <= NEAR * (high - low):
                break
            setting = estimate(knob, known, target)
            if setting in tried:
                break
            attempt(setting)
    for target in np.linspace(high, low, points)[1:-1]:
        known = {s: q for s, q in tried.items() if q is not None}
        if len(known) < 2:
            break
        attempt(estimate(knob, known, float(target)))
    return tried


def estimate(knob: Knob, known: dict[float, float], target: float) -> float:
    """The legal setting that should give the value `target`, by the line through the two known settings around it;
    beyond all of them by the last two, no farther than half of the knob's usual range."""
    pairs = sorted((quality, setting) for setting, quality in known.items())
    above = next((k for k, (quality, _) in enumerate(pairs) if quality >= target), len(pairs) - 1)
    k = min(max(above, 1), len(pairs) - 1)
    (q0, s0), (q1, s1) = pairs[k - 1], pairs[k]
    if q1 == q0:
        return knob.legal(s0)
    setting = s0 + (s1 - s0) * (target - q0) / (q1 - q0)
    reach = abs(knob.worst - knob.best) / 2
    return knob.legal(min(max(setting, min(s0, s1) - reach), max(s0, s1) + reach))
