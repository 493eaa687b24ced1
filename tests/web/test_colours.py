"""Colours that the page shows, against the restored samples and the formulas of H.273, BT.2100 and sRGB in NumPy."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest
from PIL import Image

from codec.film.film import Film
from tests.makers import GOLDEN
from tests.web.browser import NO_WEBGPU, first_picture, new_page, show, until

KR_KB = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}
PQ, HLG = 16, 18
NARROWED = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]])
CASES = [  # film, matrix, primaries, transfer, range (1: limited, 2: full)
    ("head-v1", 1, 1, 1, 1),
    ("head-v1", 6, 6, 6, 2),
    ("enlarged-v1", 9, 9, 14, 1),
    ("enlarged-v1", 9, 9, PQ, 1),
    ("head-v1", 9, 9, HLG, 1),
]
Array = np.ndarray[Any, Any]


def coloured(source: Path, target: Path, matrix: int, primaries: int, transfer: int, full: int) -> Path:
    """A copy of a film's pictures whose container says what their colours are."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        video = old.streams.video[0]
        copy: Any = new.add_stream_from_template(cast(Any, video), opaque=True)
        context = copy.codec_context
        context.colorspace, context.color_primaries = matrix, primaries
        context.color_trc, context.color_range = transfer, full
        for packet in old.demux(video):
            if packet.size:
                packet.stream = copy
                new.mux(packet)
    return target


def smooth(plane: Array, shape: tuple[int, ...]) -> Array:
    """4:2:0 chroma, which lies at the left between two rows, at every luma sample."""
    rows = np.clip((np.arange(shape[0]) - 0.5) / 2, 0, plane.shape[0] - 1)
    columns = np.clip(np.arange(shape[1]) / 2, 0, plane.shape[1] - 1)
    across = np.stack([np.interp(columns, np.arange(plane.shape[1]), row) for row in plane])
    return np.stack([np.interp(rows, np.arange(plane.shape[0]), column) for column in across.T], axis=1)


def expected(planes: Sequence[Array], depth: int, matrix: int, primaries: int, transfer: int, full: int) -> Array:
    """What a plain screen is to show, 0 .. 255."""
    step = 2 ** (depth - 8)
    luma, chroma, black = (256 * step - 1, 256 * step - 1, 0) if full == 2 else (219 * step, 224 * step, 16 * step)
    y = (planes[0] - black) / luma
    u, v = ((smooth(plane, y.shape) - 128 * step) / chroma for plane in planes[1:])
    red, blue = KR_KB[matrix]
    r, b = y + 2 * (1 - red) * v, y + 2 * (1 - blue) * u
    rgb = np.stack([r, (y - red * r - blue * b) / (1 - red - blue), b], axis=-1)
    if transfer in (PQ, HLG):
        mapped = less(light(np.clip(rgb, 0, 1), transfer) @ NARROWED.T)
        rgb = np.where(mapped <= 0.0031308, 12.92 * mapped, 1.055 * mapped ** (1 / 2.4) - 0.055)
    elif primaries == 9:
        rgb = np.clip(np.clip(rgb, 0, 1) ** 2.4 @ NARROWED.T, 0, 1) ** (1 / 2.4)
    return np.clip(rgb, 0, 1) * 255


def light(rgb: Array, transfer: int) -> Array:
    """BT.2100: light of a display of 1000 cd/m², in units of diffuse white, 203 cd/m²."""
    if transfer == PQ:
        power = rgb ** (1 / 78.84375)
        return (
            (np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)) ** (1 / 0.1593017578125) * 10000 / 203
        )
    scene = np.where(rgb <= 0.5, rgb**2 / 3, (np.exp((rgb - 0.55991073) / 0.17883277) + 0.28466892) / 12)
    return scene * np.maximum(scene @ [0.2627, 0.678, 0.0593], 1e-6)[..., None] ** 0.2 * 1000 / 203


def less(linear: Array) -> Array:
    """Light that fits a plain screen, by the brightest of the three."""
    linear = np.maximum(linear, 0)
    most = np.maximum(linear.max(axis=-1, keepdims=True), 1e-6)
    return np.clip(linear * (1 + most / (1000 / 203) ** 2) / (1 + most) * 1.25, 0, 1)


def screenshot(page: Any, width: int, height: int) -> Array:
    """The picture, a pixel for a sample."""
    page.evaluate(
        f"Object.assign(document.getElementById('box').style, {{ position: 'absolute', left: '0', top: '0',"
        f" width: '{width}px', height: '{height}px' }})"
    )
    page.wait_for_timeout(100)
    data = page.screenshot(clip={"x": 0, "y": 0, "width": width, "height": height})
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(float)


@pytest.mark.parametrize(("name", "matrix", "primaries", "transfer", "full"), CASES)
def test_colours_are_those_of_the_film(
    browser: Any, tmp_path: Path, name: str, matrix: int, primaries: int, transfer: int, full: int
) -> None:
    colour = (matrix, primaries, transfer, full)
    film = coloured(GOLDEN / f"{name}.nvc", tmp_path / "film.mp4", *colour)
    opened = Film(film, device="cpu", threads=1)
    frame = next(iter(opened.frames()))
    wanted = expected(frame.planes, opened.info.format.depth, *colour)
    for scripts in ((), (NO_WEBGPU,)):
        with new_page(browser, *scripts) as page:
            show(page, film)
            first_picture(page)
            until(page, "document.getElementById('words').hidden")  # it is no longer the base that stands in
            seen = screenshot(page, opened.info.width, opened.info.height)
            assert np.abs(seen - wanted).max() < 1.5
            note = page.locator("#note")
            assert ("HDR" in (note.text_content() if note.is_visible() else "")) == (transfer in (PQ, HLG))
