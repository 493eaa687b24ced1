"""The fixed upscaler: FORMAT.md's formula sample by sample, its shapes, and results that never change."""

from __future__ import annotations

import zlib
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from codec.base.resample import BASE_FORMAT, BASE_MIN, TAPS, base_size, downscale, upscale
from codec.frames import SUBSAMPLING, PlaneFormat
from codec.settings import SCALES

CHROMA = ["400", "420", "422", "444"]
SIZES = [(1, 1), (2, 1), (1, 3), (5, 7), (16, 16), (17, 33), (50, 31)]  # width, height


def drawn_base(width: int, height: int, scale: Fraction, seed: int = 0) -> list[NDArray[np.uint16]]:
    rng = np.random.default_rng(seed)
    shapes = BASE_FORMAT.shapes(*base_size(width, height, scale))
    return [rng.integers(0, 1024, s).astype(np.uint16) for s in shapes]


def factors(fmt: PlaneFormat, scale: Fraction) -> list[tuple[Fraction, Fraction]]:
    """(vertical, horizontal) factor of each plane, from FORMAT.md."""
    sub = SUBSAMPLING[fmt.chroma]
    return [(scale, scale)] + ([] if sub is None else [(scale * 2 / sub[1], scale * 2 / sub[0])] * 2)


def taps_at(factor: Fraction, output: int) -> list[tuple[int, int]]:
    """(input, tap) of one output position."""
    k, j = divmod(output, factor.numerator)
    return [(k * factor.denominator - 3 + t, tap) for t, tap in enumerate(TAPS[factor][j])]


def filtered(plane: NDArray[np.uint16], f: tuple[Fraction, Fraction], shape: tuple[int, int]) -> NDArray[np.int64]:
    """FORMAT.md, "Upscaling", one sample after the other."""
    rows, columns = plane.shape
    if f == (1, 1):
        return plane[: shape[0], : shape[1]].astype(np.int64)
    middle = np.zeros((shape[0], columns), np.int64)
    for y in range(shape[0]):
        for x in range(columns):
            if f[0] == 1:
                middle[y, x] = int(plane[y, x]) << 4
            else:
                total = sum(tap * int(plane[min(max(at, 0), rows - 1), x]) for at, tap in taps_at(f[0], y))
                middle[y, x] = (total + 8) >> 4
    out = np.zeros(shape, np.int64)
    for y in range(shape[0]):
        for x in range(shape[1]):
            if f[1] == 1:
                value = (int(middle[y, x]) + 8) >> 4
            else:
                total = sum(tap * int(middle[y, min(max(at, 0), columns - 1)]) for at, tap in taps_at(f[1], x))
                value = (total + 2048) >> 12
            out[y, x] = min(max(value, 0), 1023)
    return out


@pytest.mark.parametrize("scale", SCALES, ids=str)
@pytest.mark.parametrize("chroma", CHROMA)
def test_upscaling_is_that_of_the_format(scale: Fraction, chroma: str) -> None:
    fmt = PlaneFormat(chroma, 10)
    for width, height in ((1, 1), (3, 19), (34, 7)):
        base = drawn_base(width, height, scale, width)
        base[0][:4, :4] = 1023
        base[0][:2, :2] = 0
        found = upscale(base, fmt, width, height, scale)
        shapes = fmt.shapes(width, height)
        assert len(found) == len(shapes)
        for plane, source, f, shape in zip(found, base, factors(fmt, scale), shapes, strict=False):
            assert np.array_equal(plane, filtered(source, f, shape)), (width, height, f)


@pytest.mark.parametrize("factor", [Fraction(3, 2), *map(Fraction, (2, 3, 4, 6, 8))], ids=str)
def test_taps_are_a_rounded_lanczos_window(factor: Fraction) -> None:
    assert len(TAPS[factor]) == factor.numerator
    for j, row in enumerate(TAPS[factor]):
        assert sum(row) == 256
        at = (j + 0.5) / float(factor) - 0.5 - (np.arange(len(row)) - 3)  # distance of the output from each input
        window = np.where(np.abs(at) < 3, np.sinc(at) * np.sinc(at / 3), 0.0)
        assert np.abs(np.array(row) - 256 * window / window.sum()).max() < 2.5
    mirrored = [tuple(v for v in row[::-1] if v) for row in TAPS[factor][::-1]]
    assert mirrored == [tuple(v for v in row if v) for row in TAPS[factor]], "left and right are treated alike"


