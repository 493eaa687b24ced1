"""Sources and places that are against us, through the command line: a sentence that names the file, the documented exit
code, and nothing lost: older files stay, nothing new lies beside the target but finished segments."""

from __future__ import annotations

import errno
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

import codec
from codec.errors import InputError
from codec.events import Event, SegmentDone
from codec.frames import Frame, PlaneFormat
from codec.media.demuxed import open_source
from codec.media.libav import planes_to_av
from codec.settings import Settings
from tests.makers import Run, drawn_frames, same_planes, scene_frames, shell, tone, write_frames

YUV = PlaneFormat("420", 8)
# two threads: how many pictures come out before damage is noticed depends on their number
QUICK = ("--preset", "fast", "--no-head", "--scale", "1", "--device", "cpu", "--threads", "2", "-q")
SETTINGS = Settings(preset="fast", head=False, scale=Fraction(1), device="cpu")
Make = Callable[[Path, Any], Path]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes], quick: None) -> Run:
    """run("encode", ...) is what the shell sees of `codec encode ...`."""
    return shell(monkeypatch, capfdbinary)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Three segments; apart from what a test writes."""
    (tmp_path / "source").mkdir()
    return write_frames(tmp_path / "source" / "in.mkv", scene_frames(YUV, 64, 48, (12, 11, 12)), YUV)


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """The target, in a folder of its own, where an older file lies."""
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "out.nvc").write_bytes(b"older")
    return tmp_path / "target" / "out.nvc"


def y4m(width: int, height: int, count: int, rate: str = "25:1") -> bytes:
    """A y4m film of even pictures, each of another brightness."""
    size = width * height + 2 * ((width + 1) // 2) * ((height + 1) // 2)
    pictures = b"".join(b"FRAME\n" + bytes([(40 + 3 * k) % 256]) * size for k in range(count))
    return f"YUV4MPEG2 W{width} H{height} F{rate} Ip A1:1 C420jpeg\n".encode() + pictures


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def stored_times(path: Path, times: list[int]) -> Path:
    """A lossless film whose blocks have these times in milliseconds, whatever their order; all within 32 s."""
    write_frames(path, drawn_frames(YUV, 64, 48, len(times), 40), YUV)
    data = bytearray(path.read_bytes())
    cluster = data.index(b"\x1f\x43\xb6\x75")
    at, number = cluster + 4 + _vint(data, cluster + 4)[1], 0
    while number < len(times):
        size, length = _vint(data, at + 1)
        body = at + 1 + length
        if data[at] == 0xA3:  # SimpleBlock: track, then the time within the cluster
            struct.pack_into(">h", data, body + 1, times[number])
            number += 1
        at = body + size
    path.write_bytes(data)
    return path


def _vint(data: bytearray, at: int) -> tuple[int, int]:
    """Matroska's number at `at`, and its length."""
    length = 9 - data[at].bit_length()
    return int.from_bytes(data[at : at + length]) & (1 << 7 * length) - 1, length


# --- refused ----------------------------------------------------------------------------------------------------------


def index_lost(folder: Path, make_film: Any) -> Path:
    path = make_film("in.mp4", times=list(range(40)))
    return written(path, path.read_bytes()[:-2000])


def sound_alone(folder: Path, make_film: Any) -> Path:
    with av.open(str(folder / "in.mp4"), "w") as output:
        voice: Any = output.add_stream("aac", rate=44100, layout="mono")
        resampler = av.AudioResampler(voice.format, voice.layout, 44100, 1024)
        for k in range(20):
            for frame in resampler.resample(tone(k, 44100)):
                output.mux(voice.encode(frame))
        output.mux(voice.encode(None))
    return folder / "in.mp4"


def subtitles_alone(folder: Path, make_film: Any) -> Path:
    return written(folder / "in.srt", b"1\n00:00:00,000 --> 00:00:02,000\nla la la\n\n")


def track_without_samples(folder: Path, make_film: Any) -> Path:
    path = folder / "in.mp4"
    options = {"movflags": "empty_moov"}
    with av.open(str(make_film("whole.mp4"))) as whole, av.open(str(path), "w", options=options) as output:
        output.add_stream_from_template(whole.streams.video[0], opaque=True)
        output.start_encoding()
    return path


def joined(name: str, *made: dict[str, Any]) -> Make:
    def make(folder: Path, make_film: Any) -> Path:
        still = {"options": {"bf": "0"}}
        parts = [make_film(f"{k}.h264", **still, **what).read_bytes() for k, what in enumerate(made)]
        return written(folder / name, b"".join(parts))

    return make


