"""What a segment changes of the pretrained density heads: trained on some of its own pictures, and kept where it pays.

Runs in the encoder alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from heads.density.cells import Cells, packed
from heads.density.fit import DensityCourse, DensityExample, train_density
from heads.density.head import DensityHead
from heads.density.loaded import density_head
from heads.density.model import bits_of
from heads.density.spec import DensitySpec, Rules, phases
from heads.density.store import Family, pretrained_density
from heads.layers import HeadError, Layer
from heads.loop import Step, silent
from heads.weights import encode_change

from ..frames import Plane, PlaneFormat
from ..loss.changes import BIAS_COARSE, layers_of
from ..loss.grid import COARSE, LAST, PASSES, THIRD, to_chroma, whole_cells
from ..loss.motion import displaced, estimate_motion

LEARNT, JUDGED = 10, 3  # pictures of a segment that heads learn from, and that they are judged on
ORDER = (3, 2, 1, 7, 6, 5)  # heads by number, those that code most samples first; those of phase 0 code few
LEAST_SAMPLES = 500_000  # coded by a head, below which no change can pay
LEAST_SIDE = 16  # samples of a plane that crops are cut from
MEMORY, EXAMPLE_BYTES = 1 << 30, 14  # of all examples; of one sample in them
UNIT_BITS = 0  # changes are multiples of 2^UNIT_BITS
RATE, BATCH, CROP = 4e-3, 8, 48  # of its gradient descent; crops in a batch, cells a side
# samples coded by a head, from which on it learns all of a preset's batches; of fewer samples less is to be won, and a
# change costs as much: half as many at least. See bench/NOTES.md, "Lossless, by stage"
FULL_SAMPLES = 8_000_000
TOLD_EVERY = 20  # batches
Layers = tuple[Layer, ...]


@dataclass(frozen=True)
class Change:
    """A head as a segment has it, and what of it is sent."""

    layers: Layers
    data: bytes


def plane_examples(
    source: Sequence[Plane],
    predicted: Sequence[Plane],
    temporal: Sequence[Sequence[NDArray]],
    fmt: PlaneFormat,
    flags: int,
    decoded: Sequence[Plane] | None = None,
) -> list[DensityExample]:
    """The planes of one picture, as heads see them. `temporal`: of each plane, the last picture moved into place and
    that picture's prediction; or nothing. `decoded`: the planes as a decoder will have them, if not exactly."""
    out, errors = list[DensityExample](), list[NDArray[np.int32]]()
    for p, (s, d, b) in enumerate(zip(source, decoded or source, predicted, strict=True)):
        base = b.astype(np.int32)
        error, known = s.astype(np.int32) - base, d.astype(np.int32) - base
        nothing = np.zeros_like(base)
        before = (temporal[p][0] - base, temporal[p][0] - temporal[p][1]) if temporal else (nothing, nothing)
        known_planes = (to_chroma(errors[0], fmt), errors[1] if p == 2 else nothing) if p else ()
        errors.append(known)
        past, others = (tuple(whole_cells(a) for a in group) for group in (before, known_planes))
        third = THIRD if p == 2 else 0
        example = DensityExample(whole_cells(base), whole_cells(error, "constant"), past, others, flags | third)
        out.append(example if decoded is None else replace(example, known=whole_cells(known, "constant")))
    return out


def picture_examples(
    source: Sequence[Plane],
    predicted: Sequence[Plane],
    last: tuple[Sequence[Plane], Sequence[Plane]],
    fmt: PlaneFormat,
    max_error: int,
) -> list[DensityExample]:
    """A picture of a film, seen after the `last` one (source, predicted)."""
    rng = np.random.default_rng(0)

    def decoded(planes: Sequence[Plane]) -> Sequence[Plane]:
        """As they will be, about: every sample off by up to the bound."""
        if not max_error:
            return planes
        off = (p + rng.integers(-max_error, max_error + 1, p.shape) for p in planes)
        return [np.clip(p, 0, fmt.peak).astype(fmt.dtype) for p in off]

    before = tuple(decoded(last[0])), tuple(last[1])
    motion = estimate_motion(source[0], before[0][0], fmt.depth)
    moved = [displaced(before, p, motion, fmt) for p in range(len(source))]
    return plane_examples(source, predicted, moved, fmt, LAST, decoded(source) if max_error else None)


def mean_bits(head: DensityHead, examples: Sequence[DensityExample]) -> float:
    """Bits a sample that a head's own phase costs, about."""
    bits, samples = 0.0, 0
    spec, units = head.spec, [unit for unit, phase in PASSES if phase == head.spec.known]
    for one in examples:
        rest = [packed(plane, Rules.WHOLE) for plane in (*one.temporal, *one.others)]
        for unit in units:
            cells = Cells(unit, one.base, rest, Rules.WHOLE, spec.light)
            for known in range(spec.known):
                cells.learn(known, phases(one.error if one.known is None else one.known, unit)[known])
            cells.aim(spec.known)
            mean, spread = head.run(cells, one.flags | (COARSE if unit == 2 else 0))
            target = torch.from_numpy(phases(one.error, unit)[spec.known].astype(np.float32))
            found = bits_of(torch.from_numpy(mean / 16).float(), torch.from_numpy(spread / 16).float(), target)
            bits += float(found.numpy().sum(dtype=np.float64))  # torch's order of summing would follow its threads
            samples += found.numel()
    return bits / max(samples, 1)


