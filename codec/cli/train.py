"""The commands that train: `codec train-upscaler`, and `python -m codec.cli.train` for the pretrained heads."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import NoReturn

import click

from ..errors import UsageError
from ..events import HeadTrained
from ..media.files import STDOUT
from ..media.parts import check_target
from ..settings import TUNES
from .command import run_to_end
from .console import Console
from .entry import run
from .options import COUNT, Number, amount, shared
from .options import seed as seed_option

FOLDER = click.Path(path_type=Path, file_okay=False)

# What trains is imported where it is wanted, which is seldom: `codec` has this module for one of its commands.


@click.command("train-upscaler")
@click.argument("folder", type=click.Path(file_okay=False))
@click.option("--out", required=True, metavar="MODEL", help="The file for the trained head.")
@click.option("--scale", type=Number(int, 2, 4), default=2, show_default=True)
@click.option("--steps", type=COUNT, default=14000, show_default=True, help="Batches; about 0.1 s each.")
@seed_option
@click.option("--resume", is_flag=True, help="Go on where an interrupted training of this MODEL stopped.")
@click.option("-y", "--overwrite", is_flag=True, help="Replace an existing output.")
@shared
def train_upscaler_command(
    folder: str,
    out: str,
    scale: int,
    steps: int,
    seed: int,
    resume: bool,
    overwrite: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Train a head on the pictures of FOLDER, for `codec upscale --model`.

    Every 25th picture is held back, and what the head gains there over the plain filter is shown. The state lies beside
    MODEL until the training ends.
    """
    from ..train.still import train_upscaler

    if out == STDOUT:
        raise UsageError("a head is not written to standard output: {} takes the name of a file", "out")
    check_target(out, overwrite)
    with Console(as_json, quiet) as console:
        result = train_upscaler(Path(folder), Path(out), scale, steps=steps, seed=seed, resume=resume, listen=console)
        console(HeadTrained(out, result.bytes, round(result.gain, 3)))
        console.say(f"{out}: {result.bytes:,} bytes, {result.gain:+.2f} dB over the plain filter on pictures held back")


@click.group("train")
def train_group() -> None:
    """Train the heads that everybody has: the pretrained ones."""


def of_training(command: Callable[..., None]) -> Callable[..., None]:
    """What every training is told: pictures, target, and a head to begin with."""
    return click.argument("folder", type=FOLDER)(of_any_training(command))


def of_any_training(command: Callable[..., None]) -> Callable[..., None]:
    """The same but for the pictures."""
    for option in (
        click.option("--start", type=click.Path(path_type=Path, dir_okay=False), help="A head to go on from."),
        click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True),
    ):
        command = option(command)
    return command


@train_group.command("still")
@of_training
@click.option("--steps", type=COUNT, default=26000, show_default=True)
@click.option("--rate", type=amount(), default=2e-3, show_default=True, help="Of the gradient descent, at first.")
@click.option(
    "--integer-share",
    type=Number(float, 0, 1),
    default=0.15,
    show_default=True,
    help="Of the steps, in simulated integers.",
)
@click.option("--preset", type=Number(int, 0, 13), default=5, show_default=True, help="Of SVT-AV1.")
@click.option("--rounds", type=COUNT, default=5, show_default=True, help="How often each picture is coded.")
@click.option("--tune", type=click.Choice(TUNES), default="psnr", show_default=True, help="Of the base.")
@click.option(
    "--likeness",
    type=Number(float, 0, 1),
    default=0.0,
    show_default=True,
    help="Share of SSIM and MS-SSIM in what is learnt.",
)
@seed_option
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
    tune: str,
    likeness: float,
    seed: int,
    resume: bool,
) -> None:
    """Train the pretrained head of still pictures."""
    from ..train.still import train_still

    with Console() as console:
        result = train_still(
            folder,
            out,
            steps=steps,
            rate=rate,
            integer_share=integer_share,
            start=start,
            preset=preset,
            rounds=rounds,
            tune=tune,
            likeness=likeness,
            seed=seed,
            resume=resume,
            listen=console,
        )
        console.say(f"{out}: {result.bytes:,} bytes, {result.gain:+.3f} dB on pictures held back")


@train_group.command("density")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--kind", type=click.Choice(["light", "film", "still"]), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option(
    "--films",
    "count",
    type=COUNT,
    default=260,
    show_default=True,
    help="To make and code, for the kinds of films.",
)
@click.option(
    "--clips",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Films to learn from besides, for the kinds of films: a folder.",
)
@click.option(
    "--rounds",
    type=COUNT,
    default=1,
    show_default=True,
    help="Times each photograph is used, for the kind still.",
)
@click.option(
    "--steps",
    type=COUNT,
    default=5000,
    show_default=True,
    help="Of heads that code much; the others take fewer.",
)
@seed_option
def train_density_command(
    folder: Path, kind: str, out: Path, count: int, clips: Path | None, rounds: int, steps: int, seed: int
) -> None:
    """Train the pretrained density heads."""
    from heads.density.store import Family

    from ..train.density import train_density_heads

    with Console() as console:
        train_density_heads(
            folder,
            Family(kind),
            out,
            steps=steps,
            count=count,
            rounds=rounds,
            clips_in=clips,
            seed=seed,
            listen=lambda event: console.say(event.data["text"]),
        )


@train_group.command("film")
@of_any_training
@click.argument("folders", type=FOLDER, nargs=-1, required=True)
@click.option("--scale", type=click.Choice(["1", "3/2", "2", "3", "4"]), default="1", show_default=True)
@click.option("--layers", type=Number(int, 2, 8), default=4, show_default=True)
@click.option("--width", type=Number(int, 1, 64), default=16, show_default=True, help="Channels between layers.")
@click.option("--films", "count", type=COUNT, default=900, show_default=True, help="To make and code.")
@click.option("--steps", type=COUNT, default=13000, show_default=True)
@click.option("--rate", type=amount(), default=2.5e-3, show_default=True, help="Of the gradient descent, at first.")
@click.option("--preset", type=Number(int, 0, 13), default=2, show_default=True, help="Of SVT-AV1.")
@seed_option
@click.option("--resume", is_flag=True)
def train_film_command(
    folders: tuple[Path, ...],
    out: Path,
    start: Path | None,
    scale: str,
    layers: int,
    width: int,
    count: int,
    steps: int,
    rate: float,
    preset: int,
    seed: int,
    resume: bool,
) -> None:
    """Train a pretrained head of films."""
    from heads.restorer.spec import HeadSpec

    from ..train.film import train_film

    with Console() as console:
        result = train_film(
            folders,
            out,
            scale=Fraction(scale),
            spec=HeadSpec(layers=layers, width=width, base_q=True, adding=True),
            steps=steps,
            rate=rate,
            start=start,
            preset=preset,
            count=count,
            seed=seed,
            resume=resume,
            listen=console,
        )
        console.say(f"{out}: {result.bytes:,} bytes, {result.gain:+.3f} dB on films held back")


def main() -> NoReturn:
    """Run a training of the pretrained heads, and exit."""
    run_to_end(train_group, "train")


if __name__ == "__main__":
    run("train", "codec.cli.train")
