"""A group of pictures of the LZMA baseline: quantised, predicted, laid out and packed, in the way that is smallest.

Every combination of the choices decodes, whatever the encoder's reasons for it were; `bench.lzma.file` describes the
bytes, `bench.lzma.layout` the terms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from codec.frames import Plane

from ..process import BenchError
from .layout import Blocks, Layout, Planes, Quantiser, first_reference, levels_of, samples_of
from .pack import ESTIMATE, lzma_packed, lzma_unpacked, zstd_packed, zstd_unpacked
from .predict import TAPS, Block, Predictor, Weights, fitted_weights, residuals, restored

GROUP_BYTES = 1 << 26  # of residuals: what an encoder puts into a group, at least one picture
SAMPLE_BYTES = 1 << 20  # of residuals: what estimates are made from
CLOSE = 1.02  # by what factor an estimate may be worse for the thing itself to be tried
CONTEXTS = (0, 4)  # high bits of the byte before that LZMA takes as context of a literal
CUT = 0.7  # what part of its bits must be left where a predictor from the reference gives way to a better one


class Order(IntEnum):
    """Numbers on the wire: how residuals follow one another."""

    PLANES = 0  # a plane of all pictures, then the next plane
    ACROSS = 1  # picture by picture, and in a block all planes sample by sample


class Coder(IntEnum):
    """Numbers on the wire."""

    LZMA = 0
    ZSTD = 1


@dataclass(frozen=True)
class Choices:
    """What an encoder may choose from: everything, unless a test or a measurement says otherwise."""

    predictors: tuple[Predictor, ...] = tuple(Predictor)
    quantisers: tuple[Quantiser, ...] = tuple(Quantiser)
    orders: tuple[Order, ...] = tuple(Order)
    coders: tuple[Coder, ...] = tuple(Coder)
    group_bytes: int = GROUP_BYTES


EVERYTHING = Choices()


class Packed(NamedTuple):
    """A group as it is stored."""

    quantiser: Quantiser
    order: Order
    coder: Coder
    data: bytes


# Residuals, and how they stand in the bytes


class _Coded(NamedTuple):
    """What a predictor leaves of a block of a picture: residuals, uint8 or int16, and their entropy in bits."""

    predictor: Predictor
    weights: Weights | None
    residual: NDArray[np.uint8] | NDArray[np.int16]
    bits: float


def _coded(predictor: Predictor, block: Block, reference: Block, quantiser: Quantiser, layout: Layout) -> _Coded:
    mask = layout.mask(quantiser)
    weights = fitted_weights(block, reference) if predictor == Predictor.FIT else None
    found = residuals(predictor, block, reference, weights, layout.top(quantiser), mask)
    counts = np.bincount(found.ravel())
    bits = float(-(counts * np.log2(np.maximum(counts, 1) / found.size)).sum())
    if mask == 255:
        return _Coded(predictor, weights, found.astype(np.uint8), bits)
    half = (mask + 1) >> 1
    signed = found if predictor == Predictor.NONE else ((found + half) & mask) - half
    return _Coded(predictor, weights, signed.astype(np.int16), bits)


def _places(residual: NDArray[np.uint8] | NDArray[np.int16]) -> list[NDArray[np.uint8]]:
    """The first and, where there is one, the second byte of every residual."""
    if residual.dtype == np.uint8:
        return [residual.view(np.uint8)]
    return [(residual & 255).astype(np.uint8), ((residual + 128) >> 8).astype(np.uint8)]


def _joined(places: Sequence[NDArray[np.uint8]]) -> Block:
    """Inverse of `_places`, up to a multiple of 65536."""
    first = places[0].astype(np.int32)
    return first if len(places) == 1 else first - (first >= 128) * 256 + (places[1].astype(np.int32) << 8)


class _Piece(NamedTuple):
    """A run of residual bytes: those of one place of planes `first` to `last` - 1 of a block, sample by sample."""

    picture: int
    block: int
    place: int
    first: int
    last: int


def _pieces(order: Order, pictures: int, quantiser: Quantiser, layout: Layout) -> list[_Piece]:
    """A group's residual bytes in their order."""
    found = []
    for b, block in enumerate(layout.blocks):
        runs = [(0, len(block))] if order == Order.ACROSS else [(p, p + 1) for p in range(len(block))]
        for (first, last), place in product(runs, range(layout.places(quantiser))):
            found += [_Piece(k, b, place, first, last) for k in range(pictures)]
    return found if order == Order.PLANES else sorted(found, key=lambda piece: piece.picture)  # a stable sort


Plan = list[list[_Coded]]  # by picture, by block


def _laid_out(plan: Plan, order: Order, quantiser: Quantiser, layout: Layout) -> bytes:
    """What a group's bytes unpack to."""
    predictors = bytes(coded.predictor for row in plan for coded in row)
    weights = [coded.weights.astype("<i2").tobytes() for row in plan for coded in row if coded.weights is not None]
    split = [[_places(coded.residual) for coded in row] for row in plan]
    data = [
        np.moveaxis(split[p.picture][p.block][p.place][p.first : p.last], 0, -1).tobytes()
        for p in _pieces(order, len(plan), quantiser, layout)
    ]
    return b"".join([predictors, *weights, *data])


