"""A sample of a film against the whole: where it is taken, what it tells, what it leaves behind."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import codec
from codec.errors import InputError, UsageError
from codec.events import Event, FilmSampled
from codec.film.sample import LOOKED, STRETCH, stretches_of
from codec.film.sources import source_of
from codec.frames import PlaneFormat
from codec.settings import Settings
from tests.makers import same_planes, scene_frames, write_frames

YUV = PlaneFormat("420", 8)

pytestmark = pytest.mark.usefixtures("quick")


def settings(**wishes: Any) -> Settings:
    return Settings(**{"preset": "fast", "device": "cpu", "head": False, "scale": Fraction(1)} | wishes)


@pytest.mark.parametrize("duration, seconds", [(60.0, 20.0), (7200.0, 20.0), (21.0, 20.0), (3.0, 1.0), (100.0, 40.0)])
def test_stretches_lie_evenly_in_the_film(duration: float, seconds: float) -> None:
    found = stretches_of(duration, seconds)
    assert len(found) == max(2, round(seconds / STRETCH))
    lengths = [end - start for start, end in (s.encoded for s in found)]
    assert sum(lengths) == pytest.approx(seconds) and max(lengths) - min(lengths) < 1e-6
    at = 0.0
    for stretch in found:
        (first, last), (start, end) = stretch.looked, stretch.encoded
        assert at - 1e-9 <= first <= start < end <= min(last, duration)
        at = min(last, duration)
    if duration <= LOOKED * seconds:
        assert found[0].looked[0] == pytest.approx(0) and found[-1].looked[1] > duration, "all of it is looked at"


def test_a_short_film_is_its_own_sample(make_film: Any, tmp_path: Path) -> None:
    source = make_film("in.mp4", size=(128, 96), times=list(range(24)), sound="aac")
    found = codec.sample(source, settings=settings(crf=40))
    assert sorted(os.listdir(tmp_path)) == ["in.mp4"]
    whole = codec.encode(source, tmp_path / "out.nvc", settings(crf=40))
    assert found.bytes_low == found.bytes == found.bytes_high == pytest.approx(whole.bytes, rel=0.01)
    assert (found.frames, found.sampled, found.stretches) == (24, 24, 1)
    assert found.psnr == pytest.approx(whole.psnr, abs=1e-3)
    assert found.beside_bytes > 0.02 * found.bytes, "sound is counted"
    assert found.ssim is not None and 0.5 < found.ssim < 1 and found.xpsnr is not None and found.fps > 0


def test_a_sample_tells_about_what_the_whole_takes(tmp_path: Path) -> None:
    source = write_frames(tmp_path / "in.mkv", scene_frames(YUV, 96, 64, (40, 40, 40, 40, 40)), YUV)
    events: list[Event] = []
    found = codec.sample(source, tmp_path / "out.mkv", settings(crf=36), seconds=4, listen=events.append)
    assert sorted(os.listdir(tmp_path)) == ["in.mkv"], "nothing is written"
    whole = codec.encode(source, tmp_path / "out.mkv", settings(crf=36))
    assert found.bytes == pytest.approx(whole.bytes, rel=0.1)
    assert found.bytes_low < found.bytes < found.bytes_high and found.kbps_low < found.kbps < found.kbps_high
    assert found.psnr == pytest.approx(whole.psnr, abs=0.5)
    assert (found.frames, found.stretches) == (200, 2) and found.sampled == 100
    assert [event for event in events if isinstance(event, FilmSampled)] == [found]
    again = codec.sample(source, tmp_path / "out.mkv", settings(crf=36), seconds=4)
    assert (again.bytes, again.psnr, again.ssim) == (found.bytes, found.psnr, found.ssim), "places are always the same"


@pytest.mark.parametrize("wish, name, low, high", [
    ({"bitrate": 60.0}, "kbps", 45, 62), ({"target_size": 0.03}, "bytes", 20_000, 31_000),
    ({"target_ssim": 0.93}, "ssim", 0.925, 0.96),
], ids=lambda w: str(w))  # fmt: skip
def test_wishes_hold_for_the_sample(wish: dict[str, Any], name: str, low: float, high: float, tmp_path: Path) -> None:
    source = write_frames(tmp_path / "in.mkv", scene_frames(YUV, 96, 64, (50, 50)), YUV)
    found = codec.sample(source, settings=settings(**wish), seconds=1)
    assert low < getattr(found, name) < high


@pytest.mark.parametrize("name, sound", [("in.mp4", "aac"), ("in.mkv", None), ("in.avi", None)])
def test_pictures_since_a_time_are_those_of_the_film(name: str, sound: str | None, make_film: Any) -> None:
    source = make_film(name, times=list(range(40)), sound=sound)
    with source_of(source) as film:
        every, tick = list(film.frames()), film.info.time_base
        for number in (0, 1, 13, 39):
            start = every[number].pts * tick
            found = list(film.since(start))
            assert [f.pts for f in found] == [f.pts for f in every[number:]]
            assert all(same_planes(a, b) for a, b in zip(found, every[number:], strict=True))
        assert not list(film.since(Fraction(100)))


def test_pictures_of_an_nvc_film_since_a_time(make_film: Any, tmp_path: Path) -> None:
    codec.encode(make_film("in.mp4", times=list(range(24)), sound="aac"), tmp_path / "a.nvc", settings())
    with source_of(tmp_path / "a.nvc") as film:
        every = list(film.frames())
        found = list(film.since(every[9].pts * film.info.time_base))
        assert [f.pts for f in found] == [f.pts for f in every[9:]]
        assert all(same_planes(a, b) for a, b in zip(found, every[9:], strict=True))


def test_what_cannot_be_is_refused_as_by_encode(make_film: Any, tmp_path: Path) -> None:
    source = make_film("in.mp4", sound="aac")
    with pytest.raises(UsageError, match="name its file"):
        codec.sample("-")
    with pytest.raises(UsageError, match="sample_seconds must be positive"):
        codec.sample(source, seconds=0)
    with pytest.raises(UsageError, match="encode writes films as"):
        codec.sample(source, tmp_path / "out.avi")
    with pytest.raises(InputError, match="sound and container alone"):
        codec.sample(source, settings=settings(target_size=0.001))
    with pytest.raises(InputError):
        codec.sample(tmp_path / "none.mp4")
    assert sorted(os.listdir(tmp_path)) == ["in.mp4"]
