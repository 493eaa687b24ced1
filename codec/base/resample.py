"""Between the sizes of the film and of its base: a fixed integer upscaler, what it shows by itself, and the downscaler
that goes with it.

`upscale` runs in the decoder and is integer arithmetic throughout, so it is the same everywhere. `downscale` runs in
the encoder only and may use floating point. Both are separable Lanczos-3 filters (Duchon 1979) on one geometry: with
factor f, full sample i lies at base position (i + 1/2) / f - 1/2; samples beyond an edge repeat the edge.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..frames import SUBSAMPLING, Plane, PlaneFormat

BASE_FORMAT = PlaneFormat("420", 10)
BASE_MIN = 16  # the base is at least this wide and high; smaller films lie in its top left corner

# Row j: taps of output phase j, in 1/256, on inputs k·q - 3 … for factor p/q and output k·p + j. Each row is the
# Lanczos-3 window at that phase, rounded, its largest tap adjusted so that the sum is 256. Part of the format.
TAPS = {
    Fraction(3, 2): (
        (1, -11, 43, 244, -27, 6, 0, 0),
        (0, 6, -35, 157, 157, -35, 6, 0),
        (0, 0, 6, -27, 244, 43, -11, 1),
    ),
    Fraction(2): ((2, -17, 69, 228, -34, 8, 0), (0, 8, -34, 228, 69, -17, 2)),
    Fraction(3): ((3, -24, 98, 208, -37, 8, 0), (0, 0, 0, 256, 0, 0, 0), (0, 8, -37, 208, 98, -24, 3)),
    Fraction(4): (
        (4, -27, 113, 196, -38, 8, 0),
        (0, -8, 31, 250, -22, 5, 0),
        (0, 5, -22, 250, 31, -8, 0),
        (0, 8, -38, 196, 113, -27, 4),
    ),
    Fraction(6): (
        (5, -30, 127, 185, -38, 7, 0),
        (2, -17, 69, 228, -34, 8, 0),
        (0, -5, 20, 253, -16, 4, 0),
        (0, 4, -16, 253, 20, -5, 0),
        (0, 8, -34, 228, 69, -17, 2),
        (0, 7, -38, 185, 127, -30, 5),
    ),
    Fraction(8): (
        (5, -31, 135, 177, -37, 7, 0),
        (3, -22, 91, 213, -37, 8, 0),
        (1, -12, 49, 240, -29, 7, 0),
        (0, -4, 14, 255, -12, 3, 0),
        (0, 3, -12, 255, 14, -4, 0),
        (0, 7, -29, 240, 49, -12, 1),
        (0, 8, -37, 213, 91, -22, 3),
        (0, 7, -37, 177, 135, -31, 5),
    ),
}


def base_size(width: int, height: int, scale: Fraction) -> tuple[int, int]:
    """(width, height) of the base of a film of the given size."""
    return max(BASE_MIN, -(-width // scale)), max(BASE_MIN, -(-height // scale))


def downscale(planes: Sequence[Plane], fmt: PlaneFormat, scale: Fraction) -> list[Plane]:
    """The base of a picture: 10-bit 4:2:0 planes of `base_size`, from planes of any format."""
    h, w = planes[0].shape
    bw, bh = base_size(w, h, scale)
    out: list[Plane] = []
    for k, shape in enumerate(BASE_FORMAT.shapes(bw, bh)):
        factors = _factors(fmt, scale)[k]
        if factors is None:
            out.append(np.full(shape, 512, np.uint16))
            continue
        plane = planes[k]
        if factors[0] == factors[1] == 1 and plane.shape == shape:
            out.append(plane.astype(np.uint16) << (10 - fmt.depth))
            continue
        x = _downscale_rows(plane.astype(np.float32), factors[0], shape[0])
        x = _downscale_rows(np.ascontiguousarray(x.T), factors[1], shape[1]).T
        x = np.clip(np.rint(x * (1 << (10 - fmt.depth))), 0, 1023)
        out.append(np.ascontiguousarray(x.astype(np.uint16)))
    return out


def upscale(base: Sequence[Plane], fmt: PlaneFormat, width: int, height: int, scale: Fraction) -> list[Plane]:
    """Planes of the base (10-bit 4:2:0, uint16) at the size and chroma layout of the film, still 10-bit uint16."""
    shapes = fmt.shapes(width, height)
    factors = _factors(fmt, scale)
    return [
        upscale_plane(plane, f, shape) for plane, f, shape in zip(base, factors, shapes, strict=False) if f is not None
    ]


def plain_prediction(planes: Sequence[Plane], depth: int) -> list[Plane]:
    """Upscaled 10-bit planes rounded to the film's depth: what a segment without a head shows."""
    if depth == 10:
        return list(planes)
    return [np.minimum((p + 2) >> 2, 255).astype(np.uint8) for p in planes]


