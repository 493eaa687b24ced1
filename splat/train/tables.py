"""Learn the format's tables from a folder of pictures: `python -m splat.train.tables DIR --out tables.bin`.

Pictures are fitted at several steps with the tables so far, beginning with plain guesses, and what the fits use is
counted. A format has one set of tables for ever: a new one goes with a new version and its CRC into `splat.tables`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from math import lgamma
from pathlib import Path

import click
import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from ..atoms import CELLS, SCALES, SHAPES, Code, Ints, cell_of, dictionary
from ..fit import KAPPA, Costs, Fit
from ..pursuit import rows
from ..rate import SEARCHES
from ..tables import LENGTHS, LEVELS, MAGNITUDES, Prior, crc_of, write

STEPS = (28, 40, 57, 80, 113, 160, 226)  # in pixel values: of about 1 bpp to 0.1 bpp
SIDE = 320  # pixels of a picture, at most, both ways
TOP = 32768  # sum of a table's weights, about
EVENNESS = (4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40, 56, 80, 120, 200, 400, 1000, 4000)  # parameters tried for splits


def guess() -> Prior:
    """Tables that know nothing but that small amplitudes are likelier."""
    places = dictionary().npos ** 0.3
    magnitude = np.arange(1, MAGNITUDES)
    luma = np.concatenate([[40], 4000 * 0.72**magnitude])
    chroma = np.concatenate([[9000], 900 * 0.6**magnitude])
    return Prior(
        shape=_integers(places / places.sum() * 65535),
        luma=np.tile(_integers(luma), (len(SCALES), 1)),
        chroma=np.tile(_integers(chroma), (2, len(SCALES), 1)),
        split=np.full(LEVELS, 40),
        count=_integers(4.0 + 200.0 * np.eye(LENGTHS)),
    )


def learn(codes: list[Code]) -> Prior:
    """The tables that suit these codes of colour pictures."""
    atoms = np.concatenate([code.atoms for code in codes])
    scale = dictionary().scale[atoms[:, 1]]
    luma, *chroma = (_magnitudes(atoms[:, 3 + channel], scale) for channel in range(3))
    return Prior(_shapes(atoms[:, 1]), luma, np.stack(chroma), _splits(codes), _counts(codes))


def _integers(weights: NDArray[np.float64]) -> NDArray[np.int64]:
    """The nearest weights that a table may hold."""
    return np.clip(np.rint(weights), 1, 65535).astype(np.int64)


def _shapes(used: Ints) -> NDArray[np.int64]:
    """Weights of shapes: their own counts, drawn a little towards those of the same shape at other angles."""
    own = np.bincount(used, minlength=len(SHAPES)).astype(np.float64)
    kind = np.unique([(s.profile, s.across, s.along) for s in SHAPES], axis=0, return_inverse=True)[1].reshape(-1)
    mean = (np.bincount(kind, weights=own) / np.bincount(kind))[kind]
    mixed = 0.85 * own + 0.15 * mean + 0.5
    return _integers(mixed / mixed.max() * 65535)


def _magnitudes(values: Ints, scale: Ints) -> NDArray[np.int64]:
    """(scales, MAGNITUDES): counts of each scale, smoothed where there are few, and mixed with those of all scales."""
    found = []
    every = _histogram(values) + 0.3
    for number in range(len(SCALES)):
        counts = _histogram(values[scale == number]) + 30 * every / every.sum()
        found.append(_integers(counts / counts.sum() * TOP))
    return np.stack(found)


def _histogram(values: Ints) -> NDArray[np.float64]:
    counts = np.bincount(np.minimum(np.abs(values), MAGNITUDES - 1), minlength=MAGNITUDES).astype(np.float64)
    smooth = counts.copy()
    for at in range(8, MAGNITUDES - 1):  # the tail: a mean over an eighth of the magnitude to either side
        reach = min(max(1, at // 8), MAGNITUDES - 2 - at)
        smooth[at] = counts[at - reach : at + reach + 1].mean()
    return smooth


def _splits(codes: Iterable[Code]) -> NDArray[np.int64]:
    """The likeliest evenness of every halving."""
    seen = [np.zeros((256, 256)) for _ in range(LEVELS)]  # [level][count, first half]
    for code in codes:
        tiles = code.grid[0] * code.grid[1]
        cell = cell_of(dictionary().centre(code.atoms[:, 1], code.atoms[:, 2]))
        full = np.bincount(code.atoms[:, 0] * CELLS * CELLS + cell, minlength=tiles * CELLS * CELLS)
        boxes = full.reshape(tiles, CELLS, CELLS)
        for level in reversed(range(LEVELS)):  # from cells up to the tile
            first, second = (boxes[:, k::2] if level % 2 == 0 else boxes[:, :, k::2] for k in (0, 1))
            boxes = first + second
            np.add.at(seen[level], (boxes.reshape(-1), first.reshape(-1)), 1)
    return np.array([max(EVENNESS, key=lambda a: _likelihood(table, a / 4)) for table in seen])


def _likelihood(table: NDArray[np.float64], a: float) -> float:
    """Log-likelihood of the counts under a beta-binomial with alpha = beta = a, but for what does not depend on it."""
    total = 0.0
    for count, half in np.argwhere(table[1:] > 0).tolist():
        n, k = count + 1, half
        ways = lgamma(k + a) + lgamma(n - k + a) - lgamma(n + 2 * a) + lgamma(2 * a) - 2 * lgamma(a)
        total += float(table[n, k]) * ways
    return total


def _counts(codes: Iterable[Code]) -> NDArray[np.int64]:
    """Weights of the bit length of a tile's number of atoms, by that of its neighbours' mean."""
    seen = np.full((LENGTHS, LENGTHS), 0.3)
    for code in codes:
        numbers = np.bincount(code.atoms[:, 0], minlength=code.grid[0] * code.grid[1]).reshape(code.grid)
        for y, row in enumerate(numbers.tolist()):
            for x, number in enumerate(row):
                west = row[x - 1] if x else int(numbers[y - 1, 0]) if y else 8
                north = int(numbers[y - 1, x]) if y else west
                seen[(west + north + 1 >> 1).bit_length(), number.bit_length()] += 1
    return _integers(10 * seen / max(1.0, seen.max() / 6000))


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True)
@click.option("--pictures", default=80, show_default=True, help="Evenly picked from the folder.")
@click.option("--rounds", default=3, show_default=True, help="The first ones on fewer pictures.")
def main(folder: Path, out: Path, pictures: int, rounds: int) -> None:
    """Learn tables from the pictures of FOLDER and print the CRC that `splat.tables` must name."""
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in {".jpg", ".jpeg", ".png", ".webp"})
    if not paths:
        raise click.UsageError(f"{folder} holds no pictures")
    paths = [paths[k * len(paths) // pictures] for k in range(min(pictures, len(paths)))]
    prior, began = guess(), time.monotonic()
    torch.set_num_threads(1)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for turn in range(rounds):
            some = paths[:: 3 ** (rounds - 1 - turn)]
            codes = []
            known = Costs.of(prior, rows())
            for number, path in enumerate(some):
                pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
                if pixels is None:
                    raise click.UsageError(f"{path} is no picture")
                fit = Fit(np.ascontiguousarray(pixels[:SIDE, :SIDE, ::-1]), known)
                step = 64 * STEPS[(number * 3 + turn) % len(STEPS)]
                fit.choose(step, KAPPA, SEARCHES[1], pool)
                with torch.inference_mode():
                    codes.append(fit.quantise(step))
            prior = learn(codes)
            atoms = sum(len(code.atoms) for code in codes)
            seconds = time.monotonic() - began
            print(
                f"round {turn + 1}: {len(some)} pictures, {atoms:,} atoms, {seconds:.0f} s, CRC {crc_of(prior):#010X}"
            )
    write(prior, out)


if __name__ == "__main__":
    main()
