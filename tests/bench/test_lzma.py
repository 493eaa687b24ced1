"""The LZMA baseline: every sample comes back, or is within its bound, and no damaged file passes or crashes."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from bench.lzma.file import MAGIC, Header, decode, encode_film, encode_still
from bench.lzma.group import Choices, Coder, Order, Packed, decoded_group
from bench.lzma.layout import Layout, Quantiser
from bench.lzma.pack import lzma_packed
from bench.lzma.predict import TAPS, Predictor, fitted_weights, residuals, restored
from bench.method import Film, Picture, Still
from bench.methods.lzma import Lzma, StillLzma
from bench.process import BenchError
from codec.frames import SUBSAMPLING, Frame, PlaneFormat
from codec.media.demuxed import open_source
from tests.makers import drawn_frames, write_frames

FORMATS = [PlaneFormat(chroma, depth) for chroma in SUBSAMPLING for depth in (8, 10)]
YUV = PlaneFormat("420", 8)
BASE = Fraction(1, 25025)
QUICK = Choices(predictors=(Predictor.LEFT, Predictor.MIDDLE))


def worst(frames: Sequence[Frame], pictures: Sequence[Picture]) -> int:
    """The largest error of any sample."""
    return max(
        int(np.abs(a.astype(np.int32) - b).max())
        for frame, picture in zip(frames, pictures, strict=True)
        for a, b in zip(frame.planes, picture.planes, strict=True)
    )


def assert_same(frames: Sequence[Frame], pictures: Sequence[Picture], base: Fraction = BASE) -> None:
    assert worst(frames, pictures) == 0
    for frame, picture in zip(frames, pictures, strict=True):
        assert [p.dtype for p in picture.planes] == [p.dtype for p in frame.planes]
        assert picture.time == (frame.pts - frames[0].pts) * base


@pytest.mark.parametrize("fmt", FORMATS, ids=lambda fmt: fmt.av_name)
@pytest.mark.parametrize("size", [(21, 13), (1, 1)])
def test_every_format_comes_back(fmt: PlaneFormat, size: tuple[int, int]) -> None:
    frames = drawn_frames(fmt, *size, 4)
    pictures = list(decode(encode_film(frames, fmt, BASE)))
    assert_same(frames, pictures)
    assert {picture.depth for picture in pictures} == {fmt.depth}


@pytest.mark.parametrize("size", [(1, 9), (9, 1), (2, 2), (16, 8)])
def test_narrow_pictures_and_single_ones_come_back(size: tuple[int, int]) -> None:
    for count in (1, 3):
        frames = drawn_frames(YUV, *size, count)
        assert_same(frames, list(decode(encode_film(frames, YUV, BASE))))


@pytest.mark.parametrize("predictor", Predictor)
@pytest.mark.parametrize("fmt", [YUV, PlaneFormat("422", 10)], ids=lambda fmt: fmt.av_name)
def test_every_predictor_comes_back(predictor: Predictor, fmt: PlaneFormat) -> None:
    frames = drawn_frames(fmt, 19, 11, 3)
    for coder, order in product(Coder, Order):
        choices = Choices((predictor,), orders=(order,), coders=(coder,))
        assert_same(frames, list(decode(encode_film(frames, fmt, BASE, choices=choices))))


@pytest.mark.parametrize("predictor", Predictor)
def test_predictors_invert_on_any_samples(predictor: Predictor) -> None:
    random = np.random.default_rng(predictor)
    for top, shape in ((255, (2, 7, 12)), (1023, (1, 12, 7)), (5, (1, 1, 4)), (255, (3, 4, 1))):
        block, reference = (random.integers(0, top + 1, shape).astype(np.int32) for _ in range(2))
        mask = 255 if top <= 255 else 1023
        weights = None
        if predictor == Predictor.FIT:
            weights = random.integers(-(1 << 15), 1 << 15, (shape[0], TAPS)).astype(np.int16)
        found = residuals(predictor, block, reference, weights, top, mask)
        assert found.min() >= 0 and found.max() <= mask
        assert np.array_equal(restored(predictor, found, reference, weights, top, mask), block)


def test_fitted_weights_find_motion() -> None:
    reference = np.random.default_rng(0).integers(0, 256, (1, 40, 40)).astype(np.int32)
    block = np.roll(reference, (1, 1), axis=(1, 2))
    left = residuals(Predictor.FIT, block, reference, fitted_weights(block, reference), 255, 255)
    assert not left[:, 2:, 2:].any()


def test_times_that_vary_come_back_and_even_ones_cost_nothing() -> None:
    even = drawn_frames(YUV, 8, 8, 40)
    times = np.cumsum(np.random.default_rng(1).integers(1, 5000, len(even)))
    varying = [Frame(frame.planes, int(time)) for frame, time in zip(even, times, strict=True)]
    data = [encode_film(frames, YUV, BASE, choices=QUICK) for frames in (even, varying)]
    assert_same(even, list(decode(data[0])))
    assert_same(varying, list(decode(data[1])))
    longer = encode_film([Frame(f.planes, f.pts * 7) for f in even], YUV, BASE, choices=QUICK)
    assert len(longer) == len(data[0]) < len(data[1])


def test_times_out_of_range_are_an_error() -> None:
    frames = drawn_frames(YUV, 4, 4, 3)
    with pytest.raises(BenchError):
        encode_film([Frame(f.planes, t) for f, t in zip(frames, (0, 5, 3), strict=True)], YUV, BASE)
    with pytest.raises(BenchError):
        encode_film([Frame(f.planes, t) for f, t in zip(frames, (0, 1, 1 << 40), strict=True)], YUV, BASE)


@pytest.mark.parametrize("bound", [0, 2])
def test_groups_follow_one_another(bound: int) -> None:
    frames = drawn_frames(YUV, 16, 12, 7)
    sizes = [1, 1000, 1 << 20]
    for size, quantiser in product(sizes, Quantiser):
        choices = Choices(QUICK.predictors, quantisers=(quantiser,), group_bytes=size)
        pictures = list(decode(encode_film(frames, YUV, BASE, bound, choices)))
        assert len(pictures) == 7 and worst(frames, pictures) <= bound


@pytest.mark.parametrize("fmt", [YUV, PlaneFormat("444", 10), PlaneFormat("400", 8)], ids=lambda fmt: fmt.av_name)
@pytest.mark.parametrize("bound", [1, 3, 24, 127])
def test_no_error_is_above_the_bound(fmt: PlaneFormat, bound: int) -> None:
    frames = drawn_frames(fmt, 17, 9, 4)
    for plane in frames[1].planes:  # extremes, where clipping could exceed the bound
        plane[::2], plane[1::2] = 0, fmt.peak
    for quantiser in Quantiser:
        choices = Choices(QUICK.predictors, quantisers=(quantiser,))
        pictures = list(decode(encode_film(frames, fmt, BASE, bound, choices)))
        assert worst(frames, pictures) <= bound
        assert max(int(p.max()) for picture in pictures for p in picture.planes) <= fmt.peak


def test_noise_below_the_bound_stands_still() -> None:
    random = np.random.default_rng(2)
    still = random.integers(20, 230, (24, 32))
    planes = [(still + random.integers(-1, 2, still.shape)).astype(np.uint8) for _ in range(20)]
    frames = [Frame((plane,), k) for k, plane in enumerate(planes)]
    grey = PlaneFormat("400", 8)
    data = encode_film(frames, grey, BASE, 3)
    assert worst(frames, list(decode(data))) <= 3
    assert len(data) < 1.5 * len(encode_film(frames[:1], grey, BASE, 3))
    samples = Choices(quantisers=(Quantiser.SAMPLE,))
    assert len(data) < len(encode_film(frames, grey, BASE, 3, samples)) / 2


def test_a_larger_bound_is_a_smaller_file() -> None:
    frames = drawn_frames(YUV, 48, 32, 4)
    sizes = [len(encode_film(frames, YUV, BASE, bound, QUICK)) for bound in (0, 1, 2, 4, 8, 16)]
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == len(sizes)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_stills_come_back(channels: int) -> None:
    random = np.random.default_rng(channels)
    for shape in ((13, 22), (1, 1)):
        pixels = random.integers(0, 256, (*shape, channels), np.uint8)
        (picture,) = decode(encode_still(pixels))
        assert np.array_equal(np.stack(picture.planes, axis=-1), pixels)


def test_other_pictures_are_an_error() -> None:
    for pixels in (np.zeros((4, 4, 1), np.uint16), np.zeros((4, 4, 5), np.uint8)):
        with pytest.raises(BenchError):
            encode_still(pixels)


def test_common_brightness_is_taken_out_of_colours() -> None:
    noise = np.random.default_rng(3).integers(0, 256, (40, 40, 1), np.uint8)
    grey = encode_still(noise)
    assert len(encode_still(np.repeat(noise, 3, axis=2))) < 1.1 * len(grey)


def small_files() -> list[bytes]:
    frames = drawn_frames(YUV, 9, 7, 4)
    varying = [Frame(frame.planes, k * k) for k, frame in enumerate(frames)]
    choices = Choices((Predictor.MEDIAN, Predictor.FIT), group_bytes=200)
    still = np.random.default_rng(4).integers(0, 99, (7, 9, 3), np.uint8)
    return [
        encode_film(varying, YUV, BASE, 0, choices),
        encode_film(varying, YUV, BASE, 2, Choices(QUICK.predictors, coders=(Coder.ZSTD,))),
        encode_still(still),
    ]


def test_every_truncation_is_an_error() -> None:
    for data in small_files():
        for size in range(len(data)):
            with pytest.raises(BenchError):
                list(decode(data[:size]))
        with pytest.raises(BenchError):
            list(decode(data + b"\0"))


def test_every_flipped_bit_is_an_error() -> None:
    random = np.random.default_rng(5)
    for data in small_files():
        for bit in random.integers(0, 8 * len(data), 300):
            broken = bytearray(data)
            broken[bit >> 3] ^= 1 << (bit & 7)
            with pytest.raises(BenchError):
                list(decode(bytes(broken)))


def test_what_unpacks_to_another_size_is_an_error() -> None:
    layout = Layout.of_film(6, 4, YUV, 0)
    good = bytes([Predictor.LEFT, Predictor.NONE]) + bytes(layout.samples)
    broken = [
        *(good[:-1], good + b"\0", b"", good[:1]),
        bytes([99]) + good[1:],
        bytes([Predictor.FIT]) + good[1:],
        bytes([Predictor.FIT, Predictor.FIT]) + bytes(20),
        bytes(1 << 20),
    ]
    for order in Order:
        packed = Packed(Quantiser.SAMPLE, order, Coder.LZMA, lzma_packed(good))
        assert len(decoded_group(packed, 1, None, layout)) == 1
        for content in broken:
            with pytest.raises(BenchError):
                decoded_group(packed._replace(data=lzma_packed(content)), 1, None, layout)


def claiming(data: bytes, **claims: int) -> bytes:
    """A film with even times whose header says something else, and has the right checksum."""
    values = dict(zip(Header.numbers, Header.layout.unpack_from(data, len(MAGIC)), strict=True)) | claims
    header = MAGIC + Header.layout.pack(*values.values())
    return header + zlib.crc32(header).to_bytes(4, "little") + data[len(header) + 4 :]


def test_a_header_is_not_believed() -> None:
    data = encode_film(drawn_frames(YUV, 8, 8, 2), YUV, BASE)
    assert len(list(decode(claiming(data)))) == 2
    for claims in (
        *({"width": 65535, "height": 65535}, {"width": 65535, "height": 2048}, {"width": 9}, {"depth": 9}),
        *({"depth": 10}, {"chroma": 3}, {"channels": 3}, {"kind": 1}, {"colour": 1}, {"colour": 2}, {"bound": 1}),
        *({"pictures": 1}, {"pictures": 1 << 24}, {"per": 0}, {"times": 3}),
    ):
        with pytest.raises(BenchError):
            list(decode(claiming(data, **claims)))
    with pytest.raises(BenchError):
        list(decode(b"XXXX" + data[4:]))


def test_methods_keep_pictures_and_times(tmp_path: Path) -> None:
    path = write_frames(tmp_path / "film.mkv", drawn_frames(YUV, 24, 16, 5, step=40), YUV)
    with open_source(path) as source:
        film = Film(str(path), source.info, 5, Fraction(1, 5), "")
        frames = list(source.frames())
    method = Lzma()
    assert method.lossless is not None and method.knob is not None
    assert_same(frames, list(method.decode(method.encode(film, method.lossless))), film.info.time_base)
    assert 0 < worst(frames, list(method.decode(method.encode(film, 3)))) <= 3
    assert {"python", "zstandard"} <= set(method.versions())
    for setting in (0.5, -1, 128):
        with pytest.raises(BenchError):
            method.encode(film, setting)

    pixels = np.random.default_rng(6).integers(0, 256, (9, 14, 3), np.uint8)
    still = Still("", pixels, "")
    (picture,) = StillLzma().decode(StillLzma().encode(still, 0))
    assert all(np.array_equal(a, b) for a, b in zip(picture.planes, still.planes, strict=True))
    with pytest.raises(BenchError):
        method.encode(still, 0)


def test_a_film_that_changes_its_size_or_has_no_pictures_is_an_error() -> None:
    for frames in ([], [*drawn_frames(YUV, 8, 8, 1), *drawn_frames(YUV, 8, 6, 1)]):
        with pytest.raises(BenchError):
            encode_film(frames, YUV, BASE)
