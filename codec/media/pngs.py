"""A film's pictures as numbered PNGs: RGB by the film's own matrix, or full-range grey.

Pictures are converted, compressed and written by threads; none gets its name before the last one is written."""

from __future__ import annotations

import os
import re
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from fractions import Fraction
from threading import local
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, VideoReformatter

from ..errors import OutputError, UsageError
from ..frames import Frame, Plane, VideoInfo
from .libav import planes_to_av
from .parts import Part, check_target
from .sink import SWSCALE_FLAGS, Sink

LEVEL = 1  # zlib's: a fifth of the usual level's time for a tenth more bytes (bench/NOTES.md, "Numbered PNGs")
_THREADS_MAX = 4  # films are not decoded faster than so many write


class PngSequence(Sink):
    """Numbered PNGs from 1 on: RGB, or grey where the film is; 16 bits where it has more than 8."""

    def __init__(
        self, path: str, info: VideoInfo, source: str | os.PathLike[str] | None, overwrite: bool, threads: int = 0
    ):
        """`threads` write, 0 = one a core, but no more than are of use."""
        super().__init__(path, info)
        if len(re.findall(r"%(0\d+)?d", path)) != 1 or path.replace("%%", "").count("%") != 1:
            raise UsageError(f"{path}: a film becomes many pictures; give a name such as name_%05d.png")
        self._overwrite = overwrite
        self._written = 0
        self._note_left_out(source)
        self.notes.append("PNG holds RGB or full-range grey; the samples are converted and times are lost")
        self._converter = Converter(info)
        with self._guarded():
            self._part = Part(path % 1, overwrite)
        self._threads = min(threads or os.cpu_count() or 1, _THREADS_MAX)
        self._pool = ThreadPoolExecutor(self._threads, "png")
        self._pending: deque[Future[None]] = deque()

    def write(self, frame: Frame) -> None:
        self._note_messages(frame)
        check_target(self.path % (self._written + 1), self._overwrite)
        self._written += 1
        self._pending.append(self._pool.submit(self._write, self._written, frame))
        while self._pending and (self._pending[0].done() or len(self._pending) > self._threads + 1):
            self._pending.popleft().result()

    def _write(self, number: int, frame: Frame) -> None:
        """Write one picture, on a thread of the pool."""
        with self._guarded():
            data = self._converter.png(frame.planes)
            with self._part.open(number) as file:
                file.write(data)

    def _finish(self) -> None:
        while self._pending:
            self._pending.popleft().result()
        self._pool.shutdown()
        if not self._written:
            raise OutputError(f"{self.path}: there are no pictures to write")
        # only now, so that older pictures of the same names stay where the work fails
        targets = {number: self.path % number for number in range(1, self._written + 1)}
        self._part.finish(targets)

    def _discard(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._part.discard()


class Converter:
    """Planes of a film to PNGs; may be used by several threads."""

    def __init__(self, info: VideoInfo):
        self._info = info
        self._own = local()  # each thread's encoder and reformatter, which keep a state
        fmt, colour = info.format, info.colour
        deep = fmt.depth > 8
        self._grey = fmt.chroma == "400"
        self._name = ("gray16be" if deep else "gray") if self._grey else ("rgb48be" if deep else "rgb24")
        # what players assume of films that do not say: BT.709 from HD on, BT.601 below, limited range
        self._matrix = colour.matrix if colour.matrix != 2 else 1 if info.width >= 1280 or info.height > 576 else 6
        self._limited = colour.range == 1 or (colour.range == 0 and not self._grey)

    def png(self, planes: tuple[Plane, ...]) -> bytes:
        """A picture's file. Raises libav's errors."""
        if not hasattr(self._own, "encoder"):
            self._own.encoder, self._own.reformatter = self._encoder(), VideoReformatter()
            self._own.count = 0
        picture = self._grey_picture(planes[0]) if self._grey else self._rgb_picture(planes)
        picture.pts = self._own.count
        self._own.count += 1
        return b"".join(bytes(packet) for packet in self._own.encoder.encode(picture))

    def _encoder(self) -> av.VideoCodecContext:
        encoder = av.CodecContext.create("png", "w")
        assert isinstance(encoder, av.VideoCodecContext)
        encoder.width, encoder.height, encoder.pix_fmt = self._info.width, self._info.height, self._name
        encoder.time_base = Fraction(1, 25)
        encoder.thread_count = 1
        encoder.options = {"compression_level": str(LEVEL), "pred": "paeth"}
        return encoder

    def _grey_picture(self, plane: Plane) -> av.VideoFrame:
        depth = self._info.format.depth
        peak = 255 if depth == 8 else 65535
        low, high = (16 << depth - 8, 235 << depth - 8) if self._limited else (0, (1 << depth) - 1)
        grey = np.clip((plane.astype(np.float64) - low) / (high - low), 0, 1) * peak
        samples: Any = np.rint(grey).astype(np.uint8 if depth == 8 else np.uint16)
        return av.VideoFrame.from_ndarray(samples, format=self._name)

    def _rgb_picture(self, planes: tuple[Plane, ...]) -> av.VideoFrame:
        picture = planes_to_av(planes, self._info.format)
        picture.colorspace = self._matrix
        picture.color_range = ColorRange.MPEG if self._limited else ColorRange.JPEG
        return self._own.reformatter.reformat(
            picture, format=self._name, interpolation=SWSCALE_FLAGS, dst_color_range=ColorRange.JPEG
        )
