"""The singer's room: everything in the singer clip that never moves, drawn once.

`wide_room` is the whole room; `close_room` is what a camera close to the singer sees of it, out of focus.
"""

from __future__ import annotations

import cv2
import numpy as np

from .drawing import Colour, Field, Image, Pen, as_image, blended, dimmed, grid, noise

WARM: Colour = (255, 206, 132)
WOOD: Colour = (121, 78, 52)
BOOKS: list[Colour] = [(176, 72, 62), (222, 170, 82), (58, 110, 122), (232, 214, 178), (96, 132, 84), (132, 74, 110)]


def wide_room(width: int, height: int, factor: int) -> Image:
    """The room (height * factor, width * factor, 3), RGB."""
    canvas = np.zeros((height * factor, width * factor, 3), np.uint8)
    pen = Pen.covering(canvas)
    _wall(pen)
    _window(pen)
    _poster(pen)
    _shelf(pen)
    _lamp(pen)
    _string_lights(pen)
    _light(pen)
    _badge(pen)
    return canvas


def close_room(width: int, height: int, factor: int) -> Image:
    """The middle of the room, enlarged and out of focus (height * factor, width * factor, 3), RGB."""
    room = wide_room(width, height, 1)
    zoom = 1.9
    x, y = Pen.covering(room).pixels([(300, 150)])[0]
    shift = np.array([[zoom, 0, width / 2 - zoom * x], [0, zoom, height * 0.47 - zoom * y]])
    near = cv2.warpAffine(room, shift, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    near = cv2.GaussianBlur(near, (0, 0), 5.0 * Pen.covering(near).scale)
    canvas = np.asarray(cv2.resize(near, (width * factor, height * factor), interpolation=cv2.INTER_LINEAR), np.uint8)
    pen = Pen.covering(canvas)
    glow = canvas.copy()
    random = np.random.default_rng(11)
    for n, radius in enumerate(random.uniform(9, 15, 13)):  # the string of lights, out of focus
        x = 26.0 + 49 * n
        y = 34 + 20 * np.abs(np.sin(x * np.pi / 230)) + random.uniform(-6, 6)
        colour = (255, 176, 120) if n % 2 else WARM
        pen.onto(glow).ellipse(x, y, radius, radius, colour)
        pen.onto(glow).ellipse(x, y, radius * 0.88, radius * 0.88, dimmed(colour, 0.9))
    glow = np.asarray(cv2.GaussianBlur(glow, (0, 0), 0.7 * pen.scale), np.uint8)
    cv2.addWeighted(glow, 0.42, canvas, 0.58, 0, canvas)
    return canvas


def _wall(pen: Pen) -> None:
    xs, ys = grid(pen)
    rough = noise(xs.shape, (12, 20), seed=3, roughness=0.75)
    stripe = np.sin(xs * (2 * np.pi / 16)) > 0.86
    wall = blended((66, 84, 104), (44, 54, 80), ys / 300)
    wall += (rough * 3.0)[..., None] + stripe[..., None] * np.float32(7)
    pen.image[:] = as_image(wall)
    pen.rect(-400, 286, 1040, 292, (58, 48, 58))
    pen.rect(-400, 286, 1040, 287.4, (96, 84, 92))
    _floor(pen, 292)


def _floor(pen: Pen, top: float) -> None:
    xs, ys = grid(pen)
    grain = noise(xs.shape, (64, 3), seed=5, roughness=0.7)
    rings = np.sin(ys * 1.1 + 5 * grain + 0.01 * xs)
    wood = np.asarray(WOOD, np.float32) * (0.78 + 0.10 * grain + 0.05 * rings)[..., None]
    below = ys > top
    pen.image[below] = as_image(wood)[below]
    pen.rect(-400, top, 1040, top + 1.6, (186, 132, 92))


def _window(pen: Pen) -> None:
    xs, ys = grid(pen)
    x0, y0, x1, y1 = 36, 38, 176, 214
    sky = blended((250, 168, 104), (52, 58, 118), (178 - ys) / 130)
    cloud = noise(xs.shape, (10, 5), seed=8, roughness=0.6)
    sky += np.clip(cloud * 60 - 12, 0, 60)[..., None] * np.array([1.0, 0.62, 0.5], np.float32)
    for seed, base, lift, colour in (
        (21, 160, 16, (122, 82, 108)),
        (22, 182, 14, (74, 56, 86)),
        (23, 202, 9, (40, 36, 58)),
    ):
        ridge = noise((1, xs.shape[1]), (1, 9), seed, roughness=0.55)
        sky = np.where((ys > base - lift * ridge)[..., None], np.array(colour, np.float32), sky)
    inside = (xs > x0) & (xs < x1) & (ys > y0) & (ys < y1)
    pen.image[inside] = as_image(sky)[inside]
    t = np.linspace(0.25 * np.pi, 1.75 * np.pi, 24)
    outer = np.stack([142 + 11 * np.cos(t), 72 + 11 * np.sin(t)], 1)
    t = np.linspace(1.66 * np.pi, 0.34 * np.pi, 24)
    inner = np.stack([146 + 9 * np.cos(t), 72 + 9 * np.sin(t)], 1)
    pen.fill(np.concatenate([outer, inner]), (255, 238, 206))
    random = np.random.default_rng(4)
    for x, y in random.uniform((x0 + 6, y0 + 4), (x1 - 6, y0 + 60), (26, 2)):
        pen.ellipse(x, y, 0.55, 0.55, (255, 244, 224))
    for x, y in random.uniform((x0 + 2, 190), (x1 - 2, 212), (40, 2)):  # the town's lights
        pen.rect(x, y, x + 1.1, y + 1.1, WARM)
    frame, shade = (226, 212, 190), (160, 146, 136)
    for a, b, c, d in ((x0 - 6, y0 - 6, x1 + 6, y0), (x0 - 6, y0, x0, y1), (x1, y0, x1 + 6, y1)):
        pen.rect(a, b, c, d, frame)
    pen.rect(x0, y0, x1, y0 + 1.5, shade)
    pen.rect(104.4, y0, 108.4, y1, frame)
    pen.rect(x0, 122, x1, 125.5, frame)
    pen.rect(x0 - 12, y1, x1 + 12, y1 + 7, frame)
    pen.rect(x0 - 12, y1 + 7, x1 + 12, y1 + 9, shade)
    for side in (-1, 1):  # curtains
        edge = x0 - 16.0 if side < 0 else x1 + 16.0
        for fold in range(7):
            near, far = edge - side * fold * 4.6, edge - side * (fold + 1) * 4.6
            tone = 0.72 + 0.28 * np.cos(fold * 1.9)
            cloth = [(near, 26), (far, 26), (far - side * 2.0, 236), (near - side * 0.5, 238)]
            pen.fill(cloth, dimmed((148, 64, 70), tone))
    pen.stroke([(8, 26), (204, 26)], 3.2, (188, 150, 96))
    pen.ellipse(7, 26, 3.6, 3.6, (214, 176, 116))
    pen.ellipse(205, 26, 3.6, 3.6, (214, 176, 116))


def _poster(pen: Pen) -> None:
    """A printed fractal: texture as fine as the canvas holds."""
    x0, y0, x1, y1 = 396, 40, 482, 158
    pen.rect(x0 + 3, y0 + 4, x1 + 3, y1 + 4, (38, 46, 64))
    pen.rect(x0, y0, x1, y1, (236, 226, 204))
    xs, ys = grid(pen)
    area = (xs > x0 + 5) & (xs < x1 - 5) & (ys > y0 + 5) & (ys < y1 - 22)
    z = ((ys[area] - 88.0) + 1j * (xs[area] - 439.0)) / 33.0
    rounds = np.zeros(z.shape, np.float32)
    for _ in range(70):
        alive = np.abs(z) < 4
        z[alive] = z[alive] ** 2 + (-0.745 + 0.186j)
        rounds += alive
    hue = np.stack([0.5 + 0.5 * np.sin(rounds * 0.42 + p) for p in (0.0, 0.7, 1.5)], 1)
    pen.image[area] = as_image(28 + 214 * hue * (rounds / 70)[:, None] ** 0.12)
    pen.text(x0 + 8, y1 - 12, "SMALL HOURS", 5.4, (44, 44, 70), bold=True)
    pen.text(x0 + 8, y1 - 5, "songs for a quiet room", 3.0, (120, 84, 80))


def _shelf(pen: Pen) -> None:
    random = np.random.default_rng(17)
    for top in (104, 178):
        x = 506.0
        while x < 614:
            thick, tall = random.uniform(4.5, 9.5), random.uniform(34, 50)
            if x > 570 and top == 178:
                break
            lean = random.uniform(1.0, 5.0) if random.random() < 0.14 else 0.0
            colour = BOOKS[random.integers(len(BOOKS))]
            right = x + thick
            for left, shade in ((x, colour), (right - 1.4, dimmed(colour, 0.7))):
                pen.fill([(left + lean, top - tall), (right + lean, top - tall), (right, top), (left, top)], shade)
            for band in (0.2, 0.78):
                y = top - tall * band
                pen.rect(x + lean * band + 1, y, x + lean * band + thick - 2, y + 1.4, (246, 226, 178))
            x += thick + lean + random.uniform(0.2, 0.9)
        pen.rect(496, top, 632, top + 6, (146, 96, 64))
        pen.rect(496, top + 4.4, 632, top + 6, (92, 58, 44))
        pen.rect(498, top + 6, 630, top + 9, (40, 46, 66))
    pot = (196, 108, 76)
    pen.fill([(584, 154), (616, 154), (611, 178), (589, 178)], pot)
    pen.rect(582, 151, 618, 157, (212, 126, 90))
    for turn in np.linspace(-1.25, 1.25, 11):
        reach = 27 + 7 * np.cos(turn * 5)
        tip = 600 + reach * np.sin(turn), 153 - reach * np.cos(turn) * 0.95
        mid = 600 + 0.6 * reach * np.sin(turn * 0.75), 153 - 0.66 * reach
        leaf = [(600, 153), (mid[0] - 4, mid[1]), tip, (mid[0] + 4, mid[1] + 2)]
        pen.blob(leaf, (62 + int(18 * turn), 128, 84))
        pen.stroke([(600, 153), mid, tip], 0.7, (128, 176, 112))


def _lamp(pen: Pen) -> None:
    pen.stroke([(216, 308), (216, 150)], 3.0, (60, 50, 52))
    pen.blob([(197, 309), (204, 304), (216, 302), (228, 304), (235, 309), (216, 312)], (60, 50, 52))
    shade = [(201, 112), (231, 112), (242, 152), (190, 152)]
    pen.fill(shade, (212, 158, 96))
    for step in range(1, 8):
        x = step / 8
        pen.stroke([(201 + 30 * x, 112), (190 + 52 * x, 152)], 0.6, (186, 130, 76))
    pen.rect(189, 150.5, 243, 153, (150, 100, 58))
    pen.rect(200, 111, 232, 113, (150, 100, 58))


def _string_lights(pen: Pen) -> None:
    x = np.linspace(200, 660, 24)
    y = 14 + 9 * np.abs(np.sin((x - 200) * np.pi / 115))
    pen.strokes([np.stack([x, y], 1)], 0.8, (30, 34, 48))
    for px, py in zip(x, y, strict=True):
        pen.ellipse(px, py + 3.2, 2.0, 2.8, (255, 226, 158))


def _light(pen: Pen) -> None:
    """Lamp, window and a darker rim, multiplied over the whole room."""
    xs, ys = grid(pen)

    def pool(x: float, y: float, reach: float, stretch: float = 1.0) -> Field:
        return np.exp(-(((xs - x) / stretch) ** 2 + (ys - y) ** 2) / reach**2)

    lit = np.full((*xs.shape, 3), 0.80, np.float32)
    lit += pool(216, 138, 92)[..., None] * np.array([0.62, 0.42, 0.16], np.float32)
    lit += pool(430, 16, 70, 4.0)[..., None] * np.array([0.26, 0.18, 0.08], np.float32)
    lit += pool(106, 130, 120)[..., None] * np.array([0.16, 0.10, 0.10], np.float32)
    lit -= (0.34 * np.clip(((xs - 320) / 420) ** 2 + ((ys - 170) / 300) ** 2, 0, 1))[..., None]
    pen.image[:] = as_image(lit * pen.image)


def _badge(pen: Pen) -> None:
    pen.blob([(14, 334), (20, 328), (54, 328), (60, 334), (60, 342), (54, 348), (20, 348), (14, 342)], (206, 46, 56))
    pen.ellipse(23.5, 338, 3.2, 3.2, (255, 255, 255))
    pen.text(31, 341.6, "LIVE", 7.4, (255, 255, 255), bold=True)
