"""Quality as the project counts it: PSNR and SSIM on the film's own samples. XPSNR is `codec.media.xpsnr`.

- PSNR-YUV = (6·Y + U + V) / 8 of per-plane PSNRs, each averaged over pictures. A plane that is equal counts as
  PSNR_MAX, so that a mean exists.
- SSIM (Wang, Bovik, Sheikh and Simoncelli 2004) as its authors' program has it: a Gaussian window of 11 x 11 samples
  and sigma 1.5, K1 = 0.01, K2 = 0.03, only where the whole window lies in the picture, no scaling before.
- MS-SSIM (Wang, Simoncelli and Bovik 2003): five scales, each the means of 2 x 2 samples of the one before; an odd side
  is continued by its last row or column. Scales whose contrast is opposed count as 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .frames import Plane

PSNR_MAX = 100.0
WINDOW = 11
STRIP = 64  # places down a picture that are taken together, so that what lies between stays in the cache
SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # weights of MS-SSIM, the finest scale first


def squared_error(a: Plane, b: Plane) -> float:
    """Mean squared difference of two planes of the same shape and type; what is summed are integers, so it is exact
    and the same everywhere."""
    from cv2 import NORM_L2SQR, norm  # which those who only read a payload need not wait for

    return round(norm(a, b, NORM_L2SQR)) / a.size  # what comes back is the square of a root


def psnr(a: Plane, b: Plane, peak: int) -> float:
    """PSNR in dB for samples 0..peak, at most PSNR_MAX."""
    error = squared_error(a, b)
    return PSNR_MAX if error == 0 else min(PSNR_MAX, float(10 * np.log10(peak**2 / error)))


def plane_psnrs(a: Sequence[Plane], b: Sequence[Plane], peak: int) -> NDArray[np.float64]:
    """PSNR of each plane, in dB."""
    return np.array([psnr(x, y, peak) for x, y in zip(a, b, strict=True)])


def weighted(psnrs: NDArray[np.float64]) -> float:
    """PSNR-YUV in dB of (planes,) or (pictures, planes) PSNRs; of luma alone where there is no chroma."""
    mean = np.atleast_2d(psnrs).mean(0)
    return float(mean[0]) if len(mean) == 1 else float((6 * mean[0] + mean[1] + mean[2]) / 8)


def ssim(a: Plane, b: Plane, peak: int) -> float:
    """SSIM of two planes of samples 0..peak, exactly 1 for equal ones; nan where they are too small for the window."""
    if min(a.shape) < WINDOW:
        return float("nan")
    return ssim_means(a.astype(np.float64), b.astype(np.float64), peak)[0]


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
    from cv2 import getGaussianKernel, sepFilter2D

    kernel, edge = getGaussianKernel(WINDOW, 1.5), WINDOW // 2
    blurred: NDArray[np.float64] = sepFilter2D(x, -1, kernel, kernel)
    return blurred[edge:-edge, edge:-edge]


def halved(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means of 2 x 2 samples; sides are rounded up."""
    from cv2 import BORDER_REPLICATE, INTER_AREA, copyMakeBorder, resize

    rows, columns = x.shape
    even = copyMakeBorder(x, 0, rows % 2, 0, columns % 2, BORDER_REPLICATE)
    half: NDArray[np.float64] = resize(even, (-(-columns // 2), -(-rows // 2)), interpolation=INTER_AREA)
    return half
