"""Pairs of film pictures that the head of films learns from, and how good a head is on films held back.

    python -m codec.cli.train film DIR --out MODEL

Nobody publishes enough film in the clear to learn from, so films are made of photographs: a view that pans, turns and
zooms over one of them, and an object cut from another that moves by itself, some smoothed to look drawn, some with
grain. Each is coded by the base at a random quantiser, and the head learns what the base lost. The pretrained film
head, DIR being the 400 photographs of the train and test parts of BSDS500 (Arbelaez et al. 2011), is what the
defaults make.

Nothing here runs in a decoder.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from heads.layers import Layer
from heads.restorer import store
from heads.restorer.fit import MSE_FLOOR, PLANE_WEIGHTS
from heads.restorer.integer import IntegerHead
from heads.restorer.pretrain import Course, Sample
from heads.restorer.spec import HeadSpec

from ..base.quantiser import base_q_of
from ..events import Listener, silent
from ..frames import Plane, folds_of
from ..media.files import read_bytes
from .course import Trained, errors_of, train_head
from .made_films import PICTURES, canvas, coded, film
from .photos import split_pictures

FILM = HeadSpec(planes=6, layers=4, width=16, base_q=True, adding=True)
FOLDS = folds_of("420")
HELD = 40  # films to be judged by
BATCH = 16
KEPT = 6  # pictures of each film to learn from


def sample(base: Sequence[Plane], source: Sequence[Plane], base_q: int) -> Sample:
    """A picture to learn from; its weights make the loss follow PSNR-YUV."""
    wide = [p.astype(np.int16) << 2 for p in source]
    now = [p.astype(np.int16) for p in base]
    weights = []
    for share, a, b in zip(PLANE_WEIGHTS, now, wide, strict=True):
        weights.append(share / max(float(np.square((a - b).astype(np.float64)).mean()), MSE_FLOOR))
    return Sample(now, wide, base_q, tuple(weights))


def films(paths: Sequence[Path], count: int, preset: int, seed: int) -> Iterator[list[Sample]]:
    """The pictures to learn from, film by film."""
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        first, second = (paths[k] for k in rng.integers(len(paths), size=2))
        pictures = list(film(canvas(first, rng), canvas(second, rng), rng))
        crf = int(rng.integers(4 * 10, 4 * 63)) / 4
        base = coded(pictures, crf, preset)
        yield [sample(base[k], pictures[k], base_q_of(crf)) for k in sorted(rng.permutation(PICTURES)[:KEPT])]


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


def train_film(
    folder: Path,
    out: Path,
    *,
    steps: int = 13000,
    rate: float = 2.5e-3,
    start: Path | None = None,
    preset: int = 2,
    count: int = 900,
    seed: int = 0,
    resume: bool = False,
    listen: Listener = silent,
) -> Trained:
    """Train the head of films, from noise or from the head in `start`, and write it to `out`: on `count` films made of
    the pictures of `folder`, coded with that preset of SVT-AV1.

    Raises InputError where there is nothing to learn from. An interrupted training is taken up with `resume`.
    """
    photos, kept_back = split_pictures(folder)
    layers = store.read(read_bytes(str(start))).layers if start else None
    learnt = [one for pictures in films(photos, count, preset, seed) for one in pictures]
    held = [one for pictures in films(kept_back, HELD, preset, seed + 1) for one in pictures]
    course = Course(steps=steps, rate=rate, batch=BATCH)
    return train_head(learnt, held, FILM, 1, out, course, seed, resume, listen, layers, None, gain)
