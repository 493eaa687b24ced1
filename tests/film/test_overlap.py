"""Decoding on several threads: the same pictures, problems and faults in the same order, and no thread is left."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import codec
from codec.errors import DamageError, OutputError
from codec.film.reader import FilmReader
from codec.film.writer import write_film
from codec.frames import Frame
from codec.limits import Limits
from codec.media.sink import Y4mFile
from codec.segment.opened import OpenSegment
from codec.segment.payload import abreast, film_memory, read_segment, write_residual, write_segment
from codec.wire.obu import TemporalUnit
from tests.makers import GOLDEN, same_planes

FILMS = sorted(GOLDEN.glob("*-v1.nvc"))
APART = GOLDEN / "shipped-v1.nvc"
THREADS = (1, 2, 5)


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Every test must end the threads that it began, but for those of networks, which stay."""
    before = set(threading.enumerate())
    yield
    gc.collect()
    assert not [t for t in set(threading.enumerate()) - before if t.name == "ahead"]
    torch.set_num_threads(1)


def shown(path: Path, threads: int, best_effort: bool = False) -> tuple[list[Frame], list[str], str]:
    """Pictures, problems, and the fault that ended them."""
    film = codec.open(path, device="cpu", threads=threads, best_effort=best_effort)
    frames: list[Frame] = []
    try:
        frames.extend(film.frames())
    except DamageError as error:
        return frames, film.problems, str(error)
    return frames, film.problems, ""


def same(found: tuple[list[Frame], list[str], str], wanted: tuple[list[Frame], list[str], str]) -> bool:
    return found[1:] == wanted[1:] and [(f.pts, f.duration, f.messages) for f in found[0]] == [
        (f.pts, f.duration, f.messages) for f in wanted[0]
    ] and all(map(same_planes, found[0], wanted[0]))  # fmt: skip


@pytest.mark.parametrize("path", FILMS, ids=lambda path: path.stem)
def test_pictures_do_not_depend_on_the_number_of_threads(path: Path) -> None:
    first, *others = (shown(path, threads) for threads in THREADS)
    assert first[0] and not first[2]
    assert all(same(other, first) for other in others)


def longer(path: Path, target: Path, segments: int, damage: dict[int, str]) -> Path:
    """The film again and again behind itself, with damage in some of its segments."""

    def hurt(unit: TemporalUnit, kind: str) -> TemporalUnit:
        if kind == "header":
            return replace(unit, payloads=(unit.payloads[0][:-1] + b"?", *unit.payloads[1:]))
        header = read_segment(unit.payloads[0])
        sums = (header.checksums[0] ^ 1, *header.checksums[1:])
        return replace(unit, payloads=(write_segment(replace(header, checksums=sums)), *unit.payloads[1:]))

    reader = FilmReader(path)
    units = list(reader.units())
    span = units[-1].pts + units[-1].duration - units[0].pts
    all_of_them = []
    for k in range(segments):
        again = [replace(unit, pts=unit.pts + k * span) for unit in units]
        if damage.get(k) == "lost":
            del again[3]
        elif damage.get(k) == "stream":
            again[3] = replace(again[3], payloads=(write_residual(bytes(range(1, 90))),))
        elif k in damage:
            again[0] = hurt(again[0], damage[k])
        all_of_them += again
    write_film(target, all_of_them, reader.info, (reader.info.width, reader.info.height))
    return target


@pytest.mark.parametrize(("name", "damage"), [
    ("shipped", {1: "sum"}), ("shipped", {2: "header"}), ("shipped", {1: "lost"}),
    ("shipped", {0: "lost", 1: "sum", 2: "header"}), ("history", {1: "sum"}), ("lossless", {0: "lost", 1: "sum"}),
    ("whole", {0: "lost", 1: "sum"}), ("whole", {1: "stream"}), ("whole", {0: "stream", 1: "header"}),
], ids=str)  # fmt: skip
def test_damage_is_found_where_it_is_whatever_is_read_ahead(name: str, damage: dict[int, str], tmp_path: Path) -> None:
    path = longer(GOLDEN / f"{name}-v1.nvc", tmp_path / "a.nvc", 3, damage)
    strict = shown(path, 1)
    assert strict[2]
    effort = shown(path, 1, best_effort=True)
    assert len(effort[1]) >= len(damage) and not effort[2]
    assert same(shown(path, 3), strict)
    assert same(shown(path, 3, best_effort=True), effort)


