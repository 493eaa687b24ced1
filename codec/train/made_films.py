"""Films made of photographs, with motion, objects, grain and fades, coded by the base, whole or made smaller."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from ..base.av1 import BaseSettings, base_frames, encode_base
from ..base.quantisers import shown_quantisers
from ..base.resample import base_size, downscale, upscale
from ..frames import Plane, PlaneFormat
from ..media.libav import planes_from_av
from ..media.pictures import eight_bits, read_picture

Size = tuple[int, int]
SIZE: Size = (192, 320)  # rows, columns of a film
LARGE: Size = (288, 480)  # of one whose base is smaller
PICTURES = 17
RATE = Fraction(24)
FORMAT = PlaneFormat("420", 8)


def canvas(path: Path, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A photograph, or one in three times something drawn: smooth areas with hard edges."""
    pixels = eight_bits(read_picture(str(path)), str(path)).pixels
    pixels = np.repeat(pixels[..., :1], 3, axis=2) if pixels.shape[2] < 3 else pixels[..., :3]
    if rng.random() < 1 / 3:
        pixels = cv2.pyrMeanShiftFiltering(np.ascontiguousarray(pixels), 8, float(rng.uniform(10, 40)))
    return np.ascontiguousarray(pixels)


class _Path:
    """A view or an object on its way: zoom, turn and place, each with a steady and a slowly swinging part."""

    def __init__(self, rng: np.random.Generator, zoom: tuple[float, float], still: bool):
        self.zoom = math.exp(rng.uniform(*np.log(zoom)))
        pace = 0.0 if still else rng.choice([0.3, 1.0, 3.0])
        self.growth = 1 + pace * rng.normal(0, 0.003)
        self.angle, self.spin = rng.normal(0, 0.2), pace * rng.normal(0, 0.004)
        self.at, self.step = rng.uniform(0, 1, 2), pace * rng.normal(0, 1.2, 2)
        self.swing, self.phase = pace * rng.normal(0, 1.0, 2), rng.uniform(0, 6.28)

    def matrix(self, time: int, shape: Sequence[int], size: tuple[int, int]) -> NDArray[np.float64]:
        """From a picture's samples to the canvas's."""
        scale, angle = 1 / (self.zoom * self.growth**time), self.angle + self.spin * time
        a, b = scale * math.cos(angle), scale * math.sin(angle)
        centre = self.at * (shape[1], shape[0]) + self.step * time + self.swing * math.sin(self.phase + time / 4)
        half = np.array((size[1] / 2, size[0] / 2))
        turn = np.array([[a, -b], [b, a]])
        return np.column_stack([turn, centre - turn @ half])


def _view(canvas: NDArray[np.uint8], matrix: NDArray[np.float64], size: Size) -> NDArray[np.float32]:
    """Drawn at twice the size and averaged, since most views are smaller than their photograph."""
    fine = matrix @ np.array([[0.5, 0, -0.25], [0, 0.5, -0.25], [0, 0, 1]])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    wide = cv2.warpAffine(canvas, fine, (2 * size[1], 2 * size[0]), flags=flags, borderMode=cv2.BORDER_REFLECT)
    return cv2.resize(wide, size[::-1], interpolation=cv2.INTER_AREA).astype(np.float32)


def film(
    canvas: NDArray[np.uint8], other: NDArray[np.uint8], rng: np.random.Generator, size: Size = SIZE
) -> Iterator[list[Plane]]:
    """Pictures of a made film: 8-bit 4:2:0 planes of `size`."""
    back = _Path(rng, (0.5, 1.6), rng.random() < 0.25)
    front = _Path(rng, (0.4, 1.2), False)
    centre, drift = rng.uniform(0.2, 0.8, 2) * size[::-1], rng.normal(0, 2.0, 2)
    radius, soft = rng.uniform(0.1, 0.3, 2) * size[0], float(rng.choice([0.5, 1, 4]))
    grain = float(rng.choice([0, 0, 0, 1, 2.5]))
    fade = rng.normal(0, 0.004) if rng.random() < 0.2 else 0.0
    ys, xs = np.mgrid[: size[0], : size[1]].astype(np.float32)
    for time in range(PICTURES):
        place = centre + drift * time
        distance = np.hypot((xs - place[0]) / radius[0], (ys - place[1]) / radius[1])
        mask = np.clip((1 - distance) * radius.min() / soft, 0, 1)[..., None]
        picture = _view(canvas, back.matrix(time, canvas.shape, size), size) * (1 - mask)
        picture += _view(other, front.matrix(time, other.shape, size), size) * mask
        picture *= 1 + fade * time
        if grain:
            picture += cv2.GaussianBlur(rng.normal(0, 2 * grain, size).astype(np.float32), (3, 3), 0.7)[..., None]
        frame = av.VideoFrame.from_ndarray(np.clip(np.rint(picture), 0, 255).astype(np.uint8), "rgb24")
        frame = frame.reformat(format=FORMAT.av_name, dst_colorspace="ITU709", dst_color_range="MPEG")
        yield list(planes_from_av(frame, FORMAT))


def coded(
    pictures: Sequence[Sequence[Plane]], crf: float, preset: int, scale: Fraction = Fraction(1)
) -> tuple[list[list[Plane]], list[int]]:
    """8-bit pictures through the base, made smaller by `scale`, and back at full size by the fixed filter: 10-bit
    planes, and the base's quantiser of each."""
    rows, columns = pictures[0][0].shape
    small = (downscale(planes, FORMAT, scale) for planes in pictures)
    packets = encode_base(small, range(len(pictures)), 1 / RATE, RATE, BaseSettings(crf, preset))
    found = base_frames(packets, base_size(columns, rows, scale)[::-1])
    full = [upscale(f.planes, FORMAT, columns, rows, scale) for f in found]
    return full, shown_quantisers([p.data for p in packets])
