"""The convolution head: what it computes, and the form in which it is trained.

Data flow (all on the grid of half the luma resolution, so that one sample of the grid sees 2x2 luma samples and
the chroma samples beside them)::

    base picture, upscaled ──pack──> [P] ──────────────┐
    earlier pictures, moved into place ──pack──> [2P·x]┤                              [P·x] ─┐
                                                       ├─> 3x3 conv ─> clip ─> … ─> 3x3 conv ─> [P] ──> + base

Of each earlier picture the head gets two differences to the base: that of its finished form, gated to where motion was
found well (`heads.restorer.history`), and that of its own base. The gated one also goes straight into the last layer:
where nothing changed, the best prediction is what was shown before.

P is the number of packed planes (4 for luma, plus 0, 2, 4 or 8 for chroma; `heads.restorer.planes`). The activations
are 8-bit integers, the weights 8-bit integers with one power-of-two scale a layer; `HeadModel` is the float twin that
training moves, and its quantised forward pass computes what `heads.restorer.integer` computes exactly.

The first layer's weights stand for a Haar basis of each cell of samples, differences amplified: what a head has to
mend is small beside the brightness of the picture, and gradient descent finds it several times sooner there. The
basis is folded into integer weights of the samples themselves (`effective`) when a head runs.

Quantisation follows Jacob et al., "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference" (CVPR 2018), section 3, restricted to power-of-two scales and no zero points.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..layers import BIAS_COARSE, BIAS_MAX, SCALE_BITS_MAX, WEIGHT_MAX, Layer
from .spec import (
    ACT_BITS,
    ACT_MAX,
    BASIS_BITS,
    INPUT_BITS,
    OUTPUT_BITS,
    SKIP_BITS,
    HeadSpec,
    accumulator_bits,
    input_basis,
)

ADDED = 0.25  # times the usual spread of first weights where a layer adds its input, or sums would saturate
COPIED = 0.75  # share of the gated difference that an untrained head adds


def _round(x: Tensor) -> Tensor:
    """Round half up, with the gradient of the identity."""
    return x + (torch.floor(x.detach() + 0.5) - x.detach())


class HeadModel(nn.Module):
    """Float twin of a head. Input (N, inputs, h, w) in real-valued units, output (N, planes, h, w) in 10-bit steps,
    to be added to the base. `quantised=True` simulates the integer arithmetic with straight-through gradients."""

    def __init__(self, spec: HeadSpec, generator: torch.Generator | None = None):
        super().__init__()
        self.spec = spec
        self.quantised = False
        self.scale_bits = [SCALE_BITS_MAX] * spec.layers
        self.anchor: list[Layer] | None = None
        self.coarse = 0
        self.weight = nn.ParameterList()
        self.bias = nn.ParameterList()
        for i, shape in enumerate(spec.shapes()):
            std = (2.0 / (shape[1] * 9)) ** 0.5 * (ADDED if spec.adds(i) else 1)
            w = torch.randn(shape, generator=generator) * std
            self.weight.append(nn.Parameter(w.contiguous(memory_format=torch.channels_last)))
            self.bias.append(nn.Parameter(torch.zeros(shape[0])))
        self.register_buffer("basis", torch.from_numpy(input_basis(spec) / 2**BASIS_BITS).float())
        with torch.no_grad():
            self.weight[0] -= self.weight[0].mean((2, 3), keepdim=True)  # brightness itself tells little
            self.weight[-1].zero_()  # starts as "no change",
            for c in range(spec.planes if spec.history else 0):
                self.weight[-1][c, spec.width + c, 1, 1] = COPIED  # or as what was seen last, where it can be trusted

    def choose_scales(self, coarser: int = 0) -> None:
        """Fix each layer's scale as the finest that its largest weight allows, less `coarser` bits."""
        for i, w in enumerate(self.weight):
            top = float(w.detach().abs().max()) or 1.0
            bits = int(np.floor(np.log2(WEIGHT_MAX / top)))
            self.scale_bits[i] = min(max(bits - coarser, 0), SCALE_BITS_MAX)

    def hold(self, anchor: Sequence[Layer], coarse: int) -> None:
        """Keep to what `heads.weights.encode_change` can say of `anchor`: its scales, integers that
        differ from its by multiples of 2^coarse, biases by multiples of 2^(coarse + BIAS_COARSE)."""
        self.anchor, self.coarse, self.quantised = list(anchor), coarse, True
        self.scale_bits = [layer.scale_bits for layer in anchor]

    def _integers(self, index: int, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """The integers that the layer's parameters stand for, as floats, with the gradient of the identity."""
        w = weight * 2.0 ** self.scale_bits[index]
        b = bias * 2.0 ** accumulator_bits(index, self.scale_bits[index])
        if self.anchor is None:
            return _round(w).clamp(-WEIGHT_MAX, WEIGHT_MAX), _round(b)
        of_weight, of_bias = 2.0**self.coarse, 2.0 ** (self.coarse + BIAS_COARSE)
        held = self.anchor[index]
        a = torch.from_numpy(held.weight).to(w)
        steps = _round((w - a) / of_weight)
        low, high = torch.ceil((-WEIGHT_MAX - a) / of_weight), torch.floor((WEIGHT_MAX - a) / of_weight)
        a_bias = torch.from_numpy(held.bias).to(b)
        b_low, b_high = torch.ceil((-BIAS_MAX - a_bias) / of_bias), torch.floor((BIAS_MAX - a_bias) / of_bias)
        b_steps = _round((b - a_bias) / of_bias)
        return a + steps.clamp(low, high) * of_weight, a_bias + b_steps.clamp(b_low, b_high) * of_bias

    def forward(self, x: Tensor) -> Tensor:
        last = self.spec.layers - 1
        skips = x[:, self.spec.skips] * 2.0 ** (INPUT_BITS - ACT_BITS + SKIP_BITS)
        with torch.autocast(x.device.type, enabled=False):  # differences suit bfloat16, 10-bit samples do not
            x = torch.einsum("nihw,ji->njhw", x, self.basis)
        for i in range(last + 1):
            if i == last and self.spec.history:
                x = torch.cat([x, skips], 1)
            w, b = self.weight[i], self.bias[i]
            if self.quantised:
                w, b = self._integers(i, w, b)
                w = w / 2.0 ** self.scale_bits[i]
                b = b / 2.0 ** accumulator_bits(i, self.scale_bits[i])
            y = F.conv2d(x, w, b, padding=1)
            x = y + x if self.spec.adds(i) else y
            if i < last:
                if self.quantised and self.anchor is None:  # a head that is adapted has learnt to live with rounding
                    x = _round(x * 2**ACT_BITS) / 2**ACT_BITS
                x = x.clamp(0, ACT_MAX / 2**ACT_BITS)
        return x * 2**OUTPUT_BITS

    def layers(self) -> list[Layer]:
        """The integers that the quantised forward pass stands for."""
        out = []
        for i in range(self.spec.layers):
            wi, bi = self._integers(i, self.weight[i].detach().double(), self.bias[i].detach().double())
            bi = bi.clamp(-BIAS_MAX, BIAS_MAX)
            out.append(
                Layer(np.ascontiguousarray(wi.numpy().astype(np.int8)), bi.numpy().astype(np.int32), self.scale_bits[i])
            )
        return out

    def load_layers(self, layers: list[Layer]) -> None:
        """Start from the integers of another head of the same shape."""
        with torch.no_grad():
            for i, layer in enumerate(layers):
                self.scale_bits[i] = layer.scale_bits
                self.weight[i].copy_(torch.from_numpy(layer.weight.astype(np.float32)) / 2.0**layer.scale_bits)
                unit = 2.0 ** accumulator_bits(i, layer.scale_bits)
                self.bias[i].copy_(torch.from_numpy(layer.bias.astype(np.float32)) / unit)
