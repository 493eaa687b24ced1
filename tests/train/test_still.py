"""What the head of stills learns by: squared error and likeness, both against what the base lacks."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from codec.base.colour import TO_RGB, to_planes
from codec.train.course import alike_gains, gain_by, likened, sample_of
from heads.restorer.integer import IntegerHead
from heads.restorer.pretrain import Course, Sample, Trainer, draw
from heads.restorer.spec import HeadSpec

SPEC = HeadSpec(planes=12, layers=2, width=4, base_q=True, adding=True)


def sample(chroma: bool) -> Sample:
    """A picture of 64 x 64 whose base is noisy."""
    rng = np.random.default_rng(5)
    smooth = cv2.GaussianBlur(rng.normal(0, 700, (64, 64, 3)), (0, 0), 3) + 128
    pixels = np.clip(np.rint(smooth), 20, 235).astype(np.uint8)
    planes = to_planes(pixels, 255) + rng.normal(0, 12, (3, 64, 64))
    return likened(sample_of([np.clip(np.rint(p), 0, 1023).astype(np.uint16) for p in planes], pixels, 7, chroma))


@pytest.mark.parametrize("chroma", [False, True])
@pytest.mark.parametrize("likeness", [0.0, 0.6, 1.0])
def test_a_head_that_changes_nothing_has_a_loss_of_one(likeness: float, chroma: bool) -> None:
    """Crops of a whole picture, however they are turned, lack what the picture does."""
    course = Course(batch=4, crop=32, margin=0, likeness=likeness)
    trainer = Trainer([sample(chroma)], SPEC, course, TO_RGB)
    with torch.no_grad():
        found = float(trainer._loss(*draw(trainer.samples, SPEC, course, np.random.default_rng(1))))
    assert found == pytest.approx(1, abs=1e-3)


def test_a_head_that_changes_nothing_gains_nothing() -> None:
    layers = Trainer([sample(True)], SPEC, Course(crop=32), TO_RGB).layers()
    assert alike_gains(sample(True), IntegerHead(SPEC, layers)) == pytest.approx((0, 0), abs=1e-3)
    assert gain_by(0.5)([sample(True)], SPEC, layers) == pytest.approx(0, abs=1e-3)
