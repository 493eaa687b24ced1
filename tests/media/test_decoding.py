"""Damaged films: refused, or under best effort continued behind the damage, with no picture that may refer to it."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from codec.errors import SourceDamaged
from codec.frames import Frame, PlaneFormat
from codec.media.demuxed import open_source
from codec.media.libav import packets_of
from codec.media.timeline import NAMED
from tests.makers import same_planes

Make = Callable[..., Path]
PICTURES, GROUP, PACKET = 72, 12, 188
KINDS = {
    "h264": ("libx264", {"bf": "2", "g": str(GROUP), "x264-params": "scenecut=0"}),
    "open groups": ("libx264", {"bf": "2", "g": str(GROUP), "x264-params": "scenecut=0:open-gop=1"}),
    "mpeg2": ("mpeg2video", {"bf": "2", "g": str(GROUP)}),
}


@pytest.fixture
def make(make_film: Make) -> Make:
    """make(name, kind) makes a film of groups of 12 pictures at 25 a second."""

    def film(name: str, kind: str = "h264", count: int = PICTURES, **what: Any) -> Path:
        codec, options = KINDS[kind]
        shape = {"rate": Fraction(25), "time_base": Fraction(1, 25), "times": list(range(count)), "size": (96, 64)}
        return make_film(name, codec, options=options, **shape, **what)

    return film


def read(path: Path, best_effort: bool = True, threads: int = 1) -> tuple[list[Frame], list[str], Fraction | None]:
    with open_source(path, threads, best_effort) as source:
        frames = list(source.frames())
        return frames, source.notes, source.until


def read_until_refused(path: Path, threads: int) -> list[Frame]:
    frames = []
    with open_source(path, threads) as source, pytest.raises(SourceDamaged):
        for frame in source.frames():
            frames.append(frame)
    return frames


def of_film(path: Path) -> list[tuple[int, bool]]:
    """(place, whether it is the first of a picture) of each packet of the transport stream's pictures."""
    data = path.read_bytes()
    packets = [data[at : at + PACKET] for at in range(0, len(data), PACKET)]
    return [
        (number * PACKET, bool(packet[1] & 0x40))
        for number, packet in enumerate(packets)
        if (packet[1] & 0x1F) << 8 | packet[2] == 0x100
    ]


def without(path: Path, places: list[int]) -> Path:
    """The stream without the packets at these places."""
    data = bytearray(path.read_bytes())
    for place in sorted(places, reverse=True):
        del data[place : place + PACKET]
    damaged = path.with_stem("damaged")
    damaged.write_bytes(data)
    return damaged


