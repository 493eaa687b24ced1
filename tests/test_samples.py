"""The drawn films: the same every time, still where they should be, and shipped as the files they claim to be."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from click.testing import CliRunner

import samples
from samples.make import main
from samples.singer import BEAT, LYRICS, MELODY, SOUND_RATE, singer_frames, singer_sound
from samples.texture import FILM_RATE, relief, sprig, texture_frames

FOLDER = Path(samples.__file__).parent
Film = Callable[..., Iterator[np.ndarray]]


def checksums(frames: Iterator[np.ndarray]) -> list[int]:
    return [zlib.crc32(np.ascontiguousarray(frame)) for frame in frames]


@pytest.mark.parametrize("film", [singer_frames, texture_frames])
def test_film_is_the_same_every_time(film: Film) -> None:
    first = checksums(film(96, 54, 0.6, 10))
    assert first == checksums(film(96, 54, 0.6, 10))
    assert len(set(first)) == 6, "every frame moves"


@pytest.mark.parametrize("film", [singer_frames, texture_frames])
@pytest.mark.parametrize("size", [(160, 90), (90, 160), (33, 17), (300, 60)])
def test_film_comes_in_any_size(film: Film, size: tuple[int, int]) -> None:
    frames = list(film(*size, 0.2, 10))
    assert [frame.shape for frame in frames] == [(size[1], size[0], 3)] * 2
    assert frames[0].dtype == np.uint8
    assert frames[0].std() > 10, "there is something to see"


def test_length_follows_seconds_and_rate() -> None:
    assert sum(1 for _ in texture_frames(64, 36, 2.0, FILM_RATE)) == 48
    assert sum(1 for _ in singer_frames(64, 36, 1.0, Fraction(25))) == 25
    assert not list(singer_frames(64, 36, 0.0, 25))


def test_room_never_moves_and_the_picture_is_cut_once() -> None:
    frames = np.stack(list(singer_frames(160, 90, 1.0, 12))).astype(np.int16)
    change = np.abs(np.diff(frames, axis=0)).max(axis=3)
    cut = 5  # between the sixth and the seventh of twelve frames
    assert change.mean(axis=(1, 2)).argmax() == cut
    for scene in (change[:cut], change[cut + 1 :]):
        still = (scene == 0).all(axis=0)
        assert still.mean() > 0.3
        assert not still.all()
    wide = (change[:cut] == 0).all(axis=0)
    assert wide[:20].all(), "nothing moves above the singer"
    assert wide[:, :40].all(), "nothing moves at the window"


def test_scenes_are_the_same_at_any_length() -> None:
    short, long = (next(iter(singer_frames(96, 54, seconds, 10))) for seconds in (0.4, 4.0))
    assert np.array_equal(short, long)


def test_sound_is_as_long_as_asked_and_never_clips() -> None:
    whole = BEAT * sum(beats for _, beats in MELODY)
    sound = singer_sound(whole + 1)
    assert sound.shape == (2, round((whole + 1) * SOUND_RATE))
    assert 0.2 < np.abs(sound).max() < 1
    assert np.array_equal(singer_sound(0.5), sound[:, : SOUND_RATE // 2])
    assert len(LYRICS) == 4


def test_stills_use_their_whole_form() -> None:
    ground, twig = relief(), sprig()
    assert ground.dtype == np.uint16
    assert (ground.min(), ground.max()) == (0, 65535)
    assert np.unique(ground & 255).size > 200, "the low bits are used"
    alpha = twig[..., 3]
    assert (alpha == 0).mean() > 0.4
    assert ((alpha > 0) & (alpha < 255)).any()
    assert not twig[alpha == 0].any()


@pytest.mark.parametrize(
    ("name", "size", "rate", "count", "sound"),
    [("singer.mp4", (480, 270), Fraction(25), 100, True), ("texture.mp4", (320, 180), FILM_RATE, 48, False)],
)
def test_shipped_clip(name: str, size: tuple[int, int], rate: Fraction, count: int, sound: bool) -> None:
    assert (FOLDER / name).stat().st_size <= 400_000
    with av.open(str(FOLDER / name)) as clip:
        video = clip.streams.video[0]
        assert (video.codec_context.name, video.width, video.height) == ("h264", *size)
        assert video.average_rate == rate
        times = [frame.pts * frame.time_base for frame in clip.decode(video)]
        assert times == [n / rate for n in range(count)]
    with av.open(str(FOLDER / name)) as clip:
        assert [stream.codec_context.name for stream in clip.streams.audio] == ["aac"] * sound
        for stream in clip.streams.audio:
            heard = sum(frame.samples for frame in clip.decode(stream))
            assert abs(heard - 4 * SOUND_RATE) <= 1024


@pytest.mark.parametrize(
    ("name", "shape", "dtype"),
    [
        ("singer.png", (270, 480, 3), np.uint8),
        ("texture.png", (180, 320, 3), np.uint8),
        ("sprig.png", (200, 200, 4), np.uint8),
        ("relief.png", (120, 160), np.uint16),
    ],
)
def test_shipped_picture(name: str, shape: tuple[int, ...], dtype: type) -> None:
    assert (FOLDER / name).stat().st_size <= 200_000
    picture = cv2.imread(str(FOLDER / name), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    assert (picture.shape, picture.dtype) == (shape, dtype)


def test_make_writes_every_sample(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["--seconds", "0.4", "--size", "64x36", "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    kept = {path.name for path in FOLDER.iterdir() if path.suffix in (".mp4", ".png")}
    assert {path.name for path in tmp_path.iterdir()} == kept
    with av.open(str(tmp_path / "singer.mp4")) as clip:
        assert sum(1 for _ in clip.decode(video=0)) == 10


def test_make_refuses_a_size_that_h264_cannot_hold() -> None:
    result = CliRunner().invoke(main, ["--size", "63x36"])
    assert result.exit_code == 2
    assert "even" in result.output
