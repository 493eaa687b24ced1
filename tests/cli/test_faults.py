"""How commands end that fail: hostile values, streams that are closed or full, signals, errors as events."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
import pytest
from av.error import InvalidDataError

import codec
from bench.cli import cli as bench
from codec.cli.faults import fault
from codec.cli.main import cli
from codec.cli.options import Amount, Number, Seconds
from codec.cli.train import train_group
from codec.errors import InputError, UsageError, reason
from codec.settings import Settings
from tests.makers import GOLDEN, Run

FILM = str(GOLDEN / "head-v1.nvc")
QUICK = ("--preset", "fast", "--no-head", "--device", "cpu")
HOSTILE = ("nan", "inf", "-inf", "-1e9", "1e400", "-1e400", "1e-400", "1e1000000000", "1/0", "-1/3", "9" * 5000, "0x10",
           "", " ", "½", "１２", "1_0", "None", "1e", "--")  # fmt: skip


# --- what options are given -------------------------------------------------------------------------------------------


def commands(group: click.Group, name: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for word in group.list_commands(context):
        command = group.get_command(context, word)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, f"{name} {word}")
        else:
            yield f"{name} {word}", command


OPTIONS = [
    pytest.param(option, id=f"{name} {option.opts[-1]}")
    for group, program in ((cli, "codec"), (bench, "bench"), (train_group, "train"))
    for name, command in commands(group, program)
    for option in command.params
    if isinstance(option, click.Option)
]


@pytest.mark.parametrize("option", OPTIONS)
def test_no_number_is_taken_that_nothing_can_be_done_with(option: click.Option) -> None:
    """Neither those that take for ever to read nor those that are none; and every number has bounds."""
    assert type(option.type) not in (click.types.IntParamType, click.types.FloatParamType)
    assert not isinstance(option.type, (click.IntRange, click.FloatRange)), "which take nan, or have no end"
    if isinstance(option.type, (Number, Seconds, Amount)):
        for value in HOSTILE:
            with pytest.raises(click.BadParameter) as caught:
                option.type.convert(value, option, None)
            assert len(caught.value.message) < 160


@pytest.mark.parametrize("words", [
    ("--start", "1e400"), ("--start", "-5"), ("--duration", "1e1000000000"), ("--max-pixels", "9" * 5000),
    ("--max-memory", "1e400"), ("--threads", "9" * 5000),
], ids=lambda words: words[0])  # fmt: skip
def test_hostile_values_are_wrong_usage(run: Run, words: tuple[str, str], tmp_path: Path) -> None:
    result = run("decode", FILM, tmp_path / "x.y4m", *words)
    assert (result.code, result.out) == (2, b"")
    assert f"codec: Invalid value for '{words[0]}': " in result.err


def test_values_that_can_be_are_read_exactly() -> None:
    assert Number(float, 1, 63).convert("27.25", None, None) == 27.25
    assert Number(float, 0, 1e9, open_low=True).convert("1e-05", None, None) == 1e-05
    assert Number(int, 0, 2, "auto").convert("auto", None, None) == "auto"
    assert Seconds().convert("1:00:00.04", None, None) * 25 == 3600 * 25 + 1
    assert Amount().convert("1.5KiB", None, None) == 1536


def test_a_time_beyond_every_film_has_no_pictures(run: Run, tmp_path: Path) -> None:
    result = run("decode", FILM, tmp_path / "x.y4m", "--start", "1e9")
    assert result.code == 1
    assert "has no pictures from 1e+09 s on" in result.err


def test_options_are_named_as_they_are_written(run: Run, film: Path, tmp_path: Path) -> None:
    for words, sentence in (
        (("--crf", "30", "--bitrate", "100"), "--crf and --bitrate contradict each other: ask for one quality"),
        (("--lossless", "--target-psnr", "40"), "--target-psnr cannot be met together with a bound on the error"),
        (("--scale", "2.5"), "--scale must be one of 1, 1.5, 2, 3, 4"),
        (("--lossless", "--history", "1"), "--history and a bound on the error contradict each other"),
    ):
        result = run("encode", film, tmp_path / "x.nvc", *words)
        assert result.code == 2
        assert sentence in result.err
    with pytest.raises(UsageError, match=r"^target_psnr must be positive$"):
        Settings(target_psnr=0)
    for wish in ({"target_psnr": 1e9}, {"bitrate": 1e9}, {"target_size": 1e9}):
        with pytest.raises(UsageError, match=rf"^{next(iter(wish))} must be below 1,000,000,000$"):
            Settings(**wish)
    result = run("encode", film, tmp_path / "x.nvc", "--bitrate", "1e9")
    assert (result.code, result.err) == (2, "codec: --bitrate must be below 1,000,000,000\n")


def test_a_film_does_not_go_to_standard_output(run: Run, film: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("encode", film, "-", *QUICK)
    assert (result.code, result.out) == (2, b"")
    assert "a film is not written to standard output" in result.err
    assert run("train-upscaler", tmp_path, "--out", "-").code == 2
    assert os.listdir(tmp_path) == ["in.mkv"]


def test_what_is_no_address_is_not_waited_for(run: Run, film: Path, tmp_path: Path) -> None:
    for address in ("foo", "tcp://", "tcp://host", "http://host:80", "host:port", "a b:1"):
        result = run("encode", film, tmp_path / "x.nvc", "--cluster", address, *QUICK)
        assert result.code == 2
        assert result.err == f"codec: {address} is no address of a Dask scheduler, such as tcp://10.0.0.1:8786\n"


# --- errors as sentences and as events --------------------------------------------------------------------------------


def test_reasons_are_words() -> None:
    assert reason(InvalidDataError(1094995529, "Invalid data found", "film.mp4")) == "Invalid data found"
    assert reason(FileNotFoundError(2, "No such file or directory", "a")) == "No such file or directory"
    assert reason(MemoryError()) == "there is not enough memory"
    assert reason(InputError("the film is short.")) == "the film is short"


def test_faults_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NVC_DEBUG", raising=False)
    assert fault(OSError(28, "No space left on device", "a.nvc")) == (1, "a.nvc: No space left on device")
    assert fault(OSError(12, "Cannot allocate memory")) == (1, "Cannot allocate memory")
    assert fault(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")) == (
        1,
        "there is not enough memory",
    )
    assert fault(UsageError("{} and {} differ", "target_size", "bpp")) == (2, "--target-size and --bpp differ")
    assert fault(UsageError("{a}: no format")) == (2, "{a}: no format")


def test_an_internal_fault_is_one_line_and_shown_on_request(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sentence = "internal fault, KeyError: 'what was not there'; this is a bug of the program (NVC_DEBUG=1 shows where)"
    try:
        raise KeyError("what was not there")
    except KeyError as error:
        monkeypatch.delenv("NVC_DEBUG", raising=False)
        assert fault(error) == (1, sentence)
        assert capsys.readouterr() == ("", "")
        monkeypatch.setenv("NVC_DEBUG", "1")
        assert fault(error) == (1, sentence)
        shown = capsys.readouterr()
    assert shown.out == "" and shown.err.startswith("Traceback") and __file__ in shown.err
    assert fault(RuntimeError("two\nlines"))[1].startswith("internal fault, RuntimeError: two lines; ")


@pytest.mark.parametrize(("words", "code", "text"), [
    (("info", "absent.nvc"), 1, "absent.nvc: there is no such file"),
    (("encode", FILM, "x.nvc", "--crf", "30", "--bitrate", "9"), 2, "--crf and --bitrate contradict each other"),
    (("decode", FILM), 2, "Missing argument 'TARGET'"),
    (("decode", FILM, "-"), 2, "--json and pictures on standard output exclude each other"),
    (("verify", FILM, "--nonsense"), 2, "--nonsense"),
    (("splat", "info", FILM), 1, "is an .nvc film: codec decode and codec info read it"),
], ids=lambda value: str(value[0]) if isinstance(value, tuple) else "")  # fmt: skip
def test_what_ends_a_command_is_an_event(run: Run, words: tuple[str, ...], code: int, text: str) -> None:
    plain = run(*words) if words[-1] != "-" else None
    result = run(*words, "--json")
    assert result.code == code
    assert text in result.err
    assert set(result.events[-1]) == {"event", "text", "code"}
    assert (result.events[-1]["event"], result.events[-1]["code"]) == ("error", code)
    assert text in result.events[-1]["text"]
    assert plain is None or (plain.code, plain.out, plain.err) == (code, b"", result.err)


def test_an_argument_is_no_option(run: Run) -> None:
    result = run("info", "--", "--json")
    assert (result.code, result.out) == (1, b"")
    assert result.err == "codec: --json: there is no such file\n"


@pytest.mark.parametrize(("name", "sentence"), [
    ("a.png", "is a picture that was not encoded yet: codec encode makes a still .nvc of it"),
    ("a.jpg", "is a picture that was not encoded yet: codec encode makes a still .nvc of it"),
    ("a.webp", "is a picture that was not encoded yet: codec encode makes a still .nvc of it"),
    ("a.gif", "is an animation that was not encoded yet: codec encode makes an .nvc film of it"),
    ("a.nvs", "holds a picture as Gaussians: codec splat decode and codec splat info read it"),
    ("a.mkv", "is no .nvc film: its video track is ffv1, not AV1"),
    ("a.txt", "is no .nvc film: it is neither MP4 nor Matroska"),
])  # fmt: skip
def test_what_was_not_encoded_is_known_for_what_it_is(
    run: Run, film: Path, name: str, sentence: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    ramp = np.add.outer(np.arange(40), np.arange(56)).astype(np.uint8)
    if name == "a.nvs":
        path.write_bytes((GOLDEN / "still-v1.nvs").read_bytes())
        result = run("encode", path, tmp_path / "x.nvc")
        way_out = "holds a picture as Gaussians: codec splat decode makes one of it that can be encoded"
        assert (result.code, result.err) == (1, f"codec: {path} {way_out}\n")
    elif name == "a.gif":
        animation = cv2.Animation()
        animation.frames = [np.stack([picture] * 3, 2) for picture in (ramp, ramp[::-1])]
        animation.durations = np.array([100, 100])
        cv2.imwriteanimation(str(path), animation)
    elif name == "a.mkv":
        film.rename(path)
    elif name == "a.txt":
        path.write_text("neither film nor picture")
    else:
        cv2.imwrite(str(path), ramp)
    for words in (("decode", path, tmp_path / "x.y4m"), ("info", path), ("verify", path)):
        result = run(*words)
        assert (result.code, result.err) == (1, f"codec: {path} {sentence}\n")


# --- interruptions ----------------------------------------------------------------------------------------------------


def interrupt(*words: object, **options: object) -> None:
    raise KeyboardInterrupt


def test_segments_that_are_kept_are_told_of(run: Run, film: Path, tmp_path: Path, monkeypatch: Any) -> None:
    nvc = tmp_path / "x.nvc"
    with monkeypatch.context() as patch:
        patch.setattr("codec.film.encode.write_film", interrupt)
        result = run("encode", film, nvc, *QUICK, "--json")
    text = "interrupted; 2 finished segments are kept, --resume goes on from them"
    assert result.code == 130
    assert result.err.endswith(f"codec: {text}\n")
    assert result.events[-1] == {"event": "error", "text": text, "code": 130}
    assert run("encode", film, nvc, *QUICK, "--resume").code == 0


@pytest.mark.parametrize(("name", "words"), [
    ("codec.film.encode.choose_scale", ("encode", "{film}", "{out}", *QUICK)),
    ("codec.film.film.OpenSegment", ("verify", FILM)),
], ids=["encode", "verify"])  # fmt: skip
def test_nothing_is_said_of_segments_where_there_are_none(
    run: Run, film: Path, tmp_path: Path, monkeypatch: Any, name: str, words: tuple[str, ...]
) -> None:
    monkeypatch.setattr(name, interrupt)
    result = run(*(word.format(film=film, out=tmp_path / "x.nvc") for word in words))
    assert result.code == 130
    assert result.err.splitlines()[-1] == "codec: interrupted"
    assert os.listdir(tmp_path) == ["in.mkv"]


LOADING = """
import os, signal, sys

signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell has its background jobs ignore

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            {then}

sys.meta_path.insert(0, Finder())
from {program}.__main__ import main
main()
"""


def loading(program: str, name: str, then: str, *words: str) -> tuple[int, str, str]:
    """(exit code, standard output, standard error) of a program in which something happens as it imports `name`."""
    code = LOADING.format(program=program, name=name, then=then)
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr.lstrip("\n")


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize(("program", "name"), [("codec", "click"), ("codec", "av"), ("bench", "click")])
def test_an_interruption_while_libraries_load_is_one_line(program: str, name: str) -> None:
    """And the process dies by it, so that a shell's loop ends."""
    words = ["verify", FILM] if program == "codec" else ["methods"]
    found = loading(program, name, "os.kill(os.getpid(), signal.SIGINT)", *words)
    assert found == (-2, "", f"{program}: interrupted\n")


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_other_signals_end_likewise_and_a_second_one_at_once() -> None:
    term = "os.kill(os.getpid(), signal.SIGTERM)"
    code, out, err = loading("codec", "av", term, "verify", FILM, "--json")
    assert (code, err) == (-15, "codec: ended by SIGTERM\n")
    assert json.loads(out) == {"event": "error", "text": "ended by SIGTERM", "code": 143}
    deaf = f"\n            try:\n                {term}\n            finally:\n                {term}"
    assert loading("codec", "av", deaf, "verify", FILM) == (-15, "", "")


