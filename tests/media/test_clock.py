"""Times of films: each begins at 0 on a clock of its own, whatever that of its file does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from codec.media.clock import Jumps
from codec.media.demuxed import open_source
from codec.media.source import Source

Make = Callable[..., Path]
PAL = {"rate": Fraction(25), "time_base": Fraction(1, 25)}
WRAP = Fraction(1 << 33, 90000)  # seconds after which MPEG's clock begins again


@pytest.fixture
def make(make_film: Make) -> Make:
    """make(name, offset, ...) makes 50 pictures at 25 a second with sound; the file's clock begins at `offset`."""

    def film(name: str, offset: float = 0, codec: str = "libx264", sound: str | None = "aac", **what: Any) -> Path:
        def adjust(output: av.container.OutputContainer, video: Any) -> None:
            output.container_options.update(output_ts_offset=str(offset))

        return make_film(name, codec, times=list(range(50)), sound=sound, adjust=adjust, **PAL, **what)

    return film


def seconds(source: Source) -> list[Fraction]:
    return [frame.pts * source.info.time_base for frame in source.frames()]


def sound_of(path: Path, source: Source) -> list[Fraction]:
    """When the packets of sound begin, on the film's clock."""
    follower = source.clock.follow()
    with av.open(str(path)) as film:
        packets = [packet for packet in film.demux(film.streams.audio[0]) if packet.size]
        return [packet.pts * packet.time_base + follower.shift(packet) for packet in packets]


# The wrap lies before the film, within it, and where libav gives it a negative time.
@pytest.mark.parametrize("offset", [5000, float(WRAP) - 0.5, float(WRAP) - 2.4])
def test_film_begins_at_zero_whatever_the_clock_says(offset: float, make: Make, tmp_path: Path) -> None:
    with open_source(make("plain.ts")) as plain:
        wanted = seconds(plain)
        sound = sound_of(tmp_path / "plain.ts", plain)
    path = make("a.ts", offset)
    with open_source(path) as source:
        times = seconds(source)
        assert source.notes == []
        assert [time - times[0] for time in times] == [Fraction(k, 25) for k in range(50)]
        assert abs(times[0] - wanted[0]) <= Fraction(1, 90000)  # muxers round offsets
        moved = sound_of(path, source)
    assert 0 <= moved[0] < Fraction(1, 90000) and len(moved) == len(sound)
    assert max(abs(a - b) for a, b in zip(moved, sound, strict=True)) <= Fraction(1, 90000)


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.nut", "a.flv"])
def test_a_late_beginning_is_not_taken_for_a_film_cut_off(name: str, make: Make) -> None:
    """Matroska and NUT of libav say that this film lasts 102 s."""
    with open_source(make(name, 100)) as source:
        assert 99 < source.origin < 101
        assert [time < Fraction(1, 10) for time in seconds(source)[:2]] == [True, True]
        assert source.notes == []


def test_late_pictures_stay_late_behind_sound(make_film: Make) -> None:
    path = make_film("a.mkv", times=list(range(25, 50)), sound="pcm_s16le", **PAL)
    with open_source(path) as source:
        assert source.origin == 0
        assert seconds(source) == [Fraction(k, 25) for k in range(25, 50)]


def test_what_precedes_sound_for_its_decoder_is_not_shown(make: Make) -> None:
    """Opus in Matroska begins 6.5 ms before 0, AAC in MP4 a packet before; neither moves the pictures."""
    for name, sound in (("a.mp4", "aac"), ("a.mkv", "libopus")):
        with open_source(make(name, sound=sound, sound_rate=48000, options={"bf": "0"})) as source:
            assert source.origin == 0


@pytest.mark.parametrize(("codec", "name"), [("libx264", "a.avi"), ("mpeg4", "a.avi"), ("mpeg2video", "a.m2v")])
def test_pictures_out_of_order_in_files_that_know_no_order(codec: str, name: str, make: Make) -> None:
    """AVI stores no times of pictures; `ffmpeg -c copy` gives the packets those of k / 25 from 0 on."""
    sound = "libmp3lame" if name == "a.avi" else None
    with open_source(make(name, codec=codec, sound=sound, options={"bf": "2"})) as source:
        assert seconds(source) == [Fraction(k, 25) for k in range(50)]
        assert source.notes == []


