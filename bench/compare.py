"""Quality of decoded pictures, read from a y4m file and compared with the source sample by sample.

The reader is the project's second one, made for this: what is measured here does not pass through the codec's own.
Quality is counted as everywhere in the project (`codec.metrics`): PSNR of each plane averaged over pictures, and
PSNR-YUV = (6·Y + U + V) / 8 of these means.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np

from codec.frames import Frame, Plane, PlaneFormat
from codec.metrics import plane_psnrs, weighted

from .process import BenchError


@dataclass(frozen=True)
class Quality:
    """Means over `frames` pictures, in dB; planes that a film lacks are left out. `worst` is the largest error of
    any sample of any plane."""

    frames: int
    psnr_y: float
    psnr_u: float | None
    psnr_v: float | None
    psnr_yuv: float
    worst: int


def rounded(planes: Sequence[Plane], depth: int, wanted: int) -> list[Plane]:
    """Planes of `depth` bits at the depth of the source: 10 bits become 8 by rounding half up."""
    if depth == wanted:
        return list(planes)
    if (depth, wanted) != (10, 8):
        raise BenchError(f"pictures of {depth} bits are no copy of a source of {wanted} bits")
    return [np.minimum((p + 2) >> 2, 255).astype(np.uint8) for p in planes]


def quality(source: Iterable[Frame], decoded: Iterable[Sequence[Plane]], fmt: PlaneFormat, depth: int) -> Quality:
    """Compare decoded pictures of `depth` bits with their source in format `fmt`.

    Raises BenchError where there are fewer or more of them, or where they are of another size or form.
    """
    psnrs, worst = [], 0
    for count, (frame, planes) in enumerate(zip_longest(source, decoded)):
        if frame is None or planes is None:
            raise BenchError(f"the {'source' if frame is None else 'copy'} ends after {count} pictures")
        copy = rounded(planes, depth, fmt.depth)
        if [p.shape for p in copy] != [p.shape for p in frame.planes]:
            raise BenchError(f"picture {count} has planes of {[p.shape for p in copy]}")
        psnrs.append(plane_psnrs(copy, frame.planes, fmt.peak))
        pairs = zip(copy, frame.planes, strict=True)
        worst = max(worst, *(int(np.abs(a.astype(np.int32) - b).max()) for a, b in pairs))
    if not psnrs:
        raise BenchError("there is no picture to compare")
    table = np.array(psnrs)
    means: list[float | None] = [*table.mean(0).tolist(), None, None]
    return Quality(len(psnrs), float(means[0] or 0.0), means[1], means[2], weighted(table), worst)


def read_y4m(path: str | os.PathLike[str]) -> tuple[PlaneFormat, Iterator[list[Plane]]]:
    """(format, the planes of each picture) of a y4m file; one picture is held at a time."""
    file = open(path, "rb")  # noqa: SIM115
    words = file.readline(4096).decode("ascii", "replace").split()
    if not words or words[0] != "YUV4MPEG2":
        file.close()
        raise BenchError(f"{os.fspath(path)} is no y4m file")
    tags = {word[0]: word[1:] for word in words[1:] if word[0] in "WHC"}
    width, height, chroma = int(tags["W"]), int(tags["H"]), tags.get("C", "420")
    name, _, depth = chroma.replace("mono", "400p").partition("p")
    fmt = PlaneFormat(name[:3], int(depth) if depth in ("8", "10") else 8)

    def pictures() -> Iterator[list[Plane]]:
        with file:
            while mark := file.readline(256):
                if not mark.startswith(b"FRAME"):
                    raise BenchError(f"{os.fspath(path)} has no picture where one should begin")
                yield [_plane(file, shape, fmt) for shape in fmt.shapes(width, height)]

    return fmt, pictures()


def _plane(file: Any, shape: tuple[int, int], fmt: PlaneFormat) -> Plane:
    size = shape[0] * shape[1] * fmt.dtype.itemsize
    data = file.read(size)
    if len(data) != size:
        raise BenchError("a y4m file ends within a picture")
    return np.frombuffer(data, fmt.dtype.newbyteorder("<")).reshape(shape)
