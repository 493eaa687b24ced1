"""How a head is steered: the quantiser that it is told of each picture, and the blocks of a picture that it predicts;
the others are plain. FORMAT.md, section 3, "Steered heads", specifies the bytes.

Both directions run one routine (`_Coder.code`), so that they cannot differ. A reader keeps one picture's blocks: what
is read of a picture costs less than the picture, whatever a header claims.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..base.quantiser import BASE_Q_ZERO
from ..errors import FormatError
from ..frames import Plane
from ..loss.entropy import CountTables, SymbolCoder, SymbolReader, SymbolWriter, geometric_counts

CELLS = 32  # of the grid (FORMAT.md, section 4): a side of a block
BLOCK = 2 * CELLS  # luma samples
UNIT, REACH = 4, 32  # quantisers that are told differ from the head's by multiples of UNIT, of REACH at most
_ALL, _SOME = 0, 1  # of a picture's blocks
_LENGTH = 3  # bytes

Blocks = NDArray[np.uint8]  # (rows, columns): 1 where the head predicts


@dataclass(frozen=True)
class Steered:
    """Of one picture: `difference`, in UNITs, of the quantiser that the head is told, 0 if it is told none; the
    `blocks` that it predicts."""

    difference: int
    blocks: Blocks


def told_of(base_q: int, difference: int) -> int:
    """What a head whose own is `base_q` is told of a picture with that difference."""
    return min(max(base_q + UNIT * difference, -BASE_Q_ZERO), BASE_Q_ZERO - 1)


def blocks_of(width: int, height: int) -> tuple[int, int]:
    """(rows, columns) of the blocks of a picture."""
    return -(-height // BLOCK), -(-width // BLOCK)


def plane_blocks(fold: tuple[int, int]) -> tuple[int, int]:
    """(rows, columns) of a block in a plane that has so many samples in one cell."""
    return CELLS * fold[0], CELLS * fold[1]


def put_blocks(out: Sequence[Plane], planes: Sequence[Plane], blocks: Blocks, folds: Sequence[tuple[int, int]]) -> None:
    """Copy to `out` those blocks of `planes` that are not 0 in `blocks`."""
    for y, x in np.argwhere(blocks).tolist():
        for to, plane, (high, wide) in zip(out, planes, map(plane_blocks, folds), strict=True):
            part = slice(y * high, (y + 1) * high), slice(x * wide, (x + 1) * wide)
            to[part] = plane[part]


def write_steering(pictures: Iterable[Steered], told: bool) -> bytes:
    """The steering of the pictures that a head predicts, in order, as a head's bytes begin with it. `told`: whether
    the head is told a quantiser."""
    writer, coder = SymbolWriter(), None
    for picture in pictures:
        coder = coder or _Coder(writer, picture.blocks.shape, told)
        coder.code(picture)
    data = writer.finish()
    return len(data).to_bytes(_LENGTH) + data


def split_steering(head: bytes) -> tuple[bytes, bytes]:
    """The steering, without its length, and the rest of a head's bytes. Raises FormatError."""
    end = _LENGTH + int.from_bytes(head[:_LENGTH])
    if len(head) < end:
        raise FormatError("the steering of the head is cut off")
    return head[_LENGTH:end], head[end:]


class SteeringReader:
    """Reads the steering of one segment's pictures, in order, of (rows, columns) `blocks`."""

    def __init__(self, data: bytes, blocks: tuple[int, int], told: bool):
        self._reader = SymbolReader(data)
        self._coder = _Coder(self._reader, blocks, told)

    def next(self) -> Steered:
        """That of the next picture. Raises FormatError."""
        return self._coder.code(None)

    def finish(self) -> None:
        """Raises FormatError where bytes are left over."""
        self._reader.finish()


class _Coder:
    """Tables of one segment, alike on both sides."""

    def __init__(self, coder: SymbolCoder, blocks: tuple[int, ...], told: bool):
        self._coder, self._told = coder, told
        self._differences = CountTables(geometric_counts([256, 256], REACH, 1 << 10))
        self._kinds = CountTables([[40, 8], [8, 40]])
        around, before, symbol = np.ogrid[:3, :2, :2]  # sum of two neighbours, the last picture's, the block's
        self._blocks = CountTables((8 + 32 * (2 - abs(2 * symbol - around)) + 16 * (symbol == before)).reshape(-1, 2))
        self._last, self._kind = Steered(0, np.ones(blocks, np.uint8)), _ALL

    def code(self, given: Steered | None) -> Steered:
        """A picture: the one that is given, or the one that is read."""
        difference = 0
        if self._told:
            symbol = given.difference + REACH if given else None
            difference = self._coder.code_one(self._differences, int(self._last.difference != 0), symbol) - REACH
        kind = None if given is None else _ALL if given.blocks.all() else _SOME
        self._kind = self._coder.code_one(self._kinds, self._kind, kind)
        blocks = np.ones_like(self._last.blocks)
        if self._kind == _SOME:
            self._some(blocks, given.blocks if given else None)
        self._last = Steered(difference, blocks)
        return self._last

    def _some(self, found: Blocks, wanted: Blocks | None) -> None:
        """Blocks of even rows and columns, then those between two of them in a row, then the rows between those."""
        before = self._last.blocks

        def code(part: tuple[slice, slice], around: Blocks) -> None:
            here = before[part]
            symbols = None if wanted is None else wanted[part].ravel()
            found[part] = self._coder.code(self._blocks, (2 * around + here).ravel(), symbols).reshape(here.shape)

        even, odd, every = slice(0, None, 2), slice(1, None, 2), slice(None)
        code((even, even), 2 * before[even, even])
        code((even, odd), _between(found[even, even].T, found.shape[1] // 2).T)
        code((odd, every), _between(found[even], found.shape[0] // 2))


def _between(lines: Blocks, count: int) -> Blocks:
    """Sums of the two `lines` on both sides of each of `count`; where there is none beyond, the other counts twice."""
    return lines[:count] + lines[np.minimum(np.arange(1, count + 1), len(lines) - 1)]
