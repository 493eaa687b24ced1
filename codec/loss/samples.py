"""Coding samples to within a bound, given what each is expected to be and how far it may be off.

All modes of the loss-stream that bound the error end here: `SampleCoder` turns an expected value (1/16 of a sample) and
a class of magnitude into a symbol and back. Classes of magnitude grow by 2^(1/3); each has a table that adapts, for
each of three fractions of a sample that rounding the expected value dropped.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .entropy import INCREMENT, CountTables, Ints, SymbolCoder, geometric_counts

RADIUS = 24  # table symbols are -RADIUS .. RADIUS and an escape
FRACTIONS = 3  # classes of the dropped fraction
_FRACTION_CLASS = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2], np.uint8)  # by |fraction| in 1/16, 0 .. 8
_MANTISSA = (64, 81, 102)  # 64 * 2^(k/3)
_MANTISSA_MID = (57, 72, 91)  # 64 * 2^((k - 1/2) / 3)


def class_mean(k: int) -> int:
    """Expected magnitude that class k stands for, in 1/64 of a quantiser step: 10 * 2^(k/3)."""
    return 10 * (_MANTISSA[k % 3] << (k // 3)) >> 6


def class_floor(k: int) -> int:
    """Least magnitude of class k > 0, in 1/64 of a quantiser step: 10 * 2^((k - 1/2) / 3)."""
    return 10 * (_MANTISSA_MID[k % 3] << (k // 3)) >> 6


def _class_shift(k: int) -> int:
    """Low bits of the symbol that class k codes as equally likely, so that the rest has a mean of at most 4."""
    return max(0, (class_mean(k) - 1).bit_length() - 8)


class SampleCoder:
    """Samples of `depth` bits (0 .. peak), each coded to within `max_error`."""

    def __init__(self, depth: int, max_error: int):
        self.peak, self.bound, self.step = (1 << depth) - 1, max_error, 2 * max_error + 1
        self.classes = 24 if depth == 8 else 30
        self._shifts = np.array([_class_shift(k) for k in range(self.classes)])
        self._largest = (self.peak + max_error) // self.step

    def tables(self) -> CountTables:
        """Tables as a plane begins with them."""
        means = [class_mean(k) >> _class_shift(k) for k in range(self.classes)]
        counts = np.repeat(geometric_counts(means, RADIUS, 40 * INCREMENT), FRACTIONS, axis=0)
        return CountTables(np.pad(counts, ((0, 0), (0, 1)), constant_values=1), 1 << 16)  # the escape

    def code(
        self, coder: SymbolCoder, tables: CountTables, value: Ints, level: NDArray[np.uint8], source: Ints | None
    ) -> Ints:
        """The decoded samples. value: what is expected, 1/16 of a sample, within 0 .. 16 * peak; level: class of
        magnitude of each sample; `source` is given to a writer and None to a reader."""
        level = level.reshape(-1)
        predicted = (value + 8) >> 4
        fraction = value - 16 * predicted  # -8 .. 7
        flip = (fraction < 0).reshape(-1)
        classes = level * np.uint8(FRACTIONS) + _FRACTION_CLASS[np.abs(fraction)].reshape(-1)
        numbers = None
        if source is not None:
            numbers = ((source - predicted + self.bound) // self.step).reshape(-1)
            numbers = np.where(flip, -numbers, numbers)
        index = self._numbers(coder, tables, classes, self._shifts[level], numbers)
        index = np.where(flip, -index, index).reshape(value.shape)
        return np.clip(predicted + self.step * index, 0, self.peak)

    def _numbers(
        self, coder: SymbolCoder, tables: CountTables, classes: NDArray[np.uint8], shifts: NDArray, numbers: Ints | None
    ) -> Ints:
        """Code integers within +-largest: the high part by table, low bits and escapes raw."""
        symbols = low = None
        if numbers is not None:
            high = numbers >> shifts
            symbols = np.where(np.abs(high) > RADIUS, 2 * RADIUS + 1, high + RADIUS)
        symbols = coder.code(tables, classes, symbols)
        found = (symbols - RADIUS) << shifts
        escaped = symbols == 2 * RADIUS + 1
        for shift in range(1, int(shifts.max(initial=0)) + 1):
            where = np.flatnonzero((shifts == shift) & ~escaped)
            if where.size:
                low = None if numbers is None else numbers[where] & ((1 << shift) - 1)
                found[where] += coder.code_raw(low, where.size, 1 << shift)
        where = np.flatnonzero(escaped)
        raw = None if numbers is None else numbers[where] + self._largest
        found[where] = coder.code_raw(raw, where.size, 2 * self._largest + 1) - self._largest
        return found.astype(np.int32)
