"""Quality as the project counts it: PSNR of each plane on the film's own samples, and their weighted mean.

PSNR-YUV = (6·Y + U + V) / 8 of per-plane PSNRs, each averaged over pictures. A plane that is equal counts as
PSNR_MAX, so that a mean exists.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .frames import Plane

PSNR_MAX = 100.0


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
