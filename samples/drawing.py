"""Shapes on an oversampled canvas, and value noise that tiles.

Everything is placed in *units*: the picture's centre is (320, 180), and 640x360 units cover the picture at any size.
A `Pen` draws smooth shapes at sub-pixel positions; `reduced` averages the canvas down to the picture. The same
arguments give the same pixels; another version of OpenCV may draw a font or an edge differently.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Image = NDArray[np.uint8]
Field = NDArray[np.floating[Any]]
Colour = tuple[int, int, int]

UNITS_WIDE, UNITS_HIGH = 640, 360
_FIXED_POINT_BITS = 4


def oversampling(height: int) -> int:
    """Canvas pixels per picture pixel and direction: small pictures need more to look smooth."""
    return 4 if height <= 240 else 3 if height <= 480 else 2


def reduced(canvas: Image, factor: int) -> Image:
    """The canvas (H*factor, W*factor[, C]) averaged down to (H, W[, C])."""
    size = canvas.shape[1] // factor, canvas.shape[0] // factor
    return np.asarray(cv2.resize(canvas, size, interpolation=cv2.INTER_AREA), np.uint8)


def smooth(points: ArrayLike, closed: bool = True, steps: int = 8) -> NDArray[np.float64]:
    """Catmull-Rom curve (n, 2) through the given points (m, 2)."""
    p = np.asarray(points, float)
    if closed:
        p = np.concatenate([p[-1:], p, p[:2]])
    else:
        p = np.concatenate([2 * p[:1] - p[1:2], p, 2 * p[-1:] - p[-2:-1]])
    a, b, c, d = (p[i : len(p) - 3 + i, None] for i in range(4))
    t = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    curve = curve.reshape(-1, 2)
    return curve if closed else np.concatenate([curve, p[-2:-1]])


@dataclass
class Pen:
    """Draws into `image` (uint8, in place). `matrix` (2, 3) takes the pen's coordinates to canvas pixels."""

    image: Image
    matrix: NDArray[np.float64]

    @classmethod
    def covering(cls, image: Image) -> Pen:
        """A pen whose 640x360 units just cover the image, centred."""
        height, width = image.shape[:2]
        scale = max(width / UNITS_WIDE, height / UNITS_HIGH)
        shift = width / 2 - scale * UNITS_WIDE / 2, height / 2 - scale * UNITS_HIGH / 2
        return cls(image, np.array([[scale, 0, shift[0]], [0, scale, shift[1]]]))

    @property
    def scale(self) -> float:
        """Canvas pixels per unit."""
        return float(np.hypot(self.matrix[0, 0], self.matrix[1, 0]))

    def moved(self, x: float, y: float, angle: float = 0.0, scale: float = 1.0, flip: bool = False) -> Pen:
        """A pen whose origin lies at (x, y), turned clockwise by `angle` radians, scaled, mirrored left to right."""
        c, s = np.cos(angle) * scale, np.sin(angle) * scale
        local = np.array([[-c if flip else c, -s, x], [-s if flip else s, c, y], [0, 0, 1]])
        return Pen(self.image, self.matrix @ local)

    def onto(self, image: Image, left: int = 0, top: int = 0) -> Pen:
        """The same pen on another canvas whose corner lies at canvas pixel (left, top) of this one."""
        matrix = self.matrix.copy()
        matrix[:, 2] -= left, top
        return Pen(image, matrix)

    def pixels(self, points: ArrayLike) -> NDArray[np.float64]:
        """Canvas coordinates (n, 2) of points (n, 2); whole numbers are corners of pixels."""
        return np.asarray(points, float) @ self.matrix[:, :2].T + self.matrix[:, 2]

    def _fixed(self, points: ArrayLike) -> NDArray[np.int32]:
        at = np.clip(self.pixels(points) - 0.5, -16000, 16000)  # OpenCV's whole numbers are centres of pixels
        return np.round(at * (1 << _FIXED_POINT_BITS)).astype(np.int32)

    def fill(self, points: ArrayLike, colour: Colour) -> None:
        """A polygon."""
        cv2.fillPoly(self.image, [self._fixed(points)], colour, cv2.LINE_AA, _FIXED_POINT_BITS)

    def blob(self, points: ArrayLike, colour: Colour) -> None:
        """The area inside the smooth closed curve through the points."""
        self.fill(smooth(points), colour)

    def mirrored_blob(self, right_half: Sequence[tuple[float, float]], colour: Colour) -> None:
        """A blob symmetric about x = 0, given by its right half from top to bottom."""
        left_half = [(-x, y) for x, y in reversed(right_half) if x]
        self.blob([*right_half, *left_half], colour)

    def rect(self, x0: float, y0: float, x1: float, y1: float, colour: Colour) -> None:
        self.fill([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], colour)

    def ellipse(self, x: float, y: float, rx: float, ry: float, colour: Colour, angle: float = 0.0) -> None:
        t = np.linspace(0, 2 * np.pi, 48, endpoint=False)
        c, s = np.cos(angle), np.sin(angle)
        ex, ey = rx * np.cos(t), ry * np.sin(t)
        self.fill(np.stack([x + c * ex - s * ey, y + s * ex + c * ey], 1), colour)

    def stroke(self, points: ArrayLike, width: float, colour: Colour, closed: bool = False) -> None:
        """A line with round ends along the smooth curve through the points."""
        self.strokes([smooth(points, closed)], width, colour, closed)

    def strokes(self, curves: Sequence[ArrayLike], width: float, colour: Colour, closed: bool = False) -> None:
        """Many lines of one width and colour; the points are joined as they are."""
        thickness = max(1, round(width * self.scale))
        fixed = [self._fixed(curve) for curve in curves]
        cv2.polylines(self.image, fixed, closed, colour, thickness, cv2.LINE_AA, _FIXED_POINT_BITS)

    def text(self, x: float, y: float, words: str, height: float, colour: Colour, bold: bool = False) -> float:
        """Words with their base line from (x, y), capitals `height` units high; returns the width in units."""
        face = cv2.FONT_HERSHEY_DUPLEX if bold else cv2.FONT_HERSHEY_SIMPLEX
        size = height * self.scale / 22
        thickness = max(1, round(size * 1.5))
        left, base = self.pixels([(x, y)])[0]
        cv2.putText(self.image, words, (round(left), round(base)), face, size, colour, thickness, cv2.LINE_AA)
        return cv2.getTextSize(words, face, size, thickness)[0][0] / self.scale


