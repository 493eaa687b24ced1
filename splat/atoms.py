"""The alphabet of the compressor: which Gaussians there are, where they may stand, and what a coded picture is.

A picture is cut into tiles of 32x32 pixels. A tile is a plane (mean and two gradients) plus *atoms*: Gaussians in 376
shapes, each with a place out of the shape's own lattice and an integer amplitude per channel. An atom is cut off at
its tile's border, so tiles depend on nothing but themselves. All kernels have the same energy; hence one step quantises
all amplitudes, and the encoder can choose atoms by correlation alone.

Everything here is made of integers by integer arithmetic, the same on every machine; `dictionary` compares its work
with a CRC-32. What is computed is written down in SPLAT.md.

Sources: Kerbl et al., "3D Gaussian splatting", 2023, and Zhang et al., "GaussianImage", 2024, for pictures made of
Gaussians; Mallat and Zhang, "Matching pursuits with time-frequency dictionaries", 1993, for dictionaries of atoms.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cache
from itertools import product
from math import isqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from .errors import SplatError

Ints = NDArray[np.signedinteger[Any]]

TILE = 32  # pixels, both ways
MARGIN = 4  # pixels that a place may lie outside its tile
REACH = TILE - 1 + MARGIN  # from a place to the farthest pixel of its tile
CELL = 4  # pixels; places are coded cell by cell
CELLS = TILE // CELL  # per side of a tile
UNIT = 1 << 14  # the norm of a kernel

PLAIN, EDGE, RIDGE = 0, 1, 2  # profiles: the Gaussian, its first and its second derivative across the long axis
SCALES = (7, 10, 14, 20, 28, 40, 56, 80)  # sigma across, 1/10 pixel
RATIOS = (1, 2, 4)  # sigma along / sigma across
ALONG_MAX = 110  # 1/10 pixel
ANGLES = 8  # over half a turn
SPACING = 12  # of the lattices, in 1/10 sigma

STEP_MIN, STEP_MAX = 16, 65535  # the quantiser's step, 1/64 of a pixel value
BASE_MAX = 32767  # magnitude of a coded mean or gradient
AMPLITUDE_MAX = 318  # magnitude of a coded amplitude
ATOMS_MAX = 255  # in one tile
SIDE_MAX = 65535  # pixels
PIXELS_MAX = 1 << 27  # of a picture, in the format

_CRC = 0xEF1AC40F  # of all kernels and places


class Shape(NamedTuple):
    """One kind of atom. Its long axis points `angle` / ANGLES of half a turn from x towards y (downwards)."""

    profile: int  # PLAIN, EDGE or RIDGE
    along: int  # sigma of the long axis, 1/10 pixel
    across: int  # sigma of the other, 1/10 pixel
    angle: int
    scale: int  # index of `across` in SCALES


def _shapes() -> tuple[Shape, ...]:
    found = []
    for profile, (scale, across), ratio in product((PLAIN, EDGE, RIDGE), enumerate(SCALES), RATIOS):
        if across * ratio <= ALONG_MAX:
            angles = 1 if profile == PLAIN and ratio == 1 else ANGLES
            found += [Shape(profile, across * ratio, across, angle, scale) for angle in range(angles)]
    return tuple(found)


SHAPES = _shapes()


def grid_of(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of the tiles that cover so many pixels."""
    return -(-height // TILE), -(-width // TILE)


def check_size(height: int, width: int) -> None:
    """Raise SplatError for a size that a picture cannot have in the format."""
    if not (1 <= height <= SIDE_MAX and 1 <= width <= SIDE_MAX):
        raise SplatError(f"a picture of {width}x{height} pixels cannot be coded")
    if height * width > PIXELS_MAX:
        raise SplatError(f"a picture of {width}x{height} pixels is too large")


@dataclass(frozen=True)
class Code:
    """What one .nvs file says of a grey or colour picture, or of its alpha.

    Tiles are numbered row by row from the top left; the last ones may stick out of the picture. `base` and amplitudes
    count steps. With one channel a value is pixel - 128; with three, the channels are (R + G + B) / sqrt(3),
    (R - B) / sqrt(2), (R - 2 G + B) / sqrt(6) of pixel - 128.
    """

    height: int  # pixels
    width: int
    channels: int  # 1 grey or alpha, 3 colour
    step: int  # 1/64 of a pixel value, STEP_MIN..STEP_MAX
    base: Ints  # (tiles, channels, 3): mean, gradient along x, gradient along y of every tile, |.| <= BASE_MAX
    atoms: Ints  # (n, 3 + channels): tile, shape, place, amplitudes (|.| <= AMPLITUDE_MAX), in `canonical` order

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        return grid_of(self.height, self.width)

    def check(self) -> Code:
        """Itself, if all its numbers are legal and its arrays fit; raises SplatError otherwise."""
        check_size(self.height, self.width)
        if self.channels not in (1, 3) or not STEP_MIN <= self.step <= STEP_MAX:
            raise SplatError(f"{self.channels} channels with a step of {self.step}/64 cannot be coded")
        rows, columns = self.grid
        if self.base.shape != (rows * columns, self.channels, 3) or self.atoms.shape[1:] != (3 + self.channels,):
            raise SplatError("a code's arrays do not fit its size and channels")
        if self.base.min() < -BASE_MAX or self.base.max() > BASE_MAX:
            raise SplatError(f"a mean or gradient is beyond {BASE_MAX} steps")
        if not len(self.atoms):
            return self
        tile, shape, place = self.atoms[:, :3].T
        legal = (self.atoms[:, :3].min() >= 0) & (tile.max() < rows * columns) & (shape.max() < len(SHAPES))
        if not legal or (place >= dictionary().npos[shape]).any():
            raise SplatError("an atom has a tile, shape or place that does not exist")
        if self.atoms[:, 3:].min() < -AMPLITUDE_MAX or self.atoms[:, 3:].max() > AMPLITUDE_MAX:
            raise SplatError(f"an amplitude is beyond {AMPLITUDE_MAX} steps")
        if np.bincount(tile).max() > ATOMS_MAX:
            raise SplatError(f"a tile has more than {ATOMS_MAX} atoms")
        return self


@dataclass(frozen=True)
class Dictionary:
    """All shapes drawn, and the places of each."""

    kernels: NDArray[np.int32]  # (shapes, 2 * REACH + 1, 2 * REACH + 1), centre in the middle, norm UNIT
    windows: NDArray[np.int32]  # the same memory as (shapes, 40, 40, TILE, TILE): see `window`
    places: list[NDArray[np.int64]]  # per shape (places, 2): y, x in the tile, sorted by (cell, y, x)
    npos: NDArray[np.int64]  # (shapes,): number of places
    centres: NDArray[np.int64]  # (sum of npos, 2): all places, shape by shape
    first: NDArray[np.int64]  # (shapes,): index of a shape's first place in `centres`
    cellcount: NDArray[np.int64]  # (shapes, CELLS * CELLS): places of a shape in a cell
    cellfirst: NDArray[np.int64]  # (shapes, CELLS * CELLS): number of the first of them
    scale: NDArray[np.int64]  # (shapes,): index in SCALES

    def centre(self, shape: Ints, place: Ints) -> NDArray[np.int64]:
        """(n, 2): y, x of the atoms of those shapes and places, in pixels from their tile's first."""
        return self.centres[self.first[shape] + place]

    def window(self, shape: Ints, centre: Ints) -> NDArray[np.int32]:
        """(n, TILE, TILE): what atoms of amplitude 1 at `centre` (n, 2) add to their tile, times UNIT."""
        return self.windows[shape, REACH - centre[:, 0], REACH - centre[:, 1]]


def cell_of(centre: Ints) -> Ints:
    """(n,): number of the 4x4 cell, row by row, of each y, x of (n, 2); places outside go with the nearest cell."""
    y, x = (np.clip(centre, 0, TILE - 1) // CELL).T
    return y * CELLS + x


def canonical(atoms: Ints) -> Ints:
    """The same atoms (n, 3 + channels) in the order in which they are coded: by tile, cell, shape, place."""
    tile, shape, place = atoms[:, :3].T
    return atoms[np.lexsort((place, shape, cell_of(dictionary().centre(shape, place)), tile))]


def _exponentials() -> NDArray[np.int32]:
    """round(2^16 e^(-k / 256)) for k = 0 .. 4095, then 0."""
    one = 1 << 96
    factor = term = one  # e^(-1/256), by its series
    for m in range(1, 20):
        term //= 256 * m
        factor += -term if m & 1 else term
    values, power = [], one
    for _ in range(4096):
        values.append((power + (1 << 79)) >> 80)
        power = power * factor >> 96
    return np.array([*values, 0], np.int32)


def _direction(shape: Shape, bits: int) -> tuple[int, int]:
    """Cosine and sine of a shape's angle, times 2^bits, rounded."""
    assert ANGLES == 8
    one = 1 << 64  # squares of cosines below have 128 bits
    half = isqrt(2 << 128) >> 1  # cos 45
    quarters = [one, isqrt(one * (one + half) >> 1), half, isqrt(one * (one - half) >> 1), 0]
    cos = quarters[shape.angle] if shape.angle <= 4 else -quarters[8 - shape.angle]
    sin = quarters[abs(4 - shape.angle)]
    low = 64 - bits
    return (cos + (1 << low - 1)) >> low, (sin + (1 << low - 1)) >> low


def _kernels(shape: Shape, exponentials: NDArray[np.int32]) -> list[NDArray[np.int32]]:
    """The kernels of a shape's size and angle in all profiles, (2 * REACH + 1, 2 * REACH + 1) each."""
    cos, sin = _direction(shape, 12)
    offset = np.arange(-REACH, REACH + 1, dtype=np.int32)
    y, x = offset[:, None], offset[None, :]
    # |offset| * (cos + sin) * (4096 / 0.7) < 2^31. Beyond 30000 the exponential is 0, so squares may stop there.
    u = np.clip(((x * cos + y * sin) * _inverse(shape.along)) >> 12, -30000, 30000)  # sigmas, times 4096
    v = np.clip(((y * cos - x * sin) * _inverse(shape.across)) >> 12, -30000, 30000)
    squares = v * v
    plain = exponentials[np.minimum((u * u + squares) >> 17, 4096)]
    drawn = []
    for values in (plain, (plain * v) >> 12, (plain * (4096 - (squares >> 12))) >> 12):
        values[np.abs(values) < 196] = 0
        norm = isqrt(int(np.square(values, dtype=np.int64).sum()))
        drawn.append(((values << 14) + norm // 2) // norm)  # |values| <= 2^16, so below 2^31
    return drawn


def _inverse(sigma: int) -> int:
    """4096 / sigma, rounded, of a sigma in 1/10 pixel."""
    return (40960 + sigma // 2) // sigma


def _lattice(shape: Shape) -> NDArray[np.int64]:
    """The places of a shape: a lattice along its axes through the tile's middle, in whole pixels, each once."""
    cos, sin = _direction(shape, 30)
    along, across = (max(100, SPACING * sigma) for sigma in (shape.along, shape.across))  # 1/100 pixel
    far = 2900  # a corner, margin included, is 28.3 pixels from the middle
    i = np.arange(-(far // along), far // along + 1)[:, None] * along
    j = np.arange(-(far // across), far // across + 1)[None, :] * across
    x = TILE // 2 + (i * cos - j * sin) // (100 << 30)
    y = TILE // 2 + (i * sin + j * cos) // (100 << 30)
    outside = min(MARGIN, 7 * shape.across // 100)  # wide ones may reach in from outside the tile
    inside = (x >= -outside) & (x < TILE + outside) & (y >= -outside) & (y < TILE + outside)
    seen = np.zeros((TILE + 2 * MARGIN,) * 2, bool)
    seen[y[inside] + MARGIN, x[inside] + MARGIN] = True
    places = np.argwhere(seen) - MARGIN
    return places[np.argsort(cell_of(places), kind="stable")]


@cache
def dictionary() -> Dictionary:
    """The one dictionary of this version of the format. Raises SplatError if this machine builds another one."""
    exponentials = _exponentials()
    frames = {(s.along, s.across, s.angle, s.scale): s for s in SHAPES}
    drawn = {key: _kernels(shape, exponentials) for key, shape in frames.items()}
    lattices = {key: _lattice(shape) for key, shape in frames.items()}
    keys = [(s.along, s.across, s.angle, s.scale) for s in SHAPES]
    kernels = np.stack([drawn[key][s.profile] for key, s in zip(keys, SHAPES, strict=True)])
    places = [lattices[key] for key in keys]
    cellcount = np.stack([np.bincount(cell_of(p), minlength=CELLS * CELLS) for p in places])
    npos = cellcount.sum(axis=1)
    centres = np.concatenate(places)
    crc = zlib.crc32(centres.astype("<i4").tobytes(), zlib.crc32(kernels.astype("<i4", copy=False).data))
    if crc != _CRC:
        raise SplatError("this build cannot decode .nvs files: its dictionary is not that of the format")
    return Dictionary(
        kernels=kernels,
        windows=sliding_window_view(kernels, (TILE, TILE), axis=(1, 2)),
        places=places,
        npos=npos,
        centres=centres,
        first=np.cumsum(npos) - npos,
        cellcount=cellcount,
        cellfirst=np.cumsum(cellcount, axis=1) - cellcount,
        scale=np.array([s.scale for s in SHAPES]),
    )
