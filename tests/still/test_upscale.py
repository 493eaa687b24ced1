"""The upscaler of pictures: better than filters, without seams, of any kind of picture, and trained anew by anyone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from codec.base.colour import TO_RGB
from codec.errors import InputError, OutputError, UsageError
from codec.events import Event, Share
from codec.media.pictures import Picture, write_picture
from codec.still.encode import psnr_of
from codec.still.upscale import load_upscaler, upscaled_picture
from codec.train import still as teach
from codec.train.course import gain
from codec.train.photos import pictures_in, shrunk
from heads.layers import HeadError
from heads.loop import Step
from heads.restorer import store
from heads.restorer.integer import IntegerHead
from heads.restorer.model import HeadModel
from heads.restorer.pretrain import Course, Trainer, draw
from heads.restorer.spec import HeadSpec
from tests.heads.drawn_heads import drawn_head
from tests.splat.makers import scene
from tests.still.makers import drawn

SMALL = HeadSpec(planes=12, layers=3, width=6, adding=True)


def lanczos(pixels: NDArray[Any], scale: int) -> NDArray[Any]:
    size = (pixels.shape[1] * scale, pixels.shape[0] * scale)
    return cv2.resize(pixels, size, interpolation=cv2.INTER_LANCZOS4).reshape(size[1], size[0], -1)


def sharp(rows: int, columns: int) -> NDArray[Any]:
    """Edges at all angles, lines and a texture, as photographs have them."""
    y, x = np.mgrid[:rows, :columns].astype(np.float64)
    rings = 110 + 90 * np.sign(np.sin(np.hypot(y - rows / 2, x - columns / 3) / 9))
    lines = np.where((x + 2 * y) % 37 < 4, -70, 0)
    luma = cv2.GaussianBlur(rings + lines, (0, 0), 0.6)
    tint = np.array([1.0, 0.9, 0.7])
    return np.clip(luma[..., None] * tint, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_shipped_head_beats_lanczos(scale: int) -> None:
    picture = sharp(120, 168)
    small = shrunk(picture, scale)
    found = upscaled_picture(Picture(small), load_upscaler(scale, None)).pixels
    assert psnr_of(found, picture, 255) > psnr_of(lanczos(small, scale), picture, 255) + 0.5


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_every_kind_of_picture(channels: int, deep: bool) -> None:
    picture = Picture(drawn(21, 34, channels, deep), icc=b"profile", exif=b"MM\0*")
    found = upscaled_picture(picture, load_upscaler(2, None))
    assert found.pixels.shape == (42, 68, channels)
    assert found.pixels.dtype == picture.pixels.dtype
    assert (found.icc, found.exif) == (picture.icc, picture.exif)
    small = found.pixels.astype(np.float64).reshape(21, 2, 34, 2, channels).mean((1, 3))
    assert np.abs(small - picture.pixels).mean() < 0.03 * picture.peak


def test_sixteen_bits_are_those_of_eight_and_finer() -> None:
    pixels = scene(40, 40)
    eight = upscaled_picture(Picture(pixels), load_upscaler(2, None)).pixels
    deep = upscaled_picture(Picture(pixels.astype(np.uint16) * 257), load_upscaler(2, None)).pixels
    assert np.abs(deep / 257 - eight).max() <= 0.75
    assert len(np.unique(deep)) > 256


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (37, 50), (64, 31)], ids=str)
def test_no_seams(scale: int, size: tuple[int, int]) -> None:
    """Any size of tiles and any number of threads give the same samples."""
    picture, head = Picture(scene(*size)), load_upscaler(scale, None)
    whole = upscaled_picture(picture, head, tile=1000).pixels
    for tile, threads in ((16, 1), (17, 2), (32, 1)):
        assert (upscaled_picture(picture, head, tile=tile, threads=threads).pixels == whole).all()


def test_progress_ends_at_one() -> None:
    told: list[Event] = []
    upscaled_picture(Picture(scene(40, 40)), load_upscaler(2, None), tile=16, listen=told.append)
    shares = [event.share for event in told if isinstance(event, Share)]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert len(shares) == len(told) == 9


def test_what_would_be_too_large_is_refused() -> None:
    with pytest.raises(InputError, match="too large to be enlarged by 4"):
        upscaled_picture(Picture(np.zeros((20000, 1, 1), np.uint8)), load_upscaler(4, None))


# heads as files


def test_stored_heads_come_back(tmp_path: Path) -> None:
    stored = load_upscaler(3, None)
    data = store.write(stored.spec, stored.scale, stored.layers)
    (tmp_path / "mine.bin").write_bytes(data)
    mine = load_upscaler(None, str(tmp_path / "mine.bin"))
    assert mine.scale == 3
    assert [layer.scale_bits for layer in mine.layers] == [layer.scale_bits for layer in stored.layers]
    assert all((a.weight == b.weight).all() for a, b in zip(mine.layers, stored.layers, strict=True))
    with pytest.raises(UsageError, match="enlarges by 3, not by 2"):
        load_upscaler(2, str(tmp_path / "mine.bin"))
    for at in (0, 5, 8, len(data) // 2, len(data) - 1):
        broken = bytearray(data)
        broken[at] ^= 1
        with pytest.raises(HeadError):
            store.read(bytes(broken))
        (tmp_path / "broken.bin").write_bytes(broken)
        with pytest.raises(InputError, match=r"broken\.bin: "):
            load_upscaler(None, str(tmp_path / "broken.bin"))
    with pytest.raises(HeadError):
        store.read(data[:40])


def test_a_head_for_stills_does_not_enlarge(tmp_path: Path) -> None:
    stored = store.pretrained(store.STILL_HEADS[1])
    (tmp_path / "still.bin").write_bytes(store.write(stored.spec, 1, stored.layers))
    with pytest.raises(InputError, match="does not enlarge"):
        load_upscaler(None, str(tmp_path / "still.bin"))


def test_package_holds_a_few_hundred_kilobytes() -> None:
    folder = Path(store.__file__).parent
    assert sum(path.stat().st_size for path in folder.glob("*.bin")) < 600_000


# training


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    for k in range(4):
        write_picture(str(tmp_path / "pictures" / f"{k}.png"), Picture(sharp(96 + 8 * k, 110)))
    (tmp_path / "pictures" / "notes.txt").write_text("no picture")
    (tmp_path / "pictures" / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return tmp_path / "pictures"


def test_training_gains_and_the_result_enlarges(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teach, "UPSCALER", SMALL)
    monkeypatch.setattr("heads.restorer.pretrain.SAVED_EVERY", 40)
    told: list[Any] = []
    out = tmp_path / "mine.bin"
    result = teach.train_upscaler(folder, out, 2, steps=160, listen=told.append)
    assert result.gain > 0.1
    assert [event.data["step"] for event in told] == [40, 80, 120, 160]
    assert result.bytes == out.stat().st_size
    assert list(tmp_path.glob(".*")) == []
    head = load_upscaler(None, str(out))
    assert upscaled_picture(Picture(scene(20, 20)), head).pixels.shape == (40, 40, 3)


def test_an_interrupted_training_ends_as_it_would_have(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heads.restorer.pretrain.SAVED_EVERY", 10)
    samples = teach.upscaling(pictures_in(folder), 2)
    course = Course(steps=40, batch=2, crop=16, integer_share=0.4)
    state = tmp_path / "state"

    def trainer() -> Trainer:
        return Trainer(samples, SMALL, course, TO_RGB)

    whole = trainer().run()

    class Stop(Exception):
        pass

    def stop(at: Step) -> None:
        if at.step == 30:
            raise Stop

    with pytest.raises(Stop):
        trainer().run(stop, state)
    again = trainer()
    taken_up = again.run(state=state)
    assert all((a.weight == b.weight).all() for a, b in zip(whole, taken_up, strict=True))
    with pytest.raises(ValueError, match="another head"):
        Trainer(samples, replace(SMALL, width=7), course, TO_RGB).run(state=state)
    for broken in (b"PK nothing", b"", state.read_bytes()[:-30]):
        state.write_bytes(broken)
        with pytest.raises(ValueError, match="no state of a training"):
            trainer().run(state=state)


def test_the_state_of_a_training_lies_in_a_folder_of_its_own(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teach, "UPSCALER", SMALL)
    monkeypatch.setattr("heads.restorer.pretrain.SAVED_EVERY", 2)
    out, state = tmp_path / "mine.bin", tmp_path / ".mine.bin.state"

    def stop(event: Any) -> None:
        if event.data["step"] == 4:
            raise KeyboardInterrupt

    state.write_bytes(b"precious")
    for resume in (False, True):
        with pytest.raises(OutputError, match="state of the training would be kept, is no folder"):
            teach.train_upscaler(folder, out, 2, steps=6, resume=resume)
    assert state.read_bytes() == b"precious"
    state.unlink()
    with pytest.raises(KeyboardInterrupt):
        teach.train_upscaler(folder, out, 2, steps=6, listen=stop)
    assert (state / "state.npz").is_file() and not out.exists()
    told: list[Any] = []
    teach.train_upscaler(folder, out, 2, steps=6, resume=True, listen=told.append)
    assert [event.data["step"] for event in told] == [6] and out.is_file()
    assert list(tmp_path.glob(".*")) == []


def test_training_does_not_depend_on_threads(folder: Path) -> None:
    samples = teach.upscaling(pictures_in(folder), 2)
    course = Course(steps=12, batch=4, crop=16)
    heads = [Trainer(samples, SMALL, course, TO_RGB, threads=n).run() for n in (1, 2)]
    assert all((a.weight == b.weight).all() for a, b in zip(*heads, strict=True))


def test_float_twin_is_the_integer_head(folder: Path) -> None:
    """What the last steps simulate is what `IntegerHead` computes, also for layers that add their input."""
    samples = teach.stills(pictures_in(folder), 1, 10)
    spec = replace(SMALL, base_q=True)
    layers = drawn_head(spec)
    model = HeadModel(spec)
    model.load(layers)
    model.quantised = True
    x, _, _ = draw(samples, spec, Course(batch=1, crop=16), np.random.default_rng(0))
    with torch.no_grad():
        simulated = model(x)[0].permute(1, 2, 0)
    found = IntegerHead(spec, layers).correction((x[0] * 256).permute(1, 2, 0).contiguous()) / 16
    assert float((simulated - found).abs().max()) <= 1 / 32
    assert float(found.abs().max()) > 1


def test_samples_of_stills_are_what_the_codec_sees(folder: Path) -> None:
    for k in range(2):  # whose chroma counts at half the size alone
        write_picture(str(folder / f"{k}.jpg"), Picture(sharp(96, 110)))
    samples = teach.stills(pictures_in(folder), 2, 10)
    assert {s.weights[1] > 0 for s in samples} == {True, False}, "of some only luma counts"
    assert all(s.weights[0] > 0 and s.weights[1] == s.weights[2] and min(s.likeness) > 0 for s in samples)
    assert all(-104 <= s.base_q < 112 for s in samples)
    assert all(a.shape == b.shape for s in samples for a, b in zip(s.upscaled, s.source, strict=True))


def test_a_flat_picture_held_back_has_no_gain(tmp_path: Path) -> None:
    write_picture(str(tmp_path / "black.png"), Picture(np.zeros((64, 64, 3), np.uint8)))
    samples = teach.upscaling(pictures_in(tmp_path), 2)
    stored = load_upscaler(2, None)
    assert gain(samples, stored.spec, stored.layers) <= 0


def test_folders_without_pictures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder of pictures"):
        pictures_in(tmp_path)
    write_picture(str(tmp_path / "tiny.png"), Picture(scene(8, 8)))
    with pytest.raises(InputError, match="no picture of 32 x 32"):
        teach.train_upscaler(tmp_path, tmp_path / "out.bin", 2, steps=2)
