"""The commands that train the heads of the package: `python -m codec.cli.train still | density | film`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from heads.density import store as density_store
from heads.density.fit import DensityCourse, train_density
from heads.density.head import WIDTH
from heads.density.store import Family
from heads.restorer import store
from heads.restorer.pretrain import Course

from ..media.files import read_bytes, write_bytes
from ..train.course import teach
from ..train.density import LEAST_SIDE, density_films, seen_by, share_of, stills
from ..train.film import BATCH, FILM, HELD, films, gain
from ..train.photos import pictures_in, split_pictures
from ..train.still import train_still
from .console import Console


@click.group("train")
def train_group() -> None:
    """Train the heads that the package ships."""


def of_training(command: Callable[..., None]) -> Callable[..., None]:
    """What every training is told: pictures, target, and a head to begin with."""
    for option in (
        click.option("--start", type=click.Path(path_type=Path, dir_okay=False), help="A head to go on from."),
        click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True),
        click.argument("folder", type=click.Path(path_type=Path, file_okay=False)),
    ):
        command = option(command)
    return command


@train_group.command("still")
@of_training
@click.option("--steps", default=26000, show_default=True)
@click.option("--rate", default=2e-3, show_default=True, help="Of the gradient descent, at first.")
@click.option("--integer-share", default=0.15, show_default=True, help="Of the steps, in simulated integers.")
@click.option("--preset", default=5, show_default=True, help="Of SVT-AV1.")
@click.option("--rounds", default=5, show_default=True, help="How often each picture is coded.")
@click.option("--seed", default=0, show_default=True)
@click.option("--resume", is_flag=True)
def train_still_command(
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


@train_group.command("density")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--kind", type=click.Choice([f.value for f in Family]), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--films", "count", default=260, show_default=True, help="To make and code, for the kind film.")
@click.option("--rounds", default=1, show_default=True, help="Times each photograph is used, for the kind still.")
@click.option("--steps", default=5000, show_default=True, help="Of heads that code much; the others take fewer.")
@click.option("--seed", default=0, show_default=True)
def train_density_command(folder: Path, kind: str, out: Path, count: int, rounds: int, steps: int, seed: int) -> None:
    """Train the density heads of the package."""
    family, paths = Family(kind), pictures_in(folder)
    made = (
        (one for pictures in density_films(paths, count, seed) for one in pictures)
        if family is Family.FILM
        else stills(paths, rounds, seed)
    )
    examples = [one for one in made if min(one[-1].base.shape) >= LEAST_SIDE]
    heads = []
    with Console() as console:
        for number, spec in enumerate(density_store.specs(family, WIDTH)):
            planes = [plane for one in examples for plane in seen_by(one, family, number)]
            course = DensityCourse(round(steps * (share_of(number))))

            def say(done: int, bits: float, number: int = number) -> None:
                console.say(f"head {number}: {done} batches, {bits:.3f} bits a sample")

            heads.append(train_density(planes, spec, course, seed=seed, listen=say))
    write_bytes(str(out), density_store.write(WIDTH, heads))


@train_group.command("film")
@of_training
@click.option("--films", "count", default=900, show_default=True, help="To make and code.")
@click.option("--steps", default=13000, show_default=True)
@click.option("--rate", default=2.5e-3, show_default=True, help="Of the gradient descent, at first.")
@click.option("--preset", default=2, show_default=True, help="Of SVT-AV1.")
@click.option("--seed", default=0, show_default=True)
@click.option("--resume", is_flag=True)
def train_film_command(
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
    train_group(prog_name="python -m codec.cli.train")
