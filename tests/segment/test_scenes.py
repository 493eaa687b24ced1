"""Segments: cuts are found, movement is none, nothing is lost, and no segment is too long for memory."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from codec.frames import Frame, PlaneFormat, VideoInfo
from codec.segment import scenes
from codec.segment.scenes import MEMORY, bounds_of, split
from tests.makers import scene_frames

YUV = PlaneFormat("420", 8)


def info(width: int = 64, height: int = 48, fmt: PlaneFormat = YUV, rate: Fraction = Fraction(25)) -> VideoInfo:
    return VideoInfo(width, height, fmt, Fraction(1, 1000), rate)


def lengths(frames: list[Frame], about: VideoInfo) -> list[int]:
    segments = list(split(iter(frames), about))
    assert [f for s in segments for f in s] == frames, "nothing is lost, doubled or moved"
    assert all(segments)
    return [len(s) for s in segments]


@pytest.mark.parametrize("fmt", [YUV, PlaneFormat("444", 10), PlaneFormat("400", 8)], ids=lambda f: f.av_name)
@pytest.mark.parametrize("parts", [(20, 30), (10, 10, 10), (50, 11, 25)], ids=str)
def test_cuts_are_found(fmt: PlaneFormat, parts: tuple[int, ...]) -> None:
    assert lengths(scene_frames(fmt, 64, 48, parts), info(fmt=fmt)) == list(parts)


def test_no_two_cuts_are_closer_than_the_shortest_segment() -> None:
    assert bounds_of(info()).shortest == 10
    assert lengths(scene_frames(YUV, 64, 48, (20, 5, 25)), info()) == [20, 30]
    assert lengths(scene_frames(YUV, 64, 48, (4, 30)), info()) == [34]


def panned(count: int, step: int) -> list[Frame]:
    """A picture of large and small things that moves by `step` samples a picture."""
    y, x = np.mgrid[:48, : 64 + count * step]
    wide = 120 + 60 * np.sin(x / 31) * np.cos(y / 17) + 40 * ((x // 9 + y // 7) % 2)
    wide = wide.astype(np.uint8)
    return [Frame((np.ascontiguousarray(wide[:, k * step : k * step + 64]),), k * 40) for k in range(count)]


@pytest.mark.parametrize("step", [1, 2, 5])
def test_a_pan_is_no_cut(step: int) -> None:
    assert lengths(panned(60, step), info(fmt=PlaneFormat("400", 8))) == [60]


def test_a_fade_and_noise_are_no_cuts() -> None:
    rng = np.random.default_rng(1)
    fade = [Frame((np.full((48, 64), 4 * k, np.uint8),), 40 * k) for k in range(60)]
    noise = [Frame((rng.integers(0, 256, (48, 64)).astype(np.uint8),), 40 * k) for k in range(60)]
    flicker = [Frame((np.full((48, 64), 200 * (k % 2), np.uint8),), 40 * k) for k in range(60)]
    grey = info(fmt=PlaneFormat("400", 8))
    assert lengths(fade, grey) == [60]
    assert lengths(noise, grey) == [60]
    assert len(lengths(flicker, grey)) <= 2, "where every picture differs, none is a cut"


def test_long_scenes_are_divided() -> None:
    still = [Frame((np.full((16, 16), 50, np.uint8),), k) for k in range(605)]
    about = info(16, 16, PlaneFormat("400", 8))
    assert bounds_of(about).longest == 250
    assert lengths(still, about) == [250, 250, 105]


@pytest.mark.parametrize("about, shortest, longest", [
    (info(rate=Fraction(24000, 1001)), 10, 240),
    (info(rate=Fraction(240)), 96, 1200),
    (info(rate=Fraction(1, 2)), 1, 8),
    (info(1920, 1080), 10, MEMORY // (1920 * 1080 * 3 // 2)),
    (info(3840, 2160, PlaneFormat("420", 10)), 10, MEMORY // (3840 * 2160 * 3)),
    (info(16384, 8192, PlaneFormat("444", 10)), 8, 8),
], ids=["film", "fast", "slow", "1080p", "2160p", "huge"])  # fmt: skip
def test_limits(about: VideoInfo, shortest: int, longest: int) -> None:
    found = bounds_of(about)
    assert (found.shortest, found.longest) == (shortest, longest)
    assert found.longest == 8 or found.longest * about.format.frame_bytes(about.width, about.height) <= MEMORY


def test_one_segment_is_held_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A segment is handed on before the picture that follows its successor is read; memory bounds its length."""
    monkeypatch.setattr(scenes, "MEMORY", 20 * YUV.frame_bytes(64, 48) + 5)
    read = 0

    def stream() -> object:
        nonlocal read
        for frame in scene_frames(YUV, 64, 48, (110,)):
            read += 1
            yield frame

    done = 0
    for segment in split(stream(), info()):  # type: ignore[arg-type]
        done += len(segment)
        assert len(segment) <= 20 and read <= done + 1
    assert done == 110


def test_no_frames_make_no_segment() -> None:
    assert list(split([], info())) == []
    assert lengths(scene_frames(YUV, 64, 48, (1,)), info()) == [1]
