"""Quality of decoded pictures: every sample of every picture beside its source, on the source's own planes.

- PSNR, in dB, as everywhere in the project (`codec.metrics`; an equal plane counts as PSNR_MAX). Films: each plane
  averaged over pictures, and PSNR-YUV = (6·Y + U + V) / 8 of these means. Stills: of the squared error of R, G and B
  together, of the grey plane where there is no colour.
- SSIM and MS-SSIM as `codec.metrics` has them.
- XPSNR, of films, as `codec.media.xpsnr` has it.

Both kinds of SSIM are those of luma, averaged over pictures, and for stills means over R, G and B, as CompressAI
publishes them. Alpha has no figure of its own: it counts for `identical` and `worst`. So do colours where the source is
wholly transparent, but PSNR and SSIM take them as equal, for nobody sees them. Decoded pictures of 10 bits whose source
has 8 are rounded half up first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import cv2
import numpy as np
from numpy.typing import NDArray

from codec.frames import Frame, Plane, VideoInfo
from codec.media.xpsnr import Xpsnr
from codec.metrics import plane_psnrs, psnr, ssims, weighted

from ..method import Picture
from ..process import BenchError


@dataclass(frozen=True)
class Quality:
    """Means over `frames` pictures; PSNR and XPSNR in dB, None for what does not apply: planes that are not there,
    `psnr_rgb` of films, `psnr_y` to `psnr_yuv` and `xpsnr` of stills, `ssim` below 11 samples, `ms_ssim` below 176 on
    the shorter side, `xpsnr` of what libav's filter cannot read (see `Xpsnr`). `identical`: number of pictures that
    equal their source in every sample; `worst`: largest error of any sample of any plane."""

    frames: int
    psnr_y: float | None = None
    psnr_u: float | None = None
    psnr_v: float | None = None
    psnr_yuv: float | None = None
    psnr_rgb: float | None = None
    ssim: float | None = None
    ms_ssim: float | None = None
    xpsnr: float | None = None
    identical: int = 0
    worst: int = 0


def measure_film(source: Iterable[Frame], info: VideoInfo, decoded: Iterable[Picture]) -> Quality:
    """Compare decoded pictures with their source, of which `info` tells format, size and times.

    One picture of each is held at a time. Raises BenchError where there are fewer or more of them, where one is of
    another size, format or time, and where there is none.
    """
    psnrs: list[NDArray[np.float64]] = []
    likeness: list[tuple[float, float]] = []
    errors: list[int] = []
    xpsnr = Xpsnr(info)
    begin = 0
    for count, (frame, picture) in enumerate(zip_longest(source, decoded)):
        if frame is None or picture is None:
            raise BenchError(f"the {'source' if frame is None else 'copy'} ends after {count} pictures")
        begin = frame.pts if count == 0 else begin
        if picture.time != (time := (frame.pts - begin) * info.time_base):
            raise BenchError(f"picture {count} is shown after {picture.time} s, in the source after {time} s")
        copy = matched(picture, frame.planes, info.format.depth, f"picture {count}")
        errors.append(largest_error(frame.planes, copy))
        psnrs.append(plane_psnrs(frame.planes, copy, info.format.peak))
        likeness.append(ssims(frame.planes[0], copy[0], info.format.peak))
        xpsnr.add(frame.planes, copy)
    if not psnrs:
        raise BenchError("there is no picture to compare")
    psnr_y, psnr_u, psnr_v = (*known(np.mean(psnrs, 0)), None, None)[:3]
    ssim, ms_ssim = known(np.mean(likeness, 0))
    return Quality(
        len(psnrs),
        psnr_y=psnr_y,
        psnr_u=psnr_u,
        psnr_v=psnr_v,
        psnr_yuv=weighted(np.array(psnrs)),
        ssim=ssim,
        ms_ssim=ms_ssim,
        xpsnr=xpsnr.value(),
        identical=errors.count(0),
        worst=max(errors),
    )


def measure_still(source: Sequence[Plane], decoded: Picture) -> Quality:
    """Compare a decoded still with its source: planes of 8 bits, grey or R, G, B, each with alpha behind where there is
    any. Raises BenchError where it is of another size or format."""
    copy = matched(decoded, source, 8, "the picture")
    colours = 3 if len(source) >= 3 else 1
    a, b = source[:colours], copy[:colours]
    if len(source) > colours:
        b = tuple(np.where(source[-1] == 0, x, y) for x, y in zip(a, b, strict=True))
    ssim, ms_ssim = known(np.mean([ssims(x, y, 255) for x, y in zip(a, b, strict=True)], 0))
    error = largest_error(source, copy)
    return Quality(
        1,
        psnr_rgb=psnr(np.concatenate(a), np.concatenate(b), 255),
        ssim=ssim,
        ms_ssim=ms_ssim,
        identical=int(error == 0),
        worst=error,
    )


def matched(picture: Picture, source: Sequence[Plane], depth: int, name: str) -> tuple[Plane, ...]:
    """The planes of a decoded picture at the depth of its source: 10 bits become 8 by rounding half up. Raises
    BenchError, beginning with `name`, where they are of another size or format."""
    if (picture.depth, depth) not in ((8, 8), (10, 10), (10, 8)):
        raise BenchError(f"{name} has {picture.depth} bits a sample, its source {depth}")
    planes = picture.planes
    if any(p.dtype != (np.uint8 if picture.depth == 8 else np.uint16) for p in planes):
        raise BenchError(f"{name} has {picture.depth} bits a sample in {', '.join(str(p.dtype) for p in planes)}")
    if [p.shape for p in planes] != [p.shape for p in source]:
        raise BenchError(f"{name} has planes of {shapes(planes)}, its source of {shapes(source)}")
    if picture.depth == depth:
        return planes
    return tuple(np.minimum((p + 2) >> 2, 255).astype(np.uint8) for p in planes)


def shapes(planes: Sequence[Plane]) -> str:
    """Sizes of planes in words, columns first."""
    return ", ".join("x".join(map(str, p.shape[::-1])) for p in planes)


def largest_error(a: Sequence[Plane], b: Sequence[Plane]) -> int:
    """Largest difference of any two samples."""
    return max(int(cv2.absdiff(x, y).max()) for x, y in zip(a, b, strict=True))


def known(figures: NDArray[np.float64]) -> tuple[float | None, ...]:
    """Numbers, and None for what is no number."""
    return tuple(None if np.isnan(x) else float(x) for x in figures)
