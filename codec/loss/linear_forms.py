"""Linear forms with integer weights: which samples they sum, and how a plane's weights are coded.

A form is a sum of weight * column, WEIGHT_BITS fractional bits. Forms of a whole plane sum filtered planes; forms of a
pass sum decoded neighbours, at offsets in units of the pass's grid. Weights stay as they were until new ones are sent.

Invariant: integer arithmetic; where float32 is used (`cv2.filter2D`), every partial sum is an integer below 2^24, hence
exact in any order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import FormatError
from .entropy import INCREMENT, CountTables, Ints, SymbolCoder, geometric_counts
from .grid import PASSES, Pass

Offsets = tuple[tuple[int, int], ...]  # (dy, dx)

WEIGHT_BITS = 8  # fractional bits of every weight
WEIGHT_MAX = 1023
CURVE_MAX = 511  # for weights of second differences
FOLD = 64  # symbols of a weight difference; the last is an escape
KEYS = 8  # tables of weight differences
PRIOR, SPREAD = 0, 1  # forms of a plane, and their keys; then two of each pass
MARGIN = 3 * PASSES[0].unit  # samples that a neighbour lies away at most


def _pairs(*halves: tuple[int, int]) -> tuple[Offsets, ...]:
    """Each offset with its mirror image: two samples that share a weight."""
    return tuple(((y, x), (-y, -x)) for y, x in halves)


def _ring(pairs: tuple[Offsets, ...]) -> Offsets:
    return sum(pairs, ())


@dataclass(frozen=True)
class Neighbours:
    """Decoded neighbours of a pass's samples: `taps` share a weight of the correction, `rings` one of the magnitude."""

    taps: tuple[Offsets, ...] = ()
    rings: tuple[Offsets, ...] = ()


_CROSS, _DIAGONAL = _pairs((0, 1), (1, 0)), _pairs((1, 1), (1, -1))
_KNIGHT, _FAR = _pairs((2, 1), (2, -1), (1, 2), (1, -2)), _pairs((1, 3), (1, -3), (3, 1), (3, -1))
NEIGHBOURS = (  # by phase
    Neighbours(),
    Neighbours(_DIAGONAL + _FAR, (_ring(_DIAGONAL), _ring(_FAR))),
    Neighbours(_CROSS + _KNIGHT, (_ring(_CROSS), _ring(_KNIGHT))),
    Neighbours(_CROSS + _DIAGONAL + _KNIGHT, (_ring(_CROSS), _ring(_DIAGONAL), _ring(_KNIGHT))),
)


