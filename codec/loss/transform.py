"""The loss-stream's transform mode: lossy correction of a prediction by quantised 8x8 cosine-transform blocks.

Planes are cut into 8x8 blocks. A block's *origin* says what is corrected: the prediction, the prediction plus what the
last frame's correction was (displaced by a block motion field), or the last frame itself; so detail that was
paid for once stays. Most blocks then need nothing. A block's *extent* (0 = nothing, else how many anti-diagonals of
coefficients follow) is coded in four interleaved passes over the block grid, with the extents around it, the
extent at the same place one frame earlier and the prediction's activity (in chroma: the luma extents) as context.
Coefficients are then coded diagonal by diagonal, all blocks at once, with the magnitudes of their lower-frequency
neighbours as context.

Invariant: the decoder computes in integers; the matrix products run in float64, where every sum is an integer below
2^53 and hence exact in any order. Results fit 32 bits, see `inverse`.

References: the matrix and two-stage rounding of ITU-T H.265, 8.6.4.2 (8x8); rate-distortion decisions as in
G. J. Sullivan and T. Wiegand, "Rate-distortion optimization for video compression", IEEE SPM 15(6), 1998.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..frames import SUBSAMPLING, Plane, PlaneFormat
from .entropy import INCREMENT, CountTables, Ints, SymbolCoder, SymbolWriter
from .motion import BLOCK, MotionTables, displaced, estimate_motion

Planes = tuple[Plane, ...]
Bytes = NDArray[np.uint8]

SIDE = 8
ENDS = np.array([0, 1, 2, 3, 4, 6, 8, 15], np.uint8)  # extent -> number of anti-diagonals coded
ZONE = np.searchsorted(ENDS, np.arange(15), side="right").astype(np.uint8) - 1  # diagonal -> 0 .. 6
LEVEL_MAX = 14  # largest magnitude with a symbol of its own; LEVEL_MAX + 1 is the escape
ESCAPE_SIZE = 1 << 14  # values of an escaped magnitude: up to 8 * 1023 * 4 / 4 levels are possible
COEFFICIENT_MAX = 1 << 18  # dequantised coefficients are clipped to this, in 1/16 of a sample
_PASSES = ((0, 0), (1, 1), (0, 1), (1, 0))

_EVEN, _ODD = (
    ((64, 64, 64, 64), (83, 36, -36, -83), (64, -64, -64, 64), (36, -83, 83, -36)),
    ((89, 75, 50, 18), (75, -18, -89, -50), (50, -89, 18, 75), (18, -50, 75, -89)),
)
MATRIX = np.array(
    [
        half + (half[::-1] if k % 2 == 0 else tuple(-x for x in half[::-1]))
        for k in range(8)
        for half in [(_ODD if k % 2 else _EVEN)[k // 2]]
    ]
)

_DIAGONALS = [
    tuple(np.array(x) for x in zip(*((i, d - i) for i in range(8) if 0 <= d - i < 8), strict=True)) for d in range(15)
]
_DIAGONAL_OF = np.add.outer(np.arange(8), np.arange(8))


def inverse(coefficients: Ints) -> Ints:
    """Residual (n, 8, 8), samples, of dequantised coefficients (n, 8, 8) in 1/16 of a sample, |c| <= 2^18.

    Columns first. A column of the matrix sums to at most 479 in magnitude, so the first stage is below
    479 * 2^18 < 2^27 before its shift and 2^20 after it, the second below 479 * 2^20 < 2^29: 32 bits suffice.
    """
    m = MATRIX.astype(np.float64)
    first = (np.matmul(m.T, coefficients.astype(np.float64)).astype(np.int32) + 64) >> 7
    return (np.matmul(first.astype(np.float64), m).astype(np.int32) + 2048) >> 12


def forward(residual: NDArray) -> NDArray[np.float64]:
    """Coefficients (n, 8, 8), in samples (orthonormal up to 0.1 %), of blocks (n, 8, 8). Encoder only."""
    m = MATRIX / 32768**0.5
    return np.matmul(np.matmul(m, residual.astype(np.float64)), m.T)


def to_blocks(plane: NDArray) -> NDArray:
    """(rows, columns, 8, 8) blocks of a plane, extended by its edge to whole blocks."""
    h, w = plane.shape
    padded = np.pad(plane, ((0, -h % SIDE), (0, -w % SIDE)), mode="edge")
    return padded.reshape(-(-h // SIDE), SIDE, -(-w // SIDE), SIDE).transpose(0, 2, 1, 3)


@dataclass
class TransformState:
    """Tables (where lists: of luma and of chroma) and, one frame earlier, the extents and origins (rows, columns) of
    every plane and the frame as decoded and as predicted."""

    motion: MotionTables
    flags: CountTables
    origins: list[CountTables]
    extents: list[CountTables]
    levels: list[CountTables]
    last_extents: list[Bytes]
    last_origins: list[Bytes]
    last: tuple[Planes, Planes] | None = None

    def copy(self) -> TransformState:
        origins, extents, levels = ([t.copy() for t in group] for group in (self.origins, self.extents, self.levels))
        return TransformState(
            self.motion.copy(),
            self.flags.copy(),
            origins,
            extents,
            levels,
            self.last_extents,
            self.last_origins,
            self.last,
        )


@dataclass
class Choice:
    """What the encoder decided for one plane: origins and extents (rows, columns), levels (rows, columns, 8, 8)."""

    origin: Bytes
    extent: Bytes
    levels: Ints


class TransformCoder:
    """Codes frames of one segment with quantiser step `step` / 4 samples (8 bits) or `step` samples (10 bits)."""

    def __init__(self, fmt: PlaneFormat, width: int, height: int, step: int):
        self.fmt, self.step = fmt, step
        self.shapes = fmt.shapes(width, height)
        self.sub = SUBSAMPLING[fmt.chroma] or (1, 1)
        self.quantum = step * 4 << (fmt.depth - 8)  # in 1/16 sample; the shift is 2 bits for 10-bit samples
        kinds = min(2, len(self.shapes))
        origins = np.tile([64, 16, 16], (6 * 4, 1)) * INCREMENT // 16
        extents = np.tile([64, 6, 5, 4, 4, 4, 3, 2], (5 * 3 * 4, 1)) * INCREMENT // 8
        # zero or not depends on the neighbours' magnitudes (five classes); then halves
        levels = np.array(
            [
                [max(1, (zero if k == 0 else (256 - zero) >> k) * INCREMENT // 16) for k in range(LEVEL_MAX + 2)]
                for zero in (224, 176, 144, 112, 64)
            ]
        )
        empty = [np.zeros((-(-h // SIDE), -(-w // SIDE)), np.uint8) for h, w in self.shapes]
        self.state = TransformState(
            MotionTables(*self.shapes[0]),
            CountTables(np.full((2 * len(self.shapes), 2), INCREMENT)),
            [CountTables(origins) for _ in range(kinds)],
            [CountTables(extents) for _ in range(kinds)],
            [CountTables(np.tile(levels, (7 * 2, 1))) for _ in range(kinds)],
            empty,
            empty,
        )

    def skip(self, predicted: Planes) -> Planes:
        self._remember(
            [np.zeros_like(e) for e in self.state.last_extents],
            [np.zeros_like(e) for e in self.state.last_origins],
            predicted,
            predicted,
        )
        return predicted

    def _remember(self, extents: list[Bytes], origins: list[Bytes], decoded: Planes, predicted: Planes) -> None:
        self.state.last_extents, self.state.last_origins = extents, origins
        self.state.last = (decoded, predicted)

    def code(self, coder: SymbolCoder, predicted: Planes, source: Planes | None, lam: float | None) -> Planes:
        """The decoded planes. `source` is given to a writer and None to a reader; `lam` see LossCoder.encode."""
        state = self.state
        choices: list[Choice] | None = None
        motion = None
        if source is not None:
            motion, choices = self._choose(predicted, source, lam)
        if state.last is not None:
            motion = state.motion.code(coder, motion, source is not None)
        decoded: list[Plane] = []
        origins: list[Bytes] = []
        extents: list[Bytes] = []
        for p, plane in enumerate(predicted):
            choice = None if choices is None else choices[p]
            kind = min(p, 1)
            candidates = self._candidates(p, plane, motion)
            origin, extent = np.zeros_like(state.last_origins[p]), np.zeros_like(state.last_extents[p])
            any_origin = None if choice is None else int(choice.origin.any())
            any_extent = None if choice is None else int(choice.extent.any())
            if len(candidates) > 1 and coder.code_one(state.flags, 2 * p, any_origin):
                classes = self._origin_context(p, candidates, origins)
                wanted = None if choice is None else choice.origin.reshape(-1)
                found = coder.code(state.origins[kind], classes.reshape(-1), wanted)
                origin = found.astype(np.uint8).reshape(origin.shape)
            if coder.code_one(state.flags, 2 * p + 1, any_extent):
                extent = self._code_extents(coder, self._context(p, candidates[0], extents), choice, kind)
            origins.append(origin)
            extents.append(extent)
            if not origin.any() and not extent.any():
                decoded.append(plane)
                continue
            blocks = np.choose(origin[..., None, None], candidates)
            used = np.nonzero(extent)
            if used[0].size:
                levels = self._code_levels(coder, extent[used], None if choice is None else choice.levels[used], kind)
                limit = COEFFICIENT_MAX
                blocks[used] += inverse(np.clip(levels.astype(np.int64) * self.quantum, -limit, limit).astype(np.int32))
            rows, columns = extent.shape
            whole = blocks.transpose(0, 2, 1, 3).reshape(rows * SIDE, columns * SIDE)
            decoded.append(np.clip(whole[: plane.shape[0], : plane.shape[1]], 0, self.fmt.peak).astype(plane.dtype))
        self._remember(extents, origins, tuple(decoded), predicted)
        return tuple(decoded)

    def _candidates(self, p: int, plane: Plane, motion: Ints | None) -> list[Ints]:
        """Blocks (rows, columns, 8, 8) of every origin: the prediction and, from the second frame on, the prediction
        plus the displaced last correction, and the displaced last frame."""
        base = plane.astype(np.int32)
        if self.state.last is None:
            return [to_blocks(base)]
        decoded, was_predicted = displaced(self.state.last, p, motion, self.fmt)
        return [to_blocks(q) for q in (base, base + decoded - was_predicted, decoded)]

    def _origin_context(self, p: int, candidates: list[Ints], origins: list[Bytes]) -> Bytes:
        """4 * (last origin, or in chroma 3 + luma's origin at the block's first sample) + how much the last frame
        differs from the prediction."""
        difference = np.abs(candidates[2] - candidates[0]).sum(axis=(2, 3))
        much = np.searchsorted(np.array([1, 4, 16]) * self.quantum, difference, side="right").astype(np.uint8)
        if p == 0:
            return self.state.last_origins[0] * np.uint8(4) + much
        sx, sy = self.sub
        return (origins[0][::sy, ::sx] + np.uint8(3)) * np.uint8(4) + much

    def _context(self, p: int, base: Ints, extents: list[Bytes]) -> Bytes:
        """4 * min(last extent, 2) + activity: context of an extent, but for its neighbours."""
        last = self.state.last_extents[p]
        activity = self._activity(base) if p == 0 else self._luma_extent(extents[0], last.shape)
        return np.minimum(last, 2) * np.uint8(4) + activity

    def _activity(self, base: Ints) -> NDArray[np.uint8]:
        """0 .. 3: the prediction's sum of absolute differences in each block against the step."""
        total = np.abs(np.diff(base, axis=2)).sum(axis=(2, 3)) + np.abs(np.diff(base, axis=3)).sum(axis=(2, 3))
        return np.searchsorted(np.array([1, 3, 8]) * self.quantum, total, side="right").astype(np.uint8)

    def _luma_extent(self, luma: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.uint8]:
        """0 .. 3: half the largest luma extent (rounded up, at most 3) under each chroma block."""
        sx, sy = self.sub
        padded = np.pad(luma, ((0, shape[0] * sy - luma.shape[0]), (0, shape[1] * sx - luma.shape[1])))
        most = padded.reshape(shape[0], sy, shape[1], sx).max(axis=(1, 3))
        return np.minimum((most + 1) >> 1, 3).astype(np.uint8)

    def _code_extents(self, coder: SymbolCoder, context: Bytes, choice: Choice | None, kind: int) -> Bytes:
        rows, columns = context.shape
        known = np.zeros((rows + 2, columns + 2), np.uint8)
        for i, (y0, x0) in enumerate(_PASSES):
            grid = (slice(y0, None, 2), slice(x0, None, 2))
            here = context[grid]
            if not here.size:
                continue
            around = np.full(here.shape, 4, np.uint8)
            if i:
                offsets = ((-1, -1), (-1, 1), (1, -1), (1, 1)) if i == 1 else ((0, -1), (0, 1), (-1, 0), (1, 0))
                total = np.zeros(here.shape, np.uint8)
                for dy, dx in offsets:
                    total += known[1 + dy + y0 : 1 + dy + rows : 2, 1 + dx + x0 : 1 + dx + columns : 2]
                around = np.minimum((total + 2) // 3, 3).astype(np.uint8)
            classes = (around * np.uint8(12) + here).reshape(-1)
            found = coder.code(
                self.state.extents[kind], classes, None if choice is None else choice.extent[grid].reshape(-1)
            )
            known[1 + y0 : 1 + rows : 2, 1 + x0 : 1 + columns : 2] = found.reshape(here.shape)
        return known[1:-1, 1:-1]

    def _code_levels(self, coder: SymbolCoder, extent: NDArray, levels: Ints | None, kind: int) -> Ints:
        """Levels (n, 8, 8) int32 of the blocks that are not empty."""
        out = np.zeros((extent.size, SIDE, SIDE), np.int32)
        size = np.zeros((extent.size, SIDE + 2, SIDE + 2), np.uint8)  # magnitudes up to 15, with two rows of margin
        for d, (v, u) in enumerate(_DIAGONALS):
            rows = np.flatnonzero(ENDS[extent] > d)
            if not rows.size:
                break
            r = rows[:, None]
            near = 2 * (size[r, v + 1, u + 2] + size[r, v + 2, u + 1])
            near += size[r, v + 1, u + 1] + size[r, v, u + 2] + size[r, v + 2, u]
            context = np.searchsorted([1, 3, 6, 12], near.reshape(-1), side="right").astype(np.uint8)
            final = np.repeat(extent[rows] == ZONE[d] + 1, v.size)
            classes = (ZONE[d] * 2 + final) * np.uint8(5) + context
            wanted = None if levels is None else levels[r, v, u].reshape(-1)
            symbols = None if wanted is None else np.minimum(np.abs(wanted), LEVEL_MAX + 1)
            found = coder.code(self.state.levels[kind], classes.astype(np.uint8), symbols)
            size[r, v + 2, u + 2] = found.reshape(rows.size, -1)
            where = np.flatnonzero(found > LEVEL_MAX)
            large = None if wanted is None else np.minimum(np.abs(wanted[where]) - LEVEL_MAX - 1, ESCAPE_SIZE - 1)
            found[where] += coder.code_raw(large, where.size, ESCAPE_SIZE)
            where = np.flatnonzero(found)
            negative = coder.code_raw(None if wanted is None else (wanted[where] < 0), where.size, 2)
            found[where] = np.where(negative, -found[where], found[where])
            out[r, v, u] = found.reshape(rows.size, -1)
        return out

    # ---------------------------------------------------------------------------------------- the encoder's decisions

    def _choose(self, predicted: Planes, source: Planes, lam: float | None) -> tuple[Ints | None, list[Choice]]:
        """Motion and the choice for every plane that minimise squared error + lam * bits."""
        last, delta = self.state.last, self.quantum / 16
        weight = 0.1 if lam is None else lam / (delta * delta)  # costs below are in units of delta^2
        wanted = [to_blocks(q.astype(np.int32)) for q in source]
        motion = None if last is None else estimate_motion(source[0], last[0][0], self.fmt.depth)
        choices, cost = self._try(predicted, wanted, motion, weight)
        if motion is None:
            return None, choices
        motion = self._needed(motion, choices)
        writer = SymbolWriter()
        self.state.motion.copy().code(writer, motion, True)
        others, cost_still = self._try(predicted, wanted, None, weight)
        return (motion, choices) if cost + weight * 8 * len(writer.finish()) < cost_still else (None, others)

    def _needed(self, motion: Ints, choices: list[Choice]) -> Ints:
        """`motion` with the displacement from above, which costs least, wherever no plane fetches anything."""
        needed = np.zeros(motion.shape[:2], bool)
        for p, choice in enumerate(choices):
            sx, sy = self.sub if p else (1, 1)
            y, x = np.nonzero(choice.origin)
            needed[y * (SIDE * sy) // BLOCK, x * (SIDE * sx) // BLOCK] = True  # a block lies within one motion block
        kept = np.where(needed[..., None], motion, 0).astype(np.int32)
        for row in range(1, len(kept)):
            kept[row] = np.where(needed[row, :, None], kept[row], kept[row - 1])
        return kept

    def _try(
        self, predicted: Planes, wanted: list[Ints], motion: Ints | None, weight: float
    ) -> tuple[list[Choice], float]:
        """The best choice for every plane under a given motion, and its cost without the motion's."""
        choices: list[Choice] = []
        total = 0.0
        for p, plane in enumerate(predicted):
            kind = min(p, 1)
            candidates = self._candidates(p, plane, motion)
            context = self._context(p, candidates[0], [c.extent for c in choices])
            trials = [self._decide(wanted[p] - candidate, context, kind, weight) for candidate in candidates]
            costs = np.stack([cost for *_, cost in trials])
            if len(trials) > 1:
                classes = self._origin_context(p, candidates, [c.origin for c in choices])
                priced = costs + weight * np.moveaxis(self.state.origins[kind].bits()[classes], -1, 0)
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

    def _decide(self, residual: Ints, context: Bytes, kind: int, weight: float) -> tuple[Ints, Bytes, NDArray]:
        """Levels (rows, columns, 8, 8), extents and costs (rows, columns) of one origin."""
        coefficients = forward(residual.reshape(-1, SIDE, SIDE))
        size = np.abs(coefficients) / (self.quantum / 16)
        counts = self.state.levels[kind].counts.reshape(7, -1, LEVEL_MAX + 2).sum(axis=1)
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
        for d, (v, u) in enumerate(_DIAGONALS):
            by_diagonal[:, d + 1, 0] = least[:, v, u].sum(axis=1)
            by_diagonal[:, d, 1] = (size[:, v, u] ** 2).sum(axis=1)
        coded = np.cumsum(by_diagonal[..., 0], axis=1)[:, ENDS]
        lost = np.cumsum(by_diagonal[:, ::-1, 1], axis=1)[:, ::-1][:, ENDS]
        counts = self.state.extents[kind].counts.reshape(5, 12, 8).sum(axis=0)
        own = np.log2(counts.sum(axis=1, keepdims=True)) - np.log2(counts)
        costs = coded + lost + weight * own[context.reshape(-1)]
        extent = np.argmin(costs, axis=1).astype(np.uint8)
        keep = ENDS[extent][:, None, None] > _DIAGONAL_OF
        levels = (np.where(keep, best, 0) * np.sign(coefficients)).astype(np.int32)
        extent[~levels.any(axis=(1, 2))] = 0
        return levels.reshape(residual.shape), extent.reshape(context.shape), costs.min(axis=1).reshape(context.shape)
