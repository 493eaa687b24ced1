"""A head for pictures at large: trained once on many pictures, then part of the program, so that it costs no bits.

Each step draws crops at random, mirrors and turns them, and weighs their squared errors by what the base of the
picture has: the measure is the mean PSNR of the pictures. Most steps run in floating point, in bfloat16 where the
machine has it; the last ones simulate the integer arithmetic (`heads.model`).

An interrupted training goes on from its state file (NumPy arrays, nothing pickled).
"""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .integer import worst_sums
from .model import EXACT, INPUT_BITS, INPUT_MAX, SCALE_BITS_MAX, HeadModel, HeadSpec, Layer

PARTS = 2  # of a batch; each is computed by one thread, in the same order whatever the number of threads
ROOM = 0.75  # of the exact range that a head may use when its scales are chosen
SAVED_EVERY = 500  # steps


@dataclass(frozen=True)
class Sample:
    """A picture to learn from: `upscaled` and `source`, int16 (3, rows, columns) on the 10-bit scale; `told` as
    `HeadSpec.told` has it; `weight`, the reciprocal of the base's squared error. Without `chroma` only luma counts."""

    upscaled: NDArray[np.int16]
    source: NDArray[np.int16]
    told: int
    weight: float
    chroma: bool = True


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


def fold(planes: NDArray[np.int16]) -> NDArray[np.int16]:
    """(3, 2h, 2w) to (h, w, 12): as `heads.planes.pack` does for 4:4:4."""
    _, rows, columns = planes.shape
    cells = planes.reshape(3, rows // 2, 2, columns // 2, 2).transpose(1, 3, 0, 2, 4)
    return np.ascontiguousarray(cells).reshape(rows // 2, columns // 2, 12)


def _crop(sample: Sample, size: int, rng: np.random.Generator) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    rows, columns = sample.source.shape[1:]
    y, x = 2 * rng.integers((rows - size) // 2 + 1), 2 * rng.integers((columns - size) // 2 + 1)
    both = [p[:, y : y + size, x : x + size] for p in (sample.upscaled, sample.source)]
    turn, mirror = int(rng.integers(4)), bool(rng.integers(2))
    both = [np.rot90(p, turn, (1, 2)) for p in both]
    if mirror:
        both = [p[:, :, ::-1] for p in both]
    upscaled, source = (fold(np.ascontiguousarray(p)) for p in both)
    return upscaled - INPUT_MAX, source - upscaled


def draw(
    samples: Sequence[Sample], spec: HeadSpec, course: Course, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs (n, inputs, h, w) in real-valued units, targets (n, 12, h, w) in 10-bit steps, weights (n, 3, 1, 1, 1)."""
    xs, ts, ws = [], [], []
    for k in rng.integers(len(samples), size=course.batch):
        x, t = _crop(samples[k], 2 * course.crop, rng)
        if spec.told:
            x = np.concatenate([x, np.full((*x.shape[:2], 1), samples[k].told, np.int16)], axis=2)
        xs.append(x)
        ts.append(t)
        ws.append([samples[k].weight] * 3 if samples[k].chroma else [samples[k].weight, 0, 0])
    inputs, targets = (torch.from_numpy(np.stack(v)).permute(0, 3, 1, 2).float() for v in (xs, ts))
    inputs = (inputs / 2**INPUT_BITS).contiguous(memory_format=torch.channels_last)
    return inputs, targets, torch.tensor(ws, dtype=torch.float32)[:, :, None, None, None]


class Trainer:
    """Trains one head. `mix` is the (3, 3) matrix from errors of planes to errors of what is measured."""

    def __init__(
        self,
        samples: Sequence[Sample],
        spec: HeadSpec,
        course: Course,
        mix: NDArray[np.float64],
        *,
        start: Sequence[Layer] | None = None,
        seed: int = 0,
        threads: int = PARTS,
    ):
        size = 2 * course.crop
        fit = [s for s in samples if min(s.source.shape[1:]) >= size]
        if not fit:
            raise ValueError(f"no picture has {size} x {size} samples")
        self.samples, self.spec, self.course = fit, spec, course
        self.step = 0
        self._mix = torch.from_numpy(mix).float()
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
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
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
        with torch.autocast("cpu", torch.bfloat16, enabled=_has_bfloat16()):
            outputs = self.model(inputs)
        m = self.course.margin
        error = (outputs.float() - targets)[:, :, m:-m, m:-m].unflatten(1, (3, 4))
        error = error * (weights > 0)
        error = torch.einsum("npchw,rp->nrchw", error, self._mix)
        loss = (error.square() * weights[:, :1]).mean() / PARTS
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


def _has_bfloat16() -> bool:
    """Whether this machine multiplies bfloat16 faster than float32."""
    return bool(getattr(torch.cpu, "_is_amx_tile_supported", bool)())
