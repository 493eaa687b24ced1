"""Pictures of the LZMA baseline as blocks, and the levels that are predicted and coded.

A picture is a list of blocks, planes of one shape that share predictors, int32 (planes, rows, columns). Levels are the
samples themselves, or steps that keep them within a bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from codec.frames import Plane, PlaneFormat

from .predict import TAPS, Block

Planes = tuple[Plane, ...]
Blocks = list[Block]


class Quantiser(IntEnum):
    """Numbers on the wire: what levels are made of."""

    SAMPLE = 0  # in the widest steps that keep to the bound
    CHANGE = 1  # from the sample decoded before: none within the bound, else in steps that leave noise some room


@dataclass(frozen=True)
class Layout:
    """Planes of a picture, `shapes` as (rows, columns), which of them share predictors, and what a sample may be."""

    shapes: tuple[tuple[int, int], ...]
    blocks: tuple[tuple[int, ...], ...]  # numbers of planes of one shape each
    depth: int
    bound: int

    @classmethod
    def of_film(cls, width: int, height: int, fmt: PlaneFormat, bound: int) -> Layout:
        """Luma, and both chromas together."""
        shapes = tuple(fmt.shapes(width, height))
        return cls(shapes, ((0,), (1, 2)) if len(shapes) > 1 else ((0,),), fmt.depth, bound)

    @classmethod
    def of_still(cls, width: int, height: int, channels: int) -> Layout:
        """Grey or all colours together, and alpha."""
        blocks = {1: ((0,),), 2: ((0,), (1,)), 3: ((0, 1, 2),), 4: ((0, 1, 2), (3,))}[channels]
        return cls(((height, width),) * channels, blocks, 8, 0)

    @property
    def samples(self) -> int:
        return sum(rows * columns for rows, columns in self.shapes)

    @property
    def peak(self) -> int:
        return (1 << self.depth) - 1

    def step(self, quantiser: Quantiser) -> int:
        """What a level is worth."""
        return 2 * self.bound + 1 if quantiser == Quantiser.SAMPLE else self.bound + 1

    def middle(self, quantiser: Quantiser) -> int:
        """The level of no change: as many steps down as it takes."""
        return 0 if quantiser == Quantiser.SAMPLE else -(-(self.peak - self.bound) // self.step(quantiser))

    def top(self, quantiser: Quantiser) -> int:
        """The largest level."""
        middle = self.middle(quantiser)
        return 2 * middle if middle else (self.peak + self.bound) // self.step(quantiser)

    def mask(self, quantiser: Quantiser) -> int:
        """Residuals are modulo this plus 1."""
        return 255 if self.top(quantiser) <= 255 else 1023

    def places(self, quantiser: Quantiser) -> int:
        """Bytes of a residual."""
        return 1 if self.mask(quantiser) == 255 else 2

    def room(self, pictures: int, quantiser: Quantiser) -> int:
        """The most that a group's bytes unpack to."""
        return pictures * (len(self.blocks) + 2 * TAPS * len(self.shapes) + self.samples * self.places(quantiser))

    def gathered(self, planes: Sequence[Plane]) -> Blocks:
        """Planes, in their order, as blocks."""
        return [np.stack([planes[p] for p in block]).astype(np.int32) for block in self.blocks]

    def scattered(self, blocks: Blocks) -> Planes:
        """Inverse of `gathered`."""
        dtype = np.uint8 if self.depth == 8 else np.uint16
        return tuple(plane.astype(dtype) for block in blocks for plane in block)

    def zeros(self) -> Blocks:
        return [np.zeros((len(block), *self.shapes[block[0]]), np.int32) for block in self.blocks]


def levels_of(blocks: Blocks, last: Blocks, quantiser: Quantiser, layout: Layout) -> Blocks:
    """Levels of a picture; `last` is the picture decoded before it."""
    bound, step, middle = layout.bound, layout.step(quantiser), layout.middle(quantiser)
    if quantiser == Quantiser.SAMPLE:
        return blocks if step == 1 else [(block + bound) // step for block in blocks]
    changes = [block - old for block, old in zip(blocks, last, strict=True)]
    steps = [np.where(np.abs(change) <= bound, 0, (change + step // 2) // step) for change in changes]
    return [np.clip(number, -middle, middle) + middle for number in steps]


def samples_of(levels: Blocks, last: Blocks, quantiser: Quantiser, layout: Layout) -> Blocks:
    """What a decoder makes of levels: within the bound of the samples that they were made of."""
    step, middle = layout.step(quantiser), layout.middle(quantiser)
    if quantiser == Quantiser.SAMPLE:
        moved = levels if step == 1 else [level * step for level in levels]
    else:
        moved = [old + (level - middle) * step for level, old in zip(levels, last, strict=True)]
    return [np.minimum(np.maximum(block, 0), layout.peak) for block in moved]


def first_reference(last: Blocks, quantiser: Quantiser, layout: Layout) -> Blocks:
    """The reference of a group's first picture."""
    return layout.zeros() if quantiser == Quantiser.CHANGE else levels_of(last, last, quantiser, layout)
