"""How a head is steered: which blocks of a picture it predicts, by what their bits are worth; what it is told of each
picture.

Runs in the encoder alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ..base.coded import Base
from ..base.quantiser import base_q_of, base_q_of_index
from ..base.quantisers import shown_quantisers
from ..errors import FormatError
from ..frames import Plane, PlaneFormat, folds_of
from ..metrics import plane_psnrs, weighted
from .head import Head
from .payload import SegmentHeader
from .steering import (
    REACH,
    UNIT,
    Blocks,
    Steered,
    SteeringReader,
    blocks_of,
    plane_blocks,
    put_blocks,
    split_steering,
    write_steering,
)

ROUNDS = 3  # of decisions, each with its neighbours' last ones
OFFSET = 0.25  # of a neighbour, in chances
BEFORE = 4  # neighbours that the same block of the picture before counts for

Gains = NDArray[np.float64]  # (rows, columns) of blocks


@dataclass(frozen=True)
class Prediction:
    """A picture before its loss-stream; `psnrs`: in dB, of each plane; `used`: whether the head predicted it;
    `steered`: how, and `won`: dB of PSNR-YUV that its blocks were chosen for; `plain`, `gains`: what they are chosen
    by."""

    output: list[Plane]
    psnrs: NDArray[np.float64]
    used: bool
    steered: Steered | None = None
    won: float = 0.0
    plain: list[Plane] = field(default_factory=list)
    gains: Gains | None = None


def compared(
    found: Prediction, plain: list[Plane], source: Sequence[Plane], folds: Sequence[tuple[int, int]]
) -> Prediction:
    """What a head predicts of a picture beside the plain one, for `partly`."""
    return replace(found, plain=plain, gains=gains_of(found.output, plain, source, folds))


def partly(
    found: Prediction,
    source: Sequence[Plane],
    plain: NDArray[np.float64],
    last: Blocks | None,
    fmt: PlaneFormat,
    price: float,
) -> Prediction:
    """What a head predicts, with plain blocks where they are worth their bits; or the plain picture, if that is better.
    `plain`: PSNRs of that; `last`, `price`: see `chosen_blocks`."""
    assert found.steered and found.gains is not None
    blocks, bits = chosen_blocks(found.gains, last, price)
    best = max(weighted(found.psnrs), weighted(plain))
    if not blocks.all() and blocks.any():
        output = [plane.copy() for plane in found.output]
        put_blocks(output, found.plain, 1 - blocks, folds_of(fmt.chroma))
        psnrs = plane_psnrs(output, source, fmt.peak)
        won = weighted(psnrs) - best
        if won > price * bits:
            return Prediction(output, psnrs, True, replace(found.steered, blocks=blocks), won)
    return found if best == weighted(found.psnrs) else Prediction(found.plain, plain, False)


def differences_of(base: Base, quantiser: float, of: float) -> list[int]:
    """What heads are told of each picture of a base that was coded at the crf `quantiser`: how its own differs, in
    UNITs, from that of the crf `of`; where its own cannot be read, that of `quantiser` does."""
    try:
        own = [base_q_of_index(index) for index in shown_quantisers([packet.data for packet in base.packets])]
    except FormatError:  # of what SVT-AV1 has not written yet
        own = [base_q_of(quantiser)] * len(base.packets)
    return [min(max(round((q - base_q_of(of)) / UNIT), -REACH), REACH) for q in own]


def gains_of(
    head: Sequence[Plane], plain: Sequence[Plane], source: Sequence[Plane], folds: Sequence[tuple[int, int]]
) -> Gains:
    """dB of PSNR-YUV, about, that a picture by a head gains by each block that is plain."""
    gains = []
    shares = [weighted(row) for row in np.eye(len(source))]  # of the planes in PSNR-YUV
    for share, by_head, by_base, wanted, fold in zip(shares, head, plain, source, folds, strict=True):
        errors = _errors(by_head, wanted, fold)
        less = errors - _errors(by_base, wanted, fold)
        gains.append(less * (share * 10 / math.log(10) / max(int((errors - np.maximum(less, 0)).sum()), 1)))
    return np.sum(gains, axis=0, dtype=np.float64)


def chosen_blocks(gains: Gains, last: Blocks | None, price: float) -> tuple[Blocks, float]:
    """The blocks of a picture that the head should predict, and about how many bits it takes to say so. `last`: those
    of the picture before, None of the first; `price`: of a bit, in dB of the picture's PSNR-YUV."""
    off = before = gains > 0 if last is None else last == 0
    for _ in range(ROUNDS):
        off = gains > price * (_bits(off, before) - _bits(~off, ~before))
    bits = np.where(off, _bits(off, before), _bits(~off, ~before)).sum()
    return (~off).astype(np.uint8), float(bits) + 1


def _errors(a: Plane, b: Plane, fold: tuple[int, int]) -> NDArray[np.int64]:
    """Sums of squared differences of two planes in each block."""
    difference = np.subtract(a, b, dtype=np.int32)
    high, wide = plane_blocks(fold)
    rows = np.add.reduceat(np.multiply(difference, difference, out=difference), range(0, a.shape[0], high), axis=0)
    return np.add.reduceat(rows, range(0, a.shape[1], wide), axis=1, dtype=np.int64)


def _bits(chosen: NDArray[np.bool_], before: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Bits that it takes to say of each block that it is one of the chosen, about, by its four neighbours and by what
    it was before."""
    padded = np.pad(chosen, 1, mode="edge").astype(np.float64)
    around = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:] + BEFORE * before
    return -np.log2((around + OFFSET) / (4 + BEFORE + 2 * OFFSET))


def steering_of(steered: Sequence[Steered], told: bool) -> bytes:
    """The steering of pictures that a head predicts; empty where all are told what the head is, and predicted whole."""
    if all(picture.difference == 0 and picture.blocks.all() for picture in steered):
        return b""
    return write_steering(steered, told)


def told_before(header: SegmentHeader, head: Head | None) -> bool:
    """Whether a segment's head is told a picture's own quantiser."""
    if head is None or not header.steered:
        return False
    data, _ = split_steering(header.head)
    reader = SteeringReader(data, blocks_of(header.width, header.height), head.spec.base_q)
    return any(reader.next().difference for k in range(header.frames) if header.uses_head(k))
