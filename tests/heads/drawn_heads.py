"""Heads with seeded random weights, for tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from heads.layers import EXACT, Layer
from heads.restorer.proof import worst_sums
from heads.restorer.spec import HeadSpec

SPECS = [
    HeadSpec(4, 0, 2, 1),
    HeadSpec(6, 0, 4, 16),
    HeadSpec(6, 1, 2, 5),
    HeadSpec(6, 2, 3, 8),
    HeadSpec(8, 1, 4, 7),
    HeadSpec(12, 2, 3, 9),
    HeadSpec(12, 0, 8, 4),
    HeadSpec(12, 0, 5, 6, base_q=True, adding=True),
]


def drawn_head(spec: HeadSpec, seed: int = 0) -> list[Layer]:
    """A legal head: weights as large as exact arithmetic allows, scales that keep most activations in range."""
    rng = np.random.default_rng(seed)
    layers: list[Layer] = []
    for i, shape in enumerate(spec.shapes()):
        scale = int(rng.integers(5, 9))
        spread = 90.0
        while True:
            weight = np.clip(np.rint(rng.normal(0, spread, shape)), -127, 127).astype(np.int8)
            bias = rng.integers(-(20 << scale), 60 << scale, shape[0]).astype(np.int32)
            trial = [*layers, Layer(weight, bias, scale)]
            if _worst(spec, trial)[i] < EXACT:
                layers = trial
                break
            spread *= 0.8
    return layers


def _worst(spec: HeadSpec, layers: Sequence[Layer]) -> list[int]:
    """`worst_sums` of a head whose later layers are not drawn yet."""
    rest = [Layer(np.zeros(s, np.int8), np.zeros(s[0], np.int32), 0) for s in spec.shapes()[len(layers) :]]
    return worst_sums(spec, [*layers, *rest])
