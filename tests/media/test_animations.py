"""Animations are films: every picture as other readers draw it, with its own time; stills stay stills."""

from __future__ import annotations

import io
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest

import codec
from codec.errors import InputError, SourceDamaged
from codec.film.sources import source_of
from codec.frames import PlaneFormat
from codec.limits import DEFAULT, Limits
from codec.media.animated import Animated
from codec.media.animations import is_animation
from codec.media.apng import Apng
from codec.media.canvas import Samples, samples_of
from codec.media.libav import ordinary_priority, planes_to_av
from codec.media.pictures import looks_like_picture, read_picture
from codec.media.webp import WebpAnimation
from codec.settings import Settings
from tests.makers import drawn_planes, stand_on_input
from tests.media.animations import Drawn, apng, chunk, png_chunk, random_frames, webp

RGB = np.random.default_rng(1).integers(0, 256, (4, 12, 16, 3)).astype(np.uint8)
FOUR = [Drawn(RGB[k], delay=delay) for k, delay in enumerate((40, 0, 120, 1000))]


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def drawn(reader: Any) -> tuple[list[Samples], list[int]]:
    pairs = [(samples.copy(), ticks) for samples, ticks in reader.pictures()]
    return [samples for samples, _ in pairs], [ticks for _, ticks in pairs]


# --- what is drawn ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_webp_is_drawn_as_libwebp_does(seed: int) -> None:
    """Pillow reads animated WebP by libwebp's own decoder of animations."""
    image = pytest.importorskip("PIL.Image")
    frames = random_frames(seed, 22, 14, 8, 2, 4 if seed % 3 else 3)
    data = webp(22, 14, frames, 0x12 if seed % 3 else 0x02)
    found, times = drawn(WebpAnimation(io.BytesIO(data), "a.webp", DEFAULT))
    with image.open(io.BytesIO(data)) as other:
        assert len(found) == other.n_frames == 8
        for k, samples in enumerate(found):
            other.seek(k)
            assert np.array_equal(samples, np.asarray(other))
            assert times[k] == other.info["duration"]


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("seed", range(4))
def test_png_is_drawn_as_libav_does(seed: int, channels: int) -> None:
    """Where libav is right: it rounds half-transparent samples in a way of its own, and does not draw a frame over
    another where it covers all and is to be taken away. Pillow draws that one as we do."""
    frames = random_frames(seed, 21, 13, 8, 3, channels)
    for frame in frames if channels in (2, 4) else ():
        frame.samples[..., -1] = np.where(frame.samples[..., -1] < 128, 0, 255)
    frames = [f._replace(over=f.over and not (f.dispose == 1 and f.samples.shape[:2] == (13, 21))) for f in frames]
    data = apng(21, 13, frames)
    reader = Apng(io.BytesIO(data), "a.png", DEFAULT)
    found, times = drawn(reader)
    with av.open(io.BytesIO(data), format="apng") as film:
        others = [
            (samples_of(f, reader.header.layout), f.duration * f.time_base) for f in cast(Any, film).decode(video=0)
        ]
    assert [ticks * reader.header.tick for ticks in times] == [seconds for _, seconds in others]
    for mine, (theirs, _) in zip(found, others, strict=True):
        shown = np.ones((13, 21), bool) if channels in (1, 3) else (mine[..., -1] > 0) | (theirs[..., -1] > 0)
        assert np.array_equal(mine[shown], theirs[shown])


def test_png_over_half_transparent_samples() -> None:
    """By hand: 100 at 128/255 over 200 at 64/255 is (100*128*255 + 200*64*127) / (128*255 + 64*127) = 119.9."""
    below, above = (np.array([[[value, alpha]]], np.uint8) for value, alpha in ((200, 64), (100, 128)))
    found, _ = drawn(Apng(io.BytesIO(apng(1, 1, [Drawn(below), Drawn(above, over=True)])), "a.png", DEFAULT))
    assert found[1].tolist() == [[[119, 159]]]


