"""The float twin of a density head, which training moves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..layers import Layer
from .head import ACT_BITS, ACT_MAX, BIAS_MAX, MEAN_BITS, OUTPUT_BITS, SCALE_MAX, WEIGHT_MAX, DensitySpec

# -------------------------------------------------------------------------------------------------------- training


def _down(x: Tensor, bits: int) -> Tensor:
    """Round down to multiples of 2^-bits, with the gradient of the identity."""
    return x + (torch.floor(x.detach() * 2**bits) / 2**bits - x.detach())


def _near(x: Tensor, bits: int) -> Tensor:
    return x + (torch.round(x.detach() * 2**bits) / 2**bits - x.detach())


class DensityModel(nn.Module):
    """Float twin of a head: inputs (n, inputs, h, w) as integers / 2^INPUT_BITS, flags (n, FLAGS); outputs the mean
    less the prediction in samples, and log2 of a logistic's scale, both (n, h, w)."""

    def __init__(self, spec: DensitySpec, seed: int = 0):
        super().__init__()
        self.spec, self.quantised = spec, False
        self.scale = [SCALE_MAX] * 5
        self.anchor: Sequence[Layer] | None = None
        self.coarse = 0
        generator = torch.Generator().manual_seed(seed)
        self.weight, self.bias = nn.ParameterList(), nn.ParameterList()
        for i, shape in enumerate(spec.shapes()):
            std = (3.0 * shape[1] * shape[2] * shape[3]) ** -0.5 * (0, 1, 1, 1, 0.1)[i]  # small: learns sooner
            weight = torch.randn(shape, generator=generator) * std
            self.weight.append(nn.Parameter(weight.contiguous(memory_format=torch.channels_last)))
            self.bias.append(nn.Parameter(torch.zeros(shape[0]), requires_grad=i > 0))

    def choose_scales(self) -> None:
        """The finest scale that each layer's weights allow, with some room to grow."""
        for i, w in enumerate(self.weight):
            top = 1.2 * (float(w.detach().abs().max()) or 1.0)
            self.scale[i] = int(min(max(np.floor(np.log2(WEIGHT_MAX / top)), 0), SCALE_MAX))
        self.scale[1], self.scale[4] = max(self.scale[1], 2), max(self.scale[4], 2)  # see `check`

    def hold(self, anchor: Sequence[Layer], coarse: int) -> None:
        """Keep to weights and biases that differ from those of `anchor` by multiples of 2^coarse."""
        self.anchor, self.coarse = anchor, coarse
        self.scale = [layer.scale_bits for layer in anchor]

    def load(self, layers: Sequence[Layer]) -> None:
        """Start from another head's integers."""
        with torch.no_grad():
            for i, layer in enumerate(layers):
                self.scale[i] = layer.scale_bits
                self.weight[i].copy_(torch.from_numpy(layer.weight.astype(np.float32)) / 2.0 ** self._weight_bits(i))
                self.bias[i].copy_(torch.from_numpy(layer.bias.astype(np.float32)) / self._bias_unit(i))

    def _weight_bits(self, i: int) -> int:
        return self.scale[i] if i else ACT_BITS

    def _bias_unit(self, i: int) -> Tensor:
        return torch.tensor([2.0**bits for bits in OUTPUT_BITS]) if i == 4 else torch.tensor(2.0**ACT_BITS)

    def _integers(self, i: int) -> tuple[Tensor, Tensor]:
        """Weights and biases as the integers that they stand for, as floats, with the gradient of the identity."""
        w, b = self.weight[i] * 2.0 ** self._weight_bits(i), self.bias[i] * self._bias_unit(i)
        b = b * (i > 0)
        if self.anchor is None:
            return _near(w, 0).clamp(-WEIGHT_MAX, WEIGHT_MAX), _near(b, 0).clamp(-BIAS_MAX, BIAS_MAX)
        held = []
        for now, then in ((w, self.anchor[i].weight), (b, self.anchor[i].bias)):
            a, unit = torch.from_numpy(then).to(now), 2.0**self.coarse
            low, high = torch.ceil((-WEIGHT_MAX - a) / unit), torch.floor((WEIGHT_MAX - a) / unit)
            held.append(a + torch.minimum(torch.maximum(_near((now - a) / unit, 0), low), high) * unit)
        return held[0], held[1] * (i > 0)

    def forward(self, x: Tensor, flags: Tensor) -> tuple[Tensor, Tensor]:
        parameters = []
        for i in range(5):
            if self.quantised:
                w, b = self._integers(i)
                parameters.append((w / 2.0 ** self._weight_bits(i), b / self._bias_unit(i)))
            else:
                parameters.append((self.weight[i], self.bias[i]))
        shift = flags @ parameters[0][0][:, :, 0, 0].T
        for i in range(1, 4):
            w, b = parameters[i]
            y = F.conv2d(x, w, b if i > 1 else None, padding=1)
            if i == 1:
                y = y + (shift + b)[:, :, None, None]
            else:
                y = y + x
            if self.quantised:
                y = _down(y, ACT_BITS)
            x = F.hardtanh(y, 0.0, ACT_MAX / 2**ACT_BITS)  # its gradient is one kernel, that of a clamp four
        y = F.conv2d(x, *parameters[4]).float()
        return y[:, 0] * 2.0 ** (OUTPUT_BITS[0] - MEAN_BITS), y[:, 1]

    def layers(self) -> list[Layer]:
        """The integers of the head as it is now."""
        out = []
        with torch.no_grad():
            for i in range(5):
                w, b = self._integers(i)
                out.append(Layer(w.numpy().astype(np.int8), b.numpy().astype(np.int32), self.scale[i]))
        return out


def bits_of(mean: Tensor, log_scale: Tensor, target: Tensor) -> Tensor:
    """Bits of integers `target` under a logistic of that mean and log2 of the scale, in their own units."""
    inverse = torch.exp2(-log_scale.clamp(-5, 8))
    d = (target - mean).abs()  # towards the tail a difference of sigmoids keeps its digits on one side only
    p = torch.sigmoid((0.5 - d) * inverse) - torch.sigmoid((-0.5 - d) * inverse)
    return -torch.log2(p + 1e-6)
