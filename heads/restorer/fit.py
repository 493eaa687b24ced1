"""Fit a head to the pictures of one segment.

The measure is PSNR-YUV = (6·Y + U + V)/8 of per-plane PSNRs averaged over pictures, so the loss is its linearisation:
squared error of each plane of each picture, divided by the squared error that the base has there. One pass in
floating point finds the weights, a second one with simulated integer arithmetic (`heads.restorer.model`) settles them.
Everything is seeded: the same pictures, settings and machine give the same head (`heads.loop`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..exact import has_bfloat16
from ..layers import Layer
from ..loop import PARTS, Batch, Descent, Step, descend
from .model import HeadModel
from .spec import INPUT_BITS, HeadSpec

MSE_FLOOR = 8.0  # of a plane, in squared 10-bit steps (51 dB): pictures that are all but exact do not rule the rest
TOLD_EVERY = 20  # steps
PLANE_WEIGHTS = (6 / 8, 1 / 8, 1 / 8)


@dataclass(frozen=True)
class Example:
    """One picture to learn from, packed (`heads.restorer.planes`): `inputs` int16 (h, w, inputs) as
    `IntegerHead.predict` takes them; `target` int16 (h, w, planes), source less base in 10-bit steps; `weight` float32
    (planes,)."""

    inputs: Tensor
    target: Tensor
    weight: Tensor


@dataclass(frozen=True)
class Schedule:
    """How long to train. `float_steps` then `integer_steps` batches of `batch` crops of `crop` x `crop` cells."""

    float_steps: int = 2200
    integer_steps: int = 1200
    batch: int = 8
    crop: int = 48
    rate: float = 5e-3
    coarser: int = 3


def example(inputs: Tensor, target: Tensor, folds: Sequence[tuple[int, int]]) -> Example:
    """An Example whose weights make the loss follow PSNR-YUV. `folds` as given by `codec.frames.folds_of`."""
    weight = torch.empty(target.shape[2])
    at = 0
    for plane, (r, c) in enumerate(folds):
        part = target[:, :, at : at + r * c].long()
        mse = int(part.square().sum()) / part.numel()  # an exact sum, whatever the number of threads
        weight[at : at + r * c] = PLANE_WEIGHTS[plane] / (r * c) / max(mse, MSE_FLOOR)
        at += r * c
    return Example(inputs.to(torch.int16), target.to(torch.int16), weight)


def _batch(examples: Sequence[Example], schedule: Schedule, rng: np.random.Generator, device: torch.device) -> Batch:
    xs, ts, ws = [], [], []
    h, w = examples[0].target.shape[:2]
    ch, cw = min(schedule.crop, h), min(schedule.crop, w)
    for k in rng.integers(len(examples), size=max(schedule.batch, PARTS)):
        y0, x0 = rng.integers(h - ch + 1), rng.integers(w - cw + 1)
        e = examples[k]
        xs.append(e.inputs[y0 : y0 + ch, x0 : x0 + cw])
        ts.append(e.target[y0 : y0 + ch, x0 : x0 + cw])
        ws.append(e.weight)
    x = torch.stack(xs).to(device, torch.float32).permute(0, 3, 1, 2)
    t = torch.stack(ts).to(device, torch.float32).permute(0, 3, 1, 2)
    return x / 2**INPUT_BITS, t, torch.stack(ws).to(device)[:, :, None, None]


def train(
    examples: Sequence[Example],
    spec: HeadSpec,
    schedule: Schedule,
    *,
    seed: int = 0,
    start: Sequence[Layer] | None = None,
    anchor: Sequence[Layer] | None = None,
    coarse: int = 0,
    device: str = "cpu",
    listen: Callable[[Step], None] | None = None,
) -> list[Layer]:
    """Layers of a head of shape `spec` fitted to `examples`, from `start` (same shape) or from noise.

    With `anchor` (and `start`) the head stays what `heads.weights.encode_change` can say of `anchor` with `coarse`.
    `listen` is told of the beginning, and then now and then; that it ended is told by the result, which is unchecked:
    see `heads.restorer.integer.check`.
    """
    model = HeadModel(spec, torch.Generator().manual_seed(seed))
    if start is not None:
        model.load(start)
    if anchor is not None:
        model.hold(anchor, coarse)
    model = model.to(device)
    rng = np.random.default_rng(seed)
    plan = Descent(schedule.float_steps + schedule.integer_steps, schedule.float_steps, schedule.rate, floor=0.02)
    narrow = anchor is not None and device == "cpu" and has_bfloat16()

    def loss(x: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        margin = min(spec.layers, x.shape[2] // 4, x.shape[3] // 4)
        inner = (slice(None), slice(None), slice(margin, x.shape[2] - margin), slice(margin, x.shape[3] - margin))
        with torch.autocast(x.device.type, torch.bfloat16, enabled=narrow):
            found = model(x)
        error = found[inner].float() - target[inner]
        return (error.square() * weight).mean() * spec.planes

    def settle() -> None:
        if start is None or schedule.float_steps:
            model.choose_scales(schedule.coarser)

    def tell(step: Step) -> None:
        if listen and step.step < step.steps:
            listen(step)

    tell(Step(0, plan.steps, 1.0, plan.rate))
    descend(
        model,
        plan,
        lambda step: _batch(examples, schedule, rng, torch.device(device)),
        loss,
        settle,
        listen=tell,
        every=TOLD_EVERY,
    )
    return model.cpu().layers()
