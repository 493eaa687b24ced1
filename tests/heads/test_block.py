"""A layer as one operation has the values and the gradients of its parts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from heads.block import block, inside


def tenths(x: Tensor) -> Tensor:
    return torch.floor(x * 10) / 10


class Tenths(torch.autograd.Function):
    """Rounding with the gradient of the identity."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return tenths(x)

    @staticmethod
    def backward(ctx: object, *gradients: Tensor) -> Tensor:
        return gradients[0]


@pytest.mark.parametrize("inner", [False, True])
@pytest.mark.parametrize("rounds", [False, True])
@pytest.mark.parametrize("adds, shifts, top", [(True, False, 1.0), (False, True, 1.0), (True, True, None)])
def test_values_and_gradients(inner: bool, rounds: bool, adds: bool, shifts: bool, top: float | None) -> None:
    rng = np.random.default_rng(3)
    x, weight, bias, shift = (
        torch.from_numpy(rng.normal(0, spread, shape)).requires_grad_()
        for spread, shape in ((1, (2, 4, 7, 9)), (0.3, (4, 4, 3, 3)), (0.3, (4,)), (0.3, (2, 4)))
    )
    y = F.conv2d(x, weight, bias, padding=0 if inner else 1)
    y = y + shift[:, :, None, None] if shifts else y
    y = y + inside(x, int(inner)) if adds else y
    y = Tenths.apply(y) if rounds else y  # type: ignore[no-untyped-call]
    y = y.clamp(0.0, top) if top is not None else y
    ours = block(
        x, weight, bias, shift=shift if shifts else None, inner=inner, adds=adds, rounded=tenths if rounds else None,
        top=top,
    )  # fmt: skip
    assert torch.equal(ours, y)
    leaves = [x, weight, bias, shift][: 4 if shifts else 3]
    toward = torch.from_numpy(rng.normal(size=y.shape))
    toward = toward * ((y > 0) & (y < top)) if top is not None else toward  # at a limit itself either is right
    for a, b in zip(torch.autograd.grad(ours, leaves, toward), torch.autograd.grad(y, leaves, toward), strict=True):
        assert torch.allclose(a, b, rtol=1e-9, atol=1e-9)


def test_a_layer_of_one_cell() -> None:
    x = torch.arange(12.0).view(1, 3, 2, 2).requires_grad_()
    weight, bias = torch.ones(2, 3, 1, 1, requires_grad=True), torch.zeros(2, requires_grad=True)
    y = block(x, weight, bias)
    assert y.shape == (1, 2, 2, 2) and torch.equal(y[0, 0], x[0].sum(0))
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert (gradient == 2).all()
