"""Pairs of pictures that the heads of the package are trained on, and how good a head is on pictures held back.

    codec train-upscaler DIR --out MODEL --scale 2      pictures made smaller by the mean of each square
    python -m codec.teach DIR --out MODEL               pictures through the base at random quantisers

The heads of the package, DIR being the 400 photographs of the train and test parts of BSDS500 (Arbelaez et al. 2011):

    codec train-upscaler DIR --scale 2 --steps 14000 --out heads/upscale2.bin          (3 and 4: 7000 steps)
    python -m codec.teach DIR --out first.bin
    python -m codec.teach DIR --start first.bin --preset 2 --rounds 3 --steps 20000 --rate 1e-3 --integer-share 0.3 \\
        --out heads/still.bin

Nothing here runs in a decoder.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click
import numpy as np
import torch
from numpy.typing import NDArray

from heads import store
from heads.integer import CORRECTION_BITS, IntegerHead
from heads.model import INPUT_MAX, HeadSpec, Layer
from heads.planes import folds_of
from heads.prior import Course, Sample, Trainer, packed

from .base import BaseSettings
from .colour import SRGB, TO_RGB, to_planes
from .errors import InputError, NvcError
from .events import Event, Listener
from .payload import told_of
from .pictures import READABLE, eight_bits, read_bytes, read_picture, write_bytes
from .progress import Console
from .still import base_of, base_planes, upscaled
from .upscale import upscaled_planes

STILL = HeadSpec(planes=12, layers=8, width=48, told=True, adding=True)
UPSCALER = HeadSpec(planes=12, layers=8, width=48, adding=True)
FOLDS = folds_of("444")
HELD_BACK = 25  # one picture in so many is for validation
LARGEST = 768  # samples a side that are taken of a picture
MEMORY = 1 << 31  # bytes that samples may take
MSE_MIN = 1e-3  # of a picture, so that a flat one has a gain
MSE_FLOOR = 2.0  # of a base, in squared 10-bit steps


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder, in order of their names. Raises InputError where there are none."""
    found = sorted(p for p in folder.iterdir() if p.suffix.lower() in READABLE) if folder.is_dir() else []
    if not found:
        raise InputError(f"{folder} is no folder of pictures")
    return found


