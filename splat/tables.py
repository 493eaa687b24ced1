"""The trained numbers of the format and the entropy models made from them.

A `Prior` holds all that was learnt (by `splat.train.tables`, from pictures): integers, kept as package data in
`tables.bin` and the same for every file of this version; the CRC-32 below is part of the format. `Models` turns them
into coding tables by integer arithmetic, each when it is first needed.

tables.bin: "NVST", then all numbers as 16 bits big-endian in the order of Prior, then the CRC-32 of all before.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import cache, cached_property
from importlib.resources import files
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .atoms import SCALES, SHAPES, dictionary
from .entropy import Model
from .errors import SplatError

CRC = 0x532C616F  # of the numbers of this version, as `crc_of` gives it

MAGNITUDES = 64  # symbols of an amplitude's magnitude; the last is an escape
LENGTHS = 9  # of a tile's number of atoms, in bits: 0..8
LEVELS = 6  # halvings from a tile to its cells
RESIDUAL_MAX = 511  # magnitude of the escape symbols of means and gradients
RATIO_MAX = 254
_KEY = "numbers"  # of a field's metadata


@dataclass(frozen=True)
class Numbers:
    """What an array of the prior must be: its shape and its smallest and largest legal number."""

    shape: tuple[int, ...]
    low: int
    high: int


def _numbers(shape: tuple[int, ...], low: int, high: int) -> Any:
    return field(metadata={_KEY: Numbers(shape, low, high)})


@dataclass(frozen=True)
class Prior:
    """Integer arrays, in the order of tables.bin, each declared once with its shape and legal numbers."""

    shape: NDArray[np.int64] = _numbers((len(SHAPES),), 1, 65535)  # weight of each shape
    luma: NDArray[np.int64] = _numbers((len(SCALES), MAGNITUDES), 1, 65535)  # weights of |amplitude| by scale
    chroma: NDArray[np.int64] = _numbers((2, len(SCALES), MAGNITUDES), 1, 65535)
    split: NDArray[np.int64] = _numbers((LEVELS,), 4, 4095)  # 4 times the parameter of each halving's beta-binomial
    count: NDArray[np.int64] = _numbers((LENGTHS, LENGTHS), 1, 65535)  # of a number of atoms' bit length

    @classmethod
    def numbers(cls) -> dict[str, Numbers]:
        """What each array must be, by name."""
        return {declared.name: declared.metadata[_KEY] for declared in fields(cls)}


def _packed(prior: Prior) -> bytes:
    parts = []
    for name, wanted in Prior.numbers().items():
        values = np.asarray(getattr(prior, name))
        if values.shape != wanted.shape or values.min() < wanted.low or values.max() > wanted.high:
            raise SplatError(f"the table {name} must be {wanted.shape} numbers in {wanted.low}..{wanted.high}")
        parts.append(values.astype(">u2").tobytes())
    return b"".join(parts)


def crc_of(prior: Prior) -> int:
    """What CRC must be for `load` to accept that prior."""
    return zlib.crc32(_packed(prior))


def write(prior: Prior, path: Path) -> None:
    """Store a prior. `load` takes it once CRC says `crc_of(prior)`. Raises SplatError on illegal numbers."""
    data = b"NVST" + _packed(prior)
    Path(path).write_bytes(data + struct.pack(">I", zlib.crc32(data)))


def read(data: bytes) -> Prior:
    """The prior in the bytes of a tables.bin. Raises SplatError where they are not what `write` makes."""
    if len(data) != 8 + 2 * sum(prod(wanted.shape) for wanted in Prior.numbers().values()):
        raise SplatError("tables.bin has the wrong length")
    if data[:4] != b"NVST" or data[-4:] != struct.pack(">I", zlib.crc32(data[:-4])):
        raise SplatError("tables.bin is damaged")
    values, at = np.frombuffer(data[4:-4], ">u2").astype(np.int64), 0
    arrays = {}
    for name, wanted in Prior.numbers().items():
        size = prod(wanted.shape)
        arrays[name] = values[at : at + size].reshape(wanted.shape)
        at += size
    prior = Prior(**arrays)
    _packed(prior)  # checks the ranges
    return prior


@cache
def load() -> Prior:
    """The prior of this version of the format. Raises SplatError if the package holds another one."""
    prior = read((files(__package__) / "tables.bin").read_bytes())
    if crc_of(prior) != CRC:
        raise SplatError("this build cannot decode .nvs files: its tables are not those of the format")
    return prior


class Models:
    """The coding tables that follow from a prior."""

    def __init__(self, prior: Prior):
        self.prior = prior
        self._made: dict[tuple[str | int, ...], Model] = {}
        self._places = dictionary()

    def _get(self, key: tuple[str | int, ...], weights: Callable[[], list[int]]) -> Model:
        model = self._made.get(key)
        if model is None:
            model = self._made[key] = Model(weights())
        return model

    def split(self, level: int, count: int) -> Model:
        """How many of `count` atoms (1..255) lie in the first half of a box: beta-binomial, alpha = beta = split / 4.

        Proportional to C(count, k) B(k + alpha, count - k + alpha), from the middle outwards, where it is 2^40.
        """

        def weights() -> list[int]:
            alpha, middle = int(self.prior.split[level]), count // 2
            low = [1 << 40]
            for k in range(middle, 0, -1):
                num, den = k * (alpha + 4 * (count - k)), (count - k + 1) * (alpha + 4 * (k - 1))
                low.append(max(1, low[-1] * num // den))
            return low[:0:-1] + low if count % 2 == 0 else low[::-1] + low

        return self._get(("split", level, count), weights)

    @cached_property
    def _shape_weights(self) -> NDArray[np.int64]:
        """(cells, shapes): a shape's weight, shared evenly by its places; 0 where it has none in the cell."""
        places = self._places
        return (self.prior.shape[:, None] * 4096 * places.cellcount // places.npos[:, None]).T

    def shape(self, cell: int) -> Model:
        """Which of the shapes `shapes_in[cell]` an atom has that lies in that cell."""
        return self._get(("shape", cell), lambda: self._shape_weights[cell, self.shapes_in[cell]].tolist())

    @cached_property
    def shapes_in(self) -> list[NDArray[np.int64]]:
        """Per cell the numbers of the shapes that have places there, ascending."""
        return [np.flatnonzero(count) for count in self._places.cellcount.T]

    def magnitude(self, channel: int, scale: int) -> Model:
        """|amplitude| of channel 0, 1 or 2 of an atom of that scale; MAGNITUDES - 1 stands for all from there on."""
        table = self.prior.luma if channel == 0 else self.prior.chroma[channel - 1]
        return self._get(("magnitude", channel, scale), lambda: table[scale].tolist())

    def length(self, neighbours: int) -> Model:
        """Bit length of a tile's number of atoms; `neighbours` is the bit length of its neighbours' mean."""
        return self._get(("length", neighbours), lambda: self.prior.count[neighbours].tolist())

    def residual(self, ratio: int) -> Model:
        """Symbol r + RESIDUAL_MAX of a residual -RESIDUAL_MAX..RESIDUAL_MAX, two-sided geometric, ratio / 256."""

        def weights() -> list[int]:
            half = [1 << 40]
            for _ in range(RESIDUAL_MAX):
                half.append(max(1, half[-1] * ratio >> 8))
            return half[:0:-1] + half

        return self._get(("residual", ratio), weights)


@cache
def models() -> Models:
    """The models of this version of the format."""
    return Models(load())
