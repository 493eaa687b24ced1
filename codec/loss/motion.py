"""Block motion between a picture and the last one of its segment: displacements, their code, and what they fetch.

Every 16x16 block of luma has one displacement into the last picture, in quarters of a sample; chroma blocks follow it.
The decoder's part is exact (see `displace`); how the encoder finds displacements is its own affair.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from heads.threads import for_all

from ..frames import SUBSAMPLING, Plane, PlaneFormat, Planes
from .entropy import INCREMENT, CountTables, Ints, SymbolCoder, geometric_counts

BLOCK = 16  # luma samples a side of a motion block
ROWS = 6  # of blocks that are fetched at once
REACH = 255  # largest displacement, quarters of a luma sample

# ITU-T H.265 8.5.3.3.3.1: interpolation at 0, 1/4, 1/2 and 3/4 of a sample; taps -3 .. 4, in 1/64
INTERPOLATION = np.array(
    [
        [0, 0, 0, 64, 0, 0, 0, 0],
        [-1, 4, -10, 58, 17, -5, 1, 0],
        [-1, 4, -11, 40, 40, -11, 4, -1],
        [0, 1, -5, 17, 58, -10, 4, -1],
    ]
)


class LastPicture(NamedTuple):
    """The picture before this one in its segment, as far as its planes are decoded."""

    decoded: Sequence[Plane]
    predicted: Planes


class MotionTables:
    """Codes the motion fields of one segment."""

    def __init__(self, height: int, width: int):
        self.rows, self.columns = -(-height // BLOCK), -(-width // BLOCK)
        self.flags = CountTables([INCREMENT, INCREMENT])
        self.steps = CountTables(geometric_counts([32, 128, 512, 16, 64, 256, 64, 256, 1024], REACH, 32 * INCREMENT))

    def copy(self) -> MotionTables:
        other = MotionTables(1, 1)
        other.rows, other.columns = self.rows, self.columns
        other.flags, other.steps = self.flags.copy(), self.steps.copy()
        return other

    def code(self, coder: SymbolCoder, motion: Ints | None, writing: bool) -> Ints | None:
        """Displacements (rows, columns, 2) of the blocks, (dy, dx) in quarters of a luma sample; None: no motion."""
        if not coder.code_one(self.flags, 0, int(motion is not None) if writing else None):
            return None
        size = 2 * REACH + 1
        found = np.zeros((self.rows, self.columns, 2), np.int32)
        above = np.zeros((self.columns, 2), np.int32)
        for y in range(self.rows):
            # the row above predicts; how much it varies tells how far to trust it
            rough = np.abs(np.diff(above, axis=0, prepend=above[:1])).max(axis=1)
            rough = (rough > 0) + (np.maximum(rough, np.append(rough[1:], 0)) > 3).astype(np.uint8)
            wrapped = None if motion is None else (motion[y] - above + REACH) % size
            dy = coder.code(self.steps, rough, None if wrapped is None else wrapped[:, 0])
            rough = rough + 3 + 3 * (dy != REACH).astype(np.uint8)
            dx = coder.code(self.steps, rough, None if wrapped is None else wrapped[:, 1])
            found[y] = above = (np.stack([dy, dx], axis=1) + above) % size - REACH
        return found

    def follow(self, coder: SymbolCoder, last: LastPicture | None, source: Planes | None, depth: int) -> Ints | None:
        """Displacements into the last picture, if there is one: searched for and written where there is a `source`, or
        read."""
        if last is None:
            return None
        wanted = None if source is None else estimate_motion(source[0], last.decoded[0], depth)
        return self.code(coder, wanted, source is not None)


def displaced(pictures: Sequence[Sequence[Plane]], p: int, motion: Ints | None, fmt: PlaneFormat) -> list[Ints]:
    """Plane `p` of every picture, int32, fetched from where the blocks point."""
    planes = [picture[p] for picture in pictures]
    if motion is not None:
        sx, sy = (SUBSAMPLING[fmt.chroma] or (1, 1)) if p else (1, 1)
        dy, dx = (motion[..., 0] + sy - 1) // sy, (motion[..., 1] + sx - 1) // sx
        planes = [displace(plane, dy, dx, BLOCK // sy, BLOCK // sx, fmt.peak) for plane in planes]
    return [plane.astype(np.int32) for plane in planes]


def temporal_terms(last: LastPicture, p: int, base: Ints, motion: Ints | None, fmt: PlaneFormat) -> tuple[Ints, Ints]:
    """(the last picture's error, its difference to the prediction `base`) of plane `p`, from where the blocks point."""
    decoded, predicted = displaced(last, p, motion, fmt)
    return decoded - predicted, decoded - base


def _bands(side: int) -> NDArray[np.float32]:
    """(4, side + 7, side): matrices that interpolate `side` samples from side + 7."""
    bands = np.zeros((4, side + 7, side), np.float32)
    for i in range(side):
        bands[:, i : i + 8, i] = INTERPOLATION
    return bands


def displace(plane: Plane, dy: Ints, dx: Ints, height: int, width: int, peak: int) -> Plane:
    """Blocks of height x width fetched from `plane` at their own place plus (dy, dx), quarters of a sample.

    Beyond the edge lies the edge. Samples between samples are interpolated across, then down, and rounded once.
    float32 is exact: the taps sum to at most 112 in magnitude, and 112 * 112 * 1023 < 2^24.
    """
    rows, columns = dy.shape
    h, w = plane.shape
    reach = REACH // 4 + 5
    padded = np.pad(plane, ((reach, reach + rows * height - h), (reach, reach + columns * width - w)), mode="edge")
    y = np.arange(rows, dtype=np.int32)[:, None] * height + (dy >> 2) + reach
    x = np.arange(columns, dtype=np.int32) * width + (dx >> 2) + reach
    out = np.empty((rows, height, columns, width), plane.dtype)
    whole, wider = (sliding_window_view(padded, (height + n, width + n)) for n in (0, 7))
    right, down = _bands(width), _bands(height).transpose(0, 2, 1)

    def fetch(first: int) -> None:
        some = slice(first, first + ROWS)
        blocks = whole[y[some], x[some]]
        between = np.nonzero((dy[some] | dx[some]) & 3)
        if between[0].size:
            wide = wider[y[some][between] - 3, x[some][between] - 3].astype(np.float32)
            across = np.matmul(wide, right[dx[some][between] & 3])
            both = np.matmul(down[dy[some][between] & 3], across).astype(np.int32)
            blocks[between] = np.clip((both + 2048) >> 12, 0, peak)
        out[some] = blocks.transpose(0, 2, 1, 3)

    for_all(fetch, range(0, rows, ROWS))
    return out.reshape(rows * height, columns * width)[:h, :w]


def estimate_motion(source: Plane, decoded: Plane, depth: int) -> Ints | None:
    """Block displacements (rows, columns, 2), quarters of a sample, into `decoded`, or None where they would not pay.
    Encoder only.

    Optical flow (DIS; T. Kroeger et al., ECCV 2016) proposes; each block takes the best of zero and its median flow,
    refined at one, a half and a quarter sample, by the sum of absolute differences, and then its upper
    neighbour's displacement where that is nearly as good.
    """
    h, w = source.shape
    if min(h, w) < 2 * BLOCK:
        return None
    rows, columns = -(-h // BLOCK), -(-w // BLOCK)
    now, then = ((q >> (depth - 8)).astype(np.uint8) for q in (source, decoded))
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST).calc(now, then, None)[..., ::-1]  # type: ignore
    pad = ((0, rows * BLOCK - h), (0, columns * BLOCK - w))
    flow = np.pad(flow, (*pad, (0, 0)), mode="edge").reshape(rows, BLOCK, columns, BLOCK, 2)
    middle = np.median(flow.transpose(0, 2, 1, 3, 4).reshape(rows, columns, -1, 2)[:, :, ::3], axis=2)
    middle = np.clip(np.rint(middle) * 4, -REACH, REACH).astype(np.int32)

    def cost(motion: Ints) -> NDArray:
        fetched = displace(decoded, motion[..., 0], motion[..., 1], BLOCK, BLOCK, (1 << depth) - 1)
        difference = np.pad(cv2.absdiff(fetched, source), pad).reshape(rows, BLOCK, columns * BLOCK)
        lines = difference.sum(axis=1, dtype=np.uint16)  # 16 * 1023 < 2^16
        return lines.reshape(rows, columns, BLOCK).sum(axis=2, dtype=np.int64)

    best = np.zeros_like(middle)
    least = still = cost(best)
    penalty = BLOCK * BLOCK // 16 << (depth - 8)

    for unit in (4, 2, 1):
        centre = middle if unit == 4 else best.copy()
        steps = [(0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, -1), (1, -1), (-1, 1)]
        around = [(0, 0)] * (unit == 4) + steps  # later the centre is the best so far
        for y, x in around:
            trial = np.clip(centre + np.array([y * unit, x * unit], np.int32), -REACH, REACH)
            price = cost(trial) + penalty
            best[price < least] = trial[price < least]
            least = np.minimum(price, least)
    upper = np.concatenate([best[:1], best[:-1]])
    same = cost(upper) < least + penalty
    best[same] = upper[same]
    return best if least.sum() < 0.98 * still.sum() else None
