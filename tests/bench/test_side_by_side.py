"""Methods side by side at equal bytes: settings that give them, and the picture."""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np
import pytest

from bench.method import Knob
from bench.show.tiles import COLUMNS, GAP, tiled
from bench.side_by_side import NEAR, nearest
from codec.frames import PlaneFormat, VideoInfo
from codec.media.sinks import open_sink
from tests.makers import drawn_frames

CRF = Knob(best=18, worst=40, low=0, high=51, step=0.125)


def size(setting):
    """Bytes halve every six steps, and faster towards the end."""
    return 1e6 * 2 ** (-setting / 6 - (setting / 40) ** 4)


@pytest.mark.parametrize("wanted", [300_000, 20_000, 4_000])
def test_setting_that_gives_the_bytes_wanted(wanted):
    assert size(nearest(CRF, wanted, size)) == pytest.approx(wanted, rel=NEAR)


def test_nearest_where_none_gives_them():
    assert nearest(CRF, 10, size) == CRF.high
    coarse = Knob(best=18, worst=40, low=0, high=51)
    assert abs(np.log(size(nearest(coarse, 20_000, size)) / 20_000)) < 0.1


def test_a_rate_is_tried_first():
    knob = Knob(best=4000, worst=100, low=1, high=1e6, step=0.1, ratios=True, is_rate=True)
    tried: list[float] = []
    assert nearest(knob, 50_000, lambda s: tried.append(s) or s * 1010, aim=50.0) == 50 and tried == [50]


def test_tiles():
    pictures = [np.full((20, 30, 3), 40 * k, np.uint8) for k in range(4)]
    data = tiled(pictures, [("name", "words"), *[("other",)] * 3])
    sheet = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert sheet.shape[1] == COLUMNS * (30 + GAP) + GAP
    assert (sheet[GAP : GAP + 20, GAP + 40 : GAP + 70] == 40).all()
    assert (sheet[:GAP] == 255).all() and sheet[GAP + 20 :, GAP : GAP + 30].min() < 128, "words stand below"


def test_picture_of_methods_side_by_side(bench, tmp_path):
    film, target = tmp_path / "a.mkv", tmp_path / "four.png"
    info = VideoInfo(128, 128, PlaneFormat(), Fraction(1, 24), Fraction(24))
    with open_sink(str(film), info) as sink:
        for frame in drawn_frames(info.format, info.width, info.height, 3):
            sink.write(frame)
    methods = "x264:preset=ultrafast,x265-half:preset=ultrafast"
    code, text = bench("picture", film, target, "--methods", methods, "--out", tmp_path / "out")
    assert code == 0, text
    assert "x265-half:preset=ultrafast" in text and "bytes wanted" in text
    assert cv2.imread(str(target)).shape[1] == 3 * (128 + GAP) + GAP
    code, text = bench("picture", film, target, "--methods", "ffv1", "--out", tmp_path / "out")
    assert code == 1 and "ffv1 has no coarsest setting" in text
