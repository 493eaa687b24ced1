"""The loss-stream's bounded mode: every sample of every plane ends within N of the source, N = 0 being lossless.

Each plane's error e = source - predicted is coded in the picture domain, in interleaved passes: a coarse grid first,
then the samples between, each pass with its decoded neighbours around it. Per sample the decoder forms

1. a *prior* of the error, linear in what it knows before the plane begins: the last frame's error and the last
   frame itself, both displaced by a block motion field, second differences of the predicted picture, and, in
   chroma, the errors of the planes already decoded;
2. a *correction*, linear in what the prior missed at the decoded neighbours;
3. an expected *magnitude*, linear in the magnitudes of all those, which picks the table that the remainder is
   coded with (together with the fraction of a sample that rounding the prediction dropped).

The weights of these linear forms are integers that the encoder fits by least squares and sends. One routine
describes both directions (see `SymbolCoder`), so encoder and decoder cannot drift apart.

Invariant: what the decoder computes is integer arithmetic; where float32 is used (`cv2.filter2D`), every partial sum
is an integer below 2^24, hence exact in any order. The bounds are derived beside the code.

References: X. Wu and N. Memon, "CALIC", IEEE Trans. Communications 45(4), 1997 (context from neighbouring errors,
sign flipping); B. Meyer and P. Tischer, "TMW", PCS 1997 (sent least-squares weights); the interleaved passes
follow P. G. Howard and J. S. Vitter, "MLP", DCC 1991.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import FormatError
from ..frames import Plane, PlaneFormat
from .entropy import INCREMENT, CountTables, Ints, SymbolCoder, geometric_counts
from .grid import under_chroma
from .guide import Guide
from .motion import MotionTables, displaced
from .samples import SampleCoder, class_floor

Planes = tuple[Plane, ...]
Offsets = tuple[tuple[int, int], ...]

# ---------------------------------------------------------------------------------------------- constants of the format

LEVELS = 2  # the coarsest grid has a spacing of 2^LEVELS samples
WEIGHT_BITS = 8  # fractional bits of every weight
WEIGHT_MAX = 1023
CURVE_MAX = 511  # for weights of second differences, see _prior
_FOLD = 64  # symbols of a weight difference; the last is an escape
_KEYS = 8  # tables of weight differences


def _pairs(*halves: tuple[int, int]) -> tuple[Offsets, ...]:
    """Each (dy, dx) with its mirror image: two samples that share a weight."""
    return tuple(((y, x), (-y, -x)) for y, x in halves)


_CROSS, _DIAGONAL = _pairs((0, 1), (1, 0)), _pairs((1, 1), (1, -1))
_KNIGHT = _pairs((2, 1), (2, -1), (1, 2), (1, -2))


@dataclass(frozen=True)
class Pass:
    """Samples y0::step, x0::step, and their decoded neighbours in units of `unit` samples: `taps` share a weight of the
    correction, `rings` one of the magnitude."""

    y0: int
    x0: int
    step: int
    unit: int = 1
    taps: tuple[Offsets, ...] = ()
    rings: tuple[Offsets, ...] = ()


def _passes() -> list[Pass]:
    far = _pairs((1, 3), (1, -3), (3, 1), (3, -1))
    passes = [Pass(0, 0, 1 << LEVELS)]
    for unit in [1 << level for level in reversed(range(LEVELS))]:
        passes += [
            Pass(unit, unit, 2 * unit, unit, _DIAGONAL + far, (sum(_DIAGONAL, ()), sum(far, ()))),
            Pass(0, unit, 2 * unit, unit, _CROSS + _KNIGHT, (sum(_CROSS, ()), sum(_KNIGHT, ()))),
            Pass(
                unit,
                0,
                2 * unit,
                unit,
                _CROSS + _DIAGONAL + _KNIGHT,
                (sum(_CROSS, ()), sum(_DIAGONAL, ()), sum(_KNIGHT, ())),
            ),
        ]
    return passes


PASSES = _passes()
_MARGIN = 3 << (LEVELS - 1)  # how far a neighbour lies away at most


# ----------------------------------------------------------------------------------------------------- state and coder


@dataclass
class PlaneState:
    """What one plane carries from frame to frame. weights: one int32 array per linear form, in the order sent
    (arrays are replaced, never modified); sent: the forms that were sent, which the encoder's choices look at."""

    tables: CountTables
    weights: list[Ints]
    sent: set[int] = field(default_factory=set)

    def copy(self) -> PlaneState:
        return PlaneState(self.tables.copy(), list(self.weights), set(self.sent))


