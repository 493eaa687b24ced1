"""The one training loop: Adam, a warm-up, a cosine, and integers towards the end.

    batch ──> PARTS equal parts, one thread each ──> gradients, added in order ──> step
    batch ──> the device, whole ──> a step captured as one graph, replayed

Everything is seeded by the caller's `draw`, and the parts are the same for any number of threads: kernels that share
one part among threads would sum in another order, and wait for each other in busy loops wherever other work takes a
core. The thread that adds and steps keeps to one of its own for the same reason: it took a third of a training's time
and gave nothing (bench/NOTES.md, "Threads around a training"). So the same pictures, settings and kind of machine give
the same head.

An interrupted training goes on from its state file (NumPy arrays, nothing pickled).
"""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .adam import Adam
from .captured import Captured, same_sums
from .threads import one_thread, single_threads
from .twin import FloatTwin

PARTS = 4  # of a batch

Batch = tuple[Tensor, ...]
Move = Callable[[Batch, Tensor], Tensor]  # a batch and the sizes of Adam's step -> the loss, where it was computed


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
    threads: int = 0,
) -> None:
    """Train `model`, on the device where it is. `draw` gives the batch of a step, on the CPU, in order of the steps;
    `loss` the mean over a part of it; `settle` chooses the scales of the integers. Every `every` steps, and at the end,
    the `state` is saved, if it has a path, and `listen` is told. `threads`: PARTS at most; 0 for as many as torch has.

    A state that is there is gone on from; raises ValueError where it is none of this training.
    """
    optimiser = Adam(model.vector)
    step = load_state(state, model, optimiser, plan) if state and state.exists() else 0
    told, losses = step, torch.zeros((), device=model.vector.device)
    with _moves(model, optimiser, loss, plan.clip, threads or torch.get_num_threads()) as (move, drawn):
        following = drawn(draw, step)
        while step < plan.steps:
            if step == plan.float_steps:
                settle()
                model.quantised = True
            batch = following()
            following = drawn(draw, step + 1)  # while this one is being taken
            losses += move(batch, optimiser.sizes(plan.rate_at(step)))
            step += 1
            if step % every == 0 or step == plan.steps:
                if state:
                    save_state(state, model, optimiser, step)
                listen(Step(step, plan.steps, float(losses) / (step - told), plan.rate_at(step - 1)))
                told, losses = step, torch.zeros_like(losses)


Drawn = Callable[[Callable[[int], Batch], int], Callable[[], Batch]]


@contextmanager
def _moves(
    model: FloatTwin, optimiser: Adam, loss: Callable[..., Tensor], clip: float, threads: int
) -> Iterator[tuple[Move, Drawn]]:
    """What makes a step of a batch, and what draws one ahead, in a thread beside it."""

    def gradients(batch: Batch, leaves: list[Tensor], share: float) -> tuple[Tensor, Tensor]:
        found = loss(*batch) * share
        each = torch.autograd.grad(found, leaves, allow_unused=True)
        flat = [torch.zeros_like(w) if g is None else g for g, w in zip(each, leaves, strict=True)]
        return found.detach(), torch.cat([g.reshape(-1) for g in flat])

    def step(gradient: Tensor, sizes: Tensor) -> None:
        if clip < math.inf:
            gradient = gradient * (clip / (gradient.norm() + 1e-6)).clamp(max=1.0)
        optimiser.step(gradient, sizes)
        model.limit()

    def whole(batch: Batch, sizes: Tensor) -> Tensor:
        found, gradient = gradients(batch, model.take(), 1.0)
        step(gradient, sizes)
        return found

    device = model.vector.device
    count = max(1, min(threads, PARTS))
    with single_threads(count) as pool, one_thread(), same_sums():

        def drawn(draw: Callable[[int], Batch], number: int) -> Callable[[], Batch]:
            return pool.submit(draw, number).result

        def parted(batch: Batch, sizes: Tensor) -> Tensor:
            leaves = model.take()
            parts = zip(*(tensor.chunk(PARTS) for tensor in batch), strict=True)
            made = list(pool.map(lambda part: gradients(part, leaves, 1 / PARTS), parts))
            step(torch.stack([gradient for _, gradient in made]).sum(0), sizes)
            return torch.stack([found for found, _ in made]).sum()

        try:
            yield (parted if device.type == "cpu" else Captured(whole, model, optimiser)), drawn
        finally:
            model.release()


# The state of a training: `step`, the `scales` of the integers, the `vector` of the head, and Adam's `mean` and
# `square`.


def save_state(path: Path, model: FloatTwin, optimiser: Adam, step: int) -> None:
    """Write the state of a training, whole or not at all."""
    vector, mean, square = (v.cpu().numpy() for v in (model.vector, optimiser.mean, optimiser.square))
    scales, part = np.array(model.scale_bits), path.with_suffix(".part")
    with part.open("wb") as file:
        np.savez(file, scales=scales, step=np.array(step), vector=vector, mean=mean, square=square)
    os.replace(part, path)


def load_state(path: Path, model: FloatTwin, optimiser: Adam, plan: Descent) -> int:
    """Go on from the state in `path`: the steps that it has behind it. Raises ValueError where it does not fit."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            found = {name: kept[name] for name in kept.files}
        vectors = [found[name] for name in ("vector", "mean", "square")]
        if found["step"].size != 1 or len({v.shape for v in vectors}) > 1 or found["scales"].ndim != 1:
            raise KeyError("arrays do not fit")
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is no state of a training that can be gone on with: {error}") from None
    if vectors[0].shape != tuple(model.vector.shape) or len(found["scales"]) != len(model.scale_bits):
        raise ValueError(f"{path} is the state of a training of another head")
    step = int(found["step"])
    model.scale_bits = [int(s) for s in found["scales"]]
    model.quantised = step > plan.float_steps
    optimiser.steps = step
    for ours, theirs in zip((model.vector, optimiser.mean, optimiser.square), vectors, strict=True):
        ours.copy_(torch.from_numpy(theirs))
    return step