# --- streams ----------------------------------------------------------------------------------------------------------


def in_shell(words: str, folder: Path) -> tuple[int, str]:
    """(exit code, all that is written where the streams still go) of a line that says "codec"."""
    line = words.replace("codec", f'"{sys.executable}" -m codec', 1).replace("FILM", f'"{FILM}"')
    done = subprocess.run(["sh", "-c", line], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})  # fmt: skip
    return done.returncode, done.stdout


FULL, CLOSED = "No space left on device", "Bad file descriptor"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no full device")
@pytest.mark.parametrize(("line", "code", "text"), [
    ("codec info FILM > /dev/full", 1, f"codec: standard output cannot be written: {FULL}\n"),
    ("codec info FILM >&-", 1, f"codec: standard output cannot be written: {CLOSED}\n"),
    ("codec info FILM --json >&-", 1, f"codec: standard output cannot be written: {CLOSED}\n"),
    ("codec --help > /dev/full", 1, f"codec: standard output cannot be written: {FULL}\n"),
    ("codec info absent 2>&-", 1, ""),
    ("codec info absent 2> /dev/full", 1, ""),
    ("codec info absent --json 2>&- >&-", 1, ""),
    ("codec splat encode - a.nvs <&-", 1, "codec: standard input is closed\n"),
])  # fmt: skip
def test_streams_that_are_closed_or_full(line: str, code: int, text: str, tmp_path: Path) -> None:
    assert in_shell(line, tmp_path) == (code, text)
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no full device")
def test_a_broken_standard_error_does_not_stop_the_work(tmp_path: Path) -> None:
    """Nor does a file that is opened take its place."""
    for number, line in enumerate(("2>&-", "2> /dev/full")):
        assert in_shell(f"codec decode FILM {number}.y4m {line}", tmp_path) == (0, "")
    assert (tmp_path / "0.y4m").read_bytes() == (tmp_path / "1.y4m").read_bytes()
    assert codec.verify(FILM).frames == (tmp_path / "0.y4m").read_bytes().count(b"FRAME\n")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no full device")
def test_events_that_cannot_be_written_end_with_1_after_the_work(tmp_path: Path) -> None:
    code, text = in_shell("codec decode FILM a.y4m --json > /dev/full", tmp_path)
    assert (code, text) == (1, f"codec: standard output cannot be written: {FULL}\n")
    assert os.listdir(tmp_path) == ["a.y4m"]


def test_films_come_from_open_streams(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for a library in a program that has none."""
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InputError, match=r"^standard input is closed$"):
        codec.encode("-", tmp_path / "x.nvc")
    result = run("encode", "-", tmp_path / "x.nvc")
    assert (result.code, result.err) == (1, "codec: standard input is closed\n")


@pytest.mark.skipif(os.name != "posix", reason="names that are no text")
def test_a_name_that_is_no_text_is_shown(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/\xff.nvc"
    with open(name, "wb") as file:
        file.write(Path(FILM).read_bytes())
    done = subprocess.run([sys.executable, "-m", "codec", "info", name], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\udcff.nvc: 98x66" in done.stdout
