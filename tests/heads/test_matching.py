"""Block motion that both sides find alike, against a search written from FORMAT.md."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from heads.restorer.matching import motion, moved

SUBSAMPLING = {"420": (2, 2), "422": (2, 1), "444": (1, 1)}  # horizontal, vertical


def textured(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    """Soft blobs: a texture that repeats nowhere and survives at a quarter of the size."""
    noise = np.random.default_rng(seed).normal(0, 1, (rows, columns))
    out = 6 * cv2.GaussianBlur(noise, (0, 0), 3) + 18 * cv2.GaussianBlur(noise, (0, 0), 8)
    out -= out.min()
    return np.rint(20 + 215 * out / max(out.max(), 1e-9)).astype(np.uint8)


def shifted_pair(rows: int, columns: int, dy: int, dx: int) -> tuple[np.ndarray, np.ndarray]:
    """(now, then): what is at (y, x) now was at (y + dy, x + dx)."""
    big = textured(rows + 80, columns + 80)
    then = big[40 : 40 + rows, 40 : 40 + columns]
    now = big[40 + dy : 40 + dy + rows, 40 + dx : 40 + dx + columns]
    return np.ascontiguousarray(now), np.ascontiguousarray(then)


@pytest.mark.parametrize("dy, dx", [(0, 0), (1, 0), (0, -1), (3, -5), (-8, 8), (13, 2), (-20, -24)])
@pytest.mark.parametrize("shape", [(128, 160), (123, 131)], ids=str)
def test_a_translation_is_found(dy: int, dx: int, shape: tuple[int, int]) -> None:
    now, then = shifted_pair(*shape, dy, dx)
    vectors = motion(now, then)
    assert vectors.shape == (2, -(-shape[0] // 8), -(-shape[1] // 8)) and vectors.dtype == np.int32
    inner = vectors[:, 5:-5, 5:-5]
    assert ((inner[0] == dy) & (inner[1] == dx)).mean() > 0.6  # coarse errors stay
    back = moved([then], vectors, (1, 1))[0].astype(int)
    assert np.abs(back - now)[40:-40, 40:-40].mean() < 1


# --- the search of FORMAT.md, block by block --------------------------------------------------------------------------


def mean_of(picture: np.ndarray, side: int) -> np.ndarray:
    rows, columns = picture.shape
    sums = picture.astype(int).reshape(rows // side, side, columns // side, side).sum((1, 3))
    return sums // side**2


def cost(now: np.ndarray, then: np.ndarray, trial: np.ndarray, block: int, by: int, bx: int) -> int:
    """Over the block, in the quarter picture over a window of twice its side."""
    rows, columns = now.shape
    total, margin = 0, 1 if block == 2 else 0
    for y in range(by * block - margin, (by + 1) * block + margin):
        for x in range(bx * block - margin, (bx + 1) * block + margin):
            cy, cx = min(max(y, 0), rows - 1), min(max(x, 0), columns - 1)
            dy, dx = trial[:, cy // block, cx // block]
            ty, tx = min(max(cy + dy, 0), rows - 1), min(max(cx + dx, 0), columns - 1)
            total += abs(int(now[cy, cx]) - int(then[ty, tx]))
    return total + 2 * int(np.abs(trial[:, by, bx]).sum())


def best_of(now: np.ndarray, then: np.ndarray, trials: list[np.ndarray], block: int) -> np.ndarray:
    found = trials[0].copy()
    for by in range(found.shape[1]):
        for bx in range(found.shape[2]):
            costs = [cost(now, then, t, block, by, bx) for t in trials]
            found[:, by, bx] = trials[costs.index(min(costs))][:, by, bx]
    return found


def motion_of_the_format(now: np.ndarray, then: np.ndarray) -> np.ndarray:
    rows, columns = now.shape
    pad = ((0, -rows % 8), (0, -columns % 8))
    now, then = np.pad(now, pad, mode="edge"), np.pad(then, pad, mode="edge")
    grid = (now.shape[0] // 8, now.shape[1] // 8)
    offsets = sorted((abs(dy) + abs(dx), dy, dx) for dy in range(-7, 8) for dx in range(-7, 8))
    trials = [np.broadcast_to(np.array([dy, dx])[:, None, None], (2, *grid)) for _, dy, dx in offsets]
    vectors = best_of(mean_of(now, 4), mean_of(then, 4), trials, 2)
    around = [(0, 0), (-1, 0), (0, -1), (0, 1), (1, 0), (-1, -1), (-1, 1), (1, -1), (1, 1)]
    for side, block in ((2, 4), (1, 8)):
        trials = [2 * vectors + np.array(o)[:, None, None] for o in around]
        vectors = best_of(mean_of(now, side), mean_of(then, side), trials, block)
    return vectors


@pytest.mark.parametrize("shape", [(1, 1), (8, 8), (5, 19), (24, 17)], ids=str)
def test_vectors_are_those_of_the_format(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(shape[1])
    now, then = shifted_pair(*shape, 2, -3)
    then = np.clip(then.astype(int) + rng.integers(-20, 21, shape), 0, 255).astype(np.uint8)
    half = shape[1] // 2
    then[:, half:] = textured(*shape, seed=5)[:, half:]  # one half moved, the other new
    assert np.array_equal(motion(now, then), motion_of_the_format(now, then))


def test_nothing_moves_where_nothing_can_be_seen() -> None:
    flat = np.full((40, 56), 90, np.uint8)
    assert not motion(flat, flat).any()
    assert not motion(flat, flat + 30).any(), "of equal costs the shortest displacement is taken"


def test_any_number_of_threads_finds_the_same() -> None:
    now, then = shifted_pair(200, 312, -6, 9)
    before = cv2.getNumThreads()
    found = []
    try:
        for threads in (1, 2, 4):
            cv2.setNumThreads(threads)
            found.append(motion(now, then))
    finally:
        cv2.setNumThreads(before)
    assert all(np.array_equal(found[0], other) for other in found[1:])


@pytest.mark.parametrize("chroma", ["420", "422", "444"])
@pytest.mark.parametrize("shape", [(1, 1), (16, 24), (19, 33)], ids=str)
def test_moved_takes_the_samples_of_the_format(chroma: str, shape: tuple[int, int]) -> None:
    sx, sy = SUBSAMPLING[chroma]
    rng = np.random.default_rng(4)
    rows, columns = shape
    vectors = rng.integers(-30, 31, (2, -(-rows // 8), -(-columns // 8))).astype(np.int32)
    shapes = [shape] + [(-(-rows // sy), -(-columns // sx))] * 2
    planes = [rng.integers(0, 1024, s).astype(np.uint16) for s in shapes]
    for k, (plane, out) in enumerate(zip(planes, moved(planes, vectors, (sx, sy)), strict=True)):
        assert out.dtype == plane.dtype and out.shape == plane.shape
        fy, fx = (sy, sx) if k else (1, 1)
        h, w = plane.shape
        for y in range(h):
            for x in range(w):
                dy, dx = (int(v) for v in vectors[:, y * fy // 8, x * fx // 8])
                source = min(max(y + dy // fy, 0), h - 1), min(max(x + dx // fx, 0), w - 1)
                assert out[y, x] == plane[source]
