"""What frame headers of a base say of its pictures' quantisers."""

from __future__ import annotations

import io
import re
from fractions import Fraction

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext

from codec.base.av1 import BaseSettings, encode_base
from codec.base.quantisers import shown_quantisers
from codec.base.resample import BASE_FORMAT
from codec.errors import FormatError
from tests.makers import drawn_planes

COUNT = 40


def coded(width: int, height: int, preset: int, crf: float, noisy: bool = False, count: int = COUNT) -> list[bytes]:
    pictures = [drawn_planes(BASE_FORMAT, width, height, k) for k in range(count)]
    if noisy:
        rng = np.random.default_rng(0)
        pictures = [[(p + rng.integers(0, 60, p.shape)).clip(0, 1023).astype(p.dtype) for p in x] for x in pictures]
    made = encode_base(pictures, range(count), Fraction(1, 25), Fraction(25), BaseSettings(crf, preset))
    return [packet.data for packet in made]


def traced(units: list[bytes]) -> list[int]:
    """base_q_idx of all frames that are coded, as libav reads them."""
    level = av.logging.get_level()
    av.logging.set_level(av.logging.TRACE)
    try:
        with av.open(io.BytesIO(), "w", format="ivf") as file, av.logging.Capture() as lines:
            read = BitStreamFilterContext("trace_headers", file.add_stream("libsvtav1"))
            for unit in units:
                read.filter(av.Packet(unit))
    finally:
        av.logging.set_level(level)
    found = [re.search(r"base_q_idx.*= (\d+)", line) for _, _, line in lines]
    return [int(q[1]) for q in found if q]


@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize(("width", "height", "preset"), [(80, 64, 10), (66, 70, 4), (16, 16, 8)])
def test_quantisers_of_shown_pictures(width: int, height: int, preset: int, noisy: bool) -> None:
    units = coded(width, height, preset, 40, noisy)
    found = shown_quantisers(units)
    assert len(found) == COUNT
    assert sorted(found) == sorted(traced(units)), "every frame that is coded is shown once"
    assert found[0] < np.median(found) <= max(found), "a keyframe is finer than most"


def test_several_tiles() -> None:
    units = coded(4160, 64, 10, 30, count=1)
    assert shown_quantisers(units) == traced(units)


def test_what_is_not_read() -> None:
    made = coded(64, 64, 10, 40, count=2)
    for wrong in ([], made[1:], [made[0], made[0] + made[0]], [made[0], b"\x12\0"]):
        with pytest.raises(FormatError):
            shown_quantisers(wrong)
    again = shown_quantisers([made[0], b"\x1a\x01\xb0"])  # a keyframe refreshes all slots
    assert again[0] == again[1]
    for end in range(len(made[0])):  # cut anywhere: an answer or a sentence
        try:
            shown_quantisers([made[0][:end]])
        except FormatError:
            pass
