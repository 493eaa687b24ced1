"""Convolutions in int8: equal to integers in every case, and refused where a machine would saturate."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from heads import int8
from heads.int8 import Int8Convolution, filled, fits_pairs, int8_convolution, pairs_saturate

pytestmark = pytest.mark.skipif(
    int8_convolution(np.ones((1, 1, 1, 1), np.int8), np.zeros(1, np.int64), 0) is None,
    reason="torch has no such operators on this machine",
)


def drawn(
    channels: tuple[int, int], side: int, seed: int, peak: int = 64
) -> tuple[NDArray[np.int8], NDArray[np.int64]]:
    """Weights (outputs, inputs, side, side) and biases."""
    rng = np.random.default_rng(seed)
    return rng.integers(-peak, peak + 1, (*channels, side, side)).astype(np.int8), rng.integers(
        -9000, 9000, channels[0]
    )


def picture(channels: int, rows: int, columns: int, seed: int, extreme: bool = False) -> Tensor:
    rng = np.random.default_rng(seed)
    shape = (1, rows, columns, channels)
    values = rng.choice([0, 255], shape) if extreme else rng.integers(0, 256, shape)
    return torch.from_numpy(values.astype(np.uint8)).permute(0, 3, 1, 2)


def sums(x: Tensor, weight: NDArray[np.int8], bias: NDArray[np.int64]) -> NDArray[np.int64]:
    """(outputs, h, w) integers."""
    side = weight.shape[-1]
    padded = np.pad(x[0].numpy().astype(np.int64), ((0, 0), *[(side // 2, side // 2)] * 2))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), (1, 2))
    products = np.tensordot(weight.astype(np.float64), windows.astype(np.float64), ((1, 2, 3), (0, 3, 4)))
    return products.astype(np.int64) + bias[:, None, None]


@pytest.mark.parametrize("channels", [(16, 16), (5, 5), (16, 7), (6, 16), (2, 24), (64, 3), (1, 1)], ids=str)
@pytest.mark.parametrize("side", [1, 3])
def test_results_are_those_of_integers(channels: tuple[int, int], side: int) -> None:
    weight, bias = drawn(channels, side, 1)
    for shift in (0, 1, 6, 9, 13):
        whole = int8_convolution(weight, bias, shift, torch.float32)
        clipped = int8_convolution(weight, bias, shift)
        assert whole and clipped and whole.outputs == filled(channels[0])
        for k, (rows, columns) in enumerate([(1, 1), (1, 9), (8, 1), (13, 30)]):
            x = picture(channels[1], rows, columns, k, extreme=k % 2 == 1)
            wanted = sums(x, weight, bias)
            found = whole(x)[0, : channels[0]].double().numpy() * 2.0**shift
            assert np.array_equal(found, wanted), (shift, rows, columns)
            rounded = np.clip((wanted + (1 << shift >> 1)) >> shift, 0, 255)
            assert np.array_equal(clipped(x)[0, : channels[0]].numpy(), rounded), (shift, rows, columns)


@pytest.mark.parametrize("width", [3, 16, 24])
@pytest.mark.parametrize("own", [None, -60, 20])  # weights of a channel on itself, which may take in what is added
def test_inputs_are_added(width: int, own: int | None) -> None:
    weight, bias = drawn((width, width), 3, 2)
    if own is not None:
        weight[np.arange(width), np.arange(width), 1, 1] = own
    for shift in (0, 6, 8):
        layer = int8_convolution(weight, bias, shift, adds=True, inputs=filled(width))
        assert layer
        x = picture(filled(width), 11, 17, 3)
        x[:, width:] = 0
        before = x.clone()
        wanted = sums(x[:, :width], weight, bias) + (x[0, :width].numpy().astype(np.int64) << shift)
        found = layer(x)
        assert torch.equal(x, before), "the input is left alone"
        assert np.array_equal(found[0, :width].numpy(), np.clip((wanted + (1 << shift >> 1)) >> shift, 0, 255))
        assert not found[0, width:].any(), "channels that fill up stay 0"


@pytest.mark.parametrize("shift", [1, 2, 5, 9, 13])
@pytest.mark.parametrize("adds", [False, True])
def test_halves_are_rounded_up(shift: int, adds: bool) -> None:
    """Every sum around every half of the range, at both ends too."""
    ones = np.zeros((1, 1, 1, 1), np.int8) if adds else np.ones((1, 1, 1, 1), np.int8)
    step = 1 << shift
    x = picture(8, 1, 256, 0)
    x[0, 0, 0] = torch.arange(256, dtype=torch.uint8)
    for whole in (-1, 0, 1, 2, 7, 127, 128, 253, 254, 255):
        for beside in (-1, 0, 1):
            bias = np.array([whole * step + step // 2 + beside - (0 if adds else 128)])
            layer = int8_convolution(ones, bias, shift, adds=adds, inputs=8)
            assert layer
            total = (np.arange(256) << shift if adds else np.arange(256)) + bias
            wanted = np.clip((total + step // 2) >> shift, 0, 255)
            assert np.array_equal(layer(x)[0, 0, 0].numpy(), wanted), (whole, beside)


def test_sums_beyond_what_quarters_hold_stay_beyond_the_limits() -> None:
    """Of 2^22 and more the fraction is lost; they are limited, whatever it was."""
    weight = np.full((8, 64, 3, 3), 64, np.int8)
    weight[4:] = -64
    for bias in (0, 1 << 20, -1 << 20):
        layer = int8_convolution(weight, np.full(8, bias), 13)
        assert layer
        x = picture(64, 5, 5, 0, extreme=True) * 0 + 255
        found = layer(x)[0, :, 2, 2].tolist()
        assert found == [255] * 4 + [0] * 4
    added = int8_convolution(np.full((64, 64, 3, 3), -64, np.int8), np.full(64, 1 << 21), 13, adds=True)
    assert added and not added(x)[0, :, 2, 2].any()


def test_pairs_that_int16_does_not_hold_are_known() -> None:
    weight = np.zeros((2, 5, 3, 3), np.int8)
    assert fits_pairs(weight)
    weight[1, 2, 0, 1], weight[1, 3, 0, 1] = 100, 28
    assert fits_pairs(weight), "255 * 128"
    weight[1, 3, 0, 1] = 29
    assert not fits_pairs(weight)
    weight[1, 3, 0, 1], weight[1, 3, 0, 2], weight[1, 1, 0, 1], weight[1, 4, 2, 2] = -127, 127, 127, 127
    assert fits_pairs(weight), "other signs, other taps, other pairs, and the last alone"
    weight[0, 0, 1, 1] = weight[0, 1, 1, 1] = -64
    assert fits_pairs(weight), "-255 * 128"
    weight[0, 0, 1, 1] = -65
    assert not fits_pairs(weight)


def test_a_machine_is_asked_before_its_sums_are_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    weight, bias = drawn((16, 16), 3, 5, peak=127)
    assert not fits_pairs(weight)
    x = picture(16, 9, 9, 5, extreme=True)
    found = int8_convolution(weight, bias, 0, torch.float32)
    if pairs_saturate():
        assert found is None
    else:
        assert found and np.array_equal(found(x)[0].double().numpy(), sums(x, weight, bias))
    monkeypatch.setattr(int8, "pairs_saturate", lambda: True)
    assert int8_convolution(weight, bias, 0) is None


def test_what_saturates_is_found_by_the_probe() -> None:
    """On a machine that saturates, and one weight beyond what fits."""
    weight, bias = drawn((24, 24), 3, 6, peak=64)
    assert Int8Convolution(weight, bias, 7, torch.uint8, False, 24).sums_exactly()
    weight[17, 8:10, 2, 0] = 65
    assert Int8Convolution(weight, bias, 7, torch.uint8, False, 24).sums_exactly() != pairs_saturate()
    weight[17, 8:10, 2, 0] = -66
    assert Int8Convolution(weight, bias, 7, torch.uint8, True, 24).sums_exactly() != pairs_saturate()


def test_what_float32_does_not_hold_is_refused() -> None:
    weight = np.full((8, 64, 3, 3), 64, np.int8)
    zero = np.zeros(8, np.int64)
    assert int8_convolution(weight, zero, 8)
    assert int8_convolution(weight, zero, 14) is None
    assert int8_convolution(weight, zero + (1 << 21) + 1, 8) is None
    assert int8_convolution(np.tile(weight, (1, 2, 1, 1)), zero, 8) is None, "64 * 128 * 9 * 255 is beyond 2^24"


@pytest.mark.parametrize("operator", ["qconv_prepack", "qconv2d_pointwise"])
def test_without_the_operators_there_is_none(monkeypatch: pytest.MonkeyPatch, operator: str) -> None:
    def missing(*arguments: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(torch.ops.onednn, operator, missing)
    assert int8_convolution(*drawn((8, 8), 3, 7), 7) is None


@pytest.mark.parametrize("isa", ["AVX2", "SSE41"])
def test_lesser_instruction_sets_sum_alike(isa: str) -> None:
    program = """
import json, numpy as np, torch
from heads.int8 import int8_convolution, pairs_saturate
rng = np.random.default_rng(8)
weight, bias = rng.integers(-64, 65, (16, 16, 3, 3)).astype(np.int8), rng.integers(-9000, 9000, 16)
x = torch.from_numpy(rng.integers(0, 256, (1, 40, 50, 16)).astype(np.uint8)).permute(0, 3, 1, 2)
found = int8_convolution(weight, bias, 7, adds=True)(x)
print(json.dumps([found.sum((0, 2, 3)).tolist(), pairs_saturate()]))
"""
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": isa, "PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    totals, saturates = json.loads(ran.stdout)
    rng = np.random.default_rng(8)
    weight, bias = rng.integers(-64, 65, (16, 16, 3, 3)).astype(np.int8), rng.integers(-9000, 9000, 16)
    x = torch.from_numpy(rng.integers(0, 256, (1, 40, 50, 16)).astype(np.uint8)).permute(0, 3, 1, 2)
    wanted = sums(x, weight, bias) + (x[0].numpy().astype(np.int64) << 7)
    assert totals == np.clip((wanted + 64) >> 7, 0, 255).sum((1, 2)).tolist()
    assert saturates, "instruction sets without VNNI"
