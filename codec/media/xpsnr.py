"""XPSNR (Helmrich et al., ICASSP 2020) of films, by libav's filter of that name.

Square-mean-root of the weighted error over pictures, as the filter sums up, then planes by 6, 1, 1 as PSNR. (The filter
itself names the planes' minimum beside them; other programs weight by 4, 1, 1.) The filter's weights follow the source,
in space and in time.
"""

from __future__ import annotations

from collections.abc import Sequence

import av
import numpy as np
from numpy.typing import NDArray

from ..frames import Plane, PlaneFormat, VideoInfo
from ..metrics import PSNR_MAX, weighted
from .libav import planes_to_av

LEAST = 2025  # luma samples; a smaller picture has no block, by whose size libav's filter (8.1) then divides


class Xpsnr:
    """XPSNR of a film, picture by picture, through libav's filter.

    There is none where libav lacks the filter, for pictures below 2025 luma samples, and for pictures of more than 8
    bits whose rows libav pads (sizes that are no multiple of 8 samples, in chroma either): there the filter (libav 8.1)
    reads the decoded picture as if its rows were not padded.
    """

    def __init__(self, info: VideoInfo):
        self._format = info.format
        self._errors: list[list[float]] = []  # square roots of the weighted errors of each plane
        self._graph: av.filter.Graph | None = None
        if not filter_fits(info.format, info.width, info.height):
            return
        # The rate decides how the filter takes differences in time; the times themselves do not count.
        rate = info.rate if info.rate > 0 else 1
        place = f"video_size={info.width}x{info.height}:pix_fmt={info.format.av_name}:time_base=1:frame_rate={rate}"
        graph = av.filter.Graph()
        graph.threads = 1  # the filter has no use for more
        self._inputs = [graph.add("buffer", place) for _ in range(2)]
        node, self._output = graph.add("xpsnr"), graph.add("buffersink")
        for pad, buffer in enumerate(self._inputs):
            buffer.link_to(node, 0, pad)
        node.link_to(self._output)
        graph.configure()
        self._graph = graph

    def add(self, source: Sequence[Plane], copy: Sequence[Plane]) -> None:
        """Compare one more picture."""
        if self._graph is None:
            return
        for buffer, planes in zip(self._inputs, (source, copy), strict=True):  # the weights are those of the first
            frame = planes_to_av(planes, self._format)
            frame.pts = len(self._errors)
            buffer.push(frame)
        found = self._output.pull().metadata
        values = [float(found[f"lavfi.xpsnr.xpsnr.{plane}"]) for plane in "yuv"[: len(source)]]
        self._errors.append([self._format.peak / 10 ** (value / 20) for value in values])

    def value(self) -> float | None:
        """dB over all pictures so far, at most PSNR_MAX for each plane; None where there is none."""
        return self._decibels(np.mean(self._errors, 0)) if self._errors else None

    @property
    def values(self) -> list[float]:
        """dB of each picture so far, likewise."""
        return [self._decibels(np.array(errors)) for errors in self._errors]

    def _decibels(self, errors: NDArray[np.float64]) -> float:
        least = self._format.peak / 10 ** (PSNR_MAX / 20)
        return weighted(20 * np.log10(self._format.peak / np.maximum(errors, least)))


def filter_fits(fmt: PlaneFormat, width: int, height: int) -> bool:
    """Whether libav has the filter xpsnr, and whether it reads such pictures correctly."""
    if "xpsnr" not in av.filter.filters_available or width * height < LEAST:
        return False
    rows = [plane.line_size for plane in av.VideoFrame(width, height, fmt.av_name).planes]
    return fmt.depth == 8 or rows == [columns * fmt.dtype.itemsize for _, columns in fmt.shapes(width, height)]
