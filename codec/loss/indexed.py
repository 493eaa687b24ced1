"""A plane of indices into a palette: screenshots, drawings, scanned text, icons.

Indices say little as numbers; what helps is where the same surroundings stood before, and what followed. A pixel is
asked in turn whether it is the most likely candidate, the second, the third; candidates are what last followed the
same 28, 18, .. 2 pixels around it, then its neighbours. What is none of them is sent bit by bit. Where the nearest
pixels are all equal, one question with a context of its own says whether it goes on so, which spares most of the work.

Pixels are coded in *waves*: those of one wave lie SKEW columns apart from row to row, so that whatever lies to the
left, above, or above and up to SKEW - 1 columns to the right is known, and a wave can be computed as arrays. All
decisions are those of `codec.loss.decisions`.

References: P. J. Ausbeck, "The piecewise-constant image model", Proc. IEEE 88(11), 2000; JBIG2 (ITU-T T.88), whose
templates reach as far.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import FormatError
from .decisions import Decisions, Simple, Sums, multipliers
from .entropy import Ints, SymbolCoder
from .repeated import assign_last

SKEW = 3
MARGIN = 6  # indices 0 around the plane
# places (rows, columns off) of the pixels that contexts are made of, nearest first
AROUND = (
    (0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0), (-1, 2), (-1, -2), (-2, 1), (-2, -1), (0, -3), (-3, 0),
    (-2, 2), (-2, -2), (-3, 1), (-3, -1), (0, -4), (-1, -3), (-2, 3), (-2, -3), (0, -5), (-4, 0), (-1, -4), (-3, 2),
    (-3, -2), (-2, 4), (-2, -4), (0, -6),
)  # fmt: skip
ORDERS = (2, 4, 6, 11, 18, 28)  # how many of them each context takes
ROUNDS_MAX = 3  # candidates that are asked for
TABLE_BITS = range(12, 21)  # 2 to that power: cells of a context

_M = multipliers(len(AROUND) + 1)
_LAST = np.uint64(_M[-1])
_MIX = np.where(np.arange(len(AROUND)) < np.array(ORDERS)[:, None], _M[:-1], 0).astype(np.float64)
# contexts of an index that is sent bit by bit, of `_features`: nothing; left; above; both; with those above them; what
# a plane would give and their mean; the mean of four and how much they differ
_PICKED = ((), (0,), (1,), (0, 1), (0, 1, 2, 3), (4, 5), (6, 7))
_TREE_MIX = np.array([[int(_M[k]) if k in row else 0 for k in range(8)] for row in _PICKED], np.float64)


def _features(near: NDArray[np.int64], colours: int) -> NDArray[np.int64]:
    """What bits of an index are predicted by: (8, n), from left, above, above left, above right."""
    left, above, corner, right = near
    differ = (abs(left - above) + abs(above - right) + abs(left - corner)) >> 2
    plane = np.clip(left + above - corner, 0, colours - 1)
    return np.stack([*near, plane, (left + above) >> 1, near.sum(axis=0) >> 2, differ])


class IndexCoder:
    """Both directions of one plane of `colours` indices, two or more."""

    def __init__(self, coder: SymbolCoder, shape: tuple[int, int], colours: int, rounds: int):
        """`rounds`: how many candidates are asked for, 0 .. ROUNDS_MAX."""
        self._coder, self._colours, self._rounds = coder, colours, rounds
        self.rows, self.columns = shape
        bits = min(max((self.rows * self.columns).bit_length(), TABLE_BITS[0]), TABLE_BITS[-1])
        self._stride = self.columns + 2 * MARGIN
        self._plane = np.zeros((self.rows + MARGIN, self._stride), np.int32)
        self._flat = self._plane.reshape(-1)
        self._around = np.array([y * self._stride + x for y, x in AROUND])[:, None]
        self._same = Simple(colours)
        self._is = Decisions(max(rounds, 1), len(ORDERS), bits, slice(1, None))
        self._followed = np.full(len(ORDERS) << bits, -1, np.int32)  # the index that last followed a context
        self._levels = (colours - 1).bit_length()
        self._tree = Decisions(self._levels, len(_PICKED), bits, slice(3, 6))

    def run(self, source: Ints | None) -> Ints:
        """The plane, (rows, columns) int32; `source` is given to a writer and None to a reader. Raises FormatError."""
        step = self._stride - SKEW  # from a pixel of a wave to the next, one row down
        wanted: Ints | None = None
        if source is not None:
            padded = np.zeros_like(self._plane)
            padded[MARGIN:, MARGIN : MARGIN + self.columns] = source
            wanted = padded.reshape(-1)
        for wave in range(self.columns + SKEW * (self.rows - 1)):
            top, bottom = max(0, -(-(wave - self.columns + 1) // SKEW)), min(self.rows - 1, wave // SKEW)
            if bottom < top:
                continue
            first = (top + MARGIN) * self._stride + MARGIN + wave - SKEW * top
            places = first + step * np.arange(bottom - top + 1)
            self._wave(places, None if wanted is None else wanted[places])
        return self._plane[MARGIN:, MARGIN : MARGIN + self.columns].copy()

    def _wave(self, places: NDArray[np.int64], wanted: Ints | None) -> None:
        """Code the pixels at `places` of the plane."""
        around = self._flat.take(self._around + places)
        left = around[0]
        flat = (around == left).all(axis=0)
        out = np.full(len(places), -1, np.int32)
        where = np.flatnonzero(flat)
        if where.size:
            colour = left[where]
            fell = self._same.code(self._coder, colour, None if wanted is None else wanted[where] == colour)
            out[where[fell]] = colour[fell]
            if self._colours == 2:
                out[where[~fell]] = 1 - colour[~fell]
        where = np.flatnonzero(~flat)
        if where.size and self._rounds:
            self._candidates(around[:, where], where, out, wanted)
        rest = np.flatnonzero(out < 0)
        if rest.size:
            out[rest] = self._bits(around[:4, rest], None if wanted is None else wanted[rest])
        self._flat[places] = out
        if where.size and self._rounds:
            assign_last(self._followed, self._contexts, out[where])

    def _candidates(self, around: Ints, where: NDArray[np.intp], out: Ints, wanted: Ints | None) -> None:
        """Ask for candidates, round by round, until each pixel is known or has none left."""
        sums: Sums = (_MIX @ around).astype(np.int64).view(np.uint64)
        self._contexts = self._is.scattered(sums)
        candidates = np.concatenate([self._followed.take(self._contexts)[::-1], around[:4]])
        for kind in range(self._rounds):
            first = (candidates >= 0).argmax(axis=0)
            colour = candidates[first, np.arange(len(where))]
            if (colour < 0).any():
                going = colour >= 0
                where, colour, sums, candidates = where[going], colour[going], sums[:, going], candidates[:, going]
            if not where.size:
                return
            cells = self._is.scattered(sums + (colour + 1).astype(np.uint64) * _LAST)
            fell = self._is.code(self._coder, kind, cells, None if wanted is None else wanted[where] == colour)
            out[where[fell]] = colour[fell]
            other = ~fell
            if self._colours == 2:
                out[where[other]] = 1 - colour[other]
                return
            where, colour, sums, candidates = where[other], colour[other], sums[:, other], candidates[:, other]
            candidates[candidates == colour] = -1  # each is asked for once

    def _bits(self, near: Ints, wanted: Ints | None) -> Ints:
        """Indices bit by bit, the highest first."""
        features = _features(near.astype(np.int64), self._colours)
        sums: Sums = (_TREE_MIX @ features).astype(np.int64).view(np.uint64)
        node = np.ones(near.shape[1], np.int64)
        for level in range(self._levels):
            bit = None if wanted is None else (wanted >> (self._levels - 1 - level) & 1).astype(np.bool_)
            cells = self._tree.scattered(sums + node.astype(np.uint64) * _LAST)
            node = 2 * node + self._tree.code(self._coder, level, cells, bit)
        found = (node - (1 << self._levels)).astype(np.int32)
        if (found >= self._colours).any():
            raise FormatError("the loss-stream is damaged: a pixel of no colour of the palette")
        return found
