"""The maker of long films and what measures them: no two pictures alike, and no wrong picture passes."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import codec
from bench.checks.long_film import main
from bench.checks.long_film.making import drawn, make
from bench.checks.long_film.measuring import places, sought
from codec.frames import PlaneFormat
from codec.media.demuxed import open_source
from codec.media.libav import open_film
from codec.settings import Settings

SIZE, RATE = (96, 64), Fraction(25)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two films of five seconds of different seeds, and the first as .nvc."""
    folder = tmp_path_factory.mktemp("films")
    for seed in (1, 2):
        make(str(folder / f"{seed}.mp4"), 125, SIZE, RATE, seed, threads=1)
    settings = Settings(preset="fast", head=False, scale=Fraction(1), device="cpu", crf=20)
    codec.encode(folder / "1.mp4", folder / "1.nvc", settings)
    return folder


def test_pictures_are_seeded_and_no_two_are_alike() -> None:
    pictures = [np.concatenate([p.ravel() for p in planes]) for planes in islice(drawn(SIZE, RATE, 7), 400)]
    again = islice(drawn(SIZE, RATE, 7), 400)
    assert all((a == np.concatenate([p.ravel() for p in b])).all() for a, b in zip(pictures, again, strict=True))
    assert len({p.tobytes() for p in pictures}) == 400
    assert not np.array_equal(pictures[0], np.concatenate([p.ravel() for p in next(drawn(SIZE, RATE, 8))]))


def test_films_are_as_long_as_asked_and_have_sound(films: Path) -> None:
    with open_source(films / "1.mp4") as film:
        assert (film.info.width, film.info.height, film.info.format) == (*SIZE, PlaneFormat("420", 8))
        assert [f.pts * film.info.time_base for f in film.frames()] == [k / RATE for k in range(125)]
    with open_film(films / "1.mp4") as opened:
        voice = opened.streams.audio[0]
        packets = [p for p in opened.demux(voice) if p.size]
    assert abs(sum(p.duration for p in packets) * voice.time_base - 5) < Fraction(1, 10)


def test_places_are_spread_over_the_film() -> None:
    found = places(Fraction(100), 10, 1)
    assert [int(t // 10) for t in found] == list(range(10))
    assert found == places(Fraction(100), 10, 1) != places(Fraction(100), 10, 2)


def test_right_pictures_pass_and_wrong_ones_do_not(films: Path) -> None:
    for start in (Fraction(0), Fraction(1, 100), Fraction(237, 100), Fraction(479, 100)):
        seek = sought(str(films / "1.nvc"), str(films / "1.mp4"), start, "cpu")
        assert seek.faults == [] and seek.pictures == 5 and seek.psnr > 30
        assert sought(str(films / "1.nvc"), str(films / "2.mp4"), start, "cpu").faults


def test_pictures_of_a_moment_later_are_noticed(films: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = codec.Film.frames

    def late(film: codec.Film, start: Fraction, duration: Fraction) -> object:
        shifted = list(frames(film, start + 1 / RATE, duration))
        return iter([codec.Frame(f.planes, f.pts - round(1 / RATE / film.info.time_base), f.duration) for f in shifted])

    monkeypatch.setattr(codec.Film, "frames", late)
    seek = sought(str(films / "1.nvc"), str(films / "1.mp4"), Fraction(2), "cpu")
    assert any("more like its neighbour" in fault or "dB at" in fault for fault in seek.faults)


def test_a_film_that_is_there_is_measured_without_being_encoded(films: Path) -> None:
    words = ["measure", str(films / "1.mp4"), "--out", str(films / "1.nvc"), "--seeks", "2", "--part", "0.2"]
    result = CliRunner().invoke(main, [*words, "--device", "cpu"])
    assert result.exit_code == 0, result.output
    assert "is there already" in result.output and "| encode " not in result.output
