"""Work that is killed: what was there stays, nothing half done appears, and resuming gives the same bytes.

The kills are real (SIGKILL), in processes of their own; they come at a given call instead of a given time, so that each
moment that matters is met every time.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.checks.interrupt import interrupted, main
from codec.errors import OutputError
from codec.frames import PlaneFormat
from codec.media.demuxed import open_source
from codec.media.folders import MARK
from codec.media.parts import Part, check_target, write_whole
from codec.media.sinks import open_sink
from tests.makers import drawn_frames, scene_frames, write_frames

YUV = PlaneFormat("420", 8)
ROOT = Path(__file__).parents[2]
SEGMENTS = 3
QUICK = ("--preset", "fast", "--scale", "1", "--device", "cpu", "--threads", "1", "-q")

posix = pytest.mark.skipif(os.name != "posix", reason="there is no SIGKILL")

# the command line with the tests' quick preset, which kills itself before the given call of a function
PROGRAM = f"""
import os, signal, sys
sys.path[:0] = [{str(ROOT)!r}]
import codec.wire.obu, codec.segment.choice, codec.media.encoded
from codec.cli.main import main
from codec.jobs.store import Store
from codec.segment.presets import PRESETS, Preset
from heads.restorer.fit import Schedule

PRESETS["fast"] = Preset(12, 0, 4, Schedule(60, 40, batch=2, crop=16, coarser=2), ((4, 0),), least=20)
codec.segment.choice.FIT_BYTES, codec.segment.choice.WORTH, codec.segment.worth.PRICE = 1, 1e-6, 1e-6

def killing(owner, name, before):
    original, calls = getattr(owner, name), 0
    def call(*args, **options):
        nonlocal calls
        calls += 1
        if calls == before:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*args, **options)
    setattr(owner, name, call)

where, number = sys.argv.pop(1), int(sys.argv.pop(1))
owners = {{"replace": (os, "replace"), "mux": (codec.wire.obu, "inject"), "remove": (Store, "remove"),
           "picture": (codec.media.encoded.EncodedSink, "_picture")}}
if where in owners:
    killing(*owners[where], number)