def batches(most: int, number: int, samples: int) -> int:
    """That a head learns which codes so many samples of a segment, of `most`; of chroma, few of the bits, half."""
    whole = most if number < 4 else most // 2
    return max(whole * min(samples, FULL_SAMPLES) // FULL_SAMPLES, (whole + 1) // 2)


class DensityFit:
    """Finds what a segment changes of the heads of a `family`. `steps`: batches that each head of luma learns from a
    long segment; `previous`: what the segment before it changed; `device`: where heads learn."""

    def __init__(self, family: Family, steps: int, previous: Mapping[int, bytes], device: str = "cpu"):
        self.family, self.steps, self.device = family, steps, device
        self.previous = {n: Change(layers_of(family, n, data), data) for n, data in previous.items()}

    def run(
        self,
        source: Sequence[Sequence[Plane]],
        predicted: Callable[[int], Sequence[Plane]],
        fmt: PlaneFormat,
        max_error: int,
        listen: Callable[[float], None],
    ) -> dict[int, bytes]:
        """The changes that save more than they cost, by the numbers of their heads. `predicted` gives the prediction of
        a picture; `listen` is told the share that is done."""
        wanted = _served(source)
        if not wanted or not self.steps or len(source) < 2:
            return {}
        learnt, judged = _parted(source)
        examples = {
            k: picture_examples(source[k], predicted(k), (source[k - 1], predicted(k - 1)), fmt, max_error)
            for k in sorted({*learnt, *judged})
        }
        found, done, total = {}, 0, sum(batches(self.steps, *each) for each in wanted.items())
        for number, samples in wanted.items():
            before = done

            def tell(at: Step, before: int = before) -> None:
                listen((before + at.step) / total)

            part = slice(0, 1) if number < 4 else slice(1, None)
            learn, judge = ([e for k in pictures for e in examples[k][part]] for pictures in (learnt, judged))
            change = self.change(number, learn, judge, samples, tell)
            if change:
                found[number] = change.data
            done += batches(self.steps, number, samples)
        return found

    def change(
        self,
        number: int,
        learn: Sequence[DensityExample],
        judge: Sequence[DensityExample],
        samples: int,
        listen: Callable[[Step], None] = silent,
    ) -> Change | None:
        """What is best done to a head that codes so many samples: a change that it learns now, the one of the segment
        before, or none."""
        spec, pretrained = pretrained_density(self.family)[number]
        before = self.previous.get(number)
        course = DensityCourse(batches(self.steps, number, samples), BATCH, CROP, RATE, turns=False)
        start = before.layers if before else None
        layers = tuple(
            train_density(
                learn,
                spec,
                course,
                anchor=pretrained,
                start=start,
                coarse=UNIT_BITS,
                listen=listen,
                every=TOLD_EVERY,
                device=self.device,
            )
        )
        best: Change | None = None
        cost = samples * mean_bits(density_head(spec, pretrained, Rules.WHOLE), judge)
        own = Change(layers, encode_change(layers, pretrained, UNIT_BITS, BIAS_COARSE))
        for trial in (own, before) if before else (own,):
            price = self.price(spec, trial, judge, samples)
            if price < cost:
                best, cost = trial, price
        return best

    def price(self, spec: DensitySpec, trial: Change, judge: Sequence[DensityExample], samples: int) -> float:
        """Bits that the samples and the change take, about; infinitely many where the head is not exact."""
        try:
            head = density_head(spec, trial.layers, Rules.WHOLE)
        except HeadError:
            return float("inf")
        return samples * mean_bits(head, judge) + 8 * len(trial.data)


def _served(source: Sequence[Sequence[Plane]]) -> dict[int, int]:
    """The heads that a change can pay for, and the samples that each of them codes."""
    samples = [len(source) * plane.size // 4 for plane in source[0]]  # that one phase codes, of each plane
    sides = [min(plane.shape) for plane in source[0]]
    served = {n: samples[0] if n < 4 else sum(samples[1:]) for n in ORDER}
    return {n: s for n, s in served.items() if s >= LEAST_SAMPLES and sides[0 if n < 4 else -1] >= LEAST_SIDE}


def _parted(source: Sequence[Sequence[Plane]]) -> tuple[list[int], list[int]]:
    """Pictures to learn from and to judge by, the same ones where they are few."""
    room = MEMORY // (EXAMPLE_BYTES * sum(plane.size for plane in source[0]))
    count = max(2, min(LEARNT + JUDGED, room))
    pictures: list[int] = np.unique(np.linspace(1, len(source) - 1, count).round().astype(int)).tolist()
    if len(pictures) <= JUDGED:
        return pictures, pictures
    judged = pictures[2::4][:JUDGED]
    return [k for k in pictures if k not in judged], judged
