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
are 8-bit integers, the weights 8-bit integers with one power-of-two scale a layer; `HeadModel` is the float twin
(`heads.twin`) that training moves, and its quantised forward pass computes what `heads.restorer.integer` computes
exactly.

The first layer's weights stand for a Haar basis of each cell of samples, differences amplified: what a head has to
mend is small beside the brightness of the picture, and gradient descent finds it several times sooner there. The
basis is folded into integer weights of the samples themselves (`effective`) when a head runs.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..block import block, inside
from ..layers import BIAS_COARSE, BIAS_MAX, SCALE_BITS_MAX
from ..twin import FloatTwin, finest_scale, nearest
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


class HeadModel(FloatTwin):
    """Float twin of a head. Input (N, inputs, h, w) in real-valued units, output (N, planes, h, w) in 10-bit steps,
    to be added to the base."""

    bias_max, bias_coarse = BIAS_MAX, BIAS_COARSE

    def __init__(self, spec: HeadSpec, generator: torch.Generator | None = None):
        spreads = [(2.0 / (s[1] * 9)) ** 0.5 * (ADDED if spec.adds(i) else 1) for i, s in enumerate(spec.shapes())]
        weights = (torch.randn(s, generator=generator) * std for s, std in zip(spec.shapes(), spreads, strict=True))
        super().__init__(weights, SCALE_BITS_MAX)
        self.spec = spec
        self.basis: Tensor
        self.register_buffer("basis", torch.from_numpy(input_basis(spec) / 2**BASIS_BITS).float())
        first, last = self.weight[0], self.weight[-1]
        first -= first.mean((2, 3), keepdim=True)  # brightness itself tells little
        last.zero_()  # starts as "no change",
        for c in range(spec.planes if spec.history else 0):
            last[c, spec.width + c, 1, 1] = COPIED  # or as what was seen last, where it can be trusted

    def choose_scales(self, coarser: int = 0) -> None:
        """Fix each layer's scale as the finest that its largest weight allows, less `coarser` bits."""
        self.scale_bits = [finest_scale(w, SCALE_BITS_MAX, coarser=coarser) for w in self.weight]

    def weight_bits(self, index: int) -> int:
        return self.scale_bits[index]

    def bias_unit(self, index: int) -> float:
        return 2.0 ** accumulator_bits(index, self.scale_bits[index])

    def forward(self, x: Tensor, inner: bool = False) -> Tensor:
        """`inner`: only where all that the head looks at is in the picture, `spec.layers` cells from its edges."""
        last = self.spec.layers - 1
        skips = inside(x[:, self.spec.skips], last * int(inner)) * 2.0 ** (INPUT_BITS - ACT_BITS + SKIP_BITS)
        with torch.autocast(x.device.type, enabled=False):  # differences suit bfloat16, 10-bit samples do not
            x = (x.permute(0, 2, 3, 1) @ self.basis.T).permute(0, 3, 1, 2)
        rounds = self.quantised and self.anchor is None  # a head that is adapted has learnt to live with rounding
        for i in range(last):
            weight, bias = self.parameters_of(i)
            rounded, adds = _to_activations if rounds else None, self.spec.adds(i)
            x = block(x, weight, bias, inner=inner, adds=adds, rounded=rounded, top=ACT_MAX / 2**ACT_BITS)
        x = torch.cat([x, skips.to(x)], 1) if self.spec.history else x
        return block(x, *self.parameters_of(last), inner=inner) * 2**OUTPUT_BITS


def _to_activations(x: Tensor) -> Tensor:
    """The nearest values that activations may have."""
    return nearest(x * 2**ACT_BITS) / 2**ACT_BITS
