"""The float twin of a density head, which training moves (`heads.twin`), and the measure by which it does."""

from __future__ import annotations

import torch
from torch import Tensor

from ..block import block
from ..twin import FloatTwin, finest_scale
from .spec import ACT_BITS, ACT_MAX, BIAS_MAX, MEAN_BITS, OUTPUT_BITS, SCALE_MAX, WEIGHT_MAX, DensitySpec

ROOM = 1.2  # for weights to grow after their scales are chosen
# of first weights, times the usual: small, which learns sooner where layers add their input
SPREADS, LIGHT_SPREADS = (0, 1, 1, 1, 0.1), (0, 1, 6**0.5, 6**0.5, 0.1)


def down(x: Tensor) -> Tensor:
    """The next lower value that an activation may have."""
    return torch.floor(x * 2**ACT_BITS) / 2**ACT_BITS


class DensityModel(FloatTwin):
    """Float twin of a head: inputs (n, inputs, h, w) as integers / 2^INPUT_BITS, flags (n, FLAGS); outputs the mean
    less the prediction in samples, and log2 of a logistic's scale, both (n, h, w)."""

    bias_max, bias_coarse = BIAS_MAX, 0

    def __init__(self, spec: DensitySpec, seed: int = 0):
        generator, shapes = torch.Generator().manual_seed(seed), spec.shapes()
        spreads = [
            (3.0 * s[1] * s[2] * s[3]) ** -0.5 * share
            for s, share in zip(shapes, LIGHT_SPREADS if spec.light else SPREADS, strict=True)
        ]
        weights = (torch.randn(s, generator=generator) * std for s, std in zip(shapes, spreads, strict=True))
        super().__init__(weights, SCALE_MAX, spec.weight_max)
        self.spec = spec

    def choose_scales(self) -> None:
        """The finest scale that each layer's weights allow, with some room to grow."""
        self.scale_bits = [finest_scale(w, SCALE_MAX, ROOM * WEIGHT_MAX / self.weight_max) for w in self.weight]
        for i in (1, 4):
            self.scale_bits[i] = max(self.scale_bits[i], 2)  # see `heads.density.spec.check`

    def weight_bits(self, index: int) -> int:
        return self.scale_bits[index] if index else ACT_BITS

    def bias_unit(self, index: int) -> Tensor:
        return torch.tensor([2.0**bits for bits in OUTPUT_BITS]) if index == 4 else torch.tensor(2.0**ACT_BITS)

    def forward(self, x: Tensor, flags: Tensor) -> tuple[Tensor, Tensor]:
        (up, _), *inner, last = (self.parameters_of(i) for i in range(5))  # what the flags add has no bias
        shift = flags @ up[:, :, 0, 0].T
        for i, (w, b) in enumerate(inner):
            rounded, top = down if self.quantised else None, ACT_MAX / 2**ACT_BITS
            x = block(x, w, b, adds=i > 0 and not self.spec.light, shift=None if i else shift, rounded=rounded, top=top)
        y = block(x, *last).float()
        return y[:, 0] * 2.0 ** (OUTPUT_BITS[0] - MEAN_BITS), y[:, 1]


def bits_of(mean: Tensor, log_scale: Tensor, target: Tensor) -> Tensor:
    """Bits of integers `target` under a logistic of that mean and log2 of the scale, in their own units."""
    inverse = torch.exp2(-log_scale.clamp(-5, 8))
    d = (target - mean).abs()  # towards the tail a difference of sigmoids keeps its digits on one side only
    p = torch.sigmoid((0.5 - d) * inverse) - torch.sigmoid((-0.5 - d) * inverse)
    return -torch.log2(p + 1e-6)
