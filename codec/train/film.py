"""Pairs of film pictures that the heads of films learn from, and how good a head is on films held back.

    python -m codec.cli.train film DIR.. --out MODEL [--scale 2]

Nobody publishes enough film in the clear to learn from, so films are made of photographs: a view that pans, turns and
zooms over one of them, and an object cut from another that moves by itself, some smoothed to look drawn, some with
grain. Each is coded by the base at a random quantiser, whole or made smaller, and the head learns what the base lost,
told the quantiser that each picture has.

Nothing here runs in a decoder.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import chain
from pathlib import Path

import numpy as np

from heads.layers import Layer
from heads.restorer import store
from heads.restorer.fit import MSE_FLOOR, PLANE_WEIGHTS
from heads.restorer.integer import IntegerHead
from heads.restorer.pretrain import Course, Sample
from heads.restorer.spec import HeadSpec

from ..base.quantiser import base_q_of_index
from ..events import Listener, silent
from ..frames import Plane, folds_of
from ..media.files import read_bytes
from .course import Trained, errors_of, likeness_weights, train_head
from .made_films import LARGE, PICTURES, SIZE, canvas, coded, film
from .photos import split_pictures

FILM = HeadSpec(planes=6, layers=4, width=16, base_q=True, adding=True)
FOLDS = folds_of("420")
HELD = 40  # films to be judged by
BATCH, CROP = 16, 32  # crops of a batch, and cells a side of them
KEPT = 6  # pictures of each film to learn from
CRFS = {True: (10, 63), False: (16, 63)}  # of bases at full size, and of smaller ones
LIKENESS = 0.25  # share of SSIM and MS-SSIM beside the squared errors


def sample(base: Sequence[Plane], source: Sequence[Plane], base_q: int) -> Sample:
    """A picture to learn from; its weights make the loss follow PSNR-YUV, and SSIM and MS-SSIM of luma."""
    wide = [p.astype(np.int16) << 2 for p in source]
    now = [p.astype(np.int16) for p in base]
    weights = []
    for share, a, b in zip(PLANE_WEIGHTS, now, wide, strict=True):
        weights.append(share / max(float(np.square((a - b).astype(np.float64)).mean()), MSE_FLOOR))
    luma = wide[0][None].astype(np.float64)
    return Sample(now, wide, base_q, tuple(weights), likeness_weights(luma, now[0] - luma))


def films(
    paths: Sequence[Path], count: int, preset: int, seed: int, scale: Fraction = Fraction(1)
) -> Iterator[list[Sample]]:
    """The pictures to learn from, film by film."""
    low, high = CRFS[scale == 1]
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        first, second = (paths[k] for k in rng.integers(len(paths), size=2))
        size = SIZE if scale == 1 else LARGE
        pictures = list(film(canvas(first, rng), canvas(second, rng), rng, size))
        crf = int(rng.integers(4 * low, 4 * high)) / 4
        base, quantisers = coded(pictures, crf, preset, scale)
        kept = sorted(rng.permutation(PICTURES)[: KEPT if scale == 1 else KEPT // 2])
        yield [sample(base[k], pictures[k], base_q_of_index(quantisers[k])) for k in kept]


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
    folders: Sequence[Path],
    out: Path,
    *,
    scale: Fraction = Fraction(1),
    spec: HeadSpec = FILM,
    steps: int = 13000,
    rate: float = 2.5e-3,
    start: Path | None = None,
    preset: int = 2,
    count: int = 900,
    seed: int = 0,
    resume: bool = False,
    listen: Listener = silent,
) -> Trained:
    """Train a head of films, from noise or from the head in `start`, which may be a smaller one, and write it to `out`:
    on `count` films made of the pictures of `folders`, coded at 1/`scale` of their size with that preset of SVT-AV1.

    Raises InputError where there is nothing to learn from. An interrupted training is taken up with `resume`.
    """
    photos, kept_back = (list(chain(*parts)) for parts in zip(*map(split_pictures, folders), strict=True))
    first = store.read(read_bytes(str(start))) if start else None
    learnt = [one for pictures in films(photos, count, preset, seed, scale) for one in pictures]
    held = [one for pictures in films(kept_back, HELD, preset, seed + 1, scale) for one in pictures]
    course = Course(steps=steps, rate=rate, batch=BATCH, crop=CROP, likeness=LIKENESS)
    begin = (first.spec, first.layers) if first else None
    return train_head(learnt, held, spec, scale, out, course, seed, resume, listen, begin, None, gain)
