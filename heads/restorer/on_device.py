"""Whole pictures to a device and back: planes of 16 bits there, samples of the film's depth back, each in one copy.
Cells are made of planes, and planes of cells, on the device: float32 would be four times as much to move."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..exact import exact_kernels
from .integer import IntegerHead
from .planes import continued, grid_of
from .spec import INPUT_MAX

Folds = Sequence[tuple[int, int]]


def restored_there(
    head: IntegerHead, planes: Sequence[NDArray[np.uint16]], folds: Folds, depth: int, base_q: int
) -> list[NDArray[Any]]:
    """Samples of `depth` bits, uint8 or uint16, that a head without history makes of an upscaled base, 10-bit."""
    shapes = [plane.shape for plane in planes]
    with exact_kernels():
        y = head.predict(_cells(head, planes, folds, base_q), depth)
        parts = y.split([r * c for r, c in folds], 2)
        flat = [
            part.unflatten(2, fold).transpose(1, 2).flatten(2, 3).flatten(0, 1)[:rows, :columns].flatten()
            for part, fold, (rows, columns) in zip(parts, folds, shapes, strict=True)
        ]
        found = torch.cat(flat).cpu().numpy()
    samples = found if depth == 8 else found.view(np.uint16)
    ends = np.cumsum([prod(shape) for shape in shapes])[:-1]
    return [part.reshape(shape) for part, shape in zip(np.split(samples, ends), shapes, strict=True)]


def _cells(head: IntegerHead, planes: Sequence[NDArray[np.uint16]], folds: Folds, base_q: int) -> Tensor:
    """(h, w, cell) on the head's device, as `IntegerHead.predict` takes it."""
    h, w = grid_of(planes[0].shape)
    sizes = [h * w * r * c for r, c in folds]
    sent = torch.empty(sum(sizes), dtype=torch.int16, pin_memory=head.device.type == "cuda")  # 10 bits fit
    for part, plane, (r, c) in zip(sent.split(sizes), planes, folds, strict=True):
        part.numpy().reshape(h * r, w * c)[:] = continued(plane, (h * r, w * c))
    there = sent.to(head.device, non_blocking=True)
    x = torch.zeros((h, w, head.cell), dtype=torch.float32, device=head.device)
    at = 0
    for part, (r, c) in zip(there.split(sizes), folds, strict=True):
        x[:, :, at : at + r * c] = part.view(h, r, w, c).transpose(1, 2).reshape(h, w, r * c)
        at += r * c
    x[:, :, :at] -= INPUT_MAX
    if head.spec.base_q:
        x[:, :, at] = base_q
    return x
