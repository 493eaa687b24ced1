"""A quality that is asked for: what stands for a segment's pictures, and how it is measured."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from bench.measure.quality import measure_film
from bench.method import Picture
from codec.errors import InputError
from codec.frames import Frame, PlaneFormat, VideoInfo
from codec.loss.coder import LossSettings
from codec.metrics import plane_psnrs
from codec.segment.passes import Passes
from codec.segment.target import Gauge, Target, share_reaches
from codec.settings import Settings

INFO = VideoInfo(96, 64, PlaneFormat("420", 8), Fraction(1, 25), Fraction(25))


def drawn(count: int, seed: int = 3) -> list[Frame]:
    """Soft noise that moves."""
    rng = np.random.default_rng(seed)
    picture = [np.kron(rng.integers(40, 200, (h // 8, w // 8)), np.ones((8, 8))) for h, w in INFO.format.shapes(96, 64)]
    return [Frame(tuple(np.roll(p, k, 1).astype(np.uint8) for p in picture), k) for k in range(count)]


def noisy(frames: list[Frame]) -> list[tuple[np.ndarray, ...]]:
    """The pictures with more and more noise."""
    rng = np.random.default_rng(7)
    return [
        tuple(np.clip(p + rng.normal(0, 1 + k, p.shape), 0, 255).astype(np.uint8) for p in frame.planes)
        for k, frame in enumerate(frames)
    ]


@pytest.mark.parametrize("name", ["psnr", "ssim", "xpsnr"])
def test_the_mean_is_what_bench_measures(name: str) -> None:
    frames = drawn(5)
    copies = noisy(frames)
    target = Target.of(Settings(**{f"target_{name}": 0.9}))
    assert target is not None
    gauge = Gauge(target, INFO)
    for frame, copy in zip(frames, copies, strict=True):
        gauge.add(frame.planes, copy, plane_psnrs(copy, frame.planes, 255))
    pictures = (Picture(copy, 8, f.pts * INFO.time_base) for f, copy in zip(frames, copies, strict=True))
    found = measure_film(frames, INFO, pictures)
    assert gauge.value == pytest.approx({"psnr": found.psnr_yuv, "ssim": found.ssim, "xpsnr": found.xpsnr}[name])


@pytest.mark.parametrize("name", ["psnr", "ssim", "xpsnr"])
def test_the_worst_pictures_are_left_out_of_account(name: str) -> None:
    """Pictures become worse and worse: the last ones are what the target need not hold for."""
    frames = drawn(10)
    copies = noisy(frames)
    values = []
    for worst in (0.0, 10.0, 29.0, 30.0):
        target = Target.of(Settings(**{f"target_{name}": 0.9}, worst=worst))
        assert target is not None
        gauge = Gauge(target, INFO)
        for frame, copy in zip(frames, copies, strict=True):
            gauge.add(frame.planes, copy, plane_psnrs(copy, frame.planes, 255))
        values.append(gauge.value)
    assert values[0] < values[1] < values[2] < values[3]


def test_all_but_so_many_percent() -> None:
    values = [float(v) for v in np.random.default_rng(0).permutation(200)]
    for worst in (0, 0.4, 0.5, 5, 50, 99.9):
        reached = share_reaches(values, worst)
        assert sum(v < reached for v in values) <= len(values) * worst / 100 < sum(v <= reached for v in values)
    assert share_reaches([3.0, 1.0, 2.0], 5) == 1.0, "of a few pictures, all"


def test_targets_in_words_and_in_decibels() -> None:
    target = Target.of(Settings(target_ssim=0.99, worst=2.5))
    assert target is not None and target.words == "an SSIM of 0.99 in all but 2.5 % of pictures"
    assert target.lacks(0.9) == pytest.approx(10) and target.lacks(0.999) == pytest.approx(-10)
    assert target.lacks(1.0) < -70, "what equals the source has a level too"
    plain = Target.of(Settings(target_xpsnr=38))
    assert plain is not None and plain.words == "an XPSNR of 38 dB" and plain.lacks(36.5) == 1.5
    assert Target.of(Settings(bitrate=100)) is None


def test_pictures_that_cannot_be_measured_are_refused() -> None:
    ssim, xpsnr = Target.of(Settings(target_ssim=0.9)), Target.of(Settings(target_xpsnr=38))
    assert ssim is not None and xpsnr is not None
    small = replace(INFO, width=40, height=10)
    with pytest.raises(InputError, match=r"in\.mp4 has no SSIM: its pictures of 40x10 are smaller than 11x11"):
        ssim.check(small, "in.mp4")
    with pytest.raises(InputError, match=r"in\.mp4 has no XPSNR: libav's filter does not measure 40x10 yuv420p"):
        xpsnr.check(small, "in.mp4")
    ssim.check(INFO, "in.mp4")
    xpsnr.check(INFO, "in.mp4")


def test_passes_measure_what_is_shown_where_a_target_asks() -> None:
    frames = drawn(3)
    quick = {"preset": "fast", "device": "cpu", "threads": 1}
    passes = Passes(frames, INFO, Settings(**quick, target_ssim=0.9), Fraction(1))
    base = passes.base(40.0)
    run = passes.run(base, None, LossSettings())
    assert base.quality is not None and run.quality == base.quality, "without a head the plain base is shown"
    finer = passes.base(20.0)
    assert finer.quality is not None and base.quality < finer.quality < 1
    assert Passes(frames, INFO, Settings(**quick), Fraction(1)).base(40.0).quality is None
