"""One course of training: what a restoring head learns from, what it is judged by, and when it ends."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from heads.layers import Layer
from heads.loop import Step
from heads.restorer import store
from heads.restorer.integer import IntegerHead
from heads.restorer.planes import packed, unfold
from heads.restorer.pretrain import Course, Sample, Trainer
from heads.restorer.spec import CORRECTION_BITS, INPUT_MAX, HeadSpec
from heads.restorer.structure import losses

from ..base.colour import NEUTRAL, TO_RGB, to_planes
from ..errors import InputError
from ..events import Listener, Training
from ..frames import folds_of
from ..media.files import write_bytes
from ..media.folders import workshop

FOLDS = folds_of("444")
MSE_MIN = 1e-3  # of a picture, so that a flat one has a gain
MSE_FLOOR = 2.0  # of a base, in squared 10-bit steps
LOST_FLOOR = 5e-4  # of likeness
_STATE = re.compile(r"state\.(npz|part)")  # what `heads.loop` writes


def sample_of(upscaled: Sequence[NDArray[np.uint16]], pixels: NDArray[np.uint8], base_q: int, chroma: bool) -> Sample:
    """An RGB picture to learn from, 8-bit, by its `upscaled` base as three 10-bit planes; without `chroma` luma alone
    counts."""
    source = np.rint(to_planes(pixels, 255)).astype(np.int16)
    now = np.stack(upscaled).astype(np.int16)
    error = (now - source).astype(np.float64)
    if not chroma:
        error[1:] = 0
    mse = float((np.tensordot(TO_RGB, error, 1) ** 2).mean())
    weight = 1 / max(mse, MSE_FLOOR)
    return Sample(list(now), list(source), base_q, (weight, weight, weight) if chroma else (weight, 0.0, 0.0))


def likened(sample: Sample) -> Sample:
    """The same with weights of its likeness, by what the base lacks of it."""
    return replace(sample, likeness=likeness_weights(*_seen(sample)))


def likeness_weights(source: NDArray[Any], error: NDArray[Any]) -> tuple[float, float]:
    """Weights of what a base lacks in SSIM and MS-SSIM, by (planes, h, w) of a picture as it is measured, in 10-bit
    steps, and what the base is more."""
    wanted, more = (torch.from_numpy(x)[None].float() for x in (source, error))
    single, several = (1 / max(float(x), LOST_FLOOR) for x in losses(wanted + more, wanted))
    return single, several


def gain_by(likeness: float) -> Callable[[Sequence[Sample], HeadSpec, Sequence[Layer]], float]:
    """The `gain` of which SSIM and MS-SSIM are that share: dB that a head takes from what they lack."""

    def mixed(samples: Sequence[Sample], spec: HeadSpec, layers: Sequence[Layer]) -> float:
        head = IntegerHead(spec, layers)
        alike = float(np.mean([alike_gains(sample, head) for sample in samples]))
        return (1 - likeness) * gain(samples, spec, layers) + likeness * alike

    return mixed if likeness else gain


def alike_gains(sample: Sample, head: IntegerHead) -> tuple[float, float]:
    """dB that a head takes from 1 - SSIM and from the contrast that MS-SSIM has lost."""
    source = torch.from_numpy(_seen(sample)[0])[None].float()
    planes = [np.empty(p.shape, np.float32) for p in sample.source]
    unfold(errors_of(sample, FOLDS, head)[1], FOLDS, planes)
    error = torch.from_numpy(_mixed(sample, np.stack(planes)))[None].float()
    lost = [max(float(x), LOST_FLOOR) * w for x, w in zip(losses(source + error, source), sample.likeness, strict=True)]
    return -10 * math.log10(lost[0]), -10 * math.log10(lost[1])


def _seen(sample: Sample) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(the picture as it is measured, what the base is more), (3, h, w) in 10-bit steps."""
    source = np.stack(sample.source).astype(np.float64)
    error = _mixed(sample, np.stack(sample.upscaled) - source)
    source[1:] -= NEUTRAL
    return np.tensordot(TO_RGB, source, 1), error


