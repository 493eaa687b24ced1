"""The likeness that heads learn by is that which is measured."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from codec.metrics import SCALES, halved, ssim_means, ssims
from heads.restorer.structure import losses


def pictures(size: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """A picture of 10 bits and a copy with noise."""
    rng = np.random.default_rng(3)
    one = cv2.GaussianBlur(rng.normal(0, 2500, (size, size)), (0, 0), 4) + 500
    both = [np.clip(np.rint(x), 0, 1023).astype(np.uint16) for x in (one, one + rng.normal(0, noise, one.shape))]
    return both[0], both[1]


def test_losses_are_what_the_metrics_lack() -> None:
    one, other = pictures(192, 30)
    found = losses(*(torch.from_numpy(x.astype(np.float32))[None, None] for x in (other, one)))
    assert 1 - float(found[0]) == pytest.approx(ssims(one, other, 1023)[0], abs=1e-5)
    x, y, lost = one.astype(np.float64), other.astype(np.float64), 0.0
    for weight in SCALES:
        lost += weight * (1 - ssim_means(x, y, 1023)[1])
        x, y = halved(x), halved(y)
    assert float(found[1]) == pytest.approx(lost, abs=1e-5)


def test_pictures_are_weighed_apart_and_have_gradients() -> None:
    one, other = pictures(48, 30)
    wanted = torch.from_numpy(np.stack([one, one]).astype(np.float32))[:, None]
    found = torch.from_numpy(np.stack([one, other]).astype(np.float32))[:, None].requires_grad_()
    single, several = losses(found, wanted)
    assert single[0].item() == pytest.approx(0, abs=1e-6) and single[1].item() > 0.01
    (single.sum() + several.sum()).backward()
    assert found.grad is not None and bool(torch.isfinite(found.grad).all()) and bool(found.grad[1].abs().max() > 0)


def test_what_has_no_window_is_refused() -> None:
    with pytest.raises(ValueError, match="11"):
        losses(torch.zeros(1, 1, 10, 40), torch.zeros(1, 1, 10, 40))
