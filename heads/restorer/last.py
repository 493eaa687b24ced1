"""Another last layer for a head, fitted to a picture or to some of a film by least squares.

The last layer is linear in what the layers before it see, so the weights that restore a picture best are the solution
of normal equations. Weights that need not change cost next to nothing (`heads.restorer.coded.encode_last`), so the fit
is drawn towards those that the head has, more or less strongly: a ladder of layers; the caller takes what pays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..layers import BIAS_COARSE, BIAS_MAX, WEIGHT_MAX, Layer
from ..weights import REACH, best_spread, bits_of
from .proof import is_legal
from .spec import ACT_MAX, HeadSpec, shift_of

RIDGE = 1e-3  # of the diagonal
SPARSE = 9  # table of numbers most of which are 0
ROUNDS, MOVES = 3, 500  # of all outputs; of one, at most
PART = 256  # cells that are summed at once in float32, exactly: 255 * 255 * 256 < 2^24
ROWS = 8  # of cells that are gathered at once: bounds the memory
PULLS = (1.0, 0.1, 0.01)  # towards the weights that are there, in mean energies of what the layer sees


class Moments:
    """Sums over the cells of a picture, exact in integers, so that the number of threads does not matter. The numbers
    are those of the integer head: activations 0..255."""

    def __init__(self, spec: HeadSpec, layers: Sequence[Layer]):
        if spec.history:
            raise ValueError("a head with history has other inputs in its last layer")
        self._spec, self._layers = spec, layers
        self._now = torch.from_numpy(_numbers(layers[-1])).double().T
        size = spec.width * 9 + 1
        self._normal = torch.zeros(size, size, dtype=torch.float64)  # integers, as all of these
        self._moment = torch.zeros(size, spec.planes, dtype=torch.float64)
        self._energy = torch.zeros(spec.planes, dtype=torch.float64)

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
        columns = torch.cat([columns, torch.ones(len(columns), 1)], 1)
        wanted = target.reshape(-1, target.shape[2])[::every]
        wide = columns.double()
        missing = wanted.double() * self._unit - wide @ self._now
        parts = F.pad(columns, (0, 0, 0, -len(columns) % PART)).unflatten(0, (-1, PART))
        self._normal += (parts.mT @ parts).double().sum(0)
        self._moment += wide.T @ missing
        self._energy += missing.square().sum(0)

    def layers(self) -> Iterator[Layer]:
        """Layers of the same scale, from those that change little to those that fit closely."""
        last = self._layers[-1]
        each = torch.ones(len(self._normal), dtype=torch.float64)
        each[:-1] /= ACT_MAX  # so that what the layer sees and the bias are alike
        normal = self._normal * torch.outer(each, each)
        mean = float(torch.diagonal(normal).mean())
        before = b""
        for pull in PULLS:
            ridge = torch.eye(len(normal), dtype=torch.float64) * (pull * mean + 1e-6)
            change = torch.linalg.solve(normal + ridge, self._moment * each[:, None]).T.numpy()
            weight = last.weight + np.rint(change[:, :-1] / ACT_MAX).reshape(last.weight.shape)
            bias = last.bias + np.rint(change[:, -1])
            weight = np.clip(weight, -WEIGHT_MAX, WEIGHT_MAX).astype(np.int8)
            layer = Layer(weight, np.clip(bias, -BIAS_MAX, BIAS_MAX).astype(np.int32), last.scale_bits)
            same = (weight == last.weight).all()
            if same or weight.tobytes() == before:
                continue
            before = weight.tobytes()
            if is_legal(self._spec, [*self._layers[:-1], layer]):
                yield layer

    def priced(self, worth: NDArray[np.float64], price: float, before: Layer, coarse: int) -> tuple[Layer, float]:
        """The layer of the same scale that is worth most beyond what it costs as a change of `before` by multiples of
        2^coarse (`heads.weights.encode_change`), found move by move, each of one number; and what it is worth then.
        `worth`: of each packed plane, the gain for each share of its squared error; `price`: of a bit, in the same."""
        last = self._layers[-1]
        units = np.full(len(self._normal), 1 << coarse, np.int64)
        units[-1] <<= BIAS_COARSE
        most = np.full(len(units), WEIGHT_MAX)
        most[-1] = BIAS_MAX
        normal = self._normal.numpy() * np.outer(units, units).astype(np.float64)
        normal[np.diag_indices(len(units))] *= 1 + RIDGE
        now, origin = _numbers(last), _numbers(before)
        steps = (now - origin) // units
        scale = worth / self._energy.clamp(min=1).numpy()
        moment: NDArray[np.float64] = self._moment.numpy().T * units
        left, first = moment.copy(), steps.copy()
        spread = SPARSE
        for _ in range(ROUNDS):
            cost = price * bits_of(np.arange(2 * REACH + 1), spread)
            for p in np.flatnonzero(scale):
                room = (-most - origin[p]) // units + 1, (most - origin[p]) // units
                _descend(steps[p], left[p], normal, scale[p], cost, room)
            spread = best_spread(steps[:, :-1].ravel())
        # the error that is gone: 2 m x - x N x, and left = m - N x
        gone = ((moment + left) * (steps - first)).sum(1)
        dearer = _bits(steps) - _bits(first)
        promise = float(scale @ gone) - price * dearer
        numbers = origin + units * steps
        weight = numbers[:, :-1].reshape(last.weight.shape).astype(np.int8)
        return Layer(weight, numbers[:, -1].astype(np.int32), last.scale_bits), promise

    @property
    def _unit(self) -> float:
        """What a 10-bit step is in the sums of the last layer."""
        return float(2.0 ** shift_of(self._spec.layers - 1, self._spec.layers - 1, self._layers[-1].scale_bits))


def _numbers(layer: Layer) -> NDArray[np.int64]:
    """Weights and bias of each output in a row."""
    return np.column_stack([layer.weight.reshape(len(layer.weight), -1), layer.bias]).astype(np.int64)


def _bits(steps: NDArray[np.int64]) -> float:
    """That numbers take, about, each group by the table that suits it."""
    groups = steps[:, :-1].ravel(), steps[:, -1]
    return float(sum(bits_of(group, best_spread(group)).sum() for group in groups))


def _descend(
    steps: NDArray[np.int64],
    left: NDArray[np.float64],
    normal: NDArray[np.float64],
    scale: float,
    cost: NDArray[np.float64],
    room: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> None:
    """Move one of `steps` after the other, in place, the one that is worth most first; `left`: what is left of the
    moment, changed too; `cost`: of a number by its magnitude; `room`: the least and the most that each may be."""
    moves = np.array([[-2], [-1], [1], [2]])
    curve = moves**2 * np.diag(normal)
    for _ in range(MOVES):
        to = steps + moves
        dearer = cost[np.minimum(np.abs(to), REACH)] - cost[np.minimum(np.abs(steps), REACH)]
        worth = scale * (2 * moves * left - curve) - dearer
        worth[(to < room[0]) | (to > room[1])] = -np.inf
        best = int(worth.argmax())
        move, i = int(moves[best // len(steps), 0]), best % len(steps)
        if worth.flat[best] <= 0:
            break
        steps[i] += move
        left -= move * normal[i]
