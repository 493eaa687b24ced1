"""Weights as bytes: every layer's integers, coded as they are or as a difference to an earlier head.

Symbols go through a range coder (constriction; Pasco 1976, Martin 1979) against two-sided geometric tables. A table
is built by integer arithmetic from one byte that the stream carries for each group of numbers, so that both sides
hold the same counts; constriction turns counts into fixed point, one correctly rounded quotient and one product each.

A number beyond the table is escaped: the table's last symbol, then Elias-gamma bits of the excess.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import constriction
import numpy as np
from numpy.typing import NDArray

from .layers import BIAS_COARSE, BIAS_MAX, SCALE_BITS_MAX, HeadError, Layer

REACH = 127  # magnitudes a table holds; symbol 2*REACH + 1 is the escape
SPREADS = 48  # tables: the mean magnitude of table k is about 2^((k - 16) / 4)
TOTAL_BITS = 20
COARSE_MAX = 6  # a head changes in multiples of 2^0..2^6


@lru_cache(maxsize=SPREADS)
def _counts(spread: int) -> NDArray[np.int64]:
    """Counts of the symbols -REACH..REACH and the escape, for spread 0 (all but always zero) to SPREADS - 1."""
    # mean magnitude m in 1/256; ratio of neighbouring counts r = m / (m + 1), in 1/65536
    quarter = (256, 304, 362, 431)[spread % 4]  # 256 * 2^(k/4)
    mean = quarter << (spread // 4) >> 4
    ratio = (mean << 16) // (mean + 256)
    side, value = [], 1 << TOTAL_BITS
    for _ in range(REACH + 1):
        side.append(max(value, 1))
        value = value * ratio >> 16
    counts = np.array([*side[:0:-1], *side, max(value, 1)], np.int64)
    return counts


@lru_cache(maxsize=SPREADS)
def _model(spread: int) -> constriction.stream.model.Categorical:
    return constriction.stream.model.Categorical(_counts(spread).astype(np.float64), perfect=False)


@lru_cache(maxsize=SPREADS)
def _costs(spread: int) -> NDArray[np.float64]:
    counts = _counts(spread)
    return -np.log2(counts / counts.sum())


def bits_of(numbers: NDArray[np.int64], spread: int) -> NDArray[np.float64]:
    """Bits that each of some numbers takes by a table, about."""
    size, costs = np.abs(numbers), _costs(spread)
    far = 2 * np.floor(np.log2(np.maximum(size - REACH, 1))) + 2  # as `_Writer` has it
    return np.where(size > REACH, costs[-1] + far, costs[np.clip(numbers, -REACH, REACH) + REACH])


_BIT = constriction.stream.model.Bernoulli(0.5, perfect=False)


def best_spread(numbers: NDArray[np.int64]) -> int:
    """The table that codes `numbers` in the fewest bits."""
    index = np.where(np.abs(numbers) > REACH, 2 * REACH + 1, np.clip(numbers, -REACH, REACH) + REACH)
    histogram = np.bincount(index, minlength=2 * REACH + 2)
    return int(np.argmin([float(_costs(k) @ histogram) for k in range(SPREADS)]))


class _Writer:
    def __init__(self) -> None:
        self._coder = constriction.stream.queue.RangeEncoder()

    def numbers(self, values: NDArray[np.int64], spread: int) -> None:
        values = values.ravel()
        far = np.abs(values) > REACH
        symbols = np.where(far, 2 * REACH + 1, np.clip(values, -REACH, REACH) + REACH).astype(np.int32)
        self._coder.encode(symbols, _model(spread))
        for value in values[far].tolist():
            excess = abs(value) - REACH
            length = excess.bit_length()
            bits = [0] * (length - 1) + [excess >> k & 1 for k in reversed(range(length))] + [int(value < 0)]
            self._coder.encode(np.array(bits, np.int32), _BIT)

    def bytes(self) -> bytes:
        return self._coder.get_compressed().astype("<u4").tobytes()


class _Reader:
    def __init__(self, data: bytes):
        if len(data) % 4:
            raise HeadError("coded weights are not a whole number of 32-bit words")
        self._words, self._read = len(data) // 4, False
        self._coder = constriction.stream.queue.RangeDecoder(np.frombuffer(data, "<u4").astype(np.uint32))

    def numbers(self, count: int, spread: int) -> NDArray[np.int64]:
        if spread == SPREADS:
            return np.zeros(count, np.int64)
        self._read = True
        symbols = np.asarray(self._coder.decode(_model(spread), count)).astype(np.int64)
        values = symbols - REACH
        for at in np.flatnonzero(symbols == 2 * REACH + 1):
            length = 1
            while not self._bit():
                length += 1
                if length > 24:
                    raise HeadError("an escaped weight is too large")
            excess = 1
            for _ in range(length - 1):
                excess = excess << 1 | self._bit()
            values[at] = -(REACH + excess) if self._bit() else REACH + excess
        return values

    def finish(self) -> None:
        if not self._coder.maybe_exhausted() or (self._words and not self._read):
            raise HeadError("coded weights have words after their end")

    def _bit(self) -> int:
        return int(self._coder.decode(_BIT))


def _groups(layers: Sequence[Layer], base: Sequence[Layer] | None) -> list[NDArray[np.int64]]:
    groups = []
    for i, layer in enumerate(layers):
        for now, then in ((layer.weight, base and base[i].weight), (layer.bias, base and base[i].bias)):
            delta = now.astype(np.int64) - (0 if base is None else np.asarray(then).astype(np.int64))
            groups.append(delta)
    return groups


def encode_layers(layers: Sequence[Layer], base: Sequence[Layer] | None = None) -> bytes:
    """Layers as bytes, as differences to `base` (same shape and scales) where it is given.

    Form: for each layer scale_bits (1 byte), spread of the weights, spread of the biases (1 byte each); then the
    range-coded numbers in 32-bit little-endian words. In a difference a spread of SPREADS stands for a group that is
    zero and has no numbers.
    """
    if base is not None and [b.scale_bits for b in base] != [x.scale_bits for x in layers]:
        raise ValueError("a difference needs the scales of the head that it refers to")
    groups = _groups(layers, base)
    return _encode([x.scale_bits for x in layers], groups, base is not None)


def encode_change(layers: Sequence[Layer], base: Sequence[Layer], coarse: int, bias_coarse: int = BIAS_COARSE) -> bytes:
    """What `layers` change of `base` (same shape and scales): weights by multiples of 2^coarse, biases of
    2^(coarse + bias_coarse).

    Form: that of a difference, with `coarse` in the place of each layer's scale and those multiples as numbers.
    """
    groups = _groups(layers, base)
    units = [coarse, coarse + bias_coarse] * len(layers)
    if any((g & (1 << unit) - 1).any() for g, unit in zip(groups, units, strict=True)):
        raise ValueError(f"the head changes by other than multiples of 2^{coarse}")
    groups = [g >> unit for g, unit in zip(groups, units, strict=True)]
    return _encode([coarse] * len(layers), groups, True)


def _encode(first: Sequence[int], groups: Sequence[NDArray[np.int64]], sparse: bool) -> bytes:
    """`first`: one byte of each layer; two groups a layer; `sparse`: groups of zeros are left out."""
    spreads = [SPREADS if sparse and not g.any() else best_spread(g.ravel()) for g in groups]
    head, writer = bytearray(), _Writer()
    for i, byte in enumerate(first):
        head += bytes([byte, spreads[2 * i], spreads[2 * i + 1]])
    for group, spread in zip(groups, spreads, strict=True):
        if spread < SPREADS:
            writer.numbers(group, spread)
    return bytes(head) + writer.bytes()


def decode_shapes(
    data: bytes,
    shapes: Sequence[tuple[int, int, int, int]],
    base: Sequence[Layer] | None = None,
    bias_coarse: int | None = None,
) -> list[Layer]:
    """Inverse of `encode_layers`, or with `base` and `bias_coarse` of `encode_change`, for layers of any shapes; what
    they are is for the caller to check. Raises HeadError."""
    if bias_coarse is None:
        return _decode(data, shapes, base)
    if data and data[0] > COARSE_MAX:
        raise HeadError(f"a head changes in multiples of 2^{data[0]}")
    return _decode(data, shapes, base, (data[0] if data else 0, bias_coarse))


def _decode(
    data: bytes,
    shapes: Sequence[tuple[int, int, int, int]],
    base: Sequence[Layer] | None,
    coarse: tuple[int, int] | None = None,
) -> list[Layer]:
    """Layers from their numbers; with `coarse` (of weights, and how much more of biases), from what they change of
    `base`."""
    n = 3 * len(shapes)
    if len(data) < n:
        raise HeadError("coded weights are shorter than their header")
    reader, layers = _Reader(data[n:]), []
    largest = SPREADS - (base is None)
    for i, shape in enumerate(shapes):
        first, *spreads = data[3 * i : 3 * i + 3]
        if first > SCALE_BITS_MAX or max(spreads) > largest:
            raise HeadError(f"layer {i} has an illegal scale or spread")
        if coarse is not None and first != coarse[0]:
            raise HeadError(f"layer {i} changes in other multiples than the first")
        if coarse is None and base is not None and base[i].scale_bits != first:
            raise HeadError(f"layer {i} is a difference between heads of different scales")
        try:
            weight = reader.numbers(int(np.prod(shape)), spreads[0]).reshape(shape)
            bias = reader.numbers(shape[0], spreads[1])
        except HeadError:
            raise
        except Exception as error:  # constriction raises AssertionError and others on corrupt words
            raise HeadError(f"layer {i} does not decode: {error}") from None
        if coarse is not None:
            weight, bias = weight << coarse[0], bias << sum(coarse)
        if base is not None:
            weight, bias = weight + base[i].weight, bias + base[i].bias
        if np.abs(weight).max() > 127 or np.abs(bias).max() > BIAS_MAX:
            raise HeadError(f"layer {i} has numbers out of range")
        scale = base[i].scale_bits if base is not None else first
        layers.append(Layer(weight.astype(np.int8), bias.astype(np.int32), scale))
    reader.finish()
    return layers