def test_png_of_16_bits() -> None:
    samples = np.random.default_rng(2).integers(0, 65536, (2, 5, 7, 4)).astype(np.uint16)
    found, _ = drawn(Apng(io.BytesIO(apng(7, 5, [Drawn(samples[0]), Drawn(samples[1])])), "a.png", DEFAULT))
    assert np.array_equal(found, samples)


def test_the_picture_for_readers_without_animations_is_no_part(tmp_path: Path) -> None:
    path = written(tmp_path / "a.png", apng(16, 12, FOUR[:2], default=RGB[3]))
    with Animated(str(path)) as film:
        assert film.info.frames == 2 and len(list(film.frames())) == 2
    found, _ = drawn(Apng(io.BytesIO(path.read_bytes()), "a.png", DEFAULT))
    assert np.array_equal(found, RGB[:2])


# --- times, notes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "make"), [("a.webp", webp), ("a.png", apng)])
def test_times_and_notes(tmp_path: Path, name: str, make: Any) -> None:
    path = written(tmp_path / name, make(16, 12, FOUR))
    with source_of(path) as film:
        tick = film.info.time_base
        times = [(f.pts * tick, f.duration * tick) for f in film.frames()]
        notes, info = film.notes, film.info
    ms = [(0, 40), (40, 100), (140, 120), (260, 1000)]
    assert times == [(Fraction(pts, 1000), Fraction(duration, 1000)) for pts, duration in ms]
    assert (info.frames, info.duration, info.rate) == (4, Fraction(1260, 1000), Fraction(4000, 1260))
    assert "a picture has no duration; 0.1 s are taken, as browsers do" in notes
    assert not film.exact and any("RGB becomes YUV" in note for note in notes)


def test_what_a_film_does_not_keep_is_named(tmp_path: Path) -> None:
    extra = chunk(b"EXIF", b"II*\0") + chunk(b"XMP ", b"<x/>")
    with source_of(written(tmp_path / "a.webp", webp(16, 12, FOUR, 0x02 | 0x10 | 0x20 | 0x08 | 0x04, extra))) as film:
        assert {"not kept: the ICC colour profile", "not kept: EXIF", "not kept: XMP"} <= set(film.notes)
        assert "the alpha plane of rgba is dropped" in film.notes
    gamma = png_chunk(b"gAMA", struct.pack(">I", 100000))
    with source_of(written(tmp_path / "a.png", apng(16, 12, FOUR, extra=gamma))) as film:
        assert "not kept: the gamma of its samples" in film.notes
    with source_of(written(tmp_path / "a.png", apng(16, 12, FOUR, extra=gamma + png_chunk(b"sRGB", b"\0")))) as film:
        assert not any("gamma" in note for note in film.notes)


def test_encoded_with_its_times_and_never_called_lossless(tmp_path: Path, quick: None) -> None:
    path, target = written(tmp_path / "a.webp", webp(16, 12, FOUR)), tmp_path / "a.nvc"
    wishes = Settings(preset="fast", device="cpu", head=False)
    codec.encode(path, target, wishes)
    film = codec.open(target, device="cpu")
    times = [(f.pts * film.info.time_base, f.duration * film.info.time_base) for f in film.frames()]
    assert times[-1] == (Fraction(260, 1000), Fraction(1))
    with pytest.raises(InputError, match="cannot be stored losslessly"):
        codec.encode(path, tmp_path / "b.nvc", Settings(preset="fast", device="cpu", max_error=0))


@pytest.mark.parametrize(("extra", "sar"), [(b"", 1), (png_chunk(b"pHYs", struct.pack(">IIB", 16, 15, 0)), "16/15")])
def test_grey_png_is_of_full_range_and_tells_the_shape_of_samples(tmp_path: Path, extra: bytes, sar: Any) -> None:
    """ffprobe 5.1 says color_range=pc and sample_aspect_ratio=16:15 of these."""
    grey = [Drawn(RGB[k, :, :, :1], delay=40) for k in range(2)]
    with Animated(str(written(tmp_path / "a.png", apng(16, 12, grey, extra=extra)))) as film:
        assert (film.info.colour.range, film.info.sar) == (2, Fraction(sar))


