"""Pictures that the pretrained density heads learn from.

    python -m codec.cli.train density DIR --kind film --out heads/density/film.bin
    python -m codec.cli.train density DIR --clips CLIPS --kind light --out heads/density/light.bin
    python -m codec.cli.train density DIR --kind still --out heads/density/still.bin

Films are made of photographs (`codec.train.film`), with grain of their own on half of them, or are clips as they are,
and predicted as a film below a loss-stream is: by a coarse base, and by the last picture moved into place. Stills are
photographs, some made smaller, some with grain, predicted by their base. DIR is that of `codec.train.still`. The light
heads that come with the program learnt from 140 pictures of made films and 150 of as many clips by this recipe.

Nothing here runs in a decoder.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from heads.density import store
from heads.density.fit import DensityCourse, DensityExample, train_density
from heads.density.spec import LIGHT_WIDTH, WIDTH
from heads.density.store import Family
from heads.loop import Step

from ..errors import NvcError
from ..events import Listener, Training, silent
from ..frames import Plane, PlaneFormat
from ..loss.grid import BOTH, LAST
from ..loss.motion import displaced, estimate_motion
from ..media.files import write_bytes
from ..media.libav import planes_from_av, planes_to_av
from ..media.pictures import Picture, eight_bits, read_picture
from ..segment.fit_density import plane_examples
from ..settings import StillSettings
from ..still.encode import StillEncoder
from ..still.exact import exact_planes
from .made_films import FORMAT, PICTURES, RATE, SIZE, canvas, coded, film
from .photos import pictures_in

FILM_CRF = 25, 56  # of the base, drawn evenly
STILL_CRF = 16, 52
CAMERA_CRF = 8, 26  # of H.264, for half of the films
KEPT = 4  # pictures of each film
CLIPS, CLIP_PICTURES = (".mkv", ".mp4", ".webm", ".y4m"), 9  # endings of clips, and pictures that are read of each
GRAIN = 4.0  # largest standard deviation, code values
LEAST_SIDE = 64  # samples of a plane that crops are cut from
Example = list[DensityExample]  # of one picture: its planes


def _grain(planes: Sequence[Plane], sigma: float, rng: np.random.Generator) -> list[Plane]:
    return [np.clip(np.rint(p + rng.normal(0, sigma, p.shape)), 0, 255).astype(np.uint8) for p in planes]


def _photographed(pictures: Sequence[Sequence[Plane]], crf: float) -> list[list[Plane]]:
    """8-bit 4:2:0 pictures as a camera or a streamer would have kept them: through H.264, as most films have been."""
    memory = io.BytesIO()
    with av.open(memory, "w", format="matroska") as output:
        stream = output.add_stream("libx264", rate=RATE, options={"crf": f"{crf:.1f}", "threads": "1"})
        stream.height, stream.width = pictures[0][0].shape
        for planes in pictures:
            output.mux(stream.encode(planes_to_av(planes, FORMAT)))
        output.mux(stream.encode(None))
    memory.seek(0)
    with av.open(memory, "r") as source:
        return [list(planes_from_av(frame, FORMAT)) for frame in source.decode(video=0)]


def made_films(paths: Sequence[Path], count: int, seed: int) -> Iterator[list[Example]]:
    """Pictures to learn from of films made of photographs, film by film."""
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        first, second = (paths[k] for k in rng.integers(len(paths), size=2))
        sigma = rng.uniform(0.3, GRAIN) if rng.random() < 0.5 else 0.0
        pictures = [_grain(p, sigma, rng) if sigma else p for p in film(canvas(first, rng), canvas(second, rng), rng)]
        if rng.random() < 0.5:
            pictures = _photographed(pictures, rng.uniform(*CAMERA_CRF))
        yield _examples_of(pictures, sorted(rng.permutation(PICTURES)[:KEPT]), rng)


def clips(paths: Sequence[Path], seed: int) -> Iterator[list[Example]]:
    """Pictures to learn from of a window of each clip's first pictures; clips that are too small are passed over."""
    for number, path in enumerate(paths):
        rng = np.random.default_rng([seed, number])
        pictures = _first_pictures(path)
        if len(pictures) < 2 or min(pictures[0][0].shape) < 2 * LEAST_SIDE:
            continue
        rows, columns = (min(n, most) // 8 * 8 for n, most in zip(pictures[0][0].shape, SIZE, strict=True))
        room = [n - own for n, own in zip(pictures[0][0].shape, (rows, columns), strict=True)]
        y, x = (8 * int(rng.integers(n // 8 + 1)) for n in room)
        window = [
            [p[y // s : (y + rows) // s, x // s : (x + columns) // s] for p, s in zip(planes, (1, 2, 2), strict=True)]
            for planes in pictures
        ]
        yield _examples_of(window, sorted(rng.permutation(len(window))[:KEPT]), rng)


def _first_pictures(path: Path) -> list[list[Plane]]:
    """Of a clip, in 8-bit 4:2:0."""
    with av.open(str(path)) as source:
        frames = islice(source.decode(video=0), CLIP_PICTURES)
        even = (f.reformat(f.width // 2 * 2, f.height // 2 * 2, FORMAT.av_name) for f in frames)
        return [list(planes_from_av(frame, FORMAT)) for frame in even]


def _examples_of(pictures: Sequence[Sequence[Plane]], kept: Sequence[int], rng: np.random.Generator) -> list[Example]:
    """Of the pictures `kept`, predicted by a base of a quantiser that is drawn."""
    base = coded(pictures, float(rng.uniform(*FILM_CRF)), 8)[0]
    predicted = [[np.minimum((p + 2) >> 2, 255).astype(np.uint8) for p in planes] for planes in base]
    found = []
    for k in kept:
        temporal: list[list[NDArray]] = []
        if k and rng.random() < 0.9:
            motion = estimate_motion(pictures[k][0], pictures[k - 1][0], 8)
            last = tuple(pictures[k - 1]), tuple(predicted[k - 1])
            temporal = [displaced(last, p, motion, FORMAT) for p in range(3)]
        found.append(plane_examples(pictures[k], predicted[k], temporal, FORMAT, LAST if temporal else 0))
    return found


def stills(paths: Sequence[Path], rounds: int, seed: int) -> Iterator[Example]:
    """Pictures to learn from, `rounds` times each photograph: as three reversible planes, or as green, red, blue."""
    for number in range(rounds * len(paths)):
        rng = np.random.default_rng([seed, number])
        path = str(paths[number % len(paths)])
        try:
            pixels = eight_bits(read_picture(path), path).pixels
        except NvcError:
            continue
        if pixels.shape[2] < 3:
            continue
        pixels = np.ascontiguousarray(pixels[..., :3])
        if rng.random() < 0.5:
            factor = rng.uniform(0.5, 0.9)
            pixels = cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        if rng.random() < 0.4:
            (pixels,) = _grain([pixels], rng.uniform(0.3, GRAIN / 2), rng)
        crf = float(rng.uniform(*STILL_CRF))
        predicted = StillEncoder(Picture(pixels), StillSettings(crf=crf, max_error=0)).prediction(crf)
        mixed = bool(rng.random() < 0.75)
        planes = [exact_planes(p, mixed) for p in (pixels, predicted)]
        fmt = PlaneFormat("444", 10 if mixed else 8)
        yield plane_examples(planes[0], planes[1], (), fmt, 0 if mixed else BOTH)


def share_of(number: int) -> float:
    """Of the batches, those that a head learns from: phase 0 codes few samples, and later planes take few bits."""
    return 0.3 if number % 4 == 0 else 0.6 if number > 4 else 1.0


def context_for(example: Example, family: Family, number: int) -> Example:
    """The planes of a picture that a head codes, with its context of them."""
    planes = example[1:] if number >= 4 else example[:1]
    planes = planes if number >= 4 else [replace(p, others=()) for p in planes]
    return planes if family.temporal else [replace(p, temporal=()) for p in planes]


def train_density_heads(
    folder: Path,
    family: Family,
    out: Path,
    *,
    steps: int = 5000,
    count: int = 260,
    rounds: int = 1,
    clips_in: Path | None = None,
    seed: int = 0,
    listen: Listener = silent,
) -> None:
    """Train a family's heads on the pictures of `folder` and write them to `out`: on `count` films made of them and on
    the films in the folder `clips_in`, or on each of them `rounds` times. Heads that code much learn `steps` batches,
    the others fewer.

    Raises InputError where there are no pictures.
    """
    paths = pictures_in(folder)
    made: Iterator[Example]
    if family.temporal:
        real = sorted(p for p in clips_in.iterdir() if p.suffix in CLIPS) if clips_in else []
        made = chain.from_iterable(chain(made_films(paths, count, seed), clips(real, seed)))
    else:
        made = stills(paths, rounds, seed)
    examples = [one for one in made if min(one[-1].base.shape) >= LEAST_SIDE]
    heads, width = [], LIGHT_WIDTH if family is Family.LIGHT else WIDTH
    for number, spec in enumerate(store.specs(family, width)):
        planes = [plane for one in examples for plane in context_for(one, family, number)]

        def tell(at: Step, number: int = number) -> None:
            text = f"head {number}: {at.step} batches, {at.loss:.3f} bits a sample"
            listen(Training(text, at.step, at.steps, at.loss, None))

        course = DensityCourse(round(steps * share_of(number)))
        heads.append(train_density(planes, spec, course, seed=seed, listen=tell))
    write_bytes(str(out), store.write(width, heads))
