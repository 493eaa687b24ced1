"""What is said of curves: differences, means, and every point that was left out."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from bench.results import MEASURES, METRICS
from bench.show.curves import MEAN_CURVE, Line, Panel, differences, lines_of, mean_panel, times


def record(method, rate, psnr, **more):
    values = dict.fromkeys(METRICS) | {"psnr_yuv": psnr, "psnr_rgb": psnr}
    base = {"method": method, "setting": rate, "settings": "",
            "bytes": rate * 10, "kbps": rate, "bpp": rate, "identical": 0,
            "frames": 9, "worst": 7, "encode_s": 2.0, "decode_s": 1.0, "run": "1", "jobs": 1}  # fmt: skip
    return base | values | more


def panel(clip, **lines):
    made = [Line(m, tuple(record(m, r, p) for r, p in points)) for m, points in lines.items()]
    return Panel(clip, "", "kbps", "psnr_yuv", tuple(made))


ANCHOR = [(100, 30), (200, 34), (400, 38)]
HALF = [(50, 30), (100, 34), (200, 38)]


def test_half_the_rate_is_minus_fifty_percent():
    rows, notes = differences([panel("a", x=ANCHOR, y=HALF)], ["x", "y"], ["x"], ["psnr_yuv"])
    assert [(r["method"], r["clip"]) for r in rows] == [("y", "a")]
    assert rows[0]["bd_rate_percent"] == pytest.approx(-50)
    assert (rows[0]["low"], rows[0]["high"]) == (30, 38)
    assert not notes


def test_mean_over_clips():
    rows, _ = differences(
        [panel("a", x=ANCHOR, y=HALF), panel("b", x=ANCHOR, y=ANCHOR)], ["x", "y"], ["x"], ["psnr_yuv"]
    )
    assert rows[-1]["clip"] == "mean of 2 clips" and rows[-1]["bd_rate_percent"] == pytest.approx(-25)


def test_what_cannot_be_compared_is_named():
    apart = panel("b", x=ANCHOR, y=[(50, 10), (60, 12)])
    rows, notes = differences(
        [panel("a", x=ANCHOR, y=HALF), apart, panel("c", x=ANCHOR)], ["x", "y"], ["x"], ["psnr_yuv"]
    )
    assert [r["bd_rate_percent"] is None for r in rows] == [False, True, True, True]
    assert any("do not overlap" in n and n.startswith("b") for n in notes)
    assert any("has no point" in n and n.startswith("c") for n in notes)
    assert any("has no mean: b, c have" in n for n in notes)


def test_narrow_overlap_is_named():
    _, notes = differences([panel("a", x=ANCHOR, y=[(50, 37), (60, 45)])], ["x", "y"], ["x"], ["psnr_yuv"])
    assert any("by PSNR-YUV: 12% of the range of" in n for n in notes)


def test_infinite_quality_is_left_out_and_named():
    equal = record("y", 900, 100.0, identical=9)
    lines = (Line("x", tuple(record("x", *p) for p in ANCHOR)), Line("y", (*(record("y", *p) for p in HALF), equal)))
    rows, notes = differences([Panel("a", "", "kbps", "psnr_yuv", lines)], ["x", "y"], ["x"], ["psnr_yuv"])
    assert rows[0]["bd_rate_percent"] == pytest.approx(-50)
    assert any("its PSNR is infinite" in n for n in notes)


def test_each_measure_has_a_rate_of_its_own():
    """SSIM counts on its scale of dB: 0.9 is 10, 0.99 is 20."""
    lines = [
        Line("x", (record("x", 100, 30, ssim=0.9), record("x", 400, 38, ssim=0.99))),
        Line("y", (record("y", 50, 30, ssim=0.9), record("y", 400, 38, ssim=0.998))),
    ]
    rows, _ = differences([Panel("a", "", "kbps", "psnr_yuv", tuple(lines))], ["x", "y"], ["x"], MEASURES["video"])
    by = {row["measure"]: row for row in rows}
    assert list(by) == list(MEASURES["video"])
    assert by["psnr_yuv"]["bd_rate_percent"] == pytest.approx(100 * (0.5**0.5 - 1))
    # from 10 to 20 dB ln rate rises by ln 4 for the one; for the other, from half the rate, by ln 8 up to 26.99 dB
    y, x = math.log(8) * 5 / (10 * math.log10(50)) + math.log(0.5), math.log(4) / 2
    assert by["ssim"]["bd_rate_percent"] == pytest.approx(100 * math.expm1(y - x))
    assert (by["ssim"]["low"], by["ssim"]["high"]) == pytest.approx((10, 20))
    assert by["ms_ssim"]["bd_rate_percent"] is None, "it was not measured"


def test_perfect_ssim_is_left_out_and_named():
    lines = (Line("x", tuple(record("x", *p, ssim=0.9 + p[0] / 5000) for p in ANCHOR)),
             Line("y", tuple(record("y", *p, ssim=min(1, 0.9 + p[0] / 1800)) for p in HALF)))  # fmt: skip
    rows, notes = differences([Panel("a", "", "kbps", "psnr_yuv", lines)], ["x", "y"], ["x"], ["ssim"])
    assert rows[0]["bd_rate_percent"] < 0
    assert any("y: the point of rate 200 and inf dB is left out" in n for n in notes)


def test_best_of_several_anchors():
    one = panel("a", x=ANCHOR, y=HALF, z=[(75, 30), (150, 34), (300, 38)])
    rows, _ = differences([one], ["x", "y", "z"], ["x", "y"], ["psnr_yuv"])
    assert [(r["method"], r["anchor"]) for r in rows] == [("z", "the best of x, y")]
    assert rows[0]["bd_rate_percent"] == pytest.approx(50, abs=0.01), "y is the better one everywhere"


def test_only_rates_asked_for_count():
    rows, notes = differences([replace(panel("a", x=ANCHOR, y=HALF), rates=(100, 200))], ["x", "y"], ["x"],
                              ["psnr_yuv"])  # fmt: skip
    assert rows[0]["bd_rate_percent"] is None and any("do not overlap in quality" in n for n in notes)
    rows, notes = differences([replace(panel("a", x=ANCHOR, y=HALF), rates=(50, 200))], ["x", "y"], ["x"], ["psnr_yuv"])
    assert rows[0]["bd_rate_percent"] == pytest.approx(-50) and not notes
    assert (rows[0]["low"], rows[0]["high"]) == pytest.approx((30, 34))


def test_lines_hold_no_failures_and_rise():
    records = [record("y", 200, 34), {"method": "y", "error": "no"}, record("y", 100, 30), record("x", 1, 1)]
    (line, other) = lines_of(records, ["y", "x"], "kbps")
    assert [r["kbps"] for r in line.records] == [100, 200] and other.method == "x"


def test_mean_curve_takes_settings_that_all_pictures_have():
    one = panel("a", x=[(1, 30), (2, 34), (3, 36)])
    two = panel("b", x=[(1, 32), (2, 36)])
    mean = mean_panel([one, two])
    assert mean.clip == MEAN_CURVE
    assert [(r["kbps"], r["psnr_yuv"], r["frames"]) for r in mean.lines[0].records] == [(1, 31, 18), (2, 35, 18)]


def test_times_are_compared_within_a_run_alone():
    slow = Line("y", tuple(record("y", *p, encode_s=6.0) for p in HALF))
    lines = (Line("x", tuple(record("x", *p) for p in ANCHOR)), slow)
    assert times(Panel("a", "", "kbps", "psnr_yuv", lines), "y", "x", "encode_s") == 3
    for more in ({"run": "2"}, {"jobs": 2}):
        other = Line("y", tuple(record("y", *p, **more) for p in HALF))
        assert times(Panel("a", "", "kbps", "psnr_yuv", (lines[0], other)), "y", "x", "encode_s") is None
