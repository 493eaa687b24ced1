"""The base stream: what goes in comes out in order, damage is named, and threads decide no byte."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from codec.base.av1 import BasePacket, BaseSettings, base_frames, decode_base, encode_base
from codec.base.resample import BASE_FORMAT, plain_prediction
from codec.errors import DamageError, InputError
from codec.frames import Colour
from codec.metrics import plane_psnrs
from codec.wire.obu import sequence_colour, sequence_size
from tests.makers import drawn_planes

FILM = BaseSettings(30.0, 12, threads=1)
MILLI = Fraction(1, 1000)
NTSC = Fraction(24000, 1001)


def pictures(count: int, width: int = 64, height: int = 48) -> list[tuple[np.ndarray, ...]]:
    return [drawn_planes(BASE_FORMAT, width, height, k) for k in range(count)]


@pytest.mark.parametrize("pts, time_base, rate", [
    ([k * 1001 for k in range(9)], Fraction(1, 24000), NTSC),
    (list(range(9)), 1 / NTSC, NTSC),
    ([0, 40, 41, 300, 1000, 1001, 5000, 5001, 9000], MILLI, Fraction(25)),
    ([7000, 7040, 7080], MILLI, Fraction(25)),
    ([-80, -40, 0, 40], MILLI, Fraction(25)),
    ([123], Fraction(1, 90000), Fraction(30)),
], ids=["24000/1001", "counted", "variable", "late", "negative", "single"])  # fmt: skip
def test_times_survive(pts: list[int], time_base: Fraction, rate: Fraction) -> None:
    film = pictures(len(pts))
    packets = encode_base(film, pts, time_base, rate, FILM)
    assert [p.pts for p in packets] == pts
    assert [p.keyframe for p in packets] == [True] + [False] * (len(pts) - 1)
    frames = list(base_frames(packets, (48, 64), 1))
    assert [f.pts for f in frames] == pts
    for frame, picture in zip(frames, film, strict=True):
        assert [p.dtype for p in frame.planes] == [np.uint16] * 3
        assert plane_psnrs(frame.planes, picture, 1023).min() > 25, "each picture is its own, not a neighbour's"


@pytest.mark.parametrize("size", [(16, 16), (17, 16), (33, 47), (66, 24), (129, 65)], ids=str)
def test_odd_sizes(size: tuple[int, int]) -> None:
    width, height = size
    film = pictures(3, width, height)
    packets = encode_base(film, [0, 40, 80], MILLI, Fraction(25), BaseSettings(30.0, 12, threads=2))
    assert sequence_size(packets[0].data) == (width, height)
    frames = list(base_frames(packets, (height, width)))
    assert len(frames) == 3
    assert all([p.shape for p in f.planes] == BASE_FORMAT.shapes(width, height) for f in frames)


def test_bytes_are_the_same_for_any_number_of_threads() -> None:
    film = pictures(10)
    found = [encode_base(film, range(10), MILLI, Fraction(25), BaseSettings(40.0, 10, threads=n)) for n in (1, 2, 2)]
    assert found[0] == found[1] == found[2]
    decoded = [list(base_frames(found[0], (48, 64), n)) for n in (1, 2)]
    for a, b in zip(*decoded, strict=True):
        assert a.pts == b.pts and all(np.array_equal(x, y) for x, y in zip(a.planes, b.planes, strict=True))


def test_a_coarser_quantiser_takes_fewer_bytes() -> None:
    films = [
        b"".join(p.data for p in encode_base(pictures(4), range(4), MILLI, Fraction(25), BaseSettings(crf, 12, 1)))
        for crf in (10.0, 30.0, 30.25, 55.0)
    ]
    assert len(films[0]) > len(films[1]) > len(films[3])
    assert films[1] != films[2], "quarters of a step are heard"


@pytest.mark.parametrize("still", [False, True])
@pytest.mark.parametrize("points", [(9, 16, 9), (1, 13, 8), (12, 8, 6)])
def test_the_sequence_header_tells_code_points(points: tuple[int, int, int], still: bool) -> None:
    settings = BaseSettings(40.0, 12, 1, Colour(*points, 2), still=still)
    (packet,) = encode_base(pictures(1), [0], MILLI, Fraction(25), settings)
    assert sequence_colour(packet.data) == points
    assert sequence_colour(b"\x12\0") is None


def test_colour_and_hdr_are_announced() -> None:
    plain = encode_base(pictures(1), [0], MILLI, Fraction(25), FILM)[0].data
    hdr = BaseSettings(
        30.0, 12, 1, Colour(9, 16, 9, 1),
        "G(0.26500,0.69000)B(0.15000,0.06000)R(0.68000,0.32000)WP(0.31270,0.32900)L(1000.0000,0.0050)", "1000,400",
    )  # fmt: skip
    data = encode_base(pictures(1), [0], MILLI, Fraction(25), hdr)[0].data
    assert (1000).to_bytes(2, "big") + (400).to_bytes(2, "big") in data and data != plain


@pytest.mark.parametrize("pts", [[0, 1], [0, 1, 2, 3]])
def test_as_many_times_as_pictures(pts: list[int]) -> None:
    with pytest.raises(ValueError):
        encode_base(pictures(3), pts, MILLI, Fraction(25), FILM)


def test_no_pictures_are_an_input_error() -> None:
    with pytest.raises(InputError, match="without pictures"):
        encode_base([], [], MILLI, Fraction(25), FILM)


def whole(units: list[tuple[bytes, int]], shape: tuple[int, int] = (48, 64)) -> list[int]:
    return [pts for pts, _ in decode_base(units, shape, 1)]


def test_damage_is_named() -> None:
    packets = encode_base(pictures(6), [k * 40 for k in range(6)], MILLI, Fraction(25), FILM)
    units = [(p.data, p.pts) for p in packets]
    assert whole(units) == [0, 40, 80, 120, 160, 200]
    with pytest.raises(DamageError, match=r"64x48.*not 65x48") as caught:
        whole(units, (48, 65))
    assert caught.value.pts == 0
    for garbage in (b"\xff" * 50, units[0][0][:30], b"\x12\x00\x0a\xff\xff\xff\xff"):
        with pytest.raises(DamageError):
            if len(whole([(garbage, 7), *units[1:]])) < 6:  # a decoder may also give nothing at all
                raise DamageError("pictures are missing")


def test_garbage_raises_damage_errors_only() -> None:
    packets = encode_base(pictures(4), range(4), MILLI, Fraction(25), FILM)
    rng = np.random.default_rng(8)
    for trial in range(40):
        units = []
        for p in packets:
            data = bytearray(p.data)
            for at in rng.integers(0, len(data), 4):
                data[at] = int(rng.integers(0, 256))
            units.append((rng.bytes(len(data)) if trial % 8 == 0 else bytes(data), p.pts))
        try:
            found = list(decode_base(units, (48, 64), 1))
        except DamageError:
            continue
        assert all([p.shape for p in planes] == BASE_FORMAT.shapes(64, 48) for _, planes in found)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems schedule otherwise")
def test_no_thread_is_left_with_real_time_priority() -> None:
    """SVT-AV1 gives itself and the thread that opens it real-time priority where it may."""
    film = pictures(6)
    encode_base(film, range(6), MILLI, Fraction(25), BaseSettings(40.0, 12, threads=2))
    later: list[int] = []
    thread = threading.Thread(target=lambda: later.append(os.sched_getscheduler(0)))
    thread.start()
    thread.join()
    policies = []
    for task in os.listdir("/proc/self/task"):
        with suppress(ProcessLookupError):  # a thread that has ended since
            policies.append(os.sched_getscheduler(int(task)))
    assert not {os.SCHED_FIFO, os.SCHED_RR} & {os.sched_getscheduler(0), *later, *policies}


def test_plain_prediction_rounds_half_up_and_stays_in_range() -> None:
    planes = [np.arange(1024, dtype=np.uint16).reshape(32, 32)]
    eight = plain_prediction(planes, 8)[0]
    assert eight.dtype == np.uint8
    assert eight.ravel().tolist() == [min((v + 2) // 4, 255) for v in range(1024)]
    assert np.array_equal(plain_prediction(planes, 10)[0], planes[0])


def test_packets_are_comparable() -> None:
    assert BasePacket(b"a", 1, True) == BasePacket(b"a", 1, True) != BasePacket(b"a", 2, True)


STOPPING_EARLY = """
from fractions import Fraction
import numpy as np
from codec.base.av1 import BaseSettings, decode_base, encode_base
from codec.base.resample import BASE_FORMAT
from codec.errors import DamageError
from tests.makers import drawn_planes
film = [drawn_planes(BASE_FORMAT, 64, 48, k) for k in range(24)]
packets = encode_base(film, range(24), Fraction(1, 1000), Fraction(25), BaseSettings(30.0, 12, threads=1))
rng = np.random.default_rng(0)
for trial in range(60):
    units = [(p.data, p.pts) for p in packets]
    k = int(rng.integers(24))
    data = bytearray(units[k][0])
    data[int(rng.integers(min(len(data) - 1, 20), len(data)))] ^= 1 << trial % 8
    units[k] = (bytes(data), k)
    try:
        for _ in decode_base(units, (48, 64), 4):
            pass
    except DamageError:
        pass
print("done")
"""


def test_a_decoder_that_stops_amid_a_segment_never_waits_for_itself() -> None:
    """Its threads must need nothing of Python's while Python waits for them to end."""
    command = [sys.executable, "-c", STOPPING_EARLY]
    result = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=100)
    assert result.stdout == "done\n", result.stderr


@pytest.mark.parametrize("size", [(16, 66), (24, 200), (130, 20)])
def test_narrow_pictures_are_coded(size: tuple[int, int]) -> None:
    """SVT-AV1 with several threads never comes back from these."""
    packets = encode_base(pictures(3, *size), range(3), MILLI, Fraction(25), BaseSettings(40.0, 12, threads=2))
    assert [pts for pts, _ in decode_base([(p.data, p.pts) for p in packets], size[::-1])] == [0, 1, 2]
