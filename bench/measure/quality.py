"""Quality of decoded pictures: every sample of every picture beside its source, on the source's own planes.

- PSNR, in dB, as everywhere in the project (`codec.metrics`; an equal plane counts as PSNR_MAX). Films: each plane
  averaged over pictures, and PSNR-YUV = (6·Y + U + V) / 8 of these means. Stills: of the squared error of R, G and B
  together, of the grey plane where there is no colour.
- SSIM (Wang, Bovik, Sheikh and Simoncelli 2004) as its authors' program has it: a Gaussian window of 11 x 11 samples
  and sigma 1.5, K1 = 0.01, K2 = 0.03, only where the whole window lies in the picture, no scaling before.
- MS-SSIM (Wang, Simoncelli and Bovik 2003): five scales, each the means of 2 x 2 samples of the one before; an odd side
  is continued by its last row or column. Scales whose contrast is opposed count as 0.
- XPSNR (Helmrich et al., ICASSP 2020), of films, by libav's filter of that name: square-mean-root of the weighted error
  over pictures, as the filter sums up, then planes by 6, 1, 1 as PSNR. (The filter itself names the planes' minimum
  beside them; other programs weight by 4, 1, 1.) The filter's weights follow the source, in space and in time.

Both kinds of SSIM are those of luma, averaged over pictures, and for stills means over R, G and B, as CompressAI
publishes them. Alpha has no figure of its own: it counts for `identical` and `worst`. So do colours where the source is
wholly transparent, but PSNR and SSIM take them as equal, for nobody sees them. Decoded pictures of 10 bits whose source
has 8 are rounded half up first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from codec.frames import Frame, Plane, PlaneFormat, VideoInfo
from codec.media.libav import planes_to_av
from codec.metrics import PSNR_MAX, plane_psnrs, psnr, weighted

from ..method import Picture
from ..process import BenchError

WINDOW = 11
STRIP = 64  # places down a picture that are taken together, so that what lies between stays in the cache
SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # weights of MS-SSIM, the finest scale first
XPSNR_LEAST = 2025  # luma samples; a smaller picture has no block, by whose size libav's filter (8.1) then divides


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


def ssims(a: Plane, b: Plane, peak: int) -> tuple[float, float]:
    """(SSIM, MS-SSIM) of two planes of samples 0..peak; nan where they are too small for the windows.

    In float64: variances are small differences of large squares, and float32 is off by 1e-5 where a picture is bright.
    Both are exactly 1 for equal planes.
    """
    if min(a.shape) < WINDOW:
        return np.nan, np.nan
    x, y = a.astype(np.float64), b.astype(np.float64)
    single, contrast = ssim_means(x, y, peak)
    if min(a.shape) < WINDOW << len(SCALES) - 1:
        return single, np.nan
    product, full = 1.0, single
    for scale, weight in enumerate(SCALES):
        if scale:
            x, y = halved(x), halved(y)
            full, contrast = ssim_means(x, y, peak)
        product *= max(full if scale == len(SCALES) - 1 else contrast, 0.0) ** weight
    return single, product


def ssim_means(x: NDArray[np.float64], y: NDArray[np.float64], peak: int) -> tuple[float, float]:
    """Means over all places of SSIM, and of its part for contrast and structure alone."""
    places, margin = len(x) - WINDOW + 1, WINDOW - 1
    sums = np.zeros(2)
    for top in range(0, places, STRIP):
        rows = slice(top, min(top + STRIP, places) + margin)
        sums += [part.sum() for part in ssim_maps(x[rows], y[rows], peak)]
    single, contrast = sums / (places * (x.shape[1] - margin))
    return float(single), float(contrast)


def ssim_maps(x: NDArray[np.float64], y: NDArray[np.float64], peak: int) -> tuple[NDArray[np.float64], ...]:
    """SSIM, and its part for contrast and structure alone, at every place that the window has in the picture."""
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    mean_x, mean_y, squares, products = map(windowed, (x, y, x * x + y * y, x * y))
    means, power = mean_x * mean_y, mean_x * mean_x + mean_y * mean_y
    contrast = share(products - means, squares - power, c2)
    return share(means, power, c1) * contrast, contrast


def share(part: NDArray[np.float64], whole: NDArray[np.float64], least: float) -> NDArray[np.float64]:
    """(2 part + least) / (whole + least), in the memory of `part`; `whole` is changed too."""
    part *= 2
    part += least
    whole += least
    part /= whole
    return part


def windowed(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weighted means of the windows that lie within the picture, 10 rows and columns fewer."""
    kernel, edge = cv2.getGaussianKernel(WINDOW, 1.5), WINDOW // 2
    blurred: NDArray[np.float64] = cv2.sepFilter2D(x, -1, kernel, kernel)
    return blurred[edge:-edge, edge:-edge]


def halved(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means of 2 x 2 samples; sides are rounded up."""
    rows, columns = x.shape
    even = cv2.copyMakeBorder(x, 0, rows % 2, 0, columns % 2, cv2.BORDER_REPLICATE)
    half: NDArray[np.float64] = cv2.resize(even, (-(-columns // 2), -(-rows // 2)), interpolation=cv2.INTER_AREA)
    return half


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
        if not self._errors:
            return None
        least = self._format.peak / 10 ** (PSNR_MAX / 20)
        return weighted(20 * np.log10(self._format.peak / np.maximum(np.mean(self._errors, 0), least)))


def filter_fits(fmt: PlaneFormat, width: int, height: int) -> bool:
    """Whether libav has the filter xpsnr, and whether it reads such pictures correctly."""
    if "xpsnr" not in av.filter.filters_available or width * height < XPSNR_LEAST:
        return False
    rows = [plane.line_size for plane in av.VideoFrame(width, height, fmt.av_name).planes]
    return fmt.depth == 8 or rows == [columns * fmt.dtype.itemsize for _, columns in fmt.shapes(width, height)]
