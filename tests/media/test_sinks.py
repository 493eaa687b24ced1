"""Writing decoded pictures: exact where promised, named where not, whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest

from codec.errors import OutputError, UsageError
from codec.frames import SUBSAMPLING, Colour, Frame, PlaneFormat, VideoInfo
from codec.media import pngs
from codec.media.demuxed import open_source
from codec.media.folders import Folder
from codec.media.sinks import open_sink
from tests.makers import drawn_frames, drawn_planes, with_cover

RATE = Fraction(24000, 1001)
YUV = PlaneFormat("420", 8)
EVERY_FORMAT = [PlaneFormat(chroma, depth) for chroma in SUBSAMPLING for depth in (8, 10)]
ROTATED = (0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)


def info_of(fmt=YUV, size=(64, 48), **changes):
    return replace(VideoInfo(*size, fmt, Fraction(1, 24000), RATE), **changes)


def write(path, info, frames, **options):
    with open_sink(path, info, **options) as sink:
        for frame in frames:
            sink.write(frame)
    return sink.notes


def read(path):
    with open_source(path) as source:
        return list(source.frames()), source.info


def same(frames, others):
    planes, wanted = ([p for f in film for p in f.planes] for film in (frames, others))
    return len(planes) == len(wanted) and all(np.array_equal(a, b) for a, b in zip(planes, wanted, strict=True))


@pytest.mark.parametrize("ending", ["y4m", "mkv"])
@pytest.mark.parametrize("size", [(64, 48), (35, 19), (1, 1), (200, 130)], ids=str)
@pytest.mark.parametrize("fmt", EVERY_FORMAT, ids=lambda f: f.av_name)
def test_exact_planes(tmp_path, ending, size, fmt):
    info = info_of(fmt, size, sar=Fraction(16, 11), colour=Colour(range=2 if fmt.chroma == "444" else 1))
    frames = drawn_frames(fmt, *size, 3)
    notes = write(tmp_path / f"a.{ending}", info, frames)
    got, now = read(tmp_path / f"a.{ending}")
    assert same(got, frames) and notes == []
    assert (now.format, now.sar, now.colour.range) == (fmt, info.sar, info.colour.range)
    assert now.rate == RATE
    late = [a.pts * now.time_base - b.pts * info.time_base for a, b in zip(got, frames, strict=True)]
    assert max(map(abs, late)) < Fraction(1, 1000)


def test_y4m_bytes(tmp_path):
    fmt = PlaneFormat("422", 10)
    frames = drawn_frames(fmt, 6, 2, 2)
    write(tmp_path / "a.y4m", info_of(fmt, (6, 2), colour=Colour(range=1)), frames)
    header = b"YUV4MPEG2 W6 H2 F24000:1001 Ip A1:1 C422p10 XYSCSS=422P10 XCOLORRANGE=LIMITED\n"
    planes = [b"".join(p.astype("<u2").tobytes() for p in f.planes) for f in frames]
    assert (tmp_path / "a.y4m").read_bytes() == header + b"".join(b"FRAME\n" + p for p in planes)


def test_y4m_tells_what_it_loses(tmp_path, make_film):
    frames = [replace(f, pts=t) for f, t in zip(drawn_frames(YUV, 64, 48, 3), (0, 1001, 9000), strict=True)]
    info = info_of(display_matrix=ROTATED, colour=Colour(9, 16, 9, 1))
    notes = write(tmp_path / "a.y4m", info, frames, source=make_film("s.mkv", sound="aac"))
    assert [any(word in n for n in notes) for word in ("audio", "rotation", "colour", "picture 2")] == [True] * 4


def test_matroska_keeps_properties(tmp_path):
    info = info_of(sar=Fraction(12, 11), colour=Colour(9, 16, 9, 1), display_matrix=ROTATED)
    assert write(tmp_path / "a.mkv", info, drawn_frames(YUV, 64, 48, 3)) == []
    now = read(tmp_path / "a.mkv")[1]
    assert (now.sar, now.colour, now.display_matrix) == (info.sar, info.colour, info.display_matrix)


def test_matroska_slices_carry_checksums(tmp_path, ffmpeg):
    path = tmp_path / "a.mkv"
    write(path, info_of(size=(128, 96)), drawn_frames(YUV, 128, 96, 3))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    done = subprocess.run([ffmpeg, "-v", "error", "-i", path, "-f", "null", "-"], capture_output=True)
    assert b"CRC mismatch" in done.stderr


@pytest.mark.parametrize("ending", ["mp4", "mov", "webm"])
@pytest.mark.parametrize("fmt", [YUV, PlaneFormat("444", 8), PlaneFormat("400", 8), PlaneFormat("420", 10)], ids=str)
@pytest.mark.parametrize("size", [(64, 80), (35, 19)], ids=str)
def test_copies_to_watch(tmp_path, ending, fmt, size):
    """The pictures are flat, so that the luma of a good copy is close."""
    path = tmp_path / f"a.{ending}"
    shapes = fmt.shapes(*size)
    frames = [
        Frame(tuple(np.full(s, (40 + 30 * i) << fmt.depth - 8, fmt.dtype) for s in shapes), 1001 * i, 1001)
        for i in range(4)
    ]
    info = info_of(fmt, size, sar=Fraction(4, 3), colour=Colour(1, 1, 1, 1), display_matrix=ROTATED)
    notes = write(path, info, frames)
    assert any("not exact" in note for note in notes)
    got, now = read(path)
    assert len(got) == 4
    assert now.format == PlaneFormat("420", fmt.depth if min(size) >= 64 else 8)
    assert (now.colour, now.display_matrix) == (info.colour, ROTATED)
    assert abs(now.sar - info.sar) < Fraction(1, 30)
    scale = now.format.peak / fmt.peak
    for a, b in zip(got, frames, strict=True):
        assert abs(float(a.planes[0].mean()) - float(b.planes[0].mean()) * scale) < 3 * (now.format.peak + 1) / 256
        assert abs(a.pts * now.time_base - b.pts * info.time_base) < Fraction(1, 1000)


def sound_of(path):
    with av.open(str(path)) as film:
        packets = [(bytes(p), p.pts * p.time_base) for p in film.demux(film.streams.audio[0]) if p.size]
    with av.open(str(path)) as film:
        return packets, np.concatenate([f.to_ndarray() for f in film.decode(film.streams.audio[0])], axis=1)


@pytest.mark.parametrize("ending", ["mkv", "mp4", "webm"])
@pytest.mark.parametrize("sound", ["aac", "libopus"])
def test_sound_goes_along(tmp_path, make_film, ending, sound):
    film = make_film("s.mp4", sound=sound, sound_rate=48000, times=list(range(48)))
    with open_source(film) as source:
        info, frames = source.info, list(source.frames())
    notes = write(tmp_path / f"a.{ending}", info, frames, source=film)
    (old, wave), (new, heard) = sound_of(film), sound_of(tmp_path / f"a.{ending}")
    anew = ending == "webm" and sound == "aac"
    assert any("encoded anew with libopus" in note for note in notes) == anew
    pictures, now = read(tmp_path / f"a.{ending}")
    begin = pictures[0].pts * now.time_base
    if anew:
        assert abs(heard.shape[1] - wave.shape[1]) < 4000 and np.abs(heard).max() > 0.2
    else:
        assert [p[0] for p in old] == [p[0] for p in new]
        assert all(abs((b[1] - begin) - a[1]) < Fraction(1, 500) for a, b in zip(old, new, strict=True))
    if ending != "webm":
        assert same(pictures, frames) == (ending == "mkv")


@pytest.mark.parametrize("ending", ["mkv", "mp4", "mov", "webm"])
def test_the_last_picture_lasts_as_long_as_it_has_to(tmp_path, ending):
    """As ffprobe tells the length of a GIF of these times; some encoders give pictures in another order."""
    frames = [
        replace(frame, pts=pts, duration=duration)
        for frame, pts, duration in zip(drawn_frames(YUV, 64, 48, 4), (0, 10, 20, 23), (10, 10, 3, 100), strict=True)
    ]
    info = replace(info_of(), time_base=Fraction(1, 100), rate=Fraction(10, 3))
    write(tmp_path / f"a.{ending}", info, frames)
    with av.open(str(tmp_path / f"a.{ending}")) as film:
        assert film.duration == 1_230_000
        last = list(film.decode(video=0))[-1]
        assert (last.pts * last.time_base, last.duration * last.time_base) == (Fraction(23, 100), 1)


@pytest.mark.parametrize("ending", ["mkv", "mp4", "mov", "webm"])
def test_a_cover_goes_along_or_is_named(tmp_path, make_film, ending):
    def adjust(output, video):
        output.streams.audio[0].metadata["language"] = "fra"

    film = make_film("film.mp4", sound="aac", sound_rate=48000, adjust=adjust)
    cover = with_cover(film, tmp_path / "s.mp4")
    with open_source(tmp_path / "s.mp4") as source:
        info, frames = source.info, list(source.frames())
    notes = write(tmp_path / f"a.{ending}", info, frames, source=tmp_path / "s.mp4")
    with av.open(str(tmp_path / f"a.{ending}")) as film:
        covers = [s for s in film.streams.video if s.disposition & av.stream.Disposition.attached_pic]
        assert len(film.streams.video) == 1 + len(covers)
        assert film.streams.audio[0].language == "fra"
        found = [bytes(p) for p in film.demux(covers) if p.size] if covers else []
        assert found == [cover] * (ending in ("mkv", "mp4"))
    dropped = f"the video stream #2 (mjpeg) is dropped; {ending} cannot hold it"
    assert (dropped in notes) == (ending in ("mov", "webm"))
    assert not any("tags" in note for note in notes)


@pytest.mark.parametrize("ending", ["mkv", "mp4"])
def test_a_part_begins_at_zero(tmp_path, make_film, ending):
    def adjust(output, video):
        chapter = {"id": 1, "start": 500, "end": 1600, "time_base": Fraction(1, 1000), "metadata": {"title": "x"}}
        output.set_chapters([chapter])

    film = make_film("s.mkv", sound="flac", sound_rate=48000, times=list(range(60)), adjust=adjust,
                     subtitles=[(100, 300, "before"), (1200, 1300, "within"), (1900, 2000, "behind")])  # fmt: skip
    with open_source(film) as source:
        info = source.info
        frames = [f for f in source.frames() if 1 <= f.pts * info.time_base < Fraction(3, 2)]
    path = tmp_path / f"a.{ending}"
    write(path, info, frames, source=film, start=Fraction(1), duration=Fraction(1, 2))
    pictures = read(path)[0]
    assert len(pictures) == len(frames) == 12 and pictures[0].pts == 0
    origin = frames[0].pts * info.time_base
    packets, wave = sound_of(path)
    assert 0 <= packets[0][1] < Fraction(110, 1000)
    assert 0.35 < wave.shape[1] / 48000 < 0.62
    whole = sound_of(film)[0]
    first = next(i for i, p in enumerate(whole) if p[0] == packets[0][0])
    assert abs(whole[first][1] - origin - packets[0][1]) < Fraction(1, 500)
    with av.open(str(path)) as result:
        chapters = result.chapters()
        assert [(c["start"] * c["time_base"], round(c["end"] * c["time_base"], 1)) for c in chapters] == [(0, 0.5)]
        texts = [bytes(p) for p in result.demux(result.streams.subtitles[0]) if p.size > 2]
        assert len(texts) == 1 and b"within" in texts[0]


@pytest.mark.parametrize("fmt", [YUV, PlaneFormat("444", 10)], ids=str)
@pytest.mark.parametrize("colour", [Colour(matrix=1, range=1), Colour(matrix=5, range=2), Colour()], ids=str)
def test_png_colours(tmp_path, fmt, colour):
    """Flat colours against the equations of H.273."""
    shift = fmt.depth - 8
    values = (120, 90, 160)
    planes = tuple(np.full(s, v << shift, fmt.dtype) for v, s in zip(values, fmt.shapes(32, 16), strict=True))
    frames = [Frame(planes, 0), Frame(planes, 1001)]
    notes = write(tmp_path / "p_%03d.png", info_of(fmt, (32, 16), colour=colour), frames)
    assert any("RGB" in note for note in notes)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["p_001.png", "p_002.png"]
    kr, kb = (0.2126, 0.0722) if colour.matrix == 1 else (0.299, 0.114)
    y, pb, pr = (np.array(values) - (0, 128, 128)) / 255
    if colour.range != 2:
        y, pb, pr = (values[0] - 16) / 219, (values[1] - 128) / 224, (values[2] - 128) / 224
    red, blue = y + 2 * (1 - kr) * pr, y + 2 * (1 - kb) * pb
    expected = np.array([red, (y - kr * red - kb * blue) / (1 - kr - kb), blue])
    with av.open(str(tmp_path / "p_001.png")) as picture:
        frame = next(picture.decode(video=0))
        assert frame.format.name == ("rgb24" if fmt.depth == 8 else "rgb48be")
        got = frame.to_ndarray()[8, 16] / (255 if fmt.depth == 8 else 65535)
    assert np.abs(got - np.clip(expected, 0, 1)).max() < 2 / 255


@pytest.mark.parametrize(
    ("depth", "range_", "sample", "expected"),
    [(8, 0, 100, 100), (8, 2, 100, 100), (8, 1, 16, 0), (8, 1, 235, 255), (10, 2, 1023, 65535), (10, 1, 940, 65535)],
)
def test_png_grey(tmp_path, depth, range_, sample, expected):
    fmt = PlaneFormat("400", depth)
    frame = Frame((np.full((5, 7), sample, fmt.dtype),), 0)
    write(tmp_path / "g%d.png", info_of(fmt, (7, 5), colour=Colour(range=range_)), [frame])
    with av.open(str(tmp_path / "g1.png")) as picture:
        decoded = next(picture.decode(video=0))
        assert decoded.format.name == ("gray" if depth == 8 else "gray16be")
        assert (decoded.to_ndarray() == expected).all()


@pytest.mark.parametrize("name", ["a.avi", "a", "a.png", "%d_%d.png", "%s.png", "a%5d.png"])
def test_unknown_targets(tmp_path, name):
    with pytest.raises(UsageError):
        open_sink(tmp_path / name, info_of())


@pytest.mark.parametrize("name", ["a.y4m", "a.mkv", "a.mp4", "a%d.png"])
def test_targets_are_kept_unless_asked(tmp_path, name):
    target = tmp_path / name.replace("%d", "1")
    target.write_bytes(b"precious")
    with pytest.raises(OutputError, match="exists"):
        open_sink(tmp_path / name, info_of())
    assert target.read_bytes() == b"precious"
    write(tmp_path / name, info_of(), drawn_frames(YUV, 64, 48, 2), overwrite=True)
    assert target.stat().st_size > 100
    with pytest.raises(OutputError, match="no folder"):
        open_sink(tmp_path / "nowhere" / name, info_of())


@pytest.mark.parametrize("name", ["a.y4m", "a.mkv", "a.mp4", "a.webm", "a%d.png"])
def test_failure_leaves_nothing(tmp_path, name):
    with pytest.raises(RuntimeError), open_sink(tmp_path / name, info_of()) as sink:
        sink.write(drawn_frames(YUV, 64, 48, 1)[0])
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a%d.png"])
def test_no_pictures(tmp_path, name):
    with pytest.raises(OutputError, match="no pictures"), open_sink(tmp_path / name, info_of()):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.y4m", "a.mkv", "a.mp4", "a.webm", "a%d.png"])
def test_system_errors(tmp_path, monkeypatch, name):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "mkdir", full)
    with pytest.raises(OutputError, match=r"a.*cannot be written: No space left on device$"):
        open_sink(tmp_path / name, info_of())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("count", [1, 12], ids=["at the end", "meanwhile"])
def test_an_error_of_a_thread_that_writes_pictures(tmp_path, monkeypatch, count):
    """It comes at the next pictures, not at the end of the film; and nothing stays."""
    (tmp_path / "a2.png").write_bytes(b"precious")
    create, asked = Folder.create, 0

    def full(folder, name):
        if name == "1":
            raise OSError(28, "No space left on device")
        return create(folder, name)

    monkeypatch.setattr(Folder, "create", full)
    with pytest.raises(OutputError, match="cannot be written: No space left on device"):
        with open_sink(tmp_path / "a%d.png", info_of(), overwrite=True, threads=2) as sink:
            for frame in drawn_frames(YUV, 64, 48, count):
                sink.write(frame)
                asked += 1
    assert asked <= 3
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"a2.png": b"precious"}


@pytest.mark.parametrize("threads", [1, 4])
def test_pictures_are_in_order_whatever_the_threads(tmp_path, monkeypatch, threads):
    """The first picture takes longest; no more wait than there are threads, and one."""
    frames, most = drawn_frames(YUV, 64, 48, 12), 0
    png, begun = pngs.Converter.png, threading.Event()

    def late(converter, planes):
        if planes is frames[0].planes and threads > 1:
            begun.wait(20)
        else:
            begun.set()
        return png(converter, planes)

    monkeypatch.setattr(pngs.Converter, "png", late)
    with open_sink(tmp_path / "a%02d.png", info_of(), threads=threads) as sink:
        for frame in frames:
            sink.write(frame)
            most = max(most, len(sink._pending))
    assert most <= threads + 1
    for number, frame in enumerate(frames, 1):
        with open_sink(tmp_path / f"b{number:02d}_%d.png", info_of()) as sink:
            sink.write(frame)
        assert (tmp_path / f"a{number:02d}.png").read_bytes() == (tmp_path / f"b{number:02d}_1.png").read_bytes()
    assert len(list(tmp_path.iterdir())) == 24


SENDER = """
import sys
from fractions import Fraction
from codec.frames import PlaneFormat, VideoInfo
from codec.media import pngs
from codec.media.folders import Folder
from codec.media.sinks import open_sink
from tests.makers import drawn_frames
yuv = PlaneFormat("420", 8)
with open_sink("-", VideoInfo(64, 48, yuv, Fraction(1, 24000), Fraction(24000, 1001))) as sink:
    for frame in drawn_frames(yuv, 64, 48, 200):
        sink.write(frame)
        if sink.closed:
            break
