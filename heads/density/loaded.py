"""Density heads, ready to run: those that were loaded last are kept, as those of `heads.restorer.loaded` are."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from ..choice import asked
from ..layers import Layer
from .head import DensityHead
from .spec import DensitySpec, Rules

KEPT = 64  # heads; a film uses eight at once


def density_head(spec: DensitySpec, layers: Sequence[Layer], rules: Rules) -> DensityHead:
    """The head with these integers, proven exact on this machine. Raises HeadError."""
    return _loaded(spec, tuple(layers), rules, asked())


@lru_cache(KEPT)
def _loaded(spec: DensitySpec, layers: tuple[Layer, ...], rules: Rules, kernel: str) -> DensityHead:
    """`kernel`: the one that is forced, if one is."""
    return DensityHead(spec, layers, rules)
