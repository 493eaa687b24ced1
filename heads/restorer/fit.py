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

from ..block import inside
from ..exact import has_bfloat16
from ..layers import Layer
from ..loop import PARTS, Batch, Descent, Step, descend
from .model import HeadModel
from .spec import INPUT_BITS, HeadSpec

MSE_FLOOR = 8.0  # of a plane, in squared 10-bit steps (51 dB): pictures that are all but exact do not rule the rest
TOLD_EVERY = 20  # steps
WARM = 15  # of a short training's steps one in so many warms it up
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

    @property
    def cells(self) -> int:
        """Of all its crops together."""
        return (self.float_steps + self.integer_steps) * self.batch * self.crop**2


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


class Crops:
    """Crops of `examples`, at random; those themselves lie on the `device` where that is not the CPU, or where they are
    to be `resident`: then crops are gathered there, by their places."""

    def __init__(
        self, examples: Sequence[Example], schedule: Schedule, device: torch.device, resident: bool | None = None
    ):
        self._count = max(schedule.batch, PARTS)
        self._size = tuple(min(schedule.crop, n) for n in examples[0].target.shape[:2])
        self._examples = examples
        self._resident = device.type != "cpu" if resident is None else resident
        self._weight = torch.stack([e.weight for e in examples]).to(device)
        if self._resident:
            self._inputs = _side_by_side([e.inputs for e in examples], device)
            self._target = _side_by_side([e.target for e in examples], device)
            self._rows, self._columns = (torch.arange(n, device=device) for n in self._size)

    def draw(self, rng: np.random.Generator) -> Tensor:
        """Places of a batch: number, row and column of each crop, int64."""
        (h, w), (ch, cw) = self._examples[0].target.shape[:2], self._size
        numbers = rng.integers(len(self._examples), size=self._count)
        return torch.tensor([[k, rng.integers(h - ch + 1), rng.integers(w - cw + 1)] for k in numbers])

    def cut(self, places: Tensor) -> Batch:
        """Inputs in real-valued units, targets in 10-bit steps and weights of the crops there, (n, channels, h, w),
        channels last in memory."""
        if self._resident:
            number, row, column = places[:, :, None, None].unbind(1)
            at = number, row + self._rows[:, None], column + self._columns
            x, t = self._inputs[at], self._target[at]
        else:
            h, w = self._size
            chosen = [(self._examples[k], slice(y, y + h), slice(x, x + w)) for k, y, x in places.tolist()]
            x = torch.stack([e.inputs[rows, columns] for e, rows, columns in chosen])
            t = torch.stack([e.target[rows, columns] for e, rows, columns in chosen])
        weight = self._weight[places[:, 0], :, None, None]
        return x.permute(0, 3, 1, 2).float() / 2**INPUT_BITS, t.permute(0, 3, 1, 2).float(), weight


def _side_by_side(tensors: Sequence[Tensor], device: torch.device) -> Tensor:
    """Tensors of one shape as one, on a device, without a second copy of all of them here."""
    whole = torch.empty((len(tensors), *tensors[0].shape), dtype=tensors[0].dtype, device=device)
    for place, tensor in zip(whole, tensors, strict=True):
        place.copy_(tensor)
    return whole


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

    With `anchor` (and `start`) the head becomes what `heads.weights.encode_change` can say of `anchor` with `coarse`;
    in the floating-point steps before it leaves what that can say, and so learns sooner.
    `listen` is told of the beginning, and then now and then; that it ended is told by the result, which is unchecked:
    see `heads.restorer.proof.check`.
    """
    model = HeadModel(spec, torch.Generator().manual_seed(seed))
    if start is not None:
        model.load(start)
    if anchor is not None and not schedule.float_steps:
        model.hold(anchor, coarse)
    model = model.to(device)
    rng, crops = np.random.default_rng(seed), Crops(examples, schedule, torch.device(device))
    steps = schedule.float_steps + schedule.integer_steps
    plan = Descent(steps, schedule.float_steps, schedule.rate, warm=min(max(steps // WARM, 1), 50), floor=0.02)
    narrow = anchor is not None and device == "cpu" and has_bfloat16()

    def loss(places: Tensor) -> Tensor:
        x, target, weight = crops.cut(places)
        margin = min(spec.layers, x.shape[2] // 4, x.shape[3] // 4)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=narrow):
            found = model(x, inner=True) if margin == spec.layers else inside(model(x), margin)
        error = found.float() - inside(target, margin)
        return (error.square() * weight).mean() * spec.planes

    def settle() -> None:
        if anchor is not None:
            model.hold(anchor, coarse)
        elif start is None or schedule.float_steps:
            model.choose_scales(schedule.coarser)

    def tell(step: Step) -> None:
        if listen and step.step < step.steps:
            listen(step)

    tell(Step(0, plan.steps, 1.0, plan.rate))
    descend(
        model,
        plan,
        lambda step: (crops.draw(rng),),
        loss,
        settle,
        listen=tell,
        every=TOLD_EVERY,
    )
    return model.layers()
