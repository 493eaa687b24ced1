"""Parts of films: the pictures of a whole decode, with no more work than they take."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

import codec
from codec.errors import DamageError
from codec.film.reader import FilmReader
from codec.film.writer import write_film
from codec.frames import Frame, PlaneFormat
from codec.segment import passes
from codec.segment.payload import read_segment, write_segment
from codec.segment.restore import Restorer
from codec.settings import Settings
from codec.wire.obu import TemporalUnit
from tests.makers import GOLDEN, LAVISH, same_planes, scene_frames, shorten, write_frames

LENGTHS = (20, 11)  # pictures of two segments: groups of 8, 8, 4, and of 8, 3
STEP = 40  # milliseconds
GOLDEN_FILMS = sorted(GOLDEN.glob("*-v1.nvc"))


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures that do not depend on each other, restored by a head of the program."""
    folder = tmp_path_factory.mktemp("film")
    fmt = PlaneFormat("420", 8)
    source = write_frames(folder / "in.mkv", scene_frames(fmt, 64, 48, LENGTHS), fmt)
    with pytest.MonkeyPatch.context() as patch:
        shorten(patch, worth=LAVISH)
        patch.setattr(passes, "GROUP", 8)  # as films of earlier versions have them
        codec.encode(source, folder / "film.nvc", Settings(preset="fast", device="cpu", scale=Fraction(1)))
    headers = [read_segment(u.payloads[0]) for u in FilmReader(folder / "film.nvc").units() if u.keyframe]
    assert [(h.frames, h.group, h.apart, h.head_kind > 0) for h in headers] == [(n, 8, True, True) for n in LENGTHS]
    return folder / "film.nvc"


@pytest.fixture
def restored(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One item for each picture that was restored."""
    found: list[int] = []
    predict = Restorer.predict

    def counted(self: Restorer, *arguments: object) -> object:
        found.append(1)
        return predict(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Restorer, "predict", counted)
    return found


def part(path: Path, start: int | None, count: int | None = None, **options: bool) -> list[Frame]:
    """Pictures from number `start` on."""
    opened = codec.open(path, device="cpu", **options)
    first = None if start is None else Fraction(start * STEP, 1000)
    return list(opened.frames(first, None if count is None else Fraction(count * STEP, 1000)))


def same(found: list[Frame], wanted: list[Frame]) -> bool:
    return [(f.pts, f.duration) for f in found] == [(f.pts, f.duration) for f in wanted] and all(
        map(same_planes, found, wanted)
    )


def test_every_part_is_that_of_the_whole(film: Path) -> None:
    whole = part(film, None)
    assert len(whole) == sum(LENGTHS)
    for start in (0, 1, 7, 8, 9, 16, 19, 20, 21, 28, 30):
        assert same(part(film, start), whole[start:]), start
        for count in (1, 8):
            assert same(part(film, start, count), whole[start : start + count]), (start, count)
    assert same(part(film, None, 20), whole[:20])
    assert not part(film, len(whole)) and not part(film, 0, 0)


@pytest.mark.parametrize("path", GOLDEN_FILMS, ids=lambda p: p.stem)
def test_parts_of_films_of_every_kind(path: Path) -> None:
    """Between pictures too: heads with a history, loss-streams of every mode."""
    opened = codec.open(path, device="cpu")
    whole = list(opened.frames())
    for k in (0, 1, 4, 7):
        frame = whole[k]
        at = frame.pts * opened.info.time_base
        assert same(list(opened.frames(at)), whole[k:])
        assert same(list(opened.frames(at - Fraction(1, 2000), Fraction(1, 1000))), whole[k : k + 1])


@pytest.mark.parametrize(("start", "count", "work"), [
    (0, 1, 8), (7, 1, 8), (7, 2, 16), (8, 1, 8), (8, 8, 8), (15, None, 8 + 4 + 11), (16, 4, 4), (19, 1, 4),
    (19, 2, 4 + 8), (20, 8, 8), (28, None, 3), (None, 20, 20)
])  # fmt: skip
def test_only_groups_that_are_shown_are_restored(
    film: Path, restored: list[int], start: int | None, count: int | None, work: int
) -> None:
    assert len(part(film, start, count)) == (count or sum(LENGTHS) - (start or 0))
    assert len(restored) == work


def test_what_depends_on_earlier_pictures_is_restored_from_the_first(restored: list[int]) -> None:
    history = GOLDEN / "history-v1.nvc"
    (frame,) = list(codec.open(history, device="cpu").frames())[-1:]
    restored.clear()
    opened = codec.open(history, device="cpu")
    assert same(list(opened.frames(frame.pts * opened.info.time_base)), [frame])
    assert len(restored) == 8


def damaged(film: Path, target: Path, group: int) -> Path:
    """The film with a wrong checksum of one group of the first segment."""

    def changed(unit: TemporalUnit) -> TemporalUnit:
        header = read_segment(unit.payloads[0])
        sums = list(header.checksums)
        sums[group] ^= 1
        return replace(unit, payloads=(write_segment(replace(header, checksums=tuple(sums))), *unit.payloads[1:]))

    reader = FilmReader(film)
    first, *others = reader.units()
    write_film(target, [changed(first), *others], reader.info, (reader.info.width, reader.info.height))
    return target


def test_damage_is_noticed_where_it_is_shown(film: Path, tmp_path: Path) -> None:
    whole = part(film, None)
    bad = damaged(film, tmp_path / "bad.nvc", 1)  # pictures 8 to 15
    assert same(part(bad, 0, 8), whole[:8]) and same(part(bad, 16), whole[16:])
    for start, count in ((0, None), (8, 1), (15, 1), (15, None), (2, 7)):
        with pytest.raises(DamageError, match=r"frame at 0\.320 s: 8 pictures from here do not match"):
            part(bad, start, count)


def test_best_effort_notes_damage_where_it_is_shown(film: Path, tmp_path: Path) -> None:
    bad = damaged(film, tmp_path / "bad.nvc", 1)
    opened = codec.open(bad, device="cpu", best_effort=True)
    assert len(list(opened.frames(Fraction(10 * STEP, 1000)))) == 21 and len(opened.problems) == 1
    opened = codec.open(bad, device="cpu", best_effort=True)
    assert same(list(opened.frames(Fraction(16 * STEP, 1000))), part(film, 16)) and not opened.problems


def test_a_segment_whose_end_is_missing_is_refused_where_the_end_is_asked_for(film: Path, tmp_path: Path) -> None:
    reader = FilmReader(film)
    units = list(reader.units())
    short = tmp_path / "short.nvc"
    write_film(short, units[:17] + units[20:], reader.info, (reader.info.width, reader.info.height))
    assert len(part(short, 0, 8)) == 8
    for start in (0, 16):
        with pytest.raises(DamageError):
            part(short, start)
