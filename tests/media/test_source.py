"""Reading films: exact planes and times, loud notes, and InputError for everything that cannot be read."""

from __future__ import annotations

import struct
import subprocess
import sys
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest
from av.video.reformatter import Interpolation, VideoReformatter

from codec.errors import InputError
from codec.frames import SUBSAMPLING, Colour, PlaneFormat
from codec.media.conversion import REPACKED, Conversion
from codec.media.demuxed import open_source
from codec.media.files import content_key
from codec.media.libav import planes_to_av
from tests.makers import NTSC, drawn_planes

EVERY_FORMAT = [PlaneFormat(chroma, depth) for chroma in SUBSAMPLING for depth in (8, 10)]


def same(planes, others):
    return len(planes) == len(others) and all(np.array_equal(a, b) for a, b in zip(planes, others, strict=True))


@pytest.mark.parametrize("fmt", EVERY_FORMAT, ids=lambda f: f.av_name)
@pytest.mark.parametrize("size", [(64, 48), (35, 19), (1, 1)], ids=str)
def test_exact_planes(make_film, fmt, size):
    path = make_film("a.mkv", "ffv1", fmt, size, times=[0, 1, 2])
    with open_source(path) as source:
        assert (source.info.width, source.info.height, source.info.format) == (*size, fmt)
        assert source.exact and source.notes == []
        frames = list(source.frames())
    assert len(frames) == 3
    assert all(same(f.planes, drawn_planes(fmt, *size, i)) for i, f in enumerate(frames))


# where the first of two luma samples, and the chroma samples, lie in each four bytes
INTERLEAVED = {"yuyv422": (0, 1, 3), "uyvy422": (1, 0, 2), "yvyu422": (0, 3, 1)}


def interleaved(planes, name):
    """A frame of 4:2:2 samples in one plane; of odd widths swscale makes a wrong one now and then."""
    luma, *chroma = planes
    frame = av.VideoFrame(luma.shape[1], luma.shape[0], name)
    to = np.frombuffer(memoryview(frame.planes[0]), np.uint8).reshape(luma.shape[0], -1)
    first, *places = INTERLEAVED[name]
    to[:, first::2][:, : luma.shape[1]] = luma
    for plane, place in zip(chroma, places, strict=True):
        to[:, place::4][:, : plane.shape[1]] = plane
    return frame


@pytest.mark.parametrize("name", REPACKED)
@pytest.mark.parametrize("size", [(64, 48), (35, 19)], ids=str)
def test_repacked_formats_hold_the_same_samples(name, size):
    fmt = REPACKED[name]
    if name == "p010le" and size[0] % 2:
        pytest.skip("swscale packs odd widths of p010le wrongly; the unpacking under test is right")
    planes = drawn_planes(fmt, *size, 3)
    if name in INTERLEAVED:
        packed = interleaved(planes, name)
    else:
        packed = VideoReformatter().reformat(planes_to_av(planes, fmt), format=name, interpolation=Interpolation.POINT)
    conversion = Conversion(packed, Colour())
    assert conversion.exact and conversion.notes == [] and conversion.format == fmt
    assert same(conversion.planes(packed), planes)


@pytest.mark.parametrize("name", ["nv12", "yuyv422"])
def test_repacked_film(tmp_path, name):
    with open_source(write_raw(tmp_path / "a.nut", name)) as source:
        assert source.exact and source.info.format == REPACKED[name]
        assert all((plane == 90).all() for plane in next(source.frames()).planes)


