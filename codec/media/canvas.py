"""What the readers of animations share: a canvas that frames are drawn on, and bytes read with care.

An animation is drawn frame by frame: each covers a part of the canvas, replaces what is there or lies over it, and may
be taken away again before the next one comes. Of a film's pictures no more is held than the canvas and one frame.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import IO, Any

import av
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..frames import Colour

Samples = NDArray[Any]  # uint8 or uint16, (rows, columns, channels), alpha last

# libav's name of a canvas -> its channels, the type of its samples
LAYOUTS: dict[str, tuple[int, Any]] = {
    "gray": (1, np.uint8), "ya8": (2, np.uint8), "rgb24": (3, np.uint8), "rgba": (4, np.uint8),
    "gray16le": (1, np.uint16), "ya16le": (2, np.uint16), "rgb48le": (3, np.uint16), "rgba64le": (4, np.uint16),
}  # fmt: skip
UNTOLD = Fraction(1, 10)  # seconds that a picture without a duration is shown, as browsers do
_BLOCK = 1 << 20  # bytes that are asked for at a time, whatever a header says


@dataclass(frozen=True)
class Area:
    """A rectangle of the canvas."""

    left: int
    top: int
    width: int
    height: int

    def of(self, canvas: Samples) -> Samples:
        """The part of a canvas that lies here, which can be written to."""
        return canvas[self.top : self.top + self.height, self.left : self.left + self.width]

    def within(self, width: int, height: int) -> bool:
        """Whether it lies on a canvas of this size."""
        return min(self.width, self.height) > 0 and self.left + self.width <= width and self.top + self.height <= height


@dataclass
class Header:
    """What an animation says before its first frame. `layout`: see LAYOUTS; `tick`: seconds that durations count;
    `frames` and `ticks` altogether, 0 where they are not known; `sar`: aspect ratio of samples;
    `lost`: names of what films do not keep."""

    width: int
    height: int
    layout: str
    tick: Fraction
    frames: int = 0
    ticks: int = 0
    colour: Colour = Colour()
    sar: Fraction = Fraction(1)
    lost: list[str] = field(default_factory=list)


class Animation(ABC):
    """The animation in `file`, which is read once from the beginning to the end. Every fault is an InputError whose
    sentence begins with `name`."""

    header: Header

    def __init__(self, file: IO[bytes], name: str):
        self._file, self._name = file, name

    @abstractmethod
    def pictures(self) -> Iterator[tuple[Samples, int]]:
        """Each picture as it is shown, and how many ticks, 0 where that is not said. The samples hold until the next
        one is asked for. What is wrong with the file is raised after the pictures before it."""

    def _exactly(self, size: int) -> bytes:
        """The next `size` bytes."""
        parts, left = [], size
        while left and (part := self._read(min(left, _BLOCK))):
            parts.append(part)
            left -= len(part)
        if left:
            raise InputError(f"{self._name} is cut off")
        return b"".join(parts)

    def _skip(self, size: int) -> None:
        """Pass over the next bytes."""
        while size and (part := self._read(min(size, _BLOCK))):
            size -= len(part)
        if size:
            raise InputError(f"{self._name} is cut off")

    def _read(self, size: int) -> bytes:
        try:
            return self._file.read(size)
        except OSError as error:
            raise InputError(f"{self._name} cannot be read: {error.strerror or error}") from None


def frame_of(samples: Samples, layout: str) -> av.VideoFrame:
    """A libav frame that holds a copy of a canvas."""
    rows, columns, _ = samples.shape
    frame = av.VideoFrame(columns, rows, layout)
    (plane,) = frame.planes
    to = np.frombuffer(memoryview(plane), samples.dtype).reshape(-1, plane.line_size // samples.dtype.itemsize)
    to[:rows, : columns * samples.shape[2]] = samples.reshape(rows, -1)
    return frame


def samples_of(frame: av.VideoFrame, layout: str) -> Samples:
    """The samples of a libav frame, in another order of bytes where need be; never computed with."""
    channels, kind = LAYOUTS[layout]
    frame = frame if frame.format.name == layout else frame.reformat(format=layout)
    (plane,) = frame.planes
    rows = np.frombuffer(memoryview(plane), kind).reshape(-1, plane.line_size // np.dtype(kind).itemsize)
    return rows[: frame.height, : frame.width * channels].reshape(frame.height, frame.width, channels).copy()
