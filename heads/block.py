"""A layer of a twin as one operation with a gradient of its own: convolution, what it adds, rounding, clipping.

torch would derive each of them by itself, with passes over all activations that add nothing; that took half as long
again (bench/NOTES.md, "How heads learn").
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def inside(x: Tensor, margin: int) -> Tensor:
    """x (n, channels, h, w) without so many cells at each edge."""
    return x[:, :, margin : x.shape[2] - margin, margin : x.shape[3] - margin] if margin else x


class _Block(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        shift: Tensor | None,
        inner: bool,
        adds: bool,
        rounded: Callable[[Tensor], Tensor] | None,
        top: float | None,
    ) -> Tensor:
        y = F.conv2d(x, weight, bias, padding=0 if inner else weight.shape[2] // 2)
        if shift is not None:
            y += shift[:, :, None, None]
        if adds:
            y += inside(x, int(inner))
        if rounded:
            y = rounded(y)
        if top is not None:
            y.clamp_(0.0, top)
        ctx.save_for_backward(x.to(y.dtype), weight.to(y.dtype), y if top is not None else None)
        ctx.inner, ctx.adds, ctx.top = inner, adds, top
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, y = ctx.saved_tensors
        (gradient,) = gradients
        if y is not None:
            gradient = torch.ops.aten.hardtanh_backward(gradient, y, 0.0, ctx.top)
        pad = 0 if ctx.inner else weight.shape[2] // 2
        wanted = [ctx.needs_input_grad[0], True, True]
        of_x, of_weight, of_bias = torch.ops.aten.convolution_backward(
            gradient, x, weight, [len(weight)], [1, 1], [pad, pad], [1, 1], False, [0, 0], 1, wanted
        )
        if ctx.adds and wanted[0]:
            inside(of_x, int(ctx.inner)).add_(gradient)
        of_shift = gradient.sum((2, 3)) if ctx.needs_input_grad[3] else None
        return of_x, of_weight, of_bias, of_shift, None, None, None, None


def block(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    *,
    shift: Tensor | None = None,
    inner: bool = False,
    adds: bool = False,
    rounded: Callable[[Tensor], Tensor] | None = None,
    top: float | None = None,
) -> Tensor:
    """A layer's output (n, out, h, w) of its input: convolved, plus a `shift` (n, out) where there is one, plus
    the input where it `adds`, `rounded` with the
    gradient of the identity, and clipped to 0..top. `inner`: only where all of a kernel is on the input."""
    found: Tensor = _Block.apply(x, weight, bias, shift, inner, adds, rounded, top)  # type: ignore[no-untyped-call]
    return found