def pass_forms(number: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """(form, key) of a pass's correction, and of its magnitude."""
    kind = max(PASSES[number].phase - 1, 0)
    return (2 + 2 * number, 2 + kind), (3 + 2 * number, 5 + kind)


def is_magnitude(key: int) -> bool:
    """Whether forms with that key estimate magnitudes."""
    return key == SPREAD or key >= 5


def default_weights(plane: int, guided: bool) -> list[Ints]:
    """Weights before any were sent: no temporal term, neighbours as in an interpolation of halves; or, with heads, what
    these say."""
    prior = np.zeros(17 + 2 * plane, np.int32)
    spread = np.zeros(6 + 2 * plane, np.int32)
    spread[[0, -1]] = 16, 64
    weights = [prior, spread]
    for neighbours in (NEIGHBOURS[p.phase] for p in PASSES):
        near = np.zeros(len(neighbours.taps), np.int32)
        near[:2] = 32
        rings = np.zeros(len(neighbours.rings) + 2, np.int32)
        if neighbours.rings:
            rings[0], rings[1] = 128, 32
        else:
            rings[0] = 256
        if guided:
            near, rings = np.append(near * 0, 256), np.append(rings * 0, 256)
        weights += [near.astype(np.int32), rings.astype(np.int32)]
    return weights


@dataclass
class PlaneState:
    """What one plane carries from picture to picture. weights: one int32 array per linear form (arrays are replaced,
    never modified); sent: the forms that were sent, which the encoder's choices depend on."""

    tables: CountTables
    weights: list[Ints]
    sent: set[int] = field(default_factory=set)


class WeightTables:
    """Tables that all weights of a segment are coded with, by key."""

    def __init__(self) -> None:
        self.flags = CountTables(np.full((KEYS, 2), INCREMENT))
        halves = geometric_counts([256], FOLD - 1, 8 * INCREMENT)[:, FOLD - 1 :]
        self.differences = CountTables(np.tile(halves, (KEYS, 1)))

    def code(
        self,
        coder: SymbolCoder,
        state: PlaneState,
        form: int,
        key: int,
        limit: NDArray | int,
        columns: Sequence[NDArray],
        target: NDArray | None,
        samples: int,
    ) -> Ints:
        """A linear form's weights: as they were, or the old ones plus coded differences. Raises FormatError.

        A writer fits them to `columns` and `target`, and sends them if that saves more than it costs over the `samples`
        that they serve; a reader has no `target`.
        """
        old = state.weights[form]
        if not old.size:
            return old
        sent, fresh = None, None
        if target is not None:
            from .linear_fit import differences  # of the encoder alone

            prices = self.differences.bits()[key]
            sent = differences(columns, target, old, limit, is_magnitude(key), samples, prices, form in state.sent)
            fresh = int(sent is not None)
        if not coder.code_one(self.flags, key, fresh):
            return old
        folded = self._differences(coder, key, old.size, sent)
        new = old + np.where(folded & 1, -((folded + 1) >> 1), folded >> 1).astype(np.int32)
        if (np.abs(new) > limit).any():
            raise FormatError("the loss-stream is damaged: a weight outside its range")
        state.weights[form] = new
        state.sent.add(form)
        return new

    def _differences(self, coder: SymbolCoder, key: int, count: int, sent: Ints | None) -> Ints:
        """Differences of weights, folded into 0, 1, 2 .. for 0, -1, 1 .."""
        symbols = None if sent is None else np.minimum(sent, FOLD - 1)
        folded = coder.code(self.differences, np.full(count, key, np.uint8), symbols).copy()
        large = folded == FOLD - 1
        escaped = None if sent is None else sent[large]
        folded[large] = coder.code_raw(escaped, int(large.sum()), 4 * WEIGHT_MAX + 1)
        return folded


def window(padded: NDArray, shape: tuple[int, int], part: Pass, dy: int = 0, dx: int = 0) -> NDArray:
    """View of a pass's samples, displaced, in an array with MARGIN samples around a picture of that shape."""
    (y0, x0), step = part.first, 2 * part.unit
    y, x = MARGIN + dy * part.unit, MARGIN + dx * part.unit
    return padded[y + y0 : y + shape[0] : step, x + x0 : x + shape[1] : step]


def filtered(plane: NDArray, kernel: NDArray) -> Ints:
    """Correlation with a small integer kernel, edges replicated. Exact while all sums stay below 2^24."""
    return cv2.filter2D(
        plane.astype(np.float32), cv2.CV_32F, kernel.astype(np.float32), borderType=cv2.BORDER_REPLICATE
    ).astype(np.int32)


def ring_kernel(weights: NDArray) -> NDArray:
    """3x3 kernel symmetric about its centre: of the centre, across, down, and the two diagonals."""
    c, h, v, d, e = weights
    return np.array([[d, v, e], [h, c, h], [e, v, d]])


def curve_kernel(weights: NDArray) -> NDArray:
    """5x5 kernel of six second differences: across, down, both diagonals, across and down at distance 2."""
    k = np.zeros((5, 5), int)
    for weight, (y, x) in zip(weights, ((0, 1), (1, 0), (1, 1), (1, -1), (0, 2), (2, 0)), strict=True):
        k[2 + y, 2 + x] += weight
        k[2 - y, 2 - x] += weight
        k[2, 2] -= 2 * weight
    return k
