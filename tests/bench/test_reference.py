"""Published figures: the files that are shipped, files that are broken, and the check of our curves by them."""

from __future__ import annotations

import json
import math

import pytest

from bench.process import BenchError
from bench.show.reference import checks_table, compare_published, lines, published, read

RATES = [0.2, 0.35, 0.6, 1.0, 1.7, 2.9]


def curve(**changes):
    """A sound file's object, PSNR linear in log-rate, with some fields changed."""
    points = [{"bpp": r, "psnr_rgb": 34 + 6 * math.log2(r), "ms_ssim": None, "setting": 7} for r in RATES]
    whole = {
        "name": "JPEG", "method": "jpeg", "description": "d", "set": "Kodak, 24 pictures", "how": "h", "precision": "p",
        "source": {"title": "t", "seen": "2026-11-21", "repository": "a/b"}, "points": points,
    }  # fmt: skip
    return {**whole, **changes}


def point(**changes):
    return {"bpp": 5.0, "psnr_rgb": 50.0, "ms_ssim": None, "setting": None, **changes}


def means(gain=0.0, rates=RATES, **fields):
    return [{"method": "jpeg", "bpp": r, "psnr_rgb": 34 + 6 * math.log2(r) + gain, **fields} for r in rates]


def test_shipped_files_are_sane():
    curves = published()
    assert len(curves) >= 8 and len({c.name for c in curves}) == len(curves)
    for c in curves:
        psnrs = [p.psnr_rgb for p in c.points]
        assert psnrs == sorted(psnrs) and psnrs[0] > 20 and psnrs[-1] < 50, c.name
        assert c.points[0].bpp > 0.02 and c.points[-1].bpp < 5, c.name
        assert c.source.seen and c.how and c.set == "Kodak, 24 pictures"
    assert {c.method for c in curves if c.method} == {"jpeg", "webp"}


def test_published_order_of_codecs_at_half_a_bit():
    names = ("jpeg", "webp", "av1", "hm", "vtm")
    values = []
    for name in names:
        (c,) = published(name)
        below, above = next((a, b) for a, b in zip(c.points, c.points[1:], strict=False) if a.bpp <= 0.5 < b.bpp)
        share = math.log(0.5 / below.bpp) / math.log(above.bpp / below.bpp)
        values.append(below.psnr_rgb + share * (above.psnr_rgb - below.psnr_rgb))
    expected = [29.0, 31.3, 33.7, 33.2, 34.4]
    assert values == pytest.approx(expected, abs=0.1)


def test_one_curve_by_the_name_of_its_file():
    (jpeg,) = published("jpeg")
    assert jpeg.method == "jpeg" and len(jpeg.points) == 19 and jpeg.points[-1].setting == 95
    with pytest.raises(BenchError, match=r"'jpg'.*jpeg"):
        published("jpg")


def test_lines_of_a_set():
    drawn = lines(set="kodak")
    assert [line.method for line in drawn] == [c.name for c in published()]
    assert all(line.reference and {"bpp", "psnr_rgb", "ms_ssim"} <= line.records[0].keys() for line in drawn)
    (jpeg,) = (line for line in drawn if line.method == "JPEG")
    assert jpeg.reference is not None and "results/image/kodak/jpeg.json, commit 3d3c9bbd92" in jpeg.reference
    assert lines("clic") == ()


