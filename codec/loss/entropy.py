"""Adaptive entropy coding: range coding of integer symbols, grouped by context class, against integer count tables.

Every value that the loss-stream writes passes through here. A `CountTables` holds one row of counts per context
class; coding an array of symbols codes, class by class, the symbols of that class in the order in which they stand,
against the row as it was before the call, and afterwards adds the symbols to the counts. Writer and reader do the
same, so no table is ever sent.

Exactness. The range coder (`constriction`, 32-bit words, 64-bit state) is integer code. The one step in floating
point is constriction's `Categorical(perfect=False)`, which turns a row c_0 .. c_{n-1} into a cumulative table of
24 bits by

    cdf_i = i + trunc(C_i * s),   C_i = c_0 + .. + c_{i-1},   s = (2^24 - n) / C_n,

in IEEE doubles. Our counts are integers, so the sums C_i are exact in any order; s is one correctly rounded
division and C_i * s one correctly rounded product, operations that IEEE 754 defines to the last bit; truncation is
exact. No exp, log or other library function takes part, hence the table is the same on every machine.
`perfect=True` uses log1p and must never be used here.

Reference: constriction (R. Bamler, "Understanding entropy coding with ANS", arXiv:2201.01741), module
`stream.queue`; G. N. N. Martin, "Range encoding", 1979.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt
from typing import NamedTuple, Protocol

import constriction
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import FormatError

Ints = NDArray[np.int32]

INCREMENT = 32  # what one coded symbol adds to its count
_LIMIT = 1 << 15  # a row whose sum exceeds this is halved
_BITS = constriction.stream.model.Categorical(perfect=False)  # a row of counts for each
_IMPOSSIBLE = "the loss-stream is damaged: an impossible code point"


class CountTables:
    """Counts of symbols 0 .. n-1 in each of several context classes, adapted after every call.

    counts: int64 (classes, symbols), each at least 1; a row sums to at most `limit` plus what one call added.
    """

    def __init__(self, initial: ArrayLike, limit: int = _LIMIT):
        self.counts: NDArray[np.int64] = np.array(initial, np.int64, ndmin=2)
        self.limit = limit

    def copy(self) -> CountTables:
        return CountTables(self.counts, self.limit)

    def model(self, row: int) -> constriction.stream.model.Model:
        return constriction.stream.model.Categorical(self.counts[row].astype(np.float64), perfect=False)

    def bits(self) -> NDArray[np.float64]:
        """Estimated cost of every symbol in bits, (classes, symbols). For the encoder's decisions only."""
        return np.log2(self.counts.sum(axis=1, keepdims=True)) - np.log2(self.counts)

    def count(self, row: int, symbols: NDArray) -> None:
        """Count `symbols` of one class; `halve` follows after the last class."""
        self.counts[row] += INCREMENT * np.bincount(symbols, minlength=self.counts.shape[1])

    def halve(self) -> None:
        """Halve (rounding up, so that no count falls to 0) every row above the limit."""
        while (full := self.counts.sum(axis=1) > self.limit).any():
            self.counts[full] = (self.counts[full] + 1) >> 1


