"""A last layer by least squares: sums that are exact, layers that pay for their bits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from heads.layers import Layer
from heads.restorer.coded import decode_change
from heads.restorer.last import Moments
from heads.restorer.loaded import restoring_head
from heads.restorer.spec import HeadSpec
from heads.restorer.store import film_head
from heads.weights import bits_of, encode_change
from tests.heads.test_fit import blurred, drawn, packed

SPEC = HeadSpec(4, 0, 3, 8)
HALO = 3


def drawn_layers(seed: int = 3) -> list[Layer]:
    """Small random weights."""
    rng = np.random.default_rng(seed)
    return [
        Layer(rng.integers(-20, 21, shape).astype(np.int8), rng.integers(-50, 51, shape[0]).astype(np.int32), 0)
        for shape in SPEC.shapes()
    ]


def sums_of(moments: Moments) -> list[torch.Tensor]:
    return [moments._normal, moments._moment, moments._energy]


def test_sums_are_exact_whatever_the_bands() -> None:
    layers, rng = drawn_layers(), np.random.default_rng(5)
    seen = torch.from_numpy(rng.integers(0, 256, (1, SPEC.width, 37, 41)).astype(np.float32))
    target = torch.from_numpy(rng.integers(-1023, 1024, (37, 41, SPEC.planes)).astype(np.float32))
    whole, parts = Moments(SPEC, layers), Moments(SPEC, layers)
    whole.add(seen, target, (True, True), 1)
    parts.add(seen[:, :, :20], target[:19], (True, False), 1)
    parts.add(seen[:, :, 18:], target[19:], (False, True), 1)
    assert all(torch.equal(a, b) for a, b in zip(sums_of(whole), sums_of(parts), strict=True))
    padded = np.pad(seen[0].numpy().astype(np.int64), ((0, 0), (1, 1), (1, 1)))
    one = padded[2, 1:-1, :-2].ravel() @ padded[5, 2:, 1:-1].ravel()  # weights (2, 1, 0) and (5, 2, 1)
    assert int(whole._normal[2 * 9 + 3, 5 * 9 + 7]) == one


@pytest.fixture(scope="module")
def film() -> tuple[HeadSpec, list[Layer], Moments, torch.Tensor, torch.Tensor]:
    """The head of films on a drawn picture, whose chroma is its luma made smaller: inputs and target too."""
    stored = film_head(1)
    base, wanted = blurred(drawn(7)), drawn(7)
    luma, target = packed(base) - 512, packed(wanted) - packed(base)
    chroma = luma.mean(2, keepdim=True).round()
    inputs = torch.cat([luma, chroma, -chroma, torch.full_like(chroma, 40.0)], 2)
    target = torch.cat([target, target.mean(2, keepdim=True).round(), torch.zeros_like(chroma)], 2)
    layers = list(stored.layers)
    moments = Moments(stored.spec, layers)
    running = restoring_head(stored.spec, layers)
    x = torch.zeros((*inputs.shape[:2], running.cell))
    x[:, :, : inputs.shape[2]] = inputs
    moments.add(running.activations(x), target, (True, True), 1)
    return stored.spec, layers, moments, x, target


def error_of(spec: HeadSpec, layers: list[Layer], x: torch.Tensor, target: torch.Tensor) -> np.ndarray:
    """Mean squared error of each plane as the integer head leaves it."""
    found = restoring_head(spec, layers).correction(x).float() / 16
    return (found[..., : spec.planes] - target).square().mean((0, 1)).numpy()


@pytest.mark.parametrize("coarse", [3, 4])
def test_a_priced_layer_is_worth_its_bits(film: tuple, coarse: int) -> None:
    spec, layers, moments, x, target = film
    worth = np.ones(spec.planes)
    layer, promise = moments.priced(worth, 1e-4, layers[-1], coarse)
    own = [*layers[:-1], layer]
    before, after = error_of(spec, layers, x, target), error_of(spec, own, x, target)
    assert (after < before).all() and promise > 0
    change = encode_change(own, layers, coarse)
    again = decode_change(change, spec, layers)
    assert np.array_equal(again[-1].weight, layer.weight) and np.array_equal(again[-1].bias, layer.bias)
    # what was promised is what is left by the integer head, but for the rounding of what it adds, less the bits
    gone = float((worth * (1 - after / before)).sum())
    assert promise == pytest.approx(gone - 1e-4 * 8 * len(change), abs=0.1 * gone)


def test_planes_that_are_worth_nothing_and_bits_that_are_too_dear_change_nothing(film: tuple) -> None:
    spec, layers, moments, _, _ = film
    worth = np.ones(spec.planes)
    worth[:4] = 0
    chroma, _ = moments.priced(worth, 1e-4, layers[-1], 3)
    assert np.array_equal(chroma.weight[:4], layers[-1].weight[:4]) and chroma != layers[-1]
    same, promise = moments.priced(worth, 1e3, layers[-1], 3)
    assert np.array_equal(same.weight, layers[-1].weight) and promise == 0


def test_numbers_stay_legal(film: tuple) -> None:
    spec, layers, moments, _, _ = film
    last = layers[-1]
    full = replace(last, weight=np.where(np.arange(last.weight.size).reshape(last.weight.shape) % 2, 127, -127))
    full = replace(full, weight=full.weight.astype(np.int8))
    layer, _ = moments.priced(np.ones(spec.planes), 0.0, full, 3)
    assert layer.weight.dtype == np.int8 and np.abs(layer.weight.astype(int)).max() <= 127


def test_bits_of_numbers_follow_their_table() -> None:
    numbers = np.array([0, 1, -1, 5, 127, 128, 1000])
    few, many = bits_of(numbers, 4), bits_of(numbers, 30)
    assert few[0] < 1 < few[3] and few[1] == few[2] and many[3] < few[3]
    assert few[6] > few[5] > few[0] and np.isfinite(few).all()
