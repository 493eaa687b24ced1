"""Coded weights: round trips, an independent reader written from FORMAT.md, and damage that ends in HeadError."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from heads.layers import BIAS_MAX, HeadError, Layer
from heads.restorer.coded import decode_change, decode_layers
from heads.restorer.model import HeadModel
from heads.restorer.spec import HeadSpec
from heads.weights import COARSE_MAX, SPREADS, best_spread, encode_change, encode_layers
from tests.heads.drawn_heads import SPECS, drawn_head

SMALL = HeadSpec(4, 0, 2, 3)


def same(a: Sequence[Layer], b: Sequence[Layer]) -> bool:
    return len(a) == len(b) and all(
        x.scale_bits == y.scale_bits
        and x.weight.dtype == y.weight.dtype == np.int8
        and x.bias.dtype == y.bias.dtype == np.int32
        and np.array_equal(x.weight, y.weight)
        and np.array_equal(x.bias, y.bias)
        for x, y in zip(a, b, strict=True)
    )


def changed(layers: Sequence[Layer], seed: int) -> list[Layer]:
    """The head moved a little, as training moves it."""
    rng = np.random.default_rng(seed)
    out = []
    for x in layers:
        weight = np.clip(x.weight + np.rint(rng.normal(0, 0.7, x.weight.shape)), -127, 127).astype(np.int8)
        out.append(Layer(weight, (x.bias + rng.integers(-40, 41, x.bias.shape)).astype(np.int32), x.scale_bits))
    return out


def still() -> list[Layer]:
    """A head of SMALL's shape that is all zero."""
    return [Layer(np.zeros(s, np.int8), np.zeros(s[0], np.int32), 3) for s in SMALL.shapes()]


# --- an independent reader, plain integers, from FORMAT.md ------------------------------------------------------------


