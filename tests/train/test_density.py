"""Pictures that density heads learn from."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from codec.frames import PlaneFormat
from codec.train.density import KEPT, clips
from tests.makers import drawn_frames, write_frames


def test_windows_of_clips_have_cells_of_eight_samples_and_small_clips_are_passed_over(tmp_path: Path) -> None:
    fmt = PlaneFormat("420", 8)
    for name, width, height in (("a", 340, 202), ("b", 96, 64)):
        write_frames(tmp_path / f"{name}.mkv", drawn_frames(fmt, width, height, 5, 1), fmt)
    paths = [tmp_path / "a.mkv", tmp_path / "b.mkv"]
    (found,) = clips(paths, 3)
    (again,) = clips(paths, 3)
    assert len(found) == KEPT
    for one, other in zip(found, again, strict=True):
        assert [plane.base.shape for plane in one] == [(192, 320), (96, 160), (96, 160)]
        assert all(np.array_equal(a.error, b.error) for a, b in zip(one, other, strict=True))
