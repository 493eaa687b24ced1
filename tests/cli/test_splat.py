"""`codec splat`: what a newcomer types, pipes, errors, and files that are whole or not there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import splat
from codec.errors import InputError, OutputError
from codec.media.colours import CHROMATICITIES, profile
from codec.media.pictures import Picture, eight_bits, read_picture, write_picture
from codec.media.upright import upright
from codec.wire.exif import orientation, with_orientation
from tests.makers import Run, shell
from tests.splat.makers import psnr, scene

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Run:
    return shell(monkeypatch, capfdbinary, "splat")


@pytest.fixture
def png(tmp_path: Path) -> str:
    path = str(tmp_path / "in.png")
    write_picture(path, Picture(scene()))
    return path


def pixels_of(path: Path | str) -> NDArray[Any]:
    return read_picture(str(path)).pixels


def test_there_and_back(run: Run, png: str, tmp_path: Path) -> None:
    file, back = tmp_path / "a.nvs", tmp_path / "back.png"
    done = run("encode", png, file, "--bpp", "0.6", "--effort", "0")
    assert done.code == 0
    assert f"{file.stat().st_size:,} bytes" in done.err
    assert file.stat().st_size <= 0.6 * 96 * 128 / 8
    assert run("decode", file, back).code == 0
    assert (pixels_of(back) == splat.decode(file.read_bytes())).all()
    assert psnr(pixels_of(back), scene()) > 26


def test_crop_and_zoom(run: Run, png: str, tmp_path: Path) -> None:
    file = tmp_path / "a.nvs"
    run("encode", png, file, "--effort", "0")
    whole = splat.decode(file.read_bytes())
    assert run("decode", file, tmp_path / "crop.png", "--crop", "30,10,50,40").code == 0
    assert (pixels_of(tmp_path / "crop.png") == whole[10:50, 30:80]).all()
    assert run("decode", file, tmp_path / "large.png", "--zoom", "2").code == 0
    assert pixels_of(tmp_path / "large.png").shape == (192, 256, 3)


def test_info_adds_up(run: Run, png: str, tmp_path: Path) -> None:
    file = tmp_path / "a.nvs"
    run("encode", png, file, "--gaussians", "60", "--effort", "0")
    found = json.loads(run("info", file, "--json").out)
    assert (found["width"], found["height"], found["bytes"]) == (128, 96, file.stat().st_size)
    assert found["gaussians"] <= 60
    assert sum(found["bits"].values()) == pytest.approx(8 * found["bytes"], abs=1)
    assert "gaussians" in run("info", file).out.decode()


def test_events_as_json(run: Run, png: str, tmp_path: Path) -> None:
    done = run("encode", png, tmp_path / "a.nvs", "--effort", "0", "--json")
    events = [json.loads(line) for line in done.out.splitlines()]
    assert {"progress", "done"} == {event["event"] for event in events}
    assert events[-1]["bytes"] == (tmp_path / "a.nvs").stat().st_size
    assert done.err == ""


def test_nothing_is_overwritten_unasked(run: Run, png: str, tmp_path: Path) -> None:
    file = tmp_path / "a.nvs"
    file.write_bytes(b"mine")
    refused = run("encode", png, file)
    assert refused.code != 0
    assert str(file) in refused.err
    assert file.read_bytes() == b"mine"
    assert run("encode", png, file, "-y", "--effort", "0").code == 0
    assert file.read_bytes()[:3] == b"NVS"


def test_pipes(run: Run, png: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open(png, "rb") as stream:
        monkeypatch.setattr("sys.stdin", type("Stdin", (), {"buffer": stream})())
        done = run("encode", "-", "-", "--effort", "0")
    assert done.code == 0
    assert done.out[:3] == b"NVS"
    (tmp_path / "a.nvs").write_bytes(done.out)
    shown = run("decode", tmp_path / "a.nvs", "-")
    decoded = cv2.imdecode(np.frombuffer(shown.out, np.uint8), cv2.IMREAD_UNCHANGED)
    assert decoded is not None
    assert (decoded[..., ::-1] == splat.decode(done.out)).all()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("encode", "{text}", "{out}"), "is no picture that can be read"),
        (("encode", "{none}", "{out}"), "none.png"),
        (("encode", "{png}", "{out}", "--bpp", "1", "--psnr", "30"), "contradict"),
        (("encode", "{png}", "{out}", "--bpp", "0.001", "--effort", "0"), "the smallest file has"),
        (("encode", "{png}", "{out}", "--psnr", "nan"), "'nan' is not a number above 0"),
        (("encode", "{png}", "{out}", "--bpp", "inf"), "'inf' is not a number above 0"),
        (("encode", "{png}", "{folder}/no/a.nvs"), "no/a.nvs"),
        (("encode", "{png}", "{back}"), "splat encode writes pictures as .nvs, not as .png"),
        (("encode", "{png}", "{folder}/a.nvc"), "not as .nvc"),
        (
            ("decode", "{png}", "{back}"),
            "is a picture that was not encoded yet: codec splat encode makes an .nvs of it",
        ),
        (("info", "{still}"), "is a still .nvc: codec decode and codec info read it"),
        (("decode", "{film}", "{back}"), "is an .nvc film: codec decode and codec info read it"),
        (("decode", "{nvs}", "{back}", "--crop", "100,0,100,10"), "is not inside the picture"),
        (("decode", "{nvs}", "{back}", "--crop", "1,2,3"), "is no region"),
        (("decode", "{nvs}", "{folder}/a.gif"), "pictures are written as"),
        (("decode", "{damaged}", "{back}"), "damaged.nvs"),
        (("info", "{text}"), "this is no .nvs file"),
    ],
)
def test_errors_name_the_file_in_one_sentence(
    run: Run, png: str, tmp_path: Path, words: tuple[str, ...], sentence: str
) -> None:
    data = splat.encode(scene(40, 50), step=50, effort=0)
    (tmp_path / "a.nvs").write_bytes(data)
    (tmp_path / "damaged.nvs").write_bytes(data[:-9] + b"\0" + data[-8:])
    (tmp_path / "text.png").write_text("no picture")
    names = {"nvs": "a.nvs", "damaged": "damaged.nvs", "text": "text.png", "none": "none.png", "out": "out.nvs"}
    paths = {name: str(tmp_path / file) for name, file in names.items()}
    paths |= {"still": str(GOLDEN / "lossy-v1.still.nvc"), "film": str(GOLDEN / "lossless-v1.nvc")}
    paths |= {"png": png, "back": str(tmp_path / "back.png"), "folder": str(tmp_path)}
    failed = run(*(word.format(**paths) for word in words))
    assert failed.code in (1, 2)
    assert sentence in failed.err
    assert not (tmp_path / "out.nvs").exists()
    assert not (tmp_path / "back.png").exists()


def test_sixteen_bits_are_rounded_with_a_note(tmp_path: Path) -> None:
    deep = (scene(20, 30).astype(np.uint16) * 257) + 100
    cv2.imwrite(str(tmp_path / "deep.png"), deep[..., ::-1])
    picture = eight_bits(read_picture(str(tmp_path / "deep.png")), "deep.png")
    assert (picture.pixels == scene(20, 30)).all()
    assert picture.notes == ("deep.png: 16-bit samples are rounded to 8 bits",)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_pictures_come_back_as_they_were(channels: int, tmp_path: Path) -> None:
    path = str(tmp_path / "a.png")
    write_picture(path, Picture(scene(20, 30, channels)))
    assert (pixels_of(path) == scene(20, 30, channels)).all()


def test_what_a_format_cannot_hold_is_said(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="hold no transparency"):
        write_picture(str(tmp_path / "a.jpg"), Picture(scene(20, 30, 4)))
    for data, words in ((b"", "is empty"), (b"\x89PNG", "is no picture")):
        (tmp_path / "broken.png").write_bytes(data)
        with pytest.raises(InputError, match=words):
            read_picture(str(tmp_path / "broken.png"))


# --- what a file of samples alone does not hold -----------------------------------------------------------------------

PROFILE = profile(1 / 1.8, CHROMATICITIES[12], False)
# how the samples lie once they are shown, as Pillow's ImageOps.exif_transpose turns them
SHOWN: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.swapaxes(0, 1),
    6: lambda p: p.swapaxes(0, 1)[:, ::-1],
    7: lambda p: p[::-1, ::-1].swapaxes(0, 1),
    8: lambda p: p.swapaxes(0, 1)[::-1],
}


@pytest.mark.parametrize("number", SHOWN)
def test_samples_are_turned_upright(number: int) -> None:
    picture = Picture(scene(20, 30, 4), exif=with_orientation(b"", number))
    shown = upright(picture, "a.png")
    assert np.array_equal(shown.pixels, SHOWN[number](picture.pixels)) and orientation(shown.exif) == 1
    said = () if number == 1 else ("a.png: its samples are turned upright, as its orientation says",)
    assert shown.notes == said
    assert upright(shown, "a.png") is shown


def test_what_a_file_does_not_hold_is_told(run: Run, tmp_path: Path) -> None:
    source, target = tmp_path / "in.png", tmp_path / "a.nvs"
    write_picture(str(source), Picture(scene(40, 64), PROFILE, with_orientation(b"", 6)))
    done = run("encode", source, target, "--effort", "0", "--bpp", "2")
    assert done.code == 0
    assert [line for line in done.err.splitlines() if line.startswith("note: ")] == [
        f"note: {source}: its samples are turned upright, as its orientation says",
        f"note: {target}: .nvs files are written without colour profile",
    ]
    found = splat.describe(target.read_bytes())
    assert (found["width"], found["height"]) == (40, 64)
    assert psnr(splat.decode(target.read_bytes()), SHOWN[6](scene(40, 64))) > 25
