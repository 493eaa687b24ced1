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
from heads.restorer.matching import motion, moved
from heads.restorer.planes import grid_of, pack, unpack
from heads.restorer.spec import HISTORY_MAX

from ..base.resample import plain_prediction, upscale
from ..frames import SUBSAMPLING, Plane, PlaneFormat, channels_of, folds_of
from .head import Head


@dataclass(frozen=True)
class Seen:
    """A picture of the past: its upscaled base (10-bit) and what the decoder showed (10-bit scale)."""

    upscaled: list[Plane]
    output: list[Plane]


class Restorer:
    """Predicts the pictures of one segment, in order. Call `predict`, complete the prediction, `push` the result."""

    def __init__(
        self, fmt: PlaneFormat, width: int, height: int, scale: Fraction, head: Head | None, device: str = "cpu"
    ):
        self.format, self.size, self.scale = fmt, (width, height), scale
        self.shapes = fmt.shapes(width, height)
        self.folds = folds_of(fmt.chroma)
        self.history: deque[Seen] = deque(maxlen=head.spec.history if head else 0)
        self._head = IntegerHead(head.spec, head.layers, device) if head else None
        self._gate = head.gate if head else 0
        self._base_q = head.base_q if head and head.spec.base_q else None
        self._upscaled: list[Plane] = []

    def upscaled(self, base: Sequence[Plane]) -> list[Plane]:
        """The base at full size, 10-bit, by the fixed filter."""
        return upscale(base, self.format, *self.size, self.scale)

    def inputs(self, upscaled: Sequence[Plane], history: int, gate: int, base_q: int | None = None) -> Tensor:
        """What a head with that much history sees: float32 (h, w, inputs), integers. A gate of 0 is an open one."""
        planes = channels_of(self.format.chroma)
        inputs = planes * (1 + 2 * history) + (base_q is not None)
        x = torch.empty((*grid_of(self.shapes[0]), inputs), dtype=torch.float32)
        if base_q is not None:
            x[:, :, -1] = base_q
        now = x[:, :, :planes]
        pack(upscaled, self.folds, now)
        if history:
            small = (upscaled[0] >> 2).astype(np.uint8)
            sub = SUBSAMPLING[self.format.chroma] or (1, 1)
            for k in range(history):
                at = planes * (1 + 2 * k)
                past = x[:, :, at : at + 2 * planes]
                if k >= len(self.history):
                    past.zero_()
                    continue
                seen = self.history[-1 - k]
                vectors = motion(small, (seen.upscaled[0] >> 2).astype(np.uint8))
                pack(moved(seen.output, vectors, sub), self.folds, past[:, :, :planes])
                pack(moved(seen.upscaled, vectors, sub), self.folds, past[:, :, planes:])
                past[:, :, :planes] -= now
                past[:, :, planes:] -= now
                past.clamp_(-HISTORY_MAX, HISTORY_MAX)
                if gate:
                    past[:, :, :planes] = gated(past[:, :, :planes], past[:, :, planes:], gate)
        now -= 512
        return x

    def predict(self, base: Sequence[Plane], use_head: bool = True) -> list[Plane]:
        """The next picture from its base, in the format of the film; without the head where it is not used."""
        self._upscaled = self.upscaled(base)
        if self._head is None or not use_head:
            return self.plain()
        x = self.inputs(self._upscaled, self._head.spec.history, self._gate, self._base_q)
        y = self._head.predict(x.to(self._head.device), self.format.depth)
        return unpack(y, self.shapes, self.folds, self.format.dtype)

    def plain(self) -> list[Plane]:
        """The picture last predicted, by the fixed filter alone."""
        return plain_prediction(self._upscaled, self.format.depth)

    def push(self, output: Sequence[Plane]) -> None:
        """Remember the finished picture for those after it."""
        if self.history.maxlen:
            shift = 10 - self.format.depth
            wide = [p.astype(np.uint16) << shift for p in output]
            self.history.append(Seen(self._upscaled, wide))