def write_raw(path, name, size=(32, 16), fill=90):
    with av.open(str(path), "w") as output:
        stream = output.add_stream("rawvideo", rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, name
        frame = av.VideoFrame(*size, name)
        for plane in frame.planes:
            plane.update(bytes([fill]) * plane.buffer_size)
        output.mux(stream.encode(frame))
    return path


@pytest.mark.parametrize(
    ("name", "expected", "words"),
    [
        ("rgb24", "yuv444p", ("RGB",)),
        ("gbrp10le", "yuv444p10le", ("RGB",)),
        ("rgba", "yuv444p", ("RGB", "alpha")),
        ("yuv420p12le", "yuv420p10le", ("12 bits",)),
        ("yuv444p16le", "yuv444p10le", ("16 bits",)),
        ("yuva420p", "yuv420p", ("alpha",)),
        ("yuv411p", "yuv422p", ("converted",)),
        ("yuv410p", "yuv420p", ("converted",)),
        ("yuv440p", "yuv444p", ("converted",)),
        ("gray16le", "gray10le", ("16 bits",)),
        ("ya8", "gray", ("alpha",)),
    ],
)
def test_conversions_are_loud(tmp_path, name, expected, words):
    with open_source(write_raw(tmp_path / "a.nut", name)) as source:
        assert source.info.format.av_name == expected
        assert not source.exact
        text = " ".join(source.notes)
        assert all(word in text for word in words), text
        assert len(list(source.frames())) == 1


def test_rgb_becomes_full_range_bt709(tmp_path):
    path = tmp_path / "a.nut"
    colours = np.zeros((16, 32, 3), np.uint8)
    colours[:, :16], colours[:, 16:] = (255, 0, 0), (255, 255, 255)
    with av.open(str(path), "w") as output:
        stream = output.add_stream("rawvideo", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 16, "rgb24"
        output.mux(stream.encode(av.VideoFrame.from_ndarray(colours, format="rgb24")))
    with open_source(path) as source:
        assert (source.info.colour.matrix, source.info.colour.range) == (1, 2)
        y, u, v = next(source.frames()).planes
    red = [0.2126 * 255, 128 - 0.2126 / 1.8556 * 255, 255]
    assert np.abs(np.array([y[8, 4], u[8, 4], v[8, 4]], float) - red).max() <= 1
    assert (int(y[8, 24]), int(u[8, 24]), int(v[8, 24])) == (255, 128, 128)


def test_yuvj_is_full_range(tmp_path):
    with av.open(str(tmp_path / "a.jpg"), "w", format="image2") as output:
        stream = output.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 16, "yuvj420p"
        output.mux(stream.encode(av.VideoFrame(32, 16, "yuvj420p")))
        output.mux(stream.encode(None))
    with open_source(tmp_path / "a.jpg") as source:
        assert source.info.format == PlaneFormat("420", 8) and source.info.colour.range == 2
        assert len(list(source.frames())) == 1


def test_colour_shape_and_rotation(make_film):
    matrix = (0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)

    def adjust(output, video):
        context = video.codec_context
        context.sample_aspect_ratio = Fraction(4, 3)
        context.color_primaries, context.color_trc, context.colorspace, context.color_range = 9, 16, 9, 1
        video.set_display_matrix(matrix)

    with open_source(make_film("a.mp4", adjust=adjust)) as source:
        assert source.info.sar == Fraction(4, 3)
        assert tuple(source.info.colour) == (9, 16, 9, 1)
        assert source.info.display_matrix == matrix


@pytest.mark.parametrize("name", ["a.mp4", "a.mov"])
def test_times_are_exact(make_film, name):
    with open_source(make_film(name)) as source:
        times = [f.pts * source.info.time_base for f in source.frames()]
        assert source.info.rate == NTSC
    assert times == [i / NTSC for i in range(12)]


def test_variable_frame_rate(make_film):
    ticks = [0, 7, 8, 30, 31, 90]
    path = make_film("a.mp4", times=ticks, time_base=Fraction(1, 600), rate=Fraction(30), options={"bf": "0"})
    with open_source(path) as source:
        frames = list(source.frames())
        assert [f.pts * source.info.time_base for f in frames] == [Fraction(t, 600) for t in ticks]
        assert [f.duration * source.info.time_base for f in frames[:2]] == [Fraction(7, 600), Fraction(1, 600)]
        assert source.notes == []


def test_late_start_is_the_films_beginning(make_film):
    """As `ffmpeg -c copy` begins it; sound that begins earlier keeps its distance, see test_clock.py."""
    path = make_film("a.mp4", times=list(range(24, 36)))
    with open_source(path) as source:
        frames = list(source.frames())
        assert source.origin == 24 / NTSC
        assert [f.pts * source.info.time_base for f in frames] == [i / NTSC for i in range(12)]


def test_missing_times_are_repaired_with_a_note(make_film, tmp_path):
    raw = tmp_path / "a.h264"
    with av.open(str(make_film("a.mp4", options={"bf": "0"}))) as film, av.open(str(raw), "w", format="h264") as output:
        video = film.streams.video[0]
        stream = output.add_stream_from_template(video, opaque=True)
        for packet in film.demux(video):
            if packet.size:
                packet.stream = stream
                output.mux(packet)
    with open_source(raw) as source:
        times = [f.pts for f in source.frames()]
        assert len(times) == 12 and all(a < b for a, b in pairwise(times))


def test_hdr_side_data(make_film):
    master = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
    params = f"log-level=none:hdr10=1:master-display={master}:max-cll=1000,400"
    path = make_film("a.mp4", "libx265", PlaneFormat("420", 10), options={"x265-params": params, "preset": "ultrafast"})
    with open_source(path) as source:
        data = source.info.side_data
    assert struct.unpack("=2I", data["content_light"]) == (1000, 400)
    red_x = Fraction(*struct.unpack_from("=2i", data["mastering"]))
    assert red_x == Fraction(34000, 50000)


def test_second_video_stream_is_named(tmp_path):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as output:
        streams = [output.add_stream("ffv1", rate=25) for _ in range(2)]
        for stream in streams:
            stream.width, stream.height, stream.pix_fmt = 16, 16, "gray"
        for stream in streams:
            output.mux(stream.encode(av.VideoFrame(16, 16, "gray")))
    with open_source(path) as source:
        assert any("#1" in note for note in source.notes)


def test_interlaced_is_named(tmp_path):
    path = tmp_path / "a.y4m"
    path.write_bytes(b"YUV4MPEG2 W4 H4 F25:1 It A1:1 C420jpeg\nFRAME\n" + bytes(24))
    with open_source(path) as source:
        assert any("interlaced" in note for note in source.notes)


@pytest.mark.parametrize("cut", [10, 40, 10**6], ids=["empty", "within a frame", "whole"])
def test_standard_input(tmp_path, cut):
    data = b"YUV4MPEG2 W4 H2 F30000:1001 Ip A1:1 C420p10 XYSCSS=420P10\n"
    data += b"".join(b"FRAME\n" + bytes([i, 0] * 12) for i in range(3))
    code = (
        "from codec.media.demuxed import open_source\n"
        "with open_source('-') as s: print([(f.pts, int(f.planes[0][0, 0])) for f in s.frames()], s.info.rate)"
    )
    done = subprocess.run([sys.executable, "-c", code], input=data[:cut], capture_output=True)
    if cut > len(data):
        assert done.stdout.split(b"\n")[0] == b"[(0, 0), (1, 1), (2, 2)] 30000/1001", done.stderr
    else:
        assert b"InputError" in done.stderr and b"standard input" in done.stderr


def test_not_a_film(tmp_path):
    text = tmp_path / "a.mp4"
    text.write_bytes(b"not a film at all " * 100)
    empty = tmp_path / "b.mkv"
    empty.write_bytes(b"")
    for path in (text, empty, tmp_path, tmp_path / "absent.mp4"):
        with pytest.raises(InputError, match=path.name):
            open_source(path)


def test_no_video(tmp_path):
    path = tmp_path / "a.wav"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        output.mux(stream.encode(frame))
    with pytest.raises(InputError, match="no video stream"):
        open_source(path)


def read_all(path):
    with open_source(path) as source:
        return list(source.frames())


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_damaged_pictures_are_refused(make_film, name):
    path = make_film(name, size=(128, 96), times=list(range(30)), options={"g": "10", "crf": "5"})
    data = bytearray(path.read_bytes())
    for place in (0.3, 0.4, 0.5):
        for k in range(int(len(data) * place), int(len(data) * place) + 60):
            data[k] ^= 0x5A
    path.write_bytes(data)
    with pytest.raises(InputError, match=rf"{name}.* s\b"):
        read_all(path)


def test_truncated_film_is_refused(make_film):
    def adjust(output, video):
        output.container_options.update(movflags="faststart")

    path = make_film("a.mp4", times=list(range(30)), adjust=adjust)
    data = path.read_bytes()
    assert data.find(b"moov") < data.find(b"mdat")
    path.write_bytes(data[: len(data) * 7 // 10])
    with pytest.raises(InputError, match="cut off"):
        read_all(path)


def test_truncated_matroska_is_named(make_film):
    path = make_film("a.mkv", times=list(range(60)))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with open_source(path) as source:
        assert 0 < len(list(source.frames())) < 60
        assert any("cut off" in note for note in source.notes)


def test_size_change_is_refused(make_film, tmp_path):
    joined = tmp_path / "joined.mpg"
    parts = [make_film(f"{w}.mpg", "mpeg2video", size=(w, 48), options={"bf": "0"}) for w in (64, 96)]
    joined.write_bytes(b"".join(p.read_bytes() for p in parts))
    with pytest.raises(InputError, match="64x48 to 96x48"):
        read_all(joined)


def test_frames_are_read_once(make_film):
    with open_source(make_film("a.mp4")) as source:
        list(source.frames())
        with pytest.raises(InputError, match="already"):
            list(source.frames())


def test_names_with_colons_and_percent_signs(make_film, tmp_path):
    path = make_film("a.mp4").rename(tmp_path / "http:%03d.mp4")
    assert len(read_all(path)) == 12


def test_content_key(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_bytes(b"x" * 3_000_000)
    b.write_bytes(b"x" * 2_999_999 + b"y")
    assert len(content_key(a)) == 32 and content_key(a) == content_key(a) != content_key(b)
    with pytest.raises(InputError):
        content_key(tmp_path / "absent")
