"""`codec play --mpv`: the restored film as a file that is read by ranges, and what mpv is told of it."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import codec
from codec.errors import FormatError, OutputError
from codec.events import FilmPlayed, PlayerOpened, Problem
from codec.film.film import Film
from codec.frames import Colour, Frame, PlaneFormat, VideoInfo
from codec.media.libav import planes_from_av
from codec.web.mpv import play_in_mpv
from codec.web.restored import DECODERS, RestoredFilm
from codec.web.server import Server
from codec.wire.uncompressed import SECOND, UncompressedFilm
from tests.makers import GOLDEN, Run, drawn_planes, remuxed, shell

FILM = GOLDEN / "head-v1.nvc"
LONG = 60.0  # seconds that nothing here takes

# what stands in for mpv: it writes down what it was given, asks for parts of the film, and ends as it is told
FAKE = """#!{python}
import json, os, sys, urllib.request
address = sys.stdin.read()
film = address.split("%")[2].split(",")[0]
told = {{"words": sys.argv[1:], "address": address, "no_proxy": os.environ["no_proxy"]}}
heads = []
for begin in {begins}:
    asked = urllib.request.Request(film, headers={{"Range": f"bytes={{begin}}-"}})
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({{}})).open(asked, timeout=60) as answer:
            heads.append([answer.status, answer.headers["Content-Type"], len(answer.read())])
    except Exception as error:
        heads.append(str(error))
told["answers"] = heads
json.dump(told, open({out!r}, "w"))
{end}
"""


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Run:
    return shell(monkeypatch, capfdbinary)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """fake(begins, end) puts a program in mpv's place and returns the file that it writes."""
    if os.name != "posix":
        pytest.skip("the stand-in is a script")

    def make(begins: str = "[0]", end: str = "") -> Path:
        folder, out = tmp_path / "bin", tmp_path / "told.json"
        folder.mkdir()
        program = folder / "mpv"
        program.write_text(FAKE.format(python=sys.executable, begins=begins, out=str(out), end=end))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        return out

    return make


# --- the file ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [8, 10])
@pytest.mark.parametrize("chroma", ["400", "420", "422", "444"])
def test_a_reader_of_matroska_gets_every_sample_and_time(chroma: str, depth: int) -> None:
    fmt, times = PlaneFormat(chroma, depth), [1001, 2002, 5005]
    info = VideoInfo(
        33, 19, fmt, Fraction(1, 24000), Fraction(24000, 1001), Fraction(4, 3), Colour(9, 16, 9, 1),
        "topleft" if chroma == "420" else "",
    )  # fmt: skip
    file = UncompressedFilm(info, [round(t * info.time_base * SECOND) for t in times])
    planes = [drawn_planes(fmt, 33, 19, n) for n in range(3)]
    data = file.header + b"".join(file.head_of(n) + b"".join(p.tobytes() for p in planes[n]) for n in range(3))
    assert len(data) == file.size
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        frames: list[Any] = list(container.decode(stream))
        assert stream.sample_aspect_ratio == Fraction(4, 3)
    for frame, wanted, time_ in zip(frames, planes, times, strict=True):
        assert frame.format.name == fmt.av_name
        assert all(map(np.array_equal, planes_from_av(frame, fmt), wanted))
        assert round(frame.pts * frame.time_base / info.time_base) == time_
        assert (frame.color_primaries, frame.color_trc, frame.colorspace, frame.color_range) == (9, 16, 9, 1)


def frames_of(resource: RestoredFilm, begin: int, fmt: PlaneFormat) -> list[tuple[Fraction, tuple[Any, ...]]]:
    """(time, planes) of what libav reads at `begin` seconds of a film that a server hands out."""
    with Server({"film.mkv": resource}) as server, av.open(f"{server.address}film.mkv") as container:
        stream = container.streams.video[0]
        if begin:
            container.seek(begin, stream=stream)
        return [
            (frame.pts * frame.time_base, planes_from_av(frame, fmt))  # type: ignore[operator]
            for frame in container.decode(stream)
        ]


