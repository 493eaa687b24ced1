"""Round trips of the adaptive coder, the definition of its tables, and what it does with bytes that are not its own."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from codec.errors import FormatError
from codec.loss.entropy import INCREMENT, CountTables, SymbolReader, SymbolWriter, geometric_counts


def _tables() -> CountTables:
    return CountTables(geometric_counts([16, 64, 256], 8, 512))


def test_round_trip_in_several_calls() -> None:
    rng = np.random.default_rng(1)
    calls = []
    for n in (0, 1, 5, 3000):
        classes = rng.integers(0, 3, n).astype(np.uint8)
        calls.append((classes, np.clip(rng.normal(8, 1 + classes), 0, 16).astype(np.int32), rng.integers(0, 300, n)))
    writer, tables = SymbolWriter(), _tables()
    for classes, symbols, raw in calls:
        writer.code(tables, classes, symbols)
        writer.code_raw(raw, raw.size, 300)
        writer.code_one(tables, 1, 16)
    data = writer.finish()
    reader, mirrored = SymbolReader(data), _tables()
    for classes, symbols, raw in calls:
        assert np.array_equal(reader.code(mirrored, classes), symbols)
        assert np.array_equal(reader.code_raw(None, raw.size, 300), raw)
        assert reader.code_one(mirrored, 1) == 16
    reader.finish()
    assert np.array_equal(tables.counts, mirrored.counts)


def test_adaptation_approaches_the_entropy() -> None:
    rng = np.random.default_rng(2)
    tables = _tables()
    for _ in range(2):  # the first time the tables are still those of another source
        writer = SymbolWriter()
        symbols = rng.choice(17, 50000, p=np.array([0.9] + [0.1 / 16] * 16))
        for part in np.split(symbols, 50):
            writer.code(tables, np.zeros(part.size, np.uint8), part)
    entropy = 50000 * (0.9 * np.log2(1 / 0.9) + 0.1 * np.log2(160))
    assert len(writer.finish()) * 8 < 1.04 * entropy


def test_tables_count_and_halve() -> None:
    tables = CountTables([[1, 1, 1], [4, 4, 4]], limit=100)
    tables.count(0, np.array([2, 2, 2, 1]))
    tables.halve()
    assert tables.counts.tolist() == [[1, 17, 49], [4, 4, 4]]  # (1, 33, 97) sums to 131, halved rounding up
    copy = tables.copy()
    copy.count(1, np.array([0]))
    copy.halve()
    assert tables.counts[1, 0] == 4 and copy.counts[1, 0] == 4 + INCREMENT


class PlainDecoder:
    """The range decoder as FORMAT.md describes it, in Python integers."""

    def __init__(self, words: NDArray[np.uint32]):
        self.words = [int(w) for w in words]
        self.read = 0
        self.low, self.range, self.point = 0, (1 << 64) - 1, 0
        for _ in range(2):
            self.shift()

    def shift(self) -> None:
        word = self.words[self.read] if self.read < len(self.words) else 0
        self.read += 1
        self.point = (self.point << 32 | word) % (1 << 64)

    def symbol(self, cdf: list[int]) -> int:
        self.range >>= 24
        slot = (self.point - self.low) % (1 << 64) // self.range
        if slot >= 1 << 24:
            raise FormatError("illegal slot")
        found = next(i for i in range(len(cdf) - 1) if cdf[i] <= slot < cdf[i + 1])
        self.low = (self.low + cdf[found] * self.range) % (1 << 64)
        self.range *= cdf[found + 1] - cdf[found]
        if self.range < 1 << 32:
            self.low = (self.low << 32) % (1 << 64)
            self.range <<= 32
            self.shift()
        return found

    def finish(self) -> None:
        begun = self.range != (1 << 64) - 1
        if self.read < len(self.words) or (begun and (self.point - self.low) % (1 << 64) >= (1 << 33) - 1):
            raise FormatError("bytes after the end")


def test_an_independent_decoder_agrees() -> None:
    """Symbols, and what is refused, follow the format page's few lines; constriction must never come to differ."""
    rng = np.random.default_rng(4)
    outcomes = set()
    for trial in range(300):
        counts = rng.integers(1, 1000, rng.integers(2, 20))
        size, count = int(rng.integers(2, 5000)), int(rng.integers(0, 30))
        scale = ((1 << 24) - counts.size) / float(counts.sum())
        table = [i + int(float(counts[:i].sum()) * scale) for i in range(counts.size)] + [1 << 24]
        even = [i * ((1 << 24) // size) for i in range(size)] + [1 << 24]
        data = rng.bytes(int(rng.integers(0, 16))) if trial % 30 else b"\xff" * 16
        results: list[object] = []
        for plain in (False, True):
            try:
                if plain:
                    decoder = PlainDecoder(np.frombuffer(data + bytes(-len(data) % 4), ">u4"))
                    found = [decoder.symbol(table) for _ in range(count)] + [decoder.symbol(even) for _ in range(3)]
                    decoder.finish()
                else:
                    reader = SymbolReader(data)
                    found = reader.code(CountTables(counts), np.zeros(count, np.uint8)).tolist()
                    found += reader.code_raw(None, 3, size).tolist()
                    reader.finish()
                results.append(found)
                outcomes.add("symbols")
            except FormatError:
                results.append("refused")
                outcomes.add("refused")
        assert results[0] == results[1]
    assert outcomes == {"symbols", "refused"}


def test_geometric_counts() -> None:
    counts = geometric_counts([1, 64, 640], 24, 40 * INCREMENT)
    assert counts.min() >= 1 and np.array_equal(counts, counts[:, ::-1])
    mean = (counts[1] * np.abs(np.arange(-24, 25))).sum() / counts[1].sum()
    assert 0.95 < mean < 1.5  # one everywhere makes the tail heavier


def test_garbage_gives_symbols_or_format_error() -> None:
    rng = np.random.default_rng(3)
    classes = rng.integers(0, 3, 400).astype(np.uint8)
    outcomes = set()
    for size in list(range(12)) * 20:
        reader = SymbolReader(rng.bytes(size))
        try:
            symbols = reader.code(_tables(), classes)
            assert symbols.min() >= 0 and symbols.max() <= 16
            reader.finish()
            outcomes.add("symbols")
        except FormatError:
            outcomes.add("error")
    assert outcomes == {"symbols", "error"}


def test_bytes_after_the_end_are_refused() -> None:
    writer, tables = SymbolWriter(), _tables()
    writer.code(tables, np.zeros(9, np.uint8), np.full(9, 3))
    reader = SymbolReader(writer.finish() + b"\1" * 12)
    reader.code(_tables(), np.zeros(9, np.uint8))
    with pytest.raises(FormatError, match="after its end"):
        reader.finish()
