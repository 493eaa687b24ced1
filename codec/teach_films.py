"""Pairs of film pictures that the head of films is trained on, and how good a head is on films held back.

    python -m codec.teach_films DIR --out MODEL

Nobody ships enough film in the clear to learn from, so films are made of photographs: a view that pans, turns and
zooms over one of them, and an object cut from another that moves by itself, some smoothed to look drawn, some with
grain. Each is coded by the base at a random quantiser, and the head learns what the base lost. The film head of the
package, DIR being the 400 photographs of the train and test parts of BSDS500 (Arbelaez et al. 2011), is what the
defaults make.

Nothing here runs in a decoder.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import click
import cv2
import numpy as np
from numpy.typing import NDArray

from heads import store
from heads.integer import IntegerHead
from heads.model import HeadSpec, Layer
from heads.planes import folds_of
from heads.prior import Course, Sample
from heads.train import MSE_FLOOR, PLANE_WEIGHTS

from .base import BaseSettings, base_frames, encode_base
from .frames import Plane
from .payload import told_of
from .pictures import eight_bits, read_bytes, read_picture
from .progress import Console
from .teach import errors_of, of_training, split_pictures, teach

FILM = HeadSpec(planes=6, layers=4, width=16, told=True, adding=True)
FOLDS = folds_of("420")
SIZE = 192, 320  # rows, columns of a film
PICTURES = 17
HELD = 40  # films to be judged by
BATCH = 16
KEPT = 6  # pictures of each film to learn from
RATE = Fraction(24)


def _canvas(path: Path, rng: np.random.Generator) -> NDArray[np.uint8]:
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


def _view(canvas: NDArray[np.uint8], matrix: NDArray[np.float64]) -> NDArray[np.float32]:
    """Drawn at twice the size and averaged, since most views are smaller than their photograph."""
    fine = matrix @ np.array([[0.5, 0, -0.25], [0, 0.5, -0.25], [0, 0, 1]])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    wide = cv2.warpAffine(canvas, fine, (2 * SIZE[1], 2 * SIZE[0]), flags=flags, borderMode=cv2.BORDER_REFLECT)
    return cv2.resize(wide, SIZE[::-1], interpolation=cv2.INTER_AREA).astype(np.float32)


def film(canvas: NDArray[np.uint8], other: NDArray[np.uint8], rng: np.random.Generator) -> Iterator[list[Plane]]:
    """Pictures of a made film: 8-bit 4:2:0 planes of SIZE."""
    back = _Path(rng, (0.5, 1.6), rng.random() < 0.25)
    front = _Path(rng, (0.4, 1.2), False)
    centre, drift = rng.uniform(0.2, 0.8, 2) * SIZE[::-1], rng.normal(0, 2.0, 2)
    radius, soft = rng.uniform(0.1, 0.3, 2) * SIZE[0], float(rng.choice([0.5, 1, 4]))
    grain = float(rng.choice([0, 0, 0, 1, 2.5]))
    fade = rng.normal(0, 0.004) if rng.random() < 0.2 else 0.0
    ys, xs = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float32)
    for time in range(PICTURES):
        place = centre + drift * time
        distance = np.hypot((xs - place[0]) / radius[0], (ys - place[1]) / radius[1])
        mask = np.clip((1 - distance) * radius.min() / soft, 0, 1)[..., None]
        picture = _view(canvas, back.matrix(time, canvas.shape, SIZE)) * (1 - mask)
        picture += _view(other, front.matrix(time, other.shape, SIZE)) * mask
        picture *= 1 + fade * time
        if grain:
            picture += cv2.GaussianBlur(rng.normal(0, 2 * grain, SIZE).astype(np.float32), (3, 3), 0.7)[..., None]
        frame = av.VideoFrame.from_ndarray(np.clip(np.rint(picture), 0, 255).astype(np.uint8), "rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
        planes = frame.to_ndarray().ravel()
        h, w = SIZE
        yield [
            planes[: h * w].reshape(h, w),
            *planes[h * w :].reshape(2, h // 2, w // 2),
        ]


def coded(pictures: Sequence[Sequence[Plane]], crf: float, preset: int) -> list[list[Plane]]:
    """8-bit pictures through the base: 10-bit planes."""
    wide = ([p.astype(np.uint16) << 2 for p in planes] for planes in pictures)
    packets = encode_base(wide, range(len(pictures)), 1 / RATE, RATE, BaseSettings(crf, preset))
    return [list(f.planes) for f in base_frames(packets, SIZE)]


def sample(base: Sequence[Plane], source: Sequence[Plane], told: int) -> Sample:
    """A picture to learn from; its weights make the loss follow PSNR-YUV."""
    wide = [p.astype(np.int16) << 2 for p in source]
    now = [p.astype(np.int16) for p in base]
    weights = []
    for share, a, b in zip(PLANE_WEIGHTS, now, wide, strict=True):
        weights.append(share / max(float(np.square((a - b).astype(np.float64)).mean()), MSE_FLOOR))
    return Sample(now, wide, told, tuple(weights))


def films(paths: Sequence[Path], count: int, preset: int, seed: int) -> Iterator[list[Sample]]:
    """The pictures to learn from, film by film."""
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        first, second = (paths[k] for k in rng.integers(len(paths), size=2))
        pictures = list(film(_canvas(first, rng), _canvas(second, rng), rng))
        crf = int(rng.integers(4 * 10, 4 * 63)) / 4
        base = coded(pictures, crf, preset)
        yield [sample(base[k], pictures[k], told_of(crf)) for k in sorted(rng.permutation(PICTURES)[:KEPT])]


def gain(samples: Sequence[Sample], spec: HeadSpec, layers: Sequence[Layer]) -> float:
    """Mean dB of PSNR-YUV that a head adds."""
    head, gains = IntegerHead(spec, layers), []
    for one in samples:
        added, at, both = 0.0, 0, errors_of(one, FOLDS, head)
        for share, (r, c) in zip(PLANE_WEIGHTS, FOLDS, strict=True):
            part = slice(at, at + r * c)
            errors = [np.square(e[..., part]).mean() for e in both]
            added += share * 10 * math.log10(max(errors[0], 0.1) / max(errors[1], 0.1))
            at += r * c
        gains.append(added)
    return float(np.mean(gains))


@click.command()
@of_training
@click.option("--films", "count", default=900, show_default=True, help="To make and code.")
@click.option("--steps", default=13000, show_default=True)
@click.option("--rate", default=2.5e-3, show_default=True, help="Of the gradient descent, at first.")
@click.option("--preset", default=2, show_default=True, help="Of SVT-AV1.")
@click.option("--seed", default=0, show_default=True)
@click.option("--resume", is_flag=True)
def main(
    folder: Path,
    out: Path,
    start: Path | None,
    count: int,
    steps: int,
    rate: float,
    preset: int,
    seed: int,
    resume: bool,
) -> None:
    """Train the head of films that the package ships."""
    learnt, held = split_pictures(folder)
    layers = store.read(read_bytes(str(start))).layers if start else None
    with Console() as console:
        train = [one for pictures in films(learnt, count, preset, seed) for one in pictures]
        judged = [one for pictures in films(held, HELD, preset, seed + 1) for one in pictures]
        course = Course(steps=steps, rate=rate, batch=BATCH)
        result = teach(train, judged, FILM, 1, out, course, seed, resume, console, layers, None, gain)
        console.say(f"{out}: {result.bytes:,} bytes, {result.gain:+.3f} dB on films held back")


if __name__ == "__main__":
    main()
