"""Where things were: block motion between two pictures that the decoder has, so that no vector is sent.

Both pictures are upscaled bases, known to both sides. A coarse full search at a quarter of the size finds each
block's displacement, two refinements of one sample each bring it to full-sample accuracy (hierarchical block
matching; Bierling, "Displacement estimation by hierarchical blockmatching", SPIE 1988). Everything is integer
arithmetic with a fixed order of candidates, so both sides find the same vectors.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.int32]  # (2, rows, columns): vertical and horizontal displacement of each BLOCK x BLOCK block

BLOCK = 8  # luma samples at full size
REACH = 7  # of the full search, in samples of the quarter-size picture
STILLNESS = 2  # cost of each sample of displacement, in sums of absolute differences


def _quarter(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Mean of every 4x4 samples, rounded down; edges repeated to a multiple of the block."""
    h, w = picture.shape
    x = np.pad(picture, ((0, -h % BLOCK), (0, -w % BLOCK)), mode="edge").astype(np.uint16)
    x = x[:, 0::4] + x[:, 1::4] + x[:, 2::4] + x[:, 3::4]
    return ((x[0::4] + x[1::4] + x[2::4] + x[3::4]) >> 4).astype(np.uint8)


def _half(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    h, w = picture.shape
    x = np.pad(picture, ((0, -h % BLOCK), (0, -w % BLOCK)), mode="edge").astype(np.uint16)
    x = x[:, 0::2] + x[:, 1::2]
    return ((x[0::2] + x[1::2]) >> 2).astype(np.uint8)


def _block_sums(difference: NDArray[np.uint8], block: int) -> NDArray[np.int32]:
    """Sums over windows of twice the block's side that overlap their neighbours by half, one for each block."""
    size = 2 * block
    sums = cv2.boxFilter(difference, cv2.CV_32S, (size, size), normalize=False, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(sums[block // 2 :: block, block // 2 :: block], np.int32)


def shift_index(vectors: Vectors, block: int, shape: tuple[int, int]) -> NDArray[np.int64]:
    """Flat index, for each sample of a plane of `shape`, of the sample that its block's vector points to."""
    h, w = shape
    dy, dx = (np.repeat(np.repeat(v, block, 0), block, 1)[:h, :w] for v in vectors)
    y = np.clip(np.arange(h)[:, None] + dy, 0, h - 1)
    x = np.clip(np.arange(w)[None] + dx, 0, w - 1)
    return y.astype(np.int64) * w + x


def _search(now: NDArray[np.uint8], then: NDArray[np.uint8]) -> Vectors:
    """Full search at quarter size."""
    block = BLOCK // 4
    h, w = now.shape
    padded = cv2.copyMakeBorder(then, REACH, REACH, REACH, REACH, cv2.BORDER_REPLICATE)
    best: NDArray[np.int32] | None = None
    vectors = np.zeros((2, h // block, w // block), np.int32)
    offsets = [(y, x) for y in range(-REACH, REACH + 1) for x in range(-REACH, REACH + 1)]
    for dy, dx in sorted(offsets, key=lambda d: (abs(d[0]) + abs(d[1]), d)):
        window = padded[REACH + dy : REACH + dy + h, REACH + dx : REACH + dx + w]
        cost = _block_sums(cv2.absdiff(now, window), block) + STILLNESS * (abs(dy) + abs(dx))
        if best is None:
            best = cost
            continue
        better = cost < best
        best[better] = cost[better]
        vectors[0][better], vectors[1][better] = dy, dx
    return vectors


def _refine(now: NDArray[np.uint8], then: NDArray[np.uint8], vectors: Vectors, block: int) -> Vectors:
    """Twice the vectors, moved by at most one sample each way."""
    start = vectors * 2
    best: NDArray[np.int32] | None = None
    found = start.copy()
    offsets = [(0, 0), (-1, 0), (0, -1), (0, 1), (1, 0), (-1, -1), (-1, 1), (1, -1), (1, 1)]
    for offset in offsets:
        trial = start + np.array(offset, np.int32)[:, None, None]
        moved = then.ravel()[shift_index(trial, block, now.shape)]
        # over the block alone: its neighbours have moved by vectors of their own
        cells = cv2.absdiff(now, moved).reshape(now.shape[0] // block, block, now.shape[1] // block, block)
        cost = cells.sum((1, 3), dtype=np.int32)
        cost = cost + np.int32(STILLNESS) * np.abs(trial).sum(0, dtype=np.int32)
        if best is None:
            best = cost
            continue
        better = cost < best
        best[better] = cost[better]
        found[:, better] = trial[:, better]
    return found


def motion(now: NDArray[np.uint8], then: NDArray[np.uint8]) -> Vectors:
    """Vectors that lead from each block of luma plane `now` (h, w) to where it was in `then` (h, w)."""
    vectors = _search(_quarter(now), _quarter(then))
    vectors = _refine(_half(now), _half(then), vectors, BLOCK // 2)
    h, w = now.shape
    pad = ((0, -h % BLOCK), (0, -w % BLOCK))
    return _refine(np.pad(now, pad, mode="edge"), np.pad(then, pad, mode="edge"), vectors, BLOCK)


def moved(
    planes: Sequence[NDArray[np.generic]], vectors: Vectors, subsampling: tuple[int, int]
) -> list[NDArray[np.generic]]:
    """`planes` (luma, then chroma) of the earlier picture, moved along `vectors`; chroma subsampled by
    (horizontal, vertical), its vectors rounded down."""
    out = []
    for k, plane in enumerate(planes):
        if k == 0:
            index = shift_index(vectors, BLOCK, plane.shape)
        elif k == 1:
            sx, sy = subsampling
            dy, dx = (np.repeat(np.repeat(v, BLOCK, 0), BLOCK, 1)[::sy, ::sx] for v in vectors)
            index = shift_index(np.stack([dy // sy, dx // sx]), 1, plane.shape)
        out.append(plane.ravel()[index])
    return out
