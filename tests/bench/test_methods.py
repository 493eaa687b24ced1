"""Methods: libav's encoders and NVC as the harness runs them; sources as it gives them; names of methods."""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np
import pytest
from PIL import Image

from bench.measure.quality import measure_film
from bench.method import Film, Knob, Still
from bench.methods import METHODS, find, find_all, lossless
from bench.methods.libav import LIBAV
from bench.methods.scaled import enlarged, resized, smaller
from bench.process import BenchError
from bench.sources import described, found_again, kind_of, open_clip, open_still, stills_in
from codec.frames import Frame, PlaneFormat, VideoInfo
from tests.makers import drawn_frames

YUV = PlaneFormat("420", 8)
INFO = VideoInfo(64, 64, YUV, Fraction(1, 24), Fraction(24))
VARYING = [5, 6, 7, 9, 10, 20, 21, 22, 30, 31]  # times with gaps, not from zero, in the coarsest unit there is


class Drawn(Film):
    """A film that is drawn when it is read."""

    def pictures(self):
        frames = drawn_frames(self.info.format, self.info.width, self.info.height, len(VARYING))
        return iter([Frame(f.planes, pts) for f, pts in zip(frames, VARYING, strict=True)])


def drawn(fmt=YUV, width=64, height=64):
    info = VideoInfo(width, height, fmt, INFO.time_base, INFO.rate)
    return Drawn("drawn", info, len(VARYING), Fraction(27, 24), "0")


def fast(method):
    """A row with the encoder's fastest preset: what is tested here is not compression."""
    if "preset" not in method.options:
        return method
    return method.variant({"preset": "12" if "av1" in method.encoder else "ultrafast"})


@pytest.mark.parametrize("method", LIBAV, ids=lambda m: m.name)
def test_libav_keeps_pictures_and_times(method):
    film = drawn()
    data = fast(method).encode(film, 20 if method.knob else method.lossless)
    found = measure_film(film.pictures(), film.info, method.decode(data))
    assert found.frames == len(VARYING)
    if method.lossless is None:
        assert 20 < found.psnr_yuv < 60  # half of the columns of such small pictures are as little
    else:
        assert found.identical == len(VARYING)


@pytest.mark.parametrize("name", ["x264", "x265"])
def test_slow_presets_keep_times(name):
    """They have B-pictures, whose decoding times lie before the first picture."""
    film = drawn()
    found = measure_film(film.pictures(), film.info, find("video", name).decode(find("video", name).encode(film, 30)))
    assert found.frames == len(VARYING)


def test_source_of_ten_bits_is_coded_in_ten():
    deep = PlaneFormat("422", 10)
    assert find("video", "x265").coded_format(deep) == deep
    assert find("video", "svt-av1-p2-10bit").coded_format(YUV) == PlaneFormat("420", 10)
    with pytest.raises(BenchError, match="libsvtav1 as built into PyAV does not code yuv422p10le"):
        find("video", "svt-av1").coded_format(deep)


@pytest.mark.parametrize(
    "name, width, height",
    [
        ("svt-av1-half:preset=10", 65, 41),
        ("svt-av1-third:preset=10", 130, 71),
        ("x265-half:preset=ultrafast", 129, 127),  # x265 as built into PyAV breaks its heap at 48x32
    ],
)
def test_scaled_films_come_back_at_their_size(name, width, height):
    film = drawn(width=width, height=height)
    data = find("video", name).encode(film, 20)
    found = measure_film(film.pictures(), film.info, find("video", name).decode(data))
    assert found.frames == len(VARYING) and found.psnr_yuv > 17
    with pytest.raises(BenchError):
        list(find("video", name).decode(data[:3]))


def test_scaling_moves_nothing():
    """A slope, whose samples are known at every place, is the same but for its ends, where there is none beyond."""
    rows, columns = np.mgrid[0:47, 0:93]
    slope = (rows + 2 * columns).astype(np.uint8)
    down = resized(slope, (24, 46), cv2.INTER_AREA, 4, 1023)
    (up,) = enlarged([down], 10, 93, 47)
    assert down.dtype == up.dtype == np.uint16 and up.shape == slope.shape
    assert abs(up[8:-8, 8:-8] / 4 - slope[8:-8, 8:-8]).max() <= 0.5
    assert (enlarged([np.full((4, 6), 1023, np.uint16)], 10, 12, 7)[0] == 1023).all()


def test_smaller_sides_are_even():
    assert [smaller(side, 2) for side in (1280, 720, 65, 2, 1)] == [640, 360, 32, 2, 2]
    assert [smaller(side, 3) for side in (1280, 720, 1080)] == [426, 240, 360]


def test_super_resolution_codes_fewer_samples_of_pictures_of_the_same_size():
    film = drawn(width=128, height=64)
    found = {}
    for name in ("svt-av1-p2-10bit:preset=10", "svt-av1-superres:preset=10"):
        data = find("video", name).encode(film, 30)
        shown = list(find("video", name).decode(data))
        assert {picture.planes[0].shape for picture in shown} == {(64, 128)}
        found[name] = len(data)
    assert found["svt-av1-superres:preset=10"] < 0.8 * found["svt-av1-p2-10bit:preset=10"]


