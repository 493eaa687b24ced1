"""A head for pictures at large: trained once on many pictures, then part of the program, so that it costs no bits.

Each step draws crops at random, mirrors and turns them, and weighs their squared errors by what the base of the
picture has: the measure is the mean PSNR of the pictures. Most steps run in floating point, in bfloat16 where the
machine has it; the last ones simulate the integer arithmetic (`heads.restorer.model`).

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
from numpy.typing import NDArray
from torch import Tensor

from ..exact import single_threads
from ..layers import EXACT, SCALE_BITS_MAX, Layer
from ..loop import has_bfloat16
from .integer import worst_sums
from .model import HeadModel
from .spec import INPUT_BITS, INPUT_MAX, HeadSpec

PARTS = 2  # of a batch; each is computed by one thread, in the same order whatever the number of threads
ROOM = 0.75  # of the exact range that a head may use when its scales are chosen
SAVED_EVERY = 500  # steps


@dataclass(frozen=True)
class Sample:
    """A picture to learn from: planes `upscaled` and `source`, int16 on the 10-bit scale; `told` as `HeadSpec.told` has
    it; `weights` of the planes' squared errors, 0 for a plane that does not count."""

    upscaled: Sequence[NDArray[np.int16]]
    source: Sequence[NDArray[np.int16]]
    base_q: int
    weights: tuple[float, ...]


@dataclass(frozen=True)
class Course:
    """How long to train: `steps` batches of `batch` crops of `crop` x `crop` cells; the last `integer_share` of them in
    simulated integers."""

    steps: int = 30000
    batch: int = 8
    crop: int = 48
    rate: float = 2e-3
    integer_share: float = 0.15
    margin: int = 4


_FOLDS = {4: [(2, 2)], 6: [(2, 2), (1, 1), (1, 1)], 12: [(2, 2)] * 3}  # square ones, which can be turned


def packed(planes: Sequence[NDArray[np.generic]], folds: Sequence[tuple[int, int]]) -> NDArray[np.int16]:
    """Planes as (h, w, channels): `heads.restorer.planes.pack` for crops of whole cells."""
    cells = []
    for plane, (r, c) in zip(planes, folds, strict=True):
        rows, columns = plane.shape[0] // r, plane.shape[1] // c
        cells.append(plane.reshape(rows, r, columns, c).transpose(0, 2, 1, 3).reshape(rows, columns, r * c))
    return np.concatenate(cells, axis=2).astype(np.int16, copy=False)


