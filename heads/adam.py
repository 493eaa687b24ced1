"""Adam (Kingma and Ba, arXiv:1412.6980) on one vector, by a step size that is a tensor: so a graph of a step can be
captured once and run with every rate. One of torch's own would first import torch's compiler, which takes as long as
200 batches."""

from __future__ import annotations

import torch
from torch import Tensor

DECAY, EPSILON = (0.9, 0.999), 1e-8


class Adam:
    """Moves `vector` in place. `mean` and `square` of gradients, after `steps`."""

    def __init__(self, vector: Tensor):
        self.vector, self.steps = vector, 0
        self.mean, self.square = torch.zeros_like(vector), torch.zeros_like(vector)

    def sizes(self, rate: float) -> Tensor:
        """Of the next step, which this counts: what means and roots of squares are multiplied by, (2,) on the CPU."""
        self.steps += 1
        first, second = (1 - decay**self.steps for decay in DECAY)
        return torch.tensor([rate / first, second**-0.5])

    @torch.no_grad()
    def step(self, gradient: Tensor, sizes: Tensor) -> None:
        """One step down the gradient; `sizes` on the vector's device."""
        self.mean.lerp_(gradient, 1 - DECAY[0])
        self.square.mul_(DECAY[1]).addcmul_(gradient, gradient, value=1 - DECAY[1])
        self.vector.sub_(self.mean * sizes[0] / (self.square.sqrt() * sizes[1]).add_(EPSILON))
