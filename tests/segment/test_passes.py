"""What an encoder looks at, and what of it stays in memory."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from codec.film import scale
from codec.film.scale import choose_scale
from codec.frames import PlaneFormat, VideoInfo
from codec.segment import encoder, passes
from codec.segment.encoder import SegmentEncoder
from codec.segment.fit_restorer import examples_of
from codec.segment.head import film_head
from codec.segment.passes import Passes
from codec.settings import Settings
from heads.restorer.fit import Schedule
from tests.makers import drawn_frames, scene_frames

YUV = PlaneFormat("420", 8)
SIZE = 64, 48
BASE_BYTES = 3 * 64 * 48  # of a base's picture
INFO = VideoInfo(*SIZE, YUV, Fraction(25), Fraction(1, 25000))
COUNT = 40


def passes_of(**settings: Any) -> Passes:
    return Passes(drawn_frames(YUV, *SIZE, COUNT), INFO, Settings(preset="fast", threads=1, **settings), Fraction(1))


@pytest.mark.parametrize(
    ("room", "wish", "last"), [(COUNT, {}, COUNT), (30, {}, 14), (16, {}, 0), (0, {}, 0), (COUNT, {"bitrate": 90}, 0)]
)
def test_pictures_that_are_compared_stay_in_memory_and_of_the_last_what_fits(
    room: int, wish: dict[str, Any], last: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passes, "KEPT", room * BASE_BYTES)
    seen = passes_of(**wish)
    decoded: list[int] = []
    monkeypatch.setattr(passes, "BasePictures", lambda packets, shape, threads, kept: decoded.extend(sorted(kept)))
    seen.base(50.0)
    assert decoded == sorted({*seen.evaluated(), *range(COUNT - last, COUNT)})
    assert len(decoded) <= max(room, len(seen.evaluated()))


def test_a_probe_keeps_no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Any] = []
    monkeypatch.setattr(passes, "BasePictures", lambda packets, shape, threads, pictures: kept.append(pictures))
    passes_of().base(50.0, 8)
    assert kept == [{}]


@pytest.mark.parametrize(("batches", "count"), [(1, 16), (6, 18), (10, 30), (100, COUNT)])
def test_a_head_learns_from_as_many_pictures_as_its_crops_cover(batches: int, count: int) -> None:
    seen = passes_of()
    base, schedule = seen.base(50.0), Schedule(0, batches, batch=4, crop=24)  # three crops cover a picture's 768 cells
    head = film_head(1, 100)
    found, _ = examples_of(seen, base, schedule, base_q=head.base_q)
    assert len(found) == count


@pytest.mark.parametrize(("crf", "probes"), [(20.0, False), (60.0, True)])
def test_no_smaller_base_is_tried_where_a_glance_shows_a_high_rate(
    crf: float, probes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[Fraction] = []
    whole = SegmentEncoder.base

    def base(self: SegmentEncoder, *given: Any) -> Any:
        tried.append(self.scale)
        return whole(self, *given)

    monkeypatch.setattr(SegmentEncoder, "base", base)
    monkeypatch.setattr(scale, "PLENTY", 0.5)
    frames = scene_frames(YUV, 128, 96, (12,))
    info = VideoInfo(128, 96, YUV, Fraction(25), Fraction(1, 1000))
    settings = Settings(preset="fast", crf=crf, threads=1)
    found = choose_scale(frames, info, settings, 0.0, lambda event: None)
    assert (len(tried) > 1) == probes and tried[0] == 1
    assert probes or found == (1, crf)


def test_density_heads_learn_on_the_device_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    devices: list[str] = []

    def fitted(family: object, steps: int, previous: object, device: str) -> Any:
        devices.append(device)
        raise KeyboardInterrupt

    monkeypatch.setattr(encoder, "DensityFit", fitted)
    lossless = SegmentEncoder(drawn_frames(YUV, *SIZE, 2), INFO, Settings(max_error=0, threads=1), Fraction(1))
    lossless.passes.device = "cuda"
    with pytest.raises(KeyboardInterrupt):
        lossless._within(lossless.base(40.0), 0, {})
    assert devices == ["cuda"]
