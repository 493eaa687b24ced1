"""Splitting a film into segments: closed groups of pictures, cut where the scene changes, while it streams by.

A cut is where the picture differs from the one before both strongly and much more than pictures did lately. The
difference is taken on means of large blocks, so that motion and grain count little (cf. Lienhart, "Comparison of
automatic shot boundary detection algorithms", SPIE 1999, on why global statistics with an adaptive threshold do well).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ..frames import Frame, Plane, VideoInfo

LONGEST = 10.0  # seconds
SHORTEST = 0.4  # seconds, between cuts
MEMORY = 640 << 20  # bytes of uncompressed pictures in a segment
CUT = 0.05  # difference that can be a cut, of the full range
CONTRAST = 3.0  # times the recent mean difference
GRID = (32, 18)


@dataclass(frozen=True)
class Lengths:
    """Length of a segment in pictures."""

    shortest: int
    longest: int


def bounds_of(info: VideoInfo) -> Lengths:
    """Bounds for a film: about ten seconds, and no more than MEMORY of pictures."""
    room = MEMORY // max(1, info.format.frame_bytes(info.width, info.height))
    longest = max(8, min(round(LONGEST * info.rate), room, 1200))
    return Lengths(min(longest, max(1, round(SHORTEST * info.rate))), longest)


def _signature(luma: Plane, peak: int) -> NDArray[np.float32]:
    return cv2.resize(luma, GRID, interpolation=cv2.INTER_AREA).astype(np.float32) / peak


def split(frames: Iterable[Frame], info: VideoInfo) -> Iterator[list[Frame]]:
    """Lists of consecutive frames, none empty; holds one segment at a time."""
    bounds = bounds_of(info)
    segment: list[Frame] = []
    before: NDArray[np.float32] | None = None
    usual = 0.0
    for frame in frames:
        now = _signature(frame.planes[0], info.format.peak)
        if before is not None:
            difference = float(np.abs(now - before).mean())
            cut = difference > CUT and difference > CONTRAST * usual
            if len(segment) >= bounds.longest or (cut and len(segment) >= bounds.shortest):
                yield segment
                segment = []
            usual += (difference - usual) / 8  # also at a cut: where every picture differs, none is one
        before = now
        segment.append(frame)
    if segment:
        yield segment
