"""The steering of heads: its symbols and bytes, what is refused, what a restorer makes of it, what is chosen."""

from __future__ import annotations

from fractions import Fraction

import constriction
import numpy as np
import pytest

from codec.base.resample import base_size
from codec.errors import FormatError
from codec.frames import PlaneFormat, folds_of
from codec.loss.entropy import geometric_counts
from codec.segment.fit_steering import chosen_blocks, gains_of, steering_of
from codec.segment.head import Head
from codec.segment.restore import Restorer
from codec.segment.steering import (
    BLOCK,
    REACH,
    Steered,
    SteeringReader,
    blocks_of,
    put_blocks,
    split_steering,
    told_of,
    write_steering,
)
from heads.restorer.spec import HeadSpec
from tests.heads.drawn_heads import drawn_head
from tests.makers import drawn_planes

SHAPES = [(1, 1), (1, 2), (2, 1), (1, 5), (4, 1), (3, 3), (5, 8), (17, 30)]
ALL = np.ones((2, 3), np.uint8)
SOME = np.array([[1, 0, 1], [1, 1, 0]], np.uint8)
EXAMPLE = bytes.fromhex("00 00 04 77 63 CD 07")  # of FORMAT.md


def drawn(shape: tuple[int, int], told: bool, count: int = 12) -> list[Steered]:
    rng = np.random.default_rng(shape)
    found = []
    for k in range(count):
        blocks = (rng.random(shape) < (k % 4) / 3).astype(np.uint8)
        found.append(Steered(int(rng.integers(-REACH, REACH + 1)) * told * (k % 2), blocks))
    return found


def read(data: bytes, shape: tuple[int, int], told: bool, count: int) -> list[Steered]:
    reader = SteeringReader(data, shape, told)
    found = [reader.next() for _ in range(count)]
    reader.finish()
    return found


@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_what_is_written_is_read(shape: tuple[int, int], told: bool) -> None:
    pictures = drawn(shape, told)
    data, rest = split_steering(write_steering(pictures, told) + b"rest")
    assert rest == b"rest"
    for a, b in zip(read(data, shape, told, len(pictures)), pictures, strict=True):
        assert a.difference == b.difference and np.array_equal(a.blocks, b.blocks)
    with pytest.raises(FormatError):
        read(data + bytes(8) + b"\1", shape, told, len(pictures))


def test_the_order_of_symbols() -> None:
    """Symbol by symbol as FORMAT.md lists them, each against the counts that it names."""
    coder = constriction.stream.queue.RangeEncoder()

    def code(symbols: list[int], counts: list[int]) -> None:
        table = constriction.stream.model.Categorical(np.array(counts, np.float64), perfect=False)
        coder.encode(np.array(symbols, np.int32), table)

    near = geometric_counts([256], 32, 1 << 10)[0].tolist()
    code([32], near)  # the first picture: difference 0, row 0
    code([0], [40, 8])  # all of it
    near[32] += 32
    code([32 - 3], near)  # the second: difference -3, row 0
    code([1], [72, 8])  # by block
    code([1, 1], [8, 88])  # (0, 0), (0, 2): l = 1, a = 2
    code([0], [8, 152])  # (0, 1): a = 1 + 1, l = 1
    # (1, 0): a = 2 · 1, (1, 1): a = 2 · 0, (1, 2): a = 2 · 1; class 1 comes first
    code([1], [72, 24])
    code([1, 0], [40, 152])
    code([32 + 5], geometric_counts([256], 32, 1 << 10)[0].tolist())  # the third: difference 5, row 1
    code([0], [8, 40])  # after one by block
    words = coder.get_compressed().astype(">u4").tobytes().rstrip(b"\0")
    assert (
        write_steering([Steered(0, ALL), Steered(-3, SOME), Steered(5, ALL)], True) == bytes([0, 0, len(words)]) + words
    )


def test_a_difference_is_limited_with_what_is_told() -> None:
    assert [told_of(q, d) for q, d in [(0, 3), (-120, -32), (120, 32), (127, 0), (-128, 1)]] == [
        12,
        -128,
        127,
        127,
        -124,
    ]