# The way that is smallest


class _Rough(NamedTuple):
    """A way to pack a group, as far as it takes to know about how small it gets: `size` is LZMA's at a low preset."""

    quantiser: Quantiser
    order: Order
    context: int
    sample: bytes
    data: bytes
    size: int


def encoded_group(
    pictures: Sequence[Planes], last: Planes | None, layout: Layout, choices: Choices = EVERYTHING
) -> tuple[Packed, list[Planes]]:
    """A group and what it decodes to. `last` is the picture decoded before it."""
    rough: list[_Rough] = []
    decoded = {}
    for quantiser in choices.quantisers if layout.bound else (Quantiser.SAMPLE,):
        levels, decoded[quantiser] = _quantised(quantiser, pictures, last, layout)
        rough += [_rough(levels.plan(named), quantiser, layout, choices) for named in _worth_trying(levels, choices)]
    least = min(way.size for way in rough)
    packed = [_packed(way, choices) for way in rough if way.size <= CLOSE * least]
    best = min(packed, key=lambda group: len(group.data))
    return best, decoded[best.quantiser]


Named = list[list[Predictor]]  # by picture, by block


class _Levels(NamedTuple):
    """The levels of a group, as planes are stored, and the reference of its first picture."""

    pictures: list[list[Plane]]  # by picture, by block: (planes, rows, columns)
    first: Blocks
    quantiser: Quantiser
    layout: Layout

    def coded(self, picture: int, block: int, predictor: Predictor) -> _Coded:
        """A block as a predictor leaves it."""
        own = self.pictures[picture][block].astype(np.int32)
        reference = self.pictures[picture - 1][block].astype(np.int32) if picture else self.first[block]
        return _coded(predictor, own, reference, self.quantiser, self.layout)

    def plan(self, named: Named) -> Plan:
        return [[self.coded(k, b, predictor) for b, predictor in enumerate(row)] for k, row in enumerate(named)]


def _quantised(
    quantiser: Quantiser, pictures: Sequence[Planes], last: Planes | None, layout: Layout
) -> tuple[_Levels, list[Planes]]:
    """The levels of pictures, and what these decode to."""
    dtype = np.uint8 if layout.top(quantiser) <= 255 else np.uint16
    before = layout.zeros() if last is None else layout.gathered(last)
    found = _Levels([], first_reference(before, quantiser, layout), quantiser, layout)
    decoded = []
    for picture in pictures:
        levels = levels_of(layout.gathered(picture), before, quantiser, layout)
        before = samples_of(levels, before, quantiser, layout)
        decoded.append(layout.scattered(before))
        found.pictures.append([level.astype(dtype) for level in levels])
    return found, decoded


class _Cost(NamedTuple):
    """What a predictor leaves of a block of a picture: its entropy, and, in the sample, the bytes."""

    bits: float
    data: bytes


def _worth_trying(levels: _Levels, choices: Choices) -> list[Named]:
    """Predictors for a group, in one or two ways that are worth trying.

    The first is the best for a sample. The second predicts nothing, where the first does: what a long window finds in
    pictures as they are shows in the whole only.
    """
    count, layout = len(levels.pictures), levels.layout
    sample = range(count)[_sample(count, levels.quantiser, layout)]
    columns = []
    for b in range(len(layout.blocks)):
        costs: list[dict[Predictor, _Cost]] = []
        for k in range(count):
            coded = [levels.coded(k, b, predictor) for predictor in choices.predictors]
            costs.append({c.predictor: _Cost(c.bits, _bytes(c) if k in sample else b"") for c in coded})
        ways = _ways(costs, choices)
        parts = [b"".join(costs[k][way[k]].data for k in sample) for way in ways]
        sizes = [len(lzma_packed(part, preset=ESTIMATE)) for part in parts]
        columns.append(ways[sizes.index(min(sizes))])
    found = [[list(row) for row in zip(*columns, strict=True)]]
    nothing = [[Predictor.NONE] * len(columns)] * count
    if Predictor.NONE in choices.predictors and found[0] != nothing:
        found.append(nothing)
    return found


def _ways(costs: Sequence[dict[Predictor, _Cost]], choices: Choices) -> list[list[Predictor]]:
    """Ways to code a block of all pictures: for each picture what leaves the least entropy, or one predictor for all.

    A predictor from the reference gives way where that is useless: at the film's beginning and at cuts.
    """
    least = [min(found, key=lambda predictor: found[predictor].bits) for found in costs]
    ways = [least]
    for own in choices.predictors:
        cuts = own >= Predictor.PREVIOUS
        pairs = zip(costs, least, strict=True)
        ways.append([best if cuts and found[best].bits < CUT * found[own].bits else own for found, best in pairs])
    return ways