def leaping(folder: Path, make_film: Any) -> Path:
    """317 years between two pictures."""
    path = folder / "in.mkv"
    write_frames(
        path, [Frame(f.planes, f.pts + (k > 11) * 10**13) for k, f in enumerate(scene_frames(YUV, 64, 48))], YUV
    )
    return path


def pipe(folder: Path, make_film: Any) -> Path:
    """Nobody writes into it: to open it would be to wait for ever."""
    os.mkfifo(folder / "in.mkv")
    return folder / "in.mkv"


def dangling(folder: Path, make_film: Any) -> Path:
    (folder / "in.mp4").symlink_to("nowhere")
    return folder / "in.mp4"


REFUSED: dict[str, tuple[Make, str]] = {
    "index lost": (index_lost, "no film or picture that libav can read"),
    "sound alone": (sound_alone, "has no video stream"),
    "subtitles alone": (subtitles_alone, "has no video stream"),
    "track without samples": (track_without_samples, "holds no picture"),
    "empty": (lambda folder, _: written(folder / "in.mp4", b""), "is empty"),
    "noise": (
        lambda folder, _: written(folder / "in.mp4", np.random.default_rng(1).bytes(50000)),
        "no film or picture",
    ),
    "y4m without pictures": (lambda folder, _: written(folder / "in.y4m", y4m(64, 48, 0)), "holds no picture"),
    "y4m of two sizes": (lambda folder, _: written(folder / "in.y4m", y4m(64, 48, 3) + y4m(96, 64, 3)), "0.080 s"),
    "sizes": (joined("in.h264", {"size": (64, 48)}, {"size": (96, 64)}), "size from 64x48 to 96x64 at 0."),
    "formats": (joined("in.h264", {}, {"fmt": PlaneFormat("444", 8)}), "format from yuv420p to yuv444p at 0."),
    "leap": (leaping, "the time stamps leap from 0.440 s"),
    "pipe": (pipe, "is a pipe or a device"),
    "dangling link": (dangling, "there is no such file"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_source_is_refused_in_one_sentence(kind: str, run: Run, make_film: Any, older: Path, tmp_path: Path) -> None:
    make, words = REFUSED[kind]
    if make is pipe and not hasattr(os, "mkfifo"):
        pytest.skip("there are no named pipes")
    (tmp_path / "source").mkdir()
    source = make(tmp_path / "source", make_film)
    result = run("encode", source, older, *QUICK, "-y")
    assert (result.code, result.out) == (1, b"")
    assert result.err.startswith("codec: ") and result.err.count("\n") == 1, result.err
    assert str(source) in result.err and words in result.err
    assert older.read_bytes() == b"older"
    assert os.listdir(older.parent) == ["out.nvc"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
@pytest.mark.parametrize("command", ["decode", "info", "verify", "upscale"])
def test_no_command_waits_for_a_pipe(command: str, run: Run, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "in.nvc")
    target = {"decode": (tmp_path / "out.mkv",), "upscale": (tmp_path / "out.png",)}.get(command, ())
    result = run(command, tmp_path / "in.nvc", *target)
    assert result.code == 1
    assert "is a pipe or a device" in result.err


@pytest.fixture
def cut_off(tmp_path: Path) -> Path:
    """An MP4 of three segments that ends within the last one."""
    fmt, frames = YUV, scene_frames(YUV, 64, 48, (12, 12, 12))
    (tmp_path / "source").mkdir()
    path = tmp_path / "source" / "in.mp4"
    with av.open(str(path), "w", options={"movflags": "faststart"}) as output:
        video: Any = output.add_stream("libx264", rate=25, options={"preset": "ultrafast", "crf": "4", "g": "12"})
        video.width, video.height, video.pix_fmt = 64, 48, fmt.av_name
        for k, frame in enumerate(frames):
            picture = planes_to_av(frame.planes, fmt)
            picture.pts, picture.time_base = k, Fraction(1, 25)
            output.mux(video.encode(picture))
        output.mux(video.encode(None))
    path.write_bytes(path.read_bytes()[:-1500])
    return path


def test_damage_midway_leaves_what_was_finished(run: Run, cut_off: Path, older: Path) -> None:
    """Finished segments stay for `--resume`, which tells the damage again and not less."""
    for words in ((), ("--resume",)):
        result = run("encode", cut_off, older, *QUICK, "-y", *words)
        assert result.code == 1
        assert result.err.startswith(f"codec: {cut_off} is damaged or cut off at ") and result.err.count("\n") == 1
        assert (
            "2 finished segments are kept, --resume --best-effort goes on behind the damage, or ends the film there"
            in result.err
        )
        assert older.read_bytes() == b"older"
        assert sorted(os.listdir(older.parent)) == [".out.nvc.parts", "out.nvc"]
        assert "000000.segment" in os.listdir(older.parent / ".out.nvc.parts")


@pytest.mark.parametrize(
    ("done", "words"),
    [
        (1, "1 finished segment is kept, but --resume would end alike"),
        (2, "2 finished segments are kept, but --resume would end alike"),
    ],
)
def test_other_faults_of_a_source_are_no_damage(
    done: int, words: str, film: Path, older: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(event: Event) -> None:
        if isinstance(event, SegmentDone) and event.segment == done - 1:
            raise InputError("the sound cannot be read")

    with pytest.raises(InputError, match=f"^the sound cannot be read; {words}"):
        codec.encode(film, older, SETTINGS, overwrite=True, listen=fail)


@pytest.mark.parametrize("jobs", [(), ("--jobs", "2")], ids=["serial", "jobs"])
def test_best_effort_keeps_a_damaged_film_up_to_the_damage(
    jobs: tuple[str, ...], run: Run, cut_off: Path, older: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("codec.jobs.lanes.CHUNK", 1)
    assert run("encode", cut_off, older, *QUICK, "-y").code == 1
    result = run("encode", cut_off, older, *QUICK[:-1], "-y", "--resume", "--best-effort", "--json", "-q", *jobs)
    assert result.code == 0, result.err
    notes = [e["text"] for e in result.events if e["event"] == "note"]
    assert sum("is damaged or cut off at" in n and n.endswith("; the film is kept up to there") for n in notes) == 1
    begun = [e["segment"] for e in result.events if e["event"] == "progress" and e["stage"] == "base"]
    assert set(begun) <= {2}, "what was finished is taken up"
    with open_source(cut_off, 2, best_effort=True) as source:
        wanted = [f.pts * source.info.time_base for f in source.frames()]
    assert 24 <= len(wanted) < 36
    assert times_of(older) == wanted
    assert os.listdir(older.parent) == ["out.nvc"]


def test_best_effort_goes_on_behind_the_damage(run: Run, make_film: Any, older: Path) -> None:
    """The gap is named with its time, and pictures behind it keep theirs."""
    shape = {"rate": Fraction(25), "time_base": Fraction(1, 25), "times": list(range(72)), "size": (96, 64)}
    path = make_film("in.ts", options={"bf": "2", "g": "12", "x264-params": "scenecut=0"}, **shape)
    data = path.read_bytes()
    pictures = [at for at in range(0, len(data), 188) if data[at + 1] == 0x41 and data[at + 2] == 0]
    at = pictures[38] + 188
    path.write_bytes(data[:at] + data[at + 188 :])
    result = run("encode", path, older, *QUICK, "-y")
    assert result.code == 1 and result.err.startswith(f"codec: {path} is damaged or cut off at ")
    text = notes_of(run, path, older, "--resume", "--best-effort")
    times = times_of(older)
    gap = next((a, b) for a, b in pairwise(times) if b - a > Fraction(1, 25))
    begin, end = gap[0] + Fraction(1, 25), gap[1]
    assert text.count("damaged and left out") == 1
    assert f"from {float(begin):.3f} s to {float(end):.3f} s" in text
    assert end == Fraction(48, 25) and len(times) == 72 - (end - begin) * 25


# --- taken, and told --------------------------------------------------------------------------------------------------


def notes_of(run: Run, source: Path, target: Path, *words: str) -> str:
    result = run("encode", source, target, *QUICK[:-1], "--json", "-q", "-y", *words)
    assert result.code == 0, result.err
    return " ".join(e["text"] for e in result.events if e["event"] == "note")


def times_of(path: Path) -> list[Fraction]:
    film = codec.open(path)
    return [f.pts * film.info.time_base for f in film.frames()]


@pytest.mark.parametrize(("cut", "left"), [(1, 4), (4607, 4), (4608, 4), (4614, 4), (4615, 3)])
def test_y4m_that_ends_within_a_picture_is_named(cut: int, left: int, run: Run, tmp_path: Path) -> None:
    """libav takes part of a picture for the end of the film; only a cut between two cannot be seen."""
    data = y4m(64, 48, 5)
    path = written(tmp_path / "in.y4m", data[:-cut])
    with open_source(path) as source:
        assert len(list(source.frames())) == left
        assert ("ends within a picture" in " ".join(source.notes)) == (cut != 4614)


@pytest.mark.parametrize("whole", [True, False])
def test_pipe_that_is_closed_midway_gives_what_came(whole: bool, tmp_path: Path) -> None:
    data = y4m(64, 48, 5)
    command = [sys.executable, "-m", "codec", "encode", "-", str(tmp_path / "out.nvc"), *QUICK[:-1]]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as encoder:
        assert encoder.stdin and encoder.stderr
        encoder.stdin.write(data if whole else data[:-1000])
        encoder.stdin.close()
        told = encoder.stderr.read().decode()
    assert encoder.returncode == 0, told
    assert ("note: standard input ends within a picture" in told) != whole
    assert len(times_of(tmp_path / "out.nvc")) == (5 if whole else 4)


def test_picture_that_matroska_lost_is_named(run: Run, tmp_path: Path) -> None:
    """A damaged block is skipped by the reader of Matroska without a word."""
    frames = drawn_frames(YUV, 64, 48, 30, 40)
    path = write_frames(tmp_path / "in.mkv", frames, YUV)
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        at = [p.pos for p in container.demux(video=0) if p.size][13]
    data[at] ^= 3  # now it is a block of a track that there is not
    path.write_bytes(data)
    assert "there is no picture at 0.520 s" in notes_of(run, path, tmp_path / "out.nvc")
    assert len(times_of(tmp_path / "out.nvc")) < 30


@pytest.mark.parametrize(
    "times",
    [[80] * 12, [1000 - 40 * k for k in range(12)], [0, 40, 80, 80, 60, 200, 240]],
    ids=["equal", "back", "some"],
)
def test_times_that_do_not_increase_are_repaired(times: list[int], run: Run, tmp_path: Path) -> None:
    path = stored_times(tmp_path / "in.mkv", times)
    assert "time stamps are missing or repeated" in notes_of(run, path, tmp_path / "out.nvc")
    found = times_of(tmp_path / "out.nvc")
    assert len(found) == len(times)
    assert all(a < b for a, b in pairwise(found))
    if times[0] == 0:  # the one that is repeated lies between the two beside it, so that others stay on time
        assert found == [Fraction(t, 1000) for t in (0, 40, 80, 100, 140, 200, 240)]


def test_long_gaps_are_kept_and_a_negative_beginning_is_0(run: Run, tmp_path: Path) -> None:
    """Twenty days between two pictures, and a film that begins before zero."""
    frames = [Frame(f.planes, f.pts + (k > 5) * 1_728_000_000) for k, f in enumerate(drawn_frames(YUV, 64, 48, 12, 40))]
    path = write_frames(tmp_path / "in.mkv", frames, YUV)
    notes_of(run, path, tmp_path / "out.nvc")
    assert times_of(tmp_path / "out.nvc") == [Fraction(f.pts, 1000) for f in frames]
    path = stored_times(tmp_path / "negative.mkv", [40 * k - 200 for k in range(12)])
    notes_of(run, path, tmp_path / "out.nvc")
    assert times_of(tmp_path / "out.nvc") == [Fraction(k, 25) for k in range(12)]


@pytest.mark.parametrize("rate", ["1:1", "1:100000", "240:1", "1000:1", "90000:1", "0:0"])
def test_odd_rates(rate: str, run: Run, tmp_path: Path) -> None:
    notes_of(run, written(tmp_path / "in.y4m", y4m(64, 48, 4, rate)), tmp_path / "out.nvc")
    times = times_of(tmp_path / "out.nvc")
    if rate != "0:0":
        seconds, pictures = reversed([int(n) for n in rate.split(":")])
        assert times == [Fraction(k * seconds, pictures) for k in range(4)]
    assert len(times) == 4


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (1, 70), (70, 1), (3, 5)], ids=str)
def test_smallest_pictures_come_back_exactly(size: tuple[int, int], run: Run, tmp_path: Path) -> None:
    frames = drawn_frames(YUV, *size, 3, 40)
    path = write_frames(tmp_path / "in.mkv", frames, YUV)
    notes_of(run, path, tmp_path / "out.nvc", "--lossless")
    assert run("decode", tmp_path / "out.nvc", tmp_path / "out.mkv", "-q").code == 0
    with open_source(tmp_path / "out.mkv") as source:
        assert all(same_planes(a, b) for a, b in zip(source.frames(), frames, strict=True))


def test_very_many_tiny_segments(run: Run, tmp_path: Path) -> None:
    """At a picture a second every third picture is a cut."""
    frames = scene_frames(YUV, 64, 48, (6, 6) * 12, 1000)
    path = write_frames(tmp_path / "in.mkv", frames, YUV, Fraction(1))
    result = run("encode", path, tmp_path / "out.nvc", *QUICK[:-1], "--json", "-q")
    assert result.code == 0
    assert sum(e["event"] == "segment" for e in result.events) >= 15
    assert times_of(tmp_path / "out.nvc") == [Fraction(k) for k in range(144)]


# --- full disks and bad places ----------------------------------------------------------------------------------------


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file grows beyond `size` bytes: the nearest that there is to a full disk everywhere."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def full_from(call: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk turns out to be full when data are written out for the given time."""
    calls, fsync = 0, os.fsync

    def full(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls >= call:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)


@pytest.mark.parametrize("call", [1, 3, 4], ids=["first segment", "third segment", "film"])
def test_encode_on_a_full_disk_is_resumed(
    call: int, run: Run, film: Path, older: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = film.parent / "whole.nvc"
    codec.encode(film, whole, SETTINGS)
    with monkeypatch.context() as patch:
        full_from(call, patch)
        result = run("encode", film, older, *QUICK, "-y")
    assert result.code == 1
    assert result.err.startswith("codec: ") and result.err.count("\n") == 1
    assert "out.nvc" in result.err and "No space left on device" in result.err
    assert older.read_bytes() == b"older"
    kept = os.listdir(older.parent)
    assert sorted(kept) == [".out.nvc.parts", "out.nvc"][call == 1 :]
    assert ("finished segments are kept, --resume goes on from them" in result.err) == (call > 1)
    found = [name for _, folders, names in os.walk(older.parent) for name in (*folders, *names)]
    assert not [name for name in found if name.endswith((".part", ".new"))]
    if call > 1:
        segments = [name for name in os.listdir(older.parent / ".out.nvc.parts") if name.endswith(".segment")]
        assert len(segments) == call - 1
    assert run("encode", film, older, *QUICK, "-y", "--resume").code == 0
    assert older.read_bytes() == whole.read_bytes()
    assert os.listdir(older.parent) == ["out.nvc"]


@pytest.mark.skipif(os.name != "posix", reason="links")
def test_a_workshop_that_is_a_link_is_not_entered(run: Run, film: Path, older: Path) -> None:
    victim = older.parent / "victim"
    victim.mkdir()
    (victim / "000000.segment").write_bytes(b"precious")
    (older.parent / ".out.nvc.parts").symlink_to("victim")
    result = run("encode", film, older, *QUICK, "-y")
    assert result.code == 1 and result.err.count("\n") == 1
    assert ".out.nvc.parts, where finished segments would be kept, is a link: it is left as it is" in result.err
    assert older.read_bytes() == b"older" and (victim / "000000.segment").read_bytes() == b"precious"
    assert sorted(os.listdir(older.parent)) == [".out.nvc.parts", "out.nvc", "victim"] and len(os.listdir(victim)) == 1


def test_encode_that_runs_out_of_space_while_the_film_is_written(run: Run, film: Path, older: Path) -> None:
    whole = film.parent / "whole.nvc"
    codec.encode(film, whole, SETTINGS)
    with largest_file(whole.stat().st_size * 9 // 10):  # no segment is as large
        result = run("encode", film, older, *QUICK, "-y")
    assert result.code == 1
    assert result.err.startswith("codec: ") and result.err.count("\n") == 1
    assert "out.nvc" in result.err and os.strerror(errno.EFBIG) in result.err
    assert older.read_bytes() == b"older"
    assert sorted(os.listdir(older.parent)) == [".out.nvc.parts", "out.nvc"]
    assert run("encode", film, older, *QUICK, "-y", "--resume").code == 0
    assert older.read_bytes() == whole.read_bytes()
    assert os.listdir(older.parent) == ["out.nvc"]


@pytest.mark.parametrize("name", ["out.y4m", "out.mkv", "out.mp4", "out.mov", "out.webm", "out%d.png"])
def test_decode_on_a_full_disk_keeps_the_older_file(name: str, run: Run, tmp_path: Path) -> None:
    source = write_frames(tmp_path / "in.mkv", drawn_frames(YUV, 160, 120, 12, 40), YUV)
    codec.encode(source, tmp_path / "in.nvc", SETTINGS)
    (tmp_path / "target").mkdir()
    target = tmp_path / "target" / name.replace("%d", "1")
    target.write_bytes(b"older")
    with largest_file(8000):
        result = run("decode", tmp_path / "in.nvc", tmp_path / "target" / name, "-y", "-q")
    assert result.code == 1
    assert result.err == f"codec: {tmp_path / 'target' / name} cannot be written: {os.strerror(errno.EFBIG)}\n"
    assert {p.name: p.read_bytes() for p in target.parent.iterdir()} == {target.name: b"older"}


@pytest.fixture
def png(tmp_path: Path) -> Path:
    (tmp_path / "source").mkdir()
    cv2.imwrite(str(tmp_path / "source" / "in.png"), np.random.default_rng(2).integers(0, 255, (32, 32, 3), np.uint8))
    return tmp_path / "source" / "in.png"


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("encode",), "out.nvc"),
        (("splat", "encode", "--effort", "0", "--bpp", "3"), "out.nvs"),
        (("upscale", "--scale", "2"), "out.png"),
    ],
    ids=["encode", "splat", "upscale"],
)
def test_pictures_on_a_full_disk_keep_the_older_file(
    words: tuple[str, ...], name: str, run: Run, png: Path, tmp_path: Path
) -> None:
    (tmp_path / "target").mkdir()
    target = tmp_path / "target" / name
    target.write_bytes(b"older")
    with largest_file(300):
        result = run(*words, png, target, "-y", "-q")
    assert (result.code, result.err) == (1, f"codec: {target} cannot be written: {os.strerror(errno.EFBIG)}\n")
    assert {p.name: p.read_bytes() for p in target.parent.iterdir()} == {name: b"older"}


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
@pytest.mark.parametrize("words", [("decode", "-"), ("info",), ("verify", "--json")], ids=" ".join)
def test_standard_output_that_is_full_is_named(words: tuple[str, ...], film: Path, tmp_path: Path) -> None:
    codec.encode(film, tmp_path / "in.nvc", SETTINGS)
    command = [sys.executable, "-m", "codec", words[0], str(tmp_path / "in.nvc"), *words[1:]]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "codec: standard output cannot be written: No space left on device"


def test_nobody_who_stops_listening_ends_the_work(film: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "codec", "encode", str(film), str(tmp_path / "out.nvc"), *QUICK, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as encoder:
        assert encoder.stdout and encoder.stderr
        encoder.stdout.close()
        told = encoder.stderr.read()
    assert (encoder.returncode, told) == (0, b"")
    assert len(times_of(tmp_path / "out.nvc")) == 35
    command = [sys.executable, "-m", "codec", "info", str(tmp_path / "out.nvc")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as teller:
        assert teller.stdout and teller.stderr
        teller.stdout.close()
        told = teller.stderr.read()
    assert (teller.returncode, told) == (0, b"")


def test_places_that_take_no_file(run: Run, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    places = {tmp_path / "file" / "out.nvc": "there is no folder", tmp_path / "folder": "is a directory"}
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.nvc")
        places[tmp_path / "pipe.nvc"] = "is a pipe or a device"
    for place, words in places.items():
        result = run("encode", film, place, *QUICK, "-y")
        assert (result.code, result.err.count("\n")) == (1, 1)
        assert result.err.startswith(f"codec: {place}") and words in result.err
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)
    result = run("encode", film, tmp_path / "out.nvc", *QUICK)
    assert (result.code, result.err) == (1, f"codec: {tmp_path / 'out.nvc'}: no permission to write to the folder\n")
    assert not (tmp_path / "out.nvc").exists()


@pytest.mark.parametrize("words", [("encode", "--effort", "0"), ("decode",)])
def test_splat_does_not_write_over_its_source(words: tuple[str, ...], run: Run, png: Path) -> None:
    before = png.read_bytes()
    result = run("splat", words[0], png, png, *words[1:], "-y")
    assert (result.code, result.err) == (2, f"codec: {png} is both input and output\n")
    assert png.read_bytes() == before