def table(spread: int) -> list[int]:
    mean = ((256, 304, 362, 431)[spread % 4] << (spread // 4)) >> 4
    ratio = (mean << 16) // (mean + 256)
    c = [1 << 20]
    for _ in range(128):
        c.append((c[-1] * ratio) >> 16)
    return [max(c[abs(number)], 1) for number in range(-127, 128)] + [max(c[128], 1)]


class RangeDecoder:
    """The loss-stream's "Symbols", words little-endian."""

    def __init__(self, data: bytes):
        self.words = [int.from_bytes(data[k : k + 4], "little") for k in range(0, len(data), 4)]
        self.at, self.low, self.range = 2, 0, (1 << 64) - 1
        self.point = self.word(0) << 32 | self.word(1)

    def word(self, k: int) -> int:
        return self.words[k] if k < len(self.words) else 0

    def symbol(self, counts: Sequence[int]) -> int:
        n, total = len(counts), sum(counts)
        scale = ((1 << 24) - n) / total
        cdf, done = [], 0
        for i in range(n):
            cdf.append(i + int(done * scale))
            done += counts[i]
        cdf.append(1 << 24)
        self.range >>= 24
        slot = ((self.point - self.low) % (1 << 64)) // self.range
        assert slot < 1 << 24
        i = next(i for i in range(n) if cdf[i] <= slot < cdf[i + 1])
        self.low = (self.low + cdf[i] * self.range) % (1 << 64)
        self.range *= cdf[i + 1] - cdf[i]
        if self.range < 1 << 32:
            self.low = (self.low << 32) % (1 << 64)
            self.range <<= 32
            self.point = (self.point << 32) % (1 << 64) | self.word(self.at)
            self.at += 1
        return i


def read_numbers(decoder: RangeDecoder, count: int, spread: int) -> list[int]:
    counts = table(spread)
    symbols = [decoder.symbol(counts) for _ in range(count)]
    numbers = []
    for symbol in symbols:
        number = symbol - 127
        if symbol == 255:
            zeros = 0
            while decoder.symbol([1, 1]) == 0:
                zeros += 1
            excess = 1
            for _ in range(zeros):
                excess = 2 * excess + decoder.symbol([1, 1])
            number = 127 + excess
            number = -number if decoder.symbol([1, 1]) else number
        numbers.append(number)
    return numbers


@pytest.mark.parametrize("seed", range(4))
def test_bytes_are_those_of_the_format(seed: int) -> None:
    layers = drawn_head(SMALL, seed)
    data = encode_layers(layers)
    decoder = RangeDecoder(data[3 * SMALL.layers :])
    for i, layer in enumerate(layers):
        scale, of_weights, of_biases = data[3 * i : 3 * i + 3]
        assert scale == layer.scale_bits
        assert read_numbers(decoder, layer.weight.size, of_weights) == layer.weight.ravel().tolist()
        assert read_numbers(decoder, layer.bias.size, of_biases) == layer.bias.tolist()


def test_spread_is_the_one_of_the_fewest_bits() -> None:
    rng = np.random.default_rng(1)
    for deviation in (0.05, 0.6, 4.0, 25.0, 90.0, 4000.0):
        numbers = np.rint(rng.laplace(0, deviation, 300)).astype(np.int64)
        bits = []
        for spread in range(SPREADS):
            counts = table(spread)
            index = [v + 127 if abs(v) <= 127 else 255 for v in numbers.tolist()]
            bits.append(sum(float(np.log2(sum(counts) / counts[i])) for i in index))
        assert bits[best_spread(numbers)] <= min(bits) + 1e-6


# --- round trips ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_whole_heads_and_differences_round_trip(spec: HeadSpec) -> None:
    first = drawn_head(spec, 1)
    second = changed(first, 2)
    whole = encode_layers(first)
    assert same(decode_layers(whole, spec), first)
    difference = encode_layers(second, first)
    assert same(decode_layers(difference, spec, first), second)
    assert len(difference) < len(encode_layers(second)), "a difference is what makes a small change cheap"
    assert same(decode_layers(encode_layers(first, first), spec, first), first)


@pytest.mark.parametrize("value", [127, 128, -128, 129, 254, 255, -256, 5000, (1 << 20) - 1, 1 << 20, -(1 << 20)])
def test_large_numbers_are_escaped(value: int) -> None:
    layers = still()
    layers[0].bias[:] = [value, 0, -value]
    layers[1].bias[:] = [3, value, value, 1]
    assert same(decode_layers(encode_layers(layers), SMALL), layers)


def test_largest_differences_round_trip() -> None:
    low, high = still(), still()
    for layer, sign in (*((x, -1) for x in low), *((x, 1) for x in high)):
        layer.weight[:, 0, 1, 1] = sign * 127  # differences of 254: escapes among the weights too
        layer.bias[:] = sign * (1 << 20)
    for a, b in ((low, high), (high, low)):
        assert same(decode_layers(encode_layers(a, b), SMALL, b), a)


def test_bytes_never_change() -> None:
    layers = []
    for i, shape in enumerate(SMALL.shapes()):
        k = np.arange(int(np.prod(shape)))
        weight = ((k * k * 31 + k * 7 + i) % 41 - 20).astype(np.int8).reshape(shape)
        layers.append(Layer(weight, (np.arange(shape[0]) * 211 - 200).astype(np.int32), 5 + i))
    other = [replace(x, weight=(x.weight // 2).astype(np.int8)) for x in layers]
    assert (len(encode_layers(layers)), zlib.crc32(encode_layers(layers))) == (186, 0xF1E9210B)
    data = encode_layers(layers, other)
    assert (len(data), zlib.crc32(data)) == (142, 0xC466BD6F)


# --- damage -----------------------------------------------------------------------------------------------------------


def test_a_difference_of_other_scales_is_refused() -> None:
    first = still()
    second = [replace(x, scale_bits=x.scale_bits + 1) for x in first]
    with pytest.raises(ValueError, match="scales"):
        encode_layers(second, first)
    with pytest.raises(HeadError, match="scales"):
        decode_layers(encode_layers(second), SMALL, first)


@pytest.mark.parametrize("at, value", [(0, 9), (3, 255), (1, SPREADS), (2, SPREADS), (5, 255)])
def test_illegal_scales_and_spreads_are_refused(at: int, value: int) -> None:
    data = bytearray(encode_layers(still()))
    data[at] = value
    with pytest.raises(HeadError, match="scale or spread"):
        decode_layers(bytes(data), SMALL)


@pytest.mark.parametrize("number, bias", [(128, 0), (-128, 0), (0, (1 << 20) + 1), (0, -(1 << 20) - 1)])
def test_numbers_out_of_range_are_refused(number: int, bias: int) -> None:
    legal, beyond = still(), still()
    wide = beyond[1].weight.astype(np.int16)
    wide[0, 0, 0, 0] = number
    beyond[1] = Layer(wide, np.full(4, bias, np.int32), 3)  # type: ignore[arg-type]
    with pytest.raises(HeadError, match="range"):
        decode_layers(encode_layers(beyond), SMALL)
    with pytest.raises(HeadError, match="range"):
        decode_layers(encode_layers(beyond, legal), SMALL, legal)


@pytest.mark.parametrize("extra", [bytes(8), b"\1\0\0\0" * 2, b"\xff" * 8, bytes(400)])
def test_words_after_the_end_are_refused(extra: bytes) -> None:
    for seed in range(8):
        data = encode_layers(drawn_head(SMALL, seed))
        decode_layers(data, SMALL)
        with pytest.raises(HeadError, match="after their end"):
            decode_layers(data + extra, SMALL)


def test_an_inexact_head_is_refused() -> None:
    layers = still()
    layers[0].weight[:] = 127
    with pytest.raises(HeadError, match="exact"):
        decode_layers(encode_layers(layers), SMALL)


def test_endless_escapes_are_refused() -> None:
    layers = still()
    layers[1].bias[:] = 1 << 30
    with pytest.raises(HeadError, match="too large"):
        decode_layers(encode_layers(layers), SMALL)


def test_cut_or_uneven_data_is_refused() -> None:
    data = encode_layers(drawn_head(SMALL, 9))
    for size in range(len(data)):
        if size < 3 * SMALL.layers or (size - 3 * SMALL.layers) % 4:
            with pytest.raises(HeadError):
                decode_layers(data[:size], SMALL)
        else:  # a shorter stream may be another legal head: it must not be this one
            try:
                assert not same(decode_layers(data[:size], SMALL), drawn_head(SMALL, 9))
            except HeadError:
                pass


@pytest.mark.parametrize("spec", [SMALL, HeadSpec(6, 1, 3, 4)], ids=str)
def test_garbage_raises_nothing_but_head_errors(spec: HeadSpec) -> None:
    rng = np.random.default_rng(11)
    base = drawn_head(spec, 1)
    whole = encode_layers(base)
    refused = 0
    for trial in range(600):
        if trial % 3 == 0:
            data = rng.bytes(int(rng.integers(0, 400)))
        elif trial % 3 == 1:  # a legal header before garbage
            data = whole[: 3 * spec.layers] + rng.bytes(4 * int(rng.integers(0, 100)))
        else:
            flipped = bytearray(whole)
            for at in rng.integers(0, len(whole), 3):
                flipped[at] ^= int(rng.integers(1, 256))
            data = bytes(flipped)
        for reference in (None, base):
            try:
                found = decode_layers(data, spec, reference)
            except HeadError:
                refused += 1
            else:
                assert [x.weight.shape for x in found] == spec.shapes()
    assert refused > 300


@pytest.mark.parametrize("fill", [b"\0", b"\xff", b"\x80"])
def test_constant_words_raise_nothing_but_head_errors(fill: bytes) -> None:
    for spread in (0, 16, 47):
        for words in (0, 1, 2, 3, 50, 200):
            try:
                decode_layers(bytes([4, spread, spread] * SMALL.layers) + fill * 4 * words, SMALL)
            except HeadError:
                continue


# --- what a film changes of a head of the program ---------------------------------------------------------------------


def adapted(layers: Sequence[Layer], coarse: int, seed: int) -> list[Layer]:
    """Some weights and biases moved by the multiples that `coarse` allows."""
    rng, out = np.random.default_rng(seed), []
    for x in layers:
        weight = x.weight + (rng.integers(-2, 3, x.weight.shape) << coarse)
        weight = np.where(np.abs(weight) > 127, x.weight, weight)
        bias = x.bias + (rng.integers(-3, 4, x.bias.shape) << coarse + 4)
        out.append(Layer(weight.astype(np.int8), bias.astype(np.int32), x.scale_bits))
    return out


@pytest.mark.parametrize("coarse", range(COARSE_MAX + 1))
@pytest.mark.parametrize("spec", [HeadSpec(6, 0, 4, 8, base_q=True, adding=True), SMALL], ids=str)
def test_changes_come_back(spec: HeadSpec, coarse: int) -> None:
    base = drawn_head(replace(spec, width=min(spec.width, 3)), 1)
    spec = replace(spec, width=min(spec.width, 3))
    base = [Layer(x.weight // 4, x.bias, x.scale_bits) for x in base]  # room for what changes
    wanted = adapted(base, coarse, 2)
    assert same(decode_change(encode_change(wanted, base, coarse), spec, base), wanted)


def test_what_does_not_change_costs_its_header_alone() -> None:
    base = drawn_head(SMALL, 1)
    assert len(encode_change(base, base, 3)) == 3 * SMALL.layers
    one = [base[0], replace(base[1], bias=base[1].bias + (1 << 7))]
    assert 3 * SMALL.layers < len(encode_change(one, base, 3)) < 3 * SMALL.layers + 9
    assert same(decode_change(encode_change(one, base, 3), SMALL, base), one)


def test_changes_that_cannot_be_said_are_refused() -> None:
    base = still()
    for wrong in (replace(base[0], weight=base[0].weight + 4), replace(base[0], bias=base[0].bias + 64)):
        with pytest.raises(ValueError, match="multiples"):
            encode_change([wrong, base[1]], base, 3)


@pytest.mark.parametrize("at, value", [(0, COARSE_MAX + 1), (0, 2), (3, 2), (1, SPREADS + 1), (5, 255)])
def test_illegal_changes_are_refused(at: int, value: int) -> None:
    base = still()
    data = bytearray(encode_change(adapted(base, 3, 1), base, 3))
    data[at] = value
    with pytest.raises(HeadError):
        decode_change(bytes(data), SMALL, base)


def test_damaged_changes_end_in_head_errors() -> None:
    base = still()
    data = encode_change(adapted(base, 5, 1), base, 5)
    for wrong in (b"", data[:5], data[:-1], data + bytes(8)):
        with pytest.raises(HeadError):
            decode_change(wrong, SMALL, base)


def test_only_differences_may_leave_a_group_out() -> None:
    data = bytearray(encode_layers(still()))
    data[1] = SPREADS
    with pytest.raises(HeadError, match="spread"):
        decode_layers(bytes(data), SMALL)
    base = drawn_head(SMALL, 1)
    alike = encode_layers(base, base)
    assert len(alike) == 3 * SMALL.layers
    assert same(decode_layers(alike, SMALL, base), base)
    with pytest.raises(HeadError, match="after their end"):
        decode_layers(alike + bytes(4), SMALL, base)


def test_biases_at_their_limit_change_within_it() -> None:
    base = still()
    base[0] = replace(base[0], bias=np.array([BIAS_MAX - 5, 5 - BIAS_MAX, 0], np.int32))
    model = HeadModel(SMALL)
    model.load(base)
    model.hold(base, 3)
    with torch.no_grad():
        model.bias[0] *= 2
    found = model.layers()
    assert same(decode_change(encode_change(found, base, 3), SMALL, base), found)
