"""Coded weights (`heads.weights`) as restoring heads: read, and checked to be legal."""

from __future__ import annotations

from collections.abc import Sequence

from ..layers import BIAS_COARSE, Layer
from ..weights import decode_shapes, encode_layers
from .proof import check
from .spec import HeadSpec


def decode_layers(data: bytes, spec: HeadSpec, base: Sequence[Layer] | None = None) -> list[Layer]:
    """Inverse of `heads.weights.encode_layers`. Raises HeadError on anything but a legal head of shape `spec`."""
    layers = decode_shapes(data, spec.shapes(), base)
    check(spec, layers)
    return layers


def decode_change(data: bytes, spec: HeadSpec, base: Sequence[Layer]) -> list[Layer]:
    """Inverse of `heads.weights.encode_change`. Raises HeadError as above."""
    layers = decode_shapes(data, spec.shapes(), base, BIAS_COARSE)
    check(spec, layers)
    return layers


def encode_last(layer: Layer, base: Sequence[Layer]) -> bytes:
    """Another last layer for the head `base`, of the same scale, in the form of `encode_layers`."""
    return encode_layers([layer], [base[-1]])


def decode_last(data: bytes, spec: HeadSpec, base: Sequence[Layer]) -> list[Layer]:
    """The head `base` with the last layer that `encode_last` coded. Raises HeadError."""
    layers = [*base[:-1], *decode_shapes(data, spec.shapes()[-1:], [base[-1]])]
    check(spec, layers)
    return layers
