"""Predictors of the LZMA baseline: what a sample is guessed to be from samples before it, in both directions.

A block holds planes of one shape that share a predictor: int32, (planes, rows, columns), samples 0..`top`. Residuals
are sample minus prediction modulo `mask` + 1, so that a sample is a prediction plus a residual, modulo the same.
Neighbours outside the picture count as 0. Every predictor is an integer function of samples that a decoder has, and
one function serves both ways: an encoder gives it whole blocks, a decoder anti-diagonals, whose samples do not depend
on each other.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Block = NDArray[np.int32]
Weights = NDArray[np.int16]  # (planes, TAPS)

# neighbours of the reference that the fit weighs besides the sample itself, as (down, right)
AROUND = tuple((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1))
TAPS = 3 + len(AROUND)  # left, up and up-left of the picture itself, then the reference's nine
SHIFT = 12  # a weight of 1 is 1 << SHIFT
RIDGE = 1e-4  # variance added to every neighbour when weights are fitted: neighbours may all be equal


class Predictor(IntEnum):
    """Numbers on the wire. The reference is the picture before; all 0 where there is none."""

    NONE = 0
    LEFT = 1  # in the first column the sample above
    UP = 2  # in the first row the sample to the left
    MEDIAN = 3  # of left, up and left + up - up-left (LOCO-I)
    PREVIOUS = 4  # the reference
    PREVIOUS_MEDIAN = 5  # the reference plus MEDIAN of the differences from it
    MIDDLE = 6  # the median of MEDIAN, PREVIOUS and PREVIOUS_MEDIAN
    FIT = 7  # a weighted sum of the neighbours in the picture and in the reference


def _median(left: Block, up: Block, corner: Block) -> Block:
    low, high = np.minimum(left, up), np.maximum(left, up)
    return np.minimum(np.maximum(left + up - corner, low), high)


def _middle(a: Block, b: Block, c: Block) -> Block:
    return np.maximum(np.minimum(a, b), np.minimum(np.maximum(a, b), c))


def _moved(block: Block, down: int, right: int) -> Block:
    """The block whose sample at (y, x) is that of `block` at (y - down, x - right); 0 where there is none."""
    moved = np.zeros_like(block)
    rows, columns = block.shape[-2:]
    moved[..., down:, right:] = block[..., : rows - down, : columns - right]
    return moved


def _around(reference: Block) -> list[Block]:
    """The reference's samples around each of its own, those outside taken from the nearest edge."""
    rows, columns = reference.shape[-2:]
    wide = np.pad(reference, ((0, 0), (1, 1), (1, 1)), mode="edge")
    return [wide[:, 1 + dy : 1 + dy + rows, 1 + dx : 1 + dx + columns] for dy, dx in AROUND]


class _Scene:
    """What a prediction needs beside the three neighbours in the picture itself; each of the same layout, which is the
    block's, or skewed so that anti-diagonals are rows."""

    def __init__(self, predictor: Predictor, reference: Block, weights: Weights | None, top: int):
        self.predictor, self.top = predictor, top
        self.parts: list[Block] = []
        if predictor != Predictor.MEDIAN:
            self.parts.append(reference)
        if predictor in (Predictor.PREVIOUS_MEDIAN, Predictor.MIDDLE):
            self.parts += [_moved(reference, 0, 1), _moved(reference, 1, 0), _moved(reference, 1, 1)]
        self.own: Block | None = None  # (planes, 3, 1): weights of left, up and corner
        if weights is not None:
            scaled = weights.astype(np.int32)[:, :, None, None]
            base = np.full_like(reference, 1 << SHIFT >> 1)
            for k, samples in enumerate(_around(reference)):
                base += scaled[:, 3 + k] * samples
            self.own = scaled[:, :3, 0]
            edge = np.zeros_like(reference)
            edge[:, 0], edge[:, :, 0] = 1, 1
            self.parts += [base, edge]

    def predict(self, left: Block, up: Block, corner: Block, parts: list[Block]) -> Block:
        """The prediction for samples with these neighbours; `parts` are those of the same samples."""
        predictor = self.predictor
        spatial = _median(left, up, corner)
        if predictor == Predictor.MEDIAN:
            return spatial
        reference = parts[0]
        if predictor == Predictor.FIT:
            assert self.own is not None
            own = self.own if left.ndim == 2 else self.own[..., None]
            total = parts[1] + own[:, 0] * left + own[:, 1] * up + own[:, 2] * corner
            fitted = np.minimum(np.maximum(total >> SHIFT, 0), self.top)
            return np.where(parts[2], spatial, fitted)  # where neighbours are missing, weights mislead
        change = reference + _median(left - parts[1], up - parts[2], corner - parts[3])
        moved = np.minimum(np.maximum(change, 0), self.top)
        return moved if predictor == Predictor.PREVIOUS_MEDIAN else _middle(spatial, reference, moved)