def check_kept(kept: list[Frame], whole: list[Frame], lost: range) -> None:
    """Whether what was kept is the film without `lost` pictures, each at its own time."""
    wanted = [frame for number, frame in enumerate(whole) if number not in lost]
    assert [frame.pts for frame in kept] == [frame.pts for frame in wanted]
    assert all(same_planes(a, b) for a, b in zip(kept, wanted, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_one_lost_packet_costs_pictures_up_to_the_next_key(kind: str, make: Make) -> None:
    path = make("a.ts", kind)
    whole, _, _ = read(path)
    assert len(whole) == PICTURES
    for seed in range(4):
        place, _ = random.Random(seed).choice(of_film(path)[40:-40])
        damaged = without(path, [place])
        kept, notes, until = read(damaged)
        pairs = zip(kept, whole, strict=False)
        first = next((k for k, (a, b) in enumerate(pairs) if a.pts != b.pts), len(kept))
        lost = range(first, first + PICTURES - len(kept))
        check_kept(kept, whole, lost)
        assert 0 < len(lost) <= 2 * GROUP
        begin, end = (f"{k / 25:.3f} s" for k in (lost.start, lost.stop))
        if lost.stop < PICTURES:
            assert notes == [f"the pictures from {begin} to {end} are damaged and left out ({len(lost) / 25:.3f} s)"]
            assert until is None
        else:
            assert notes == [f"{damaged} is damaged or cut off at {begin}; the film is kept up to there"]
            assert until == Fraction(lost.start, 25)
        for threads in (1, 3):
            prefix = read_until_refused(damaged, threads)
            check_kept(prefix, whole[: len(prefix)], range(0))
            assert [frame.pts for frame in read(damaged, threads=threads)[0]] == [frame.pts for frame in kept]
            assert len(prefix) <= lost.start, "no picture that is taken back under best effort"


def test_many_gaps_are_counted(make: Make) -> None:
    path = make("a.ts", count=GROUP * 2 * (NAMED + 3))
    keys = [place for place, first in of_film(path) if first][:: 2 * GROUP]
    damaged = without(path, [place + 2 * PACKET for place in keys[1:]])
    kept, notes, _ = read(damaged)
    gaps = [note for note in notes if note.startswith("the pictures from ")]
    assert len(gaps) == NAMED
    assert re.fullmatch(r"2 further gaps, \d\.\d{3} s of pictures that are damaged and left out", notes[-1])
    lost = sum(Fraction(re.findall(r"([0-9.]+) s", note)[-1]) for note in [*gaps, notes[-1]])
    assert len(kept) + lost * 25 == GROUP * 2 * (NAMED + 3)


def test_damage_before_the_first_key(make: Make) -> None:
    path = make("a.ts")
    whole, _, _ = read(path)
    starts = [place for place, first in of_film(path) if first]
    kept, notes, _ = read(without(path, [starts[2]]))
    assert all(same_planes(a, b) for a, b in zip(kept, whole[GROUP:], strict=True))
    assert kept[0].pts == 0, "where there is no sound the film begins with its first picture"
    assert notes == ["the first pictures, before 0.000 s, are damaged and left out"]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.mpg"])
def test_wiped_bytes_cost_no_more_than_their_groups(name: str, make: Make) -> None:
    path = make(name, "mpeg2" if name == "a.mpg" else "h264")
    whole, _, _ = read(path)
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as film:
        packets = [(packet.pos, packet.size) for packet in film.demux(video=0) if packet.pos and packet.size]
    place, size = packets[30]
    data[place + 30 : place + size - 30] = bytes(size - 60)
    path.write_bytes(data)
    kept, notes, until = read(path)
    found = {frame.pts: frame for frame in whole}
    assert all(same_planes(frame, found[frame.pts]) for frame in kept)
    assert PICTURES - 2 * GROUP <= len(kept) < PICTURES and kept[-1].pts == whole[-1].pts
    assert sum("damaged and left out" in note for note in notes) == 1 and until is None


@pytest.mark.parametrize(("codec", "name"), [("ffv1", "a.mkv"), ("mjpeg", "a.avi")])
def test_damage_of_pictures_that_refer_to_no_other(codec: str, name: str, make_film: Make) -> None:
    """FFV1's checksums and JPEG's markers tell of it; libav's decoders would show what is left."""
    options = {"level": "3", "slicecrc": "1", "g": "1"} if codec == "ffv1" else {"strict": "unofficial"}
    shape: dict[str, Any] = {"rate": Fraction(25), "time_base": Fraction(1, 25), "times": list(range(12))}
    path = make_film(name, codec, PlaneFormat("420", 8), (96, 64), options=options, **shape)
    whole, _, _ = read(path)
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as film:
        place, size = [(packet.pos, packet.size) for packet in film.demux(video=0) if packet.pos and packet.size][5]
    if codec == "ffv1":
        data[place + size // 2] ^= 0x10
    else:
        data[place + size // 2 : place + size - 20] = bytes(size - 20 - size // 2)
    path.write_bytes(data)
    read_until_refused(path, 1)
    kept, notes, _ = read(path)
    lost = [frame.pts for frame in whole if frame.pts not in {other.pts for other in kept}]
    assert lost in ([whole[5].pts], [whole[4].pts, whole[5].pts]) and len(notes) == 1
    found = {frame.pts: frame for frame in whole}
    assert all(same_planes(frame, found[frame.pts]) for frame in kept)


def test_film_that_ends_damaged_tells_where_its_sound_ends(make: Make) -> None:
    path = make("a.ts")
    whole, _, _ = read(path)
    starts = [place for place, first in of_film(path) if first]
    kept, notes, until = read(without(path, [starts[-4] + PACKET]))
    check_kept(kept, whole[: len(kept)], range(0))
    assert until == (kept[-1].pts + 3600) * Fraction(1, 90000)
    assert len(notes) == 1 and notes[0].endswith("; the film is kept up to there")


def test_film_that_changes_size_tells_where_its_sound_ends(make_film: Make, tmp_path: Path) -> None:
    parts = [make_film(f"{w}.mpg", "mpeg2video", size=(w, 48), options={"bf": "0"}) for w in (64, 96)]
    (tmp_path / "a.mpg").write_bytes(b"".join(part.read_bytes() for part in parts))
    kept, notes, until = read(tmp_path / "a.mpg")
    assert len(kept) == 12 and "64x48 to 96x48" in notes[-1]
    assert until == (kept[-1].pts + kept[-1].duration) * Fraction(1, 90000)


def test_what_changes_within_a_recording_is_noted_when_it_does(make_film: Make, tmp_path: Path) -> None:
    """libav's decoder tells of a change when it reads it, up to three pictures before the one that it begins with."""
    for codec, ending in ("libx264", "h264"), ("mpeg2video", "m2v"):
        parts = []
        for number, (sar, primaries) in enumerate([(Fraction(4, 3), 5), (Fraction(1), 6)]):

            def adjust(
                output: av.container.OutputContainer, video: Any, sar: Any = sar, points: Any = primaries
            ) -> None:
                video.codec_context.sample_aspect_ratio, video.codec_context.color_primaries = sar, points

            shape: dict[str, Any] = {"rate": Fraction(25), "time_base": Fraction(1, 25), "times": list(range(25))}
            parts.append(make_film(f"{number}.{ending}", codec, options={"bf": "2"}, adjust=adjust, **shape))
        path = tmp_path / f"a.{ending}"
        path.write_bytes(b"".join(part.read_bytes() for part in parts))
        for threads in (1, 3):
            notes = read(path, False, threads)[1]
            assert "the aspect ratio of samples changes from 4/3 to 1 at 1.000 s; the first is kept" in notes
            assert "the tags of colour change at 1.000 s; the first are kept" in notes


def test_what_changes_midway_is_noted_once_with_its_time(make_film: Make, tmp_path: Path) -> None:
    def adjust(output: av.container.OutputContainer, video: Any) -> None:
        video.codec_context.sample_aspect_ratio = Fraction(4, 3)
        video.codec_context.color_primaries = 5

    def adjust_other(output: av.container.OutputContainer, video: Any) -> None:
        video.codec_context.color_primaries = 6

    shape: dict[str, Any] = {"rate": Fraction(25), "time_base": Fraction(1, 25), "times": list(range(20))}
    plain = make_film("1.ts", "mpeg2video", options={"bf": "0"}, adjust=adjust, **shape)
    interlaced = {"bf": "0", "flags": "+ildct+ilme", "g": "5"}
    other = make_film("2.ts", "mpeg2video", options=interlaced, adjust=adjust_other, **shape)
    path = tmp_path / "a.ts"
    path.write_bytes(plain.read_bytes() + other.read_bytes() + plain.read_bytes())
    for threads in (1, 3):
        _, notes, _ = read(path, False, threads)
        assert notes[:3] == [
            "the material is interlaced; its pictures are stored as progressive ones from 0.800 s on",
            "the aspect ratio of samples changes from 4/3 to 1 at 0.800 s; the first is kept",
            "the tags of colour change at 0.800 s; the first are kept",
        ]
        assert len(notes) == 4  # and where the recordings begin


def test_packets_of_a_stream_that_appears_midway_are_passed_over() -> None:
    """As MPEG-TS with a table of streams that was damaged at first brings them; PyAV raises IndexError for each."""

    class Container:
        left = iter([1, None, None, 2])

        def demux(self, *streams: object) -> Iterator[int]:
            for packet in self.left:
                if packet is None:
                    raise IndexError("list index out of range")
                yield packet

    container: Any = Container()
    assert list(packets_of(container, "film")) == [1, 2]
