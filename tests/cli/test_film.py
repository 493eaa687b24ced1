"""The command line: exit codes, what goes to which stream, pipes, and errors that name the file in one sentence."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import codec
from codec.cli.console import Console
from codec.cli.main import cli
from codec.errors import NvcError, UsageError
from codec.events import Encoding, Note
from codec.film.info import describe
from codec.frames import PlaneFormat, VideoInfo
from codec.media.demuxed import open_source
from codec.media.sinks import open_sink
from codec.settings import Settings
from tests.makers import LAVISH, Run, drawn_frames, same_planes, shorten, write_frames

YUV = PlaneFormat("420", 8)
QUICK = ("--preset", "fast", "--no-head", "--device", "cpu")


@pytest.fixture
def coded(film: Path, tmp_path: Path) -> Path:
    codec.encode(film, tmp_path / "film.nvc", Settings(preset="fast", head=False, device="cpu"))
    return tmp_path / "film.nvc"


# --- what is said where -----------------------------------------------------------------------------------------------


def test_encode_and_decode_tell_on_standard_error_alone(run: Run, film: Path, tmp_path: Path) -> None:
    nvc = tmp_path / "out.nvc"
    result = run("encode", film, nvc, *QUICK)
    assert (result.code, result.out) == (0, b"")
    assert "segment 0: 12 frames" in result.err
    assert re.search(rf"out\.nvc: {nvc.stat().st_size:,} bytes, 22 frames, PSNR-YUV \d\d\.\d\d dB, scale 1", result.err)
    result = run("decode", nvc, tmp_path / "out.mkv")
    assert (result.code, result.out) == (0, b"")
    assert "out.mkv: 22 frames" in result.err
    result = run("verify", nvc)
    assert (result.code, result.out) == (0, b"")
    assert "22 frames, every checksum right" in result.err


def test_quiet_is_silent(run: Run, film: Path, tmp_path: Path) -> None:
    nvc = tmp_path / "out.nvc"
    for words in (
        ("encode", film, nvc, *QUICK, "-q", "--target-size", "0.005"),
        ("decode", nvc, tmp_path / "out.mp4", "-q"),
        ("decode", nvc, tmp_path / "out.mp4", "-q", "-y", "--best-effort"),
        ("verify", nvc, "-q"),
        ("info", nvc, "-q"),
    ):
        assert run(*words) == (0, b"", "")


def test_json_is_one_object_a_line(run: Run, film: Path, tmp_path: Path) -> None:
    nvc = tmp_path / "out.nvc"
    result = run("encode", film, nvc, *QUICK, "--json")
    assert result.code == 0
    assert result.err == ""
    kinds = [e["event"] for e in result.events]
    assert kinds[0] == "source"
    assert kinds[-1] == "done"
    assert set(kinds) == {"source", "scale", "progress", "segment", "done"}
    assert kinds.count("segment") == 2
    assert result.events[-1]["bytes"] == nvc.stat().st_size
    assert result.events[0] | {"width": 64, "height": 48, "format": "yuv420p", "frames": 22} == result.events[0]
    done = [e["frames"] for e in result.events if e["event"] == "progress"]
    assert done == sorted(done)
    assert done[-1] == 22

    result = run("decode", nvc, tmp_path / "out.mp4", "--json", "--duration", "0.4")
    assert result.code == 0
    assert [e["event"] for e in result.events][-2:] == ["note", "done"]
    assert result.events[-1]["frames"] == 10
    assert run("verify", nvc, "--json").events[-1] == {"event": "done", "path": str(nvc), "frames": 22}


@pytest.mark.parametrize("kernel", ["float32", "float64"])
def test_a_decode_tells_what_computed_the_heads(kernel: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NVC_KERNEL", kernel)
    nvc = Path(__file__).parents[1] / "golden" / "shipped-v1.nvc"
    events = run("verify", nvc, "--json").events
    assert [e["kernels"] for e in events if e["event"] == "kernels"] == [[kernel]]
    film = codec.open(nvc)
    assert sum(1 for _ in film.frames()) and film.kernels == {kernel}


@pytest.mark.parametrize("kernel", ["float32", "float64"])
def test_an_encode_tells_what_computed_its_heads(
    kernel: str, run: Run, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten(monkeypatch, worth=LAVISH)
    monkeypatch.setenv("NVC_KERNEL", kernel)
    events = run("encode", film, tmp_path / "out.nvc", "--preset", "fast", "--device", "cpu", "--json").events
    assert [e["kernels"] for e in events if e["event"] == "kernels"] == [[kernel]]
    assert {e["kernel"] for e in events if e["event"] == "segment"} == {kernel}


def test_notes_reach_people_and_programs(run: Run, film: Path, tmp_path: Path) -> None:
    words = ("encode", film, tmp_path / "out.nvc", *QUICK, "--target-psnr", "95", "-y")
    assert "note: a PSNR of 95 dB could not be reached" in run(*words).err
    notes = [e["text"] for e in run(*words, "--json", "-q").events if e["event"] == "note"]
    assert any("could not be reached" in text for text in notes)


def test_a_target_is_met_and_told(run: Run, film: Path, tmp_path: Path) -> None:
    words = ("encode", film, tmp_path / "out.nvc", *QUICK, "--target-ssim", "0.9", "--worst", "10", "-y")
    assert re.search(r"PSNR-YUV \d+\.\d\d dB, SSIM 0\.\d{4} in all but 10 % of pictures, scale 1", run(*words).err)
    events = run(*words, "--json").events
    reached = [e["quality"] for e in events if e["event"] == "segment"]
    assert min(reached) == events[-1]["quality"] >= 0.9
    assert all(e["quality"] == e["base_quality"] and e["met"] for e in events if e["event"] == "segment")


def test_a_sample_is_told_to_people_and_programs(run: Run, film: Path, tmp_path: Path) -> None:
    words = ("encode", film, "--sample", *QUICK, "--crf", "40")
    text = run(*words).err
    for part in ("in.mkv: by 22 of 22 frames, at scale 1", "beside the pictures", "PSNR-YUV", "SSIM 0.", "machine"):
        assert part in text
    done = run(*words, "--json", "-q").events[-1]
    assert (done["event"], done["frames"], done["sampled"]) == ("done", 22, 22)
    assert done["bytes_low"] == done["bytes"] > done["beside_bytes"] > 0 and done["seconds"] > 0
    assert os.listdir(tmp_path) == ["in.mkv"]


def test_without_a_target_only_a_sample_is_made(run: Run, film: Path) -> None:
    result = run("encode", film)
    assert result.code == 2 and "Missing argument 'TARGET'" in result.err


def test_progress_line_renews_itself_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    progress = Encoding("base", 0, frames=3.0, total=9, fps=1.5, eta=3700.0, bytes=1234567, elapsed=2.0)
    with Console() as console:
        console(progress)
        console(Note("by the way"))
        monkeypatch.setattr("codec.cli.console.time.monotonic", lambda: 1e9)
        console(progress)
    err = capsys.readouterr().err
    line = "\r\033[Kbase     3/9 frames, 1.5 fps, 1:01:40 left, 1.23 MB"
    assert err == f"{line}\r\033[Knote: by the way\n{line}\n"


# --- info -------------------------------------------------------------------------------------------------------------


def test_sizes_add_up_to_the_file(run: Run, make_film: Any, tmp_path: Path) -> None:
    subtitles = [(0, 300, "la la la")]
    source = make_film("in.mp4", sound="aac", times=list(range(24)))
    other = make_film("in.mkv", sound="aac", times=list(range(24)), subtitles=subtitles)
    for path, wishes in ((source, ()), (other, ("--lossless",))):
        nvc = tmp_path / "out.nvc"
        assert run("encode", path, nvc, *QUICK, *wishes, "-y").code == 0
        result = run("info", nvc, "--json")
        (found,) = result.events
        sizes = found["bytes"]
        assert sizes["file"] == nvc.stat().st_size == sum(v for k, v in sizes.items() if k != "file")
        assert min(sizes["base"], sizes["headers"], sizes["audio"], sizes["container"]) > 0
        assert sizes["base"] == sum(s["base_bytes"] for s in found["segments"])
        assert (sizes["loss_stream"] > 0) == bool(wishes)
        assert (sizes["subtitle"] > 0) == (path == other)
        assert found["frames"] == sum(s["frames"] for s in found["segments"]) == 24
        assert found["rate"] == "24000/1001"


@pytest.mark.usefixtures("generous")
def test_info_shows_what_each_segment_is_made_of(run: Run, film: Path, tmp_path: Path) -> None:
    nvc = tmp_path / "out.nvc"
    run("encode", film, nvc, "--preset", "fast", "--scale", "2", "--loss", "12", "--history", "1", "--device", "cpu")
    found = run("info", nvc, "--json").events[0]
    assert [s["start"] for s in found["segments"]] == [0.0, 0.48]
    for segment in found["segments"]:
        assert (segment["scale"], segment["history"]) == (2.0, 1)
        assert (segment["loss"], segment["loss_step"]) == ("transform", 12)
        assert segment["head_frames"] <= segment["frames"]
        assert segment["max_error"] is None
    assert found["bytes"]["heads"] == sum(s["head_bytes"] for s in found["segments"]) > 0
    text = run("info", nvc).out.decode()
    assert "64x48 yuv420p, 25 fps, 22 frames" in text
    assert "step 12" in text
    lossless = tmp_path / "exact.nvc"
    run("encode", film, lossless, *QUICK, "--lossless")
    assert "lossless" in run("info", lossless).out.decode()
    run("encode", film, lossless, *QUICK, "--max-error", "3", "-y")
    assert "±3" in run("info", lossless).out.decode()


def test_info_on_a_damaged_film_names_it(coded: Path, tmp_path: Path) -> None:
    data = coded.read_bytes()
    signature = b"\x04\xb5\x7f\xfdNVC"
    first, last = data.index(signature), data.rindex(signature)
    obu = data.rindex(b"\x2a", 0, last)
    for at, words in ((first + 20, "CRC-32"), (last + 20, "frame at 0.480 s: .*CRC-32"), (obu, "no AV1 OBU begins")):
        broken = tmp_path / "broken.nvc"
        broken.write_bytes(data[:at] + bytes([data[at] ^ 0x81]) + data[at + 1 :])
        with pytest.raises(NvcError, match=rf"broken\.nvc.*{words}"):
            describe(broken)


# --- pipes ------------------------------------------------------------------------------------------------------------


def as_y4m(path: Path, film: Path) -> Path:
    with open_source(film) as source:
        info: VideoInfo = source.info
        with open_sink(path, info) as sink:
            for frame in source.frames():
                sink.write(frame)
    return path


def test_pipes_in_and_out(film: Path, tmp_path: Path) -> None:
    """The real thing: y4m into one process and out of another."""
    y4m = as_y4m(tmp_path / "in.y4m", film)
    nvc = tmp_path / "out.nvc"
    command = [sys.executable, "-m", "codec"]
    with open(y4m, "rb") as file, subprocess.Popen(["cat"], stdin=file, stdout=subprocess.PIPE) as cat:
        words = ["encode", "-", str(nvc), "--lossless", "-q", *QUICK]
        encoder = subprocess.run(command + words, stdin=cat.stdout, capture_output=True)
    assert (encoder.returncode, encoder.stdout, encoder.stderr) == (0, b"", b"")
    decoder = subprocess.run([*command, "decode", str(nvc), "-"], capture_output=True)
    assert decoder.returncode == 0
    pictures = [data.split(b"\n", 1)[1] for data in (decoder.stdout, y4m.read_bytes())]
    assert pictures[0] == pictures[1], "lossless, byte for byte behind the stream header"
    assert decoder.stdout.startswith(b"YUV4MPEG2 W64 H48 F25:1 ")
    assert b"-: 22 frames" in decoder.stderr


def test_standard_input_may_end_early(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "junk").write_bytes(b"YUV5MPEG W3")
    with open(tmp_path / "junk") as file:
        monkeypatch.setattr(sys, "stdin", file)
        result = run("encode", "-", tmp_path / "out.nvc", *QUICK)
    assert result.code == 1
    assert result.err.startswith("codec: standard input is no film")
    assert os.listdir(tmp_path) == ["junk"]


def test_reader_that_goes_away_ends_a_decode_in_peace(tmp_path: Path) -> None:
    source = write_frames(tmp_path / "in.mkv", drawn_frames(YUV, 160, 120, 12, 40), YUV)
    codec.encode(source, tmp_path / "film.nvc", Settings(preset="fast", head=False, device="cpu"))
    command = [sys.executable, "-m", "codec", "decode", str(tmp_path / "film.nvc"), "-", "-q"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout and process.stderr
        assert process.stdout.read(9) == b"YUV4MPEG2"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0


def test_json_and_pictures_do_not_share_standard_output(run: Run, coded: Path) -> None:
    result = run("decode", coded, "-", "--json")
    assert result.code == 2
    assert [event["event"] for event in result.events] == ["error"]


def test_part_of_a_film(run: Run, coded: Path, tmp_path: Path) -> None:
    whole = list(codec.open(coded).frames())
    for words, first, last in (
        (("--start", "0.48"), 12, 22),
        (("--start", "0:00.52", "--duration", "0.12"), 13, 16),
        (("--start", "00:00:00.4"), 10, 22),
        (("--duration", "0.04"), 0, 1),
    ):
        target = tmp_path / "part.y4m"
        assert run("decode", coded, target, *words, "-y", "-q").code == 0
        with open_source(target) as part:
            found = list(part.frames())
        assert len(found) == last - first
        assert all(same_planes(a, b) for a, b in zip(found, whole[first:last], strict=True))


# --- errors -----------------------------------------------------------------------------------------------------------


def test_exit_codes_of_the_program(film: Path, tmp_path: Path) -> None:
    """In processes of its own, as a shell sees them: 0 fine, 1 bad file, 2 wrong usage."""
    command = [sys.executable, "-m", "codec"]
    for words, code, text in (
        (["--help"], 0, ""),
        (["verify", str(film)], 1, f"codec: {film} is no .nvc film: its video track is ffv1, not AV1\n"),
        (["encode", str(film), str(tmp_path / "x.nvc"), "--crf", "99"], 2, ""),
    ):
        result = subprocess.run(command + words, capture_output=True, text=True)
        assert result.returncode == code
        assert "Traceback" not in result.stderr
        assert text in result.stderr


def test_bad_files_end_with_1_and_are_named(run: Run, film: Path, coded: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.nvc"
    broken.write_bytes(coded.read_bytes()[:-300])
    text = tmp_path / "text.nvc"
    text.write_text("hello")
    for words, name in (
        (("encode", "absent.mp4", "x.nvc"), "absent.mp4"),
        (("encode", text, tmp_path / "x.nvc"), "text.nvc"),
        (("encode", film, coded), "film.nvc exists already"),
        (("encode", film, tmp_path / "absent" / "x.nvc"), "there is no folder"),
        (("decode", "absent.nvc", tmp_path / "x.y4m"), "absent.nvc"),
        (("decode", text, tmp_path / "x.y4m"), "text.nvc"),
        (("decode", film, tmp_path / "x.y4m"), "in.mkv is no .nvc film"),
        (("decode", broken, tmp_path / "x.y4m"), "broken.nvc"),
        (("verify", broken), "broken.nvc"),
        (("info", text), "text.nvc"),
        (("info", broken), "broken.nvc"),
        (("verify", tmp_path), "is a directory"),
    ):
        result = run(*words)
        assert (result.code, result.out) == (1, b""), words
        assert name in result.err
        last = result.err.strip().splitlines()[-1]
        assert last.startswith("codec: ")
    assert sorted(os.listdir(tmp_path)) == ["broken.nvc", "film.nvc", "in.mkv", "text.nvc"]


def test_wrong_usage_ends_with_2(run: Run, film: Path, coded: Path, tmp_path: Path) -> None:
    nvc = tmp_path / "x.nvc"
    for words in (
        (),
        ("transmogrify",),
        ("encode", film),
        ("encode", film, nvc, "--crf", "0.5"),
        ("encode", film, nvc, "--crf", "30", "--bitrate", "100"),
        ("encode", film, nvc, "--scale", "2.5"),
        ("encode", film, nvc, "--scale", "big"),
        ("encode", film, nvc, "--scale", "1/0"),
        ("encode", film, nvc, "--history", "3"),
        ("encode", film, nvc, "--history", "1.5"),
        ("encode", film, nvc, "--loss", "256"),
        ("encode", film, nvc, "--loss", "0"),
        ("encode", film, nvc, "--max-error", "128"),
        ("encode", film, nvc, "--lossless", "--max-error", "2"),
        ("encode", film, nvc, "--lossless", "--loss", "4"),
        ("encode", film, nvc, "--lossless", "--target-psnr", "40"),
        ("encode", film, nvc, "--target-ssim", "0.97", "--target-psnr", "40"),
        ("encode", film, nvc, "--target-ssim", "1"),
        ("encode", film, nvc, "--worst", "5"),
        ("encode", film, nvc, "--target-xpsnr", "38", "--worst", "100"),
        ("encode", film, nvc, "--sample-seconds", "5"),
        ("encode", film, "--sample", "--sample-seconds", "0"),
        ("encode", film, "--sample", "--jobs", "2"),
        ("encode", film, "--sample", "--resume"),
        ("encode", "-", "--sample"),
        ("encode", film, nvc, "--preset", "glacial"),
        ("encode", film, nvc, "--device", "abacus"),
        ("encode", film, nvc, "--threads", "-1"),
        ("encode", film, nvc, "--bitrate", "-5"),
        ("encode", film, nvc, "--target-size", "nan"),
        ("encode", film, film, "-y"),
        ("encode", "-", nvc, "--resume"),
        ("decode", coded, tmp_path / "x.gif"),
        ("decode", coded, tmp_path / "x.y4m", "--start", "soon"),
        ("decode", coded, tmp_path / "x.y4m", "--start", "1:2:3:4"),
        ("decode", coded, tmp_path / "x.y4m", "--start=-1"),
        ("decode", coded, coded, "-y"),
    ):
        result = run(*words)
        assert (result.code, result.out) == (2, b""), words
        assert result.err
    assert sorted(os.listdir(tmp_path)) == ["film.nvc", "in.mkv"]


def test_part_that_the_film_does_not_have_is_an_error(run: Run, coded: Path, tmp_path: Path) -> None:
    result = run("decode", coded, tmp_path / "x.y4m", "--start", "100")
    assert result.code == 1
    assert "film.nvc has no pictures from 100 s" in result.err
    assert not (tmp_path / "x.y4m").exists()


def test_best_effort_lists_what_it_passed_over(run: Run, coded: Path, tmp_path: Path) -> None:
    data = bytearray(coded.read_bytes())
    data[data.rindex(b"\x04\xb5\x7f\xfdNVC") + 20] ^= 1
    coded.write_bytes(data)
    assert run("decode", coded, tmp_path / "x.y4m").code == 1
    assert run("verify", coded).code == 1
    result = run("decode", coded, tmp_path / "x.y4m", "--best-effort", "--json", "-q")
    assert result.code == 0
    problems = [e["text"] for e in result.events if e["event"] == "problem"]
    assert len(problems) == 1
    assert "frame at 0.480 s" in problems[0]
    assert result.events[-1]["problems"] == 1
    assert result.events[-1]["frames"] == 22


def test_keyboard_interrupt_is_no_traceback(run: Run, film: Path, tmp_path: Path, monkeypatch: Any) -> None:
    def interrupt(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("codec.film.encode.encode", interrupt)
    result = run("encode", film, tmp_path / "x.nvc")
    assert result.code == 130
    assert result.err.endswith("codec: interrupted\n")
    assert "--resume" not in result.err


def test_help_names_every_option_and_the_exit_codes() -> None:
    runner = CliRunner()
    page = runner.invoke(cli, ["-h"]).output
    assert "0 fine, 1 the file or the input is bad, 2 wrong usage" in page
    assert all(word in page for word in ("encode", "decode", "info", "verify"))
    page = runner.invoke(cli, ["encode", "-h"]).output
    for option in ("--crf", "--target-psnr", "--target-ssim", "--target-xpsnr", "--worst", "--sample", "--bitrate",
                   "--target-size", "--scale", "--history", "--loss", "--max-error", "--lossless", "--preset",
                   "--device", "--threads", "--resume", "--json"):  # fmt: skip
        assert option in page


def test_every_setting_is_checked_without_the_command_line() -> None:
    wrong: list[dict[str, Any]] = [
        {"crf": 64}, {"target_psnr": 0}, {"bitrate": float("nan")}, {"scale": Fraction(5)}, {"history": -1},
        {"loss": "some"}, {"loss": 1.5}, {"max_error": 200}, {"preset": ""}, {"device": "tpu"}, {"threads": 1000},
    ]  # fmt: skip
    for wishes in wrong:
        with pytest.raises(UsageError):
            Settings(**wishes)