@pytest.mark.parametrize(
    "text, words",
    [
        ("{", "not JSON"),
        ("[]", "object"),
        (json.dumps(curve(points=[point(), point(bpp=5.0)])), "points, 2.*rise"),
        (json.dumps(curve(points=[point(bpp=0), point()])), "points, 1.*positive"),
        (json.dumps(curve(points=[point()])), "two points"),
        (json.dumps(curve(points={})), "points.*list"),
        (json.dumps(curve(points=[point(psnr_rgb=math.nan), point(bpp=6)])), "points, 1, psnr_rgb.*finite"),
        (json.dumps(curve(points=[point(psnr_rgb=math.inf), point(bpp=6)])), "points, 1, psnr_rgb.*finite"),
        (json.dumps(curve(points=[point(bpp=10**400), point(bpp=6)])), "points, 1, bpp.*finite"),
        (json.dumps(curve(points=[point(psnr_rgb=None), point(bpp=6)])), "points, 1, psnr_rgb: a number is due"),
        (json.dumps(curve(points=[point(bpp=True), point(bpp=6)])), "points, 1, bpp: a number is due"),
        (json.dumps(curve(points=[point(ms_ssim=1.5), point(bpp=6)])), "MS-SSIM"),
        (json.dumps(curve(points=[point(ssim=1), point(bpp=6)])), "points, 1: ssim is not known"),
        (json.dumps(curve(points=[{"bpp": 1, "psnr_rgb": 30, "setting": None}])), "points, 1: ms_ssim is missing"),
        (json.dumps({k: v for k, v in curve().items() if k != "how"}), "how is missing"),
        (json.dumps(curve(name=None)), "name: a text is due"),
        (json.dumps(curve(source={"title": "t", "seen": "s"})), "repository or an address"),
    ],
)
def test_a_broken_file_is_named(text, words):
    with pytest.raises(BenchError, match=f"^this.json.*{words}"):
        read(text, "this.json")


def test_offset_of_our_curve_is_found():
    theirs = read(json.dumps(curve()), "x")
    for gain in (-0.4, 0.0, 0.7):
        (check,) = compare_published(means(gain), [theirs])
        assert check.difference is not None and check.difference.value == pytest.approx(gain, abs=1e-9)
        assert check.largest == pytest.approx(gain, abs=1e-9) and check.compared == len(RATES)
        assert not check.far and check.problem is None


def test_comparison_stays_within_our_range():
    theirs = read(json.dumps(curve()), "x")
    (check,) = compare_published(means(0.2, rates=[0.3, 0.5, 1.1]), [theirs])
    assert check.difference is not None and check.compared == 3
    assert (check.difference.low, check.difference.high) == pytest.approx((0.3, 1.1))


def test_largest_difference_has_its_sign_and_place():
    theirs = read(json.dumps(curve()), "x")
    ours = means(0.1)
    ours[2]["psnr_rgb"] -= 1.6
    (check,) = compare_published(ours, [theirs])
    assert check.largest == pytest.approx(-1.5) and check.bpp == 0.6 and check.far


def test_only_the_same_codec_and_each_of_its_settings():
    theirs = read(json.dumps(curve()), "x")
    other = read(json.dumps(curve(method=None)), "y")
    avif = {"method": "avif", "bpp": 1, "psnr_rgb": 40}
    records = [*means(0.1, settings="4:2:0"), *means(0.3, settings="4:4:4"), avif]
    checks = compare_published([*records, {"method": "jpeg", "error": "no"}], [theirs, other])
    assert [c.settings for c in checks] == ["4:2:0", "4:4:4"]
    assert compare_published([{**r, "method": "jpeg:optimize=1"} for r in means()], [theirs])


def test_curves_that_do_not_meet():
    theirs = read(json.dumps(curve()), "x")
    (check,) = compare_published(means(rates=[3.5, 4.0, 5.0]), [theirs])
    assert check.difference is None and check.largest is None and "overlap" in str(check.problem)
    assert "No comparison" in checks_table([check])
    (single,) = compare_published(means(rates=[1.0]), [theirs])
    assert single.difference is None and single.problem


def test_table_states_differences_and_flags_large_ones():
    theirs = read(json.dumps(curve()), "x")
    near, far = (checks_table(compare_published(means(g, settings="q"), [theirs]), pictures=12) for g in (0.5, -1.2))
    assert "+0.50" in near and "above 1 dB" not in near and "12 pictures" in near and "ours with q" in near
    assert "-1.20" in far and "above 1 dB" in far
    assert "Nothing" in checks_table([])
