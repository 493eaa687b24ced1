"""Another last layer for a head, fitted to one picture by least squares.

The last layer is linear in what the layers before it see, so the weights that restore a picture best are the solution
of normal equations. Weights that need not change cost next to nothing (`heads.restorer.coded.encode_last`), so the fit
is drawn towards those that the head has, more or less strongly: a ladder of layers; the caller takes what pays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..layers import BIAS_MAX, WEIGHT_MAX, HeadError, Layer
from .proof import check
from .spec import ACT_MAX, HeadSpec, shift_of

ROWS = 8  # of cells that are gathered at once: bounds the memory
PULLS = (1.0, 0.1, 0.01)  # towards the weights that are there, in mean energies of what the layer sees


class Moments:
    """Sums over the cells of a picture. The numbers are those of the integer head: activations 0..255."""

    def __init__(self, spec: HeadSpec, layers: Sequence[Layer]):
        if spec.history:
            raise ValueError("a head with history has other inputs in its last layer")
        self._spec, self._layers = spec, layers
        size = spec.width * 9 + 1
        self._normal = torch.zeros(size, size, dtype=torch.float64)
        self._moment = torch.zeros(size, spec.planes, dtype=torch.float64)

    def add(self, seen: Tensor, target: Tensor, edges: tuple[bool, bool], every: int) -> None:
        """A band of the picture: `seen` (1, width, rows + 2, columns), the last layer's input with a row above and
        below (but none beyond an edge: `edges` says whether the band is the first and the last), and `target` (rows,
        columns, planes), what is to be added in 10-bit steps. One cell in `every` counts."""
        seen = F.pad(seen.float(), (1, 1, int(edges[0]), int(edges[1])))
        for row in range(0, len(target), ROWS):
            self._add(seen[:, :, row : row + ROWS + 2], target[row : row + ROWS], every)

    def _add(self, seen: Tensor, target: Tensor, every: int) -> None:
        """Some rows, with one row and column more on each side of `seen`."""
        columns = F.unfold(seen, 3)[0].T[::every]  # (cells, width * 9), channels first, as weights lie
        wanted = target.reshape(-1, target.shape[2])[::every]
        columns = torch.cat([columns / ACT_MAX, torch.ones(len(columns), 1)], 1)
        last = self._layers[-1]
        weight = torch.from_numpy(last.weight.reshape(len(last.weight), -1).astype(np.float32))
        bias = torch.from_numpy(last.bias.astype(np.float32))
        unit = 2.0 ** shift_of(self._spec.layers - 1, self._spec.layers - 1, last.scale_bits)
        now = (columns[:, :-1] @ weight.T * ACT_MAX + bias) / unit
        self._normal += (columns.T @ columns).double()
        self._moment += (columns.T @ (wanted - now)).double()

    def layers(self) -> Iterator[Layer]:
        """Layers of the same scale, from those that change little to those that fit closely."""
        last = self._layers[-1]
        unit = 2.0 ** shift_of(self._spec.layers - 1, self._spec.layers - 1, last.scale_bits)
        mean = float(torch.diagonal(self._normal).mean())
        before = b""
        for pull in PULLS:
            ridge = torch.eye(len(self._normal), dtype=torch.float64) * (pull * mean + 1e-6)
            change = torch.linalg.solve(self._normal + ridge, self._moment).T.numpy() * unit
            weight = last.weight + np.rint(change[:, :-1] / ACT_MAX).reshape(last.weight.shape)
            bias = last.bias + np.rint(change[:, -1])
            weight = np.clip(weight, -WEIGHT_MAX, WEIGHT_MAX).astype(np.int8)
            layer = Layer(weight, np.clip(bias, -BIAS_MAX, BIAS_MAX).astype(np.int32), last.scale_bits)
            same = (weight == last.weight).all()
            if same or weight.tobytes() == before:
                continue
            before = weight.tobytes()
            try:
                check(self._spec, [*self._layers[:-1], layer])
            except HeadError:
                continue
            yield layer
