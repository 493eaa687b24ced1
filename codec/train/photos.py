"""Photographs to learn from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, NvcError
from ..media.pictures import READABLE, eight_bits, read_picture

HELD_BACK = 25  # one picture in so many is for validation
LOSSY = (".jpg", ".jpeg", ".webp")  # of which half the chroma at most can be believed
LARGEST = 768  # samples a side that are taken of a picture
MEMORY = 1 << 31  # bytes that samples may take


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder, in order of their names. Raises InputError where there are none."""
    found = sorted(p for p in folder.iterdir() if p.suffix.lower() in READABLE) if folder.is_dir() else []
    if not found:
        raise InputError(f"{folder} is no folder of pictures")
    return found


def shrunk(pixels: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """The mean of each factor x factor square, rounded; a last part of a square is cut off."""
    rows, columns = (n // factor for n in pixels.shape[:2])
    squares = pixels[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor, -1)
    return (squares.mean((1, 3)) + 0.5).astype(np.uint8)


def crops(paths: Sequence[Path], multiple: int, rng: np.random.Generator) -> Iterator[tuple[NDArray[np.uint8], bool]]:
    """RGB parts of pictures, sides a multiple of `multiple`, of all pictures that can be read, and whether they were
    stored without loss."""
    for path in paths:
        try:
            pixels = eight_bits(read_picture(str(path)), str(path)).pixels
        except NvcError:
            continue
        pixels = np.repeat(pixels[..., :1], 3, axis=2) if pixels.shape[2] < 3 else pixels[..., :3]
        rows, columns = (min(n, LARGEST) // multiple * multiple for n in pixels.shape[:2])
        y, x = (int(rng.integers(n - m + 1)) for n, m in zip(pixels.shape, (rows, columns), strict=False))
        if min(rows, columns) >= 32:
            yield np.ascontiguousarray(pixels[y : y + rows, x : x + columns]), path.suffix.lower() not in LOSSY


def split_pictures(folder: Path) -> tuple[list[Path], list[Path]]:
    """(pictures to learn from, pictures held back)."""
    paths = pictures_in(folder)
    held = paths[::HELD_BACK] if len(paths) > 1 else paths
    return [p for p in paths if p not in held] or paths, held
