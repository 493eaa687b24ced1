"""Settings are chosen so that curves span the same qualities."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.measure.sweep import ladder, spread, spread_rates
from bench.method import Knob

CRF = Knob(best=18, worst=42, low=0, high=51)
QUALITY = Knob(best=92, worst=20, low=1, high=95)


def test_ladder_in_equal_ratios():
    assert ladder(Knob(best=0.6, worst=0.15, low=0.01, high=16, step=0.01, ratios=True), 3) == [0.6, 0.3, 0.15]


@pytest.mark.parametrize("knob, slope", [(CRF, -0.6), (QUALITY, 0.2), (Knob(2, 20, 1, 255), -0.5)])
@pytest.mark.parametrize("bend", [0, 0.004])
def test_curve_spans_the_range(knob, slope, bend):
    middle = (knob.best + knob.worst) / 2

    def quality(setting):
        return 38 + slope * (setting - middle) - bend * (24 * (setting - middle) / (knob.worst - knob.best)) ** 2

    low, high = 33.0, 42.0
    tried = spread(knob, 6, low, high, quality)
    assert all(knob.legal(s) == s for s in tried)
    inside = sorted(q for q in tried.values() if low - 1.5 <= q <= high + 1.5)
    reachable = sorted(quality(knob.legal(s)) for s in np.linspace(knob.low, knob.high, 500))
    assert 6 <= len(tried) <= 10
    assert inside[0] <= max(low, reachable[0]) + 1 and inside[-1] >= min(high, reachable[-1]) - 1
    assert max(np.diff(inside)) < 3.5


def test_same_qualities_ask_for_the_same_settings():
    asked: list[float] = []
    spread(CRF, 5, 33, 42, lambda s: asked.append(s) or 50 - s / 2)
    again: list[float] = []
    spread(CRF, 5, 33, 42, lambda s: again.append(s) or 50 - s / 2)
    assert asked == again and len(set(asked)) == len(asked)


def test_failing_points_end_no_sweep():
    tried = spread(CRF, 5, 33, 42, lambda s: None if s < 30 else 50 - s / 2)
    assert tried[CRF.best] is None and len(tried) >= 2
    assert all(q is None for q in spread(CRF, 5, 33, 42, lambda s: None).values())


def test_flat_method_ends():
    assert 2 <= len(spread(CRF, 6, 33, 42, lambda s: 35.0)) <= 4
    assert len(spread(CRF, 6, 40, 40, lambda s: 35.0)) == 1


def test_ladder_goes_from_best_to_worst():
    assert ladder(CRF, 4) == [18, 26, 34, 42]
    assert ladder(Knob(1, 3, 1, 24), 6) == [1, 2, 3]


def test_rates_are_spanned():
    tried = spread_rates(CRF, 4, 300, 1000, lambda s: 40_000 * 2 ** (-s / 6))
    found = sorted(math.exp(log) for log in tried.values())
    assert abs(found[0] - 300) < 50 and any(abs(rate - 1000) < 150 for rate in found)
    assert len([rate for rate in found if 250 < rate < 1150]) >= 4 and len(tried) <= 7


def test_a_setting_that_is_the_rate_needs_no_search():
    knob = Knob(best=4000, worst=100, low=1, high=1e6, step=0.1, ratios=True, is_rate=True)
    assert list(spread_rates(knob, 3, 100, 400, lambda s: s)) == [100, 200, 400]


def test_rates_beyond_reach_are_left_at_the_last_setting():
    tried = spread_rates(CRF, 4, 1, 30, lambda s: 40_000 * 2 ** (-s / 6))
    assert max(tried) == CRF.high and len(tried) <= 4