def grid(pen: Pen) -> tuple[Field, Field]:
    """The pen's coordinates (x, y), each (H, W), of every pixel of its (unturned) canvas."""
    height, width = pen.image.shape[:2]
    x = (np.arange(width) + 0.5 - pen.matrix[0, 2]) / pen.matrix[0, 0]
    y = (np.arange(height) + 0.5 - pen.matrix[1, 2]) / pen.matrix[1, 1]
    xs, ys = np.meshgrid(x.astype(np.float32), y.astype(np.float32))
    return xs, ys


def noise(shape: tuple[int, ...], cells: tuple[int, int], seed: int, roughness: float = 0.5) -> Field:
    """Fractal value noise of `shape` (height, width), float32, in about -1 .. 1 that tiles in both directions.

    `cells` are the lattice cells (down, across) of the coarsest octave; octaves follow, each finer by two and weaker by
    `roughness`, until a cell is smaller than a pixel and a half. A larger picture shows more detail of the same noise.
    """
    height, width = shape
    total = np.zeros(shape, np.float32)
    weight, rows, columns, octave = 1.0, cells[0], cells[1], 0
    power = 0.0
    while octave == 0 or (height / rows >= 1.5 and width / columns >= 1.5):
        lattice = np.random.default_rng([seed, octave]).uniform(-1, 1, (rows, columns)).astype(np.float32)
        total += np.float32(weight) * (_tiling_weights(height, rows) @ lattice @ _tiling_weights(width, columns).T)
        power += weight**2
        weight, rows, columns, octave = weight * roughness, rows * 2, columns * 2, octave + 1
    return total * np.float32(2.4 / np.sqrt(power))


def _tiling_weights(size: int, cells: int) -> Field:
    """Matrix (size, cells) that interpolates a periodic lattice with cubic B-splines."""
    at = (np.arange(size) + 0.5) * cells / size
    cell, t = np.floor(at).astype(int), at % 1
    taps = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], 1) / 6
    weights = np.zeros((size, cells), np.float32)
    for tap in range(4):
        np.add.at(weights, (np.arange(size), (cell + tap - 1) % cells), taps[:, tap].astype(np.float32))
    return weights


def blended(low: ArrayLike, high: ArrayLike, amount: Field) -> Field:
    """Colours (H, W, 3) between `low` and `high` (each a colour or a picture) by `amount` (H, W), held to 0 .. 1."""
    t = np.clip(amount, 0, 1)[..., None]
    return np.asarray(low, np.float32) * (1 - t) + np.asarray(high, np.float32) * t


def dimmed(colour: Colour, tone: float) -> Colour:
    """The colour times `tone`."""
    red, green, blue = (max(0, min(255, int(part * tone))) for part in colour)
    return red, green, blue


def as_image(values: Field) -> Image:
    """Rounded and held to 0 .. 255."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
