"""What a user does where the full size costs too much: encode the film smaller, and enlarge what is decoded.

Pictures are scaled down by area (means of the samples that a smaller one covers) and enlarged by Lanczos (four lobes),
both by OpenCV in float32, each plane for itself and rounded once, so that no sample moves; swscale's area and Lanczos
are as good within 0.1 dB. What comes out is compared on the source's own planes. Samples of a smaller picture are kept
in as many bits as it is coded with; its sides are even, as encoders ask for.

A file is that of the encoder behind four bytes, columns and rows of the source, which any container could tell.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from codec.frames import Frame, Plane, PlaneFormat

from ..method import Film, Kind, Knob, Method, Picture, Source, film_of
from ..process import BenchError
from .libav import LIBAV, Libav

SIZE = struct.Struct(">HH")  # columns, rows


def smaller(side: int, times: int) -> int:
    """A side of the picture that is encoded: the nearest even number to its share of the source's."""
    return max(2, 2 * round(side / (2 * times)))


def resized(plane: Plane, shape: tuple[int, int], filtering: int, gain: int, peak: int) -> Plane:
    """A plane at another size, samples times `gain`, as uint8 or uint16 of 0..`peak`."""
    rows, columns = shape
    scaled: NDArray[np.float32] = cv2.resize(plane.astype(np.float32) * gain, (columns, rows), interpolation=filtering)
    out: Plane = np.clip(np.rint(scaled), 0, peak).astype(np.uint8 if peak < 256 else np.uint16)
    return out


def enlarged(planes: Sequence[Plane], depth: int, columns: int, rows: int) -> tuple[Plane, ...]:
    """Planes of a decoded picture as those of one of `columns` x `rows`, of the same chroma layout."""
    out = []
    for plane in planes:
        down, across = (round(a / b) for a, b in zip(planes[0].shape, plane.shape, strict=True))
        shape = (-(-rows // down), -(-columns // across))
        out.append(resized(plane, shape, cv2.INTER_LANCZOS4, 1, (1 << depth) - 1))
    return tuple(out)


@dataclass(frozen=True)
class SmallerFilm(Film):
    """The film `whole`, whose pictures are scaled down to the size and depth of `info`."""

    whole: Film

    @classmethod
    def of(cls, film: Film, times: int, fmt: PlaneFormat) -> SmallerFilm:
        """The film so many times smaller, in a format of the same chroma layout and no fewer bits."""
        width, height = (smaller(side, times) for side in (film.info.width, film.info.height))
        info = replace(film.info, format=fmt, width=width, height=height)
        return cls(film.path, info, film.frames, film.seconds, film.hash, film)

    def pictures(self) -> Iterator[Frame]:
        fmt = self.info.format
        shapes, gain = fmt.shapes(self.info.width, self.info.height), 1 << fmt.depth - self.whole.info.format.depth
        for frame in self.whole.pictures():
            pairs = zip(frame.planes, shapes, strict=True)
            planes = (resized(plane, shape, cv2.INTER_AREA, gain, fmt.peak) for plane, shape in pairs)
            yield replace(frame, planes=tuple(planes))


@dataclass(frozen=True)
class Scaled(Method):
    """An encoder of libav on pictures that are `times` smaller in both directions; its options and its setting are the
    encoder's. Decoding includes the enlarging."""

    kind: ClassVar[Kind] = "video"

    name: str
    inner: Libav
    times: int
    modules: tuple[str, ...] = ("bench/methods/libav.py", "bench/methods/scaled.py")
    libraries: tuple[str, ...] = ("av", "opencv-python-headless")
    settings: str = field(init=False)
    knob: Knob | None = field(init=False)

    def __post_init__(self) -> None:
        words = f"{self.times} times smaller by area, {self.inner.settings}, enlarged by Lanczos"
        object.__setattr__(self, "settings", words)
        object.__setattr__(self, "knob", self.inner.knob)

    def variant(self, options: Mapping[str, str]) -> Self:
        """Options are those of the encoder's row."""
        name = ":".join((self.name, *(f"{k}={v}" for k, v in options.items())))
        return replace(self, name=name, inner=self.inner.variant(options))

    def encode(self, source: Source, quality: float) -> bytes:
        film = film_of(source)
        small = SmallerFilm.of(film, self.times, self.inner.coded_format(film.info.format))
        return SIZE.pack(film.info.width, film.info.height) + self.inner.encode(small, quality)

    def decode(self, data: bytes) -> Iterator[Picture]:
        if len(data) < SIZE.size:
            raise BenchError(f"{self.name}: the file ends within its first {SIZE.size} bytes")
        size = SIZE.unpack_from(data)
        for picture in self.inner.decode(data[SIZE.size :]):
            yield picture._replace(planes=enlarged(picture.planes, picture.depth, *size))


_ROWS = {method.name: method for method in LIBAV}

SCALED = (
    Scaled("svt-av1-half", _ROWS["svt-av1-p2-10bit"], 2),
    Scaled("svt-av1-third", _ROWS["svt-av1-p2-10bit"], 3),
    Scaled("x265-half", _ROWS["x265"], 2),
)