def test_grey_png_is_exact(tmp_path: Path) -> None:
    path = written(tmp_path / "a.png", apng(16, 12, [Drawn(RGB[k, ..., :1]) for k in range(3)]))
    with source_of(path) as film:
        assert film.exact and film.info.format == PlaneFormat("400", 8) and film.notes == []
        assert all(np.array_equal(f.planes[0], RGB[k, ..., 0]) for k, f in enumerate(film.frames()))


# --- which files are animations ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "make"), [("a.webp", webp), ("a.png", apng)])
def test_one_picture_is_a_still(tmp_path: Path, name: str, make: Any) -> None:
    one = written(tmp_path / f"one-{name}", make(16, 12, FOUR[:1]))
    assert looks_like_picture(str(one)) and not is_animation(str(one))
    several = written(tmp_path / name, make(16, 12, FOUR))
    assert is_animation(str(several)) and not looks_like_picture(str(several))
    picture = read_picture(str(several))  # who asks for a picture gets the first one
    assert picture.notes == (f"{several}: all frames but the first left out",)


def sequence(path: Path, tracks: int = 1, brand: bytes = b"avis") -> Path:
    """An AVIF sequence of three pictures, shown 0.1, 0.2 and 0.3 s: an MP4 of AV1 with the brand of one. Of two tracks
    the second one, as with libavif, is alpha."""
    fmt = PlaneFormat("420", 8)
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as output:
        options = {"preset": "12", "crf": "20", "svtav1-params": "lp=1"}
        streams = [cast(Any, output.add_stream("libsvtav1", rate=10, options=options)) for _ in range(tracks)]
        for stream in streams:
            stream.width, stream.height, stream.pix_fmt = 64, 64, fmt.av_name
            stream.time_base = stream.codec_context.time_base = Fraction(1, 10)
        for k, pts in enumerate((0, 1, 3)):
            for number, stream in enumerate(streams):
                frame = planes_to_av(drawn_planes(fmt, 64, 64, k + 3 * number), fmt)
                frame.pts, frame.time_base, frame.duration = pts, Fraction(1, 10), k + 1
                output.mux(stream.encode(frame))
                ordinary_priority()
        for stream in streams:
            output.mux(stream.encode(None))
    data = path.read_bytes()
    path.write_bytes(data[:8] + brand + data[12:16] + b"avif" + data[20:])
    return path


def test_avif_sequence_is_a_film(tmp_path: Path) -> None:
    path = sequence(tmp_path / "a.avif")
    assert is_animation(str(path)) and not looks_like_picture(str(path))
    with source_of(path) as film:
        found = list(film.frames())
        assert film.exact and film.notes == []
    assert [f.pts * film.info.time_base for f in found] == [0, Fraction(1, 10), Fraction(3, 10)]


@pytest.mark.parametrize("brand", [b"avis", b"avif", b"msf1"])
def test_alpha_of_an_avif_sequence_is_named(tmp_path: Path, brand: bytes) -> None:
    with source_of(sequence(tmp_path / "a.avif", 2, brand)) as film:
        assert not film.exact and film.notes == ["the alpha track is dropped"]
        assert abs(next(film.frames()).planes[0].astype(int) - drawn_planes(film.info.format, 64, 64, 0)[0]).mean() < 8


def test_stills_of_ours_are_no_sequences() -> None:
    golden = Path(__file__).parents[1] / "golden"
    stills = list(golden.glob("*.still.nvc"))
    assert len(stills) > 5
    assert not any(is_animation(str(path)) or not looks_like_picture(str(path)) for path in stills)


@pytest.mark.parametrize(("name", "make"), [("a.webp", webp), ("a.png", apng)])
@pytest.mark.parametrize("piped", [True, False])
def test_on_standard_input(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, make: Any, piped: bool) -> None:
    stand_on_input(monkeypatch, written(tmp_path / name, make(16, 12, FOUR)), piped)
    assert not looks_like_picture("-")
    with source_of("-") as film:
        assert [f.pts * film.info.time_base * 1000 for f in film.frames()] == [0, 40, 140, 260]
        assert film.info.frames == (0 if piped and name == "a.webp" else 4)  # which tells it nowhere


