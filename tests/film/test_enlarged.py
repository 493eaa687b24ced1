"""Films whose base is smaller, and of every chroma format, with heads of the program: stand-ins, since what is sent
must not depend on how a training comes out."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
import torch

import codec
from codec.errors import DamageError
from codec.film.reader import FilmReader
from codec.film.writer import write_film
from codec.frames import PlaneFormat
from codec.segment import payload
from codec.settings import SCALES, Settings
from heads.restorer import store
from heads.restorer.model import HeadModel
from heads.restorer.spec import HeadSpec
from tests.makers import LAVISH, scene_frames, shorten, write_frames

SPEC = HeadSpec(6, 0, 3, 6, base_q=True, adding=True)
NUMBERS = dict(enumerate(SCALES, 1))
SHAPES = [
    (PlaneFormat("420", 8), Fraction(2)),
    (PlaneFormat("444", 8), Fraction(3, 2)),
    (PlaneFormat("422", 10), Fraction(4)),
    (PlaneFormat("400", 8), Fraction(1)),
]


def stand_in(name: str) -> store.Stored:
    """A head that is untrained but for what a segment changes, with the scale of its number."""
    model = HeadModel(SPEC, torch.Generator().manual_seed(int(name)))
    model.choose_scales()
    return store.read(store.write(SPEC, NUMBERS[int(name)], model.layers()))


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten(monkeypatch, worth=LAVISH)
    monkeypatch.setattr(store, "FILM_HEADS", {number: str(number) for number in NUMBERS})
    monkeypatch.setattr(store, "pretrained", stand_in)


def encoded(
    folder: Path, fmt: PlaneFormat, scale: Fraction, lengths: tuple[int, ...] = (5,), loss: str = "off"
) -> Path:
    source = write_frames(folder / "in.mkv", scene_frames(fmt, 66, 47, lengths), fmt)
    wishes = Settings(preset="fast", device="cpu", scale=scale, loss="off", crf=45, threads=1)
    codec.encode(source, folder / "out.nvc", wishes)
    return folder / "out.nvc"


def headers(path: Path) -> list[payload.SegmentHeader]:
    return [payload.read_segment(unit.payloads[0]) for unit in FilmReader(path).units() if unit.keyframe]


@pytest.mark.parametrize(("fmt", "scale"), SHAPES, ids=str)
def test_every_scale_and_format_changes_the_head_of_the_program(
    fmt: PlaneFormat, scale: Fraction, tmp_path: Path
) -> None:
    path = encoded(tmp_path, fmt, scale, (5, 4))
    number = SCALES.index(scale) + 1
    for header in headers(path):
        assert (header.head_sent, header.reference, header.scale) == (payload.PRETRAINED_HEAD, number, scale)
        assert (header.format, header.layers, header.head_width) == (fmt, 3, 6)
        assert len(header.head) > 1
    assert codec.verify(path, device="cpu").frames == 9


def test_a_head_for_a_base_of_another_size_is_refused(tmp_path: Path) -> None:
    path = encoded(tmp_path, PlaneFormat("420", 8), Fraction(2))
    reader = FilmReader(path)
    units = list(reader.units())
    header = payload.read_segment(units[0].payloads[0])
    for number in (1, 2, 4):
        other = payload.write_segment(replace(header, reference=number))
        write_film(tmp_path / "wrong.nvc", [replace(units[0], payloads=(other,)), *units[1:]], reader.info, (33, 24))
        with pytest.raises(DamageError, match="base of another size"):
            list(codec.open(tmp_path / "wrong.nvc", device="cpu").frames())
