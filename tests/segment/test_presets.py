"""What presets promise: more time gives more, one crf about one quality, and nothing is learnt where it cannot pay."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from codec.events import Event, Stage
from codec.frames import PlaneFormat, VideoInfo
from codec.segment import choice
from codec.segment.effort import Agenda, Effort, coded_share
from codec.segment.encoder import SegmentEncoder
from codec.segment.fit_density import batches
from codec.segment.passes import Passes
from codec.segment.presets import PRESETS
from codec.settings import CRF_STEP, Settings
from codec.settings import PRESETS as NAMES
from tests.makers import drawn_frames, shorten

YUV = PlaneFormat("420", 8)
INFO = VideoInfo(64, 48, YUV, Fraction(25), Fraction(1, 25000))


def test_presets_are_those_that_settings_know() -> None:
    assert tuple(PRESETS) == NAMES


@pytest.mark.parametrize("megasamples", [0.1, 10, 60, 500])
def test_slower_presets_learn_longer_and_code_the_base_with_more_effort(megasamples: float) -> None:
    fast, medium, slow = (PRESETS[name] for name in NAMES)
    assert fast.batches(megasamples) < medium.batches(megasamples) < slow.batches(megasamples)
    assert medium.batches(megasamples, enlarged=True) == 2 * medium.batches(megasamples)
    assert fast.base > medium.base > slow.base
    assert fast.density < medium.density < slow.density


@pytest.mark.parametrize("most", [2, 150, 1200])
def test_density_heads_learn_more_from_longer_segments_and_half_as_much_of_chroma(most: int) -> None:
    luma, chroma = ([batches(most, number, n * 10**6) for n in (1, 4, 6, 8, 100)] for number in (3, 5))
    for found, whole in ((luma, most), (chroma, most // 2)):
        assert found == sorted(found) and found[:2] == [(whole + 1) // 2] * 2 and found[3:] == [whole] * 2


@pytest.mark.parametrize("name", NAMES)
def test_quantisers_of_a_preset_rise_with_crf_and_reach_both_ends(name: str) -> None:
    found = [PRESETS[name].quantiser(crf) for crf in np.arange(1, 63.25, 0.25)]
    assert found == sorted(found) and found[0] == 1 and found[-1] == 63
    assert all(q == round(4 * q) / 4 for q in found)


def test_only_fast_moves_the_quantiser_and_not_below_a_bound_on_the_error() -> None:
    frames = drawn_frames(YUV, 64, 48, 2)
    passes = {name: Passes(frames, INFO, Settings(preset=name), Fraction(1)) for name in NAMES}
    assert [passes[name].quantiser(32.0) for name in NAMES] == [29.25, 32.0, 32.0]
    assert Passes(frames, INFO, Settings(preset="fast", max_error=0), Fraction(1)).quantiser(40.0) == 40.0


def test_segment_tells_the_crf_that_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten(monkeypatch)
    monkeypatch.setitem(PRESETS, "fast", replace(PRESETS["fast"], shift=((1.0, -3.0),)))
    encoder = SegmentEncoder(drawn_frames(YUV, 64, 48, 2), INFO, Settings(preset="fast", threads=1), Fraction(1))
    assert encoder.base(40.0).crf == 40.0


def test_no_head_learns_from_a_segment_whose_bytes_leave_nothing_to_win(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten(monkeypatch)
    monkeypatch.setattr(choice, "FIT_BYTES", 10**6)

    def trained(*args: object, **options: object) -> None:
        raise AssertionError("a head was trained")

    monkeypatch.setattr(choice, "fit_restorer", trained)
    encoder = SegmentEncoder(drawn_frames(YUV, 64, 48, 3), INFO, Settings(preset="fast", threads=1), Fraction(1))
    segment = encoder.finish(encoder.base(40.0))
    assert segment.stats.frames == 3


@pytest.mark.parametrize("wishes", [{"scale": Fraction(1)}, {"scale": Fraction(2), "loss": "off"}, {"max_error": 0}])
def test_stages_follow_each_other_and_their_shares_rise(
    monkeypatch: pytest.MonkeyPatch, wishes: dict[str, object]
) -> None:
    shorten(monkeypatch)
    told: list[Stage] = []

    def listen(event: Event) -> None:
        assert isinstance(event, Stage)
        told.append(event)

    settings = Settings(preset="fast", threads=1, **wishes)  # type: ignore[arg-type]
    scale = settings.scale or Fraction(1)
    encoder = SegmentEncoder(drawn_frames(YUV, 64, 48, 4), INFO, settings, scale, listen)
    encoder.finish(encoder.base(40.0))
    shares: dict[str, list[float]] = defaultdict(list)
    for stage in told:
        shares[stage.stage].append(stage.done)
    assert list(shares) == list(Effort(settings, INFO, scale, 4).stages())
    assert [s.stage for s in told] == sorted((s.stage for s in told), key=list(shares).index)
    for found in shares.values():
        assert found == sorted(found) and found[0] == 0 and found[-1] <= 1


def test_agenda_shares_time_among_parts_and_outgrows_what_was_expected() -> None:
    found: list[float] = []
    agenda = Agenda(lambda event: found.append(event.done), "head", 4.0)  # type: ignore[attr-defined]
    for seconds in (1.0, 3.0, 4.0):
        with agenda.part(seconds):
            agenda.tell(0.5)
    assert found == [0, 0.125, 0.25, 0.625, 0.5, 0.75]  # the third part was not expected


def test_coded_share_rises_from_nothing_to_all() -> None:
    for pictures in (1, 5, 31, 32, 33, 250):
        shares = [coded_share(packets, pictures) for packets in range(pictures + 1)]
        assert shares == sorted(shares) and shares[0] == 0 and shares[-1] == pytest.approx(1)


def test_effort_of_a_search_and_of_a_scale_is_counted() -> None:
    one = Effort(Settings(crf=30, scale=Fraction(1)), INFO, Fraction(1), 20).stages(True)
    many = Effort(Settings(target_psnr=40), INFO, Fraction(1), 20).stages(True)
    assert one["scale"] == 0 < many["scale"] and many["base"] == pytest.approx(3 * one["base"])
    assert "scale" not in Effort(Settings(), INFO, Fraction(1), 20).stages()


@pytest.mark.parametrize("name", PRESETS)
def test_what_is_asked_for_is_found_from_the_base(name: str) -> None:
    preset = PRESETS[name]
    for quantiser in (1.0, 12.5, 24.0, 40.0, 50.0, 58.0, 63.0):
        assert abs(preset.quantiser(preset.asked(quantiser)) - quantiser) <= 2 * CRF_STEP