def _crop(
    sample: Sample, size: int, folds: Sequence[tuple[int, int]], rng: np.random.Generator
) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """Inputs and targets of `size` x `size` cells, turned and mirrored at random."""
    rows, columns = (n // r for n, r in zip(sample.source[0].shape, folds[0], strict=True))
    y, x = int(rng.integers(rows - size + 1)), int(rng.integers(columns - size + 1))
    turn, mirror = int(rng.integers(4)), bool(rng.integers(2))

    def cut(planes: Sequence[NDArray[np.int16]]) -> NDArray[np.int16]:
        parts = []
        for plane, (r, c) in zip(planes, folds, strict=True):
            part = np.rot90(plane[r * y : r * (y + size), c * x : c * (x + size)], turn)
            parts.append(np.ascontiguousarray(part[:, ::-1] if mirror else part))
        return packed(parts, folds)

    upscaled, source = cut(sample.upscaled), cut(sample.source)
    return upscaled - INPUT_MAX, source - upscaled


def draw(
    samples: Sequence[Sample], spec: HeadSpec, course: Course, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs (n, inputs, h, w) in real-valued units, targets (n, planes, h, w) in 10-bit steps, and the weights of the
    picture's planes, (n, 3)."""
    xs, ts, ws = [], [], []
    for k in rng.integers(len(samples), size=course.batch):
        x, t = _crop(samples[k], course.crop, _FOLDS[spec.planes], rng)
        if spec.base_q:
            x = np.concatenate([x, np.full((*x.shape[:2], 1), samples[k].base_q, np.int16)], axis=2)
        xs.append(x)
        ts.append(t)
        ws.append(samples[k].weights)
    inputs, targets = (torch.from_numpy(np.stack(v)).permute(0, 3, 1, 2).float() for v in (xs, ts))
    inputs = (inputs / 2**INPUT_BITS).contiguous(memory_format=torch.channels_last)
    return inputs, targets, torch.tensor(ws, dtype=torch.float32)


class Trainer:
    """Trains one head. `mix` is the (3, 3) matrix from errors of planes to errors of what is measured, for planes of
    one size; without it the errors of the planes themselves are."""

    def __init__(
        self,
        samples: Sequence[Sample],
        spec: HeadSpec,
        course: Course,
        mix: NDArray[np.float64] | None = None,
        *,
        start: Sequence[Layer] | None = None,
        seed: int = 0,
        threads: int = PARTS,
    ):
        size = 2 * course.crop
        fit = [s for s in samples if min(s.source[0].shape) >= size]
        if not fit:
            raise ValueError(f"no picture has {size} x {size} samples")
        self.samples, self.spec, self.course = fit, spec, course
        self.step = 0
        self._mix = None if mix is None else torch.from_numpy(mix).float()
        self._cells = [r * c for r, c in _FOLDS[spec.planes]]
        self._seed, self._threads = seed, threads
        self.model = HeadModel(spec, torch.Generator().manual_seed(seed))
        if start is not None:
            self.model.load_layers(list(start))
            self.model.scale_bits = [0] * spec.layers
        self._parameters = list(self.model.parameters())
        self._optimiser = torch.optim.Adam(self._parameters, lr=course.rate)
        self._integer_from = round(course.steps * (1 - course.integer_share))

    def run(self, listen: Callable[[int, float], None] | None = None, state: Path | None = None) -> list[Layer]:
        """Train to the end of the course; `listen` is told steps done and the mean loss since it was last told
        (1 is the base's error), every SAVED_EVERY steps."""
        if state and state.exists():
            self._load(state)
        losses: list[float] = []
        workers = max(1, min(self._threads, PARTS))
        with single_threads(workers) as pool:
            following = pool.submit(self._draw)
            while self.step < self.course.steps:
                if self.step == self._integer_from and not self.model.quantised:
                    self._choose_scales()
                    self.model.quantised = True
                self._set_rate()
                batch = following.result()
                parts = pool.map(self._gradients, zip(*(tensor.chunk(PARTS) for tensor in batch), strict=True))
                loss, gradients = 0.0, []
                for part_loss, part in parts:
                    loss += part_loss
                    gradients.append(part)
                for parameter, *found in zip(self._parameters, *gradients, strict=True):
                    parameter.grad = torch.stack(found).sum(0)
                torch.nn.utils.clip_grad_norm_(self._parameters, 0.5)
                self._optimiser.step()
                self.step += 1
                following = pool.submit(self._draw)
                losses.append(loss)
                if self.step % SAVED_EVERY == 0 or self.step == self.course.steps:
                    if state:
                        self._save(state)
                    if listen:
                        listen(self.step, float(np.mean(losses)))
                    losses = []
        return self.layers()

    def layers(self) -> list[Layer]:
        """The integers of the head as it is now."""
        if not self.model.quantised:
            self._choose_scales()
        return self.model.layers()

    def _choose_scales(self) -> None:
        """The finest scales with which the arithmetic is exact, with room for weights that still grow a little."""
        self.model.choose_scales()
        for _ in range(SCALE_BITS_MAX):
            for index, worst in enumerate(worst_sums(self.spec, self.model.layers())):
                if worst > EXACT * ROOM and self.model.scale_bits[index]:
                    self.model.scale_bits[index] -= 1

    def _draw(self) -> tuple[Tensor, Tensor, Tensor]:
        rng = np.random.default_rng([self._seed, self.step])  # so that a resumed training sees what it would have seen
        return draw(self.samples, self.spec, self.course, rng)

    def _set_rate(self) -> None:
        done = self.step / self.course.steps
        warm = min(1.0, (self.step + 1) / 200)
        for group in self._optimiser.param_groups:
            group["lr"] = self.course.rate * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))

    def _gradients(self, part: tuple[Tensor, Tensor, Tensor]) -> tuple[float, tuple[Tensor, ...]]:
        inputs, targets, weights = part
        with torch.autocast("cpu", torch.bfloat16, enabled=has_bfloat16()):
            outputs = self.model(inputs)
        m = self.course.margin
        error = (outputs.float() - targets)[:, :, m:-m, m:-m]
        if self._mix is None:
            shares = torch.cat([weights[:, [p]].expand(-1, n) / n for p, n in enumerate(self._cells)], 1)
            loss = (error.square() * shares[:, :, None, None]).mean() * self.spec.planes / PARTS
        else:
            counted = weights[:, :, None, None, None] > 0
            error = torch.einsum("npchw,rp->nrchw", error.unflatten(1, (3, 4)) * counted, self._mix)
            loss = (error.square() * weights[:, :1, None, None, None]).mean() / PARTS
        return float(loss.detach()), torch.autograd.grad(loss, self._parameters)

    def _arrays(self) -> dict[str, NDArray[Any]]:
        out: dict[str, NDArray[Any]] = {"scales": np.array(self.model.scale_bits), "step": np.array(self.step)}
        for k, p in enumerate(self._parameters):
            kept = self._optimiser.state[p]
            out[f"p{k}"] = p.detach().numpy()
            out[f"m{k}"], out[f"v{k}"] = kept["exp_avg"].numpy(), kept["exp_avg_sq"].numpy()
        return out

    def _save(self, path: Path) -> None:
        part = path.with_suffix(".part")
        with part.open("wb") as file:
            np.savez(file, **self._arrays())  # type: ignore[arg-type]
        os.replace(part, path)

    def _load(self, path: Path) -> None:
        try:
            with np.load(path, allow_pickle=False) as kept:
                found = {name: kept[name] for name in kept.files}
            shapes = [found[f"p{k}"].shape for k in range(len(self._parameters))]
            asked = [found[f"{kind}{k}"].shape for kind in "mv" for k in range(len(shapes))]
            if asked != shapes * 2 or found["step"].size != 1 or len(found["scales"]) != self.spec.layers:
                raise KeyError("arrays do not fit")
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path} is no state of a training: {error}") from None
        if shapes != [tuple(p.shape) for p in self._parameters]:
            raise ValueError(f"{path} is the state of a training of another head")
        self.step = int(found["step"])
        self.model.scale_bits = [int(s) for s in found["scales"]]
        self.model.quantised = self.step > self._integer_from
        for k, p in enumerate(self._parameters):
            with torch.no_grad():
                p.copy_(torch.from_numpy(found[f"p{k}"]))
            p_state = {"exp_avg": found[f"m{k}"], "exp_avg_sq": found[f"v{k}"]}
            self._optimiser.state[p] = {
                "step": torch.tensor(float(self.step)),
                **{name: torch.from_numpy(value.copy()) for name, value in p_state.items()},
            }
