"""How an encode ends that fails: what is said of the disk beforehand, and advice that works."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import codec
from codec.errors import FormatError, InputError, NoRoom, OutputError, Refused, Unsteady, WorkerError, unwritable
from codec.events import Event
from codec.film.size import room_needed
from codec.frames import PlaneFormat, VideoInfo
from codec.jobs.store import Store
from codec.media.libav import faults_as
from codec.segment import scenes
from codec.settings import Settings
from tests.makers import scene_frames, write_frames

YUV = PlaneFormat("420", 8)
HD = VideoInfo(1280, 720, YUV, Fraction(1, 1000), Fraction(25), frames=2500, duration=Fraction(100))


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return write_frames(tmp_path / "in.mkv", scene_frames(YUV, 64, 48, (12, 10)), YUV)


def wishes(**more: Any) -> Settings:
    quick = {"preset": "fast", "device": "cpu", "scale": Fraction(1), "threads": 1, "head": False}
    return Settings(**quick | more)


# --- room -------------------------------------------------------------------------------------------------------------


def test_what_an_encode_takes_is_guessed_low() -> None:
    """Segments and the film, hence twice; the sound once. Four films of 480 to 720 lines took 0.06 to 0.39 bits a
    sample at the usual quality, two took 1.2 and 2.4 without loss."""
    assert room_needed(Settings(bitrate=800), HD, 1000) == 2 * 800 * 125 * 100 + 1000
    assert room_needed(Settings(target_size=30), HD, 10**6) == 2 * (30 - 1) * 10**6 + 10**6
    samples = 2500 * 1280 * 720
    assert room_needed(Settings(), HD, 0) == 2 * samples * 0.02 / 8
    assert room_needed(Settings(crf=22), HD, 0) == 2 * room_needed(Settings(), HD, 0)
    assert room_needed(Settings(target_psnr=40), HD, 0) < room_needed(Settings(), HD, 0)
    assert room_needed(Settings(max_error=0), HD, 0) == 2 * samples * 0.5 / 8
    assert room_needed(Settings(max_error=1), HD, 0) == samples * 0.5 / 8
    unknown = VideoInfo(1280, 720, YUV, Fraction(1, 1000), Fraction(25))
    assert room_needed(Settings(bitrate=800), unknown, 1000) == 0


def with_room(monkeypatch: pytest.MonkeyPatch, free: int, total: int = 10**9) -> None:
    usage = type(shutil.disk_usage("."))(total, total - free, free)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)


def test_a_disk_that_looks_too_small_is_told_before_the_first_segment(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Event] = []
    with_room(monkeypatch, 12 * 10**6)
    result = codec.encode(film, tmp_path / "a.nvc", wishes(target_size=40), listen=told.append)
    text = f"{tmp_path} has 12 MB free; the film may need about 80 MB here"
    assert [event.kind for event in told][:2] == ["source", "note"] and told[1].data == {"text": text}
    assert result.notes == [], "as nothing came of it"
    for free, total in ((80 * 10**6, 10**9), (0, 0)):  # some file systems say nothing
        with_room(monkeypatch, free, total)
        told.clear()
        codec.encode(film, tmp_path / "a.nvc", wishes(target_size=40), overwrite=True, listen=told.append)
        assert not [event for event in told if event.kind == "note"]


def test_room_is_told_of_pictures_whose_size_is_known(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Event] = []
    codec.encode(film, tmp_path / "a.nvc", wishes())
    size = 22 * (6 + 64 * 48 * 3 // 2)
    for free, notes in ((size - 1, 1), (size, 0)):
        with_room(monkeypatch, free)
        told.clear()
        codec.decode(tmp_path / "a.nvc", tmp_path / "a.y4m", device="cpu", overwrite=True, listen=told.append)
        assert sum(event.kind == "note" for event in told) == notes


# --- advice -----------------------------------------------------------------------------------------------------------


def raising(error: BaseException) -> Callable[..., Any]:
    def fail(*given: object, **more: object) -> Any:
        raise error

    return fail


KEPT = "2 finished segments are kept"
ENDS = {
    "full": (
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        f"{KEPT}, --resume goes on from them once there is room",
    ),
    "quota": (OSError(errno.EDQUOT, "over"), f"{KEPT}, --resume goes on from them once there is room"),
    "disk": (OSError(errno.EIO, os.strerror(errno.EIO)), f"{KEPT}, --resume goes on from them"),
    "muxer": (OSError(errno.EINVAL, os.strerror(errno.EINVAL)), f"{KEPT}, but --resume would end alike"),
}


@pytest.mark.parametrize("end", ENDS)
def test_advice_fits_what_ended_the_writing(
    end: str, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault, advice = ENDS[end]
    target = tmp_path / "a.nvc"

    def write(*given: object) -> Any:
        with faults_as(OutputError, f"{target} cannot be written"):
            raise fault

    with monkeypatch.context() as patch:
        patch.setattr("codec.film.encode.write_film", write)
        with pytest.raises(OutputError) as caught:
            codec.encode(film, target, wishes())
    assert str(caught.value) == f"{target} cannot be written: {fault.strerror}; {advice}"
    assert isinstance(caught.value, {"full": NoRoom, "quota": NoRoom, "disk": OutputError, "muxer": Refused}[end])
    codec.encode(film, target, wishes(), resume=True)
    assert sorted(os.listdir(tmp_path)) == ["a.nvc", "in.mkv"]


def test_a_disk_that_fills_up_keeps_what_is_finished(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = Store.put

    def until_full(store: Store, index: int, *rest: Any) -> None:
        if index:
            raise unwritable(f"{store.folder}/000001.segment cannot be written", OSError(errno.ENOSPC, "No space left"))
        put(store, index, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "put", until_full)
        with pytest.raises(NoRoom, match=r"a\.nvc\.parts/000001\.segment cannot be written: No space left; 1 finished "
                           "segment is kept, --resume goes on from it once there is room$"):  # fmt: skip
            codec.encode(film, tmp_path / "a.nvc", wishes())
    told: list[Event] = []
    codec.encode(film, tmp_path / "a.nvc", wishes(), resume=True, listen=told.append)
    coded = {event.data["segment"] for event in told if event.kind == "progress" and event.data["stage"] == "base"}
    assert coded == {1}


@pytest.mark.parametrize(("error", "advice"), [
    (InputError("the AV1 encoder failed: x"), ", but --resume would end alike"),
    (FormatError("the time stamps do not increase"), ", but --resume would end alike"),
    (WorkerError("a worker was lost"), ", --resume goes on from them"),
], ids=["input", "format", "worker"])  # fmt: skip
def test_no_advice_to_resume_what_must_fail_alike(
    error: Exception, advice: str, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("codec.film.encode.write_film", raising(error))
    with pytest.raises(type(error)) as caught:
        codec.encode(film, tmp_path / "a.nvc", wishes())
    assert str(caught.value) == f"{error}; {KEPT}{advice}"


def test_want_of_memory_keeps_what_is_finished(film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codec.film.encode.write_film", raising(MemoryError()))
    with pytest.raises(MemoryError) as caught:
        codec.encode(film, tmp_path / "a.nvc", wishes())
    assert caught.value.__notes__ == [f"{KEPT}, --resume goes on from them"]


def test_segments_of_other_pictures_are_not_mixed_with_these(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decoder that gives other pictures each time, or finished segments of another one."""
    with monkeypatch.context() as patch:
        patch.setattr("codec.film.encode.write_film", raising(WorkerError("lost")))
        with pytest.raises(WorkerError):
            codec.encode(film, tmp_path / "a.nvc", wishes())
    with monkeypatch.context() as patch:
        split = scenes.split
        patch.setattr("codec.film.encode.split", lambda *given: (frames[1:] for frames in split(*given)))
        with pytest.raises(Unsteady, match=r"other pictures than finished segments hold; they go, encode it anew$"):
            codec.encode(film, tmp_path / "a.nvc", wishes(), resume=True)
    assert os.listdir(tmp_path) == ["in.mkv"]
