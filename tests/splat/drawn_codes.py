"""Codes of still pictures with seeded random numbers, for tests."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from splat.atoms import AMPLITUDE_MAX, ATOMS_MAX, BASE_MAX, SHAPES, TILE, Code, canonical, dictionary


def drawn_code(
    height: int, width: int, channels: int, seed: int = 0, step: int = 640, per_tile: int = 5, wild: bool = False
) -> Code:
    """A legal code with about `per_tile` atoms in a tile, some twice in one place; `wild` ones use the numbers' whole
    range and fill some tiles to the brim."""
    rng = np.random.default_rng(seed)
    tiles = -(-height // TILE) * -(-width // TILE)
    counts = rng.integers(0, 2 * per_tile + 1, tiles)
    base = rng.laplace(0, 3, (tiles, channels, 3)).astype(np.int64)
    base[:, :, 0] *= 20
    if wild:
        counts[rng.random(tiles) < 0.3] = ATOMS_MAX
        base = rng.choice([-BASE_MAX, -512, -511, -1, 0, 510, 511, 512, BASE_MAX], base.shape)
    tile = np.repeat(np.arange(tiles), counts)
    shape = rng.integers(0, len(SHAPES), len(tile))
    place = rng.integers(0, dictionary().npos[shape])
    if wild:
        amplitudes = rng.integers(-AMPLITUDE_MAX, AMPLITUDE_MAX + 1, (len(tile), channels))
    else:
        amplitudes = rng.laplace(0, 5, (len(tile), channels)).astype(np.int64)
    atoms = np.concatenate([np.stack([tile, shape, place], 1), amplitudes], 1)
    twice = rng.random(len(atoms)) < 0.05
    atoms[1:][twice[1:], 1:3] = atoms[:-1][twice[1:], 1:3]
    return Code(height, width, channels, step, base, canonical(atoms)).check()


def empty(code: Code) -> Code:
    """The code without its atoms."""
    return replace(code, atoms=code.atoms[:0])


def same(a: Code, b: Code) -> bool:
    fields = ("height", "width", "channels", "step")
    return (
        all(getattr(a, name) == getattr(b, name) for name in fields)
        and np.array_equal(a.base, b.base)
        and np.array_equal(a.atoms, b.atoms)
    )