def geometric_counts(means: Sequence[int], radius: int, total: int) -> Ints:
    """Initial counts of a two-sided geometric distribution on -radius .. radius, one row per entry of `means`.

    means: expected magnitude of each row in units of 1/64, at least 1. Returns int32 (rows, 2 * radius + 1), index
    value + radius. With E|x| = m the ratio of neighbouring probabilities is r = (sqrt(1 + m^2) - 1) / m; it is
    computed to 16 bits with an integer square root, the powers by repeated multiplication and shift.
    """
    rows = []
    for mean in means:
        ratio = ((isqrt((4096 + mean * mean) << 32) - (64 << 16)) // mean) if mean else 0
        powers = [1 << 24]
        for _ in range(radius):
            powers.append(powers[-1] * ratio >> 16)
        row = powers[:0:-1] + powers
        whole = sum(row)
        rows.append([1 + weight * total // whole for weight in row])
    return np.array(rows, np.int32)


class Grouped(NamedTuple):
    """Part of the symbols of a call, by their classes. `order` sorts them, stably; the symbols of class k then stand at
    `bounds[k]` .. `bounds[k + 1]`."""

    order: NDArray[np.intp]
    bounds: list[int]

    def sorted(self, symbols: NDArray) -> Ints:
        return symbols.astype(np.int32, copy=False)[self.order]

    def unsorted(self, symbols: Ints) -> Ints:
        """Inverse of `sorted`."""
        found = np.empty_like(symbols)
        found[self.order] = symbols
        return found


def grouped(classes: NDArray, rows: int) -> Grouped:
    """Groups of classes (n,), unsigned integers below `rows`."""
    order = np.argsort(classes, kind="stable")  # a radix sort for 8- and 16-bit classes
    return Grouped(order, [0, *np.cumsum(np.bincount(classes, minlength=rows)).tolist()])


def _bit_counts(chances: NDArray[np.int64]) -> NDArray[np.float64]:
    """Counts (n, 2) of 0 and of 1, which sum to 2^16."""
    counts = np.empty((chances.size, 2), np.float64)
    counts[:, 0], counts[:, 1] = 65536 - chances, chances
    return counts


class SymbolCoder(Protocol):
    """What SymbolWriter and SymbolReader have in common, so that one routine can describe both directions.

    `code` passes symbols through: the writer codes those it is given and returns them, the reader ignores the
    argument and returns those it finds.
    """

    def code(self, tables: CountTables, classes: NDArray, symbols: NDArray | None) -> Ints: ...

    def code_parts(self, tables: CountTables, parts: Sequence[Grouped], symbols: Sequence[Ints]) -> Sequence[Ints]: ...

    def code_one(self, tables: CountTables, row: int, symbol: int | None) -> int: ...

    def code_raw(self, values: NDArray | None, count: int, size: int) -> Ints: ...

    def code_bits(self, chances: NDArray[np.int64], bits: NDArray[np.bool_] | None) -> NDArray[np.bool_]: ...


class SymbolWriter:
    """Collects symbols; `finish` returns the bytes."""

    def __init__(self) -> None:
        self._coder = constriction.stream.queue.RangeEncoder()

    def code(self, tables: CountTables, classes: NDArray, symbols: NDArray | None) -> Ints:
        """Code `symbols` (n,) under the context classes `classes` (n,), unsigned integers, and adapt `tables`."""
        assert symbols is not None
        part = grouped(classes, len(tables.counts))
        self.code_parts(tables, [part], [part.sorted(symbols)])
        return symbols.astype(np.int32, copy=False)

    def code_parts(self, tables: CountTables, parts: Sequence[Grouped], symbols: Sequence[Ints]) -> Sequence[Ints]:
        """Code in one call symbols that stand in several parts, one after the other; each sorted as its part is."""
        for row in range(len(tables.counts)):
            places = [(s, part.bounds[row], part.bounds[row + 1]) for part, s in zip(parts, symbols, strict=True)]
            mine = [s[a:b] for s, a, b in places if b > a]
            if mine:
                together = np.concatenate(mine) if len(mine) > 1 else mine[0]
                self._coder.encode(together, tables.model(row))
                tables.count(row, together)
        tables.halve()
        return symbols

    def code_one(self, tables: CountTables, row: int, symbol: int | None) -> int:
        assert symbol is not None
        self.code(tables, np.array([row], np.uint8), np.array([symbol], np.int32))
        return symbol

    def code_raw(self, values: NDArray | None, count: int, size: int) -> Ints:
        """Code `count` values 0 .. size-1 (size at most 2^24) as equally likely."""
        assert values is not None
        values = values.astype(np.int32, copy=False)
        if size > 1 and count:
            self._coder.encode(values, constriction.stream.model.Uniform(size))
        return values

    def code_bits(self, chances: NDArray[np.int64], bits: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
        """Code bits (n,), each against its own chance of being 1, in 1 .. 65535 of 2^16; nothing adapts."""
        assert bits is not None
        if bits.size:
            self._coder.encode(bits.astype(np.int32), _BITS, _bit_counts(chances))
        return bits

    def finish(self) -> bytes:
        """The words, most significant byte first, without the zero bytes at the end (the reader supplies them)."""
        return self._coder.get_compressed().astype(">u4").tobytes().rstrip(b"\0")


class SymbolReader:
    """Mirror of SymbolWriter. Any byte string yields symbols of the tables' ranges or a FormatError."""

    def __init__(self, data: bytes) -> None:
        words = np.frombuffer(data + bytes(-len(data) % 4), ">u4").astype(np.uint32)
        self._coder = constriction.stream.queue.RangeDecoder(words)

    def _decode(self, model: constriction.stream.model.Model, count: int) -> Ints:
        try:
            return self._coder.decode(model, count)
        except AssertionError as error:  # constriction: a code point that the encoder cannot produce
            raise FormatError(_IMPOSSIBLE) from error

    def code(self, tables: CountTables, classes: NDArray, symbols: NDArray | None = None) -> Ints:
        """Symbols (n,) int32 under the context classes `classes` (n,); adapts `tables`. Raises FormatError."""
        part = grouped(classes, len(tables.counts))
        (found,) = self.code_parts(tables, [part])
        return part.unsorted(found)

    def code_parts(self, tables: CountTables, parts: Sequence[Grouped], symbols: Sequence[Ints] = ()) -> Sequence[Ints]:
        """Mirror of the writer's. Raises FormatError."""
        found = [np.empty(part.order.size, np.int32) for part in parts]
        for row in range(len(tables.counts)):
            places = [(to, part.bounds[row], part.bounds[row + 1]) for part, to in zip(parts, found, strict=True)]
            count = sum(b - a for _, a, b in places)
            if not count:
                continue
            mine, at = self._decode(tables.model(row), count), 0
            tables.count(row, mine)
            for to, a, b in places:
                if b > a:
                    to[a:b] = mine[at : at + b - a]
                    at += b - a
        tables.halve()
        return found

    def code_one(self, tables: CountTables, row: int, symbol: int | None = None) -> int:
        return int(self.code(tables, np.array([row], np.uint8))[0])

    def code_raw(self, values: NDArray | None, count: int, size: int) -> Ints:
        """`count` values 0 .. size-1. Raises FormatError."""
        if size <= 1 or not count:
            return np.zeros(count, np.int32)
        return self._decode(constriction.stream.model.Uniform(size), count)

    def code_bits(self, chances: NDArray[np.int64], bits: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
        """Bits (n,) of those chances. Raises FormatError."""
        if not chances.size:
            return np.zeros(0, np.bool_)
        try:
            return self._coder.decode(_BITS, _bit_counts(chances)).astype(np.bool_)
        except AssertionError as error:
            raise FormatError(_IMPOSSIBLE) from error

    def finish(self) -> None:
        """Raises FormatError where bytes are left over."""
        if not self._coder.maybe_exhausted():
            raise FormatError("the loss-stream has bytes after its end")
