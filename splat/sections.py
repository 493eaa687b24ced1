"""What is entropy-coded: the head (means, gradients and numbers of atoms of all tiles) and groups of tiles' atoms.

Each section is one routine for both directions: with arrays it writes them, without it reads and returns them. What is
coded at once has one model per context and one call of the range coder, which is what makes reading fast.
SPLAT.md, "Head" and "Group", says the same in words.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import isqrt

import numpy as np

from .atoms import AMPLITUDE_MAX, ATOMS_MAX, BASE_MAX, CELLS, Ints, canonical, cell_of, dictionary
from .entropy import SymbolCoder, code_by_key, uniform
from .errors import SplatError
from .tables import LENGTHS, LEVELS, MAGNITUDES, RATIO_MAX, RESIDUAL_MAX, Models

_RESIDUAL_REST = 1 << 16  # values of a residual's magnitude beyond RESIDUAL_MAX
_AMPLITUDE_REST = AMPLITUDE_MAX - (MAGNITUDES - 1) + 1


def ratios_for(base: Ints, grid: tuple[int, int]) -> list[int]:
    """Ratios (1..RATIO_MAX) of the geometric models for `base` (tiles, channels, 3), three a channel."""
    found = []
    for values in _residuals(base, grid).T:
        mean = int(np.abs(values).sum()) * 256 // len(values) + 13  # 1/256; no ratio is 0
        root = isqrt((1 << 16) + mean * mean << 16)  # with E|r| = m the ratio is (sqrt(1 + m^2) - 1) / m
        found.append(min(max(1, (root - (1 << 16) + mean // 2) // mean), RATIO_MAX))
    return found


def _residuals(base: Ints, grid: tuple[int, int]) -> Ints:
    """(tiles, channels * 3): what prediction leaves of means and gradients."""
    found = base.astype(np.int64)
    means = found[:, :, 0].reshape(*grid, -1)
    west, north, corner = (np.zeros_like(means) for _ in range(3))
    west[:, 1:], north[1:], corner[1:, 1:] = means[:, :-1], means[:-1], means[:-1, :-1]
    west[1:, 0], corner[1:, 0] = means[:-1, 0], means[:-1, 0]
    north[0, 1:], corner[0, 1:] = means[0, :-1], means[0, :-1]
    found[:, :, 1:] -= _gradients(found[:, :, 0], grid)
    found[:, :, 0] -= _predicted(west, north, corner).reshape(len(base), -1)
    return found.reshape(len(base), -1)


def _predicted(west: Ints, north: Ints, corner: Ints) -> Ints:
    """The median of west, north and west + north - corner, as in LOCO-I."""
    return np.clip(west + north - corner, np.minimum(west, north), np.maximum(west, north))


def _gradients(means: Ints, grid: tuple[int, int]) -> Ints:
    """(tiles, channels, 2): gradients predicted from the means (tiles, channels) on either side, own ones at borders.

    Of an even slope 0.14 times the difference would be right; 3/16 fits pictures better.
    """
    padded = np.pad(means.reshape(*grid, -1), ((1, 1), (1, 1), (0, 0)), mode="edge")
    differences = np.stack([padded[1:-1, 2:] - padded[1:-1, :-2], padded[2:, 1:-1] - padded[:-2, 1:-1]], axis=-1)
    return (3 * differences.reshape(*means.shape, 2) + 8) >> 4


def _means(residuals: Ints, grid: tuple[int, int]) -> Ints:
    """Inverse of the means' prediction, antidiagonal by antidiagonal; both (tiles, channels)."""
    rows, columns = grid
    left = residuals.reshape(rows, columns, -1)
    means = np.zeros((rows + 1, columns + 1, left.shape[2]), np.int64)
    for diagonal in range(rows + columns - 1):
        y = np.arange(max(0, diagonal - columns + 1), min(rows, diagonal + 1))
        x = diagonal - y
        west, north, corner = means[y + 1, x], means[y, x + 1], means[y, x]
        if x[0] == diagonal:  # the first row has only a western neighbour
            north[0] = corner[0] = west[0]
        if x[-1] == 0:  # the first column has only a northern one
            west[-1] = corner[-1] = north[-1]
        means[y + 1, x + 1] = left[y, x] + _predicted(west, north, corner)
    return means[1:, 1:].reshape(rows * columns, -1)


def code_head(
    coder: SymbolCoder,
    models: Models,
    grid: tuple[int, int],
    ratios: Sequence[int],
    base: Ints | None = None,
    counts: Ints | None = None,
) -> tuple[Ints, Ints]:
    """Means and gradients (tiles, channels, 3) and numbers of atoms (tiles,) of all tiles. Raises SplatError."""
    tiles = grid[0] * grid[1]
    known = None if base is None else _residuals(base, grid)
    found = np.empty((tiles, len(ratios)), np.int64)
    for column, ratio in enumerate(ratios):
        values = None if known is None else known[:, column]
        short = None if values is None else np.clip(values, -RESIDUAL_MAX, RESIDUAL_MAX) + RESIDUAL_MAX
        short = coder.code("base", models.residual(ratio), short, tiles) - RESIDUAL_MAX
        long = np.flatnonzero(np.abs(short) == RESIDUAL_MAX)
        rest = None if values is None else np.abs(values[long]) - RESIDUAL_MAX
        rest = coder.code("base", uniform(_RESIDUAL_REST), rest, len(long))
        short[long] += np.sign(short[long]) * rest
        found[:, column] = short
    if base is None:
        base = found.reshape(tiles, -1, 3)
        base[:, :, 0] = _means(base[:, :, 0], grid)
        base[:, :, 1:] += _gradients(base[:, :, 0], grid)
        if np.abs(base).max() > BASE_MAX:
            raise SplatError(f"a mean or gradient is beyond {BASE_MAX} steps")
    return base, _code_counts(coder, models, grid, counts)


