"""The loss-stream's linear mode: every sample of every plane ends within N of the source, N = 0 being lossless.

Each plane's error e = source - predicted is coded in the picture domain, in the interleaved passes of
`codec.loss.grid`. Per sample the decoder forms

1. a *prior* of the error, linear in what it knows before the plane begins: the last picture's error and the last
   picture itself, both displaced by a block motion field, second differences of the predicted picture, and, in
   chroma, the errors of the planes already decoded;
2. a *correction*, linear in what the prior missed at the decoded neighbours;
3. an expected *magnitude*, linear in the magnitudes of all those, which picks the table that the remainder is
   coded with (together with the fraction of a sample that rounding the prediction dropped).

The weights of these linear forms are integers that the encoder fits by least squares and sends
(`codec.loss.linear_forms`). In stills heads may *guide* the forms: what they expect is one more neighbour. One routine
describes both directions (see `SymbolCoder`), so encoder and decoder cannot drift apart.

Invariant: what the decoder computes is integer arithmetic; the bounds are derived with the code.

References: X. Wu and N. Memon, "CALIC", IEEE Trans. Communications 45(4), 1997 (context from neighbouring errors,
sign flipping); B. Meyer and P. Tischer, "TMW", PCS 1997 (sent least-squares weights).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from ..frames import Plane, PlaneFormat, Planes
from .entropy import Ints, SymbolCoder
from .grid import PASSES, Pass, under_chroma
from .guide import Guide
from .linear_forms import (
    CURVE_MAX,
    MARGIN,
    NEIGHBOURS,
    PRIOR,
    SPREAD,
    WEIGHT_BITS,
    WEIGHT_MAX,
    Offsets,
    PlaneState,
    WeightTables,
    curve_kernel,
    default_weights,
    filtered,
    pass_forms,
    ring_kernel,
    window,
)
from .modes import PictureCoder
from .motion import LastPicture, MotionTables, temporal_terms
from .samples import SampleCoder, class_floor


@dataclass
class LinearState:
    """What a segment carries from picture to picture."""

    planes: list[PlaneState]
    motion: MotionTables
    weights: WeightTables
    last: LastPicture | None = None


class LinearCoder(PictureCoder):
    """Codes the pictures of one segment so that every decoded sample lies within `max_error` of the source."""

    def __init__(self, fmt: PlaneFormat, width: int, height: int, max_error: int, guided: int | None = None):
        """`guided`: flags of the heads that guide the linear forms; None: there are none."""
        self.fmt, self.guided = fmt, guided
        shapes = fmt.shapes(width, height)
        self.samples = SampleCoder(fmt.depth, max_error)
        # magnitude in units of 1/64 sample, divided by the power of two below the step -> class
        step = 2 * max_error + 1
        self.scale = step.bit_length() - 1
        floors = [class_floor(k) * step >> self.scale for k in range(1, self.samples.classes)]
        self.class_of = np.searchsorted(floors, np.arange(floors[-1] + 1), side="right").astype(np.uint8)
        planes = [PlaneState(self.samples.tables(), default_weights(p, guided is not None)) for p in range(len(shapes))]
        self.state = LinearState(planes, MotionTables(*shapes[0]), WeightTables())

    def code(
        self, coder: SymbolCoder, predicted: Planes, source: Planes | None = None, lam: float | None = None
    ) -> Planes:
        state = self.state
        motion = state.motion.follow(coder, state.last, source, self.fmt.depth)
        decoded: list[Plane] = []
        errors: list[tuple[Ints, Ints]] = []  # of the planes done: error, and error less prior in 1/16
        for p, plane in enumerate(predicted):
            base = plane.astype(np.int32)
            temporal = temporal_terms(state.last, p, base, motion, self.fmt) if state.last else ()
            known = list(errors)
            if p:
                known[0] = (under_chroma(known[0][0], self.fmt), under_chroma(known[0][1], self.fmt))
            plane_coder = PlaneCoder(
                self, coder, p, base, temporal, known, None if source is None else source[p].astype(np.int32)
            )
            out, error, rest = plane_coder.run()
            decoded.append(out.astype(plane.dtype))
            errors.append((error, rest))
        state.last = LastPicture(tuple(decoded), predicted)
        return tuple(decoded)


class PlaneCoder:
    """Both directions of one plane of one picture.

    `temporal`: the last picture's error and its difference to `base`, or nothing; `known`: of the planes before, error
    and error less prior in 1/16 of a sample, four times those of luma.
    """

    def __init__(
        self,
        owner: LinearCoder,
        coder: SymbolCoder,
        p: int,
        base: Ints,
        temporal: Sequence[Ints],
        known: Sequence[tuple[Ints, Ints]],
        source: Ints | None,
    ):
        self.owner, self.coder, self.p, self.base, self.source = owner, coder, p, base, source
        self.temporal, self.known = temporal, known
        self.state = owner.state.planes[p]
        self.shape = base.shape
        padded = [n + 2 * MARGIN for n in self.shape]
        self.rest = np.zeros(padded, np.int32)  # error less prior, 1/16 of a sample, where it is known
        self.size = np.zeros_like(self.rest)  # its magnitude

    def weights(
        self,
        form: int,
        key: int,
        limit: NDArray | int,
        columns: Sequence[NDArray],
        target: NDArray | None,
        samples: int,
    ) -> Ints:
        """See `WeightTables.code`."""
        return self.owner.state.weights.code(self.coder, self.state, form, key, limit, columns, target, samples)

    def prior(self) -> Ints:
        """Prior of the error in 1/16 of a sample, (rows, columns) int32 within +-16 * peak."""
        columns: list[NDArray] = []
        target = None
        if self.source is not None:
            from .linear_fit import thinned  # of the encoder alone

            s = thinned(self.shape)
            for plane in self.temporal or [np.zeros_like(self.base)] * 2:
                columns += [filtered(plane, k)[s] for k in map(ring_kernel, np.eye(5, dtype=int))]
            columns += [filtered(self.base, curve_kernel(w))[s] for w in np.eye(6, dtype=int)]
            for error, rest in self.known:
                columns += [error[s], rest[s] >> 2]
            columns.append(np.full_like(columns[0], 4))
            target = (self.source - self.base)[s]
        limit = np.full(17 + 2 * self.p, WEIGHT_MAX)
        limit[10:16] = CURVE_MAX
        w = self.weights(PRIOR, PRIOR, limit, columns, target, self.base.size)
        # 9 * 1023 * 1023 < 2^24 for the temporal kernels; 4 * 6 * 511 * 1023 < 2^24 for the curve
        total = filtered(self.base, curve_kernel(w[10:16])) + (w[-1] * 4 + 8)
        for i, plane in enumerate(self.temporal):
            total += filtered(plane, ring_kernel(w[5 * i : 5 * i + 5]))
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
            from .linear_fit import thinned  # of the encoder alone

            s = thinned(self.shape)
            columns = [activity[s]]
            for plane in past or [np.zeros_like(self.base)] * 2:
                columns += [plane[s], filtered(plane, box)[s]]
            for plane in others:
                columns += [plane[s], filtered(plane, box)[s]]
            columns.append(np.full_like(columns[0], 1))
            target = np.abs(self.source - self.base - prior / 16)[s]
        w = self.weights(SPREAD, SPREAD, WEIGHT_MAX, columns, target, self.base.size)
        total = w[0] * activity + w[-1]
        for i, plane in enumerate(past):
            kernel = np.full((3, 3), w[2 + 2 * i])
            kernel[1, 1] += w[1 + 2 * i]
            total += filtered(plane, kernel)
        for i, plane in enumerate(others):
            total += w[5 + 2 * i] * plane
            total += w[6 + 2 * i] * filtered(plane, box)
        total >>= WEIGHT_BITS - 4
        return np.clip(total, 0, (1 << 15) - 1, out=total)

    def run(self) -> tuple[Ints, Ints, Ints]:
        """(decoded samples, error, error less prior in 1/16 of a sample), int32 arrays of the plane's shape."""
        prior = self.prior()
        spread = self.spread(prior)
        start = 16 * self.base + prior
        out = np.empty_like(self.base)
        guide = self.guide()
        for number, part in enumerate(PASSES):
            here = out[part.samples]
            if not here.size:
                continue
            advice = guide.advice(number, out) if guide else None
            here[...] = self.code_pass(number, start[part.samples], spread[part.samples], advice)
            found = 16 * here - start[part.samples]
            window(self.rest, self.shape, part)[...] = found
            window(self.size, self.shape, part)[...] = np.abs(found)
        h, w = self.shape
        return out, out - self.base, self.rest[MARGIN : MARGIN + h, MARGIN : MARGIN + w]

    def guide(self) -> Guide | None:
        """What heads say of this plane, where there are any."""
        if self.owner.guided is None:
            return None
        errors = [error >> 2 if k == 0 else error for k, (error, _) in enumerate(self.known)]
        return Guide(self.owner.guided, self.base, errors)

    def gather(self, padded: Ints, part: Pass, offsets: Offsets) -> Ints:
        """Sum of the samples at `offsets` around every sample of the pass."""
        return reduce(np.add, (window(padded, self.shape, part, *o) for o in offsets))

    def code_pass(self, number: int, start: Ints, spread: Ints, advice: tuple[Ints, Ints] | None) -> Ints:
        """The decoded samples of one pass. `start`: the prediction before the correction, `spread`: the magnitude
        before the neighbours', `advice`: what a head expects, and how far off; all in 1/16 of a sample."""
        owner, part = self.owner, PASSES[number]
        neighbours = NEIGHBOURS[part.phase]
        correction, magnitude = pass_forms(number)
        source = None if self.source is None else self.source[part.samples]
        taps = [self.gather(self.rest, part, offsets) for offsets in neighbours.taps]
        if advice:
            taps.append(advice[0] - start)
        missed = None if source is None else 16 * source - start
        weights = self.weights(*correction, WEIGHT_MAX, taps, missed, start.size)
        value = start
        if taps:
            # |rest| <= 32 * peak < 2^15, two samples a tap, eight taps: below 2^15 * 2 * 8 * 2^10 = 2^29
            total = np.full(start.shape, 1 << (WEIGHT_BITS - 1), np.int32)
            for weight, tap in zip(weights, taps, strict=True):
                total += weight * tap
            value = start + (total >> WEIGHT_BITS)
        value = np.clip(value, 0, 16 * owner.fmt.peak)
        columns = [spread, *(self.gather(self.size, part, offsets) for offsets in neighbours.rings)]
        columns.append(np.full_like(spread, 16))
        if advice:
            columns.append(advice[1])
        missed = None if source is None else np.abs(16 * source - value)
        weights = self.weights(*magnitude, WEIGHT_MAX, columns, missed, start.size)
        # 2^10 * (2^15 + (4 + 4 + 8) * 2^15 + 16) < 2^30
        total = np.zeros_like(spread)
        for weight, column in zip(weights, columns, strict=True):
            total += weight * column
        total >>= WEIGHT_BITS + 4 - 6 + owner.scale
        level = owner.class_of[np.clip(total, 0, len(owner.class_of) - 1)]
        return owner.samples.code(self.coder, self.state.tables, value, level, source)
