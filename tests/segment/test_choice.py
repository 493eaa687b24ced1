"""What a chooser tries, and what it leaves."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from codec.frames import PlaneFormat, VideoInfo
from codec.segment.choice import Choice, Chooser
from codec.segment.passes import Passes
from codec.settings import Settings
from tests.makers import drawn_frames

YUV = PlaneFormat("420", 8)
INFO = VideoInfo(64, 48, YUV, Fraction(1, 1000), Fraction(25))


def chooser(**wishes: Any) -> Chooser:
    settings = Settings(preset="fast", threads=1, device="cpu", **wishes)
    passes = Passes(drawn_frames(YUV, 64, 48, 4), INFO, settings, Fraction(2))
    return Chooser(passes, passes.base(60.0, 12), None)


@pytest.mark.parametrize(("lam", "tried"), [(100.0, True), (1e6, False)])
def test_no_loss_stream_is_tried_where_its_coarsest_step_is_too_fine(
    lam: float, tried: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []

    def scored(self: Chooser, choice: Choice) -> Choice:
        steps.append(choice.loss.step)
        return choice

    monkeypatch.setattr(Chooser, "_lambda", lambda self: lam)
    monkeypatch.setattr(Chooser, "_scored", scored)
    found = chooser(head=False).choose()
    assert bool(steps) == tried and not found.loss.mode
