"""What tests of the command line share: a short film of two scenes, and the command line itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from codec.frames import PlaneFormat
from tests.makers import Run, scene_frames, shell, write_frames


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes], quick: None) -> Run:
    """run("encode", ...) is what the shell sees of `codec encode ...`."""
    return shell(monkeypatch, capfdbinary)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    yuv = PlaneFormat("420", 8)
    return write_frames(tmp_path / "in.mkv", scene_frames(yuv, 64, 48, (12, 10)), yuv)
