"""Made films that the head of films is trained on: seeded, coded by the base, and of use to a training."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from codec.base.quantiser import base_q_of
from codec.cli.train import train_film_command
from codec.errors import InputError
from codec.train import film as teach_films
from codec.train.made_films import LARGE, SIZE
from heads.restorer import store
from heads.restorer.model import HeadModel
from heads.restorer.planes import packed
from heads.restorer.pretrain import Course, Sample, draw, grow
from heads.restorer.spec import HeadSpec
from samples.texture import relief, sprig


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    for name, picture in (("a", relief(200, 150)), ("b", sprig(160, 140))):
        pixels = (picture >> 8).astype(np.uint8) if picture.dtype == np.uint16 else picture
        pixels = np.repeat(pixels[..., None], 3, 2) if pixels.ndim == 2 else pixels[..., :3]
        assert cv2.imwrite(str(folder / f"{name}.png"), pixels)
    return folder


def test_made_films_move_and_come_again(pictures: Path) -> None:
    paths = sorted(pictures.iterdir())
    first, again = (next(teach_films.films(paths, 1, 12, seed)) for seed in (3, 3))
    assert len(first) == teach_films.KEPT
    for a, b in zip(first, again, strict=True):
        assert a.base_q == b.base_q and a.weights == b.weights
        for x, y in zip((*a.upscaled, *a.source), (*b.upscaled, *b.source), strict=True):
            assert np.array_equal(x, y)
    rows, columns = SIZE
    assert [p.shape for p in first[0].source] == [(rows, columns), *[(rows // 2, columns // 2)] * 2]
    assert all(not np.array_equal(first[0].source[0], one.source[0]) for one in first[1:])
    assert len({one.base_q for one in first}) > 1, "each picture is told of its own quantiser"
    assert all(min(one.likeness) > 0 for one in first)
    error = float(np.square((first[0].upscaled[0] - first[0].source[0]).astype(float)).mean())
    assert 0 < error < 4000, "the base is near its source"
    assert -128 <= first[0].base_q <= base_q_of(63)


def test_smaller_bases_come_back_at_full_size(pictures: Path) -> None:
    for scale in (Fraction(3, 2), Fraction(3)):
        samples = next(teach_films.films(sorted(pictures.iterdir()), 1, 12, 3, scale))
        assert len(samples) == teach_films.KEPT // 2
        for one in samples:
            shapes = [LARGE, *[(LARGE[0] // 2, LARGE[1] // 2)] * 2]
            assert [p.shape for p in one.upscaled] == [p.shape for p in one.source] == shapes
            assert float(np.abs(one.upscaled[0] - one.source[0]).mean()) < 100, "the same picture"


def test_a_larger_head_goes_on_as_a_smaller_one() -> None:
    generator = torch.Generator().manual_seed(3)
    small = HeadModel(HeadSpec(6, 0, 3, 8, True, True), generator)
    small.weight[-1].normal_(0, 0.05, generator=generator)
    small.choose_scales()
    large = HeadModel(HeadSpec(6, 0, 5, 12, True, True), generator)
    grow(large, small.spec, layers := small.layers())
    small.load(layers)
    x = torch.randn(2, 7, 20, 24, generator=generator)
    assert torch.allclose(large(x), small(x), atol=1e-3) and small(x).abs().max() > 1
    for spec in (HeadSpec(6, 0, 6, 8, True, True), HeadSpec(6, 0, 3, 16, True, True), HeadSpec(6, 0, 3, 8, True)):
        with pytest.raises(ValueError, match="cannot go on"):
            grow(large, spec, HeadModel(spec).layers())


def test_samples_of_films_keep_planes_together(pictures: Path) -> None:
    """Crops are turned and mirrored; luma and chroma must be turned alike."""
    sample = next(teach_films.films(sorted(pictures.iterdir()), 1, 12, 4))[0]
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    luma = (rows // 2 * 4 + columns // 2).astype(np.int16)
    chroma = luma[::2, ::2].copy()
    marked = Sample([luma, chroma, chroma], [luma, chroma, chroma], 5, sample.weights)
    spec = HeadSpec(6, 0, 2, 4, base_q=True)
    x, t, w = draw([marked], spec, Course(batch=16, crop=16), np.random.default_rng(1))
    cells = (x * 256).round() + 512
    for channel in range(6):
        assert (cells[:, channel] == cells[:, 4]).all()
    assert (cells[:, 6] - 512 == 5).all() and not t.any() and w.shape == (16, 3)


def test_gain_of_a_head_that_changes_nothing_is_none(pictures: Path) -> None:
    samples = next(teach_films.films(sorted(pictures.iterdir()), 1, 12, 5))
    model = HeadModel(teach_films.FILM)
    model.choose_scales(2)
    assert teach_films.gain(samples, teach_films.FILM, model.layers()) == 0
    assert packed(samples[0].source, teach_films.FOLDS).shape == (96, 160, 6)


def test_command_trains_a_head_that_the_package_could_ship(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teach_films, "HELD", 1)
    asked = [str(pictures), "--films", "1", "--steps", "6", "--preset", "12", "--out", str(tmp_path / "film.bin")]
    asked += ["--layers", "3", "--width", "8"]
    result = CliRunner().invoke(train_film_command, asked)
    assert result.exit_code == 0, result.output
    head = store.read((tmp_path / "film.bin").read_bytes())
    assert (head.spec, head.scale) == (HeadSpec(6, 0, 3, 8, True, True), 1)


def test_a_folder_without_pictures_is_named(tmp_path: Path) -> None:
    result = CliRunner().invoke(train_film_command, [str(tmp_path), "--out", str(tmp_path / "film.bin")])
    assert isinstance(result.exception, InputError) and str(tmp_path) in str(result.exception)