@dataclass
class LinearState:
    planes: list[PlaneState]
    motion: MotionTables
    flags: CountTables
    deltas: CountTables
    last: tuple[Planes, Planes] | None = None  # last frame: (as decoded, as predicted)

    def copy(self) -> LinearState:
        return LinearState(
            [p.copy() for p in self.planes], self.motion.copy(), self.flags.copy(), self.deltas.copy(), self.last
        )


def _default_weights(plane: int, guided: bool) -> list[Ints]:
    """Weights before any were sent: no temporal term, neighbours as in an interpolation of halves; or, with heads, what
    these say."""
    prior = np.zeros(17 + 2 * plane, np.int32)
    spread = np.zeros(6 + 2 * plane, np.int32)
    spread[[0, -1]] = 16, 64
    weights = [prior, spread]
    for p in PASSES:
        near = np.zeros(len(p.taps), np.int32)
        near[:2] = 32
        rings = np.zeros(len(p.rings) + 2, np.int32)
        if p.rings:
            rings[0], rings[1] = 128, 32
        else:
            rings[0] = 256
        if guided:
            near, rings = np.append(near * 0, 256), np.append(rings * 0, 256)
        weights += [near.astype(np.int32), rings.astype(np.int32)]
    return weights


class LinearCoder:
    """Codes frames of one segment so that every decoded sample lies within `max_error` of the source."""

    def __init__(self, fmt: PlaneFormat, width: int, height: int, max_error: int, guided: int | None = None):
        """`guided`: flags of the heads that guide the linear forms; None: there are none."""
        self.fmt, self.step, self.guided = fmt, 2 * max_error + 1, guided
        self.shapes = fmt.shapes(width, height)
        self.samples = SampleCoder(fmt.depth, max_error)
        # magnitude in units of 1/64 sample, divided by the power of two below the step -> class
        self.scale = self.step.bit_length() - 1
        floors = [class_floor(k) * self.step >> self.scale for k in range(1, self.samples.classes)]
        self.class_of = np.searchsorted(floors, np.arange(floors[-1] + 1), side="right").astype(np.uint8)
        planes = range(len(self.shapes))
        self.state = LinearState(
            [PlaneState(self.samples.tables(), _default_weights(p, guided is not None)) for p in planes],
            MotionTables(*self.shapes[0]),
            CountTables(np.full((_KEYS, 2), INCREMENT)),
            CountTables(np.tile(geometric_counts([256], _FOLD - 1, 8 * INCREMENT)[:, _FOLD - 1 :], (_KEYS, 1))),
        )

    def skip(self, predicted: Planes) -> Planes:
        self.state.last = (predicted, predicted)
        return predicted

    def code(self, coder: SymbolCoder, predicted: Planes, source: Planes | None) -> Planes:
        """The decoded planes. `source` is given to a writer and None to a reader."""
        state = self.state
        motion = None
        if state.last is not None:
            motion = state.motion.follow(coder, state.last[0], source, self.fmt.depth)
        decoded: list[Plane] = []
        errors: list[tuple[Ints, Ints]] = []  # of the planes done: error, and error less prior in 1/16
        for p, plane in enumerate(predicted):
            base = plane.astype(np.int32)
            temporal = self._temporal(p, base, motion)
            known = list(errors)
            if p:
                known[0] = (under_chroma(known[0][0], self.fmt), under_chroma(known[0][1], self.fmt))
            plane_coder = _PlaneCoder(
                self, coder, p, base, temporal, known, None if source is None else source[p].astype(np.int32)
            )
            out, error, rest = plane_coder.run()
            decoded.append(out.astype(plane.dtype))
            errors.append((error, rest))
        state.last = (tuple(decoded), predicted)
        return tuple(decoded)

    def _temporal(self, p: int, base: Ints, motion: Ints | None) -> list[Ints]:
        """The last frame's error, and its difference to `base`, fetched from where the blocks point."""
        if self.state.last is None:
            return []
        decoded, predicted = displaced(self.state.last, p, motion, self.fmt)
        return [decoded - predicted, decoded - base]


# --------------------------------------------------------------------------------------------------------- one plane


