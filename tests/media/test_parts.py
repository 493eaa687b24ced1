"""Targets: what is there stays until the new file is whole, and is replaced as its owner would have it."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest

from codec.errors import OutputError
from codec.frames import PlaneFormat, VideoInfo
from codec.media import folders
from codec.media.files import write_bytes
from codec.media.folders import Folder, beside, workshop
from codec.media.parts import Part, check_target, write_whole
from codec.media.sinks import open_sink
from tests.makers import drawn_frames

YUV = PlaneFormat("420", 8)
INFO = VideoInfo(64, 48, YUV, Fraction(1, 24000), Fraction(24000, 1001))
SINKS = ["a.y4m", "a.mkv", "a.mp4", "a.mov", "a.webm", "a%d.png"]

posix = pytest.mark.skipif(os.name != "posix", reason="links and modes")


def write(path: Path, name: str) -> None:
    with open_sink(path / name, INFO, overwrite=True) as sink:
        for frame in drawn_frames(YUV, 64, 48, 2):
            sink.write(frame)


@pytest.fixture
def umask() -> Iterator[int]:
    before = os.umask(0o027)
    yield 0o027
    os.umask(before)


@posix
@pytest.mark.parametrize("name", SINKS)
def test_new_files_have_the_usual_mode_and_older_ones_keep_theirs(name: str, tmp_path: Path, umask: int) -> None:
    target = tmp_path / name.replace("%d", "1")
    write(tmp_path, name)
    assert target.stat().st_mode & 0o777 == 0o666 & ~umask
    for mode in (0o600, 0o666, 0o444):
        target.chmod(mode)
        write(tmp_path, name)
        assert target.stat().st_mode & 0o777 == mode


@posix
@pytest.mark.parametrize("name", SINKS)
def test_a_target_that_is_a_link_stays_one(name: str, tmp_path: Path) -> None:
    first = name.replace("%d", "1")
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "real").write_bytes(b"older")
    (tmp_path / first).symlink_to("there/real")
    write(tmp_path, name)
    assert os.readlink(tmp_path / first) == "there/real"
    assert len((tmp_path / "there" / "real").read_bytes()) > 100
    assert os.listdir(tmp_path / "there") == ["real"]
    assert not [found for found in os.listdir(tmp_path) if found.startswith(".")]


@posix
def test_a_picture_that_is_a_link_to_another_file_system_is_written_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "real").write_bytes(b"older")
    (tmp_path / "a1.png").symlink_to("there/real")
    move = Folder.move

    def within(folder: Folder, name: str, path: str) -> None:
        if os.path.dirname(folder.path) != os.path.dirname(path):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        move(folder, name, path)

    monkeypatch.setattr(Folder, "move", within)
    write(tmp_path, "a%d.png")
    assert (tmp_path / "there" / "real").read_bytes().startswith(b"\x89PNG")
    assert os.listdir(tmp_path / "there") == ["real"] and len(os.listdir(tmp_path)) == 3


@posix
@pytest.mark.parametrize("name", SINKS)
def test_planted_links_are_not_followed(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where somebody knows the random name."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    first = name.replace("%d", "1")
    names = iter(["00000000", "11111111", "22222222", "33333333"])
    monkeypatch.setattr(folders.os, "urandom", lambda size: bytes.fromhex(next(names)))
    (tmp_path / f".{first}.00000000.part").symlink_to(victim.name)
    (tmp_path / f".{first}.11111111.part").mkdir()
    (tmp_path / f".{first}.11111111.part" / "part").symlink_to("../victim")
    (tmp_path / f".{first}.{os.getpid()}.part").symlink_to(victim.name)
    before = sorted(os.listdir(tmp_path))
    write(tmp_path, name)
    assert victim.read_bytes() == b"precious" and not (tmp_path / first).is_symlink()
    assert {*os.listdir(tmp_path)} - {*before} == {n.replace("%d", k) for n in [name] for k in "12"}


@posix
def test_what_is_written_is_out_of_others_reach(tmp_path: Path) -> None:
    part = Part(tmp_path / "a")
    with part.open():
        assert stat.S_IMODE(os.stat(os.path.dirname(part.path)).st_mode) == 0o700
    with pytest.raises(FileExistsError):
        part.open()
    part.discard()
    assert not list(tmp_path.iterdir())


@posix
def test_a_folder_that_is_swapped_redirects_nothing(tmp_path: Path) -> None:
    """In a folder of several people anyone may rename; then it is our own file that gets the name, or none."""
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "part").write_bytes(b"precious")
    part = Part(tmp_path / "a")
    with part.open() as file:
        file.write(b"ours")
    os.rename(os.path.dirname(part.path), tmp_path / "moved")
    os.symlink("there", os.path.dirname(part.path))
    part.finish()
    assert (tmp_path / "a").read_bytes() == b"ours"
    assert (tmp_path / "there" / "part").read_bytes() == b"precious"


@pytest.mark.parametrize("letters", [1, 135, 240, 255])
@pytest.mark.parametrize("name", ["y4m", "mkv", "mp4", "png"])
def test_long_names(letters: int, name: str, tmp_path: Path) -> None:
    path = "n" * max(1, letters - len(name) - (3 if name == "png" else 1)) + ("%02d." if name == "png" else ".") + name
    write(tmp_path, path)
    assert sorted(os.listdir(tmp_path)) == sorted({path.replace("%02d", k) for k in ("01", "02")})


@pytest.mark.parametrize("letter", ["n", "\u00fc", "\u4e2d", "\U0001f3a5", "\udce4"], ids=ascii)
def test_hidden_names_fit_and_differ(letter: str) -> None:
    size = len(os.fsencode(letter))
    names = [letter * k for k in range(1, 255 // size + 1)]
    found = [os.path.basename(beside(os.path.join("folder", name), ".parts")) for name in names]
    assert len({*found}) == len(names) and max(len(os.fsencode(name)) for name in found) <= 140
    assert all(name.startswith(f".{letter}") and name.endswith(".parts") for name in found)
    assert found[0] == f".{letter}.parts"


@pytest.mark.parametrize("name", ["y4m", "mkv", "nvc"])
def test_names_that_are_too_long_are_found_early(name: str, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="too long"):
        check_target(str(tmp_path / ("n" * 256 + f".{name}")), False)


@posix
def test_targets_that_cannot_be_written_are_found_early(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "far").symlink_to("nowhere/a")
    (tmp_path / "new").symlink_to("a")
    for name, words in (("loop", "leads to itself"), ("far", "no folder .*nowhere"), ("new", "exists already")):
        with pytest.raises(OutputError, match=words):
            check_target(str(tmp_path / name), name != "new")
    check_target(str(tmp_path / "new"), True)
    write_bytes(str(tmp_path / "new"), b"x")
    assert (tmp_path / "a").read_bytes() == b"x" and (tmp_path / "new").is_symlink()


def test_a_folder_that_somebody_tidies_up_while_it_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process that writes the same target may take it for a dead one's before it is locked."""
    hold, times = Folder._hold, 0

    def late(folder: Folder, flags: int) -> None:
        nonlocal times
        times += 1
        if times == 1:
            os.rmdir(folder.path)
        elif times == 2:
            Path(folder.place(folders.MARK)).touch()
        hold(folder, flags)

    monkeypatch.setattr(Folder, "_hold", late)
    write_whole(tmp_path / "a", b"whole")
    assert times == 4 and (tmp_path / "a").read_bytes() == b"whole"
    assert [*tmp_path.iterdir()] == [tmp_path / "a"]