@pytest.mark.parametrize("scale", SCALES, ids=str)
@pytest.mark.parametrize("chroma", CHROMA)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_shapes_and_constants(scale: Fraction, chroma: str, size: tuple[int, int]) -> None:
    width, height = size
    bw, bh = base_size(width, height, scale)
    assert bw >= BASE_MIN and bw * scale >= width and (bw == BASE_MIN or (bw - 1) * scale < width)
    assert bh >= BASE_MIN and bh * scale >= height and (bh == BASE_MIN or (bh - 1) * scale < height)
    for depth in (8, 10):
        fmt = PlaneFormat(chroma, depth)
        for levels in ((0, 1, 2), (1023, 1023, 1022), (400, 512, 700)):
            base = [np.full(s, v, np.uint16) for s, v in zip(BASE_FORMAT.shapes(bw, bh), levels, strict=True)]
            found = upscale(base, fmt, width, height, scale)
            assert [p.shape for p in found] == fmt.shapes(width, height)
            for plane, level in zip(found, levels, strict=False):
                assert plane.dtype == np.uint16 and plane.flags.c_contiguous
                assert (plane == level).all()
        film = [np.full(s, (90, 128, 30)[p], fmt.dtype) for p, s in enumerate(fmt.shapes(width, height))]
        small = downscale(film, fmt, scale)
        assert [p.shape for p in small] == BASE_FORMAT.shapes(bw, bh)
        for p, plane in enumerate(small):
            assert plane.dtype == np.uint16
            expected = (90, 128, 30)[p] << (10 - depth) if p < len(film) else 512
            assert (plane == expected).all()


GOLDEN = {
    Fraction(1): 0x57532112,
    Fraction(3, 2): 0x2B367642,
    Fraction(2): 0x325B8569,
    Fraction(3): 0xB3CEA89C,
    Fraction(4): 0x94945D08,
}


@pytest.mark.parametrize("scale", SCALES, ids=str)
def test_upscaled_noise_never_changes(scale: Fraction) -> None:
    crc = 0
    for chroma in CHROMA:
        for width, height in ((1, 1), (61, 47), (100, 90)):
            shapes = BASE_FORMAT.shapes(*base_size(width, height, scale))
            base = []
            for p, (rows, columns) in enumerate(shapes):  # noise by a formula, so that no generator can change it
                k = np.arange(rows * columns, dtype=np.uint64) + np.uint64(p + 1)
                noise = (k * k * np.uint64(2654435761) >> np.uint64(7)) % np.uint64(1024)
                base.append(noise.astype(np.uint16).reshape(rows, columns))
            for plane in upscale(base, PlaneFormat(chroma, 10), width, height, scale):
                crc = zlib.crc32(plane.astype("<u2").tobytes(), crc)
    assert crc == GOLDEN[scale]


def test_a_film_larger_than_the_base_by_less_than_a_sample_loses_nothing() -> None:
    """Odd sizes: the last row of the film is made of the last rows of the base."""
    base = drawn_base(33, 33, Fraction(2))
    assert base[0].shape == (17, 17)
    plane = upscale(base, PlaneFormat("400", 10), 33, 33, Fraction(2))[0]
    base[0][16] = 1023 - base[0][16]
    changed = upscale(base, PlaneFormat("400", 10), 33, 33, Fraction(2))[0]
    assert np.array_equal(plane[:26], changed[:26]) and (plane[32] != changed[32]).any()


def test_full_size_downscaling_keeps_every_sample() -> None:
    rng = np.random.default_rng(2)
    for depth, shift in ((8, 2), (10, 0)):
        fmt = PlaneFormat("420", depth)
        film = [rng.integers(0, fmt.peak + 1, s).astype(fmt.dtype) for s in fmt.shapes(37, 21)]
        small = downscale(film, fmt, Fraction(1))
        for a, b in zip(film, small, strict=True):
            assert np.array_equal(a.astype(int) << shift, b)
        back = upscale(small, fmt, 37, 21, Fraction(1))
        assert all(np.array_equal(a.astype(int) << shift, b) for a, b in zip(film, back, strict=True))


@pytest.mark.parametrize("scale", SCALES[1:], ids=str)
def test_both_filters_lie_on_one_geometry(scale: Fraction) -> None:
    """A smooth picture comes back almost as it was: a shift by half a sample would cost much more."""
    fmt = PlaneFormat("444", 10)
    y, x = np.mgrid[:96, :120]
    wave = 512 + 300 * np.sin(x / 19 + 0.4) * np.cos(y / 23)
    film = [np.rint(wave + 40 * p).astype(np.uint16) for p in range(3)]
    back = upscale(downscale(film, fmt, scale), fmt, 120, 96, scale)
    for a, b in zip(film, back, strict=True):
        inner = (slice(24, -24), slice(24, -24))
        assert np.abs(a[inner].astype(int) - b[inner].astype(int)).max() <= 6