main()
"""


def codec(*words: object, kill: tuple[str, int] = ("never", 0)) -> int:
    """The exit status of `codec ...`, killed before the given call of a function."""
    command = [sys.executable, "-c", PROGRAM, *map(str, (*kill, *words))]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("film")
    return write_frames(folder / "in.mkv", scene_frames(YUV, 64, 48, (12, 11, 12)), YUV)


@pytest.fixture(scope="module")
def whole(film: Path) -> Path:
    assert codec("encode", film, film.parent / "whole.nvc", *QUICK) == 0
    return film.parent / "whole.nvc"


def finished(target: Path) -> int:
    return len(list((target.parent / f".{target.name}.parts").glob("*.segment")))


@posix
@pytest.mark.parametrize(
    ("kill", "segments"),
    [
        (("replace", 3), 2),  # a third segment lies there, but has not got its name
        (("mux", 20), SEGMENTS),  # in the midst of the file
        (("replace", SEGMENTS + 1), SEGMENTS),  # the file is whole, but has not got its name
    ],
    ids=["in a segment", "in the file", "before the name"],
)
def test_killed_encode_is_resumed_to_the_same_bytes(
    kill: tuple[str, int], segments: int, film: Path, whole: Path, tmp_path: Path
) -> None:
    target = tmp_path / "out.nvc"
    target.write_bytes(b"older")
    assert codec("encode", film, target, *QUICK, "-y", kill=kill) == -signal.SIGKILL
    assert target.read_bytes() == b"older"
    assert finished(target) == segments
    assert codec("encode", film, target, *QUICK, "-y", "--resume") == 0
    assert target.read_bytes() == whole.read_bytes()
    assert os.listdir(tmp_path) == ["out.nvc"]


@posix
def test_the_longest_name_is_resumed(film: Path, whole: Path, tmp_path: Path) -> None:
    target = tmp_path / ("n" * 251 + ".nvc")
    assert codec("encode", film, target, *QUICK, kill=("mux", 20)) == -signal.SIGKILL
    (workshop,) = tmp_path.glob(".*.parts")
    assert len(list(workshop.glob("*.segment"))) == SEGMENTS
    assert codec("encode", film, target, *QUICK, "--resume") == 0
    assert target.read_bytes() == whole.read_bytes()
    assert os.listdir(tmp_path) == [target.name]


@posix
def test_a_link_is_written_through(film: Path, whole: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    real, link = tmp_path / "there" / "real.nvc", tmp_path / "out.nvc"
    real.write_bytes(b"older")
    real.chmod(0o640)
    link.symlink_to("there/real.nvc")
    assert codec("encode", film, link, *QUICK, "-y", kill=("mux", 20)) == -signal.SIGKILL
    assert codec("encode", film, link, *QUICK, "-y", "--resume") == 0
    assert os.readlink(link) == "there/real.nvc"
    assert real.read_bytes() == whole.read_bytes() and real.stat().st_mode & 0o777 == 0o640
    assert sorted(os.listdir(tmp_path)) == ["out.nvc", "there"] and os.listdir(tmp_path / "there") == ["real.nvc"]


@posix
def test_encode_killed_after_its_end_left_a_whole_film(film: Path, whole: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.nvc"
    assert codec("encode", film, target, *QUICK, kill=("remove", 1)) == -signal.SIGKILL
    assert target.read_bytes() == whole.read_bytes()
    assert codec("encode", film, target, *QUICK, "-y", "--resume") == 0
    assert target.read_bytes() == whole.read_bytes()
    assert os.listdir(tmp_path) == ["out.nvc"]


@posix
def test_killed_decode_leaves_the_older_file_and_the_next_one_tidies_up(whole: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mkv"
    target.write_bytes(b"older")
    assert codec("decode", whole, target, "-y", "-q", kill=("picture", 20)) == -signal.SIGKILL
    assert target.read_bytes() == b"older"
    assert len(os.listdir(tmp_path)) == 2, "the unfinished one"
    assert codec("decode", whole, target, "-y", "-q") == 0
    assert os.listdir(tmp_path) == ["out.mkv"]
    with open_source(target) as source:
        assert sum(1 for _ in source.frames()) == 35


@posix
def test_tool_finds_no_fault(film: Path) -> None:
    options = ["--", "--preset", "fast", "--scale", "1", "--no-head", "--device", "cpu", "--threads", "1"]
    result = CliRunner().invoke(main, [str(film), "--times", "2", "--seed", "5", *options])
    assert result.exit_code == 0, result.output
    assert "0 of them with faults" in result.output


@posix
def test_tool_finds_a_film_that_is_written_in_place(film: Path, tmp_path: Path) -> None:
    """The tool's own check: a program that does what ours must not."""
    (tmp_path / "codec.py").write_text(
        "import sys, time\n"
        "with open(sys.argv[1], 'wb', 0) as file:\n"
        "    for k in range(60):\n"
        "        file.write(b'x')\n"
        "        time.sleep(0.01)\n"
    )
    trials = interrupted([sys.executable, str(tmp_path / "codec.py")], 4, 3)
    assert any("neither the older nor whole" in fault for trial in trials for fault in trial.faults)


# --- what killed processes leave --------------------------------------------------------------------------------------

HALF = """
import os, signal, sys
from codec.media.parts import Part
part = Part(sys.argv[1])
part.open().write(b"unfinished")
for number in (1, 77):
    part.open(number).write(b"unfinished")
os.kill(os.getpid(), signal.SIGKILL)
"""


def killed_part(target: Path) -> Path:
    """The folder of a process that was killed while it wrote `target`."""
    before = {*target.parent.iterdir()}
    done = subprocess.run([sys.executable, "-c", HALF, str(target)], cwd=ROOT)
    assert done.returncode == -signal.SIGKILL
    (left,) = {*target.parent.iterdir()} - before
    assert left.name.startswith(f".{target.name}"[:30]) and left.name.endswith(".part")
    return left


