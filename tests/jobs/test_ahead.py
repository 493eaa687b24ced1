"""A segment that is begun before its turn: the same base, told of in its turn, given up at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

import codec
from codec.errors import SourceDamaged
from codec.events import Event, Stage
from codec.frames import Frame, PlaneFormat, VideoInfo
from codec.jobs.ahead import Begun, GivenUp
from codec.jobs.lanes import Lanes, _Run
from codec.jobs.task import Task, run_task
from codec.jobs.workers import Here
from codec.segment.apart import apart
from codec.segment.rate import RateControl
from codec.settings import Settings
from tests.makers import drawn_frames, scene_frames, write_frames

YUV = PlaneFormat("420", 8)
INFO = VideoInfo(64, 48, YUV, Fraction(1, 24000), Fraction(24000, 1001))
SETTINGS = Settings(preset="fast", scale=Fraction(1), threads=1, device="cpu", head=False)


def task(index: int = 0, count: int = 6) -> Task:
    frames = drawn_frames(YUV, 64, 48, count)
    return Task(index, frames, INFO, SETTINGS, Fraction(1), RateControl(SETTINGS, 32.0), None)


def test_a_segment_begun_early_is_the_same_and_is_told_of_in_its_turn() -> None:
    begun, told = Begun(task(), None), list[Event]()
    assert begun.done.wait(60)
    encoder = begun.attend(told.append)
    assert [event for event in told if isinstance(event, Stage)] == [Stage("base", 1.0)], "of all that, the last"
    segment = run_task(task(), told.append, encoder)
    assert segment == run_task(task())
    stages = [event.stage for event in told if isinstance(event, Stage)]
    assert stages.count("base") == 1 and set(stages) >= {"base", "restore"}


def test_bases_follow_each_other() -> None:
    first = Begun(task(0), None)
    second = Begun(task(1), first)
    assert second.done.wait(60) and first.done.is_set()


def test_what_is_given_up_ends() -> None:
    before = threading.active_count()
    here = Here()
    for index in range(3):
        here.begin(task(index, 24))
    here.close()
    assert threading.active_count() <= before
    begun = Begun(task(0, 24), None)
    begun.give_up()
    assert begun.done.is_set()
    with suppress(GivenUp):  # or it was done before
        begun.encoder.base(32.0)


def test_no_base_is_coded_twice_and_none_before_its_turn_where_a_wish_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = write_frames(tmp_path / "in.mkv", scene_frames(YUV, 64, 48, (12, 13, 14)), YUV)
    begun: list[int] = []
    begin = Here.begin

    def noted(self: Here, task: Task) -> None:
        begun.append(task.index)
        begin(self, task)

    monkeypatch.setattr(Here, "begin", noted)
    codec.encode(film, tmp_path / "a.nvc", SETTINGS)
    assert begun == [0, 1, 2]
    codec.encode(film, tmp_path / "b.nvc", Settings(**vars(SETTINGS) | {"target_psnr": 40.0}))
    assert begun == [0, 1, 2]
    monkeypatch.setattr(Here, "ahead", False)
    codec.encode(film, tmp_path / "c.nvc", SETTINGS)
    assert (tmp_path / "a.nvc").read_bytes() == (tmp_path / "c.nvc").read_bytes()


def lane(segments: Iterator[list[Frame]]) -> Iterator[list[Frame]]:
    """What a lane gets that begins segments early."""
    workers = SimpleNamespace(begin=lambda task: None, count=1)
    store = SimpleNamespace(get=lambda index: None)
    control = RateControl(SETTINGS, 32.0)
    of = Lanes(cast(Any, SimpleNamespace(info=INFO)), SETTINGS, Fraction(1), control, cast(Any, store),
               cast(Any, workers), cast(Any, None))  # fmt: skip
    return _Run(of)._begun(segments)


def test_what_goes_wrong_ahead_goes_wrong_in_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    frames, read = drawn_frames(YUV, 64, 48, 2), list[int]()

    def segments() -> Iterator[list[Frame]]:
        for k in range(2):
            read.append(k)
            yield frames
        raise SourceDamaged("in the third")

    found = lane(segments())
    assert next(found) is frames and read == [0, 1], "one is read ahead"
    assert next(found) is frames
    with pytest.raises(SourceDamaged):
        next(found)
    read.clear()
    monkeypatch.setattr("codec.jobs.lanes.HELD", 0)
    found = lane(segments())
    assert next(found) is frames and read == [0], "none where there is no room"
    assert next(found) is frames


def test_pictures_apart_keep_their_order() -> None:
    def work(k: int) -> int:
        if k == 30:
            raise ValueError("the last")
        return k * k

    for size in (0, 1, 1 << 40):
        assert list(apart(work, range(30), size)) == [k * k for k in range(30)]
        with pytest.raises(ValueError, match="the last"):
            list(apart(work, range(31), size))


def test_a_base_holds_the_quality_of_each_picture() -> None:
    encoder = Begun(task(), None).attend(lambda event: None)
    base = encoder.base(32.0)
    assert base.psnrs.shape == (6, 3) and base.psnr == pytest.approx(float((base.psnrs.mean(0) @ [6, 1, 1]) / 8))