# --- hostile and damaged files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "make"), [("a.webp", webp), ("a.png", apng)])
def test_cut_off(tmp_path: Path, name: str, make: Any) -> None:
    data = make(16, 12, FOUR)
    path = written(tmp_path / name, data[: len(data) * 7 // 10])
    with source_of(path) as film, pytest.raises(SourceDamaged, match=rf"{name} is cut off at 0\.140 s"):
        list(film.frames())
    with source_of(path, best_effort=True) as film:
        assert len(list(film.frames())) == 2
        assert any("the film is kept up to there" in note for note in film.notes)


def test_a_wrong_checksum_is_damage(tmp_path: Path) -> None:
    data = bytearray(apng(16, 12, FOUR))
    data[data.rindex(b"fdAT") + 20] ^= 1
    with source_of(written(tmp_path / "a.png", bytes(data))) as film, pytest.raises(SourceDamaged, match="checksum"):
        list(film.frames())


def test_parts_out_of_order_are_damage(tmp_path: Path) -> None:
    data = apng(16, 12, FOUR)
    places = [at - 4 for at in range(len(data)) if data[at : at + 4] == b"fcTL"]
    path = written(tmp_path / "a.png", data[: places[1]] + data[places[2] :])
    with source_of(path) as film, pytest.raises(SourceDamaged, match="out of order"):
        list(film.frames())


@pytest.mark.parametrize(("name", "make"), [("a.webp", webp), ("a.png", apng)])
def test_what_is_too_large_is_refused_before_it_is_decoded(tmp_path: Path, name: str, make: Any) -> None:
    path = written(tmp_path / name, make(1 << 14, 1 << 16, FOUR))
    with pytest.raises(InputError, match=rf"{name}: a picture of 16384x65536 is claimed"):
        source_of(path, limits=Limits(max_pixels=1 << 20))


@pytest.mark.parametrize(("name", "make"), [("a.webp", webp), ("a.png", apng)])
def test_a_side_that_libav_cannot_convert(tmp_path: Path, name: str, make: Any) -> None:
    path = written(tmp_path / name, make(3_000_000, 1, [Drawn(RGB[0, :1])] * 2))
    with pytest.raises(InputError, match=f"{name} cannot be converted"):
        source_of(path)


@pytest.mark.parametrize(("name", "make"), [("a.webp", webp), ("a.png", apng)])
def test_a_frame_beyond_the_canvas_is_refused(tmp_path: Path, name: str, make: Any) -> None:
    path = written(tmp_path / name, make(16, 12, [FOUR[0], Drawn(RGB[1], left=2)]))
    with source_of(path) as film, pytest.raises(SourceDamaged, match="beyond its canvas"):
        list(film.frames())


def test_a_frame_whose_picture_is_larger_than_it_says(tmp_path: Path) -> None:
    data = bytearray(webp(16, 12, FOUR))
    at = data.rindex(b"ANMF") + 8
    data[at + 6] -= 4  # the width
    with source_of(written(tmp_path / "a.webp", bytes(data))) as film, pytest.raises(SourceDamaged, match="not of the"):
        list(film.frames())


def test_rows_that_are_missing_are_no_black_ones(tmp_path: Path) -> None:
    short = Drawn(RGB[1][:9])  # of 12 rows that its header announces
    data = bytearray(apng(16, 12, [FOUR[0], short]))
    at = data.rindex(b"fcTL")
    data[at + 12 : at + 16] = struct.pack(">I", 12)
    fixed = png_chunk(b"fcTL", bytes(data[at + 4 : at + 30]))
    data[at - 4 : at + 34] = fixed
    with source_of(written(tmp_path / "a.png", bytes(data))) as film, pytest.raises(SourceDamaged, match="cut off"):
        list(film.frames())
