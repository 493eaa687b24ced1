"""BD-rate and BD-PSNR: cases that can be computed by hand, and two independent implementations."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.show.bdrate import Curve, CurveError, bd_psnr, bd_rate, best_of, integral, interpolate, slopes

POINTS = [(100.0, 30.0), (210.0, 32.5), (400.0, 34.4), (900.0, 37.1), (1700.0, 39.0)]


def scaled(factor=1.0, gain=0.0, points=POINTS):
    return Curve.of((rate * factor, psnr + gain) for rate, psnr in points)


def random_points(rng, count):
    """Rate and PSNR both rising, at uneven distances."""
    rates = np.exp(np.cumsum(rng.uniform(0.1, 0.9, count)) + 5)
    psnrs = rng.uniform(28, 30) + np.cumsum(rng.uniform(0.3, 3, count))
    return list(zip(rates.tolist(), psnrs.tolist(), strict=True))


def test_half_the_rate_everywhere():
    value, low, high = bd_rate(scaled(), scaled(0.5))
    assert value == pytest.approx(-50, abs=1e-9) and (low, high) == (30, 39)
    assert bd_rate(scaled(0.5), scaled()).value == pytest.approx(100, abs=1e-9)


def test_equal_curves():
    assert bd_rate(scaled(), scaled()).value == pytest.approx(0, abs=1e-12)
    assert bd_psnr(scaled(), scaled()).value == pytest.approx(0, abs=1e-12)


def test_one_decibel_more_everywhere():
    value, low, high = bd_psnr(scaled(), scaled(gain=1.0))
    assert value == pytest.approx(1, abs=1e-9)
    assert (low, high) == pytest.approx((100, 1700))


def test_lines_by_hand():
    # ln rate rises by ln 2 every 3 dB for the one, every 6 dB for the other; they meet at 30 dB. On 30..36 dB they
    # differ by -x·ln2/6 with x = 0..6, in the mean -ln2/2: the rate is 1/√2.
    anchor, test = Curve.of([(1, 30), (4, 36)]), Curve.of([(1, 30), (4, 42)])
    assert bd_rate(anchor, test) == pytest.approx((100 * (math.sqrt(0.5) - 1), 30, 36))
    # at equal rate, over ln 1..ln 4, the PSNRs differ by 0 to 6 dB
    assert bd_psnr(anchor, test) == pytest.approx((3, 1, 4))


def test_only_the_overlap_counts():
    anchor, test = Curve.of([(1, 30), (2, 33), (4, 36)]), Curve.of([(1, 33), (2, 36), (4, 39)])
    assert bd_rate(anchor, test) == pytest.approx((-50, 33, 36))


def test_order_and_unit_do_not_matter():
    mixed = Curve.of([POINTS[k] for k in (3, 0, 4, 2, 1)])
    assert np.array_equal(mixed.rates, scaled().rates)
    other = scaled(0.8, 0.3)
    assert bd_rate(mixed, other) == pytest.approx(bd_rate(scaled(8), scaled(6.4, 0.3)))


def test_dominated_points_are_left_out_with_a_note():
    curve = Curve.of([*POINTS, (500.0, 34.0), (400.0, 34.4), (5000.0, math.inf)])
    assert np.array_equal(curve.psnrs, scaled().psnrs)
    assert len(curve.notes) == 3 and "500 and 34.000 dB" in " ".join(curve.notes)
    assert scaled().notes == ()


@pytest.mark.parametrize(
    "points", [[], [(100, 30)], [(100, 30), (100, 30)], [(100, 30), (200, 29)], [(100, 30), (0, 29)], [(-1, 3), (1, 4)]]
)
def test_too_few_points_or_no_logarithm(points):
    with pytest.raises(CurveError):
        Curve.of(points)


def test_no_overlap():
    with pytest.raises(CurveError, match=r"do not overlap in quality: 30\.\.39 and 39\.\.48 dB"):
        bd_rate(scaled(), scaled(gain=9))
    with pytest.raises(CurveError, match="do not overlap in rate"):
        bd_psnr(scaled(), scaled(17))


def test_best_of_curves_is_the_least_rate_at_each_quality():
    coarse, fine = Curve.of([(1, 30), (4, 36)]), Curve.of([(2, 30), (4, 36), (8, 42)])
    best = best_of([coarse, fine])
    assert (best.rates[0], best.rates[-1], best.psnrs[0], best.psnrs[-1]) == pytest.approx((1, 8, 30, 42))
    assert bd_rate(best, coarse).value == pytest.approx(0, abs=1e-4)
    # above 36 dB only `fine` is left, whose rate is that of `coarse` there
    assert interpolate(best.psnrs, np.log(best.rates), np.array([39.0]))[0] == pytest.approx(math.log(4 * 2**0.5))
    assert best_of([fine]) is fine and not best.notes


def test_the_worst_point_of_a_curve_serves_lower_qualities():
    cheap, dear = Curve.of([(1, 34), (4, 40)]), Curve.of([(2, 30), (3, 34), (9, 40)])
    best = best_of([cheap, dear])
    assert best.rates[0] == pytest.approx(1) and best.psnrs[0] == pytest.approx(34)


def test_between_two_curves_the_worst_point_of_the_dearer_one_counts():
    low, high = Curve.of([(100, 30), (120, 31)]), Curve.of([(300, 35), (600, 38)])
    best = best_of([low, high])
    at = np.exp(interpolate(best.psnrs, np.log(best.rates), np.array([30.5, 32.0, 34.0, 36.5])))
    assert at[1:3] == pytest.approx([300, 300], rel=1e-4) and at[0] < 120 and 300 < at[3] < 600


def test_rates_within_limits():
    anchor, test = scaled(), scaled(0.5)
    value, low, high = bd_rate(anchor, test, (200, 900))
    assert value == pytest.approx(-50) and 30 < low < high < 39
    assert high == pytest.approx(37.1), "the anchor's at 900; the test's is higher there"
    assert low == pytest.approx(interpolate(np.log(test.rates), test.psnrs, np.log([200.0]))[0])
    assert bd_psnr(anchor, test, (200, 900))[1:] == pytest.approx((200, 850))


@pytest.mark.parametrize("count", [2, 3, 4, 5, 9])
def test_interpolation_is_that_of_scipy(count):
    interpolators = pytest.importorskip("scipy.interpolate")
    for seed in range(20):
        rng = np.random.default_rng(seed)
        x, y = np.cumsum(rng.uniform(0.01, 2, count)), rng.normal(size=count) * 10  # with extrema
        y = np.sort(y) if seed % 2 else y
        theirs = interpolators.PchipInterpolator(x, y)
        assert slopes(x, y) == pytest.approx(theirs.derivative()(x), abs=1e-9)
        at = np.linspace(x[0], x[-1], 50)
        assert interpolate(x, y, at) == pytest.approx(theirs(at), abs=1e-9)
        low, high = sorted(rng.uniform(x[0], x[-1], 2))
        assert integral(x, y, low, high) == pytest.approx(theirs.integrate(low, high), abs=1e-9)


@pytest.mark.filterwarnings("ignore")
def test_result_is_that_of_the_bjontegaard_package():
    bjontegaard = pytest.importorskip("bjontegaard")
    for seed in range(30):
        rng = np.random.default_rng(seed)
        anchor, test = (Curve.of(random_points(rng, 5)) for _ in range(2))
        for ours, theirs in ((bd_rate, bjontegaard.bd_rate), (bd_psnr, bjontegaard.bd_psnr)):
            wanted = theirs(anchor.rates, anchor.psnrs, test.rates, test.psnrs, "pchip", min_overlap=0)
            assert ours(anchor, test).value == pytest.approx(wanted, abs=1e-6)
