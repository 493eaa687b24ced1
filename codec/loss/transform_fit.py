"""What the transform mode's encoder decides: motion, and the origin, extent and levels of every block.

Decisions minimise squared error + lambda * bits, with prices that the tables give before the picture (G. J. Sullivan
and T. Wiegand, "Rate-distortion optimization for video compression", IEEE SPM 15(6), 1998). The decoder never imports
this module.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..frames import Planes
from .entropy import Ints, SymbolWriter
from .motion import BLOCK, estimate_motion
from .transform import DIAGONALS, ENDS, ESCAPE_SIZE, LEVEL_MAX, MATRIX, SIDE, ZONE, Bytes, TransformCoder, to_blocks

_DIAGONAL_OF = np.add.outer(np.arange(8), np.arange(8))


def forward(residual: NDArray) -> NDArray[np.float64]:
    """Coefficients (n, 8, 8), in samples (orthonormal up to 0.1 %), of blocks (n, 8, 8)."""
    m = MATRIX / 32768**0.5
    return np.matmul(np.matmul(m, residual.astype(np.float64)), m.T)


@dataclass
class Choice:
    """What the encoder decided for one plane: origins and extents (rows, columns), levels (rows, columns, 8, 8)."""

    origin: Bytes
    extent: Bytes
    levels: Ints


def choose(
    coder: TransformCoder, predicted: Planes, source: Planes, lam: float | None
) -> tuple[Ints | None, list[Choice]]:
    """Motion and the choice for every plane that minimise squared error + lam * bits."""
    last, delta = coder.state.last, coder.quantum / 16
    weight = 0.1 if lam is None else lam / (delta * delta)  # costs below are in units of delta^2
    wanted = [to_blocks(q.astype(np.int32)) for q in source]
    motion = None if last is None else estimate_motion(source[0], last.decoded[0], coder.fmt.depth)
    choices, cost = _trial(coder, predicted, wanted, motion, weight)
    if motion is None:
        return None, choices
    motion = _needed(coder, motion, choices)
    writer = SymbolWriter()
    coder.state.motion.copy().code(writer, motion, True)
    others, cost_still = _trial(coder, predicted, wanted, None, weight)
    return (motion, choices) if cost + weight * 8 * len(writer.finish()) < cost_still else (None, others)


def _needed(coder: TransformCoder, motion: Ints, choices: list[Choice]) -> Ints:
    """`motion` with the displacement from above, which costs least, wherever no plane fetches anything."""
    needed = np.zeros(motion.shape[:2], bool)
    for p, choice in enumerate(choices):
        sx, sy = coder.sub if p else (1, 1)
        y, x = np.nonzero(choice.origin)
        needed[y * (SIDE * sy) // BLOCK, x * (SIDE * sx) // BLOCK] = True  # a block lies within one motion block
    kept = np.where(needed[..., None], motion, 0).astype(np.int32)
    for row in range(1, len(kept)):
        kept[row] = np.where(needed[row, :, None], kept[row], kept[row - 1])
    return kept


def _trial(
    coder: TransformCoder, predicted: Planes, wanted: list[Ints], motion: Ints | None, weight: float
) -> tuple[list[Choice], float]:
    """The best choice for every plane under a given motion, and its cost without the motion's."""
    choices: list[Choice] = []
    total = 0.0
    for p, plane in enumerate(predicted):
        kind = min(p, 1)
        candidates = coder.candidates(p, plane, motion)
        context = coder.extent_context(p, candidates[0], [c.extent for c in choices])
        trials = [_decided(coder, wanted[p] - candidate, context, kind, weight) for candidate in candidates]
        costs = np.stack([cost for *_, cost in trials])
        if len(trials) > 1:
            classes = coder.origin_context(p, candidates, [c.origin for c in choices])
            priced = costs + weight * np.moveaxis(coder.state.origins[kind].bits()[classes], -1, 0)
            # one flag says that every origin is the prediction: then none has a price of its own
            if priced.min(axis=0).sum() < costs[0].sum():
                costs = priced
            else:
                costs, trials = costs[:1], trials[:1]
        origin = costs.argmin(axis=0).astype(np.uint8)
        total += costs.min(axis=0).sum()
        extent = np.choose(origin, [e for _, e, _ in trials])
        levels = np.choose(origin[..., None, None], [x for x, *_ in trials])
        choices.append(Choice(origin, extent, levels))
    return choices, total


def _decided(
    coder: TransformCoder, residual: Ints, context: Bytes, kind: int, weight: float
) -> tuple[Ints, Bytes, NDArray]:
    """Levels (rows, columns, 8, 8), extents and costs (rows, columns) of one origin."""
    coefficients = forward(residual.reshape(-1, SIDE, SIDE))
    size = np.abs(coefficients) / (coder.quantum / 16)
    counts = coder.state.levels[kind].counts.reshape(7, -1, LEVEL_MAX + 2).sum(axis=1)
    price = np.log2(counts.sum(axis=1, keepdims=True)) - np.log2(counts)
    price[:, 1:] += 1  # sign
    price[:, -1] += np.log2(ESCAPE_SIZE)
    zone = ZONE[_DIAGONAL_OF]
    nearest = np.floor(size + 0.5)
    best, least = np.zeros_like(nearest), size * size + weight * price[zone, 0]
    for level in (nearest, nearest - 1):
        symbol = np.clip(level, 0, LEVEL_MAX + 1).astype(int)
        cost = (size - level) ** 2 + weight * price[zone, symbol]
        better = (cost < least) & (level > 0)
        best[better], least[better] = level[better], cost[better]
    # cost of every extent: coded diagonals up to its end, energy beyond, the extent's own price
    by_diagonal = np.zeros((len(size), 16, 2))
    for d, (v, u) in enumerate(DIAGONALS):
        by_diagonal[:, d + 1, 0] = least[:, v, u].sum(axis=1)
        by_diagonal[:, d, 1] = (size[:, v, u] ** 2).sum(axis=1)
    coded = np.cumsum(by_diagonal[..., 0], axis=1)[:, ENDS]
    lost = np.cumsum(by_diagonal[:, ::-1, 1], axis=1)[:, ::-1][:, ENDS]
    counts = coder.state.extents[kind].counts.reshape(5, 12, 8).sum(axis=0)
    own = np.log2(counts.sum(axis=1, keepdims=True)) - np.log2(counts)
    costs = coded + lost + weight * own[context.reshape(-1)]
    extent = np.argmin(costs, axis=1).astype(np.uint8)
    keep = ENDS[extent][:, None, None] > _DIAGONAL_OF
    levels = (np.where(keep, best, 0) * np.sign(coefficients)).astype(np.int32)
    extent[~levels.any(axis=(1, 2))] = 0
    return levels.reshape(residual.shape), extent.reshape(context.shape), costs.min(axis=1).reshape(context.shape)
