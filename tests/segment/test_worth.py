"""What heads are worth by what is seen."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import pytest

from codec.frames import Plane, PlaneFormat, VideoInfo
from codec.metrics import plane_psnrs
from codec.segment.choice import Chooser
from codec.segment.fit_steering import Prediction
from codec.segment.passes import Passes
from codec.segment.worth import SLOPES, SURE, Judge, Measures, won
from codec.settings import Settings
from tests.makers import drawn_frames

YUV = PlaneFormat("420", 8)

PLAIN = Measures(38.0, 36.5, 14.0)


def by(yuv: float, luma: float, alike: float) -> Measures:
    """PLAIN and so many slopes more of each measure."""
    return Measures(*(now + gain * slope for now, gain, slope in zip(PLAIN, (yuv, luma, alike), SLOPES, strict=True)))


def test_worth_is_the_mean_of_the_measures_less_the_bytes() -> None:
    assert won(PLAIN, by(0.04, 0.02, 0.03), math.exp(0.01)) == pytest.approx(0.02)
    assert won(PLAIN, PLAIN, 1.0) == -SURE


@pytest.mark.parametrize("gains", [(0.3, 0.1, 0.011), (0.3, 0.011, 0.1), (0.011, 0.3, 0.1)])
def test_who_does_not_surely_win_by_each_measure_is_worth_nothing(gains: tuple[float, float, float]) -> None:
    assert won(PLAIN, by(*gains), math.exp(0.01)) == pytest.approx(0.001 - SURE)


def test_pictures_too_small_for_ssim_are_compared_without() -> None:
    plain = Measures(38.0, 36.5, math.nan)
    assert won(plain, plain._replace(yuv=38.0 + SLOPES[0], luma=36.5 + SLOPES[1]), 1.0) == pytest.approx(1.0)


@pytest.mark.parametrize(("size", "count"), [((64, 48), 6), ((8, 10), 1)])
def test_a_judge_sees_what_the_decoder_shows(size: tuple[int, int], count: int) -> None:
    info = VideoInfo(*size, YUV, Fraction(1, 1000), Fraction(25))
    settings = Settings(preset="fast", threads=1, device="cpu")
    passes = Passes(drawn_frames(YUV, *size, count), info, settings, Fraction(1))
    base = passes.base(60.0, 12)
    judge, numbers = Judge(passes, base), passes.evaluated()

    def shown(planes: Callable[[int], list[Plane]]) -> dict[int, Prediction]:
        found = {k: planes(k) for k in numbers}
        return {k: Prediction(p, plane_psnrs(p, passes.frames[k].planes, 255), True) for k, p in found.items()}

    plain = shown(lambda k: passes.restorer(None).predict(base.pictures[k]))
    assert judge.won(plain, base.bytes) == -SURE
    assert judge.won(plain, base.bytes * math.e) == pytest.approx(-1 - SURE)
    better = shown(lambda k: [*passes.frames[k].planes[:1], *plain[k].output[1:]])  # chroma is no better
    assert judge.won(better, base.bytes) > 0
    worse = shown(lambda k: [plain[k].output[0] // 2, *passes.frames[k].planes[1:]])
    assert judge.won(worse, base.bytes) < 0


def test_a_head_that_luma_would_pay_for_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    info = VideoInfo(64, 48, YUV, Fraction(1, 1000), Fraction(25))
    settings = Settings(preset="fast", threads=1, device="cpu")
    passes = Passes(drawn_frames(YUV, 64, 48, 4), info, settings, Fraction(1))
    base = passes.base(50.0, 12)
    monkeypatch.setattr("codec.segment.choice.Judge.won", lambda self, found, size: -1e-6)
    assert Chooser(passes, base, None).choose().head is None
    monkeypatch.setattr("codec.segment.choice.Judge.won", lambda self, found, size: 1e-6)
    assert Chooser(passes, base, None).choose().head is not None
