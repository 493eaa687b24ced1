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


class Cutter:
    """Tells where segments begin, of pictures one after the other."""

    def __init__(self, info: VideoInfo):
        self._bounds, self._peak = bounds_of(info), info.format.peak
        self._before: NDArray[np.float32] | None = None
        self._usual = 0.0
        self._length = 0

    def begins(self, frame: Frame) -> bool:
        """Whether a segment begins with the next picture; with the first one does."""
        now = _signature(frame.planes[0], self._peak)
        cut = False
        if self._before is not None:
            difference = float(np.abs(now - self._before).mean())
            cut = difference > CUT and difference > CONTRAST * self._usual
            self._usual += (difference - self._usual) / 8  # also at a cut: where every picture differs, none is one
        self._before = now
        first = self._length == 0
        begins = first or self._length >= self._bounds.longest or (cut and self._length >= self._bounds.shortest)
        self._length = 1 if begins else self._length + 1
        return begins

    def leap(self) -> None:
        """The next picture does not follow the last one: that they differ is no cut."""
        self._before = None


def split(frames: Iterable[Frame], info: VideoInfo) -> Iterator[list[Frame]]:
    """Lists of consecutive frames, none empty; holds one segment at a time."""
    cutter = Cutter(info)
    segment: list[Frame] = []
    for frame in frames:
        if cutter.begins(frame) and segment:
            yield segment
            segment = []
        segment.append(frame)
    if segment:
        yield segment
