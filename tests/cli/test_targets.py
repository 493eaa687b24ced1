"""Targets of every command: what comes to be there meanwhile stays, and any name that a system allows is written."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import splat
from codec.errors import OutputError
from codec.media.folders import Folder
from codec.media.parts import write_whole
from codec.media.pictures import Picture, read_picture, write_picture
from tests.makers import GOLDEN, Run
from tests.splat.makers import scene

STILL = str(GOLDEN / "lossless-v1.still.nvc")
posix = pytest.mark.skipif(os.name != "posix", reason="names and links as POSIX has them")


@pytest.fixture
def png(tmp_path: Path) -> str:
    path = str(tmp_path / "in.png")
    write_picture(path, Picture(scene(24, 32)))
    return path


@pytest.fixture
def nvs(tmp_path: Path) -> str:
    path = tmp_path / "in.nvs"
    path.write_bytes(splat.encode(scene(24, 32), step=50, effort=0))
    return str(path)


# what each command calls once its work is done, and its words
WRITERS = {
    "encode": ("codec.still.encode.encode_still", ("encode", "{png}", "{to}.nvc", "--preset", "fast")),
    "decode": ("codec.still.files.decode_still", ("decode", STILL, "{to}.png")),
    "splat encode": ("splat.encode", ("splat", "encode", "{png}", "{to}.nvs", "--effort", "0", "--bpp", "2")),
    "splat decode": ("splat.decode", ("splat", "decode", "{nvs}", "{to}.png")),
    "upscale": ("codec.still.upscale.upscaled_picture", ("upscale", "{png}", "{to}.png")),
}


@pytest.mark.parametrize("name", WRITERS)
def test_what_appears_meanwhile_is_not_overwritten_unasked(
    name: str, run: Run, png: str, nvs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where, words = WRITERS[name]
    words = tuple(word.format(png=png, nvs=nvs, to=tmp_path / "out") for word in words)
    target = next(Path(word) for word in words if "out." in word)
    module, _, function = where.rpartition(".")
    work: Callable[..., Any] = getattr(import_module(module), function)

    def and_somebody_else(*given: Any, **more: Any) -> Any:
        target.write_bytes(b"precious")
        return work(*given, **more)

    monkeypatch.setattr(where, and_somebody_else)
    result = run(*words)
    assert (result.code, result.err.splitlines()[-1]) == (
        1,
        f"codec: {target} exists already; --overwrite replaces it",
    )
    assert target.read_bytes() == b"precious"
    assert sorted(os.listdir(tmp_path)) == sorted(["in.png", "in.nvs", target.name])
    assert run(*words, "-y").code == 0
    assert target.read_bytes() != b"precious"


def test_what_appears_at_the_last_moment_is_not_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the target was looked at: then the system itself refuses."""
    settle, target = Folder.settle, tmp_path / "a"

    def late(folder: Folder, name: str, path: str) -> None:
        target.write_bytes(b"precious")
        settle(folder, name, path)

    monkeypatch.setattr(Folder, "settle", late)
    with pytest.raises(OutputError, match=r"a exists already; --overwrite replaces it$"):
        write_whole(target, b"ours", overwrite=False)
    assert target.read_bytes() == b"precious" and os.listdir(tmp_path) == ["a"]


def test_where_there_are_no_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*names: object, **more: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    write_whole(tmp_path / "a", b"ours", overwrite=False)
    with pytest.raises(OutputError, match="exists already"):
        write_whole(tmp_path / "a", b"others", overwrite=False)
    assert (tmp_path / "a").read_bytes() == b"ours" and os.listdir(tmp_path) == ["a"]


# --- names ------------------------------------------------------------------------------------------------------------

NAMES = {
    "percent": "50% of %d",
    "line": "two\nlines",
    "colon": "http:a",
    "pipe": "pipe:1",
    "dash": "-a",
    "no text": os.fsdecode(b"\xff\xfe"),
    "long": "\u4e2d" * 83 + "ab",  # with its ending 255 bytes
    "quotes": "a'b\"c `d` $(e)",
    "spaces": "  a  ",
    "braces": "{}{0}{a}",
    "markup": "<b>&amp;",
}


@posix
@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_any_name_is_a_target_and_then_a_source(
    name: str, run: Run, png: str, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    still, film_target, y4m, back = (name + ending for ending in (".nvc", ".mkv", ".y4m", ".ppm"))
    assert run("encode", "--preset", "fast", "--", png, still).code == 0
    assert run("decode", "--", still, back).code == 0
    assert run("verify", "--", still).code == 0
    assert read_picture(os.path.join("..", "here", back)).pixels.shape == (24, 32, 3)
    words = ("--preset", "fast", "--no-head", "--scale", "1", "--device", "cpu", "--")
    assert run("encode", *words, film, film_target).code == 0
    assert run("decode", "--device", "cpu", "--", film_target, y4m).code == 0
    assert run("info", "--", film_target).code == 0
    assert sorted(os.listdir()) == sorted([still, film_target, y4m, back])


@posix
@pytest.mark.parametrize("how", ["relative", "trailing slash", "dots", "linked folder"])
def test_any_way_to_a_folder(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    monkeypatch.chdir(tmp_path)
    folder = {"relative": "there", "trailing slash": "there///", "dots": "./link/../there/.", "linked folder": "link"}
    write_whole(os.path.join(folder[how], "a.nvc"), b"whole", overwrite=False)
    assert (tmp_path / "there" / "a.nvc").read_bytes() == b"whole" and os.listdir("there") == ["a.nvc"]


@posix
@pytest.mark.parametrize("target", ["{}/folder/", "{}/folder", "{}/file/a.png", "{}/absent/a.png"])
def test_a_folder_is_no_target_and_a_file_no_folder(target: str, run: Run, png: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    result = run("encode", png, target.format(tmp_path).replace(".png", ".nvc"), "-y")
    assert result.code == 1
    assert result.err.count("\n") == 1 and ("is a directory" in result.err or "there is no folder" in result.err)
