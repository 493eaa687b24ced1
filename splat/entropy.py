"""Range coding of integer symbols against fixed integer weights, and the account of what each part costs.

`SymbolWriter.code` and `SymbolReader.code` are called alike, so that one routine describes writing and reading.
Weights become a cumulative table of 24 bits inside constriction's `Categorical(perfect=False)` by one IEEE division and
one product per symbol of exactly held integers, which gives the same table everywhere (SPLAT.md, "Symbols").

Reference: constriction (R. Bamler, "Understanding entropy coding with ANS", arXiv:2201.01741), module `stream.queue`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache, cached_property
from math import log2
from typing import Protocol

import constriction
import numpy as np
from numpy.typing import NDArray

from .atoms import Ints
from .errors import SplatError


class Model:
    """The distribution of one kind of symbol in one context: symbol k has probability weights[k] / sum(weights)."""

    def __init__(self, weights: Iterable[int]):
        self.weights = np.array(list(weights), np.float64)  # integers >= 1 with a sum below 2^53, hence exact
        self.coder = constriction.stream.model.Categorical(self.weights, perfect=False)

    @cached_property
    def bits(self) -> NDArray[np.float64]:
        """(symbols,): what each symbol costs. For the encoder and for statistics, never for decoding."""
        return np.log2(self.weights.sum()) - np.log2(self.weights)

    def cost(self, symbols: Ints) -> float:
        """Bits of all `symbols` together."""
        return float(self.bits[symbols].sum())


class Uniform:
    """`size` values (2..2^24), all equally likely."""

    def __init__(self, size: int):
        self.size = size
        self.coder = constriction.stream.model.Uniform(size)

    def cost(self, symbols: Ints) -> float:
        return len(symbols) * log2(self.size)


@cache
def uniform(size: int) -> Uniform | None:
    """The model of `size` equally likely values; None where there is but one, which costs nothing."""
    return Uniform(size) if size > 1 else None


class SymbolCoder(Protocol):
    """What the writer and the reader have in common."""

    def code(self, part: str, model: Model | Uniform | None, symbols: Ints | None, count: int) -> Ints:
        """Code `count` symbols that belong to `part` of the account.

        The writer codes those it is given; the reader ignores the argument. Both return them, (count,) int64.
        """
        ...


class SymbolWriter:
    """Collects symbols; `finish` returns the bytes."""

    def __init__(self) -> None:
        self._coder = constriction.stream.queue.RangeEncoder()

    def code(self, part: str, model: Model | Uniform | None, symbols: Ints | None, count: int) -> Ints:
        assert symbols is not None and len(symbols) == count
        if model is not None and count:
            self._coder.encode(np.ascontiguousarray(symbols, np.int32), model.coder)
        return symbols

    def finish(self, least: int = 0) -> bytes:
        """The words, most significant byte first, without zero bytes at the end, but at least that many bytes."""
        return self._coder.get_compressed().astype(">u4").tobytes().rstrip(b"\0").ljust(least, b"\0")


class SymbolReader:
    """Mirror of SymbolWriter. Any bytes give symbols of the models' ranges or a SplatError.

    account: if given, the bits of the symbols read are added to account[part].
    """

    def __init__(self, data: bytes, account: dict[str, float] | None = None) -> None:
        words = np.frombuffer(data + bytes(-len(data) % 4), ">u4").astype(np.uint32)
        self._coder = constriction.stream.queue.RangeDecoder(words)
        self._account = account

    def code(self, part: str, model: Model | Uniform | None, symbols: Ints | None, count: int) -> Ints:
        if model is None or not count:
            return np.zeros(count, np.int64)
        try:
            found: Ints = self._coder.decode(model.coder, count).astype(np.int64)
        except AssertionError as error:  # constriction: a code point that the encoder cannot produce
            raise SplatError(f"the {part} are damaged: an impossible code point") from error
        if self._account is not None:
            self._account[part] = self._account.get(part, 0.0) + model.cost(found)
        return found

    def finish(self) -> None:
        """Raises SplatError where words are left over."""
        if not self._coder.maybe_exhausted():
            raise SplatError("a section has bytes after its end")


def code_by_key(
    coder: SymbolCoder,
    part: str,
    keys: Ints,
    model_of: Callable[[int], Model | Uniform | None],
    symbols: Ints | None,
) -> Ints:
    """Code one symbol per key (n,): key by key, ascending; those of one key at once, by its model, in their order."""
    order = np.argsort(keys, kind="stable")
    values, starts = np.unique(keys[order], return_index=True)
    ordered = None if symbols is None else symbols[order]
    found = np.empty(len(keys), np.int64)
    for key, a, b in zip(values.tolist(), starts.tolist(), np.append(starts, len(keys))[1:].tolist(), strict=True):
        found[order[a:b]] = coder.code(part, model_of(key), None if ordered is None else ordered[a:b], b - a)
    return found