def residuals(
    predictor: Predictor, block: Block, reference: Block, weights: Weights | None, top: int, mask: int
) -> Block:
    """The residuals of a block, 0..`mask`. `weights`: of FIT, None for the others."""
    if predictor == Predictor.NONE:
        return block & mask
    if predictor == Predictor.PREVIOUS:
        return (block - reference) & mask
    if predictor == Predictor.LEFT:
        found = np.diff(block, axis=2, prepend=0)
        found[:, :, 0] = np.diff(block[:, :, 0], axis=1, prepend=0)
        return found & mask
    if predictor == Predictor.UP:
        found = np.diff(block, axis=1, prepend=0)
        found[:, 0] = np.diff(block[:, 0], axis=1, prepend=0)
        return found & mask
    scene = _Scene(predictor, reference, weights, top)
    left, up, corner = _moved(block, 0, 1), _moved(block, 1, 0), _moved(block, 1, 1)
    return (block - scene.predict(left, up, corner, scene.parts)) & mask


def restored(
    predictor: Predictor, residual: Block, reference: Block, weights: Weights | None, top: int, mask: int
) -> Block:
    """Inverse of `residuals`. Of residuals that no encoder wrote it makes some block of samples 0..`mask`."""
    if predictor == Predictor.NONE:
        return residual & mask
    if predictor == Predictor.PREVIOUS:
        return (residual + reference) & mask
    if predictor == Predictor.LEFT:
        found = residual.copy()
        found[:, :, 0] = np.cumsum(found[:, :, 0], axis=1)
        return np.cumsum(found, axis=2, dtype=np.int32) & mask
    if predictor == Predictor.UP:
        found = residual.copy()
        found[:, 0] = np.cumsum(found[:, 0], axis=1)
        return np.cumsum(found, axis=1, dtype=np.int32) & mask
    return _by_diagonals(_Scene(predictor, reference, weights, top), residual, mask)


def _skewed(block: Block) -> Block:
    """(diagonals, planes, rows): row y of diagonal k is the sample at (y, k - y); elsewhere 0."""
    planes, rows, columns = block.shape
    skewed = np.zeros((rows + columns - 1, planes, rows), block.dtype)
    for y in range(rows):
        skewed[y : y + columns, :, y] = block[:, y].T
    return skewed


def _by_diagonals(scene: _Scene, residual: Block, mask: int) -> Block:
    planes, rows, columns = residual.shape
    diagonals = rows + columns - 1
    parts = [_skewed(part) for part in scene.parts]
    rest = _skewed(residual)
    # two diagonals before the first and one row above the first, all 0: the neighbours outside the picture
    done = np.zeros((diagonals + 2, planes, rows + 1), np.int32)
    for k in range(diagonals):
        a, b = max(0, k - columns + 1), min(rows, k + 1)
        before = done[k + 1]
        near = [part[k, :, a:b] for part in parts]
        guess = scene.predict(before[:, a + 1 : b + 1], before[:, a:b], done[k, :, a:b], near)
        done[k + 2, :, a + 1 : b + 1] = (guess + rest[k, :, a:b]) & mask
    found = np.empty_like(residual)
    for y in range(rows):
        found[:, y] = done[y + 2 : y + 2 + columns, :, y + 1].T
    return found


def fitted_weights(block: Block, reference: Block) -> Weights:
    """The weights of FIT, by least squares over the block."""
    found = np.zeros((len(block), TAPS), np.int16)
    if min(block.shape[1:]) < 2:
        return found
    neighbours = [_moved(block, 0, 1), _moved(block, 1, 0), _moved(block, 1, 1), *_around(reference)]
    limit = np.iinfo(np.int16)
    for p in range(len(block)):
        taps = np.stack([n[p, 1:, 1:].ravel() for n in neighbours]).astype(np.float64)
        square = taps @ taps.T
        square[np.diag_indices(TAPS)] += RIDGE * taps.shape[1]
        solution = np.linalg.solve(square, taps @ block[p, 1:, 1:].ravel())
        found[p] = np.clip(np.rint(solution * (1 << SHIFT)), limit.min, limit.max)
    return found