def test_problems_are_told_before_the_pictures_that_they_are_about_and_no_sooner(tmp_path: Path) -> None:
    path = longer(APART, tmp_path / "a.nvc", 3, {2: "sum"})
    counts = []
    for threads in (1, 3):
        film = codec.open(path, device="cpu", threads=threads, best_effort=True)
        counts.append([len(film.problems) for _ in film.frames()])
    assert counts[0][0] == 0 and counts[0][-1] == 1
    assert counts[1] == counts[0]


@pytest.mark.parametrize("threads", THREADS)
def test_frames_may_be_left_early(threads: int, tmp_path: Path) -> None:
    path = longer(APART, tmp_path / "a.nvc", 4, {})
    film = codec.open(path, device="cpu", threads=threads)
    frames = film.frames()
    first = next(frames)
    frames.close()  # type: ignore[attr-defined]
    assert same_planes(next(film.frames()), first)  # and this one is let go of
    two = film.frames(), film.frames(Fraction(1, 10))
    assert len(list(zip(*two, strict=False))) > 8


def test_a_fault_of_the_program_ends_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: object) -> Any:
        raise MemoryError

    monkeypatch.setattr("codec.segment.restore.Restorer.predict", fail)
    for threads in THREADS:
        with pytest.raises(MemoryError):
            next(codec.open(APART, device="cpu", threads=threads).frames())


def test_a_target_that_cannot_be_written_ends_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, written = longer(APART, tmp_path / "a.nvc", 4, {}), []

    def write(sink: Y4mFile, frame: Frame) -> None:
        written.append(frame.pts)
        if len(written) == 3:
            raise OutputError("the disk is full")

    monkeypatch.setattr(Y4mFile, "write", write)
    with pytest.raises(OutputError, match="the disk is full"):
        codec.decode(path, tmp_path / "a.y4m", device="cpu", threads=2)
    assert [p.name for p in tmp_path.iterdir()] == ["a.nvc"] and len(written) == 3


def test_a_reader_that_goes_away_ends_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = longer(APART, tmp_path / "a.nvc", 4, {})

    def write(sink: Y4mFile, frame: Frame) -> None:
        sink.closed = True

    monkeypatch.setattr(Y4mFile, "write", write)
    assert codec.decode(path, tmp_path / "a.y4m", device="cpu", threads=2).frames == 1


def test_planes_are_the_callers_own() -> None:
    for path in (APART, GOLDEN / "enlarged-v1.nvc", GOLDEN / "tracks-v1.nvc"):
        for frame in codec.open(path, device="cpu", threads=2).frames():
            assert all(plane.flags.writeable for plane in frame.planes)


def test_as_many_pictures_are_restored_at_once_as_memory_allows() -> None:
    header = read_segment(next(FilmReader(APART).units()).payloads[0])
    large = replace(header, width=7680, height=4320)
    assert [abreast(header, Limits(), n) for n in THREADS] == [1, 2, 5]
    assert abreast(replace(header, history=1), Limits(), 5) == 1
    assert abreast(large, Limits(), 2) == 2 and abreast(large, Limits(), 64) == 1
    assert abreast(large, Limits(max_memory=film_memory(large)), 2) == 1


def test_where_memory_is_short_pictures_are_restored_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = shown(APART, 1)
    header = read_segment(next(FilmReader(APART).units()).payloads[0])
    seen: list[int] = []
    begin = OpenSegment.__init__

    def noted(self: OpenSegment, *given: Any) -> None:
        begin(self, *given)
        seen.append(self.abreast)

    monkeypatch.setattr(OpenSegment, "__init__", noted)
    film = codec.open(APART, device="cpu", threads=5, limits=Limits(max_memory=film_memory(header)))
    frames = list(film.frames())
    assert set(seen) == {1} and same((frames, [], ""), wanted)


def test_what_is_decoded_is_not_written_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """The base pictures are the AV1 decoder's own, which refers to them."""
    seen: list[bool] = []
    steps = OpenSegment.steps

    def noted(self: OpenSegment) -> Iterator[Any]:
        for step in steps(self):
            seen.extend(plane.flags.writeable for plane in getattr(step, "base", []))
            yield step

    monkeypatch.setattr(OpenSegment, "steps", noted)
    assert shown(APART, 2)[0]
    assert seen and not np.any(seen)
