"""The commands of the tile compressor: `codec splat encode | decode | info`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import click

from ..errors import FormatError, InputError, UsageError
from ..events import GaussiansDecoded, GaussiansEncoded, Note, Share
from ..limits import GAUSSIANS, Limits, check_source
from ..media.endings import ending_of
from ..media.files import STDOUT, check_not_same, named, read_bytes, write_bytes
from ..media.parts import check_target
from .console import Console
from .options import BOUNDLESS, Number, amount, limited, shared, shown, whole
from .options import threads as threads_option
from .streams import put
from .tables import gaussians_table


@contextmanager
def _faults_of(path: str, kind: type[Exception]) -> Iterator[None]:
    import splat

    try:
        yield
    except splat.SplatError as error:
        raise kind(f"{path}: {error}") from None


def _read(path: str) -> bytes:
    """An .nvs file. Raises FormatError with what another file is, and which command reads it, where that is known."""
    from ..film.reader import is_nvc_film
    from ..media.foreign import kind_of_no_gaussians

    film = "is an .nvc film: codec decode and codec info read it"
    if kind := kind_of_no_gaussians(path) or film * is_nvc_film(path):
        raise FormatError(f"{named(path)} {kind}")
    return read_bytes(path)


def _asked(limits: Limits) -> dict[str, int]:
    """What the user asked for, as `splat` takes it, which has defaults of its own."""
    return {name: value for name, value in asdict(limits).items() if value is not None}


def _admit(limits: Limits) -> Callable[[int, int], None]:
    """What refuses a picture that is too large to be encoded."""
    import splat

    def admit(width: int, height: int) -> None:
        check_source(width, height, limits, GAUSSIANS)
        try:
            splat.check_size(height, width)
        except splat.SplatError as error:
            raise InputError(str(error)) from None

    return admit


class _Region(click.ParamType):
    """x,y,width,height in samples."""

    name = "x,y,w,h"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, tuple):
            return value
        try:
            x, y, w, h = map(whole, str(value).split(","))
        except ValueError:
            self.fail(f"{shown(value)} is no region such as 64,32,320,240", param, ctx)
        return x, y, w, h


@click.group("splat")
def splat_group() -> None:
    """Pictures as tiles of Gaussians (.nvs): crops decode alone, and any size can be drawn."""


@splat_group.command("encode")
@click.argument("source")
@click.argument("target")
@click.option("--bpp", type=amount(), metavar="BITS", help="Best file of so many bits a pixel.  [default: 0.5]")
@click.option("--psnr", type=amount(), metavar="DB", help="Smallest file of at least this PSNR-RGB.")
@click.option("--gaussians", type=Number(int, 0, BOUNDLESS), help="Best file of at most so many Gaussians.")
@click.option("--effort", type=Number(int, 0, 2), default=1, show_default=True, help="Time against quality.")
@click.option("--network", is_flag=True, help="Let the network propose each tile's Gaussians.")
@threads_option
@click.option("-y", "--overwrite", is_flag=True, help="Replace an existing output.")
@shared
@limited
def encode_command(
    source: str,
    target: str,
    bpp: float | None,
    psnr: float | None,
    gaussians: int | None,
    effort: int,
    network: bool,
    threads: int,
    overwrite: bool,
    quiet: bool,
    as_json: bool,
    limits: Limits,
) -> None:
    """Encode the picture SOURCE to the .nvs file TARGET; "-" is standard input or output.

    A file holds samples of 8 bits as they are shown: turned as the picture's orientation says, without its profile.
    """
    known = {"bpp": bpp, "psnr": psnr, "gaussians": gaussians}
    asked = {name: value for name, value in known.items() if value is not None}
    if len(asked) > 1:
        raise UsageError(f"--{' and --'.join(asked)} contradict each other: ask for one")
    if target == STDOUT and as_json:
        raise UsageError("--json and a file on standard output exclude each other")
    import splat

    from ..media.pictures import eight_bits, read_picture
    from ..media.upright import bare, upright

    check_not_same(source, target)
    if target != STDOUT:
        ending_of(target, (".nvs",), "splat encode writes pictures as .nvs")
        check_target(target, overwrite)
    with Console(as_json, quiet) as console:
        picture = upright(eight_bits(read_picture(source, _admit(limits)), source), source)
        pixels = picture.pixels
        for note in (*picture.notes, *bare(picture, target)):
            console(Note(note))

        def listen(done: float) -> None:
            console(Share("encode", done))

        def remark(words: str) -> None:
            console(Note(f"{source}: {words}"))

        with _faults_of(source, InputError):
            options = {"effort": effort, "network": network, "threads": threads, "listen": listen}
            data = splat.encode(pixels, **(asked or {"bpp": 0.5}), **options, remark=remark)
            found = splat.describe(data)
        write_bytes(target, data, overwrite)
        rate = len(data) * 8 / (pixels.shape[0] * pixels.shape[1])
        console(GaussiansEncoded(target, len(data), rate, found["gaussians"]))
        console.say(f"{target}: {len(data):,} bytes, {rate:.4f} bpp, {found['gaussians']:,} Gaussians")


@splat_group.command("decode")
@click.argument("source")
@click.argument("target")
@click.option("--crop", type=_Region(), help="Only this part of the picture, which is all that is drawn.")
@click.option("--zoom", type=Number(float, 0.1, 16), default=1.0, show_default=True, help="Draw it so much larger.")
@click.option("-y", "--overwrite", is_flag=True, help="Replace an existing output.")
@shared
@limited
def decode_command(
    source: str,
    target: str,
    crop: tuple[int, int, int, int] | None,
    zoom: float,
    overwrite: bool,
    quiet: bool,
    as_json: bool,
    limits: Limits,
) -> None:
    """Decode the .nvs file SOURCE to the picture TARGET."""
    import splat

    from ..media.pictures import Picture, check_picture_target, write_picture

    check_not_same(source, target)
    check_picture_target(target, overwrite)
    with Console(as_json, quiet) as console:
        data = _read(source)
        with _faults_of(source, FormatError):
            pixels = splat.decode(data, region=crop, zoom=zoom, **_asked(limits))
        write_picture(target, Picture(pixels), overwrite)
        rows, columns = pixels.shape[:2]
        console(GaussiansDecoded(target, columns, rows))
        console.say(f"{target}: {columns}x{rows}")


@splat_group.command("info")
@click.argument("source")
@shared
@limited
def info_command(source: str, as_json: bool, quiet: bool, limits: Limits) -> None:
    """Show what the .nvs file SOURCE is made of."""
    import splat

    data = _read(source)
    with _faults_of(source, FormatError):
        found = {"path": source, **splat.describe(data, **_asked(limits))}
    if as_json:
        put(json.dumps(found))
    elif not quiet:
        put(gaussians_table(found))
