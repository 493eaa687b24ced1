"""Folding planes onto the grid: a permutation for every layout and size."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from codec.frames import PlaneFormat, channels_of, folds_of
from heads.restorer.planes import cells, grid_of, pack, packed, unpack
from heads.restorer.spec import HeadSpec

CHROMA = ["400", "420", "422", "444"]
SIZES = [(1, 1), (1, 2), (2, 2), (3, 1), (5, 4), (16, 9), (31, 33)]  # width, height


def numbered(fmt: PlaneFormat, width: int, height: int) -> list[np.ndarray]:
    """Planes whose samples are all different, as far as the depth allows."""
    rng = np.random.default_rng(width * 100 + height)
    return [rng.integers(0, fmt.peak + 1, s).astype(fmt.dtype) for s in fmt.shapes(width, height)]


@pytest.mark.parametrize("chroma", CHROMA)
@pytest.mark.parametrize("depth", [8, 10])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_packing_is_a_permutation(chroma: str, depth: int, size: tuple[int, int]) -> None:
    fmt = PlaneFormat(chroma, depth)
    width, height = size
    shapes, folds = fmt.shapes(width, height), folds_of(chroma)
    planes = numbered(fmt, width, height)
    h, w = grid_of(shapes[0])
    assert (h, w) == ((height + 1) // 2, (width + 1) // 2)
    out = torch.full((h, w, channels_of(chroma)), -1.0)
    pack(planes, folds, out)
    # FORMAT.md: planes continued by repeating the last row and column; the cell's samples row by row
    at = 0
    for plane, (r, c) in zip(planes, folds, strict=True):
        for y in range(h):
            for x in range(w):
                cell = [
                    int(plane[min(y * r + i, plane.shape[0] - 1), min(x * c + j, plane.shape[1] - 1)])
                    for i in range(r)
                    for j in range(c)
                ]
                assert out[y, x, at : at + r * c].tolist() == cell
        at += r * c
    assert at == out.shape[2]
    back = [np.empty(shape, fmt.dtype) for shape in shapes]
    unpack(out, folds, back)
    assert all(np.array_equal(a, b) for a, b in zip(planes, back, strict=True))
    whole = packed([p.astype(np.int16) for p in planes], folds)
    assert whole.dtype == np.int16 and np.array_equal(whole, out.numpy())


def fold_of(plane_shape: tuple[int, int], luma_shape: tuple[int, int]) -> tuple[int, int]:
    """(rows, columns) of a plane's samples in one cell of the grid."""
    grid = grid_of(luma_shape)
    return (-(-plane_shape[0] // grid[0]), -(-plane_shape[1] // grid[1]))


@pytest.mark.parametrize("chroma, channels, chroma_fold", [
    ("400", 4, None), ("420", 6, (1, 1)), ("422", 8, (2, 1)), ("444", 12, (2, 2))
])  # fmt: skip
def test_layouts(chroma: str, channels: int, chroma_fold: tuple[int, int] | None) -> None:
    assert channels_of(chroma) == channels
    assert folds_of(chroma) == [(2, 2)] + ([chroma_fold] * 2 if chroma_fold else [])
    assert HeadSpec(channels).folds == folds_of(chroma)
    shapes = PlaneFormat(chroma, 8).shapes(22, 14)
    assert [fold_of(s, shapes[0]) for s in shapes] == folds_of(chroma)


def test_packing_into_a_part_of_a_larger_grid() -> None:
    """The head's inputs are one array; each picture fills its own channels and no others."""
    fmt = PlaneFormat("420", 10)
    planes = numbered(fmt, 7, 5)
    whole = torch.full((3, 4, 18), -5.0)
    pack(planes, folds_of("420"), whole[:, :, 6:12])
    alone = torch.empty((3, 4, 6))
    pack(planes, folds_of("420"), alone)
    assert torch.equal(whole[:, :, 6:12], alone)
    assert (whole[:, :, :6] == -5).all() and (whole[:, :, 12:] == -5).all()


@pytest.mark.parametrize("chroma", CHROMA)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_cells_are_packed_planes_less_the_middle(chroma: str, size: tuple[int, int]) -> None:
    fmt = PlaneFormat(chroma, 10)
    planes, folds, used = numbered(fmt, *size), folds_of(chroma), channels_of(chroma)
    wanted = torch.empty((*grid_of(planes[0].shape), used))
    pack(planes, folds, wanted)
    for beyond in (0, 1, 3):
        found = cells(planes, folds, used + beyond, 512, -7)
        assert found.dtype == torch.float32 and torch.equal(found[:, :, :used], wanted - 512)
        assert torch.equal(found[:, :, used:], torch.tensor([-7.0, 0, 0])[:beyond].expand(*found.shape[:2], beyond))


@pytest.mark.parametrize("depth", [8, 10])
@pytest.mark.parametrize("size", [(16, 9), (15, 10), (2, 2), (1, 3)], ids=str)
def test_samples_come_out_of_cells_with_more_channels(depth: int, size: tuple[int, int]) -> None:
    """As heads give them: of the planes' own size in bytes, the last channels of no meaning."""
    fmt = PlaneFormat("420", depth)
    planes = numbered(fmt, *size)
    wide = torch.full((*grid_of(planes[0].shape), 8), 99, dtype=torch.uint8 if depth == 8 else torch.int16)
    pack(planes, folds_of("420"), wide[:, :, :6])
    out = [np.zeros_like(p) for p in planes]
    unpack(wide[:, :, :6], folds_of("420"), out)
    assert all(map(np.array_equal, out, planes))