def _mixed(sample: Sample, error: NDArray[Any]) -> NDArray[np.float64]:
    """Errors of R, G, B by those of the planes that count."""
    counted = np.array(sample.weights)[:, None, None] > 0
    return np.asarray(np.tensordot(TO_RGB, error * counted, 1))


def errors_of(sample: Sample, folds: Sequence[tuple[int, int]], head: IntegerHead) -> list[NDArray[np.float64]]:
    """Errors of a sample without the head and with it, (h, w, channels) in 10-bit steps."""
    x = packed(sample.upscaled, folds).astype(np.float32) - INPUT_MAX
    if head.spec.base_q:
        x = np.concatenate([x, np.full((*x.shape[:2], 1), sample.base_q, np.float32)], axis=2)
    y = head.whole(torch.from_numpy(x), head.correction).numpy() / (1 << CORRECTION_BITS)
    before = (packed(sample.upscaled, folds) - packed(sample.source, folds)).astype(np.float64)
    return [before, before + y]


def gain(samples: Sequence[Sample], spec: HeadSpec, layers: Sequence[Layer]) -> float:
    """Mean dB that a head adds over samples (in RGB, or in luma where a sample has no chroma)."""
    head, gains = IntegerHead(spec, layers), []
    for sample in samples:
        errors = []
        for e in errors_of(sample, FOLDS, head):
            rgb = e.reshape(*e.shape[:2], 3, 4)
            rgb = np.einsum("rp,hwpc->hwrc", TO_RGB, rgb) if sample.weights[1] else rgb[:, :, :1]
            errors.append((rgb**2).mean())
        gains.append(10 * math.log10(max(errors[0], MSE_MIN) / max(errors[1], MSE_MIN)))
    return float(np.mean(gains))


@dataclass(frozen=True)
class Trained:
    """A head's file, and the mean dB that it adds over pictures held back."""

    bytes: int
    gain: float


def train_head(
    learnt: Sequence[Sample],
    held: Sequence[Sample],
    spec: HeadSpec,
    scale: Fraction | int,
    out: Path,
    course: Course,
    seed: int,
    resume: bool,
    listen: Listener,
    start: tuple[HeadSpec, Sequence[Layer]] | None = None,
    mix: NDArray[np.float64] | None = TO_RGB,
    gain: Callable[[Sequence[Sample], HeadSpec, Sequence[Layer]], float] = gain,
) -> Trained:
    """Train on `learnt`, judge by `held`, tell of the progress, and write the head's file. The state lies beside `out`
    until the end; with `resume` an interrupted training goes on from there. `mix` as `Trainer` has it; `gain` tells how
    many dB a head adds to samples. Raises InputError."""
    if not learnt or not held:
        raise InputError("there is no picture of 32 x 32 samples or more to learn from")
    smallest = min(min(s.source[0].shape) for s in learnt) // 2
    largest = max(min(s.source[0].shape) for s in learnt) // 2
    course = replace(course, crop=min(course.crop, max(smallest, largest // 2, 16)))
    trainer = Trainer(learnt, spec, course, mix, start=start, seed=seed)
    began = time.monotonic()

    def tell(at: Step) -> None:
        speed = at.step / max(time.monotonic() - began, 1e-9)
        added = gain(held, spec, trainer.layers())
        text = f"{at.step}/{at.steps} steps, {added:+.3f} dB on pictures held back, {speed:.1f} steps/s"
        listen(Training(text, at.step, at.steps, at.loss, added))

    kept = workshop(str(out), ".state", _STATE, "the state of the training")
    try:
        if not resume:
            kept.unlink("state.npz")
        try:
            layers = trainer.run(tell, Path(kept.place("state.npz")))
        except ValueError as error:
            raise InputError(str(error)) from None
        data = store.write(spec, scale, layers)
        write_bytes(str(out), data)
    except BaseException:
        kept.leave() if kept.names() else kept.remove()
        raise
    kept.remove()
    return Trained(len(data), gain(held, spec, layers))
