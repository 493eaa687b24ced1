"""Short films that encoders seldom make, for tests of the player."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from codec.base.av1 import decode_base
from codec.film.writer import write_film
from codec.frames import PlaneFormat, VideoInfo, channels_of, checksum
from codec.segment.head import film_head, write_pretrained
from codec.segment.payload import PRETRAINED_HEAD, STEERED, SegmentHeader, write_segment
from codec.segment.restore import Restorer
from codec.segment.steering import Steered, blocks_of, write_steering
from codec.wire import obu
from codec.wire.obu import TemporalUnit
from tests.makers import base_temporal_units

COUNT, GROUP = 4, 2
USED = 0b1011  # but for the third picture
SIZE = 70, 38
FORMAT = PlaneFormat("422", 8)
NUMBER, BASE_Q = 1, 20


def steered_film(path: Path) -> Path:
    """A segment of 4:2:2, with the head of the program that is derived for it, steered."""
    coded = base_temporal_units(COUNT, *SIZE, COUNT)
    head = film_head(NUMBER, BASE_Q, planes=channels_of(FORMAT.chroma))
    assert head.spec.base_q
    restorer, rng = Restorer(FORMAT, *SIZE, Fraction(1), head), np.random.default_rng(8)
    told: list[Steered] = []
    sums: list[int] = []
    for k, (_, base) in enumerate(decode_base(((data, k) for k, (data, _) in enumerate(coded)), SIZE[::-1])):
        steered = None
        if used := bool(USED >> k & 1):
            blocks = (rng.random(blocks_of(*SIZE)) < k / 3).astype(np.uint8)  # none, some, all
            steered = Steered(int(rng.integers(-32, 33)), blocks)
            told.append(steered)
        output = restorer.predict(base, used, steered)
        sums.append(checksum(output, sums.pop() if k % GROUP else 0))
    header = SegmentHeader(
        *SIZE, FORMAT, Fraction(1), Fraction(25), COUNT, GROUP, 40.0, STEERED | PRETRAINED_HEAD, 0, 0,
        head.spec.layers, head.spec.width, NUMBER, 0, 0, 0,
        write_steering(told, True) + write_pretrained(BASE_Q), bytes([USED]), tuple(sums),
    )  # fmt: skip
    units = [TemporalUnit(data, k, 1, key, ()) for k, (data, key) in enumerate(coded)]
    units[0] = replace(units[0], data=obu.inject(units[0].data, (write_segment(header),)))
    info = VideoInfo(*SIZE, PlaneFormat("420", 10), Fraction(1, 25), Fraction(25))
    write_film(path, units, info, SIZE)
    return path