@pytest.mark.parametrize("name", ["head-v1", "history-v1", "lossless-v1", "tracks-v1"])
def test_the_restored_film_is_exact_from_anywhere(name: str) -> None:
    film = Film(GOLDEN / f"{name}.nvc", device="cpu", threads=1)
    restored = list(film.frames())
    for begin in (0, len(restored) // 2, len(restored) - 1):
        at = round(restored[begin].pts * film.info.time_base * SECOND)
        found = frames_of(RestoredFilm(film), at, film.info.format)
        for (time_, planes), frame in zip(found, restored[begin:], strict=True):
            assert round(time_ / film.info.time_base) == frame.pts
            assert all(map(np.array_equal, planes, frame.planes))


@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
def test_times_are_those_of_the_pictures_in_any_container(ending: str, tmp_path: Path) -> None:
    path = remuxed(GOLDEN / "tracks-v1.nvc", tmp_path / f"a{ending}", "video", "audio")
    film = Film(path, device="cpu", threads=1)
    assert film.times() == [frame.pts for frame in film.frames()]


def test_any_range_is_what_the_whole_has_there() -> None:
    resource = RestoredFilm(Film(FILM, device="cpu", threads=1))
    state = resource.state()
    assert state.size is not None
    whole = b"".join(map(bytes, resource.parts(state, 0, state.size)))
    assert len(whole) == state.size
    begins = np.random.default_rng(1).integers(0, state.size, 6)
    for begin in (0, 1, state.size - 1, *map(int, begins)):
        end = min(begin + 5000, state.size)
        assert b"".join(map(bytes, resource.parts(state, begin, end))) == whole[begin:end]


class Lossy(Film):
    """A film of which best effort has lost the pictures 2 and 3, and tells so."""

    def frames(self, start: Fraction | None = None, duration: Fraction | None = None) -> Iterator[Frame]:
        for number, frame in enumerate(super().frames(start, duration)):
            if number not in (2, 3):
                yield frame
            elif number == 2:
                self.problems.append("two pictures are lost")


def test_a_picture_that_is_lost_is_the_one_before_and_is_told_once() -> None:
    film, told = Lossy(FILM, best_effort=True, device="cpu", threads=1), []
    resource = RestoredFilm(film, told.append)
    restored = list(Film(FILM, device="cpu", threads=1).frames())
    for _ in range(2):
        found = frames_of(resource, 0, film.info.format)
        assert len(found) == len(restored)
        for n, (_, planes) in enumerate(found):
            wanted = restored[1 if n in (2, 3) else n]
            assert all(map(np.array_equal, planes, wanted.planes))
    assert told == [Problem("two pictures are lost")]


def test_a_film_that_begins_below_zero_is_moved_and_says_by_how_much(monkeypatch: pytest.MonkeyPatch) -> None:
    film = Film(FILM, device="cpu", threads=1)
    monkeypatch.setattr(film, "times", lambda: [-500, -100, 300])
    film.info = replace(film.info, time_base=Fraction(1, 1000))
    assert RestoredFilm(film).shift == Fraction(1, 2)


@pytest.mark.parametrize("times", [[0, 40, 40], [0, 80, 40], [0, 2**60]])
def test_times_that_no_player_keeps_are_refused(times: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    film = Film(FILM, device="cpu", threads=1)
    film.info = replace(film.info, time_base=Fraction(1, 1000))
    monkeypatch.setattr(film, "times", lambda: times)
    with pytest.raises(FormatError, match="times do not rise, or go beyond"):
        RestoredFilm(film)


@pytest.mark.parametrize("fault", [MemoryError("no more"), RuntimeError("out of memory"), OSError(5, "failed")])
def test_whatever_ends_the_decoder_ends_the_command_with_it(
    fault: Exception, fake: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Iterator[Frame]:
        raise fault
        yield

    fake()
    monkeypatch.setattr(Film, "frames", broken)
    with pytest.raises(type(fault), match=str(fault.args[-1])):
        play_in_mpv(FILM, device="cpu", threads=1)


def test_a_film_that_vanishes_while_it_is_shown_ends_with_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "film.nvc"
    shutil.copy(FILM, path)
    resource = RestoredFilm(Film(path, device="cpu", threads=1))
    path.unlink()
    state = resource.state()
    assert state.size is not None
    assert len(b"".join(map(bytes, resource.parts(state, 0, state.size)))) < state.size
    assert str(resource.fault) == f"{path}: there is no such file"


def test_the_newest_of_those_that_wait_for_a_decoder_gets_it() -> None:
    resource = RestoredFilm(Film(FILM, device="cpu", threads=1))
    state = resource.state()
    assert state.size is not None
    last = state.size - 1
    busy: list[Any] = [iter(resource.parts(state, 0, state.size)) for _ in range(DECODERS)]
    for parts in busy:
        next(parts), next(parts)  # the header, and something of a picture
    results: dict[str, list[bytes]] = {}

    def read(name: str) -> None:
        results[name] = [bytes(part) for part in resource.parts(state, last, state.size or 0)]

    older = threading.Thread(target=read, args=("older",))
    older.start()
    time.sleep(0.2)
    newer = threading.Thread(target=read, args=("newer",))
    newer.start()
    older.join(LONG)
    assert results == {"older": []}
    for parts in busy:
        parts.close()
    newer.join(LONG)
    assert len(b"".join(results["newer"])) == 1


# --- the program ------------------------------------------------------------------------------------------------------


def test_mpv_is_handed_the_address_where_nobody_else_sees_it(fake: Callable[..., Path]) -> None:
    out, events = fake("[0, 5000]"), []
    path = GOLDEN / "tracks-v1.nvc"
    play_in_mpv(path, device="cpu", threads=1, listen=events.append)
    told = json.loads(out.read_text())
    assert isinstance(events[0], PlayerOpened)
    address = events[0].address
    assert told["address"] == (
        f"edl://!no_chapters;%{len(address)}%{address},start=0;!new_stream;"
        f"!no_chapters;%{len(str(path))}%{path},start=0\n"
    )
    assert not [word for word in told["words"] if "http" in word]
    words = set(told["words"])
    assert {
        "--playlist=-",
        "--rebase-start-time=no",
        "--vid=1",
        f"--force-media-title={path.name}",
    } <= words
    assert "--terminal=no" not in words
    assert told["no_proxy"].endswith("127.0.0.1")
    size = RestoredFilm(Film(path, device="cpu")).state().size
    assert size is not None
    assert told["answers"] == [[206, "video/x-matroska", size], [206, "video/x-matroska", size - 5000]]
    assert events[-1] == FilmPlayed(str(path))


def test_of_a_film_of_pictures_alone_mpv_is_told_of_nothing_else(fake: Callable[..., Path]) -> None:
    out = fake()
    play_in_mpv(FILM, device="cpu", threads=1, terminal=False)
    words = json.loads(out.read_text())["words"]
    assert not [word for word in words if word.startswith(("--audio", "--sub", "--chapters", "--video-rotate"))]
    assert "--terminal=no" in words


@pytest.mark.parametrize(("end", "sentence"), [
    ("sys.exit(1)", "mpv has ended with code 1: it could not start"),
    ("sys.exit(2)", "mpv has ended with code 2: it could not show the film"),
    ("sys.exit(127)", "mpv has ended with code 127"),
    ("os.kill(os.getpid(), 11)", "mpv was ended by SIGSEGV"),
])  # fmt: skip
def test_mpv_that_fails_is_a_sentence(fake: Callable[..., Path], end: str, sentence: str) -> None:
    fake(end=end)
    with pytest.raises(OutputError, match=f"^{sentence}$"):
        play_in_mpv(FILM, device="cpu", threads=1)


@pytest.mark.parametrize("end", ["", "sys.exit(4)"])
def test_mpv_that_is_closed_is_the_end(fake: Callable[..., Path], run: Run, end: str) -> None:
    fake("[]", end)
    result = run("play", FILM, "--mpv", "--json", "--device", "cpu", "--threads", "1")
    assert (result.code, result.err) == (0, "")
    assert [event["event"] for event in result.events] == ["player", "done"]


def test_mpv_that_is_missing_is_a_sentence(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    result = run("play", FILM, "--mpv")
    assert result.code == 1
    assert result.err == "codec: mpv is not on this machine, or not on the PATH: install it, or play without --mpv\n"


def test_a_still_is_no_film_for_mpv(run: Run, fake: Callable[..., Path]) -> None:
    fake()
    result = run("play", GOLDEN / "lossy-v1.still.nvc", "--mpv")
    assert result.code == 1
    assert "is a still picture, not a film" in result.err


def test_a_picture_that_is_not_exact_ends_the_film_with_a_sentence(
    fake: Callable[..., Path], run: Run, tmp_path: Path
) -> None:
    with av.open(str(FILM)) as container:
        place = [packet.pos for packet in container.demux(container.streams.video[0]) if packet.size][3]
    data = bytearray(FILM.read_bytes())
    data[(place or 0) + 12] ^= 0x55
    damaged = tmp_path / "damaged.nvc"
    damaged.write_bytes(data)
    out = fake()
    result = run("play", damaged, "--mpv", "--device", "cpu", "--threads", "1")
    assert result.code == 1
    assert str(damaged) in result.err
    assert result.err.count("\n") == 1
    assert "IncompleteRead" in str(json.loads(out.read_text())["answers"])


def test_ctrl_c_ends_mpv_too(fake: Callable[..., Path], tmp_path: Path) -> None:
    number = tmp_path / "pid"
    fake("[]", f"import time; open({str(number)!r}, 'w').write(str(os.getpid())); time.sleep(600)")
    command = [sys.executable, "-m", "codec", "play", str(FILM), "--mpv", "--device", "cpu", "-q"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True)
    end = time.monotonic() + LONG
    while not (number.exists() and number.read_text()) and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=LONG)
    assert (process.returncode, err.strip()) == (-signal.SIGINT, b"codec: interrupted")
    with pytest.raises(ProcessLookupError):
        os.kill(int(number.read_text()), 0)


class Mpv:
    """A real mpv that a film is played in, and its JSON IPC."""

    def __init__(self, film: Path, folder: Path):
        place = folder / "ipc"
        (folder / "mpv.conf").write_text(f"vo=null\nao=null\npause=yes\ninput-ipc-server={place}\n")
        command = [sys.executable, "-m", "codec", "play", str(film), "--mpv", "-q", "--device", "cpu"]
        self.process = subprocess.Popen(command, env=os.environ | {"MPV_HOME": str(folder)})
        self._number, self.socket, end = 0, socket.socket(socket.AF_UNIX), time.monotonic() + LONG
        self.socket.settimeout(LONG)
        while True:
            try:
                self.socket.connect(str(place))
                break
            except OSError:
                assert time.monotonic() < end
                assert self.process.poll() is None
                time.sleep(0.05)
        self._file = self.socket.makefile("rwb")

    def ask(self, *words: Any) -> Any:
        """What a command returns, None where it fails."""
        self._number += 1
        self._file.write(json.dumps({"command": words, "request_id": self._number}).encode() + b"\n")
        self._file.flush()
        while (answer := json.loads(self._file.readline())).get("request_id") != self._number:
            pass
        return answer.get("data")

    def settled(self, at: float) -> bool:
        """Whether the picture that is shown comes to be the one at a time."""
        end = time.monotonic() + LONG
        while time.monotonic() < end:
            shown = self.ask("get_property", "time-pos")
            if not self.ask("get_property", "seeking") and shown is not None and abs(shown - at) < 0.002:
                return True
            time.sleep(0.05)
        return False


def test_a_real_mpv_shows_it_in_time_wherever_it_goes(make_film: Any, quick: None, tmp_path: Path) -> None:
    if shutil.which("mpv") is None or os.name != "posix":
        pytest.skip("mpv is not installed")
    source = make_film("in.mkv", sound="flac", subtitles=[(100, 400, "hello")], times=[0, 1, 2, 4, 5, 8, 9, 10, 12, 13])
    film = tmp_path / "film.mkv"
    codec.encode(source, film, codec.Settings(preset="fast", head=False, crf=50, device="cpu"))
    opened = Film(film, device="cpu")
    times = [float(time_ * opened.info.time_base) for time_ in opened.times()]
    home = tmp_path / "home"
    home.mkdir()
    mpv = Mpv(film, home)
    try:
        assert mpv.settled(times[0])
        tracks = [(t["type"], t["codec"], t["selected"]) for t in mpv.ask("get_property", "track-list")]
        assert ("video", "rawvideo", True) in tracks
        assert ("audio", "flac", True) in tracks
        assert "sub" in {kind for kind, *_ in tracks}
        assert mpv.ask("get_property", "seekable")
        for number in (6, 2, 9, 0, 5):
            mpv.ask("seek", times[number], "absolute+exact")
            assert mpv.settled(times[number])
        mpv.ask("frame-step")
        assert mpv.settled(times[6])
        assert abs(mpv.ask("get_property", "avsync") or 0) < 0.04
        mpv.ask("quit")
        assert mpv.process.wait(LONG) == 0
    finally:
        mpv.socket.close()
        mpv.process.terminate()
        mpv.process.wait(LONG)
