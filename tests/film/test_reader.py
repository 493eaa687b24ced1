"""Reading films at any place, also those of which libav finds none."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest

from codec.film.film import Film
from tests.makers import GOLDEN

FILM = GOLDEN / "head-v1.nvc"
RATE = Fraction(24)


def moved(path: Path, milliseconds: int) -> Path:
    """The golden film in Matroska, its pictures that much later: their blocks' times are changed in place."""
    with av.open(str(FILM)) as source, av.open(str(path), "w") as target:
        stream = source.streams.video[0]
        out = target.add_stream_from_template(stream, opaque=True)
        out.codec_context.framerate = RATE  # by which libav knows times below 0
        for packet in source.demux(stream):
            if packet.size:
                packet.stream = out
                target.mux(packet)
    data, place = bytearray(path.read_bytes()), 0
    with av.open(str(path)) as container:
        for packet in container.demux(container.streams.video[0]):
            if packet.size:
                assert packet.pts is not None
                place = (
                    data.index(bytes(packet), place + 4) - 3
                )  # of the time in its block, behind the cluster's, which is 0
                data[place : place + 2] = (packet.pts + milliseconds).to_bytes(2, "big", signed=True)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("begin", [-125, 5000])
def test_a_film_is_read_at_its_own_times_wherever_it_begins(begin: int, tmp_path: Path) -> None:
    golden = list(Film(FILM, device="cpu", threads=1).frames())
    film = Film(moved(tmp_path / "film.mkv", begin), device="cpu", threads=1)
    times = film.times()
    assert len(times) == len(golden)
    assert abs(times[0] - begin) < 5
    for number in (0, 3, len(golden) - 1):
        found = list(film.frames(times[number] * film.info.time_base))
        assert [frame.pts for frame in found] == times[number:]
        for frame, wanted in zip(found, golden[number:], strict=True):
            assert all((a == b).all() for a, b in zip(frame.planes, wanted.planes, strict=True))
