"""A part of a picture as people see it, to look at beside its source.

The part is where the source has most detail, so that differences show; it depends on the source alone, and all methods
are shown at the same place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from av.video.reformatter import Colorspace, Interpolation
from numpy.typing import NDArray

from codec.frames import SUBSAMPLING, Plane
from codec.media.libav import planes_to_av
from codec.media.parts import write_whole

from ..method import Source, Still

COLUMNS, ROWS = 320, 240  # of the part, at most
GRID = 16  # the part begins at multiples of this, which every chroma layout divides
HD_ROWS = 720  # from here on a film that does not say is taken to be BT.709, as players do


def busiest(luma: Plane, rows: int, columns: int) -> tuple[int, int]:
    """(row, column) of the part with the largest sum of absolute differences between neighbours."""
    y = luma.astype(np.float32)
    detail = np.zeros_like(y)
    detail[1:] += abs(np.diff(y, axis=0))
    detail[:, 1:] += abs(np.diff(y, axis=1))
    total = cv2.integral(detail)
    tops = np.arange(0, y.shape[0] - rows + 1, GRID)
    lefts = np.arange(0, y.shape[1] - columns + 1, GRID)
    sums = (
        total[np.ix_(tops + rows, lefts + columns)]
        - total[np.ix_(tops, lefts + columns)]
        - total[np.ix_(tops + rows, lefts)]
        + total[np.ix_(tops, lefts)]
    )
    row, column = np.unravel_index(int(np.argmax(sums)), sums.shape)
    return int(tops[row]), int(lefts[column])


def part(source: Source, original: Sequence[Plane], planes: Sequence[Plane], depth: int) -> NDArray[np.uint8]:
    """(rows, columns, 3) RGB of the part of `planes` (`depth` bits) that is busiest in `original`."""
    luma = original[min(1, len(original) - 1)] if isinstance(source, Still) else original[0]
    rows, columns = min(ROWS, luma.shape[0]), min(COLUMNS, luma.shape[1])
    top, left = busiest(luma, rows, columns)
    if isinstance(source, Still):
        cut = [p[top : top + rows, left : left + columns] for p in planes[: 3 if len(planes) > 2 else 1]]
        return np.stack(cut * (3 // len(cut)), axis=-1).astype(np.uint8)
    info = source.info
    fmt = replace(info.format, depth=depth)
    sx, sy = SUBSAMPLING[fmt.chroma] or (1, 1)
    steps = [(1, 1), (sy, sx), (sy, sx)]
    shapes = fmt.shapes(columns, rows)
    cut = [
        np.ascontiguousarray(p[top // y : top // y + shape[0], left // x : left // x + shape[1]])
        for p, (y, x), shape in zip(planes, steps, shapes, strict=False)
    ]
    space = Colorspace.ITU709 if info.colour.matrix == 1 or (
        info.colour.matrix == 2 and info.height >= HD_ROWS
    ) else Colorspace.ITU601  # fmt: skip
    picture = planes_to_av(cut, fmt)
    shown = picture.to_ndarray(format="rgb24", src_colorspace=space, interpolation=Interpolation.BICUBIC)
    return np.asarray(shown, np.uint8)


def write_crop(source: Source, original: Sequence[Plane], planes: Sequence[Plane], depth: int, path: str) -> None:
    """Write that part of `planes` to the PNG file `path`, whole or not at all."""
    _, data = cv2.imencode(".png", part(source, original, planes, depth)[..., ::-1])
    write_whole(Path(path), data.tobytes())
