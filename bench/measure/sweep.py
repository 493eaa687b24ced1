"""Settings of a method that spread its curve over a given range of quality.

Quality as a function of the setting is known only by trying. Both ends of the range are sought first, from where the
knob says they may lie, then the points between them, each by interpolation of what has been tried. Every try is a
point of the curve; none is thrown away. The choice depends on the qualities alone, so that a second run asks for the
same settings and finds them measured.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..method import Knob

NEAR = 0.12  # share of the range within which an end counts as reached
TRIES = 3  # for each end, the first included

Probe = Callable[[float], float | None]  # quality in dB at a setting, None where it failed


def ladder(knob: Knob, points: int) -> list[float]:
    """As many settings from best to worst; fewer where the knob has no more between them."""
    between = np.geomspace if knob.ratios else np.linspace
    return list(dict.fromkeys(knob.legal(s) for s in between(knob.best, knob.worst, points)))


def spread(knob: Knob, points: int, low: float, high: float, probe: Probe) -> dict[float, float | None]:
    """Try settings until about `points` of them span the qualities `low`..`high`; what each gave.

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
    for setting in (knob.best, knob.worst):
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
    """The legal setting that should give quality `target`, by the line through the two known settings around it; beyond
    all of them by the last two, no farther than half of the knob's usual range."""
    pairs = sorted((quality, setting) for setting, quality in known.items())
    above = next((k for k, (quality, _) in enumerate(pairs) if quality >= target), len(pairs) - 1)
    k = min(max(above, 1), len(pairs) - 1)
    (q0, s0), (q1, s1) = pairs[k - 1], pairs[k]
    if q1 == q0:
        return knob.legal(s0)
    setting = s0 + (s1 - s0) * (target - q0) / (q1 - q0)
    reach = abs(knob.worst - knob.best) / 2
    return knob.legal(min(max(setting, min(s0, s1) - reach), max(s0, s1) + reach))
