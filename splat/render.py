"""Codes to pixels: exactly, at the picture's size; smoothly, at any other.

`render` is part of the format: integers, and float64 sums that hold integers far below 2^53, so every machine gives the
same bytes, and a region gives the same as the whole picture cut to it. `zoomed` evaluates the same Gaussians between
the pixels, in floats; nothing depends on its last bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from math import cos, hypot, isqrt, pi, sin

import numpy as np
from numpy.typing import NDArray

from .atoms import ANGLES, EDGE, PIXELS_MAX, PLAIN, SHAPES, TILE, UNIT, Code, Ints, dictionary
from .errors import SplatError
from .payload import Region, tiles_of

BLOCK = 32  # tiles per side that are rendered at once: bounds the memory beyond the picture itself
ZOOM_MIN, ZOOM_MAX = 0.1, 16.0
SOFTENING = 28  # 1/256 of the step: how much a seam may be moved
_SIGMAS = 4.0  # how far zoomed Gaussians reach

_LIMIT = 1 << 18  # 1/256: far beyond what a colour needs, and 6933 times it is below 2^31
_THIRD, _HALF, _SIXTH = 2365, 2896, 1672  # 4096 / sqrt(3), sqrt(2), sqrt(6)


@cache
def ramps() -> NDArray[np.float64]:
    """(3, TILE * TILE): the constant and the two gradients of a tile, norm UNIT, rounded to integers."""
    odd = np.arange(1 - TILE, TILE, 2)
    root = isqrt(TILE * int((odd * odd).sum()) << 40)  # of the squares' sum, times 2^20
    ramp = [(1 if v > 0 else -1) * (((abs(v) * UNIT << 21) // root + 1) >> 1) for v in odd.tolist()]
    across = np.tile(np.array(ramp), (TILE, 1))
    return np.stack([np.full((TILE, TILE), UNIT // TILE), across, across.T]).reshape(3, -1).astype(np.float64)


def _ranges(code: Code) -> list[int]:
    """Where each tile's atoms begin, and the last ones end."""
    tiles = code.atoms[:, 0]
    if (np.diff(tiles) < 0).any():
        raise SplatError("a code's atoms are not in order")
    return np.searchsorted(tiles, np.arange(code.grid[0] * code.grid[1] + 1)).tolist()


def _planes(code: Code, ranges: list[int], tiles: tuple[int, int, int, int]) -> NDArray[np.int32]:
    """(channels, rows, columns) of those tiles (first, last row, first, last column) before softening, 1/256, less 128.

    A sum is below 255 * 318 * 2^14 of atoms and 32767 * (512 + 860 + 860) of the plane, below 2^31 together, times the
    step below 2^47: float64 holds it exactly, in any order of summation.
    """
    top, bottom, left, right = tiles
    places, columns = dictionary(), code.grid[1]
    planes = np.empty((code.channels, (bottom - top) * TILE, (right - left) * TILE), np.int32)
    for row in range(top, bottom):
        first = row * columns + left
        sums = code.base[first : first + right - left].astype(np.float64) @ ramps()  # (tiles, channels, pixels)
        for column in range(right - left):
            a, b = ranges[first + column], ranges[first + column + 1]
            if a < b:
                atoms = code.atoms[a:b]
                shape = atoms[:, 1]
                drawn = places.window(shape, places.centre(shape, atoms[:, 2])).reshape(b - a, -1)
                sums[column] += atoms[:, 3:].T.astype(np.float64) @ drawn.astype(np.float64)
        sums *= code.step / 4096  # 2^-14 steps of 1/64 to 1/256; exact
        sums += 0.5
        values = np.clip(np.floor(sums, out=sums), -_LIMIT, _LIMIT, out=sums).astype(np.int32)
        strip = values.reshape(-1, code.channels, TILE, TILE).transpose(1, 2, 0, 3).reshape(code.channels, TILE, -1)
        planes[:, (row - top) * TILE : (row - top + 1) * TILE] = strip if code.channels == 1 else _coloured(strip)
    return planes


def _coloured(values: NDArray[np.int32]) -> NDArray[np.int32]:
    """R, G, B from the three orthonormal channels, (3, rows, columns), both in 1/256."""
    grey, across, along = values * np.array([_THIRD, _HALF, _SIXTH], np.int32)[:, None, None]
    grey += 2048
    return np.stack([grey + across + along, grey - 2 * along, grey - across + along]) >> 12


