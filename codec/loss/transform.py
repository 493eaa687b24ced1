"""The loss-stream's transform mode: lossy correction of a prediction by quantised 8x8 cosine-transform blocks.

Planes are cut into 8x8 blocks. A block's *origin* says what is corrected: the prediction, the prediction plus what the
last picture's correction was (displaced by a block motion field), or the last picture itself; so detail that was
paid for once stays. Most blocks then need nothing. A block's *extent* (0 = nothing, else how many anti-diagonals of
coefficients follow) is coded in four interleaved passes over the block grid, with the extents around it, the
extent at the same place one picture earlier and the prediction's activity (in chroma: the luma extents) as context.
Coefficients are then coded diagonal by diagonal, all blocks at once, with the magnitudes of their lower-frequency
neighbours as context.

Invariant: the decoder computes in integers; the matrix products run in float64, where every sum is an integer below
2^53 and hence exact in any order. Results fit 32 bits, see `inverse`.

Reference: the matrix and two-stage rounding of ITU-T H.265, 8.6.4.2 (8x8). The encoder's decisions are
`codec.loss.transform_fit`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..frames import SUBSAMPLING, Plane, PlaneFormat, Planes
from .entropy import INCREMENT, CountTables, Ints, SymbolCoder
from .grid import PHASES
from .modes import PictureCoder
from .motion import LastPicture, MotionTables, displaced

if TYPE_CHECKING:
    from .transform_fit import Choice

Bytes = NDArray[np.uint8]

SIDE = 8
ENDS = np.array([0, 1, 2, 3, 4, 6, 8, 15], np.uint8)  # extent -> number of anti-diagonals coded
ZONE = np.searchsorted(ENDS, np.arange(15), side="right").astype(np.uint8) - 1  # diagonal -> 0 .. 6
LEVEL_MAX = 14  # largest magnitude with a symbol of its own; LEVEL_MAX + 1 is the escape
ESCAPE_SIZE = 1 << 14  # values of an escaped magnitude: up to 8 * 1023 * 4 / 4 levels are possible
COEFFICIENT_MAX = 1 << 18  # dequantised coefficients are clipped to this, in 1/16 of a sample

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

DIAGONALS = [
    tuple(np.array(x) for x in zip(*((i, d - i) for i in range(8) if 0 <= d - i < 8), strict=True)) for d in range(15)
]


def inverse(coefficients: Ints) -> Ints:
    """Residual (n, 8, 8), samples, of dequantised coefficients (n, 8, 8) in 1/16 of a sample, |c| <= 2^18.

    Columns first. A column of the matrix sums to at most 479 in magnitude, so the first stage is below
    479 * 2^18 < 2^27 before its shift and 2^20 after it, the second below 479 * 2^20 < 2^29: 32 bits suffice.
    """
    m = MATRIX.astype(np.float64)
    first = (np.matmul(m.T, coefficients.astype(np.float64)).astype(np.int32) + 64) >> 7
    return (np.matmul(first.astype(np.float64), m).astype(np.int32) + 2048) >> 12


def to_blocks(plane: NDArray) -> NDArray:
    """(rows, columns, 8, 8) blocks of a plane, extended by its edge to whole blocks."""
    h, w = plane.shape
    padded = np.pad(plane, ((0, -h % SIDE), (0, -w % SIDE)), mode="edge")
    return padded.reshape(-(-h // SIDE), SIDE, -(-w // SIDE), SIDE).transpose(0, 2, 1, 3)


@dataclass
class TransformState:
    """Tables (where lists: of luma and of chroma) and, one picture earlier, the extents and origins (rows, columns) of
    every plane and the picture itself."""

    motion: MotionTables
    flags: CountTables
    origins: list[CountTables]
    extents: list[CountTables]
    levels: list[CountTables]
    last_extents: list[Bytes]
    last_origins: list[Bytes]
    last: LastPicture | None = None


class TransformCoder(PictureCoder):
    """Codes the pictures of one segment with quantiser step `step` / 4 samples (8 bits) or `step` samples (10 bits)."""

    def __init__(self, fmt: PlaneFormat, width: int, height: int, step: int):
        self.fmt = fmt
        shapes = fmt.shapes(width, height)
        self.sub = SUBSAMPLING[fmt.chroma] or (1, 1)
        self.quantum = step * 4 << (fmt.depth - 8)  # in 1/16 sample; the shift is 2 bits for 10-bit samples
        kinds = min(2, len(shapes))
        origins = np.tile([64, 16, 16], (6 * 4, 1)) * INCREMENT // 16
        extents = np.tile([64, 6, 5, 4, 4, 4, 3, 2], (5 * 3 * 4, 1)) * INCREMENT // 8
        # zero or not depends on the neighbours' magnitudes (five classes); then halves
        levels = np.array(
            [
                [max(1, (zero if k == 0 else (256 - zero) >> k) * INCREMENT // 16) for k in range(LEVEL_MAX + 2)]
                for zero in (224, 176, 144, 112, 64)
            ]
        )
        empty = [np.zeros((-(-h // SIDE), -(-w // SIDE)), np.uint8) for h, w in shapes]
        self.state = TransformState(
            MotionTables(*shapes[0]),
            CountTables(np.full((2 * len(shapes), 2), INCREMENT)),
            [CountTables(origins) for _ in range(kinds)],
            [CountTables(extents) for _ in range(kinds)],
            [CountTables(np.tile(levels, (7 * 2, 1))) for _ in range(kinds)],
            empty,
            empty,
        )

    def code(
        self, coder: SymbolCoder, predicted: Planes, source: Planes | None = None, lam: float | None = None
    ) -> Planes:
        state = self.state
        choices: list[Choice] | None = None
        motion = None
        if source is not None:
            from .transform_fit import choose  # of the encoder alone

            motion, choices = choose(self, predicted, source, lam)
        if state.last is not None:
            motion = state.motion.code(coder, motion, source is not None)
        decoded: list[Plane] = []
        origins: list[Bytes] = []
        extents: list[Bytes] = []
        for p, plane in enumerate(predicted):
            choice = None if choices is None else choices[p]
            kind = min(p, 1)
            candidates = self.candidates(p, plane, motion)
            origin, extent = np.zeros_like(state.last_origins[p]), np.zeros_like(state.last_extents[p])
            any_origin = None if choice is None else int(choice.origin.any())
            any_extent = None if choice is None else int(choice.extent.any())
            if len(candidates) > 1 and coder.code_one(state.flags, 2 * p, any_origin):
                classes = self.origin_context(p, candidates, origins)
                wanted = None if choice is None else choice.origin.reshape(-1)
                found = coder.code(state.origins[kind], classes.reshape(-1), wanted)
                origin = found.astype(np.uint8).reshape(origin.shape)
            if coder.code_one(state.flags, 2 * p + 1, any_extent):
                extent = self._code_extents(coder, self.extent_context(p, candidates[0], extents), choice, kind)
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
        state.last_extents, state.last_origins = extents, origins
        state.last = LastPicture(tuple(decoded), predicted)
        return tuple(decoded)

    def candidates(self, p: int, plane: Plane, motion: Ints | None) -> list[Ints]:
        """Blocks (rows, columns, 8, 8) of every origin: the prediction and, from the second picture on, the prediction
        plus the displaced last correction, and the displaced last picture."""
        base = plane.astype(np.int32)
        if self.state.last is None:
            return [to_blocks(base)]
        decoded, was_predicted = displaced(self.state.last, p, motion, self.fmt)
        return [to_blocks(q) for q in (base, base + decoded - was_predicted, decoded)]

    def origin_context(self, p: int, candidates: list[Ints], origins: list[Bytes]) -> Bytes:
        """4 * (last origin, or in chroma 3 + luma's origin at the block's first sample) + how much the last picture
        differs from the prediction."""
        difference = np.abs(candidates[2] - candidates[0]).sum(axis=(2, 3))
        much = np.searchsorted(np.array([1, 4, 16]) * self.quantum, difference, side="right").astype(np.uint8)
        if p == 0:
            return self.state.last_origins[0] * np.uint8(4) + much
        sx, sy = self.sub
        return (origins[0][::sy, ::sx] + np.uint8(3)) * np.uint8(4) + much

    def extent_context(self, p: int, base: Ints, extents: list[Bytes]) -> Bytes:
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
        for i, (y0, x0) in enumerate(PHASES):
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
        for d, (v, u) in enumerate(DIAGONALS):
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