def test_damaged_file_is_an_error():
    data = bytearray(find("video", "ffv1").encode(drawn(), 0))
    with pytest.raises(BenchError):
        list(find("video", "ffv1").decode(bytes(data[: len(data) // 8])))


def test_nvc_and_its_lossless_form():
    film = drawn()
    with pytest.raises(BenchError):
        find("video", "nvc").encode(Still("a.png", np.zeros((4, 4, 3), np.uint8), "0"), 30)
    assert find("video", "nvc").variant({"preset": "fast", "head": "off"}).name == "nvc:preset=fast:head=off"
    assert film.frames == len(VARYING)


def test_nvc_round_trip(make_film):
    with open_clip(str(make_film("a.mp4"))) as film:
        for name in ("nvc:preset=fast:head=off", "nvc-lossless:preset=fast:head=off"):
            method = find("video", name)
            found = measure_film(film.pictures(), film.info, method.decode(method.encode(film, 40)))
            assert (found.identical == film.frames) == (method.lossless is not None)


def test_names_stand_for_methods():
    methods = find_all("video", "nvc,nvc,nvc:preset=slow,x265,x265:preset=medium")
    assert [m.name for m in methods] == ["nvc", "nvc:preset=slow", "x265", "x265:preset=medium"]
    assert len({(m.name, m.settings) for m in methods}) == 4
    assert "lzma" in lossless("video") and "png" in lossless("image") and "nvc" not in lossless("video")
    for kind, text in (("video", "nothing"), ("image", "x265"), ("video", "nvc:speed=1"), ("video", "nvc:preset=no"),
                       ("video", "nvc:head=maybe"), ("video", "x264:depth=9"), ("image", "png:level=1")):  # fmt: skip
        with pytest.raises(BenchError):
            find(kind, text)
    with pytest.raises(BenchError, match="has no option nonsense"):
        find("video", "x264:nonsense=1").encode(drawn(), 30)


def test_key_tells_methods_apart():
    for table in METHODS.values():
        assert len({(m.name, m.settings, m.version()) for m in table.values()}) == len(table)
        for method in table.values():
            assert method.versions() and method.modules and len(method.version()) == 16
            assert method.knob is not None or method.lossless is not None


def test_knob_gives_legal_settings():
    knob = Knob(best=2, worst=9, low=0.3, high=10.2, step=0.5)
    assert [knob.legal(s) for s in (-1, 0.3, 1.2, 1.3, 99)] == [0.5, 0.5, 1.0, 1.5, 10.0]


def test_clip_is_given_without_sound(make_film):
    path = str(make_film("a.mp4", sound="aac"))
    with open_clip(path) as film:
        assert film.path != path and film.frames == 12
        again = found_again(described(film))
        assert again == film and [f.pts for f in again.pictures()] == [f.pts for f in film.pictures()]
    with open_clip(path, 5) as cut:
        assert cut.frames == 5 and cut.hash == film.hash and cut.seconds < film.seconds


@pytest.mark.parametrize("mode, channels", [("1", 1), ("L", 1), ("LA", 2), ("P", 3), ("RGB", 3), ("RGBA", 4)])
def test_still_is_opened_as_its_samples(tmp_path, mode, channels):
    rng = np.random.default_rng(1)
    picture = Image.fromarray(rng.integers(0, 256, (5, 7, 4), np.uint8))
    picture = picture.convert("RGB").convert(mode) if mode == "P" else picture.convert(mode)
    picture.save(tmp_path / "a.png")
    still = open_still(str(tmp_path / "a.png"))
    assert still.pixels.shape == (5, 7, channels)
    expected = picture.convert({"1": "L", "P": "RGB"}.get(mode, mode))
    assert np.array_equal(still.pixels, np.array(expected).reshape(5, 7, channels))
    assert [p.shape for p in still.planes] == [(5, 7)] * channels


def test_alpha_that_hides_nothing_is_left_out(tmp_path):
    Image.fromarray(np.full((4, 4, 4), 255, np.uint8)).save(tmp_path / "a.png")
    assert open_still(str(tmp_path / "a.png")).pixels.shape == (4, 4, 3)


def test_what_is_no_still_is_refused(tmp_path):
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(tmp_path / "deep.png")
    (tmp_path / "text.png").write_text("no picture")
    for name in ("deep.png", "text.png", "missing.png"):
        with pytest.raises(BenchError, match=name):
            open_still(str(tmp_path / name))
    assert [kind_of(n) for n in ("a.PNG", "a.mkv")] == ["image", "video"]
    assert stills_in([str(tmp_path)]) == [str(tmp_path / n) for n in ("deep.png", "text.png")]
    with pytest.raises(BenchError, match="no picture"):
        stills_in([str(tmp_path / "a.mkv")])