def _soften(planes: NDArray[np.int32], step: int) -> None:
    """Move the two pixels on either side of every tile's border towards each other, in place, by little."""
    most = step * SOFTENING >> 6  # 1/256 of a pixel value
    for lines in (planes.transpose(1, 0, 2), planes.transpose(2, 0, 1)):
        borders = lines.shape[0] // TILE - 1
        p2, p1, p0, q0, q1, q2 = (lines[TILE + k :: TILE][:borders] for k in range(-3, 3))
        move = np.clip((9 * (q0 - p0) - 3 * (q1 - p1)) >> 4, -most, most)
        middle = (p0 + q0) >> 1
        p0 += move
        q0 -= move
        p1 += np.clip(((p2 + middle) >> 1) - p1, -(most >> 1), most >> 1)
        q1 += np.clip(((q2 + middle) >> 1) - q1, -(most >> 1), most >> 1)


def _blocks(code: Code, region: Region | None) -> Iterator[Region]:
    """The region in parts of at most BLOCK tiles per side."""
    x, y, w, h = region or (0, 0, code.width, code.height)
    tiles_of(code.height, code.width, (x, y, w, h))  # checks it
    side = BLOCK * TILE
    for top in range(y // side * side, y + h, side):
        for left in range(x // side * side, x + w, side):
            x0, y0 = max(left, x), max(top, y)
            yield x0, y0, min(left + side, x + w) - x0, min(top + side, y + h) - y0


def render(code: Code, region: Region | None = None) -> NDArray[np.uint8]:
    """Pixels (height, width, channels) of the picture or of a region (x, y, width, height) of it.

    Raises SplatError where the region is not inside the picture.
    """
    x, y, w, h = region or (0, 0, code.width, code.height)
    pixels = np.empty((h, w, code.channels), np.uint8) if w > 0 < h else np.empty(0, np.uint8)
    ranges = _ranges(code)
    for x0, y0, w0, h0 in _blocks(code, (x, y, w, h)):
        tiles = tiles_of(code.height, code.width, (x0, y0, w0, h0))
        planes = _planes(code, ranges, tiles)
        _soften(planes, code.step)
        top, left = y0 - tiles[0] * TILE, x0 - tiles[2] * TILE
        part = planes[:, top : top + h0, left : left + w0]
        part = np.clip((part + (128 << 8) + 128) >> 8, 0, 255)
        pixels[y0 - y : y0 - y + h0, x0 - x : x0 - x + w0] = part.transpose(1, 2, 0)
    return pixels


def compose(codes: Sequence[Code], region: Region | None = None, zoom: float = 1.0) -> NDArray[np.uint8]:
    """Picture and alpha, if there is one, as one array (h, w, 1..4)."""
    return np.concatenate([zoomed(code, zoom, region) for code in codes], axis=2)


def zoomed(code: Code, factor: float, region: Region | None = None) -> NDArray[np.uint8]:
    """The picture, or the region, drawn at `factor` (0.1..16) times its size: uint8 (h, w, channels).

    Output pixels divide the picture evenly: size round(side * factor), at least 1. Larger ones are the Gaussians
    evaluated at the new pixels' centres; smaller ones are means of `render`'s pixels. With factor 1 it is `render`.
    """
    if not ZOOM_MIN <= factor <= ZOOM_MAX:
        raise SplatError(f"a zoom of {factor} is outside {ZOOM_MIN}..{ZOOM_MAX}")
    x, y, w, h = region or (0, 0, code.width, code.height)
    tiles_of(code.height, code.width, (x, y, w, h))  # checks the region
    wide, high = max(1, round(w * factor)), max(1, round(h * factor))
    if wide * high > PIXELS_MAX:
        raise SplatError(f"a picture of {wide}x{high} pixels is too large")
    if factor == 1:
        return render(code, region)
    if factor < 1:
        means = _shrunk(_shrunk(render(code, region), high).transpose(1, 0, 2), wide).transpose(1, 0, 2)
        return np.rint(means).astype(np.uint8)
    at_x, at_y = (
        start + (np.arange(size) + 0.5) * (length / size) - 0.5 for start, length, size in ((x, w, wide), (y, h, high))
    )  # where the new pixels' centres lie, in old pixels
    pixels, ranges = np.empty((high, wide, code.channels), np.uint8), _ranges(code)
    for block in _blocks(code, (x, y, w, h)):
        _enlarge(code, ranges, block, at_y, at_x, pixels)
    return pixels


def _shrunk(pixels: NDArray, size: int) -> NDArray[np.float64]:
    """Means of `size` equal parts along the first axis."""
    total = np.concatenate([np.zeros((1, *pixels.shape[1:])), np.cumsum(pixels, axis=0, dtype=np.float64)])
    bounds = np.linspace(0, len(pixels), size + 1)
    whole = np.minimum(bounds.astype(np.intp), len(pixels) - 1)
    share = (bounds - whole).reshape(-1, *[1] * (pixels.ndim - 1))
    return np.diff(total[whole] + share * pixels[whole], axis=0) * (size / len(pixels))


def _enlarge(
    code: Code, ranges: list[int], block: Region, at_y: NDArray, at_x: NDArray, pixels: NDArray[np.uint8]
) -> None:
    """Draw the tiles under `block` into those of `pixels` whose centres (at_y, at_x) lie in it."""
    x, y, w, h = block
    tiles = tiles_of(code.height, code.width, block)
    plain = _planes(code, ranges, tiles)
    moved = plain.copy()
    _soften(moved, code.step)
    moved -= plain
    for row in range(y // TILE, -(-(y + h) // TILE)):
        i, j = np.searchsorted(at_y, [max(y, row * TILE) - 0.5, min(y + h, (row + 1) * TILE) - 0.5]).tolist()
        for column in range(x // TILE, -(-(x + w) // TILE)):
            k, m = np.searchsorted(at_x, [max(x, column * TILE) - 0.5, min(x + w, (column + 1) * TILE) - 0.5]).tolist()
            if i == j or k == m:
                continue
            tile = row * code.grid[1] + column
            down, right = at_y[i:j] - row * TILE, at_x[k:m] - column * TILE
            values = _evaluated(code, code.atoms[ranges[tile] : ranges[tile + 1]], code.base[tile], down, right)
            top, left = (row - tiles[0]) * TILE, (column - tiles[2]) * TILE
            values += _between(moved[:, top : top + TILE, left : left + TILE], down, right)
            pixels[i:j, k:m] = np.clip(np.rint(values / 256 + 128), 0, 255).transpose(1, 2, 0)


def _between(values: NDArray, down: NDArray, right: NDArray) -> NDArray[np.float64]:
    """Bilinear values of (channels, TILE, TILE) at rows `down` and columns `right`, edges repeated."""
    return np.einsum("ir,crs,js->cij", _weights(down), values, _weights(right), optimize=True)


def _weights(at: NDArray) -> NDArray[np.float64]:
    """(n, TILE): the share of every pixel at the positions (n,)."""
    return np.maximum(0, 1 - np.abs(np.clip(at, 0, TILE - 1)[:, None] - np.arange(TILE)))


def _evaluated(code: Code, atoms: Ints, base: Ints, down: NDArray, right: NDArray) -> NDArray[np.float64]:
    """(channels, rows, columns) in 1/256: one tile at rows `down` and columns `right`, in pixels from its first."""
    odd = np.arange(1 - TILE, TILE, 2)
    norm = hypot(*(odd * TILE**0.5).tolist())
    y, x = (2 * down + 1 - TILE) / norm, (2 * right + 1 - TILE) / norm
    mean, across, along = base.T.astype(np.float64)[:, :, None, None]
    sums = mean / TILE + across * x[None, None, :] + along * y[None, :, None]
    centres = dictionary().centre(atoms[:, 1], atoms[:, 2])
    for (_, shape, _, *amplitudes), (cy, cx) in zip(atoms.tolist(), centres.tolist(), strict=True):
        form = _form(shape)
        i, j = np.searchsorted(down, [cy - form.high, cy + form.high]).tolist()
        k, m = np.searchsorted(right, [cx - form.wide, cx + form.wide]).tolist()
        drawn = form.at(down[i:j, None] - cy, right[None, k:m] - cx)
        for channel, amplitude in enumerate(amplitudes):
            if amplitude:
                sums[channel, i:j, k:m] += amplitude * drawn
    sums *= code.step * 4
    if code.channels == 3:
        sums = np.einsum("ij,jrc->irc", COLOURS, sums)
    return sums


COLOURS = np.array([[_THIRD, _HALF, _SIXTH], [_THIRD, 0, -2 * _SIXTH], [_THIRD, -_HALF, _SIXTH]]) / 4096


class _Form:
    """A shape as a function of the plane, norm 1 over whole pixels."""

    def __init__(self, number: int):
        shape = SHAPES[number]
        turn = pi * shape.angle / ANGLES
        self.cos, self.sin, self.profile = cos(turn), sin(turn), shape.profile
        self.along, self.across, self.norm = shape.along / 10, shape.across / 10, 1.0
        self.wide = _SIGMAS * hypot(self.along * self.cos, self.across * self.sin)  # half the box that it fills
        self.high = _SIGMAS * hypot(self.along * self.sin, self.across * self.cos)
        whole = np.arange(-48, 49)
        self.norm = float(np.sqrt(np.square(self.at(whole[:, None], whole[None, :])).sum()))

    def at(self, y: NDArray, x: NDArray) -> NDArray[np.float64]:
        """Values (rows, columns) at offsets y (rows, 1) and x (1, columns) from its centre, in pixels."""
        u = (x * self.cos + y * self.sin) / self.along
        v = (y * self.cos - x * self.sin) / self.across
        squares = v * v
        values = np.exp((u * u + squares) * -0.5)
        if self.profile != PLAIN:
            values *= v if self.profile == EDGE else 1 - squares
        return values / self.norm


_form = cache(_Form)
