"""Loaded heads are kept by their integers, their shape and what computes them."""

from __future__ import annotations

import numpy as np

from heads.choice import forced
from heads.layers import Layer
from heads.restorer.loaded import restoring_head
from heads.restorer.spec import HeadSpec

from .drawn_heads import drawn_head


def test_a_head_is_loaded_once() -> None:
    spec = HeadSpec(6, 0, 2, 8)
    layers = drawn_head(spec, 2)
    head = restoring_head(spec, layers)
    assert restoring_head(spec, [Layer(x.weight.copy(), x.bias.copy(), x.scale_bits) for x in layers]) is head
    other = Layer(layers[1].weight, layers[1].bias + np.int32(1), layers[1].scale_bits)
    assert restoring_head(spec, [layers[0], other]) is not head
    with forced("float64"):
        assert restoring_head(spec, layers).kernel == "float64"
    assert restoring_head(spec, layers) is head
