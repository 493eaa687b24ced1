"""A head for pictures at large: trained once on many pictures, then pretrained for everybody, so that it costs no bits.

Each step draws crops at random, mirrors and turns them, and weighs their squared errors by what the base of the
picture has: the measure is the mean PSNR of the pictures. What it lacks in SSIM and MS-SSIM can count beside that,
weighed by what the base lacks, since squared errors alone teach a head to smooth. Most steps run in floating point, in
bfloat16 where the machine has it; the last ones simulate the integer arithmetic (`heads.restorer.model`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..block import inside
from ..exact import has_bfloat16
from ..layers import EXACT, SCALE_BITS_MAX, Layer
from ..loop import Batch, Descent, Step, descend, silent
from .model import HeadModel
from .planes import packed
from .proof import worst_sums
from .spec import INPUT_BITS, INPUT_MAX, HeadSpec
from .structure import losses

ROOM = 0.75  # of the exact range that a head may use when its scales are chosen
SAVED_EVERY = 500  # steps


@dataclass(frozen=True)
class Sample:
    """A picture to learn from: planes `upscaled` and `source`, int16 on the 10-bit scale; `base_q` as `HeadSpec`
    has it; `weights` of the planes' squared errors, 0 for a plane that does not count; `likeness`: weights of what
    `structure.losses` gives."""

    upscaled: Sequence[NDArray[np.int16]]
    source: Sequence[NDArray[np.int16]]
    base_q: int
    weights: tuple[float, ...]
    likeness: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Course:
    """How long to train: `steps` batches of `batch` crops of `crop` x `crop` cells; the last `integer_share` of them in
    simulated integers. `likeness`: share of the loss that is SSIM's and MS-SSIM's; the rest are squared errors."""

    steps: int = 30000
    batch: int = 8
    crop: int = 48
    rate: float = 2e-3
    integer_share: float = 0.15
    margin: int = 4
    likeness: float = 0.0


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


def draw(samples: Sequence[Sample], spec: HeadSpec, course: Course, rng: np.random.Generator) -> Batch:
    """Inputs (n, inputs, h, w) in real-valued units, targets (n, planes, h, w) in 10-bit steps, and the weights of the
    picture's planes and, where it counts, of its likeness, (n, 3) or (n, 5)."""
    xs, ts, ws = [], [], []
    for k in rng.integers(len(samples), size=course.batch):
        x, t = _crop(samples[k], course.crop, spec.folds, rng)
        if spec.base_q:
            x = np.concatenate([x, np.full((*x.shape[:2], 1), samples[k].base_q, np.int16)], axis=2)
        xs.append(x)
        ts.append(t)
        ws.append(samples[k].weights + samples[k].likeness * bool(course.likeness))
    inputs, targets = (torch.from_numpy(np.stack(v)).permute(0, 3, 1, 2).float() for v in (xs, ts))
    inputs = (inputs / 2**INPUT_BITS).contiguous(memory_format=torch.channels_last)
    return inputs, targets, torch.tensor(ws, dtype=torch.float32)


def grow(model: HeadModel, spec: HeadSpec, layers: Sequence[Layer]) -> None:
    """Make `model` compute what the head with these layers does, of its planes and kind but perhaps with fewer layers
    and channels: what is more begins as usual, and adds nothing yet (Chen et al., "Net2Net", ICLR 2016). Raises
    ValueError where it has more of them."""
    most, adds = model.spec, spec.adding or spec.layers == model.spec.layers
    alike = (spec.planes, spec.history, spec.base_q) == (most.planes, most.history, most.base_q)
    if not alike or spec.layers > most.layers or spec.width > most.width or not adds or spec.adding != most.adding:
        raise ValueError("a head cannot go on as one of another kind, or with fewer layers or channels")
    small = HeadModel(spec)
    small.load(layers)
    width, last = spec.width, most.layers - 1
    for i in range(last):
        weight, bias = model.weight[i], model.bias[i]
        weight[:width] = 0  # of layers that there were not, so that their input goes through
        if i < spec.layers - 1:
            weight[:width, : small.weight[i].shape[1]] = small.weight[i]
            bias[:width] = small.bias[i]
    model.weight[last].zero_()
    model.weight[last][:, :width] = small.weight[-1]
    model.bias[last].copy_(small.bias[-1])


