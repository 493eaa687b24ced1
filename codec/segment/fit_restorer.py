"""A head that learns to restore one segment: what it is shown, and what comes out.

Runs in the encoder alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from heads.restorer.fit import Example, Schedule, example, train
from heads.restorer.history import best_gate, gated
from heads.restorer.planes import grid_of, pack
from heads.restorer.proof import is_legal
from heads.restorer.spec import INPUT_MAX, HeadSpec

from ..base.coded import Base
from ..frames import Plane, channels_of, folds_of
from .apart import apart
from .effort import EVALUATED
from .head import Head
from .passes import Passes
from .restore import Seen
from .steering import told_of

EXAMPLE_BYTES = 192 << 20  # of the pictures that a head learns from
LAYERS = 4
FIT_COARSE = 3  # a pretrained head changes in multiples of 2^3


def examples_of(
    passes: Passes,
    base: Base,
    schedule: Schedule,
    history: int = 0,
    outputs: Sequence[list[Plane]] = (),
    gate: int = 0,
    base_q: int | None = None,
    told: Sequence[int] = (),
) -> tuple[list[Example], int]:
    """Pictures to learn from by a `schedule`, as many as its crops cover once, evenly spread, within EXAMPLE_BYTES; and
    the gate of their history (found, where none is given). `outputs` are what the decoder showed, where history needs
    them; `base_q` is for a head that is told of the base, `told`: differences to it of each picture."""
    fmt = passes.info.format
    grid = grid_of((passes.info.height, passes.info.width))
    planes = channels_of(fmt.chroma)
    each = grid[0] * grid[1] * planes * (2 + 2 * history) * 2
    covered = -(-schedule.cells // (grid[0] * grid[1]))
    count = min(max(covered, EVALUATED), max(1, EXAMPLE_BYTES // each), len(passes.frames))
    restorer, folds = passes.restorer(None), folds_of(fmt.chroma)

    def with_target(k: int, inputs: Tensor) -> tuple[Tensor, Tensor]:
        target = torch.empty((*grid, planes), dtype=torch.int16)
        pack(passes.frames[k].planes, folds, target)
        return inputs, target.mul_(1 << (10 - fmt.depth)).sub_(inputs[:, :, :planes]).sub_(INPUT_MAX)

    def alone(item: tuple[int, list[Plane]]) -> tuple[Tensor, Tensor]:
        k, picture = item
        inputs = torch.empty((*grid, planes + (base_q is not None)), dtype=torch.int16)
        pack(restorer.upscaled(picture), folds, inputs[:, :, :planes])
        inputs -= INPUT_MAX
        if base_q is not None:
            inputs[:, :, -1] = told_of(base_q, told[k]) if told else base_q
        return with_target(k, inputs)

    def in_sight_of_others(item: tuple[int, list[Plane]]) -> tuple[Tensor, Tensor]:
        k, picture = item
        restorer.history = deque(maxlen=history)
        for j in range(max(0, k - history), k):
            wide = [p.astype(np.uint16) << (10 - fmt.depth) for p in outputs[j]]
            restorer.history.append(Seen(restorer.upscaled(base.pictures[j]), wide))
        return with_target(k, restorer.inputs(restorer.upscaled(picture), history, gate, base_q).to(torch.int16))

    numbers = np.unique(np.linspace(0, len(passes.frames) - 1, count).astype(int)).tolist()
    pictures = ((k, base.pictures[k]) for k in numbers)
    found = list(apart(in_sight_of_others, pictures, 0) if history else apart(alone, pictures, 2 * each))
    if history and not gate:
        gate = _gate_found(found, planes, history)
    return [example(x, target, folds) for x, target in found], gate


def _gate_found(found: Sequence[tuple[Tensor, Tensor]], planes: int, history: int) -> int:
    """The gate that suits the history best, put on it in place."""
    parts = [(x[:, :, planes : 2 * planes], x[:, :, 2 * planes : 3 * planes], t) for x, t in found[1::4]]
    gate = best_gate([(o.float(), b.float(), t.float()) for o, b, t in parts])
    for x, _ in found:
        for k in range(history):
            at = planes * (1 + 2 * k)
            outputs, bases = x[:, :, at : at + planes].float(), x[:, :, at + planes : at + 2 * planes].float()
            x[:, :, at : at + planes] = gated(outputs, bases, gate).to(torch.int16)
    return gate


def fit_restorer(
    passes: Passes,
    examples: Sequence[Example],
    spec: HeadSpec,
    schedule: Schedule,
    start: Head | None = None,
    gate: int = 0,
    anchor: Head | None = None,
) -> Head | None:
    """A head that learns from `examples`, from noise or from `start`; it stays a change of `anchor`, if given. None
    where it left the range in which it is exact."""
    steps = schedule.float_steps + schedule.integer_steps
    with passes.agenda.part(passes.effort.learning(steps, 0 if anchor else spec.width)):
        layers = train(
            examples,
            spec,
            schedule,
            start=start.layers if start else None,
            anchor=anchor.layers if anchor else None,
            coarse=FIT_COARSE,
            device=passes.device,
            listen=lambda at: passes.agenda.tell(at.step / at.steps),
        )
    if not is_legal(spec, layers):
        return None
    return Head(spec, tuple(layers), gate, start.base_q if start else 0)
