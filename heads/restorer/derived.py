"""A head of 4:2:0 pictures as one of another chroma format, by moving its integers about (FORMAT.md, "Derived heads").

The first layer sees each cell of samples through a basis whose first row is their mean, however many they are
(`heads.restorer.spec`), so a weight of 4:2:0's one chroma sample is that of the mean of two or four. Differences
between them say nothing to the head, and it corrects all of them alike. Every sum is one that the head itself may
have, so what is proven of its bounds holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..layers import Layer
from .spec import FOLDS, HeadSpec

SOURCE = 6  # planes of 4:2:0, when packed


def derived(spec: HeadSpec, layers: Sequence[Layer], planes: int) -> tuple[HeadSpec, tuple[Layer, ...]]:
    """The head `layers` of shape `spec`, without history, for pictures of that many packed planes. Raises ValueError
    where it is not one of 4:2:0."""
    if spec.planes != SOURCE or spec.history:
        raise ValueError("heads are derived from those of 4:2:0 pictures without history")
    if planes == SOURCE:
        return spec, tuple(layers)
    samples = [rows * columns for rows, columns in FOLDS[planes]]
    sources = np.repeat(np.arange(len(samples)), samples)  # of every packed plane the plane
    channels = np.where(sources == 0, np.arange(planes), sources + 3)  # that it has in 4:2:0: 0..3 luma, 4 U, 5 V
    first, last = layers[0], layers[-1]
    weight = first.weight[:, [*channels, *[SOURCE] * spec.base_q]]
    weight[:, 4:planes][:, _differences(channels[4:])] = 0
    opened = replace(first, weight=weight)
    closed = replace(last, weight=last.weight[channels], bias=last.bias[channels])
    return replace(spec, planes=planes), (opened, *layers[1:-1], closed)


def _differences(channels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which rows of the basis are not the first of their plane."""
    return np.append(False, channels[1:] == channels[:-1])[: len(channels)]
