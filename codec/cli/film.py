"""The commands on films: `codec encode`, `decode`, `verify` and `info`, which hand pictures on to `codec.cli.still`."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import click

from ..errors import UsageError
from ..events import FilmDecoded, Note, Verified
from ..limits import Limits
from ..machine import keep_memory, one_thread_for_numpy
from ..settings import (
    AUDIO,
    COPY,
    CRF_MAX,
    JOBS_MAX,
    MAX_ERROR,
    MAX_STEP,
    PAGES_MAX,
    PRESETS,
    SAMPLE_SECONDS,
    SUBTITLES,
    TUNES,
    Settings,
)
from .console import Console
from .options import Number, Seconds, amount, limited, machine, shared
from .still import decode_stills, encode_stills, verify_still
from .streams import put
from .tables import film_table, sample_table, still_table, target_text, tracks_text


@click.command("encode")
@click.argument("source")
@click.argument("target", required=False)
@click.option("--crf", type=Number(float, 1, CRF_MAX), help="Quality on AV1's scale, lower is better.  [default: 32]")
@click.option("--target-psnr", type=amount(), metavar="DB", help="Smallest file of this PSNR-YUV (pictures: PSNR-RGB).")
@click.option("--target-ssim", type=amount(), metavar="S", help="Smallest film of this SSIM of luma, below 1.")
@click.option("--target-xpsnr", type=amount(), metavar="DB", help="Smallest film of this XPSNR.")
@click.option("--worst", type=Number(float, 0, 100), help="A target for all but so many percent, not for the mean.")
@click.option("--bitrate", type=amount(), metavar="KBPS", help="Best file of about this video bit rate.")
@click.option("--target-size", type=amount(), metavar="MB", help="Best file of at most this size (10^6 bytes).")
@click.option("--bpp", type=amount(), metavar="BITS", help="Pictures: best file of at most so many bits a pixel.")
@click.option("--scale", type=Number(Fraction, 1, 4, "auto"), default="auto", help="Base smaller by 1, 1.5, 2, 3 or 4.")
@click.option("--history", type=Number(int, 0, 2, "auto"), default="auto", help="Earlier pictures the head sees.")
@click.option("--loss", type=Number(int, 1, MAX_STEP, "auto", "off"), default="auto", help="Step of the loss-stream.")
@click.option("--max-error", type=Number(int, 0, MAX_ERROR), help="Every sample within N of the source.")
@click.option("--lossless", is_flag=True, help="Every sample equal to the source's.")
@click.option("--no-head", is_flag=True, help="Train and send no head.")
@click.option("--preset", type=click.Choice(PRESETS), default="medium", show_default=True)
@click.option("--tune", type=click.Choice(TUNES), help="Pictures: what lossy ones are made for.  [default: mix]")
@click.option(
    "--audio", type=click.Choice(AUDIO), default=COPY, show_default=True, help="Copied, as FLAC if it must be."
)
@click.option("--subtitles", type=click.Choice(SUBTITLES), default=COPY, show_default=True, help="text: unstyled.")
@click.option("--jobs", type=Number(int, 1, JOBS_MAX), help="Segments encoded at a time, each by a process.")
@click.option("--cluster", metavar="ADDRESS", help="Encode on the workers of this Dask scheduler.")
@click.option("--page", type=Number(int, 1, PAGES_MAX), help="Pictures: which page of a TIFF.  [default: 1]")
@click.option("--patience", type=Seconds(), help="With a cluster that has no workers.  [default: 30:00]")
@click.option("--best-effort", is_flag=True, help="Leave out what is damaged of a film, and say when.")
@click.option("--sample", is_flag=True, help="Encode a few seconds to tell size, quality and time; write no file.")
@click.option("--sample-seconds", type=Number(float, 1, 3600), help=f"How much, in all.  [default: {SAMPLE_SECONDS:g}]")
@machine
@click.option("-y", "--overwrite", is_flag=True, help="Replace an existing output.")
@click.option("--resume", is_flag=True, help="Go on where an interrupted encode of the same film, or folder, stopped.")
@shared
@limited
@click.pass_context
def encode_command(
    context: click.Context,
    /,
    source: str,
    target: str | None,
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
    patience: Fraction | None,
    sample: bool,
    limits: Limits,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Encode the film or picture SOURCE to the .nvc file TARGET.

    A film is an MP4 inside; where TARGET ends in .mkv or .webm it is the same in Matroska or WebM. Sound that MP4 does
    not hold becomes FLAC, without loss; subtitles become plain text. Matroska holds nearly everything as it is.

    SOURCE "-" is standard input: a film, without sound where it is a pipe, or a picture. An animation (GIF, WebP, PNG,
    AVIF) is a film, and an .nvc film is restored first. A picture (PNG, JPEG, WebP, AVIF, TIFF, BMP, PNM) becomes an
    AVIF file that any browser shows; TARGET "-" is standard output for it. Of a folder SOURCE every picture is
    encoded to a file below the folder TARGET.

    --sample encodes a few seconds spread over the film, and writes no file; TARGET may be left out.
    """
    if lossless and max_error:
        raise UsageError("--lossless and --max-error contradict each other")
    _check(sample, options, bool(lossless or max_error), bool(resume or jobs or cluster or patience))
    if target is None and not sample:
        raise click.MissingParameter(ctx=context, param_hint="'TARGET'", param_type="argument")
    from ..still.files import is_of_pictures

    options |= {"max_error": 0 if lossless else max_error, "head": not no_head}
    if is_of_pictures(source):
        if jobs or cluster or best_effort:
            raise UsageError("--jobs, --cluster and --best-effort are for films")
        encode_stills(context, source, target or "", options, overwrite, resume, limits, quiet, as_json)
        return
    for name, advice in (("bpp", ": ask for --bitrate"), ("page", ""), ("tune", "")):
        if options.pop(name) is not None:
            raise UsageError(f"--{name} is for pictures, and {source} is none{advice}")
    sizes: Any = {"scale": None if scale == "auto" else scale, "history": None if history == "auto" else history}
    seconds = options.pop("sample_seconds")
    settings = Settings(**sizes, **options)
    how: dict[str, Any] = {"best_effort": best_effort, "limits": limits}
    with Console(as_json, quiet) as console:
        if sample:
            _sample(console, source, target, settings, how | {"seconds": seconds or SAMPLE_SECONDS})
        else:
            how |= {"overwrite": overwrite, "resume": resume, "jobs": jobs, "cluster": cluster, "patience": patience}
            _encode(console, source, target, settings, how)


