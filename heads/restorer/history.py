"""How far an earlier picture can be trusted, cell by cell.

Where motion was found well, the earlier base, moved, equals the present one, and what the decoder showed then is the
best guess of what is missing now. The gate is full where the bases agree and closes as they differ; how fast is one
number, `gate`, that the encoder chooses. Integer arithmetic, carried by float32.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

GATES = range(2, 9)  # legal values of `gate`
FULL = 16  # weight of an open gate
LUMA = 4  # packed luma planes


def gate_weights(bases: Tensor, gate: int) -> Tensor:
    """Weights 0..FULL, float32 (h, w, 1), from the difference of the bases, integers (h, w, planes).

    Full while the sum of luma differences over 3x3 cells is below 17 << gate, closed from 32 << gate on.
    """
    mismatch = bases[:, :, :LUMA].abs().sum(2)
    h, w = mismatch.shape
    padded = F.pad(mismatch[None, None], (1, 1, 1, 1), mode="replicate")[0, 0]
    around = torch.zeros_like(mismatch)
    for dy in range(3):
        for dx in range(3):
            around += padded[dy : dy + h, dx : dx + w]
    return (2 * FULL - torch.floor(around * 2.0**-gate)).clamp_(0, FULL)[:, :, None]


def gated(outputs: Tensor, bases: Tensor, gate: int) -> Tensor:
    """Differences `outputs` (h, w, planes) of the earlier picture to the base, weighted and rounded down."""
    return torch.floor(outputs * gate_weights(bases, gate) * (1 / FULL))


def best_gate(examples: Sequence[tuple[Tensor, Tensor, Tensor]]) -> int:
    """The gate that leaves the least squared error of (outputs, bases, target), each (h, w, planes)."""
    errors = {g: sum(int((t - gated(o, b, g)).long().square().sum()) for o, b, t in examples) for g in GATES}
    return min(GATES, key=lambda g: errors[g])
