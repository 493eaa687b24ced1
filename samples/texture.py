"""The texture clip: a camera glides past hills, a lake and leaves, all made of value noise.

Layers move at their own speeds, water ripples, and every layer holds detail down to the sample: what the singer lacks.
Frames are RGB; pure functions of their arguments. `relief` and `sprig` are the stills that go with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np

from .drawing import Colour, Field, Image, Pen, as_image, blended, dimmed, noise, oversampling, reduced

FILM_RATE = Fraction(24000, 1001)
SHORE = 0.60  # where the lake begins, as a part of the height
PAN = 34.0  # speed of the nearest layer in 1/360 of the height per second
LEAF_COLOURS: list[Colour] = [(58, 92, 42), (86, 122, 48), (124, 148, 58), (44, 74, 44), (176, 142, 62), (158, 92, 48)]


@dataclass(frozen=True)
class _Layer:
    """A strip that repeats sideways. Colours are already multiplied by the coverage."""

    colour: Image  # (h, width + period, 3)
    clear: Image  # (h, width + period, 3), 255 where the layers behind show through
    period: int
    top: int
    speed: float  # pixels per second

    def onto(self, frame: Image, t: float) -> None:
        """Draw the layer as it stands at t."""
        height, width = self.colour.shape[0], frame.shape[1]
        shift = (self.speed * t) % self.period
        whole = int(shift)
        part = (strip[:, whole : whole + width + 1] for strip in (self.colour, self.clear))
        colour, clear = (cv2.addWeighted(p[:, 1:], shift - whole, p[:, :-1], 1 + whole - shift, 0) for p in part)
        behind = frame[self.top : self.top + height]
        behind[:] = cv2.add(cv2.multiply(behind, clear, scale=1 / 255), colour)


def texture_frames(
    width: int = 320, height: int = 180, seconds: float = 2.0, fps: Fraction | float = FILM_RATE
) -> Iterator[Image]:
    """Yield round(seconds * fps) frames (height, width, 3), uint8 RGB."""
    far, near = _far_layers(width, height), _near_layers(width, height)
    sky = _sky(width, height)
    lake = _Lake(width, height)
    for n in range(round(seconds * fps)):
        t = float(n / fps)
        frame = sky.copy()
        for layer in far:
            layer.onto(frame, t)
        lake.onto(frame, t)
        for layer in near:
            layer.onto(frame, t)
        yield frame


def relief(width: int = 160, height: int = 120) -> np.ndarray:
    """A height map of noise: (height, width) uint16 that uses the whole range."""
    ground = noise((height, width), (3, 4), seed=61, roughness=0.5)
    low, high = float(ground.min()), float(ground.max())
    return np.rint((ground - low) / (high - low) * 65535).astype(np.uint16)


def sprig(width: int = 200, height: int = 200) -> Image:
    """A twig on nothing: (height, width, 4) uint8 RGBA, soft edges, colour zero where it is clear."""
    factor = 4
    canvas = np.zeros((height * factor, width * factor, 3), np.uint8)
    cover = np.zeros_like(canvas)
    side = min(width, height)
    matrix = np.array([[side * factor / 100, 0, width * factor / 2], [0, side * factor / 100, height * factor / 2]])
    for target in (canvas, cover):
        random = np.random.default_rng(71)
        _branch(Pen(target, matrix).moved(-42, 40, -0.72), random, 112, 20, ink=target is canvas)
    colour, alpha = reduced(canvas, factor), reduced(cover[..., 0].copy(), factor)
    return np.dstack([np.where(alpha[..., None] > 0, colour, 0), alpha]).astype(np.uint8)


def _sky(width: int, height: int) -> Image:
    y = np.linspace(0, 1, height, dtype=np.float32)[:, None].repeat(width, 1)
    return as_image(blended((92, 138, 190), (250, 220, 184), (y / SHORE) ** 1.3))


def _layer(colour: Field, cover: Field, top: int, speed: float, width: int, height: int) -> _Layer:
    """A layer from colours (h, period, 3) and coverage (h, period) in 0 .. 1; `speed` as in PAN."""
    alpha = np.clip(cover, 0, 1)[..., None]
    period = colour.shape[1]
    used = np.flatnonzero(alpha.any((1, 2)))
    first, last = (int(used[0]), int(used[-1]) + 1) if used.size else (0, 0)
    index = np.arange(period + width + 1) % period
    painted = as_image(colour * alpha)[first:last]
    clear = as_image(255 * (1 - alpha)).repeat(3, 2)[first:last]
    return _Layer(painted.take(index, 1), clear.take(index, 1), period, top + first, speed * height / 360)


def _far_layers(width: int, height: int) -> list[_Layer]:
    """Clouds and three ranges of hills, the last with a forest."""
    shore, period = round(height * SHORE), round(height * 3.2)
    y = np.arange(shore, dtype=np.float32)[:, None] / height
    cloud = noise((shore, period), (3, 10), seed=31, roughness=0.56)
    lit = blended(
        (214, 190, 182), (255, 250, 240), cloud - np.roll(cloud, (shore // 40 + 1, shore // 40), (0, 1)) + 0.6
    )
    layers = [_layer(lit, (cloud - 0.15) * 1.5 * np.clip(1.2 - 2 * y, 0, 1), 0, 5, width, height)]
    hills: list[tuple[int, float, float, float, Colour, Colour]] = [
        (32, 0.36, 0.11, 7, (128, 146, 170), (158, 166, 180)),
        (33, 0.45, 0.08, 11, (88, 112, 116), (140, 148, 124)),
        (34, 0.54, 0.045, 16, (30, 52, 42), (118, 128, 60)),
    ]
    for seed, base, lift, speed, dark, light in hills:
        ridge = base - lift * noise((1, period), (1, 12), seed, roughness=0.52)
        ground = noise((shore, period), (10 + 4 * (34 - seed), 54 + 22 * (34 - seed)), seed + 10, roughness=0.82)
        slope = ground - np.roll(ground, (1, 2), (0, 1))
        colour = blended(dark, light, 0.45 + 0.9 * slope / slope.std() * 0.25 + 0.25 * ground)
        crowns = 0.004 * ground if seed < 34 else 0.012 * noise((1, period), (1, 110), seed + 20, roughness=0.95)
        layers.append(_layer(colour, (y - ridge - crowns) * height + 0.5, 0, speed, width, height))
    return layers


def _near_layers(width: int, height: int) -> list[_Layer]:
    """Reeds along the lower edge and a branch that hangs into the picture."""
    factor = min(oversampling(height), 3)
    layers = []
    period = round(height * 2.6)
    for seed, part, speed in ((41, 0.30, 24.0), (42, 0.22, PAN)):
        h = round(height * part)
        canvas, cover = np.zeros((2, h * factor, period * factor, 3), np.uint8)
        _reeds(canvas, cover, seed, height * factor / 360)
        layers.append(_cut_out(canvas, cover, factor, height - h, speed, width, height))
    h = round(height * 0.46)
    canvas, cover = np.zeros((2, h * factor, period * factor, 3), np.uint8)
    scale = height * factor / 360
    for turn in (-1, 0, 1):
        for target in (canvas, cover):
            random = np.random.default_rng(51)
            pen = Pen(target, np.array([[scale, 0, turn * period * factor], [0, scale, 0]]))
            _branch(pen.moved(160, -8, 0.20), random, 330, 54, ink=target is canvas)
            _branch(pen.moved(640, -16, 0.26), random, 250, 40, ink=target is canvas)
    layers.append(_cut_out(canvas, cover, factor, 0, PAN * 1.25, width, height))
    return layers


def _cut_out(canvas: Image, cover: Image, factor: int, top: int, speed: float, width: int, height: int) -> _Layer:
    """A layer from an oversampled drawing on black and the white shape of it."""
    shape = reduced(cover[..., 0].copy(), factor).astype(np.float32) / 255
    colour = reduced(canvas, factor).astype(np.float32)
    veins = noise(shape.shape, (12, 104), seed=top + 90, roughness=0.9)
    colour *= (1 + 0.13 * veins)[..., None]
    return _layer(colour / np.maximum(shape, 1 / 255)[..., None], shape, top, speed, width, height)


def _reeds(canvas: Image, cover: Image, seed: int, scale: float) -> None:
    """Blades of grass along the whole strip; drawn thrice so that it repeats."""
    height, width = canvas.shape[0] / scale, canvas.shape[1] / scale
    random = np.random.default_rng(seed)
    blades = random.uniform((0, 0.25, -0.6, 0.6, 0), (width, 1.0, 0.6, 1.5, 1), (round(width * 0.8), 5))
    for x, reach, lean, thick, tone in blades:
        tall = height * 0.92 * reach**1.4 * (0.66 + 0.34 * np.sin(x * 2 * np.pi * 5 / width + seed))
        tip = x + lean * tall * 0.55, height - tall
        mid = x + lean * tall * 0.14, height - tall * 0.55
        blade = [
            (x - thick, height + 2),
            (mid[0] - thick * 0.8, mid[1]),
            tip,
            (mid[0] + thick * 0.8, mid[1]),
            (x + thick, height + 2),
        ]
        light = 0.45 + 0.75 * tone
        colour = dimmed((86, 112, 46), light)
        for turn in (-1, 0, 1):
            if turn == 0 or -60 < x + turn * width < width + 60:
                matrix = np.array([[scale, 0, turn * canvas.shape[1]], [0, scale, 0]])
                Pen(canvas, matrix).fill(blade, colour)
                Pen(cover, matrix).fill(blade, (255, 255, 255))


def _branch(pen: Pen, random: np.random.Generator, length: float, leaves: int, ink: bool) -> None:
    """A twig along +x with leaves on both sides; the same shape in white when `ink` is off."""

    def shade(colour: Colour, tone: float = 1.0) -> Colour:
        return dimmed(colour, tone) if ink else (255, 255, 255)

    bow = length * 0.06
    for part in range(8):  # thinner towards the tip
        a, b = length * part / 8, length * (part + 1) / 8
        ends = [(x, bow * np.sin(x / length * 6)) for x in (a, (a + b) / 2, b)]
        pen.stroke(ends, length * 0.022 * (1 - part / 9), shade((92, 68, 50)))
    for n in range(leaves):
        x = length * (0.06 + 0.94 * (n + random.uniform(0, 1)) / leaves)
        side = 1 if n % 2 else -1
        long = random.uniform(22, 34) * min(1.0, length / 160)
        leaf = pen.moved(x, bow * np.sin(x / length * 6), side * random.uniform(0.5, 1.3))
        colour = LEAF_COLOURS[int(random.integers(len(LEAF_COLOURS)))]
        tone = random.uniform(0.85, 1.2)
        half = [(0.0, 0.0), (long * 0.3, -long * 0.23), (long * 0.66, -long * 0.20), (long, 0.0)]
        leaf.blob([*half, (long * 0.66, long * 0.20), (long * 0.3, long * 0.23)], shade(colour, tone))
        leaf.blob([*half, (long * 0.5, long * 0.02)], shade(colour, tone * 0.82))
        veins = [[(0.0, 0.0), (long, 0.0)]]
        veins += [[(long * k, 0.0), (long * (k + 0.16), s * long * 0.15)] for k in (0.2, 0.4, 0.6) for s in (-1, 1)]
        leaf.strokes(veins, long * 0.02, shade(colour, tone * 1.25))


class _Lake:
    """Mirrors what lies above the shore, shaken by ripples that grow towards the viewer."""

    def __init__(self, width: int, height: int):
        self.shore = round(height * SHORE)
        rows, self.width = height - self.shore, width
        depth = (np.arange(rows, dtype=np.float32) + 0.5)[:, None] / rows
        self.mirror_y = (self.shore - 1 - depth * rows * 1.05).repeat(width, 1).astype(np.float32)
        self.mirror_x = np.arange(width, dtype=np.float32)[None].repeat(rows, 0)
        reach = depth * np.float32(height / 360)
        self.shake_y, self.shake_x = (4 + 18 * reach) * reach, 5 * reach
        self.period = round(height * 2.6)
        waves = [noise((rows, self.period), (16, 12), seed, roughness=0.72) for seed in (81, 82)]
        self.waves = [np.concatenate([wave, wave[:, : width + 1]], 1) for wave in waves]
        self.tint = as_image(blended((226, 234, 240), (112, 146, 158), depth.repeat(width, 1)))

    def onto(self, frame: Image, t: float) -> None:
        """Fill everything below the shore from what is above it."""
        speed = frame.shape[0] / 360
        shift = [int(speed * v * t) % self.period for v in (23.0, 5.0)]
        first, second = (w[:, s : s + self.width] for w, s in zip(self.waves, shift, strict=True))
        ripple = first + second
        y = self.mirror_y + self.shake_y * ripple
        x = self.mirror_x + self.shake_x * ripple
        water = cv2.remap(frame[: self.shore], x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
        glint = cv2.convertScaleAbs(np.maximum(ripple - np.float32(1.25), 0), alpha=34)
        frame[self.shore :] = cv2.add(cv2.multiply(water, self.tint, scale=1 / 255), cv2.merge([glint] * 3))


__all__ = ["FILM_RATE", "relief", "sprig", "texture_frames"]
