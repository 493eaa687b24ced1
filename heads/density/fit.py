"""Fit density heads: to many pictures, for the pretrained ones, or to the segment of a film.

The loss is what the pictures would cost: bits a sample under a logistic of the head's mean and spread. Everything is
seeded: the same pictures, settings and machine give the same head (`heads.loop`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..exact import has_bfloat16
from ..layers import Layer
from ..loop import Batch, Descent, Step, descend, silent
from .model import DensityModel, bits_of
from .spec import FLAGS, INPUT_BITS, LIMIT, Context, DensitySpec, Rules, inputs_of, phases

TOLD_EVERY = 250  # batches
MARGIN = 3  # cells at the edges of a crop that are not learnt from: their surroundings are cut off
COARSE_SHARE = 0.2  # of the batches are of the coarse grid, where a head serves both

Shorts = NDArray[np.int16]


@dataclass(frozen=True)
class DensityExample:
    """One plane of a picture, int16 arrays of one shape, sides multiples of 4. `error`: sample less prediction;
    `temporal`: the last picture less the prediction and that picture's error, and `others`: errors of two planes
    already coded, where the heads' context has such; `flags` as `heads.density.head.FLAGS` has them, the first one
    apart; `known`: the error as decoded, where that is not exact."""

    base: Shorts
    error: Shorts
    temporal: tuple[Shorts, ...] = ()
    others: tuple[Shorts, ...] = ()
    flags: int = 0
    known: Shorts | None = None


@dataclass(frozen=True)
class DensityCourse:
    """`steps` batches of `batch` crops of at most `crop` x `crop` cells; the last `integer_share` of them in simulated
    integers; `turns`: whether crops are mirrored."""

    steps: int
    batch: int = 16
    crop: int = 40
    rate: float = 4e-3
    integer_share: float = 0.2
    turns: bool = True


def _crop(
    one: DensityExample, spec: DensitySpec, unit: int, cells: int, mirror: bool, rng: np.random.Generator
) -> tuple[Tensor, NDArray[np.float32], int]:
    side = 2 * unit * cells
    y, x = (4 * int(rng.integers((n - side) // 4 + 1)) for n in one.base.shape)
    flip = mirror and bool(rng.integers(2))

    def cut(plane: Shorts) -> list[Shorts]:
        part = plane[y : y + side, x : x + side]
        if flip:  # from the second column on, so that the phases stay where they are
            part = np.concatenate([part[:, :1], part[:, :0:-1]], axis=1)
        return list(phases(part, unit))

    error = cut(one.error)
    known = error if one.known is None else cut(one.known)
    rest = [phase for p in (*one.temporal, *one.others) for phase in cut(p)]
    channels = np.clip(np.stack(rest), -LIMIT, LIMIT) if rest else np.empty((0, cells, cells), np.int16)
    context = Context(known, cut(one.base), torch.from_numpy(channels).bfloat16())
    return inputs_of(spec, context), error[spec.known].astype(np.float32), one.flags | (unit == 2)


def draw(
    examples: Sequence[DensityExample], spec: DensitySpec, course: DensityCourse, rng: np.random.Generator
) -> Batch:
    """Inputs in real-valued units, flags, and the errors to be found."""
    unit = 2 if spec.known == 0 or rng.random() < COARSE_SHARE else 1
    cells = min(course.crop, *(min(e.base.shape) // (2 * unit) for e in examples))
    if unit == 2:
        cells = max(cells - cells % 2, 2)
    drawn = [
        _crop(examples[k], spec, unit, cells, course.turns, rng) for k in rng.integers(len(examples), size=course.batch)
    ]
    inputs, targets, flags = zip(*drawn, strict=True)
    up = torch.tensor([[f >> k & 1 for k in range(FLAGS)] for f in flags], dtype=torch.float32)
    drawn_inputs = torch.stack(inputs).float().contiguous(memory_format=torch.channels_last)
    if spec.light:  # they are used in whole numbers alone
        drawn_inputs.clamp_(*Rules.WHOLE.limits)
    return drawn_inputs / 2**INPUT_BITS, up, torch.from_numpy(np.stack(targets))


def train_density(
    examples: Sequence[DensityExample],
    spec: DensitySpec,
    course: DensityCourse,
    *,
    seed: int = 0,
    anchor: Sequence[Layer] | None = None,
    start: Sequence[Layer] | None = None,
    coarse: int = 0,
    listen: Callable[[Step], None] = silent,
    every: int = TOLD_EVERY,
    device: str = "cpu",
) -> list[Layer]:
    """Layers of a head, from noise or from `start`; or a change of `anchor` by multiples of 2^coarse, from there or
    from `start`. `listen` is told after `every` so many batches; the loss is in bits a sample."""
    model = DensityModel(spec, seed)
    if start or anchor:
        model.load(start or anchor or ())
    plan = Descent(course.steps, round(course.steps * (1 - course.integer_share)), course.rate, clip=10.0)
    model = model.to(device)
    narrow = device == "cpu" and has_bfloat16()

    def batch(step: int) -> Batch:
        return draw(examples, spec, course, np.random.default_rng([seed, step]))

    def loss(inputs: Tensor, flags: Tensor, target: Tensor) -> Tensor:
        with torch.autocast(device, torch.bfloat16, enabled=narrow):
            mean, spread = model(inputs, flags)
        m = min(MARGIN, target.shape[1] // 4)
        inner = (slice(None), slice(m, target.shape[1] - m), slice(m, target.shape[2] - m))
        return bits_of(mean[inner], spread[inner], target[inner].clamp(-4 * LIMIT, 4 * LIMIT)).mean()

    def settle() -> None:
        if anchor is None:
            model.choose_scales()
        else:
            model.hold(anchor, coarse)

    descend(model, plan, batch, loss, settle, listen=listen, every=every)
    return model.layers()
