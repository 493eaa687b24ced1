"""From base pictures to full ones: what encoder and decoder both run, so that they cannot differ.

    base ──upscale──> ──┬─────────────────────────────────> + ──> prediction ──(loss-stream)──> output
    earlier outputs, ───┴──> head (heads.restorer.integer) ─┘                                     │
    moved into place  <───────────────────────────────────────────────────────────────────────────┘

Everything here is integer arithmetic.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from heads.restorer.history import gated
from heads.restorer.integer import IntegerHead
from heads.restorer.loaded import restoring_head
from heads.restorer.matching import motion, moved
from heads.restorer.on_device import restored_there
from heads.restorer.planes import cells, grid_of, pack, unpack
from heads.restorer.spec import HISTORY_MAX, INPUT_MAX

from ..base.resample import plain_prediction, upscale
from ..frames import SUBSAMPLING, Plane, PlaneFormat, channels_of, folds_of
from .head import Head
from .steering import Steered, put_blocks, told_of


@dataclass(frozen=True)
class Seen:
    """A picture of the past: its upscaled base (10-bit) and what the decoder showed (10-bit scale)."""

    upscaled: list[Plane]
    output: list[Plane]


class Restorer:
    """Predicts the pictures of one segment. With history in order: call `predict`, complete the prediction, `push` the
    result. Without, pictures are independent: nothing is kept of one, and threads may predict several at once."""

    def __init__(
        self, fmt: PlaneFormat, width: int, height: int, scale: Fraction, head: Head | None, device: str = "cpu"
    ):
        self.format, self.size, self.scale = fmt, (width, height), scale
        self.shapes = fmt.shapes(width, height)
        self.folds = folds_of(fmt.chroma)
        self.history: deque[Seen] = deque(maxlen=head.spec.history if head else 0)
        self._head = restoring_head(head.spec, head.layers, device) if head else None
        self._gate = head.gate if head else 0
        self._base_q = head.base_q if head and head.spec.base_q else None
        self._upscaled: list[Plane] = []  # of the picture last predicted, where there is history

    @property
    def kernel(self) -> str | None:
        """What computes the head, one of `heads.choice.KERNELS`; None without a head."""
        return self._head.kernel if self._head else None

    def upscaled(self, base: Sequence[Plane]) -> list[Plane]:
        """The base at full size, 10-bit, by the fixed filter."""
        return upscale(base, self.format, *self.size, self.scale)

    def inputs(self, upscaled: Sequence[Plane], history: int, gate: int, base_q: int | None = None) -> Tensor:
        """What a head with that much history sees: float32 (h, w, inputs), integers. A gate of 0 is an open one."""
        rows = slice(0, grid_of(self.shapes[0])[0])
        return self._inputs(upscaled, self._moved(upscaled, history), gate, base_q, rows)

    def _moved(self, upscaled: Sequence[Plane], history: int) -> list[Seen | None]:
        """So many pictures of the past, the nearest first, moved into the present one's place; None where there is
        none."""
        if not history:
            return []
        small = (upscaled[0] >> 2).astype(np.uint8)
        sub = SUBSAMPLING[self.format.chroma] or (1, 1)
        found: list[Seen | None] = [None] * history
        for k, seen in enumerate(list(self.history)[::-1][:history]):
            vectors = motion(small, (seen.upscaled[0] >> 2).astype(np.uint8))
            found[k] = Seen(moved(seen.upscaled, vectors, sub), moved(seen.output, vectors, sub))
        return found

    def _inputs(
        self,
        upscaled: Sequence[Plane],
        past: Sequence[Seen | None],
        gate: int,
        base_q: int | None,
        rows: slice,
        channels: int = 0,
    ) -> Tensor:
        """The inputs in some rows of the grid; the gate of the first and the last sees no further. `channels`, if they
        are more than the inputs: those beyond are 0."""

        def here(planes: Sequence[Plane]) -> list[Plane]:
            return [p[rows.start * r : rows.stop * r] for p, (r, _) in zip(planes, self.folds, strict=True)]

        planes = channels_of(self.format.chroma)
        if not past:
            return cells(here(upscaled), self.folds, channels or planes + (base_q is not None), INPUT_MAX, base_q or 0)
        columns, inputs = grid_of(self.shapes[0])[1], planes * (1 + 2 * len(past)) + (base_q is not None)
        x = torch.empty((rows.stop - rows.start, columns, max(inputs, channels)), dtype=torch.float32)
        now, *others = x[:, :, : planes * (1 + 2 * len(past))].split(planes, 2)
        pack(here(upscaled), self.folds, now)
        for seen, outputs, bases in zip(past, others[::2], others[1::2], strict=True):
            if seen:
                pack(here(seen.output), self.folds, outputs)
                pack(here(seen.upscaled), self.folds, bases)
        x[:, :, inputs:] = INPUT_MAX
        x -= INPUT_MAX  # of differences it does not matter; of some channels alone it takes ten times as long
        for seen, outputs, bases in zip(past, others[::2], others[1::2], strict=True):
            for difference in (outputs, bases):
                if seen:
                    difference.sub_(now).clamp_(-HISTORY_MAX, HISTORY_MAX)
                else:
                    difference.zero_()
            if seen and gate:
                outputs.copy_(gated(outputs, bases, gate))
        if base_q is not None:
            x[:, :, inputs - 1] = base_q
        return x

    def predict(self, base: Sequence[Plane], use_head: bool = True, steered: Steered | None = None) -> list[Plane]:
        """The next picture from its base, in the format of the film; without the head where it is not used, or not in
        all blocks."""
        upscaled, head = self.upscaled(base), self._head
        if self.history.maxlen:
            self._upscaled = upscaled
        if head is None or not use_head:
            return plain_prediction(upscaled, self.format.depth)
        base_q = self._base_q
        if steered and base_q is not None:
            base_q = told_of(base_q, steered.difference)
        out = self._restored(head, upscaled, base_q)
        if steered and not steered.blocks.all():
            put_blocks(out, plain_prediction(upscaled, self.format.depth), 1 - steered.blocks, self.folds)
        return out

    def _restored(self, head: IntegerHead, upscaled: list[Plane], base_q: int | None) -> list[Plane]:
        """A picture by the head."""
        if head.device.type != "cpu" and not head.spec.history:
            return restored_there(head, upscaled, self.folds, self.format.depth, base_q or 0)
        past = self._moved(upscaled, head.spec.history)
        out: list[Plane] = [np.empty(shape, self.format.dtype) for shape in self.shapes]

        def band(rows: slice, seen: slice, inner: slice) -> None:
            x = self._inputs(upscaled, past, self._gate, base_q, seen, head.cell)
            y = head.predict(x.to(head.device), self.format.depth)[inner]
            parts = [p[rows.start * r : rows.stop * r] for p, (r, _) in zip(out, self.folds, strict=True)]
            unpack(y, self.folds, parts)

        head.in_bands(*grid_of(self.shapes[0]), band)
        return out

    def plain(self, base: Sequence[Plane]) -> list[Plane]:
        """A picture by the fixed filter alone."""
        return plain_prediction(self.upscaled(base), self.format.depth)

    def push(self, output: Sequence[Plane]) -> None:
        """Remember the finished picture for those after it."""
        if self.history.maxlen:
            shift = 10 - self.format.depth
            wide = [p.astype(np.uint16) << shift for p in output]
            self.history.append(Seen(self._upscaled, wide))