def _check(sample: bool, options: dict[str, Any], bounded: bool, others: bool) -> None:
    """Refuse what does not go together: `bounded` errors, and `others`, which a sample has no use for."""
    if options["tune"] is not None and bounded:
        raise UsageError("--tune is for lossy pictures, which --lossless and --max-error do not make")
    if sample and others:
        raise UsageError(
            "a sample is encoded by one process, and anew: without --jobs, --cluster, --patience and --resume"
        )
    if options["sample_seconds"] is not None and not sample:
        raise UsageError("--sample-seconds goes with --sample")


def _sample(console: Console, source: str, target: str | None, settings: Settings, how: dict[str, Any]) -> None:
    from ..film.sample import sample

    console.say(sample_table(sample(source, target, settings, **how, listen=console)))


def _encode(console: Console, source: str, target: str | None, settings: Settings, how: dict[str, Any]) -> None:
    from ..film.encode import encode

    assert target is not None
    result = encode(source, target, settings, **how, listen=console)
    console.say(
        f"{result.path}: {result.bytes:,} bytes, {result.frames} frames, PSNR-YUV {result.psnr:.2f} dB, "
        f"{target_text(settings, result.quality)}scale {result.scale:g}, {result.seconds:.0f} s"
    )


@click.command("decode")
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
    one_thread_for_numpy()
    from ..still.files import is_of_stills

    if is_of_stills(source):
        decode_stills(source, target, options, quiet, as_json)
        return
    from ..film.decode import decode

    keep_memory()
    with Console(as_json, quiet) as console:
        result = decode(source, target, listen=console, **options)
        for note in result.notes:
            console(Note(note))
        console(FilmDecoded(target, result.frames, len(result.problems)))
        console.say(f"{target}: {result.frames} frames, {result.frames / max(result.seconds, 1e-9):.1f} fps")


@click.command("verify")
@click.argument("source")
@machine
@shared
@limited
def verify_command(source: str, as_json: bool, quiet: bool, **options: Any) -> None:
    """Decode every picture of SOURCE and compare every checksum, those of sound, subtitles and covers too."""
    one_thread_for_numpy()
    from ..wire.avif import is_still

    if is_still(source):
        verify_still(source, options["threads"], options["limits"], quiet, as_json)
        return
    from ..film.decode import verify

    keep_memory()
    with Console(as_json, quiet) as console:
        result = verify(source, listen=console, **options)
        for note in result.notes:
            console(Note(note))
        console(Verified(source, result.frames))
        console.say(f"{source}: {result.frames} frames, every checksum right{tracks_text(result.tracks)}")


@click.command("info")
@click.argument("source")
@shared
@limited
def info_command(source: str, as_json: bool, quiet: bool, limits: Limits) -> None:
    """Show what SOURCE is made of."""
    from ..wire.avif import is_still

    if still := is_still(source):
        from ..still.info import describe_still as describe
    else:
        from ..film.info import describe
    found = describe(source, limits)
    if as_json:
        import json

        put(json.dumps(found))
    elif not quiet:
        put(still_table(found) if still else film_table(found))