class Trainer:
    """Trains one head. `mix` is the (3, 3) matrix from errors of planes to errors of what is measured, for planes of
    one size; without it the errors of the planes themselves are. Raises ValueError where no sample is large enough, or
    the planes' cells are not square, so that crops could not be turned."""

    def __init__(
        self,
        samples: Sequence[Sample],
        spec: HeadSpec,
        course: Course,
        mix: NDArray[np.float64] | None = None,
        *,
        start: tuple[HeadSpec, Sequence[Layer]] | None = None,
        seed: int = 0,
        threads: int = 0,
        device: str = "cpu",
    ):
        size = 2 * course.crop
        fit = [s for s in samples if min(s.source[0].shape) >= size]
        if not fit:
            raise ValueError(f"no picture has {size} x {size} samples")
        if any(rows != columns for rows, columns in spec.folds):
            raise ValueError("cells that are not square cannot be turned")
        self.samples, self.spec, self.course = fit, spec, course
        self._mix = None if mix is None else torch.from_numpy(mix).float().to(device)
        self._seed, self._threads, self._device = seed, threads, device
        self.model = HeadModel(spec, torch.Generator().manual_seed(seed))
        if start is not None:
            grow(self.model, *start)
        self.model.to(device)

    def run(self, listen: Callable[[Step], None] = silent, state: Path | None = None) -> list[Layer]:
        """Train to the end of the course; `listen` is told every SAVED_EVERY steps (a loss of 1 is the base's error).
        With a path for its `state` an interrupted training goes on; raises ValueError where that does not fit."""
        steps = self.course.steps
        float_steps = round(steps * (1 - self.course.integer_share))
        plan = Descent(steps, float_steps, self.course.rate, warm=200, clip=0.5)
        descend(
            self.model,
            plan,
            self._draw,
            self._loss,
            self._choose_scales,
            listen=listen,
            every=SAVED_EVERY,
            state=state,
            threads=self._threads,
        )
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

    def _draw(self, step: int) -> Batch:
        rng = np.random.default_rng([self._seed, step])  # so that a resumed training sees what it would have seen
        return draw(self.samples, self.spec, self.course, rng)

    def _loss(self, inputs: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        narrow = self._device == "cpu" and has_bfloat16()
        with torch.autocast(self._device, torch.bfloat16, enabled=narrow):
            outputs = self.model(inputs)
        error = inside(outputs.float() - targets, self.course.margin)
        if self._mix is None:
            cells = [r * c for r, c in self.spec.folds]
            shares = torch.cat([weights[:, [p]].expand(-1, n) / n for p, n in enumerate(cells)], 1)
            squared = (error.square() * shares[:, :, None, None]).mean() * self.spec.planes
        else:
            counted = weights[:, :3, None, None, None] > 0
            error = torch.einsum("npchw,rp->nrchw", error.unflatten(1, (3, 4)) * counted, self._mix)
            squared = (error.square() * weights[:, :1, None, None, None]).mean()
        if not self.course.likeness:
            return squared
        source = self._source(inputs, targets)
        seen = error[:, :4] if self._mix is None else error.flatten(1, 2)
        lost = torch.stack(losses(source + F.pixel_shuffle(seen, 2), source), 1)
        return (1 - self.course.likeness) * squared + self.course.likeness * (lost * weights[:, 3:]).mean()

    def _source(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Crops of the pictures themselves as they are measured, (n, 3, rows, columns) in 0..1023; of luma alone, (n,
        1, rows, columns), where nothing mixes the planes."""
        planes = inside(inputs[:, : self.spec.planes] * 2**INPUT_BITS + targets, self.course.margin)
        if self._mix is None:
            return F.pixel_shuffle(planes[:, :4], 2) + INPUT_MAX
        cells = torch.einsum("npchw,rp->nrchw", planes.unflatten(1, (3, 4)), self._mix)
        return F.pixel_shuffle(cells.flatten(1, 2), 2) + INPUT_MAX
