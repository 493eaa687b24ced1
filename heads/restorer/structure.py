"""How alike two pictures are by SSIM and MS-SSIM, in a form that gradients go through.

Windows of 11 x 11 samples (Gaussian, sigma 1.5) that lie in the picture; MS-SSIM as the sum over its scales of weight
times lost contrast, which is -ln of their product where little is lost, and which parts of a picture add up to.
"""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

PEAK = 1023.0
STABLE = ((0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2)
WINDOW, SIGMA = 11, 1.5
SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # their weights in MS-SSIM, from the finest


def losses(found: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """(1 - SSIM, lost contrast of MS-SSIM) of each picture, both (n,), of float32 (n, channels, h, w) in 0..1023.
    Scales that have no whole window are left out."""
    single, lost = None, torch.zeros(len(found), device=found.device)
    for weight in SCALES:
        if min(found.shape[2:]) < WINDOW:
            break
        likeness, contrast = _maps(found, wanted)
        single = 1 - likeness.mean((1, 2, 3)) if single is None else single
        lost = lost + weight * (1 - contrast.mean((1, 2, 3)))
        found, wanted = F.avg_pool2d(found, 2), F.avg_pool2d(wanted, 2)
    if single is None:
        raise ValueError(f"pictures below {WINDOW} samples have no window")
    return single, lost


def _maps(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """SSIM, and its part for contrast and structure alone, wherever the window is in the picture."""
    middle = y.mean((2, 3), keepdim=True)  # squares of small numbers keep their differences
    u, v = x - middle, y - middle
    n = len(x)
    means, squares = _windowed(torch.cat([u, v])), _windowed(torch.cat([u * u, v * v, u * v]))
    mean_u, mean_v = means[:n], means[n:]
    spread = squares[:n] + squares[n : 2 * n] - mean_u.square() - mean_v.square()
    contrast = (2 * (squares[2 * n :] - mean_u * mean_v) + STABLE[1]) / (spread + STABLE[1])
    mean_x, mean_y = mean_u + middle, mean_v + middle
    light = (2 * mean_x * mean_y + STABLE[0]) / (mean_x.square() + mean_y.square() + STABLE[0])
    return light * contrast, contrast


def _windowed(x: Tensor) -> Tensor:
    """Weighted means of all windows: two products of matrices, which is faster than a convolution of one channel."""
    rows, columns = (_bands(n).to(x) for n in x.shape[2:])
    return rows @ x @ columns.T


@cache
def _bands(size: int) -> Tensor:
    """(size - 10, size): row k is the window at k."""
    at = torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2
    window = torch.exp(-at.square() / (2 * SIGMA**2))
    bands = torch.zeros(size - WINDOW + 1, size, dtype=torch.float64)
    for k in range(len(bands)):
        bands[k, k : k + WINDOW] = window / window.sum()
    return bands.float()