def shrunk(pixels: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """The mean of each factor x factor square, rounded; a last part of a square is cut off."""
    rows, columns = (n // factor for n in pixels.shape[:2])
    squares = pixels[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor, -1)
    return (squares.mean((1, 3)) + 0.5).astype(np.uint8)


def _crops(paths: Sequence[Path], multiple: int, rng: np.random.Generator) -> Iterator[NDArray[np.uint8]]:
    """RGB parts of pictures, sides a multiple of `multiple`, of all pictures that can be read."""
    for path in paths:
        try:
            pixels = eight_bits(read_picture(str(path)), str(path)).pixels
        except NvcError:
            continue
        pixels = np.repeat(pixels[..., :1], 3, axis=2) if pixels.shape[2] < 3 else pixels[..., :3]
        rows, columns = (min(n, LARGEST) // multiple * multiple for n in pixels.shape[:2])
        y, x = (int(rng.integers(n - m + 1)) for n, m in zip(pixels.shape, (rows, columns), strict=False))
        if min(rows, columns) >= 32:
            yield np.ascontiguousarray(pixels[y : y + rows, x : x + columns])


def _sample(upscaled: Sequence[NDArray[np.uint16]], pixels: NDArray[np.uint8], told: int, chroma: bool) -> Sample:
    source = np.rint(to_planes(pixels, 255)).astype(np.int16)
    now = np.stack(upscaled).astype(np.int16)
    error = (now - source).astype(np.float64)
    if not chroma:
        error[1:] = 0
    mse = float((np.tensordot(TO_RGB, error, 1) ** 2).mean())
    weight = 1 / max(mse, MSE_FLOOR)
    return Sample(list(now), list(source), told, (weight, weight, weight) if chroma else (weight, 0.0, 0.0))


def upscaling(paths: Sequence[Path], scale: int, seed: int = 0) -> list[Sample]:
    """Samples for an upscaler, as many as MEMORY holds."""
    rng, samples, room = np.random.default_rng(seed), [], MEMORY
    multiple = math.lcm(2, scale)
    for pixels in _crops(paths, multiple, rng):
        room -= 12 * pixels.shape[0] * pixels.shape[1]
        if room < 0:
            break
        samples.append(_sample(upscaled_planes(shrunk(pixels, scale), 255, scale), pixels, 0, True))
    return samples


def stills(paths: Sequence[Path], rounds: int, preset: int, seed: int = 0) -> list[Sample]:
    """Samples for the head of still pictures: each picture `rounds` times at a random quantiser. Photographs of JPEG
    files hold half the chroma at most, so chroma is learnt from pictures of half the size."""
    samples: list[Sample] = []
    rng, room = np.random.default_rng(seed), MEMORY
    for number in range(rounds):
        for pixels in _crops(paths, 4, rng):
            room -= 12 * pixels.shape[0] * pixels.shape[1]
            if room < 0:
                return samples
            small = (number + len(samples)) % 2 == 0
            if small:
                pixels = shrunk(pixels, 2)
            crf = int(rng.integers(4 * 6, 4 * 60)) / 4
            samples.append(_sample(coded(pixels, crf, preset), pixels, told_of(crf), small))
    return samples


def coded(pixels: NDArray[np.uint8], crf: float, preset: int) -> list[NDArray[np.uint16]]:
    """RGB pixels through the base, chroma brought back to full size by the fixed filter: three 10-bit planes."""
    rows, columns = pixels.shape[:2]
    settings = BaseSettings(crf, preset, 0, SRGB, still=True)
    _, base = base_of(base_planes(pixels, 255), settings)
    return upscaled(base, columns, rows)


def errors_of(sample: Sample, folds: Sequence[tuple[int, int]], head: IntegerHead) -> list[NDArray[np.float64]]:
    """Errors of a sample without the head and with it, (h, w, channels) in 10-bit steps."""
    x = packed(sample.upscaled, folds).astype(np.float32) - INPUT_MAX
    if head.spec.told:
        x = np.concatenate([x, np.full((*x.shape[:2], 1), sample.told, np.float32)], axis=2)
    y = head.correction(torch.from_numpy(x)).numpy() / (1 << CORRECTION_BITS)
    before = (packed(sample.upscaled, folds) - packed(sample.source, folds)).astype(np.float64)
    return [before, before + y]


def gain(samples: Sequence[Sample], spec: HeadSpec, layers: Sequence[Layer]) -> float:
    """Mean dB that a head adds over samples (in RGB, or in luma where a sample has no chroma)."""
    head, gains = IntegerHead(spec, layers), []
    for sample in samples:
        errors = []
        for e in errors_of(sample, FOLDS, head):
            rgb = e.reshape(*e.shape[:2], 3, 4)
            rgb = np.einsum("rp,hwpc->hwrc", TO_RGB, rgb) if sample.weights[1] else rgb[:, :, :1]
            errors.append((rgb**2).mean())
        gains.append(10 * math.log10(max(errors[0], MSE_MIN) / max(errors[1], MSE_MIN)))
    return float(np.mean(gains))


# training


@dataclass(frozen=True)
class Taught:
    """A head's file, and the mean dB that it adds over pictures held back."""

    bytes: int
    gain: float


def split_pictures(folder: Path) -> tuple[list[Path], list[Path]]:
    """(pictures to learn from, pictures held back)."""
    paths = pictures_in(folder)
    held = paths[::HELD_BACK] if len(paths) > 1 else paths
    return [p for p in paths if p not in held] or paths, held


def teach(
    train: Sequence[Sample],
    held: Sequence[Sample],
    spec: HeadSpec,
    scale: int,
    out: Path,
    course: Course,
    seed: int,
    resume: bool,
    listen: Listener,
    start: Sequence[Layer] | None = None,
    mix: NDArray[np.float64] | None = TO_RGB,
    gain: Callable[[Sequence[Sample], HeadSpec, Sequence[Layer]], float] = gain,
) -> Taught:
    """Train, tell of the progress, and write the head's file. `mix` as `Trainer` has it; `gain` tells how many dB a
    head adds to samples."""
    if not train or not held:
        raise InputError("there is no picture of 32 x 32 samples or more to learn from")
    state = out.with_name(f".{out.name}.state")
    if not resume:
        state.unlink(missing_ok=True)
    smallest = min(min(s.source[0].shape) for s in train) // 2
    largest = max(min(s.source[0].shape) for s in train) // 2
    course = replace(course, crop=min(course.crop, max(smallest, largest // 2, 16)))
    trainer = Trainer(train, spec, course, mix, start=start, seed=seed)
    began, first = time.monotonic(), trainer.step

    def told(step: int, loss: float) -> None:
        share = (step - first) / max(time.monotonic() - began, 1e-9)
        added = gain(held, spec, trainer.layers())
        text = f"{step}/{course.steps} steps, {added:+.3f} dB on pictures held back, {share:.1f} steps/s"
        listen(Event("progress", {"stage": "train", "text": text, "step": step, "loss": loss, "gain": added}))

    try:
        layers = trainer.run(told, state)
    except ValueError as error:
        raise InputError(str(error)) from None
    data = store.write(spec, scale, layers)
    write_bytes(str(out), data)
    state.unlink(missing_ok=True)
    return Taught(len(data), gain(held, spec, layers))


def train_upscaler(
    folder: Path,
    out: Path,
    scale: int = 2,
    *,
    steps: int = 14000,
    seed: int = 0,
    resume: bool = False,
    listen: Listener = lambda event: None,
) -> Taught:
    """Train a head that enlarges by `scale` on the pictures of `folder` and write it to `out`.

    Raises InputError where there is nothing to learn from. An interrupted training is taken up with `resume`.
    """
    train, held = split_pictures(folder)
    samples = upscaling(train, scale, seed), upscaling(held, scale, seed)
    return teach(*samples, UPSCALER, scale, out, Course(steps=steps), seed, resume, listen)


def train_still(
    folder: Path,
    out: Path,
    course: Course,
    *,
    start: Path | None = None,
    preset: int = 2,
    rounds: int = 5,
    seed: int = 0,
    resume: bool = False,
    listen: Listener = lambda event: None,
) -> Taught:
    """Train the head of still pictures likewise, from noise or from the head in `start`; each picture is coded at
    `rounds` random quantisers with that preset of SVT-AV1."""
    train, held = split_pictures(folder)
    samples = stills(train, rounds, preset, seed), stills(held, 2, 2, 1)
    layers = store.read(read_bytes(str(start))).layers if start else None
    return teach(*samples, STILL, 1, out, course, seed, resume, listen, layers)


def of_training(command: Callable[..., None]) -> Callable[..., None]:
    """What every training is told: pictures, target, and a head to begin with."""
    for option in (
        click.option("--start", type=click.Path(path_type=Path, dir_okay=False), help="A head to go on from."),
        click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True),
        click.argument("folder", type=click.Path(path_type=Path, file_okay=False)),
    ):
        command = option(command)
    return command


@click.command()
@of_training
@click.option("--steps", default=26000, show_default=True)
@click.option("--rate", default=2e-3, show_default=True, help="Of the gradient descent, at first.")
@click.option("--integer-share", default=0.15, show_default=True, help="Of the steps, in simulated integers.")
@click.option("--preset", default=5, show_default=True, help="Of SVT-AV1.")
@click.option("--rounds", default=5, show_default=True, help="How often each picture is coded.")
@click.option("--seed", default=0, show_default=True)
@click.option("--resume", is_flag=True)
def main(
    folder: Path,
    out: Path,
    start: Path | None,
    steps: int,
    rate: float,
    integer_share: float,
    preset: int,
    rounds: int,
    seed: int,
    resume: bool,
) -> None:
    """Train the head of still pictures that the package ships."""
    course = Course(steps=steps, rate=rate, integer_share=integer_share)
    with Console() as console:
        result = train_still(
            folder, out, course, start=start, preset=preset, rounds=rounds, seed=seed, resume=resume, listen=console
        )
        console.say(f"{out}: {result.bytes:,} bytes, {result.gain:+.3f} dB on pictures held back")


if __name__ == "__main__":
    main()
