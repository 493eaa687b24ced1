"""Decoded base pictures come back the same in whatever order they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from codec.base.av1 import BasePacket, BaseSettings, base_frames, encode_base
from codec.base.coded import RECENT, BasePictures
from codec.base.resample import BASE_FORMAT
from codec.frames import Plane
from tests.makers import drawn_planes

COUNT = 20


@pytest.fixture(scope="module")
def packets() -> list[BasePacket]:
    pictures = [drawn_planes(BASE_FORMAT, 64, 48, k) for k in range(COUNT)]
    return encode_base(pictures, range(COUNT), Fraction(1, 25), Fraction(25), BaseSettings(30, 10))


def same(a: list[Plane], b: Any) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_pictures_come_back_in_any_order(packets: list[BasePacket]) -> None:
    whole = [list(f.planes) for f in base_frames(packets, (48, 64))]
    pictures = BasePictures(packets, (48, 64), 1, {7: whole[7]})
    assert len(pictures) == COUNT
    at_random = np.random.default_rng(0).integers(0, COUNT, 60).tolist()
    order = [0, 1, 2, 19, 18, 17, 16, 15, 3, 7, 4, 5, 0, 0, 19, *at_random]
    assert all(same(pictures[k], whole[k]) for k in order)
    assert all(map(same, pictures, whole))
    for k in (-1, COUNT):
        with pytest.raises(IndexError):
            pictures[k]


def test_looking_back_a_little_decodes_nothing_anew(packets: list[BasePacket], monkeypatch: pytest.MonkeyPatch) -> None:
    begun = 0

    def counted(*args: Any) -> Iterator[Any]:
        nonlocal begun
        begun += 1
        return base_frames(*args)

    monkeypatch.setattr("codec.base.coded.base_frames", counted)
    pictures = BasePictures(packets, (48, 64), 1, {2: [np.zeros(1)]})
    for k in range(COUNT):
        for back in range(RECENT):
            pictures[max(0, k - back)]
    assert begun == 1
    assert pictures[2][0].size == 1 and begun == 1, "what is kept is not decoded"
    pictures[0]
    assert begun == 2
