"""What a sink is, and the simplest ones: YUV4MPEG2 into a file or a pipe.

A sink writes beside its target and puts it in place when it is whole; where the work fails, nothing of it stays."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import IO, Self

import numpy as np
from av.video.reformatter import Interpolation

from ..errors import OutputError
from ..frames import Frame, VideoInfo
from ..wire.t35 import name_of
from .files import STDOUT, drain, standard_output
from .libav import faults_as, open_film
from .parts import Part

_Y4M_PLACES = {"left": "420mpeg2", "center": "420jpeg", "topleft": "420paldv"}  # of chroma samples, of 8 bits
SWSCALE_FLAGS = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
_FRAME = b"FRAME\n"


class Sink(ABC):
    """Takes frames; a context manager that keeps the target on success and removes its traces on failure.

    Attributes:
        notes: sentences about what the target does not hold; complete after the context has ended.
        picture_bytes: of the target for each picture, 0 where that is not known beforehand.
        closed: whether nobody reads any more, so that no more frames need be decoded.
    """

    picture_bytes = 0

    def __init__(self, path: str, info: VideoInfo):
        self.path = path
        self.info = info
        self.notes: list[str] = []
        self.closed = False

    @abstractmethod
    def write(self, frame: Frame) -> None:
        """Add the next picture; `pts` is in `info.time_base`."""

    @abstractmethod
    def _finish(self) -> None:
        """Complete the target."""

    @abstractmethod
    def _discard(self) -> None:
        """Remove what was written; must not raise."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._discard()
            return
        try:
            with self._guarded():
                self._finish()
        except BaseException:
            self._discard()
            raise

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Errors of the system and of libav become OutputError."""
        with faults_as(OutputError, f"{self.path} cannot be written"):
            yield

    def _note_messages(self, frame: Frame) -> None:
        """Note, once of each kind, that what a picture brings with it stays behind."""
        for name in filter(None, map(name_of, frame.messages)):
            if (note := f"{self.path} does not hold the film's {name}") not in self.notes:
                self.notes.append(note)

    def _note_left_out(self, source: str | os.PathLike[str] | None) -> None:
        """Note that sound and subtitles of `source`, and the film's rotation, stay behind."""
        if source is not None:
            with open_film(source) as film:
                kinds = [kind for kind in ("audio", "subtitle") if any(s.type == kind for s in film.streams)]
            if kinds:
                self.notes.append(f"{self.path} holds pictures only; {' and '.join(kinds)} are left out")
        if self.info.display_matrix:
            self.notes.append(f"{self.path} does not hold the film's rotation; the pictures are as they were coded")


class _Y4mSink(Sink):
    """Exact planes with one frame rate, into `_file`, which subclasses open."""

    def __init__(self, path: str, info: VideoInfo, source: str | os.PathLike[str] | None):
        super().__init__(path, info)
        self._note_left_out(source)
        if info.colour[:3] != (2, 2, 2) or info.side_data:
            self.notes.append("y4m does not hold the film's colour code points")
        if info.chroma_place not in ("", "left") and _y4m_chroma(info) != _Y4M_PLACES.get(info.chroma_place):
            self.notes.append(f"y4m does not hold the place of the film's chroma samples, {info.chroma_place}")
        self._file: IO[bytes]
        self._first: int | None = None
        self._count = 0
        self._varies = False

    def write(self, frame: Frame) -> None:
        self._note_messages(frame)
        with self._guarded():
            if self._first is None:
                self._first = frame.pts
                self._file.write(y4m_header(self.info))
            self._file.write(_FRAME)
            for plane in frame.planes:
                self._file.write(np.ascontiguousarray(plane, plane.dtype.newbyteorder("<")).data)
        late = (frame.pts - self._first) * self.info.time_base - self._count / self.info.rate
        if not self._varies and abs(late) * self.info.rate > 1:
            self._varies = True
            self.notes.append(
                f"y4m has one frame rate ({float(self.info.rate):g}); the film's times vary from picture "
                f"{self._count} on and are lost"
            )
        self._count += 1


class Y4mFile(_Y4mSink):
    """YUV4MPEG2 in a file."""

    def __init__(self, path: str, info: VideoInfo, source: str | os.PathLike[str] | None, overwrite: bool):
        super().__init__(path, info, source)
        self.picture_bytes = len(_FRAME) + info.format.frame_bytes(info.width, info.height)
        with self._guarded():
            self._part = Part(path, overwrite)
            try:
                self._file = self._part.open()
            except BaseException:
                self._part.discard()
                raise

    def _finish(self) -> None:
        self._file.close()
        self._part.finish()

    def _discard(self) -> None:
        with suppress(OSError):
            self._file.close()
        self._part.discard()


class Y4mPipe(_Y4mSink):
    """YUV4MPEG2 on standard output."""

    def __init__(self, info: VideoInfo, source: str | os.PathLike[str] | None):
        super().__init__(STDOUT, info, source)
        self.path = "standard output"
        self._file = standard_output()

    def write(self, frame: Frame) -> None:
        if not self.closed:
            super().write(frame)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        with super()._guarded():
            try:
                yield
            except BrokenPipeError:
                self._hang_up()

    def _hang_up(self) -> None:
        """The reader has gone: that ends the work, and is no error."""
        self.closed = True
        drain(self._file)

    def _finish(self) -> None:
        if not self.closed:
            self._file.flush()

    def _discard(self) -> None:
        pass


def y4m_header(info: VideoInfo) -> bytes:
    """The stream header of YUV4MPEG2, with mjpegtools' and libav's names for depth and range."""
    fmt, rate, sar = info.format, info.rate, info.sar
    fields = [
        f"YUV4MPEG2 W{info.width} H{info.height} F{rate.numerator}:{rate.denominator}",
        f"Ip A{sar.numerator}:{sar.denominator}",
    ]
    fields += [f"C{chroma}"] if (chroma := _y4m_chroma(info)) else []
    if fmt.depth > 8 and fmt.chroma != "400":
        fields.append(f"XYSCSS={fmt.chroma}P{fmt.depth}")
    if info.colour.range:
        fields.append(f"XCOLORRANGE={'FULL' if info.colour.range == 2 else 'LIMITED'}")
    return " ".join(fields).encode() + b"\n"


def _y4m_chroma(info: VideoInfo) -> str:
    """The name of planes and place of chroma samples; empty for 4:2:0 whose place is not told, which readers assume
    where there is no name."""
    fmt = info.format
    if fmt.depth > 8:
        return f"mono{fmt.depth}" if fmt.chroma == "400" else f"{fmt.chroma}p{fmt.depth}"
    return {"400": "mono", "420": _Y4M_PLACES.get(info.chroma_place, "")}.get(fmt.chroma, fmt.chroma)