def upscale_plane(plane: Plane, factors: tuple[Fraction, Fraction], shape: tuple[int, int]) -> Plane:
    """A 10-bit plane by (vertical, horizontal) factors, cut to `shape`: vertically with 4 more bits kept, then
    horizontally; |sums| stay below 2^24."""
    if factors[0] == factors[1] == 1:
        return np.ascontiguousarray(plane[: shape[0], : shape[1]])
    x = plane.astype(np.int32)
    if factors[0] == 1:
        x = x[: shape[0]] << 4
    else:
        x = (_upscale_rows(x, factors[0], shape[0]) + 8) >> 4
    if factors[1] == 1:
        x = (x[:, : shape[1]] + 8) >> 4
    else:
        x = (_upscale_rows(np.ascontiguousarray(x.T), factors[1], shape[1]).T + 2048) >> 12
    return np.ascontiguousarray(np.clip(x, 0, 1023).astype(np.uint16))


def filtered(pixels: NDArray[Any], scale: int) -> NDArray[np.int64]:
    """(rows, columns, channels) samples of up to 16 bits, `scale` times larger by the same filter, in 1/16 of a sample
    and not limited to their range."""
    rows, columns, channels = pixels.shape
    factor = Fraction(scale)
    out = np.empty((rows * scale, columns * scale, channels), np.int64)
    for channel in range(channels):
        x = (_upscale_rows(pixels[..., channel].astype(np.int32), factor, rows * scale) + 8) >> 4  # 1/16
        x = _upscale_rows(np.ascontiguousarray(x.T), factor, columns * scale).T
        out[..., channel] = (x + 128) >> 8
    return out


def _factors(fmt: PlaneFormat, scale: Fraction) -> list[tuple[Fraction, Fraction] | None]:
    """(vertical, horizontal) factor from each plane of the base to that of a film; None where it has none."""
    sub = SUBSAMPLING[fmt.chroma]
    chroma = None if sub is None else (scale * 2 / sub[1], scale * 2 / sub[0])
    return [(scale, scale), chroma, chroma]


def _upscale_rows(x: NDArray[np.int32], factor: Fraction, rows: int) -> NDArray[np.int32]:
    """Filter along the first axis to `rows` rows, results times 256."""
    taps, p, q = TAPS[factor], factor.numerator, factor.denominator
    groups = -(-rows // p)
    need = (groups - 1) * q + len(taps[0])
    x = np.pad(x, ((3, max(0, need - 3 - len(x))), (0, 0)), mode="edge")
    out = np.empty((groups * p, x.shape[1]), np.int32)
    for phase, row in enumerate(taps):
        acc = np.zeros((groups, x.shape[1]), np.int32)
        for k, tap in enumerate(row):
            if tap:
                acc += x[k : k + (groups - 1) * q + 1 : q] * np.int32(tap)
        out[phase::p] = acc
    return out[:rows]


def _downscale_rows(x: NDArray[np.float32], factor: Fraction, rows: int) -> NDArray[np.float32]:
    """Filter along the first axis to `rows` rows."""
    if factor == 1:
        index = np.minimum(np.arange(rows), len(x) - 1)
        return x[index]
    centre = (np.arange(rows) + 0.5) * float(factor) - 0.5
    reach = int(np.ceil(3 * float(factor)))
    at = np.floor(centre).astype(int)[:, None] + np.arange(-reach, reach + 1)
    weight = _lanczos((at - centre[:, None]) / float(factor))
    weight = (weight / weight.sum(1, keepdims=True)).astype(np.float32)
    at = np.clip(at, 0, len(x) - 1)
    out = np.zeros((rows, x.shape[1]), np.float32)
    for k in range(at.shape[1]):
        out += x[at[:, k]] * weight[:, k : k + 1]
    return out


def _lanczos(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The window of three lobes, not normalised."""
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0.0)