@posix
@pytest.mark.parametrize("name", ["a.nvc", "a.png", "n" * 251 + ".nvc"], ids=["", "picture", "long name"])
def test_what_a_killed_process_left_is_removed_when_its_target_is_written(name: str, tmp_path: Path) -> None:
    killed_part(tmp_path / name)
    kept = [killed_part(tmp_path / ("b" + name[1:])).name, killed_part(tmp_path / ("aX" + name[2:])).name]
    under_way = Part(tmp_path / name)
    write_whole(tmp_path / name, b"whole")
    kept += [name, os.path.basename(os.path.dirname(under_way.path))]
    assert sorted(os.listdir(tmp_path)) == sorted(kept)
    under_way.discard()
    assert sorted(os.listdir(tmp_path)) == sorted(kept[:-1])


@posix
def test_a_target_that_is_refused_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.nvc").write_bytes(b"older")
    left = killed_part(tmp_path / "a.nvc")
    with pytest.raises(OutputError, match="exists already"):
        check_target(str(tmp_path / "a.nvc"), False)
    assert sorted(tmp_path.iterdir()) == sorted([left, tmp_path / "a.nvc"])


@posix
@pytest.mark.parametrize("change", ["no mark", "foreign file", "link", "folder", "open to others", "linked"])
def test_what_only_looks_like_ours_stays(change: str, tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"precious")
    left = killed_part(tmp_path / "a.nvc")
    if change == "no mark":
        (left / MARK).unlink()
    elif change == "foreign file":
        (left / "part2").write_bytes(b"precious")
    elif change == "link":
        (left / "1").unlink()
        (left / "1").symlink_to("../victim")
    elif change == "folder":
        (left / "2").mkdir()
    elif change == "open to others":
        left.chmod(0o755)
    else:
        left.symlink_to(left.rename(tmp_path / "elsewhere"))
    before = {p: p.lstat().st_mtime_ns for p in tmp_path.rglob("*") if not p.is_dir()}
    write_whole(tmp_path / "a.nvc", b"whole")
    after = {p: p.lstat().st_mtime_ns for p in tmp_path.rglob("*") if not p.is_dir()}
    del after[tmp_path / "a.nvc"]
    assert after == before


@posix
def test_an_empty_folder_whose_maker_was_killed_at_once_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".a.nvc.0123abcd.part").mkdir(0o700)
    (tmp_path / ".a.nvc.0123abcX.part").mkdir(0o700)
    write_whole(tmp_path / "a.nvc", b"whole")
    assert sorted(os.listdir(tmp_path)) == [".a.nvc.0123abcX.part", "a.nvc"]


@posix
def test_pictures_of_a_killed_decode_are_removed(film: Path, tmp_path: Path) -> None:
    killed_part(tmp_path / "a_00001.png")
    kept = killed_part(tmp_path / "b_00001.png")
    with open_source(film) as source, open_sink(tmp_path / "a_%05d.png", source.info) as sink:
        sink.write(next(source.frames()))
    assert sorted(os.listdir(tmp_path)) == sorted([kept.name, "a_00001.png"])


def test_older_pictures_stay_until_all_new_ones_are_there(film: Path, tmp_path: Path) -> None:
    for number in (1, 2, 3):
        (tmp_path / f"a{number}.png").write_bytes(b"older")
    with open_source(film) as source, pytest.raises(RuntimeError):
        with open_sink(tmp_path / "a%d.png", source.info, overwrite=True) as sink:
            for frame in drawn_frames(YUV, 64, 48, 2):
                sink.write(frame)
            raise RuntimeError
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {f"a{n}.png": b"older" for n in (1, 2, 3)}


def test_a_file_is_on_the_disk_before_it_takes_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some systems tell only then that the disk is full."""

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "a.y4m").write_bytes(b"older")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(tmp_path / "a.y4m", b"new")
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"a.y4m": b"older"}