def test_decoding_times_of_asf(make: Make) -> None:
    """`ffprobe -show_frames` gives 80, 120, 160 ms ... for pictures, 80 ms being two pictures held back."""
    with open_source(make("a.asf", sound=None, options={"bf": "2"})) as source:
        assert source.origin == Fraction(80, 1000)
        assert seconds(source) == [Fraction(k, 25) for k in range(50)]
        assert source.notes == []


def test_times_of_some_pictures_are_enough(make: Make) -> None:
    """In this program stream one picture in three has a time; those between need no word."""
    with open_source(make("a.mpg", sound=None, options={"bf": "2"})) as source:
        assert seconds(source) == [Fraction(k, 25) for k in range(50)]
        assert source.notes == []


def joined(make: Make, tmp_path: Path, offsets: tuple[int, ...]) -> tuple[Path, list[Path]]:
    """Recordings whose clocks begin at these seconds, one behind the other, and each of them."""
    made = {offset: make(f"{offset}.ts", offset) for offset in set(offsets)}
    parts = [made[offset] for offset in offsets]
    (tmp_path / "joined.ts").write_bytes(b"".join(part.read_bytes() for part in parts))
    return tmp_path / "joined.ts", parts


def test_joined_recordings_on_a_pipe(make: Make, tmp_path: Path) -> None:
    path, _ = joined(make, tmp_path, (0, 5000))
    code = (
        "from codec.media.demuxed import open_source\n"
        "with open_source('-') as s: print([str(f.pts * s.info.time_base) for f in s.frames()], s.notes)"
    )
    done = subprocess.run([sys.executable, "-c", code], input=path.read_bytes(), capture_output=True, check=True)
    with open_source(path) as source:
        times = [str(time) for time in seconds(source)]
        of_pipes = "not kept: sound, as a pipe can be read only once; name the film's file instead"
        assert done.stdout.decode().strip() == f"{times} {[of_pipes, *source.notes]}"


@pytest.mark.parametrize("offsets", [(0, 5000), (5000, 0, 0)], ids=str)
def test_joined_recordings_are_one_film(offsets: tuple[int, ...], make: Make, tmp_path: Path) -> None:
    """As `ffmpeg -fps_mode passthrough` gives: a picture each 40 ms; sound keeps its distance in each."""
    path, parts = joined(make, tmp_path, offsets)
    with open_source(path) as source:
        times = seconds(source)
        assert [time - times[0] for time in times] == [Fraction(k, 25) for k in range(50 * len(parts))]
        begins = ", ".join(f"{float(times[50 * k]):.3f} s" for k in range(1, len(parts)))
        assert source.notes == [
            f"another recording begins at {begins}; the film goes on there, whatever the time stamps say"
        ]
        assert source.info.duration == 2 * len(parts) and source.info.frames == 50 * len(parts)
        sound = sound_of(path, source)
        assert [join.number for join in source.clock.joins] == [50 * k for k in range(1, len(parts))]
        with source.again(1) as other:
            assert other.clock == source.clock and seconds(other) == times
    with open_source(parts[0]) as first:
        alone = sound_of(parts[0], first)
    assert len(sound) == len(alone) * len(parts)
    for k in range(len(parts)):
        for time, own in zip(sound[k * len(alone) :], alone, strict=False):
            assert abs(time - own - 2 * k) <= Fraction(2, 90000)


def packet(seconds: Fraction) -> av.Packet:
    made = av.Packet(b"x")
    made.time_base, made.duration = Fraction(1, 1000), 40
    made.pts = made.dts = int(seconds * 1000)
    return made


def test_a_long_wait_for_a_picture_beside_sound_is_no_jump() -> None:
    for sounds, jumps in ([], True), ([Fraction(5), Fraction(20)], False):
        watch = Jumps()
        assert not watch.step(packet(Fraction(0)), Fraction(1, 25))
        for time in sounds:
            watch.other(time)
        assert watch.step(packet(Fraction(30)), Fraction(1, 25)) == jumps
    assert not watch.step(packet(Fraction(2995, 100)), Fraction(1, 25)), "a step back by less than 0.1 s"
    assert watch.step(packet(Fraction(298, 10)), Fraction(1, 25))
