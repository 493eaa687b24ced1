"""The commands on pictures: what `codec encode`, `decode` and `verify` do with them, and `upscale`."""

from __future__ import annotations

import time
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ..errors import InputError, UsageError, naming
from ..events import Note, PictureEnlarged, Verified
from ..limits import Limits
from ..media.files import STDOUT, check_not_same, read_bytes
from ..settings import StillSettings
from .console import Console
from .options import Number, limited, machine, shared
from .streams import say
from .tables import folder_table

if TYPE_CHECKING:
    from ..still.files import Done
    from ..still.folder import Folder

_ALSO = {"source", "target", "max_error", "lossless", "no_head", "overwrite", "resume", "quiet", "as_json"}
_ALSO |= {"max_pixels", "max_memory", "page"}


def _check_machine(source: str, target: str, device: str) -> None:
    """Raise UsageError for a device that there is not, and for a folder on standard output."""
    from ..machine import device_of_still
    from ..still.files import is_folder

    device_of_still(device)
    if is_folder(source) and target == STDOUT:
        raise UsageError(f"the folder {source} cannot go to standard output")


def encode_stills(
    context: click.Context,
    source: str,
    target: str,
    options: dict[str, Any],
    overwrite: bool,
    resume: bool,
    limits: Limits,
    quiet: bool,
    as_json: bool,
) -> None:
    """`codec encode` of a picture or a folder. Raises UsageError for options that are for films."""
    known = {f.name for f in fields(StillSettings)}
    for name in sorted(context.params.keys() - known - _ALSO):
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            raise UsageError(f"--{name.replace('_', '-')} is for films, and {source} is none")
    given = {name: value for name, value in options.items() if name in known and value is not None}
    settings = StillSettings(**given)
    _check_machine(source, target, options["device"])
    page = options["page"]
    if target == STDOUT and as_json:
        raise UsageError("--json and a file on standard output exclude each other")
    from ..still.files import encode_picture, is_folder
    from ..still.folder import encode_folder

    with Console(as_json, quiet) as console:
        if is_folder(source):
            if page is not None:
                raise UsageError(f"--page is for single pictures, and {source} is a folder")
            found = encode_folder(
                source, target, settings, overwrite=overwrite, resume=resume, limits=limits, listen=console
            )
            _finish(console, found, "encoded", quiet)
            return
        if resume:
            raise UsageError("--resume is for films and folders; a single picture takes seconds")
        how = {"overwrite": overwrite, "limits": limits, "page": page}
        _tell(console, encode_picture(source, target, settings, **how, listen=console))


def decode_stills(source: str, target: str, options: dict[str, Any], quiet: bool, as_json: bool) -> None:
    """`codec decode` of a still .nvc or a folder. Raises UsageError for options that are for films."""
    for name in ("start", "duration", "best_effort"):
        if options[name]:
            raise UsageError(f"--{name.replace('_', '-')} is for films, and {source} is none")
    _check_machine(source, target, options["device"])
    from ..still.files import decode_picture, is_folder

    with Console(as_json, quiet) as console:
        kept = {name: options[name] for name in ("overwrite", "threads", "device", "limits")}
        if is_folder(source):
            from ..still.folder import decode_folder

            _finish(console, decode_folder(source, target, **kept, listen=console), "decoded", quiet)
        else:
            _tell(console, decode_picture(source, target, **kept))


def verify_still(source: str, threads: int, limits: Limits, quiet: bool, as_json: bool) -> None:
    """`codec verify` of a still .nvc."""
    from ..still.decode import decode_still

    with Console(as_json, quiet) as console:
        data = read_bytes(source)
        with naming(source):
            decode_still(data, threads, limits)
        console(Verified(source, 1))
        console.say(f"{source}: the picture's checksum is right")


def _tell(console: Console, done: Done) -> None:
    for note in done.notes:
        console(Note(note))
    console(done.event)
    console.say(_line(done))


def _line(done: Done) -> str:
    if done.psnr is None:
        return f"{done.target}: {done.width}x{done.height}, {done.seconds:.1f} s"
    quality = "lossless" if done.lossless else f"PSNR-RGB {done.psnr:.2f} dB"
    return f"{done.target}: {done.bytes:,} bytes, {done.bpp:.3f} bpp, {quality}, {done.seconds:.1f} s"


def _finish(console: Console, folder: Folder, what: str, quiet: bool) -> None:
    """The table under a folder's lines; InputError where a picture failed. What failed is an error, hence named to who
    wants to hear nothing else too."""
    console(folder.event)
    console.say(folder_table(folder, what))
    if folder.failed:
        for sentence in folder.failed if quiet else ():
            say(f"problem: {sentence}")
        raise InputError(f"{len(folder.failed)} of {len(folder.failed) + len(folder.done)} pictures failed")


@click.command("upscale")
@click.argument("source")
@click.argument("target")
@click.option("--scale", type=Number(int, 2, 4), help="Times larger in both directions.  [default: 2]")
@click.option("--model", type=click.Path(dir_okay=False), help="A head of your own, from codec train-upscaler.")
@click.option("--tile", type=Number(int, 16, 1 << 20), default=256, show_default=True, help="Samples a side at once.")
@machine
@click.option("-y", "--overwrite", is_flag=True, help="Replace an existing output.")
@shared
@limited
def upscale_command(
    source: str,
    target: str,
    scale: int | None,
    model: str | None,
    tile: int,
    device: str,
    threads: int,
    overwrite: bool,
    quiet: bool,
    as_json: bool,
    limits: Limits,
) -> None:
    """Enlarge the picture SOURCE to TARGET by a trained head; "-" is standard input or output (PNG).

    Pictures of 8 and 16 bits, grey or colour, with or without alpha; profile and EXIF are kept.
    """
    if target == STDOUT and as_json:
        raise UsageError("--json and a picture on standard output exclude each other")
    from ..machine import device_of_still
    from ..media.pictures import check_picture_target, write_picture
    from ..still.files import any_picture
    from ..still.upscale import admit_to_enlarge, load_upscaler, upscaled_picture

    check_not_same(source, target)
    check_picture_target(target, overwrite)
    device = device_of_still(device)
    head = load_upscaler(scale, model)
    with Console(as_json, quiet) as console:
        began = time.monotonic()
        found = any_picture(source, admit_to_enlarge(head.scale, limits), limits)
        picture = upscaled_picture(found, head, tile=tile, device=device, threads=threads, listen=console)
        for note in (*picture.notes, *write_picture(target, picture, overwrite)):
            console(Note(note))
        rows, columns = picture.pixels.shape[:2]
        seconds = time.monotonic() - began
        console(PictureEnlarged(target, columns, rows, seconds))
        console.say(f"{target}: {columns}x{rows}, {seconds:.1f} s")