def _fit(
    columns: Sequence[NDArray], target: NDArray, old: Ints, limit: NDArray | int, spread: bool
) -> tuple[Ints, float]:
    """Integer weights (WEIGHT_BITS fractional bits) with sum(weight * column) near `target`, and the bits a sample
    that they save against `old`. Encoder only.

    Iteratively reweighted least squares: towards least absolute deviation, or with `spread` towards a constant
    relative error, which is what a magnitude wants.
    """
    thin = max(1, target.size // 20000) | 1
    # In slices that BLAS does not hand to its threads, which on a busy machine wait for each other far too long.
    rows = min(8192 // len(columns), -(-target.size // thin))
    slices = -(-target.size // thin) // rows
    a = np.stack([c.reshape(-1)[::thin] for c in columns], axis=1)[: slices * rows].astype(np.float64)
    a = a.reshape(slices, rows, len(columns))
    y = target.reshape(-1)[::thin][: slices * rows].astype(np.float64).reshape(slices, rows)
    unit = np.abs(y).mean() / 4 + 0.05
    weight = np.ones_like(y)
    solution = np.zeros(len(columns))
    for _ in range(3):
        weighted = (a * weight[..., None]).transpose(0, 2, 1)
        normal = np.matmul(weighted, a).sum(axis=0)
        ridge = 1e-4 * np.trace(normal) / len(normal) + 1e-6
        moment = np.matmul(weighted, y[..., None]).sum(axis=0)[:, 0]
        solution = np.linalg.solve(normal + ridge * np.eye(len(normal)), moment)
        fitted = np.matmul(a, solution)
        weight = 1 / (np.maximum(fitted, 0) + unit) ** 2 if spread else 1 / (np.abs(y - fitted) + unit)
    limit = np.asarray(limit)
    new = np.clip(np.rint(solution * (1 << WEIGHT_BITS)), -limit, limit).astype(np.int32)

    def bits(w: Ints) -> float:
        """Mean code length up to a constant, where the scale of the remainder follows its surroundings."""
        value = np.matmul(a, w / (1 << WEIGHT_BITS))
        if not spread:
            return np.log2(np.abs(y - value) + unit).mean()
        value = np.maximum(value, 0) + unit / 16
        return (np.log2(value) + math.log2(math.e) * y / value).mean()

    return new, bits(old) - bits(new)


def _window(padded: NDArray, shape: tuple[int, int], p: Pass, dy: int = 0, dx: int = 0) -> NDArray:
    """View of the samples of pass `p`, displaced, in an array with _MARGIN samples around the picture."""
    y, x = _MARGIN + dy * p.unit, _MARGIN + dx * p.unit
    return padded[y + p.y0 : y + shape[0] : p.step, x + p.x0 : x + shape[1] : p.step]


def _thinned(shape: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns that full-plane weights are fitted on: all of a small plane, some of a large one.

    The spacing is odd: a source that was once enlarged, and any block transform, tells even places from odd ones.
    """
    thin = int((shape[0] * shape[1] / 20000) ** 0.5) | 1
    return slice(thin // 2, None, thin), slice(thin // 2, None, thin)


def _filter(plane: NDArray, kernel: NDArray) -> Ints:
    """Correlation with a small integer kernel, edges replicated. Exact while all sums stay below 2^24."""
    return cv2.filter2D(
        plane.astype(np.float32), cv2.CV_32F, kernel.astype(np.float32), borderType=cv2.BORDER_REPLICATE
    ).astype(np.int32)


def _ring(c: int, h: int, v: int, d: int, e: int) -> NDArray:
    """3x3 kernel symmetric about its centre."""
    return np.array([[d, v, e], [h, c, h], [e, v, d]])


_UNITS = [_ring(*row) for row in np.eye(5, dtype=int)]


def _curve(w: NDArray) -> NDArray:
    """5x5 kernel of six second differences: across, down, both diagonals, across and down at distance 2."""
    k = np.zeros((5, 5), int)
    for weight, (y, x) in zip(w, ((0, 1), (1, 0), (1, 1), (1, -1), (0, 2), (2, 0)), strict=True):
        k[2 + y, 2 + x] += weight
        k[2 - y, 2 - x] += weight
        k[2, 2] -= 2 * weight
    return k


class _PlaneCoder:
    """Both directions of one plane of one frame."""

    def __init__(
        self,
        owner: LinearCoder,
        coder: SymbolCoder,
        p: int,
        base: Ints,
        temporal: list[Ints],
        known: list[tuple[Ints, Ints]],
        source: Ints | None,
    ):
        self.owner, self.coder, self.p, self.base, self.source = owner, coder, p, base, source
        self.temporal, self.known = temporal, known
        self.state = owner.state.planes[p]
        self.shape = base.shape
        self.index = 0  # next linear form

    def weights(
        self,
        key: int,
        limit: NDArray | int,
        columns: Sequence[NDArray] = (),
        target: NDArray | None = None,
        samples: int = 0,
    ) -> Ints:
        """The next linear form's weights: as they were, or the old ones plus coded differences.

        The encoder fits them to `columns` and `target`, and sends them if that saves more than it costs over the
        `samples` that they serve. A form with key 1 or 5 .. 7 estimates magnitudes.
        """
        form, old = self.index, self.state.weights[self.index]
        self.index += 1
        if not old.size:
            return old
        owner, symbols, escaped, fresh = self.owner, None, None, None
        if target is not None:
            new, gain = _fit(columns, target, old, limit, key == 1 or key >= 5)
            folded = np.where(new < old, 2 * (old - new) - 1, 2 * (new - old))
            symbols = np.minimum(folded, _FOLD - 1)
            escaped = folded[symbols == _FOLD - 1]
            price = owner.state.deltas.bits()[key, symbols].sum() + 12 * escaped.size
            if form not in self.state.sent:
                gain = max(gain, 0.05)  # later passes live on what the first fit does for earlier ones
            fresh = int(gain * samples > price)
        if not self.coder.code_one(owner.state.flags, key, fresh):
            return old
        folded = self.coder.code(owner.state.deltas, np.full(old.size, key, np.uint8), symbols).copy()
        large = folded == _FOLD - 1
        folded[large] = self.coder.code_raw(escaped, int(large.sum()), 4 * WEIGHT_MAX + 1)
        new = old + np.where(folded & 1, -((folded + 1) >> 1), folded >> 1).astype(np.int32)
        if (np.abs(new) > limit).any():
            raise FormatError("the loss-stream is damaged: a weight outside its range")
        self.state.weights[form] = new
        self.state.sent.add(form)
        return new

    def prior(self) -> Ints:
        """Prior of the error in 1/16 of a sample, (rows, columns) int32 within +-16 * peak."""
        columns: list[NDArray] = []
        target = None
        if self.source is not None:
            s = _thinned(self.shape)
            for plane in self.temporal or [np.zeros_like(self.base)] * 2:
                columns += [_filter(plane, k)[s] for k in _UNITS]
            columns += [_filter(self.base, _curve(w))[s] for w in np.eye(6, dtype=int)]
            for error, rest in self.known:
                columns += [error[s], rest[s] >> 2]
            columns.append(np.full_like(columns[0], 4))
            target = (self.source - self.base)[s]
        limit = np.full(17 + 2 * self.p, WEIGHT_MAX)
        limit[10:16] = CURVE_MAX
        w = self.weights(0, limit, columns, target, self.base.size)
        # 9 * 1023 * 1023 < 2^24 for the temporal kernels; 4 * 6 * 511 * 1023 < 2^24 for the curve
        total = _filter(self.base, _curve(w[10:16])) + (w[-1] * 4 + 8)
        for i, plane in enumerate(self.temporal):
            total += _filter(plane, _ring(*w[5 * i : 5 * i + 5]))
        for i, (error, rest) in enumerate(self.known):
            total += w[16 + 2 * i] * error
            total += w[17 + 2 * i] * (rest >> 2)
        total >>= WEIGHT_BITS - 4
        bound = 16 * self.owner.fmt.peak
        return np.clip(total, -bound, bound, out=total)

    def spread(self, prior: Ints) -> Ints:
        """Expected magnitude of the error less its prior, 1/16 of a sample, int32 within 0 .. 2^15 - 1."""
        b = np.pad(self.base, 1, mode="edge")
        across, down = np.abs(b[1:-1, 1:] - b[1:-1, :-1]), np.abs(b[1:, 1:-1] - b[:-1, 1:-1])
        activity = across[:, 1:] + across[:, :-1] + down[1:] + down[:-1]
        past = [np.abs(plane) for plane in self.temporal]
        others = [np.abs(rest) >> 2 for _, rest in self.known]
        box = np.ones((3, 3))
        columns: list[NDArray] = []
        target = None
        if self.source is not None:
            s = _thinned(self.shape)
            columns = [activity[s]]
            for plane in past or [np.zeros_like(self.base)] * 2:
                columns += [plane[s], _filter(plane, box)[s]]
            for plane in others:
                columns += [plane[s], _filter(plane, box)[s]]
            columns.append(np.full_like(columns[0], 1))
            target = np.abs(self.source - self.base - prior / 16)[s]
        w = self.weights(1, WEIGHT_MAX, columns, target, self.base.size)
        total = w[0] * activity + w[-1]
        for i, plane in enumerate(past):
            kernel = np.full((3, 3), w[2 + 2 * i])
            kernel[1, 1] += w[1 + 2 * i]
            total += _filter(plane, kernel)
        for i, plane in enumerate(others):
            total += w[5 + 2 * i] * plane
            total += w[6 + 2 * i] * _filter(plane, box)
        total >>= WEIGHT_BITS - 4
        return np.clip(total, 0, (1 << 15) - 1, out=total)

    def run(self) -> tuple[Ints, Ints, Ints]:
        """(decoded samples, error, error less prior in 1/16 of a sample), int32 arrays of the plane's shape."""
        prior = self.prior()
        spread = self.spread(prior)
        m = _MARGIN
        h, w = self.shape
        start = 16 * self.base + prior
        out = np.empty_like(self.base)
        rest = np.zeros((h + 2 * m, w + 2 * m), np.int32)  # error less prior, 1/16 of a sample
        size = np.zeros_like(rest)  # its magnitude
        guide = self.guide()
        for i, p in enumerate(PASSES):
            grid = (slice(p.y0, None, p.step), slice(p.x0, None, p.step))
            if not out[grid].size:
                self.index += 2
                continue
            told = guide.context(i, out) if guide else None
            self.code_pass(
                i,
                p,
                start[grid],
                spread[grid],
                rest,
                size,
                out[grid],
                None if self.source is None else self.source[grid],
                told,
            )
            found = 16 * out[grid] - start[grid]
            _window(rest, self.shape, p)[...] = found
            _window(size, self.shape, p)[...] = np.abs(found)
        return out, out - self.base, rest[m : m + h, m : m + w]

    def gather(self, padded: Ints, p: Pass, offsets: Offsets) -> Ints:
        """Sum of the samples at `offsets` around every sample of the pass."""
        return reduce(np.add, (_window(padded, self.shape, p, *o) for o in offsets))

    def guide(self) -> Guide | None:
        """What heads say of this plane, where there are any."""
        if self.owner.guided is None:
            return None
        errors = [error >> 2 if k == 0 else error for k, (error, _) in enumerate(self.known)]  # four times luma's
        return Guide(self.owner.guided, self.p, self.base, errors)

    def code_pass(
        self,
        number: int,
        p: Pass,
        start: Ints,
        spread: Ints,
        rest: Ints,
        size: Ints,
        out: Ints,
        source: Ints | None,
        told: tuple[Ints, Ints] | None,
    ) -> None:
        """Code the samples of one pass into `out`. `start` is the prediction before the correction, in 1/16; `told`:
        what a head expects, and how far off, in 1/16."""
        owner = self.owner
        peak = owner.fmt.peak
        kind = 0 if not number else (number - 1) % 3
        taps = [self.gather(rest, p, offsets) for offsets in p.taps]
        if told:
            taps.append(told[0] - start)
        weights = self.weights(2 + kind, WEIGHT_MAX, taps, None if source is None else 16 * source - start, start.size)
        value = start
        if taps:
            # |rest| <= 32 * peak < 2^15, two samples a tap, eight taps: below 2^15 * 2 * 8 * 2^10 = 2^29
            correction = np.full(start.shape, 1 << (WEIGHT_BITS - 1), np.int32)
            for weight, tap in zip(weights, taps, strict=True):
                correction += weight * tap
            value = start + (correction >> WEIGHT_BITS)
        value = np.clip(value, 0, 16 * peak)
        rings = [self.gather(size, p, offsets) for offsets in p.rings]
        columns = [spread, *rings, np.full_like(spread, 16)]
        if told:
            columns.append(told[1])
        missed = None if source is None else np.abs(16 * source - value)
        weights = self.weights(5 + kind, WEIGHT_MAX, columns, missed, start.size)
        # 2^10 * (2^15 + (4 + 4 + 8) * 2^15 + 16) < 2^30
        magnitude = np.zeros_like(spread)
        for weight, column in zip(weights, columns, strict=True):
            magnitude += weight * column
        magnitude >>= WEIGHT_BITS + 4 - 6 + owner.scale
        level = owner.class_of[np.clip(magnitude, 0, len(owner.class_of) - 1)]
        out[...] = owner.samples.code(self.coder, self.state.tables, value, level, source)
