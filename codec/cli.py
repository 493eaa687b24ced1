"""The command line: `codec encode | decode | info | verify`. It holds no logic; it asks, shows and exits.

Exit codes: 0 fine, 1 the file or the input is bad, 2 wrong usage. Results go to standard output, all else to standard
error; with --json every event is one JSON object a line on standard output.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import click

from .encode import Event, encode
from .errors import NvcError, UsageError
from .info import describe, table
from .progress import Console
from .settings import PRESETS, Settings
from .transcode import decode, verify


class _Number(click.ParamType):
    """A number, or one of some words."""

    def __init__(self, *words: str, whole: bool = False):
        self.words, self.whole = words, whole
        self.name = "|".join((*words, "N"))

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value in self.words or not isinstance(value, str):
            return value
        try:
            return int(value) if self.whole else Fraction(value)
        except (ValueError, ZeroDivisionError):
            self.fail(f"{value!r} is neither {' nor '.join((*self.words, 'a number'))}", param, ctx)


class _Seconds(click.ParamType):
    """Seconds, or [HH:]MM:SS[.fraction]."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, Fraction):
            return value
        try:
            total = Fraction(0)
            for part in str(value).split(":"):
                number = Fraction(part)
                if number < 0 or str(value).count(":") > 2:
                    raise ValueError
                total = total * 60 + number
            return total
        except (ValueError, ZeroDivisionError):
            self.fail(f"{value!r} is no time in seconds or [HH:]MM:SS", param, ctx)


def _shared(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options that all commands take."""
    command = click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")(command)
    return click.option("--json", "as_json", is_flag=True, help="One JSON object an event on stdout.")(command)


def _machine(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options on where to compute."""
    device = click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
    threads = click.option("--threads", type=click.IntRange(0, 256), default=0, help="0: one a core.  [default: 0]")
    return device(threads(command))


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="nvc")
def cli() -> None:
    """NVC: films as a downscaled AV1 stream, a convolution head trained on the film, and a coded remainder.

    Exit codes: 0 fine, 1 the file or the input is bad, 2 wrong usage.
    """


@cli.command("encode")
@click.argument("source")
@click.argument("target")
@click.option("--crf", type=click.FloatRange(1, 63), help="Quality on AV1's scale, lower is better.  [default: 32]")
@click.option("--target-psnr", type=float, metavar="DB", help="Smallest file of at least this PSNR-YUV.")
@click.option("--bitrate", type=float, metavar="KBPS", help="Best file of about this video bit rate.")
@click.option("--target-size", type=float, metavar="MB", help="Best file of at most this size (10^6 bytes).")
@click.option("--scale", type=_Number("auto"), default="auto", help="Base smaller by 1, 1.5, 2, 3 or 4.")
@click.option("--history", type=_Number("auto", whole=True), default="auto", help="Pictures the head sees, 0..2.")
@click.option("--loss", type=_Number("auto", "off", whole=True), default="auto", help="Loss-stream: quantiser step.")
@click.option("--max-error", type=click.IntRange(0, 127), help="Every sample within N of the source.")
@click.option("--lossless", is_flag=True, help="Every sample equal to the source's.")
@click.option("--no-head", is_flag=True, help="Train and send no head.")
@click.option("--preset", type=click.Choice(list(PRESETS)), default="medium", show_default=True)
@_machine
@click.option("-y", "--overwrite", is_flag=True, help="Replace an existing output.")
@click.option("--resume", is_flag=True, help="Go on where an interrupted encode of the same film stopped.")
@_shared
def encode_command(
    source: str,
    target: str,
    scale: Any,
    history: Any,
    max_error: int | None,
    lossless: bool,
    no_head: bool,
    overwrite: bool,
    resume: bool,
    quiet: bool,
    as_json: bool,
    **wishes: Any,
) -> None:
    """Encode the film SOURCE ("-": y4m on standard input) to the .nvc file TARGET."""
    if lossless and max_error:
        raise UsageError("--lossless and --max-error contradict each other")
    settings = Settings(
        scale=None if scale == "auto" else scale,
        history=None if history == "auto" else history,
        max_error=0 if lossless else max_error,
        head=not no_head,
        **wishes,
    )
    with Console(as_json, quiet) as console:
        result = encode(source, target, settings, overwrite=overwrite, resume=resume, listen=console)
        console.say(
            f"{result.path}: {result.bytes:,} bytes, {result.frames} frames, PSNR-YUV {result.psnr:.2f} dB, "
            f"scale {result.scale:g}, {result.seconds:.0f} s"
        )


@cli.command("decode")
@click.argument("source")
@click.argument("target")
@click.option("--start", type=_Seconds(), help="First picture to write: seconds or [HH:]MM:SS.")
@click.option("--duration", type=_Seconds(), help="How much to write.")
@click.option("--best-effort", is_flag=True, help="Show what can be shown of a damaged file, and say which frames.")
@_machine
@click.option("-y", "--overwrite", is_flag=True, help="Replace an existing output.")
@_shared
def decode_command(source: str, target: str, as_json: bool, quiet: bool, **options: Any) -> None:
    """Decode the .nvc file SOURCE to TARGET.

    \b
    .y4m or -          exact planes, for mpv and ffmpeg
    .mkv               FFV1: exact planes, with sound
    .mp4 .mov .webm    a watchable copy, with sound
    name_%05d.png      pictures
    """
    if target == "-" and as_json:
        raise UsageError("--json and pictures on standard output exclude each other")
    with Console(as_json, quiet) as console:
        result = decode(source, target, listen=console, **options)
        for note in result.notes:
            console(Event("note", {"text": note}))
        console(Event("done", {"path": target, "frames": result.frames, "problems": len(result.problems)}), plain=False)
        console.say(f"{target}: {result.frames} frames, {result.frames / max(result.seconds, 1e-9):.1f} fps")


@cli.command("verify")
@click.argument("source")
@_machine
@_shared
def verify_command(source: str, as_json: bool, quiet: bool, **options: Any) -> None:
    """Decode every picture of SOURCE and compare every checksum."""
    with Console(as_json, quiet) as console:
        result = verify(source, listen=console, **options)
        console(Event("done", {"path": source, "frames": result.frames}), plain=False)
        console.say(f"{source}: {result.frames} frames, every checksum right")


@cli.command("info")
@click.argument("source")
@_shared
def info_command(source: str, as_json: bool, quiet: bool) -> None:
    """Show what SOURCE is made of."""
    found = describe(source)
    if as_json:
        click.echo(json.dumps(found))
    elif not quiet:
        click.echo(table(found))


def main() -> None:
    """Entry point: every expected fault becomes one sentence and an exit code."""
    try:
        code = cli(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except NvcError as error:
        click.echo(f"codec: {error}", err=True)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("codec: interrupted; encode --resume goes on from the last finished segment", err=True)
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(0)
    except Exception as error:  # a bug of ours: a sentence for the user, the trace for whoever asks for it
        if os.environ.get("NVC_DEBUG"):
            raise
        click.echo(f"codec: internal fault, {type(error).__name__}: {error} (NVC_DEBUG=1 shows where)", err=True)
        sys.exit(1)