def _bytes(coded: _Coded) -> bytes:
    return b"".join(place.tobytes() for place in _places(coded.residual))


def _sample(pictures: int, quantiser: Quantiser, layout: Layout) -> slice:
    """Pictures from the middle of a group, at least one, that choices are made on."""
    size = max(1, min(pictures, SAMPLE_BYTES // (layout.places(quantiser) * layout.samples)))
    return slice((pictures - size) // 2, (pictures - size) // 2 + size)


def _rough(plan: Plan, quantiser: Quantiser, layout: Layout, choices: Choices) -> _Rough:
    """A plan in the order and with the context that suit a sample."""
    sample = plan[_sample(len(plan), quantiser, layout)]
    parts = {order: _laid_out(sample, order, quantiser, layout) for order in choices.orders}
    order, part = min(parts.items(), key=lambda item: len(lzma_packed(item[1], preset=ESTIMATE)))
    context = min(CONTEXTS, key=lambda bits: len(lzma_packed(part, context=bits, preset=ESTIMATE)))
    data = _laid_out(plan, order, quantiser, layout)
    return _Rough(quantiser, order, context, part, data, len(lzma_packed(data, context=context, preset=ESTIMATE)))


def _packed(way: _Rough, choices: Choices) -> Packed:
    """The smaller of what the compressors make of it; of two that may be used, zstd is asked where it comes close."""
    found = []
    if Coder.LZMA in choices.coders:
        found.append(Packed(way.quantiser, way.order, Coder.LZMA, lzma_packed(way.data, way.context)))
    limit = CLOSE * len(lzma_packed(way.sample, way.context)) if found else float("inf")
    if Coder.ZSTD in choices.coders and len(zstd_packed(way.sample)) <= limit:
        found.append(Packed(way.quantiser, way.order, Coder.ZSTD, zstd_packed(way.data)))
    return min(found, key=lambda group: len(group.data))


def decoded_group(packed: Packed, pictures: int, last: Planes | None, layout: Layout) -> list[Planes]:
    """What `encoded_group` says that it decodes to. Raises BenchError where that cannot be."""
    quantiser, order, coder, data = packed
    unpack = lzma_unpacked if coder == Coder.LZMA else zstd_unpacked
    content = unpack(data, layout.room(pictures, quantiser))
    plans, start = _named(content, pictures, layout)
    samples = pictures * layout.samples * layout.places(quantiser)
    if len(content) - start != samples:
        raise BenchError(f"a group has {len(content) - start} bytes of residuals instead of {samples}")
    split = _split(content, start, order, pictures, quantiser, layout)

    before = layout.zeros() if last is None else layout.gathered(last)
    reference = first_reference(before, quantiser, layout)
    decoded = []
    for row, places in zip(plans, split, strict=True):
        levels = [
            restored(predictor, _joined(place), old, weights, layout.top(quantiser), layout.mask(quantiser))
            for (predictor, weights), place, old in zip(row, places, reference, strict=True)
        ]
        before = samples_of(levels, before, quantiser, layout)
        decoded.append(layout.scattered(before))
        reference = levels
    return decoded


def _named(content: bytes, pictures: int, layout: Layout) -> tuple[list[list[tuple[Predictor, Weights | None]]], int]:
    """Predictors and weights by picture and block, and how many bytes they took."""
    count = len(layout.blocks)
    at = pictures * count
    if at > len(content) or any(number > max(Predictor) for number in content[:at]):
        raise BenchError("a group names predictors that there are not")
    found = []
    for k in range(pictures):
        row: list[tuple[Predictor, Weights | None]] = []
        for b, block in enumerate(layout.blocks):
            predictor = Predictor(content[k * count + b])
            weights = None
            if predictor == Predictor.FIT:
                size = 2 * TAPS * len(block)
                if at + size > len(content):
                    raise BenchError("a group ends within its weights")
                weights = np.frombuffer(content, "<i2", TAPS * len(block), at).reshape(-1, TAPS).astype(np.int16)
                at += size
            row.append((predictor, weights))
        found.append(row)
    return found, at


def _split(
    content: bytes, at: int, order: Order, pictures: int, quantiser: Quantiser, layout: Layout
) -> list[list[list[NDArray[np.uint8]]]]:
    """Residual bytes by picture, block and place, (planes, rows, columns) each."""
    found = [
        [
            [np.empty((len(block), *layout.shapes[block[0]]), np.uint8) for _ in range(layout.places(quantiser))]
            for block in layout.blocks
        ]
        for _ in range(pictures)
    ]
    for piece in _pieces(order, pictures, quantiser, layout):
        target = found[piece.picture][piece.block][piece.place][piece.first : piece.last]
        planes, rows, columns = target.shape
        data = np.frombuffer(content, np.uint8, target.size, at)
        target[:] = np.moveaxis(data.reshape(rows, columns, planes), -1, 0)
        at += target.size
    return found
