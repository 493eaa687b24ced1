"""The gate of earlier pictures, against plain integers from FORMAT.md."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from heads.restorer.history import FULL, GATES, best_gate, gate_weights, gated


def weights_of_the_format(e: np.ndarray, gate: int) -> np.ndarray:
    """clip(32 - (s >> gate), 0, 16), s the sum of |E| over the luma channels of 3x3 cells, edges repeated."""
    rows, columns, _ = e.shape
    out = np.zeros((rows, columns), np.int64)
    for y in range(rows):
        for x in range(columns):
            s = 0
            for dy in (-1, 0, 1):
                for dx in (-1, 0, 1):
                    cell = e[min(max(y + dy, 0), rows - 1), min(max(x + dx, 0), columns - 1)]
                    s += sum(abs(int(v)) for v in cell[:4])
            out[y, x] = min(max(32 - (s >> gate), 0), 16)
    return out


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("shape", [(1, 1, 4), (1, 6, 6), (5, 1, 8), (9, 11, 12)], ids=str)
def test_gates_are_those_of_the_format(gate: int, shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(gate)
    seen = set()
    for spread in (1, 6, 30, 120, 400):
        e = np.clip(np.rint(rng.normal(0, spread, shape)), -255, 255).astype(np.int64)
        d = rng.integers(-255, 256, shape)
        expected = weights_of_the_format(e, gate)
        seen |= set(expected.ravel().tolist())
        bases, outputs = torch.from_numpy(e).float(), torch.from_numpy(d).float()
        assert np.array_equal(gate_weights(bases, gate).numpy()[:, :, 0], expected)
        g = (d * expected[:, :, None]) >> 4
        assert np.array_equal(gated(outputs, bases, gate).numpy(), g)
        assert np.array_equal(bases.numpy(), e) and np.array_equal(outputs.numpy(), d), "inputs are left alone"
    assert 16 in seen and (gate > 5 or 0 in seen)


def test_open_and_closed() -> None:
    """Full below 17 << gate, closed from 32 << gate on."""
    for gate in GATES:
        cases = ((0, 16), ((17 << gate) - 1, 16), (17 << gate, 15), ((32 << gate) - 1, 1), (32 << gate, 0))
        for total, weight in cases:
            bases = torch.zeros(3, 3, 6)
            left = total
            for cell in range(9):
                for channel in range(4):
                    part = min(255, left)
                    bases[cell // 3, cell % 3, channel] = -part if channel % 2 else part
                    left -= part
            if left == 0:  # 36 samples hold at most 9180
                assert gate_weights(bases, gate)[1, 1, 0] == weight, (gate, total)
    assert FULL == 16


def test_chroma_does_not_close_the_gate() -> None:
    bases = torch.zeros(4, 4, 12)
    bases[:, :, 4:] = 255
    assert (gate_weights(bases, 2) == 16).all()


def test_differences_round_down() -> None:
    bases = torch.zeros(1, 1, 4)
    bases[0, 0, 0] = 4 * 31  # nine times: s = 1116, s >> 6 = 17, weight 15
    outputs = torch.tensor([[[1.0, -1.0, 16.0, -16.0]]])
    assert gated(outputs, bases, 6).tolist() == [[[0.0, -1.0, 15.0, -15.0]]]


def test_best_gate_leaves_the_least_error() -> None:
    rng = np.random.default_rng(3)
    outputs = torch.from_numpy(rng.integers(-60, 61, (20, 20, 6))).float()
    for gate in GATES:
        deviation = (24 << gate) / 36  # neither open nor closed everywhere
        bases = torch.from_numpy(np.rint(rng.normal(0, deviation, (20, 20, 6)) * rng.random((20, 20, 1)) * 2)).float()
        target = gated(outputs, bases, gate)
        assert best_gate([(outputs, bases, target)]) == gate
        noise = torch.from_numpy(rng.integers(-3, 4, (20, 20, 6))).float()
        assert best_gate([(outputs, bases, target + noise)] * 2) == gate
