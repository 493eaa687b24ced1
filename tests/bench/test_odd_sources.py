"""`bench check sources`: its inputs are the same for the same seed, what is kept ends as equal, and a result that was
tampered with is found. PyAV is the judge here, so that no program is needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from bench.checks.sources import (
    film_check,
    film_making,
    films,
    picture_check,
    picture_making,
    pictures,
    plainly,
    running,
)
from bench.checks.sources.film_check import Compare, compared
from bench.checks.sources.outcome import EQUAL, EXCEPTED, FINDING, NOTED, REFUSED, Difference, Outcome, judged
from bench.checks.sources.picture_bytes import png, png_samples, pnm
from bench.checks.sources.reading import FilmReading, Line
from bench.checks.sources.sampling import Choice, spread

FILM: Choice = {
    "container": "mkv", "video": "ffv1", "size": "48x32", "rate": "25", "tick": "1/1000", "first": "0",
    "frames": "7", "pace": "even", "sound": "flac", "sound 2": "none", "sound at": "same", "text": "srt",
    "text how": "apart", "chapters": "two", "attached": "none", "turn": "none", "sar": "1", "colour": "bt709",
    "place": "left", "tags": "usual", "target": "mkv", "decoded": "mkv",
}  # fmt: skip
PICTURE: Choice = {
    "type": "png", "samples": "rgb", "depth": "8", "profile": "none", "orientation": "1", "extra": "none",
    "size": "17x13", "content": "noise", "decoded": "png",
}  # fmt: skip


@pytest.mark.parametrize("kind", [films, pictures])
def test_combinations_are_the_same_for_the_same_seed(kind: Any) -> None:
    few, many = (list(islice(spread(kind.AXES, kind.fits, 1), count)) for count in (6, 12))
    assert many[:6] == few
    assert list(islice(spread(kind.AXES, kind.fits, 2), 6)) != few
    for choice in many:
        axes = list(kind.AXES)
        for number, axis in enumerate(axes[1:], 1):
            before = {name: choice[name] for name in axes[:number]}
            assert kind.fits(axis, choice[axis], before)


def test_pairs_are_covered_early() -> None:
    axes = {name: tuple("abcd") for name in ("one", "two", "three")}
    seen = {(one["one"], one["two"]) for one in islice(spread(axes, lambda *_: True, 1), 22)}
    assert len(seen) == 16


def test_files_are_the_same_for_the_same_seed(tmp_path: Path) -> None:
    def both(folder: str) -> list[bytes]:
        (tmp_path / folder).mkdir()
        film = film_making.make(FILM | {"container": "avi", "text": "none"}, tmp_path / folder, 5)
        return [film.read_bytes(), picture_making.make(PICTURE, tmp_path / folder, 5)[0].read_bytes()]

    assert both("a") == both("b")


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"first": "5", "chapters": "none", "sound at": "later"},
        {"video": "h264-b", "sound": "opus", "text": "none"},
        {"container": "y4m", "video": "raw-422", "sound": "none", "text": "none", "chapters": "none", "tags": "none",
         "colour": "none", "tick": "1/rate"},
    ],
)  # fmt: skip
def test_film_that_is_kept_is_equal(tmp_path: Path, change: Choice) -> None:
    outcome = film_check.check(0, FILM | change, tmp_path, 1, plainly.read)
    assert (outcome.verdict, outcome.why) == (EQUAL, ())


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"samples": "rgb+alpha", "depth": "16", "extra": "interlaced", "profile": "p3-icc", "orientation": "6"},
        {"samples": "palette", "depth": "4"},
        {"type": "pnm-plain", "samples": "bilevel", "depth": "1"},
        {"type": "tiff", "samples": "rgb", "depth": "16", "extra": "big-endian", "decoded": "tif"},
        {"samples": "rgb", "orientation": "5", "decoded": "tif"},
        {"samples": "grey", "profile": "chrm"},
        {"type": "bmp", "samples": "palette", "depth": "1"},
        {"type": "gif", "samples": "palette", "depth": "8"},
        {"type": "jp2", "samples": "rgb", "depth": "8"},
    ],
)
def test_picture_that_is_kept_is_equal(tmp_path: Path, change: Choice) -> None:
    outcome = picture_check.check(0, PICTURE | change, tmp_path, 1)
    assert (outcome.verdict, outcome.why) == (EQUAL, ())


@pytest.fixture(scope="module")
def reading(tmp_path_factory: pytest.TempPathFactory) -> FilmReading:
    path = film_making.make(FILM, tmp_path_factory.mktemp("film"), 1)
    return plainly.read(path, None)


def test_reading_tells_what_was_made(reading: FilmReading) -> None:
    assert [one.time for one in reading.pictures] == [Fraction(k, 25) for k in range(7)]
    assert len({one.crc for one in reading.pictures}) == 7
    (sound,), (text,) = reading.sounds, reading.subtitles
    assert (sound.codec, sound.rate, sound.channels, sound.samples) == ("flac", 44100, 2, 12348)
    assert len(sound.wave) == 8 * 2 * sound.samples
    second = Line(Fraction(16, 100), Fraction(24, 100), "two")
    assert [line.text for line in text.lines] == ["one", "two", "three"] and text.lines[1] == second
    assert [(chapter.start, chapter.text) for chapter in reading.chapters] == [
        (0, "Part 1"),
        (Fraction(1, 5), "Part 2"),
    ]
    assert list(compared(reading, reading, Compare("itself", samples=True))) == []


def shown(film: FilmReading, number: int, **changes: Any) -> FilmReading:
    pictures = list(film.pictures)
    pictures[number] = replace(pictures[number], **changes)
    return replace(film, pictures=tuple(pictures))


def heard(film: FilmReading, **changes: Any) -> FilmReading:
    return replace(film, sounds=(replace(film.sounds[0], **changes),))


def said(film: FilmReading, **changes: Any) -> FilmReading:
    (text,) = film.subtitles
    return replace(film, subtitles=(replace(text, lines=(replace(text.lines[0], **changes), *text.lines[1:])),))


TAMPERED: dict[str, Callable[[FilmReading], FilmReading]] = {
    "pictures": lambda film: replace(film, pictures=film.pictures[:-1]),
    "samples": lambda film: shown(film, 3, crc=0),
    "times": lambda film: shown(film, 3, time=Fraction(13, 100)),
    "last duration": lambda film: shown(film, 6, duration=Fraction(1)),
    "sound": lambda film: replace(film, sounds=()),
    "sound samples": lambda film: heard(film, wave=film.sounds[0].wave[:-8] + bytes(8)),
    "padding": lambda film: heard(film, wave=film.sounds[0].wave + bytes(1600)),
    "sound times": lambda film: heard(film, frames=tuple((t + Fraction(1, 20), n) for t, n in film.sounds[0].frames)),
    "subtitles": lambda film: replace(film, subtitles=()),
    "subtitle times": lambda film: said(film, start=Fraction(1, 10), end=Fraction(2, 10)),
    "subtitle texts": lambda film: said(film, text="onе"),
    "chapters": lambda film: replace(film, chapters=film.chapters[1:]),
    "aspect ratio": lambda film: replace(film, sar=Fraction(4, 3)),
    "rotation": lambda film: replace(film, turn=(0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)),
    "colour": lambda film: replace(film, colour=(*film.colour[:3], "9")),
    "chroma place": lambda film: replace(film, chroma_place="center"),
    "tags": lambda film: replace(film, tags={}),
}


@pytest.mark.parametrize("kind", TAMPERED)
def test_tampered_film_is_found(reading: FilmReading, kind: str) -> None:
    found = list(compared(reading, TAMPERED[kind](reading), Compare("it", samples=True)))
    assert {one.kind for one in found} == {kind}
    verdict = judged(0, FILM, found, (), film_check.EXCUSES, film_check.EXCEPTIONS).verdict
    assert verdict == (EXCEPTED if kind == "padding" else FINDING)


@pytest.mark.parametrize("kind", ["samples", "transparency", "profile", "orientation", "colour"])
def test_tampered_picture_is_found(tmp_path: Path, kind: str) -> None:
    choice = PICTURE | {"samples": "rgb+alpha", "profile": "p3-icc", "orientation": "6"}
    path, truth = picture_making.make(choice, tmp_path, 1)
    assert truth.samples is not None
    wrong = truth.samples.copy()
    wrong[2, 3, 3 if kind == "transparency" else 1] += 257
    changes: dict[str, Any] = {
        "samples": {"samples": wrong},
        "transparency": {"samples": wrong},
        "profile": {"icc": truth.icc + b"\0"},
        "orientation": {"orientation": 8},
        "colour": {"icc": b"", "colour": "cicp-pq"},
    }[kind]
    outcome = picture_check.through(0, choice, path, replace(truth, **changes))
    assert outcome.verdict == (FINDING if kind != "colour" else EQUAL)  # a profile tells of colour, too
    assert kind == "colour" or any(f": {kind}: " in why or f": {kind} in file: " in why for why in outcome.why)


def test_samples_that_are_converted_are_compared_as_they_are_read(tmp_path: Path) -> None:
    choice = PICTURE | {"type": "tiff", "samples": "premultiplied", "depth": "16", "extra": "planar"}
    path, truth = picture_making.make(choice, tmp_path, 1)
    assert picture_check.through(0, choice, path, truth).verdict == EQUAL
    assert truth.samples is not None
    wrong = truth.samples.copy()
    wrong[2, 3, 1] ^= 1  # less than a lossy codec changes
    why = picture_check.through(0, choice, path, replace(truth, samples=wrong)).why
    assert len(why) == 1 and why[0].startswith("read: samples: ")


def test_notes_excuse_only_what_they_name() -> None:
    lost = [Difference("chapters", "it", "lost")]
    assert judged(0, {}, lost, ["chapters that mp4 cannot hold are dropped"], film_check.EXCUSES).verdict == NOTED
    assert judged(0, {}, lost, ["tags of the film are dropped"], film_check.EXCUSES).verdict == FINDING
    assert judged(0, {}, [], ["a note"], film_check.EXCUSES).verdict == EQUAL


def test_refusal_has_to_name_the_file(tmp_path: Path) -> None:
    path, truth = picture_making.make(PICTURE, tmp_path, 1)
    path.write_bytes(path.read_bytes()[:40])
    assert picture_check.through(0, PICTURE, path, truth).verdict == REFUSED


def test_own_reading_of_png_undoes_every_filter() -> None:
    samples = np.random.default_rng(1).integers(0, 65536, (9, 7, 3)).cumsum(axis=1) % 65536
    done, data = cv2.imencode(".png", samples[..., ::-1].astype(np.uint16), [cv2.IMWRITE_PNG_FILTER, 1 << 7])
    assert done and np.array_equal(png_samples(data.tobytes()), samples)
    grey = samples[..., :1] % 256
    assert np.array_equal(png_samples(png(grey, 8)), grey)


def test_plain_bitmap_has_1_for_black() -> None:
    assert pnm(np.array([[[0], [1]]]), 1, plain=True) == b"P1\n# a comment\n2 1\n1 0\n"


def test_findings_are_told_with_a_line_that_repeats_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def outcomes(cases: list[running.Case], jobs: int) -> Any:
        for case in cases:
            verdict = FINDING if (case.kind, case.number) == ("pictures", 1) else EQUAL
            yield case, Outcome(case.number, case.choice, verdict, ("nvc: samples: all",))

    monkeypatch.setattr(running, "outcomes", outcomes)
    assert running.run(4, 3, None, (), None, 1) == 1
    text = capsys.readouterr().out
    assert "bench check sources --only pictures --seed 3 --case 1\n" in text and "nvc: samples: all" in text
    assert running.run(4, 3, "films", (), None, 1) == 0
