"""A film's pictures as numbered PNGs: RGB by the film's own matrix, or full-range grey.

No picture gets its name before the last one is written."""

from __future__ import annotations

import os
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, VideoReformatter

from ..errors import OutputError, UsageError
from ..frames import Frame, Plane, VideoInfo
from .files import check_free, discard, part_path, put_in_place, remove_stale
from .libav import planes_to_av
from .sink import SWSCALE_FLAGS, Sink


class PngSequence(Sink):
    """Numbered PNGs from 1 on: RGB, or grey where the film is; 16 bits where it has more than 8."""

    def __init__(self, path: str, info: VideoInfo, source: str | os.PathLike[str] | None, overwrite: bool):
        super().__init__(path, info)
        if len(re.findall(r"%(0\d+)?d", path)) != 1 or path.replace("%%", "").count("%") != 1:
            raise UsageError(f"{path}: a film becomes many pictures; give a name such as name_%05d.png")
        self._overwrite = overwrite
        self._written = 0
        check_free(path % 1, overwrite)
        folder, name = os.path.split(path)
        remove_stale(folder, re.sub(r"%(0\d+)?d", r"\\d+", re.escape(name).replace("%%", "%")))
        self._note_left_out(source)
        self.notes.append("PNG holds RGB or full-range grey; the samples are converted and times are lost")
        fmt, colour = info.format, info.colour
        deep = fmt.depth > 8
        self._grey = fmt.chroma == "400"
        self._name = ("gray16be" if deep else "gray") if self._grey else ("rgb48be" if deep else "rgb24")
        # what players assume of films that do not say: BT.709 from HD on, BT.601 below, limited range
        self._matrix = colour.matrix if colour.matrix != 2 else 1 if info.width >= 1280 or info.height > 576 else 6
        self._limited = colour.range == 1 or (colour.range == 0 and not self._grey)
        self._reformatter = VideoReformatter()
        encoder = av.CodecContext.create("png", "w")
        assert isinstance(encoder, av.VideoCodecContext)
        encoder.width, encoder.height, encoder.pix_fmt = info.width, info.height, self._name
        encoder.time_base = Fraction(1, 25)
        self._encoder = encoder

    def write(self, frame: Frame) -> None:
        path = self.path % (self._written + 1)
        check_free(path, self._overwrite)
        picture = self._grey_picture(frame.planes[0]) if self._grey else self._rgb_picture(frame.planes)
        picture.pts = self._written
        self._written += 1
        with self._guarded():
            Path(part_path(path)).write_bytes(b"".join(bytes(p) for p in self._encoder.encode(picture)))

    def _grey_picture(self, plane: Plane) -> av.VideoFrame:
        depth = self.info.format.depth
        peak = 255 if depth == 8 else 65535
        low, high = (16 << depth - 8, 235 << depth - 8) if self._limited else (0, (1 << depth) - 1)
        grey = np.clip((plane.astype(np.float64) - low) / (high - low), 0, 1) * peak
        samples: Any = np.rint(grey).astype(np.uint8 if depth == 8 else np.uint16)
        return av.VideoFrame.from_ndarray(samples, format=self._name)

    def _rgb_picture(self, planes: tuple[Plane, ...]) -> av.VideoFrame:
        picture = planes_to_av(planes, self.info.format)
        picture.colorspace = self._matrix
        picture.color_range = ColorRange.MPEG if self._limited else ColorRange.JPEG
        return self._reformatter.reformat(
            picture, format=self._name, interpolation=SWSCALE_FLAGS, dst_color_range=ColorRange.JPEG
        )

    def _finish(self) -> None:
        if not self._written:
            raise OutputError(f"{self.path}: there are no pictures to write")
        # only now, so that older pictures of the same names stay where the work fails
        for path in self._paths():
            put_in_place(part_path(path), path)

    def _discard(self) -> None:
        for path in self._paths():
            discard(part_path(path))

    def _paths(self) -> list[str]:
        return [self.path % number for number in range(1, self._written + 1)]
