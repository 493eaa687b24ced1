"""A last layer of a segment's own for a pretrained head, by least squares: found at once, and sent in 100 to 300 bytes.

A short training moves all layers a little, for two to four times as many bytes; where the base is small, those cost
more than they bring.

Runs in the encoder alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from heads.restorer.fit import PLANE_WEIGHTS, Example
from heads.restorer.last import Moments
from heads.restorer.loaded import restoring_head
from heads.restorer.proof import is_legal

from .head import Head
from .worth import SLOPES

# what an e-th of a plane's squared error is worth in e-ths of the bytes, by the mean of the three measures
PLANE_WORTH = tuple(
    10 / math.log(10) / 3 * (share / SLOPES[0] + is_luma * (1 / SLOPES[1] + 1 / SLOPES[2]))
    for share, is_luma in zip(PLANE_WEIGHTS, (1, 0, 0), strict=True)
)
CELLS = 480000  # that the fit looks at, about: strips of the pictures
STRIP = 16  # rows of cells
GOLDEN = (math.sqrt(5) - 1) / 2  # its multiples are spread evenly
LUMA = 4  # packed planes


def last_layers(
    examples: Sequence[Example], head: Head, anchor: Head, coarses: Sequence[int], size: float, device: str
) -> Iterator[tuple[Head, int]]:
    """`head` with the last layer that promises most on a base of `size` bytes; and with the one that changes nothing of
    luma. Each is a change of `anchor` by multiples of two to the power of one of `coarses`, which is told."""
    moments = _moments(examples, head, device)
    folds = [rows * columns for rows, columns in head.spec.folds]
    worth = np.repeat(np.divide(PLANE_WORTH if len(folds) > 1 else (sum(PLANE_WORTH),), folds), folds)
    for first in (0, LUMA)[: 1 + (head.spec.planes > LUMA)]:
        worth[:first] = 0
        found = [(*moments.priced(worth, 1 / (8 * size), anchor.layers[-1], c), c) for c in coarses]
        layer, promise, coarse = max(found, key=lambda one: one[1])
        layers = (*head.layers[:-1], layer)
        if promise > 0 and is_legal(head.spec, layers):
            yield replace(head, layers=layers), coarse


def _moments(examples: Sequence[Example], head: Head, device: str) -> Moments:
    """What the last layer sees in strips of the pictures, evenly spread, and what it is to say there."""
    running, halo = restoring_head(head.spec, head.layers, device), head.spec.layers
    rows, columns = examples[0].target.shape[:2]
    count = min(max(1, CELLS // (columns * STRIP)), len(examples) * -(-rows // STRIP))
    found = Moments(head.spec, head.layers)
    for k in range(count):
        example = examples[k * len(examples) // count]
        top = round((k * GOLDEN) % 1 * max(rows - STRIP, 0))
        bottom = min(top + STRIP, rows)
        above, below = max(top - halo, 0), min(bottom + halo, rows)
        seen = running.activations(example.inputs[above:below].float().to(running.device)).cpu()
        edges = top == 0, bottom == rows
        seen = seen[:, :, top - above - (not edges[0]) : bottom - above + (not edges[1])]
        found.add(seen, example.target[top:bottom].float(), edges, 1)
    return found
