"""Choosing the size of the base: by probes of a made-up base whose rate and quality are known."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from codec.base.av1 import BasePacket
from codec.base.coded import Base
from codec.film.scale import choose_scale
from codec.frames import Frame, PlaneFormat, VideoInfo
from codec.segment.effort import PROBES
from codec.segment.encoder import SegmentEncoder
from codec.segment.passes import Passes, Prediction
from codec.settings import CRF_MAX, SCALES, Settings
from heads.restorer import store

YUV = PlaneFormat("420", 8)
RATE = 25
INFO = VideoInfo(640, 480, YUV, Fraction(1, 1000), Fraction(RATE))
KEY = 9  # times the bytes of other pictures


@dataclass
class Model:
    """A base of size s takes `most` s^-1.3 exp(-0.07 crf) a picture, but for the first; squared error is that of the
    quantiser and of what the size loses, times `lost`, of which a head restores a share. `tried`: (scale, crf)."""

    most: float = 1e5
    lost: float = 3.0
    restored: float = 0.0
    tried: list[tuple[Fraction, float]] = field(default_factory=list)

    def size(self, scale: Fraction, crf: float) -> float:
        return self.most * float(scale) ** -1.3 * math.exp(-0.07 * crf)

    def psnr(self, scale: Fraction, crf: float, restored: float = 0.0) -> float:
        lost = self.lost * (float(scale) ** 2 - 1) * (1 - restored)
        return 10 * math.log10(255**2 / (0.7 * math.exp(0.075 * crf) + lost))

    def base(self, encoder: SegmentEncoder, crf: float, preset: int | None = None) -> Base:
        self.tried.append((encoder.scale, crf))
        each, count = self.size(encoder.scale, crf), len(encoder.frames)
        sizes = [round(each * (KEY if k == 0 else 1)) for k in range(count)]
        packets = [BasePacket(bytes(size), k, k == 0) for k, size in enumerate(sizes)]
        psnr = self.psnr(encoder.scale, crf)
        return Base(crf, packets, [], np.full((count, 3), psnr), psnr)

    def trial(self, passes: Passes, base: Base, head: Any, only: list[int]) -> dict[int, Prediction]:
        psnrs = np.full(3, self.psnr(passes.scale, base.crf, self.restored))
        return {k: Prediction([], psnrs, True) for k in only}

    def best(self, rate: float) -> dict[Fraction, float]:
        """PSNR that each size reaches with so many bytes a second."""
        found = {}
        for scale in SCALES:
            crf = math.log(self.size(scale, 0) * (RATE + (KEY - 1) * RATE / 250) / rate) / 0.07
            if crf <= CRF_MAX:
                found[scale] = self.psnr(scale, max(crf, 1), self.restored)
        return found


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Model:
    made = Model()
    monkeypatch.setattr(SegmentEncoder, "base", lambda *given: made.base(*given))
    monkeypatch.setattr(Passes, "trial", lambda *given, only: made.trial(*given, only))
    return made


def chosen(rate: float = 0.0, **wishes: Any) -> tuple[Fraction, float]:
    frames = [Frame((), 40 * k, 40) for k in range(250)]
    return choose_scale(frames, INFO, Settings(preset="medium", **wishes), rate, lambda event: None)


@pytest.mark.parametrize("lost", [0.3, 3.0, 30.0])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.8, 1.1, 4.0])
def test_no_size_is_better_by_much_at_a_rate(share: float, lost: float, model: Model) -> None:
    model.lost = lost
    rate = share * RATE * model.size(Fraction(1), CRF_MAX) * (1 + (KEY - 1) / 250)
    scale, crf = chosen(rate, bitrate=1.0)
    best = model.best(rate)
    assert best[scale] >= max(best.values()) - 0.05
    assert model.size(scale, crf) * (RATE + (KEY - 1) * RATE / 250) == pytest.approx(rate, rel=0.02)
    assert max(sum(s == scale for s, _ in model.tried) for scale in SCALES) <= PROBES


@pytest.mark.parametrize("lost", [0.3, 30.0])
def test_no_size_is_better_by_much_where_the_full_one_is_coarsest(lost: float, model: Model) -> None:
    model.lost = lost
    scale, _ = chosen(crf=CRF_MAX)
    best = model.best(RATE * model.size(Fraction(1), CRF_MAX) * (1 + (KEY - 1) / 250) * 1.0001)
    assert best[scale] >= max(best.values()) - 0.05
    assert (scale == 1) == (lost == 30)


def test_a_quality_below_all_that_the_full_size_has_is_met_by_a_smaller_one(model: Model) -> None:
    model.lost, wish = 0.5, 29.0
    assert wish < model.psnr(Fraction(1), CRF_MAX)
    scale, crf = chosen(target_psnr=wish)
    assert scale > 1
    assert model.psnr(scale, crf) == pytest.approx(wish, abs=0.1)


def test_what_a_head_restores_counts(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    model.lost, model.restored = 30.0, 0.97
    assert store.film_head_for(1)
    monkeypatch.setattr("codec.segment.choice.film_head_for", lambda scale: 1)  # of its integers nothing is asked here
    assert chosen(crf=CRF_MAX)[0] > 1
    assert chosen(crf=CRF_MAX, head=False)[0] == 1


def test_where_no_size_is_small_enough_the_smallest_is_taken(model: Model) -> None:
    assert chosen(1.0, bitrate=1.0) == (4, CRF_MAX)