print("closed" if sink.closed else "whole", file=sys.stderr)
"""


def test_standard_output():
    done = subprocess.run([sys.executable, "-c", SENDER], capture_output=True, check=True)
    assert done.stdout.startswith(b"YUV4MPEG2 W64 H48 ") and done.stdout.count(b"FRAME\n") == 200
    assert done.stderr.strip() == b"whole"


def test_a_reader_that_leaves_ends_the_work_quietly():
    with subprocess.Popen([sys.executable, "-c", SENDER], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as sender:
        sender.stdout.read(100)
        sender.stdout.close()
        errors = sender.stderr.read()
    assert sender.returncode == 0 and errors.strip() == b"closed"


@pytest.mark.parametrize("fmt", EVERY_FORMAT, ids=lambda f: f.av_name)
def test_ffmpeg_reads_y4m(tmp_path, ffmpeg, fmt):
    frames = drawn_frames(fmt, 34, 18, 2)
    write(tmp_path / "a.y4m", info_of(fmt, (34, 18)), frames)
    command = [ffmpeg, "-v", "error", "-i", tmp_path / "a.y4m", "-f", "rawvideo", "-pix_fmt", fmt.av_name, "-"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    assert raw == b"".join(p.tobytes() for f in frames for p in f.planes)


def test_webm_names_a_shape_of_samples_that_it_cannot_hold(tmp_path):
    """It tells the size in whole samples: 68x48 for 64x48 of 16/15, which ffprobe 5.1 calls 17:16."""
    info = VideoInfo(64, 48, PlaneFormat("420", 8), Fraction(1, 25), Fraction(25), sar=Fraction(16, 15))
    with open_sink(str(tmp_path / "a.webm"), info, None, None, None, True, 1) as sink:
        sink.write(Frame(drawn_planes(info.format, 64, 48, 0), 0, 1))
    assert any("does not hold the aspect ratio 16/15 of samples; the nearest is 17/16" in note for note in sink.notes)


def test_the_length_of_pictures_in_matroska_is_not_that_of_its_sound(make_film):
    """mkvinfo shows the tag DURATION 00:00:00.500000000 of the pictures; the segment lasts longer with the sound."""
    with open_source(make_film("a.mkv", sound="flac", rate=Fraction(24), time_base=Fraction(1, 24))) as film:
        assert film.info.duration == Fraction(1, 2)
