"""The one training loop: Adam (Kingma and Ba, arXiv:1412.6980), a warm-up, a cosine, and integers towards the end.

    batch ──> PARTS equal parts, one thread each ──> gradients, added in order ──> step

Everything is seeded by the caller's `draw`, and the parts are the same for any number of threads: kernels that share
one part among threads would sum in another order, and wait for each other in busy loops wherever other work takes a
core. So the same pictures, settings and machine give the same head.

An interrupted training goes on from its state file (NumPy arrays, nothing pickled).
"""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .exact import single_threads
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
    optimiser = torch.optim.Adam(parameters, lr=plan.rate)
    step = load_state(state, model, optimiser, plan) if state and state.exists() else 0

    def gradients(part: Batch) -> tuple[float, Batch]:
        share = loss(*part) / PARTS
        return float(share.detach()), torch.autograd.grad(share, parameters)

    losses: list[float] = []
    with single_threads(max(1, min(threads, PARTS))) as pool:
        following = pool.submit(draw, step)
        while step < plan.steps:
            if step == plan.float_steps:
                settle()
                model.quantised = True
            for group in optimiser.param_groups:
                group["lr"] = plan.rate_at(step)
            batch = zip(*(tensor.chunk(PARTS) for tensor in following.result()), strict=True)
            found = list(pool.map(gradients, batch))
            following = pool.submit(draw, step + 1)  # while this one is being taken
            for parameter, *parts in zip(parameters, *(part for _, part in found), strict=True):
                parameter.grad = torch.stack(parts).sum(0)
            if plan.clip < math.inf:
                torch.nn.utils.clip_grad_norm_(parameters, plan.clip)
            optimiser.step()
            losses.append(sum(part for part, _ in found))
            step += 1
            if step % every == 0 or step == plan.steps:
                if state:
                    save_state(state, model, optimiser, step)
                listen(Step(step, plan.steps, float(np.mean(losses)), plan.rate_at(step - 1)))
                losses = []


# The state of a training: `step`, the `scales` of the integers, and of each parameter k its values pK and Adam's two
# moments mK and vK.


def save_state(path: Path, model: FloatTwin, optimiser: torch.optim.Optimizer, step: int) -> None:
    """Write the state of a training, whole or not at all."""
    arrays: dict[str, Any] = {"scales": np.array(model.scale_bits), "step": np.array(step)}
    for k, parameter in enumerate(optimiser.param_groups[0]["params"]):
        kept = optimiser.state[parameter]
        arrays[f"p{k}"] = parameter.detach().numpy()
        arrays[f"m{k}"], arrays[f"v{k}"] = kept["exp_avg"].numpy(), kept["exp_avg_sq"].numpy()
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.savez(file, **arrays)
    os.replace(part, path)


def load_state(path: Path, model: FloatTwin, optimiser: torch.optim.Optimizer, plan: Descent) -> int:
    """Go on from the state in `path`: the steps that it has behind it. Raises ValueError where it does not fit."""
    parameters = optimiser.param_groups[0]["params"]
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
    for k, parameter in enumerate(parameters):
        with torch.no_grad():
            parameter.copy_(torch.from_numpy(found[f"p{k}"]))
        optimiser.state[parameter] = {
            "step": torch.tensor(float(step)),
            "exp_avg": torch.from_numpy(found[f"m{k}"].copy()),
            "exp_avg_sq": torch.from_numpy(found[f"v{k}"].copy()),
        }
    return step
