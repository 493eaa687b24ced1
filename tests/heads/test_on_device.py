"""Whole pictures on a device: the same arithmetic on the processor gives what bands give."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from codec.frames import PlaneFormat, folds_of
from codec.segment.head import Head
from codec.segment.restore import Restorer
from heads.choice import forced
from heads.restorer.loaded import restoring_head
from heads.restorer.on_device import restored_there
from heads.restorer.spec import HeadSpec

from .drawn_heads import drawn_head


@pytest.mark.parametrize("kernel", ["int8", "float32", "float64"])
@pytest.mark.parametrize(("chroma", "planes"), [("400", 4), ("420", 6), ("422", 8), ("444", 12)])
@pytest.mark.parametrize("depth", [8, 10])
def test_a_whole_picture_is_what_its_bands_are(kernel: str, chroma: str, planes: int, depth: int) -> None:
    rng, spec = np.random.default_rng(4), HeadSpec(planes, 0, 3, 16, base_q=planes == 6, adding=True)
    fmt = PlaneFormat(chroma, depth)
    with forced(kernel):
        layers = drawn_head(spec, 5)
        try:
            head = restoring_head(spec, layers)
        except ValueError:
            pytest.skip(f"no {kernel} kernels on this machine")
        for width, height in ((64, 70), (37, 35)):
            shapes = PlaneFormat("400" if chroma == "400" else "420", 10).shapes(width, height)
            base = [rng.integers(0, 1024, shape).astype(np.uint16) for shape in shapes]
            restorer = Restorer(fmt, width, height, Fraction(1), Head(spec, tuple(layers), base_q=-9))
            wanted = restorer.predict(base)
            found = restored_there(head, restorer.upscaled(base), folds_of(chroma), depth, -9)
            assert all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(found, wanted, strict=True))
            assert all(plane.flags.writeable for plane in found)
