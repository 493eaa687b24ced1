"""The float twin of a head: its quantised pass is the integer arithmetic, its integers survive the way back."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from heads.layers import Layer
from heads.restorer.integer import IntegerHead
from heads.restorer.model import HeadModel
from heads.restorer.spec import FOLDS, HeadSpec, effective, input_basis
from tests.heads.drawn_heads import SPECS, drawn_head


def drawn_inputs(spec: HeadSpec, seed: int) -> torch.Tensor:
    """(h, w, inputs) integers as float32, at home in the ranges of FORMAT.md."""
    rng = np.random.default_rng(seed)
    x = rng.integers(-255, 256, (10, 13, spec.inputs))
    x[:, :, : spec.planes] = rng.integers(-512, 512, (10, 13, spec.planes))
    return torch.from_numpy(x).float()


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("seed", [0, 1])
def test_quantised_pass_is_the_integer_arithmetic(spec: HeadSpec, seed: int) -> None:
    layers = drawn_head(spec, seed)
    model = HeadModel(spec).double()
    model.load(layers)
    model.quantised = True
    x = drawn_inputs(spec, seed)
    with torch.no_grad():
        steps = model((x / 256).double().permute(2, 0, 1)[None])[0].permute(1, 2, 0)  # 10-bit steps, not rounded
    head = IntegerHead(spec, layers)
    for depth in (8, 10):
        unit = 1 << (10 - depth)
        upscaled = x[:, :, : spec.planes].double() + 512
        expected = torch.floor((upscaled + steps) / unit + 0.5).clamp(0, (1 << depth) - 1)
        assert torch.equal(head.predict(x, depth).double(), expected)
    assert steps.std() > 1, "the head does something"


@pytest.mark.parametrize("spec", SPECS[:5], ids=str)
def test_layers_survive_loading(spec: HeadSpec) -> None:
    layers = drawn_head(spec, 2)
    model = HeadModel(spec)
    model.load(layers)
    for a, b in zip(model.layers(), layers, strict=True):
        assert a.scale_bits == b.scale_bits
        assert np.array_equal(a.weight, b.weight) and np.array_equal(a.bias, b.bias)


def test_weights_and_biases_are_limited_when_rounded() -> None:
    spec = HeadSpec(4, 0, 2, 1)
    model = HeadModel(spec)
    with torch.no_grad():
        model.weight[0][:] = 3.0
        model.weight[1][:] = -3.0
        model.bias[0][:] = 1e5
    layers = model.layers()
    assert (layers[0].weight == 127).all() and (layers[1].weight == -127).all()
    assert (layers[0].bias == 1 << 20).all()


def test_scales_are_the_finest_that_fit() -> None:
    spec = HeadSpec(4, 0, 2, 1)
    model = HeadModel(spec)
    cases = ((0.4, 0, 8), (0.5, 0, 7), (0.99, 0, 7), (1.0, 0, 6), (1.0, 3, 3), (30.0, 3, 0), (0.0, 0, 6))
    for top, coarser, bits in cases:
        with torch.no_grad():
            model.weight[0][:] = 0
            model.weight[0][0, 0, 0, 0] = -top
        model.choose_scales(coarser)
        assert model.scale_bits[0] == bits, (top, coarser)
        assert top * 2**bits <= 127


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_effective_weights(spec: HeadSpec) -> None:
    """A detail of a cell and its mean are seen as the basis says, and later layers are taken as they are."""
    basis = input_basis(spec)
    assert basis.shape == (spec.inputs, spec.inputs)
    product = basis @ basis.T
    assert np.array_equal(product, np.diag(np.diag(product))) and (np.diag(product) > 0).all(), "rows are orthogonal"
    layers = drawn_head(spec, 3)
    rng = np.random.default_rng(3)
    patch = rng.integers(-255, 256, (spec.inputs, 3, 3))
    seen = np.tensordot(basis, patch, 1)  # the cells in the basis
    expected = [int((layers[0].weight[o].astype(int) * seen).sum()) for o in range(spec.width)]
    found = [int((effective(spec, 0, layers[0])[o] * patch).sum()) for o in range(spec.width)]
    assert found == expected
    assert np.array_equal(effective(spec, 1, layers[1]), layers[1].weight)


@pytest.mark.parametrize("history", [0, 1, 2])
def test_an_untrained_head_changes_little(history: int) -> None:
    """Without history nothing at all; with it three quarters of what each gate lets through."""
    spec = HeadSpec(6, history, 3, 4)
    model = HeadModel(spec, torch.Generator().manual_seed(1))
    x = drawn_inputs(spec, 4)
    with torch.no_grad():
        y = model((x / 256).permute(2, 0, 1)[None])[0].permute(1, 2, 0)
    expected = 0.75 * x[:, :, 6:12] if history else torch.zeros_like(y)
    assert torch.allclose(y, expected, atol=1e-3)


@pytest.mark.parametrize("values", [
    (5, 0, 4, 16), (6, 3, 4, 16), (6, 0, 1, 16), (6, 0, 9, 16), (6, 0, 4, 0), (6, 0, 4, 65)
], ids=str)  # fmt: skip
def test_shapes_that_do_not_exist_are_refused(values: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError):
        HeadSpec(*values)


def test_counting() -> None:
    spec = HeadSpec(6, 2, 3, 8)
    assert spec.inputs == 30
    assert spec.skips == [*range(6, 12), *range(18, 24)]
    assert spec.shapes() == [(8, 30, 3, 3), (8, 8, 3, 3), (6, 20, 3, 3)]
    assert spec.weights == 9 * (8 * 30 + 8 * 8 + 6 * 20)
    assert [sum(r * c for r, c in HeadSpec(n).folds) for n in FOLDS] == [*FOLDS] == [4, 6, 8, 12]
    layer = Layer(np.zeros((1, 1, 3, 3), np.int8), np.zeros(1, np.int32), 3)
    with pytest.raises(AttributeError):
        layer.scale_bits = 4  # type: ignore[misc]
