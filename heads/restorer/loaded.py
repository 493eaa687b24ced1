"""Restoring heads, ready to run: those that were loaded last are kept. A film loads the same head with every segment
that goes on with it, an encoder with every trial, and to prove one exact takes longer than a picture does."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from ..choice import asked
from ..layers import Layer
from .integer import IntegerHead
from .spec import HeadSpec

KEPT = 16  # heads; a megabyte or two each


def restoring_head(spec: HeadSpec, layers: Sequence[Layer], device: str = "cpu") -> IntegerHead:
    """The head with these integers on `device`, proven exact there. Raises HeadError."""
    return _loaded(spec, tuple(layers), device, asked())


@lru_cache(KEPT)
def _loaded(spec: HeadSpec, layers: tuple[Layer, ...], device: str, kernel: str) -> IntegerHead:
    """`kernel`: the one that is forced, if one is."""
    return IntegerHead(spec, layers, device)
