"""Coding samples to within a bound, given what each is expected to be and how far it may be off.

All modes of the loss-stream that bound the error end here: `SampleCoder` turns an expected value (1/16 of a sample) and
a class of magnitude into a symbol and back. Classes of magnitude grow by 2^(1/3); each has a table that adapts, for
each of three fractions of a sample that rounding the expected value dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from heads.threads import for_all

from .entropy import INCREMENT, CountTables, Grouped, Ints, SymbolCoder, geometric_counts, grouped

RADIUS = 24  # table symbols are -RADIUS .. RADIUS and an escape
FRACTIONS = 3  # classes of the dropped fraction
FRACTION_ENDS = (2, 5)  # largest |fraction| of the first and of the second, in 1/16 of a sample
ESCAPE = 2 * RADIUS + 1
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


def _none() -> Ints:
    return np.zeros(0, np.int32)


@dataclass
class SampleBand:
    """Samples that are being coded. `predicted`: the nearest sample to what was expected; `flip`: whether that lies
    below, so that numbers are negated; `part`: by classes; `shifts`, of which `most` is the largest: low bits of the
    numbers that are sent raw. A writer has the `numbers` and their sorted `symbols`; both directions get `escaped`,
    whether there are `escapes`, and what was `found`."""

    predicted: NDArray
    flip: NDArray[np.bool_]
    part: Grouped
    shifts: NDArray | int = 0
    most: int = 0
    numbers: Ints | None = None
    symbols: Ints = field(default_factory=_none)
    escaped: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    escapes: bool = False
    found: Ints = field(default_factory=_none)


class SampleCoder:
    """Samples of `depth` bits (0 .. peak), each coded to within `max_error`."""

    def __init__(self, depth: int, max_error: int):
        self.peak, self.bound, self.step = (1 << depth) - 1, max_error, 2 * max_error + 1
        self.classes = 24 if depth == 8 else 30
        self._shifts = np.array([_class_shift(k) for k in range(self.classes)], np.int32)
        self._first_shifted = int(np.argmax(self._shifts > 0))
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
        found: list[Ints] = []
        self.code_bands(coder, tables, 1, lambda _: self.begin(value, level, source), lambda _, out: found.append(out))
        return found[0]

    def code_bands(
        self,
        coder: SymbolCoder,
        tables: CountTables,
        count: int,
        begin: Callable[[int], SampleBand],
        end: Callable[[int, Ints], None],
    ) -> None:
        """Code in one call samples that stand in `count` bands, one below the other. `begin` gives a band by its number
        and `end` gets its decoded samples, in any thread and order; only the coder's own work is not shared out."""
        bands: list[SampleBand] = [None] * count  # type: ignore[list-item]

        def begun(k: int) -> None:
            bands[k] = begin(k)

        for_all(begun, range(count))
        symbols = coder.code_parts(tables, [band.part for band in bands], [band.symbols for band in bands])
        for_all(lambda k: self._placed(bands[k], symbols[k]), range(count))
        none = np.zeros(0, np.intp)
        for shift in range(1, max((band.most for band in bands), default=0) + 1):
            wanted = [np.flatnonzero((band.shifts == shift) & ~band.escaped) if band.most else none for band in bands]
            self._raw(coder, bands, wanted, 1 << shift)
        self._raw(coder, bands, [np.flatnonzero(b.escaped) if b.escapes else none for b in bands], 0)
        for_all(lambda k: end(k, self._decoded(bands[k])), range(count))

    def begin(self, value: NDArray, level: NDArray[np.uint8], source: NDArray | None) -> SampleBand:
        """A band, from what `code` takes."""
        predicted = (value + 8) >> 4
        fraction = value - 16 * predicted  # -8 .. 7
        flip = (fraction < 0).reshape(-1)
        level = level.reshape(-1)
        size = np.abs(fraction).reshape(-1)
        classes = level * np.uint8(FRACTIONS) + (size > FRACTION_ENDS[0]) + (size > FRACTION_ENDS[1])
        band = SampleBand(predicted, flip, grouped(classes, FRACTIONS * self.classes))
        if level.max(initial=0) >= self._first_shifted:
            band.shifts = self._shifts[level]
            band.most = int(band.shifts.max())
        if source is not None:
            numbers = ((source.astype(np.int32) - predicted + self.bound) // self.step).reshape(-1)
            band.numbers = np.where(flip, -numbers, numbers)
            high = band.numbers >> band.shifts
            band.symbols = band.part.sorted(np.where(np.abs(high) > RADIUS, ESCAPE, high + RADIUS))
        return band

    @staticmethod
    def _placed(band: SampleBand, symbols: Ints) -> None:
        """Put symbols where they belong."""
        found = band.part.unsorted(symbols)
        band.escaped = found == ESCAPE
        band.escapes = bool(band.escaped.any())
        found -= RADIUS
        band.found = found << band.shifts if band.most else found

    def _raw(
        self, coder: SymbolCoder, bands: Sequence[SampleBand], where: Sequence[NDArray[np.intp]], size: int
    ) -> None:
        """Code as equally likely: low bits, of so many values, or for 0 numbers that have escaped."""
        count = sum(w.size for w in where)
        if not count:
            return
        values = None
        if bands[0].numbers is not None:
            given = np.concatenate([b.numbers[w] for b, w in zip(bands, where, strict=True) if b.numbers is not None])
            values = given & (size - 1) if size else given + self._largest
        values = coder.code_raw(values, count, size or 2 * self._largest + 1)
        at = 0
        for band, w in zip(bands, where, strict=True):
            part = values[at : at + w.size]
            band.found[w] = band.found[w] + part if size else part - self._largest
            at += w.size

    def _decoded(self, band: SampleBand) -> Ints:
        """The samples of a band whose numbers are found."""
        found = band.found
        np.negative(found, out=found, where=band.flip)
        out = band.predicted + (found if self.step == 1 else self.step * found).reshape(band.predicted.shape)
        return np.clip(out, 0, self.peak, out=out)
