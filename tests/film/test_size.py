"""A size that is asked for: never exceeded, made use of, and refused where nothing is small enough."""

from __future__ import annotations

import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import codec
from codec.errors import InputError
from codec.events import Event, Note, SegmentDone
from codec.film import encode as encoding
from codec.film.containers import MP4
from codec.film.reader import FilmReader
from codec.film.scale import choose_scale
from codec.film.size import bytes_beside
from codec.frames import PlaneFormat
from codec.media.beside import Beside
from codec.media.demuxed import open_source
from codec.segment.payload import HEAD_DIFFERENCE, read_segment
from codec.settings import CRF_MAX, Settings
from codec.wire.obu import inject
from tests.makers import LAVISH, scene_frames, shorten, write_frames

YUV = PlaneFormat("420", 8)
SCENES = (12, 10, 11, 10)  # two chunks


def settings(megabytes: float, **wishes: Any) -> Settings:
    options: dict[str, Any] = {"preset": "fast", "device": "cpu", "scale": Fraction(1), "head": False, "threads": 1}
    return Settings(target_size=megabytes, **options | wishes)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_frames(tmp_path_factory.mktemp("film") / "in.mkv", scene_frames(YUV, 96, 64, SCENES), YUV)


def expect_more_room(monkeypatch: pytest.MonkeyPatch, more: int) -> None:
    """Lets encodes believe that there are so many bytes more for the pictures, so that files come out too large."""
    monkeypatch.setattr(encoding, "bytes_beside", lambda *args: bytes_beside(*args) - more)


class Told:
    """Listens: texts of notes, and the numbers of segments in the order in which they are finished."""

    def __init__(self, fail_at: int = -1) -> None:
        self.notes: list[str] = []
        self.segments: list[int] = []
        self._fail_at = fail_at

    def __call__(self, event: Event) -> None:
        if isinstance(event, Note):
            self.notes.append(event.text)
        if isinstance(event, SegmentDone):
            self.segments.append(event.segment)
            if len(self.segments) == self._fail_at:
                raise Interrupt


class Interrupt(Exception):
    """What a test throws into an encode."""


@pytest.mark.parametrize("wish", [0.05, 0.02, 0.01, 0.006])
def test_a_size_is_kept_and_used(wish: float, film: Path, tmp_path: Path, quick: None) -> None:
    result = codec.encode(film, tmp_path / "out.nvc", settings(wish))
    assert 0.9e6 * wish <= os.path.getsize(tmp_path / "out.nvc") <= 1e6 * wish
    assert result.notes == [] and all(s.met for s in result.segments)


def test_a_size_is_kept_whatever_heads_take(film: Path, tmp_path: Path, lavish: None) -> None:
    codec.encode(film, tmp_path / "out.nvc", settings(0.02, head=True))
    assert os.path.getsize(tmp_path / "out.nvc") <= 20_000
    assert codec.verify(tmp_path / "out.nvc", device="cpu").frames == sum(SCENES)


