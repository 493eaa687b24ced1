"""The one training loop: Adam (Kingma and Ba, arXiv:1412.6980), a warm-up, a cosine, and integers towards the end.

    batch ──> PARTS equal parts, one thread each ──> gradients, added in order ──> step

Everything is seeded by the caller's `draw`, and the parts are the same for any number of threads: kernels that share
one part among threads would sum in another order, and wait for each other in busy loops wherever other work takes a
core. The thread that adds and steps keeps to one of its own for the same reason: it took a third of a training's time
and gave nothing (bench/NOTES.md, "Threads around a training"). So the same pictures, settings and machine give the same
head.

An interrupted training goes on from its state file (NumPy arrays, nothing pickled).
"""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .threads import one_thread, single_threads
from .twin import FloatTwin

PARTS = 2  # of a batch

Batch = tuple[Tensor, ...]


@dataclass(frozen=True)
class Descent:
    """How a training goes: `steps`, the first `float_steps` of them in floating point, the others in simulated
    integers; `rate` of the descent after `warm` steps, which falls to `floor` of it; `clip`: largest norm of all
    gradients together."""

    steps: int
    float_steps: int
    rate: float
    warm: int = 50
    floor: float = 0.01
    clip: float = math.inf

    def rate_at(self, step: int) -> float:
        """The rate of a step, counted from 0."""
        warm = min(1.0, (step + 1) / self.warm)
        cosine = 0.5 * (1 + math.cos(math.pi * (step / self.steps)))
        return self.rate * warm * (self.floor + (1 - self.floor) * cosine)


@dataclass(frozen=True)
class Step:
    """How far a training is: `step` of `steps` are done, the last one at that `rate`; `loss` is the mean of the steps
    since it was last told."""

    step: int
    steps: int
    loss: float
    rate: float


class Adam:
    """Moves `parameters`, by the arithmetic of torch.optim.Adam, bit for bit on a CPU; to make one of those would first
    import torch's compiler, which takes as long as 200 batches. `means` and `squares` of gradients, after `steps`."""

    DECAY, EPSILON = (0.9, 0.999), 1e-8

    def __init__(self, parameters: Sequence[Tensor]):
        self.parameters, self.steps = parameters, 0
        self.means = [torch.zeros_like(p) for p in parameters]
        self.squares = [torch.zeros_like(p) for p in parameters]

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """One step down the gradients."""
        self.steps += 1
        first, second = self.DECAY
        size, spread = rate / (1 - first**self.steps), (1 - second**self.steps) ** 0.5
        for parameter, mean, square in zip(self.parameters, self.means, self.squares, strict=True):
            assert parameter.grad is not None
            mean.lerp_(parameter.grad, 1 - first)
            square.mul_(second).addcmul_(parameter.grad, parameter.grad, value=1 - second)
            parameter.addcdiv_(mean, (square.sqrt() / spread).add_(self.EPSILON), value=-size)


def silent(step: Step) -> None:
    """A listener that does nothing."""


def descend(
    model: FloatTwin,
    plan: Descent,
    draw: Callable[[int], Batch],
    loss: Callable[..., Tensor],
    settle: Callable[[], None],
    *,
    listen: Callable[[Step], None] = silent,
    every: int,
    state: Path | None = None,
    threads: int = PARTS,
) -> None:
    """Train `model`. `draw` gives the batch of a step, in order of the steps; `loss` the mean over a part of it;
    `settle` chooses the scales of the integers. Every `every` steps, and at the end, the `state` is saved, if it has a
    path, and `listen` is told.

    A state that is there is gone on from; raises ValueError where it is none of this training.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimiser = Adam(parameters)
    step = load_state(state, model, optimiser, plan) if state and state.exists() else 0

    def gradients(part: Batch) -> tuple[float, Batch]:
        share = loss(*part) / PARTS
        return float(share.detach()), torch.autograd.grad(share, parameters)

    losses: list[float] = []
    with single_threads(max(1, min(threads, PARTS))) as pool, one_thread():
        following = pool.submit(draw, step)
        while step < plan.steps:
            if step == plan.float_steps:
                settle()
                model.quantised = True
            batch = zip(*(tensor.chunk(PARTS) for tensor in following.result()), strict=True)
            found = list(pool.map(gradients, batch))
            following = pool.submit(draw, step + 1)  # while this one is being taken
            for parameter, *parts in zip(parameters, *(part for _, part in found), strict=True):
                parameter.grad = torch.stack(parts).sum(0)
            if plan.clip < math.inf:
                torch.nn.utils.clip_grad_norm_(parameters, plan.clip)
            optimiser.step(plan.rate_at(step))
            losses.append(sum(part for part, _ in found))
            step += 1
            if step % every == 0 or step == plan.steps:
                if state:
                    save_state(state, model, optimiser, step)
                listen(Step(step, plan.steps, float(np.mean(losses)), plan.rate_at(step - 1)))
                losses = []


# The state of a training: `step`, the `scales` of the integers, and of each parameter k its values pK and Adam's two
# moments mK and vK.


def save_state(path: Path, model: FloatTwin, optimiser: Adam, step: int) -> None:
    """Write the state of a training, whole or not at all."""
    arrays: dict[str, Any] = {"scales": np.array(model.scale_bits), "step": np.array(step)}
    for k, parameter in enumerate(optimiser.parameters):
        arrays[f"p{k}"] = parameter.detach().numpy()
        arrays[f"m{k}"], arrays[f"v{k}"] = optimiser.means[k].numpy(), optimiser.squares[k].numpy()
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.savez(file, **arrays)
    os.replace(part, path)


def load_state(path: Path, model: FloatTwin, optimiser: Adam, plan: Descent) -> int:
    """Go on from the state in `path`: the steps that it has behind it. Raises ValueError where it does not fit."""
    parameters = optimiser.parameters
    try:
        with np.load(path, allow_pickle=False) as kept:
            found = {name: kept[name] for name in kept.files}
        shapes = [found[f"p{k}"].shape for k in range(len(parameters))]
        moments = [found[f"{kind}{k}"].shape for kind in "mv" for k in range(len(shapes))]
        if moments != shapes * 2 or found["step"].size != 1 or len(found["scales"]) != len(model.scale_bits):
            raise KeyError("arrays do not fit")
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is no state of a training: {error}") from None
    if shapes != [tuple(p.shape) for p in parameters]:
        raise ValueError(f"{path} is the state of a training of another head")
    step = int(found["step"])
    model.scale_bits = [int(s) for s in found["scales"]]
    model.quantised = step > plan.float_steps
    optimiser.steps = step
    with torch.no_grad():
        for k in range(len(parameters)):
            parameters[k].copy_(torch.from_numpy(found[f"p{k}"]))
            optimiser.means[k].copy_(torch.from_numpy(found[f"m{k}"]))
            optimiser.squares[k].copy_(torch.from_numpy(found[f"v{k}"]))
    return step