@pytest.mark.parametrize("head", [b"", b"\0", b"\0\0", b"\0\0\1", b"\0\0\3ab", b"\xff\xff\xff" + bytes(1000)])
def test_steering_that_is_cut_off_is_refused(head: bytes) -> None:
    with pytest.raises(FormatError, match="cut off"):
        split_steering(head)


def test_any_bytes_are_symbols_or_refused() -> None:
    rng, refused = np.random.default_rng(0), 0
    for size in range(64):
        try:
            read(rng.bytes(size), (3, 5), bool(size % 2), 5)
        except FormatError:
            refused += 1
    assert refused > 32


def test_no_bytes_where_nothing_is_steered() -> None:
    assert steering_of([], True) == steering_of([Steered(0, ALL)] * 3, True) == b""
    assert steering_of([Steered(1, ALL)], True) and steering_of([Steered(0, SOME)], False)
    assert split_steering(bytes(3) + b"x") == (b"", b"x")


@pytest.mark.parametrize("scale", [Fraction(1), Fraction(2)], ids=str)
@pytest.mark.parametrize("depth", [8, 10])
@pytest.mark.parametrize("chroma", ["400", "420", "422", "444"])
def test_blocks_are_the_heads_or_plain(chroma: str, depth: int, scale: Fraction) -> None:
    fmt, (width, height) = PlaneFormat(chroma, depth), (2 * BLOCK + 3, BLOCK + 9)
    wide, high = base_size(width, height, scale)
    base = drawn_planes(PlaneFormat("420", 10), wide, high, 1)
    spec = HeadSpec(sum(r * c for r, c in folds_of(chroma)), 0, 3, 8, base_q=True)
    restorer = Restorer(fmt, width, height, scale, Head(spec, tuple(drawn_head(spec, 1)), base_q=-9))
    shape = blocks_of(width, height)
    assert shape == (2, 3) == SOME.shape
    other = Restorer(fmt, width, height, scale, Head(spec, tuple(drawn_head(spec, 1)), base_q=told_of(-9, 7)))
    whole, plain = other.predict(base), restorer.plain(base)
    assert not all(map(np.array_equal, restorer.predict(base), whole)), "what it is told makes a difference"
    assert all(map(np.array_equal, restorer.predict(base, True, Steered(7, ALL)), whole))
    assert all(map(np.array_equal, restorer.predict(base, False, Steered(7, SOME)), plain))
    found = restorer.predict(base, True, Steered(7, SOME))
    for p, (r, c) in enumerate(folds_of(chroma)):
        for y, x in np.ndindex(found[p].shape):
            wanted = whole if SOME[y // (32 * r), x // (32 * c)] else plain
            assert found[p][y, x] == wanted[p][y, x]


def test_blocks_are_chosen_by_what_their_bits_are_worth() -> None:
    fmt, (width, height) = PlaneFormat("420", 8), (4 * BLOCK, 4 * BLOCK - 5)
    source = drawn_planes(fmt, width, height, 0)
    folds, shape = folds_of(fmt.chroma), blocks_of(width, height)
    worse = [np.clip(p.astype(int) + 3, 0, 255).astype(p.dtype) for p in source]
    better = [np.clip(p.astype(int) + 1, 0, 255).astype(p.dtype) for p in source]
    harmed = np.zeros(shape, np.uint8)
    harmed[1:3, :2] = 1
    head = [p.copy() for p in better]
    put_blocks(head, worse, harmed, folds)
    plain = [p.copy() for p in worse]
    put_blocks(plain, better, harmed, folds)
    gains = gains_of(head, plain, source, folds)
    for last in (None, np.ones(shape, np.uint8)):
        blocks, bits = chosen_blocks(gains, last, 1e-3)
        assert np.array_equal(blocks, 1 - harmed) and 1 < bits < 60
    assert chosen_blocks(gains, np.ones(shape, np.uint8), 10.0)[0].all(), "not at any price"
    assert chosen_blocks(gains_of(better, worse, source, folds), None, 1e-3)[0].all()
    assert not chosen_blocks(gains_of(worse, better, source, folds), None, 1e-3)[0].any()