def _code_counts(coder: SymbolCoder, models: Models, grid: tuple[int, int], counts: Ints | None) -> Ints:
    """Numbers of atoms, tile by tile: bit length given the mean of the western and northern, then the other bits."""
    rows, columns = grid
    found = np.zeros(grid, np.int64)
    known = None if counts is None else counts.reshape(grid)
    above = [8] * columns  # a number that is likely, where nothing is known
    for y in range(rows):
        row: list[int] = []
        for x in range(columns):
            west = row[-1] if row else above[0]
            north = above[x] if y else west
            number = None if known is None else int(known[y, x])
            row.append(_code_count(coder, models, (west + north + 1 >> 1).bit_length(), number))
        found[y] = above = row
    return found.reshape(-1)


def _code_count(coder: SymbolCoder, models: Models, neighbours: int, number: int | None) -> int:
    given = None if number is None else np.array([number.bit_length()])
    length = int(coder.code("counts", models.length(neighbours), given, 1)[0])
    if length < 2:
        return length
    top = 1 << length - 1
    given = None if number is None else np.array([number - top])
    return top + int(coder.code("counts", uniform(top), given, 1)[0])


def code_group(coder: SymbolCoder, models: Models, channels: int, counts: Ints, atoms: Ints | None = None) -> Ints:
    """The atoms (n, 3 + channels) of a group's tiles, which `counts` says the numbers of; tiles count from 0 here.

    Written and returned in `canonical` order.
    """
    places = dictionary()
    if atoms is not None:
        atoms = canonical(atoms)
    tile, cell = _code_cells(coder, models, counts, atoms)

    shape = np.empty(len(cell), np.int64)
    order = np.argsort(cell, kind="stable")
    cells, starts = np.unique(cell[order], return_index=True)
    for number, some in zip(cells.tolist(), np.split(order, starts)[1:], strict=True):
        shapes = models.shapes_in[number]
        given = None if atoms is None else np.searchsorted(shapes, atoms[some, 1])
        shape[some] = shapes[coder.code("shapes", models.shape(number), given, len(some))]

    first = places.cellfirst[shape, cell]
    given = None if atoms is None else atoms[:, 2] - first
    place = first + code_by_key(coder, "positions", places.cellcount[shape, cell], uniform, given)
    scale = places.scale[shape]
    amplitudes = [
        _code_amplitudes(coder, models, channel, scale, None if atoms is None else atoms[:, 3 + channel])
        for channel in range(channels)
    ]
    return np.stack([tile, shape, place, *amplitudes], axis=1)


def _code_cells(coder: SymbolCoder, models: Models, counts: Ints, atoms: Ints | None) -> tuple[Ints, Ints]:
    """Tile and cell (n,) of every atom: each tile is halved, top from bottom, left from right, down to its cells."""
    tiles = len(counts)
    full = None
    if atoms is not None:
        cell = cell_of(dictionary().centre(atoms[:, 1], atoms[:, 2]))
        full = np.bincount(atoms[:, 0] * CELLS * CELLS + cell, minlength=tiles * CELLS * CELLS)
        full = full.reshape(tiles, CELLS, CELLS)
    boxes = counts.reshape(tiles, 1, 1)
    for level in range(LEVELS):
        axis = 1 + level % 2
        high, wide = boxes.shape[1] << (axis == 1), boxes.shape[2] << (axis == 2)
        flat = boxes.reshape(-1)
        filled = np.flatnonzero(flat)
        given = None
        if full is not None:
            halves = full.reshape(tiles, high, CELLS // high, wide, CELLS // wide).sum(axis=(2, 4))
            given = (halves[:, 0::2] if axis == 1 else halves[:, :, 0::2]).reshape(-1)[filled]
        half = np.zeros_like(flat)
        half[filled] = code_by_key(coder, "positions", flat[filled], partial(models.split, level), given)
        half = half.reshape(boxes.shape)
        boxes = np.stack([half, boxes - half], axis=1 + axis).reshape(tiles, high, wide)
    index = np.repeat(np.arange(tiles * CELLS * CELLS), boxes.reshape(-1))
    return index // (CELLS * CELLS), index % (CELLS * CELLS)


def _code_amplitudes(coder: SymbolCoder, models: Models, channel: int, scale: Ints, values: Ints | None) -> Ints:
    """One channel's amplitudes (n,): magnitudes by scale, the rest of long ones, then the signs of all but 0."""
    known = None if values is None else np.abs(values)
    given = None if known is None else np.minimum(known, MAGNITUDES - 1)
    found = code_by_key(coder, "amplitudes", scale, lambda number: models.magnitude(channel, number), given)
    long = np.flatnonzero(found == MAGNITUDES - 1)
    given = None if known is None else known[long] - (MAGNITUDES - 1)
    found[long] += coder.code("amplitudes", uniform(_AMPLITUDE_REST), given, len(long))
    signed = np.flatnonzero(found)
    given = None if values is None else (values[signed] < 0).astype(np.int64)
    found[signed] *= 1 - 2 * coder.code("amplitudes", uniform(2), given, len(signed))
    return found


assert ATOMS_MAX == (1 << LENGTHS - 1) - 1 and _AMPLITUDE_REST == 256