def test_where_folders_have_no_descriptors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows, by paths alone."""
    monkeypatch.setattr(folders, "_BY_DESCRIPTOR", False)
    write_bytes(str(tmp_path / "a"), b"older")
    write_bytes(str(tmp_path / "a"), b"whole")
    names = re.compile("[ab]|new")
    kept = workshop(str(tmp_path / "a"), ".parts", names, "work")
    kept.write("a", b"kept", "new")
    kept.leave()
    kept = workshop(str(tmp_path / "a"), ".parts", names, "work")
    assert kept.names() == ["a"] and kept.read("a") == b"kept"
    kept.remove()
    (tmp_path / ".a.parts").mkdir(0o700)
    (tmp_path / ".a.parts" / "a").write_bytes(b"precious")
    with pytest.raises(OutputError, match="was not made by this program"):
        workshop(str(tmp_path / "a"), ".parts", names, "work")
    assert sorted(os.listdir(tmp_path)) == [".a.parts", "a"] and os.listdir(tmp_path / ".a.parts") == ["a"]
    assert (tmp_path / "a").read_bytes() == b"whole"


def test_a_file_system_that_moves_nothing_between_folders_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: Folder, name: str, path: str) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(Folder, "move", refuse)
    with pytest.raises(OutputError, match="link"):
        write_bytes(str(tmp_path / "a"), b"x")
    assert not list(tmp_path.iterdir())


def test_without_locks_nothing_of_others_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "_lock", lambda descriptor: False)
    other = Part(tmp_path / "a")
    write_whole(tmp_path / "a", b"whole")
    assert os.path.isdir(os.path.dirname(other.path))
    other.discard()
    assert os.listdir(tmp_path) == ["a"]
