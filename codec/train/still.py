"""Pairs of pictures that the pretrained heads of stills learn from, and how good a head is on pictures held back.

    codec train-upscaler DIR --out MODEL --scale 2      pictures made smaller by the mean of each square
    python -m codec.cli.train still DIR --out MODEL     pictures through the base at random quantisers

The pretrained heads, DIR being the 400 photographs of the train and test parts of BSDS500 (Arbelaez et al. 2011):

    codec train-upscaler DIR --scale 2 --steps 14000 --out heads/restorer/upscale2.bin     (3 and 4: 7000 steps)
    python -m codec.cli.train still DIR --out first.bin
    python -m codec.cli.train still DIR --start first.bin --preset 2 --rounds 3 --steps 20000 --rate 1e-3 \\
        --integer-share 0.3 --out heads/restorer/still.bin

Nothing here runs in a decoder.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from heads.restorer import store
from heads.restorer.pretrain import Course, Sample
from heads.restorer.spec import HeadSpec

from ..base.av1 import BaseSettings
from ..base.colour import SRGB
from ..base.quantiser import base_q_of
from ..events import Listener, silent
from ..media.files import read_bytes
from ..still.encode import base_of, base_planes
from ..still.presets import EXACT, TUNES
from ..still.restore import upscaled
from ..still.upscale import upscaled_planes
from .course import Trained, gain_by, likened, sample_of, train_head
from .photos import MEMORY, crops, shrunk, split_pictures

STILL = HeadSpec(planes=12, layers=8, width=48, base_q=True, adding=True)
UPSCALER = HeadSpec(planes=12, layers=8, width=48, adding=True)


def upscaling(paths: Sequence[Path], scale: int, seed: int = 0) -> list[Sample]:
    """Samples for an upscaler, as many as MEMORY holds."""
    rng, samples, room = np.random.default_rng(seed), [], MEMORY
    multiple = math.lcm(2, scale)
    for pixels, _ in crops(paths, multiple, rng):
        room -= 12 * pixels.shape[0] * pixels.shape[1]
        if room < 0:
            break
        samples.append(sample_of(upscaled_planes(shrunk(pixels, scale), 255, scale), pixels, 0, True))
    return samples


def stills(paths: Sequence[Path], rounds: int, preset: int, tune: str = EXACT, seed: int = 0) -> list[Sample]:
    """Samples for the head of still pictures: each picture `rounds` times at a random quantiser. Photographs of JPEG
    files hold half the chroma at most, so chroma is learnt from them at half the size."""
    samples: list[Sample] = []
    rng, room = np.random.default_rng(seed), MEMORY
    for number in range(rounds):
        for pixels, lossless in crops(paths, 4, rng):
            room -= 12 * pixels.shape[0] * pixels.shape[1]
            if room < 0:
                return samples
            small = not lossless and (number + len(samples)) % 2 == 0
            if small:
                pixels = shrunk(pixels, 2)
            crf = int(rng.integers(4 * 6, 4 * 60)) / 4
            base = coded(pixels, crf, preset, tune)
            samples.append(likened(sample_of(base, pixels, base_q_of(crf), small or lossless)))
    return samples


def coded(pixels: NDArray[np.uint8], crf: float, preset: int, tune: str) -> list[NDArray[np.uint16]]:
    """RGB pixels through the base, chroma brought back to full size by the fixed filter: three 10-bit planes."""
    rows, columns = pixels.shape[:2]
    settings = BaseSettings(crf, preset, 0, SRGB, still=True, options=TUNES[tune].base)
    _, base = base_of(base_planes(pixels, 255), settings)
    return upscaled(base, columns, rows)


def train_upscaler(
    folder: Path,
    out: Path,
    scale: int = 2,
    *,
    steps: int = 14000,
    seed: int = 0,
    resume: bool = False,
    listen: Listener = silent,
) -> Trained:
    """Train a head that enlarges by `scale` on the pictures of `folder` and write it to `out`.

    Raises InputError where there is nothing to learn from. An interrupted training is taken up with `resume`.
    """
    learnt, held = split_pictures(folder)
    samples = upscaling(learnt, scale, seed), upscaling(held, scale, seed)
    return train_head(*samples, UPSCALER, scale, out, Course(steps=steps), seed, resume, listen)


def train_still(
    folder: Path,
    out: Path,
    *,
    steps: int = 26000,
    rate: float = 2e-3,
    integer_share: float = 0.15,
    start: Path | None = None,
    preset: int = 5,
    rounds: int = 5,
    tune: str = EXACT,
    likeness: float = 0.0,
    seed: int = 0,
    resume: bool = False,
    listen: Listener = silent,
) -> Trained:
    """Train the head of still pictures likewise, from noise or from the head in `start`, the last `integer_share` of
    the steps in simulated integers; each picture is coded at `rounds` random quantisers with that preset of SVT-AV1 as
    that `tune` of stills has it; `likeness` as `Course` has it."""
    learnt, held = split_pictures(folder)
    samples = stills(learnt, rounds, preset, tune, seed), stills(held, 2, 2, tune, 1)
    first = store.read(read_bytes(str(start))) if start else None
    begin = (first.spec, first.layers) if first else None
    course = Course(steps=steps, rate=rate, integer_share=integer_share, likeness=likeness)
    return train_head(*samples, STILL, 1, out, course, seed, resume, listen, begin, gain=gain_by(likeness))
