"""`codec encode`, `decode`, `info`, `verify` and `upscale` on pictures, and Pillow: what a newcomer types."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import codec
from codec.errors import FormatError
from codec.media.pictures import Picture, looks_like_picture, parse_picture, read_picture, write_picture
from codec.still.encode import psnr_of
from tests.makers import Run, shell
from tests.media.animations import apng, random_frames, webp
from tests.still.makers import drawn

EXIF = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"  # turned by 90 degrees


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Run:
    return shell(monkeypatch, capfdbinary)


@pytest.fixture
def png(tmp_path: Path) -> str:
    path = str(tmp_path / "in.png")
    write_picture(path, Picture(drawn(60, 80, 3), exif=EXIF))
    return path


def pixels_of(path: Path | str) -> NDArray[Any]:
    return read_picture(str(path)).pixels


def test_there_and_back(run: Run, png: str, tmp_path: Path) -> None:
    file, back = tmp_path / "a.nvc", tmp_path / "back.png"
    done = run("encode", png, file, "--crf", "20")
    assert done.code == 0
    assert f"{file.stat().st_size:,} bytes" in done.err
    assert run("verify", file).code == 0
    assert run("decode", file, back).code == 0
    assert psnr_of(pixels_of(back), pixels_of(png), 255) > 30
    assert read_picture(str(back)).exif == EXIF


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "avif", "tif", "bmp", "ppm"])
def test_every_kind_of_input(run: Run, ending: str, tmp_path: Path) -> None:
    source, file, back = tmp_path / f"in.{ending}", tmp_path / "a.nvc", tmp_path / "back.png"
    cv2.imwrite(str(source), drawn(40, 56, 3))
    assert looks_like_picture(str(source))
    assert run("encode", source, file, "--lossless", "--preset", "fast").code == 0
    assert run("decode", file, back).code == 0
    assert (pixels_of(back) == pixels_of(source)).all()


@pytest.mark.parametrize("ending", ["png", "jpg", "webp"])
def test_profile_and_exif_are_kept(run: Run, ending: str, tmp_path: Path) -> None:
    source, file, back = (str(tmp_path / name) for name in (f"in.{ending}", "a.nvc", f"back.{ending}"))
    image = pytest.importorskip("PIL.Image")
    profile = pytest.importorskip("PIL.ImageCms")
    icc = profile.ImageCmsProfile(profile.createProfile("sRGB")).tobytes()
    image.fromarray(drawn(40, 56, 3)).save(source, icc_profile=icc, exif=b"Exif\0\0" + EXIF)
    run("encode", source, file, "--preset", "fast")
    run("decode", file, back)
    found = image.open(back)
    assert found.info["icc_profile"] == icc
    assert found.getexif()[0x0112] == 6


def test_ten_bit_avif_is_as_bright_as_it_was(tmp_path: Path) -> None:
    deep = drawn(40, 56, 3).astype(np.uint16) * 4
    cv2.imwrite(str(tmp_path / "a.avif"), deep, [cv2.IMWRITE_AVIF_DEPTH, 10, cv2.IMWRITE_AVIF_QUALITY, 95])
    found = pixels_of(tmp_path / "a.avif")[..., ::-1]
    assert np.abs(found / 65535 - deep / 1023).mean() < 0.02


def test_what_a_source_loses_is_said(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    colour = pytest.importorskip("PIL.ImageCms")
    icc = bytearray(colour.ImageCmsProfile(colour.createProfile("sRGB")).tobytes())
    icc[16:20] = b"CMYK"
    picture = image.fromarray(drawn(40, 56, 3))
    picture.save(tmp_path / "a.jpg", icc_profile=bytes(icc))
    found = read_picture(str(tmp_path / "a.jpg"))
    assert (found.icc, len(found.notes)) == (b"", 1)
    assert "another colour space" in found.notes[0]
    picture.save(tmp_path / "a.tif", save_all=True, append_images=[picture])
    assert "all pages but the first" in read_picture(str(tmp_path / "a.tif")).notes[0]
    assert "JPEG is lossy" in write_picture(str(tmp_path / "b.jpg"), Picture(drawn(40, 56, 3)))[0]


def test_headers_of_pnm_end_with_any_space(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"P6 2 2 255\n" + bytes(12))
    assert looks_like_picture(str(tmp_path / "a"))


def test_a_broken_profile_does_not_lose_the_picture(tmp_path: Path) -> None:
    notes = write_picture(str(tmp_path / "a.png"), Picture(drawn(40, 56, 3), icc=b"no profile"))
    assert (pixels_of(tmp_path / "a.png") == drawn(40, 56, 3)).all()
    assert "the writer refused the picture's colour profile" in notes[0]


def test_sixteen_bits_come_back(run: Run, tmp_path: Path) -> None:
    source, file, back = (str(tmp_path / name) for name in ("in.png", "a.nvc", "back.png"))
    write_picture(source, Picture(drawn(30, 40, 4, deep=True)))
    run("encode", source, file, "--lossless", "--preset", "fast")
    run("decode", file, back)
    assert (pixels_of(back) == drawn(30, 40, 4, deep=True)).all()
    failed = run("decode", file, tmp_path / "back.webp")
    assert (failed.code, failed.out) == (1, b"")
    assert ".webp files hold no 16-bit samples" in failed.err


def test_our_own_pictures_are_read_as_they_are_restored(run: Run, png: str, tmp_path: Path) -> None:
    first, second, back = tmp_path / "a.nvc", tmp_path / "b.nvc", tmp_path / "back.png"
    run("encode", png, first, "--lossless", "--preset", "fast")
    assert run("encode", first, second, "--lossless", "--preset", "fast").code == 0
    run("decode", second, back)
    assert (pixels_of(back) == pixels_of(png)).all()
    with pytest.raises(FormatError, match="still picture, not a film"):
        codec.open(first)


def test_pipes(run: Run, png: str, tmp_path: Path) -> None:
    made = subprocess.run(
        [sys.executable, "-c", "from codec.cli.main import main; main()", "encode", "-", "-", "--preset", "fast"],
        input=Path(png).read_bytes(), capture_output=True, check=True,
    )  # fmt: skip
    (tmp_path / "a.nvc").write_bytes(made.stdout)
    back = subprocess.run(
        [sys.executable, "-c", "from codec.cli.main import main; main()", "decode", "-", "-"],
        input=made.stdout, capture_output=True, check=True,
    )  # fmt: skip
    assert parse_picture(back.stdout, "-").pixels.shape == (60, 80, 3)
    shown = run("decode", tmp_path / "a.nvc", "-")
    assert shown.code == 0
    assert parse_picture(shown.out, "-").pixels.shape == (60, 80, 3)


def test_info_adds_up(run: Run, png: str, tmp_path: Path) -> None:
    file = tmp_path / "a.nvc"
    run("encode", png, file, "--max-error", "2", "--preset", "fast")
    found = json.loads(run("info", file, "--json").out)
    parts = found["bytes"]
    assert parts.pop("file") == file.stat().st_size == sum(parts.values())
    assert all(size >= 0 for size in parts.values())
    assert (found["width"], found["height"], found["channels"], found["max_error"]) == (80, 60, 3, 2)
    assert parts["exif"] == len(EXIF)
    assert "every sample within 2" in run("info", file).out.decode()


def test_a_page_of_a_tiff(run: Run, film: Path, tmp_path: Path) -> None:
    pages = [drawn(40, 56, 3), 255 - drawn(30, 20, 3)]
    source, file, back = tmp_path / "a.tif", tmp_path / "a.nvc", tmp_path / "a.png"
    cv2.imwritemulti(str(source), [np.ascontiguousarray(page[..., ::-1]) for page in pages])
    done = run("encode", source, file, "--lossless", "--preset", "fast", "--page", "2")
    assert (done.code, "a.tif: all pages but number 2 of 2 left out" in done.err) == (0, True)
    assert run("decode", file, back).code == 0
    assert (pixels_of(back) == pages[1]).all()
    for name, number, code, words in (
        (source, 3, 1, "a.tif: it has no page 3: there are 2"),
        (back, 1, 1, "a.png: only a TIFF has pages"),
        (file, 1, 1, "a.nvc: only a TIFF has pages"),
        (tmp_path, 1, 2, "--page is for single pictures"),
        (film, 1, 2, "--page is for pictures"),
    ):
        failed = run("encode", name, tmp_path / "b.nvc", "--page", str(number))
        assert (failed.code, words in failed.err) == (code, True), failed.err


def test_what_is_not_the_files_own_is_not_called_lossless(run: Run, tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    source, file = tmp_path / "a.jpg", tmp_path / "a.nvc"
    image.fromarray(drawn(40, 56, 3)).convert("CMYK").save(source)
    refused = run("encode", source, file, "--lossless")
    assert (refused.code, file.exists()) == (1, False)
    assert "a.jpg: the picture cannot be stored losslessly: CMYK is converted to RGB" in refused.err
    done = run("encode", source, file, "--preset", "fast")
    assert (done.code, "a.jpg: CMYK is converted to RGB" in done.err) == (0, True)


def test_folder_with_a_table_and_one_that_fails(run: Run, tmp_path: Path) -> None:
    folder, out, back = tmp_path / "in", tmp_path / "out", tmp_path / "back"
    (folder / "sub").mkdir(parents=True)
    for name in ("a.png", "a.jpg", "sub/b.png"):
        cv2.imwrite(str(folder / name), drawn(40, 56, 3))
    (folder / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "notes.txt").write_text("no picture")
    done = run("encode", folder, out, "--preset", "fast", "--threads", "2")
    assert done.code == 1
    assert sorted(str(p.relative_to(out)) for p in out.rglob("*.nvc")) == ["a.jpg.nvc", "a.png.nvc", "sub/b.nvc"]
    assert "torn.png is no picture" in done.err
    assert "[3/4] sub/b.png: 56x40, " in done.err
    assert "mean PSNR-RGB" in done.err
    (out / "sub" / "b.nvc").unlink()
    (folder / "torn.png").unlink()
    again = run("encode", folder, out, "--preset", "fast", "--resume")
    assert again.code == 0
    assert "[1/1] sub/b.png" in again.err
    assert run("decode", out, back).code == 0
    assert sorted(p.name for p in back.rglob("*.png")) == ["a.jpg.png", "a.png.png", "b.png"]


def test_no_two_pictures_of_a_folder_go_to_one_file(run: Run, tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for name in ("a.jpg", "a.png", "a.png.png", "b.png"):
        cv2.imwrite(str(folder / name), drawn(40, 56, 3))
    (folder / "c.heic").write_bytes(b"another kind")
    done = run("encode", folder, out, "--preset", "fast")
    assert sorted(p.name for p in out.iterdir()) == ["a.jpg.nvc", "a.png.nvc", "a.png.png.nvc", "b.nvc"]
    assert "a file of another kind was passed over (c.heic)" in done.err
    for number in range(5):
        (folder / f"{number}.txt").write_bytes(b"another kind")
    done = run("encode", folder, out, "--preset", "fast", "--resume")
    assert "6 files of other kinds were passed over (.heic, .txt)" in done.err


@pytest.mark.parametrize("how", [(), ("--lossless",)])
def test_animations_of_a_folder_are_left_out_and_named(how: tuple[str, ...], run: Run, tmp_path: Path) -> None:
    """A first picture would stand for the film. Those of one picture are taken."""
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    frames = random_frames(1, 40, 56, 2, 1)
    (folder / "film.webp").write_bytes(webp(40, 56, frames))
    (folder / "film.png").write_bytes(apng(40, 56, frames))
    for name in ("a.jp2", "one.gif"):
        cv2.imwrite(str(folder / name), drawn(40, 56, 3))
    done = run("encode", folder, out, "--preset", "fast", *how)
    assert done.code == 0
    assert sorted(p.name for p in out.iterdir()) == ["a.nvc", "one.nvc"]
    for name in ("film.webp", "film.png"):
        assert f"note: {folder / name} is an animation: encode it by itself" in done.err
    for name in ("a.jp2", "one.gif"):
        (folder / name).unlink()
    assert "in holds animations alone of the kinds" in run("encode", folder, out).err


def test_what_pictures_of_a_folder_lose_is_told_of_each(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.png", "b.jpg", "c.jp2"):
        cv2.imwrite(str(folder / name), drawn(40, 56, 3))
        with (folder / name).open("ab") as file:
            file.write(b"a trailer" if name != "c.jp2" else b"")
    done = run("encode", folder, tmp_path / "out", "--preset", "fast")
    for name in ("a.png", "b.jpg"):
        assert f"note: {folder / name}: what lies behind its end left out" in done.err
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.nvc", "b.nvc", "c.nvc"]


def test_folder_gives_the_same_bytes_as_one_by_one(run: Run, png: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(Path(png).read_bytes())
    run("encode", tmp_path / "in", tmp_path / "out")
    run("encode", png, tmp_path / "one.nvc")
    assert (tmp_path / "out" / "a.nvc").read_bytes() == (tmp_path / "one.nvc").read_bytes()


def test_json_tells_programs(run: Run, png: str, tmp_path: Path) -> None:
    done = run("encode", png, tmp_path / "a.nvc", "--lossless", "--preset", "fast", "--json")
    last = json.loads(done.out.splitlines()[-1])
    assert last["event"] == "done"
    assert last["bytes"] == (tmp_path / "a.nvc").stat().st_size
    assert (last["lossless"], last["psnr"]) == (True, None)


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        ("encode {png} out.nvc --bitrate 100", 2, "--bitrate is for films"),
        ("encode {png} out.nvc --scale 2", 2, "--scale is for films"),
        ("encode {png} out.nvc --target-ssim 0.9", 2, "--target-ssim is for films"),
        ("encode {png} --sample", 2, "--sample is for films"),
        ("encode {png} out.nvc --crf 20 --bpp 1", 2, "--crf and --bpp contradict"),
        ("encode {png} out.nvc --device abacus", 2, "abacus"),
        ("encode {empty} -", 2, "cannot go to standard output"),
        ("decode {empty} -", 2, "cannot go to standard output"),
        ("encode {png} out.nvc --resume", 2, "--resume is for films and folders"),
        ("encode {png} {png} -y", 2, "is both input and output"),
        ("encode {png} - --json", 2, "--json and a file on standard output"),
        ("encode {png} {file}", 1, "exists already"),
        (
            "encode {png} {folder}/out.png",
            2,
            "out.png: encode writes pictures as .nvc or .avif (both",
        ),
        ("encode {png} {folder}/out.MKV", 2, "not as .mkv"),
        ("encode {png} {folder}/none/out.nvc", 1, "there is no folder"),
        ("encode {folder}/none.png out.nvc", 1, "none.png"),
        ("encode {torn} out.nvc", 1, "torn.png is no picture"),
        ("encode {empty} out", 1, "holds no file of the kinds"),
        ("decode {file} {folder}/out.mkv", 2, "pictures are written as"),
        ("decode {file} {folder}/out.png --start 1", 2, "--start is for films"),
        ("decode {cut} {folder}/out.png", 1, "cut.nvc: "),
        ("verify {cut}", 1, "cut.nvc: "),
        ("info {cut}", 1, "cut.nvc: "),
        ("verify {avif}", 1, "it is an ordinary picture"),
        ("upscale {png} {folder}/out.png --scale 5", 2, "--scale"),
        ("upscale {png} {folder}/out.png --model {png}", 1, "no file of a head"),
        ("upscale {png} {folder}/out.gif", 2, "pictures are written as"),
        ("upscale {png} {png} -y", 2, "is both input and output"),
        ("upscale {torn} {folder}/out.png", 1, "torn.png is no picture"),
        ("train-upscaler {empty} --out {folder}/m.bin", 1, "no folder of pictures"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    run: Run, png: str, tmp_path: Path, words: str, code: int, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    paths = {"png": png, "folder": str(tmp_path), "file": str(tmp_path / "a.nvc"), "empty": str(tmp_path / "empty")}
    paths |= {"torn": str(tmp_path / "torn.png"), "cut": str(tmp_path / "cut.nvc"), "avif": str(tmp_path / "a.avif")}
    run("encode", png, paths["file"], "--preset", "fast")
    Path(paths["cut"]).write_bytes(Path(paths["file"]).read_bytes()[:-40])
    Path(paths["torn"]).write_bytes(b"\x89PNG\r\n\x1a\n")
    cv2.imwrite(paths["avif"], drawn(40, 56, 3))
    Path(paths["empty"]).mkdir()
    before = sorted(tmp_path.iterdir())
    failed = run(*(word.format(**paths) for word in words.split()))
    assert failed.code == code
    assert sentence in failed.err
    assert len(failed.err.strip().splitlines()) <= 4  # click shows its usage
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("command", ["encode {png} {out}.nvc", "decode {nvc} {out}.png", "upscale {png} {out}.png"])
def test_a_device_that_there_is_not_is_one_sentence(
    run: Run, png: str, tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("encode", png, tmp_path / "a.nvc", "--preset", "fast", "--device", "cpu", "--threads", "1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    words = command.format(png=png, nvc=tmp_path / "a.nvc", out=tmp_path / "out").split()
    failed = run(*words, "--device", "cuda")
    assert failed.code == 2
    assert "there is no CUDA device here" in failed.err
    assert not list(tmp_path.glob("out*"))
    assert run(*words, "--device", "cpu", "--threads", "1").code == 0


def test_bpp_of_a_film_is_refused(run: Run, make_film: Any, tmp_path: Path) -> None:
    failed = run("encode", make_film("in.mp4"), tmp_path / "out.nvc", "--bpp", "1")
    assert failed.code == 2
    assert "--bpp is for pictures" in failed.err


def test_upscale(run: Run, png: str, tmp_path: Path) -> None:
    done = run("upscale", png, tmp_path / "large.png", "--scale", "3", "--tile", "32")
    assert done.code == 0
    assert "240x180" in done.err
    assert pixels_of(tmp_path / "large.png").shape == (180, 240, 3)
    assert read_picture(str(tmp_path / "large.png")).exif == EXIF
    assert run("upscale", png, "-").out.startswith(b"\x89PNG")


# Pillow


def test_pillow_opens_and_saves(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    import codec.pillow

    path = tmp_path / "a.nvc"
    for channels, mode in ((1, "L"), (2, "LA"), (3, "RGB"), (4, "RGBA")):
        pixels = drawn(40, 56, channels)
        picture = image.fromarray(pixels[..., 0] if channels == 1 else pixels)
        picture.save(path, lossless=True, preset="fast", icc_profile=b"mine", exif=b"Exif\0\0" + EXIF)
        found = image.open(path)
        assert (found.format, found.mode, found.size) == (codec.pillow.FORMAT, mode, (56, 40))
        assert (np.asarray(found) == np.asarray(picture)).all()
        assert found.info["icc_profile"] == b"mine"
        assert found.getexif()[0x0112] == 6
    deep = image.fromarray(drawn(40, 56, 1, deep=True)[..., 0])
    deep.save(path, lossless=True, preset="fast")
    assert (np.asarray(image.open(path)) == np.asarray(deep)).all()
    small, large = io.BytesIO(), io.BytesIO()
    for file, crf in ((small, 50), (large, 20)):
        image.fromarray(drawn(40, 56, 3)).save(file, "NVC", crf=crf)
    assert len(small.getvalue()) < len(large.getvalue())
    grey = image.fromarray(drawn(40, 56, 1)[..., 0])
    grey.info["transparency"] = 90
    grey.save(path)
    assert image.open(path).mode == "LA"
    image.fromarray(drawn(40, 56, 3)).quantize(16).save(path)
    assert image.open(path).mode == "RGB"


def test_pillow_knows_quality(monkeypatch: pytest.MonkeyPatch) -> None:
    image = pytest.importorskip("PIL.Image")
    import codec.pillow

    asked: list[codec.StillSettings] = []

    def encode_still(picture: Picture, settings: codec.StillSettings) -> codec.still.encode.CodedStill:
        asked.append(settings)
        return codec.still.encode.CodedStill(picture.exif or b"none", 1.0, 1.0, False, {})

    monkeypatch.setattr(codec.pillow, "encode_still", encode_still)
    picture, file = image.fromarray(drawn(40, 56, 3)), io.BytesIO()
    for quality in (100, 75, 50, 0):
        picture.save(file, "NVC", quality=quality, optimize=True, subsampling="4:2:0", speed=6)
    assert [settings.crf for settings in asked] == [1, 15.75, 31.5, 63]
    picture.save(file, "NVC", quality=80, lossless=True)
    assert (asked[-1].crf, asked[-1].max_error) == (None, 0)
    for wrong in (-1, 101, 80.5, "high"):
        with pytest.raises(ValueError, match=r"quality must be a whole number in 0\.\.100"):
            picture.save(file, "NVC", quality=wrong)
    with pytest.raises(ValueError, match="quality and bpp contradict each other"):
        picture.save(file, "NVC", quality=80, bpp=1.0)
    picture.info["exif"] = b"Exif\0\0" + EXIF
    for wishes, wanted in (({}, b"none"), ({"exif": EXIF}, EXIF), ({"exif": picture.getexif()}, b"MM\0*")):
        file = io.BytesIO()
        picture.save(file, "NVC", **wishes)
        assert file.getvalue().startswith(wanted)


def test_pillow_faults(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    import codec.pillow

    assert codec.pillow.FORMAT in image.OPEN
    picture = image.fromarray(drawn(40, 56, 3))
    with pytest.raises(OSError, match="crf must lie"):
        picture.save(tmp_path / "a.nvc", crf=99)
    with pytest.raises(OSError, match="cannot write mode CMYK"):
        picture.convert("CMYK").save(tmp_path / "a.nvc")
    with pytest.raises(OSError, match="cannot write as NVC"):
        image.new("RGB", (0, 0)).save(tmp_path / "a.nvc")
    picture.save(tmp_path / "a.nvc", preset="fast")
    data = bytearray((tmp_path / "a.nvc").read_bytes())
    data[-30] ^= 255
    with pytest.raises(OSError, match=r"checksum|decode|base"):
        image.open(io.BytesIO(data)).load()
    picture.save(tmp_path / "a.avif")
    assert image.open(tmp_path / "a.avif").format == "AVIF"


def test_an_enlarged_picture_is_turned_by_nobody_and_what_was_left_out_is_told(run: Run, tmp_path: Path) -> None:
    source, target = str(tmp_path / "in.tif"), tmp_path / "out.png"
    cv2.imwritemulti(source, [drawn(20, 30, 3), drawn(20, 30, 3)])
    done = run("upscale", source, target)
    assert done.code == 0
    notes = [line for line in done.err.splitlines() if line.startswith("note: ")]
    assert len(notes) == 1 and f"{source}: all pages but" in notes[0]
    write_picture(str(tmp_path / "turned.png"), Picture(drawn(20, 30, 3), exif=EXIF))
    assert run("upscale", tmp_path / "turned.png", target, "-y").code == 0
    kept = read_picture(str(target))
    assert (kept.pixels.shape, kept.exif) == ((40, 60, 3), EXIF)