@pytest.mark.parametrize("times", [list(range(40)), [k * k // 9 + k for k in range(40)]], ids=["even", "uneven"])
def test_a_size_is_kept_beside_sound(
    times: list[int], make_film: Callable[..., Path], tmp_path: Path, quick: None
) -> None:
    source = make_film("in.mp4", size=(96, 64), times=times, sound="aac")
    for wish in (0.09, 0.06):
        codec.encode(source, tmp_path / "out.nvc", settings(wish), overwrite=True)
        assert os.path.getsize(tmp_path / "out.nvc") <= 1e6 * wish


def test_what_the_container_takes_is_known_beforehand(
    make_film: Callable[..., Path], tmp_path: Path, quick: None
) -> None:
    source = make_film("in.mp4", size=(96, 64), times=list(range(40)), sound="aac")
    with open_source(source) as opened:
        expected = bytes_beside(str(tmp_path / "trial"), opened.info, MP4, Beside(source))
    codec.encode(source, tmp_path / "out.nvc", settings(0.06))
    units = list(FilmReader(tmp_path / "out.nvc").units())
    pictures = sum(len(inject(u.data, u.payloads)) for u in units)
    delimiters = 2 * len(units)  # which MP4 leaves out
    found = os.path.getsize(tmp_path / "out.nvc") - pictures - delimiters
    assert abs(found - expected) <= 16


# --- what is coded again ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [300, 2500, 60_000])
def test_a_file_that_is_too_large_is_made_smaller(
    more: int, film: Path, tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    expect_more_room(monkeypatch, more)
    told = Told()
    result = codec.encode(film, tmp_path / "out.nvc", settings(0.015), listen=told)
    assert 0.9 * 15_000 <= os.path.getsize(tmp_path / "out.nvc") <= 15_000
    again = told.segments[len(SCENES) :]
    assert again and (len(again) < len(SCENES)) == (more < 1000), "as few as will do"
    assert len(told.notes) == 1 and "coded again" in told.notes[0]
    assert result.notes == [] and result.bytes == os.path.getsize(tmp_path / "out.nvc")
    units = [u for u in FilmReader(tmp_path / "out.nvc").units() if u.keyframe]
    assert [read_segment(u.payloads[0]).psnr for u in units] == pytest.approx(
        [s.psnr for s in result.segments], abs=0.006
    ), "what is told is what was written"
    assert codec.verify(tmp_path / "out.nvc", device="cpu").frames == sum(SCENES)


def test_heads_stay_right_when_the_segments_that_they_differ_from_are_coded_again(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten(monkeypatch, worth=LAVISH)
    monkeypatch.setattr("heads.restorer.store.FILM_HEADS", {})  # heads of their own, and differences to them
    expect_more_room(monkeypatch, 25_000)  # so much that one segment alone cannot make up for it
    told = Told()
    codec.encode(film, tmp_path / "out.nvc", settings(0.06, head=True), listen=told)
    assert os.path.getsize(tmp_path / "out.nvc") <= 60_000
    assert set(told.segments[len(SCENES) :]) & {0, 1, 3}, "one that another may refer to"
    kinds = [read_segment(u.payloads[0]).head_kind for u in FilmReader(tmp_path / "out.nvc").units() if u.keyframe]
    assert HEAD_DIFFERENCE in kinds
    assert codec.verify(tmp_path / "out.nvc", device="cpu").frames == sum(SCENES)


def test_the_last_round_leaves_out_every_head(film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shorten(monkeypatch, worth=LAVISH)
    monkeypatch.setattr("codec.film.size.ROUNDS", 1)
    expect_more_room(monkeypatch, 60_000)
    result = codec.encode(film, tmp_path / "out.nvc", settings(0.006, head=True))
    assert os.path.getsize(tmp_path / "out.nvc") <= 6000
    assert {(s.head, s.crf) for s in result.segments} == {("none", CRF_MAX)}
    assert codec.verify(tmp_path / "out.nvc", device="cpu").frames == sum(SCENES)


def test_processes_code_the_same_segments_again(film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expect_more_room(monkeypatch, 1500)
    told = Told()
    codec.encode(film, tmp_path / "one.nvc", settings(0.015), listen=told)
    codec.encode(film, tmp_path / "two.nvc", settings(0.015), jobs=2)
    assert len(told.segments) > len(SCENES)
    assert (tmp_path / "one.nvc").read_bytes() == (tmp_path / "two.nvc").read_bytes()


def test_an_encode_interrupted_in_the_midst_of_it_is_resumed_to_the_same_bytes(
    film: Path, tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    expect_more_room(monkeypatch, 2500)
    whole = Told()
    codec.encode(film, tmp_path / "whole.nvc", settings(0.015), listen=whole)
    for moment in range(len(SCENES) + 1, len(whole.segments) + 1):
        with pytest.raises(Interrupt):
            codec.encode(film, tmp_path / "out.nvc", settings(0.015), listen=Told(moment))
        assert sorted(os.listdir(tmp_path)) == [".out.nvc.parts", "whole.nvc"]
        told = Told()
        codec.encode(film, tmp_path / "out.nvc", settings(0.015), resume=True, listen=told)
        assert (tmp_path / "out.nvc").read_bytes() == (tmp_path / "whole.nvc").read_bytes()
        assert told.segments == whole.segments
        os.unlink(tmp_path / "out.nvc")


# --- out of reach -----------------------------------------------------------------------------------------------------


def test_what_cannot_be_reached_is_refused_as_soon_as_that_is_certain(film: Path, tmp_path: Path, quick: None) -> None:
    told = Told()
    with pytest.raises(InputError, match=r"0\.0013 MB cannot be reached: 12 of its pictures take 0\.00\d+ MB at their"):
        codec.encode(film, tmp_path / "out.nvc", settings(0.0013), listen=told)
    assert told.segments == [0], "not the whole film"
    assert os.listdir(tmp_path) == []


def test_what_turns_out_to_be_out_of_reach_is_refused(
    film: Path, tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    expect_more_room(monkeypatch, 60_000)
    with pytest.raises(InputError, match=r"0\.002 MB cannot be reached"):
        codec.encode(film, tmp_path / "out.nvc", settings(0.002))
    assert os.listdir(tmp_path) == []


def test_the_size_that_a_refusal_names_can_be_reached(
    film: Path, tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError) as refused:
        codec.encode(film, tmp_path / "out.nvc", settings(0.0025))
    named = float(str(refused.value).rpartition("all about ")[2].split()[0])
    codec.encode(film, tmp_path / "out.nvc", settings(named * 1.1))
    assert os.path.getsize(tmp_path / "out.nvc") <= 1.1e6 * named


def test_a_base_that_cannot_be_small_enough_is_passed_over(quick: None) -> None:
    frames = scene_frames(YUV, 256, 192, (12,))
    with_size = Settings(target_size=1.0, preset="fast", device="cpu")
    info = codec.VideoInfo(256, 192, YUV, Fraction(1, 1000), Fraction(25))
    assert choose_scale(frames, info, with_size, 400.0, lambda event: None)[0] == 3, "the smallest of 64 rows"
    assert choose_scale(frames, info, with_size, 1e6, lambda event: None)[0] == 1
