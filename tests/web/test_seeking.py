"""A picture that is sought is the one that playing shows, wherever in its segment and its group it lies."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codec.base.av1 import decode_base
from codec.film.reader import FilmReader
from codec.film.writer import write_film
from codec.frames import PlaneFormat, VideoInfo, checksum
from codec.loss.coder import LossCoder, LossSettings
from codec.loss.modes import TRANSFORM
from codec.segment.payload import SegmentHeader, write_residual, write_segment
from codec.segment.restore import Restorer
from codec.wire import obu
from codec.wire.obu import TemporalUnit
from tests.makers import GOLDEN, base_temporal_units
from tests.web.browser import first_picture, show, until

SIZE = 64, 48
SEGMENT, GROUP = 6, 4
FORMAT = PlaneFormat("420", 8)


def lossy(path: Path) -> Path:
    """A film of two segments whose pictures are each corrected, mostly by what the picture before was corrected by."""
    coded = base_temporal_units(2 * SEGMENT, *SIZE, SEGMENT)
    base = decode_base(((data, k) for k, (data, _) in enumerate(coded)), SIZE[::-1])
    rng = np.random.default_rng(3)
    missing = [rng.integers(-40, 41, shape) for shape in FORMAT.shapes(*SIZE)]
    restorer = Restorer(FORMAT, *SIZE, Fraction(1), None)
    settings = LossSettings(TRANSFORM, 20)
    units: list[TemporalUnit] = []
    sums: list[int] = []
    for k, planes in base:
        if k % SEGMENT == 0:
            coder, sums = LossCoder(FORMAT, *SIZE, settings), []
        predicted = restorer.plain(planes)
        source = [np.clip(p.astype(int) + m, 0, 255).astype(np.uint8) for p, m in zip(predicted, missing, strict=True)]
        payload, decoded = coder.encode(source, predicted, 1.0)
        sums.append(checksum(decoded, sums.pop() if k % SEGMENT % GROUP else 0))
        units.append(TemporalUnit(coded[k][0], k, 1, coded[k][1], (write_residual(payload),)))
        if k % SEGMENT == SEGMENT - 1:
            header = SegmentHeader(
                *SIZE, FORMAT, Fraction(1), Fraction(25), SEGMENT, GROUP, 40.0, 0, 0, 0, 0, 0, 0,
                TRANSFORM.film, settings.step, 0, b"", b"", tuple(sums),
            )  # fmt: skip
            first = units[1 - SEGMENT - 1]
            units[-SEGMENT] = replace(first, payloads=(write_segment(header), *first.payloads))
    info = VideoInfo(*SIZE, PlaneFormat("420", 10), Fraction(1, 25), Fraction(25))
    write_film(path, [replace(u, data=obu.inject(u.data, u.payloads), payloads=()) for u in units], info, SIZE)
    return path


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {"lossy": lossy(tmp_path_factory.mktemp("films") / "film.nvc"), "head": GOLDEN / "head-v1.nvc"}


def seen(page: Any, time: float) -> int:
    """What the page draws at a time, once it is not the base any more."""
    shown = "Math.abs(Number(document.getElementById('picture').dataset.shown)"
    until(page, f"{shown} - {time}) < 0.004 && document.getElementById('words').hidden")
    return zlib.crc32(page.locator("#picture").screenshot())


def times_of(path: Path) -> Iterator[float]:
    reader = FilmReader(path)
    for unit in reader.units():
        yield float(unit.pts * reader.track.time_base)


@pytest.mark.parametrize("name", ["lossy", "head"])
def test_pictures_that_are_sought_are_those_that_are_played(page: Any, films: dict[str, Path], name: str) -> None:
    times = list(times_of(films[name]))
    show(page, films[name])
    first_picture(page)
    played = [seen(page, times[0])]
    for time in times[1:]:
        page.keyboard.press(".")
        played.append(seen(page, time))
    assert len(set(played)) > len(times) // 2
    for k in range(len(times) - 2, 0, -1):
        page.keyboard.press(",")  # which is a seek
        assert seen(page, times[k]) == played[k], k
