"""The command line: `codec encode | decode | info | verify | upscale | train-upscaler | splat`. It holds no logic; it
asks, shows and exits.

Exit codes: 0 fine, 1 the file or the input is bad, 2 wrong usage. Results go to standard output, all else to standard
error; with --json every event is one JSON object a line on standard output.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import click

from .avif import is_still
from .cli_options import Number, Seconds, limited, machine, shared
from .encode import encode
from .errors import NvcError, UsageError
from .events import Event
from .info import describe, table
from .limits import Limits
from .picture_cli import (
    decode_stills,
    encode_stills,
    means_pictures,
    means_stills,
    train_upscaler_command,
    upscale_command,
    verify_still,
)
from .progress import Console
from .settings import PRESETS, Settings
from .sinks import drain
from .source import describe as described
from .splat_cli import splat_group
from .stills import describe_still, still_table
from .transcode import decode, verify
from .workers import JOBS_MAX


class _Commands(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # the reader has gone, which is no fault; click itself would end with 1
            drain(sys.stdout)
            return 0


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="nvc")
def cli() -> None:
    """NVC: films and pictures as a small AV1 stream, a convolution head that restores the rest, and a coded remainder.

    Exit codes: 0 fine, 1 the file or the input is bad, 2 wrong usage.
    """


@cli.command("encode")
@click.argument("source")
@click.argument("target")
@click.option("--crf", type=click.FloatRange(1, 63), help="Quality on AV1's scale, lower is better.  [default: 32]")
@click.option("--target-psnr", type=float, metavar="DB", help="Smallest file of this PSNR-YUV (pictures: PSNR-RGB).")
@click.option("--bitrate", type=float, metavar="KBPS", help="Best file of about this video bit rate.")
@click.option("--target-size", type=float, metavar="MB", help="Best file of at most this size (10^6 bytes).")
@click.option("--bpp", type=float, metavar="BITS", help="Pictures: best file of at most so many bits a pixel.")
@click.option("--scale", type=Number("auto"), default="auto", help="Base smaller by 1, 1.5, 2, 3 or 4.")
@click.option("--history", type=Number("auto", whole=True), default="auto", help="Pictures the head sees, 0..2.")
@click.option("--loss", type=Number("auto", "off", whole=True), default="auto", help="Loss-stream: quantiser step.")
@click.option("--max-error", type=click.IntRange(0, 127), help="Every sample within N of the source.")
@click.option("--lossless", is_flag=True, help="Every sample equal to the source's.")
@click.option("--no-head", is_flag=True, help="Train and send no head.")
@click.option("--preset", type=click.Choice(list(PRESETS)), default="medium", show_default=True)
@click.option("--jobs", type=click.IntRange(1, JOBS_MAX), help="Segments encoded at a time, each by a process.")
@click.option("--cluster", metavar="ADDRESS", help="Encode on the workers of this Dask scheduler.")
@click.option("--best-effort", is_flag=True, help="Encode a damaged film up to the damage.")
@machine
@click.option("-y", "--overwrite", is_flag=True, help="Replace an existing output.")
@click.option("--resume", is_flag=True, help="Go on where an interrupted encode of the same film, or folder, stopped.")
@shared
@click.pass_context
def encode_command(
    context: click.Context,
    /,
    source: str,
    target: str,
    scale: Any,
    history: Any,
    max_error: int | None,
    lossless: bool,
    no_head: bool,
    overwrite: bool,
    resume: bool,
    best_effort: bool,
    jobs: int | None,
    cluster: str | None,
    quiet: bool,
    as_json: bool,
    **wishes: Any,
) -> None:
    """Encode the film or picture SOURCE to the .nvc file TARGET.

    SOURCE "-" is a y4m film or a picture on standard input. A picture (PNG, JPEG, WebP, AVIF, TIFF, BMP, PNM) becomes
    an AVIF file that any browser shows; TARGET "-" is standard output for it. Of a folder SOURCE every picture is
    encoded to a file below the folder TARGET.
    """
    if lossless and max_error:
        raise UsageError("--lossless and --max-error contradict each other")
    if means_pictures(source):
        if jobs or cluster or best_effort:
            raise UsageError("--jobs, --cluster and --best-effort are for films")
        wishes |= {"max_error": 0 if lossless else max_error, "head": not no_head}
        encode_stills(context, source, target, wishes, overwrite, resume, quiet, as_json)
        return
    if wishes.pop("bpp") is not None:
        raise UsageError(f"--bpp is for pictures, and {source} is none: ask for --bitrate")
    settings = Settings(
        scale=None if scale == "auto" else scale,
        history=None if history == "auto" else history,
        max_error=0 if lossless else max_error,
        head=not no_head,
        **wishes,
    )
    with Console(as_json, quiet) as console:
        how = {"overwrite": overwrite, "resume": resume, "best_effort": best_effort}
        result = encode(source, target, settings, **how, jobs=jobs, cluster=cluster, listen=console)
        console.say(
            f"{result.path}: {result.bytes:,} bytes, {result.frames} frames, PSNR-YUV {result.psnr:.2f} dB, "
            f"scale {result.scale:g}, {result.seconds:.0f} s"
        )


@cli.command("decode")
@click.argument("source")
@click.argument("target")
@click.option("--start", type=Seconds(), help="First picture to write: seconds or [HH:]MM:SS.")
@click.option("--duration", type=Seconds(), help="How much to write.")
@click.option("--best-effort", is_flag=True, help="Show what can be shown of a damaged file, and say which frames.")
@machine
@click.option("-y", "--overwrite", is_flag=True, help="Replace an existing output.")
@shared
@limited
def decode_command(source: str, target: str, as_json: bool, quiet: bool, **options: Any) -> None:
    """Decode the .nvc file SOURCE to TARGET.

    \b
    .y4m or -          exact planes, for mpv and ffmpeg
    .mkv               FFV1: exact planes, with sound
    .mp4 .mov .webm    a watchable copy, with sound
    name_%05d.png      pictures

    A still SOURCE is written as .png, .tif, .webp, .bmp, .jpg or .ppm, as TARGET ends, or as PNG to standard output.
    Of a folder SOURCE every still .nvc becomes a PNG below the folder TARGET.
    """
    if target == "-" and as_json:
        raise UsageError("--json and pictures on standard output exclude each other")
    if means_stills(source):
        decode_stills(source, target, options, quiet, as_json)
        return
    with Console(as_json, quiet) as console:
        result = decode(source, target, listen=console, **options)
        for note in result.notes:
            console(Event("note", {"text": note}))
        console(Event("done", {"path": target, "frames": result.frames, "problems": len(result.problems)}), plain=False)
        console.say(f"{target}: {result.frames} frames, {result.frames / max(result.seconds, 1e-9):.1f} fps")


@cli.command("verify")
@click.argument("source")
@machine
@shared
@limited
def verify_command(source: str, as_json: bool, quiet: bool, **options: Any) -> None:
    """Decode every picture of SOURCE and compare every checksum."""
    if is_still(source):
        verify_still(source, options["threads"], options["limits"], quiet, as_json)
        return
    with Console(as_json, quiet) as console:
        result = verify(source, listen=console, **options)
        console(Event("done", {"path": source, "frames": result.frames}), plain=False)
        console.say(f"{source}: {result.frames} frames, every checksum right")


@cli.command("info")
@click.argument("source")
@shared
@limited
def info_command(source: str, as_json: bool, quiet: bool, limits: Limits) -> None:
    """Show what SOURCE is made of."""
    still = is_still(source)
    found = describe_still(source, limits) if still else describe(source, limits)
    if as_json:
        click.echo(json.dumps(found))
    elif not quiet:
        click.echo(still_table(found) if still else table(found))


for command in (upscale_command, train_upscaler_command, splat_group):
    cli.add_command(command)


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
    except OSError as error:  # those of files are told where they are read and written
        if not error.filename:
            drain(sys.stdout)
        click.echo(f"codec: {error.filename or 'standard output cannot be written'}: {described(error)}", err=True)
        sys.exit(1)
    except Exception as error:  # a bug of ours: a sentence for the user, the trace for whoever asks for it
        if os.environ.get("NVC_DEBUG"):
            raise
        click.echo(f"codec: internal fault, {type(error).__name__}: {error} (NVC_DEBUG=1 shows where)", err=True)
        sys.exit(1)
