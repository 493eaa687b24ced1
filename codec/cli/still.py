"""The commands on pictures: what `codec encode`, `decode` and `verify` do with them, `upscale` and `train-upscaler`."""

from __future__ import annotations

import os
import time
from dataclasses import fields
from typing import Any

import click
from click.core import ParameterSource

from ..errors import InputError, UsageError
from ..events import Loose
from ..limits import Limits
from ..media.files import STDOUT, check_not_same, read_bytes
from ..media.pictures import check_picture_target, looks_like_picture, write_picture
from ..settings import StillSettings
from ..still.decode import decode_still
from ..still.files import Done, any_picture, decode_picture, encode_picture, named
from ..still.folder import Folder, decode_folder, encode_folder
from ..still.upscale import load_upscaler, upscaled_picture
from ..wire.avif import is_still
from .console import Console
from .options import limited, shared
from .options import threads as threads_option

_ALSO = {"source", "target", "max_error", "lossless", "no_head", "overwrite", "resume", "quiet", "as_json", "device"}


def means_pictures(source: str) -> bool:
    """Whether what is to be encoded is a picture or a folder of them, rather than a film."""
    return _is_folder(source) or looks_like_picture(source)


def means_stills(source: str) -> bool:
    """Whether what is to be decoded is a still .nvc or a folder of them, rather than a film."""
    return _is_folder(source) or (looks_like_picture(source) if source == STDOUT else is_still(source))


def _is_folder(source: str) -> bool:
    return source != STDOUT and os.path.isdir(source)


def _check_machine(source: str, target: str, device: str) -> None:
    """Raise UsageError for what is for films, and for a folder on standard output."""
    if device == "cuda":
        raise UsageError(f"--device cuda is for films, and {source} is none")
    if _is_folder(source) and target == STDOUT:
        raise UsageError(f"the folder {source} cannot go to standard output")


def encode_stills(
    context: click.Context,
    source: str,
    target: str,
    wishes: dict[str, Any],
    overwrite: bool,
    resume: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """`codec encode` of a picture or a folder. Raises UsageError for options that are for films."""
    known = {f.name for f in fields(StillSettings)}
    for name in sorted(context.params.keys() - known - _ALSO):
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            raise UsageError(f"--{name.replace('_', '-')} is for films, and {source} is none")
    settings = StillSettings(**{name: value for name, value in wishes.items() if name in known})
    _check_machine(source, target, wishes["device"])
    if target == STDOUT and as_json:
        raise UsageError("--json and a file on standard output exclude each other")
    with Console(as_json, quiet) as console:
        if _is_folder(source):
            found = encode_folder(source, target, settings, overwrite=overwrite, resume=resume, listen=console)
            _finish(console, found, "encoded")
            return
        if resume:
            raise UsageError("--resume is for films and folders; a single picture takes seconds")

        def listen(stage: str) -> None:
            console(Loose("progress", {"stage": "encode", "text": stage}))

        _tell(console, encode_picture(source, target, settings, overwrite=overwrite, listen=listen))


def decode_stills(source: str, target: str, options: dict[str, Any], quiet: bool, as_json: bool) -> None:
    """`codec decode` of a still .nvc or a folder. Raises UsageError for options that are for films."""
    for name in ("start", "duration", "best_effort"):
        if options[name]:
            raise UsageError(f"--{name.replace('_', '-')} is for films, and {source} is none")
    _check_machine(source, target, options["device"])
    with Console(as_json, quiet) as console:
        kept = {name: options[name] for name in ("overwrite", "threads", "limits")}
        if _is_folder(source):
            _finish(console, decode_folder(source, target, **kept, listen=console), "decoded")
        else:
            _tell(console, decode_picture(source, target, **kept))


def verify_still(source: str, threads: int, limits: Limits, quiet: bool, as_json: bool) -> None:
    """`codec verify` of a still .nvc."""
    with Console(as_json, quiet) as console:
        data = read_bytes(source)
        named(source, lambda: decode_still(data, threads, limits))
        console(Loose("done", {"path": source, "frames": 1}), plain=False)
        console.say(f"{source}: the picture's checksum is right")


def _tell(console: Console, done: Done) -> None:
    for note in done.notes:
        console(Loose("note", {"text": note}))
    console(Loose("done", done.data()), plain=False)
    console.say(_line(done))


def _line(done: Done) -> str:
    if done.psnr is None:
        return f"{done.target}: {done.width}x{done.height}, {done.seconds:.1f} s"
    quality = "lossless" if done.psnr == float("inf") else f"PSNR-RGB {done.psnr:.2f} dB"
    return f"{done.target}: {done.bytes:,} bytes, {done.bpp:.3f} bpp, {quality}, {done.seconds:.1f} s"


def _finish(console: Console, folder: Folder, what: str) -> None:
    """The table under a folder's lines; InputError where a picture failed."""
    done = folder.done
    before, after = sum(d.source_bytes for d in done), sum(d.bytes for d in done)
    samples = sum(d.width * d.height for d in done)
    finite = [d.psnr for d in done if d.psnr is not None and d.psnr != float("inf")]
    data: dict[str, object] = {"pictures": len(done), "failed": len(folder.failed), "kept": folder.kept}
    data |= {"source_bytes": before, "bytes": after, "seconds": round(folder.seconds, 2)}
    console(Loose("done", data), plain=False)
    table = [[f"pictures {what}", f"{len(done)}"]]
    table += [[name, f"{count}"] for name, count in (("failed", len(folder.failed)), ("kept", folder.kept)) if count]
    if done:
        table += [["bytes read", f"{before:,}"], ["bytes written", f"{after:,}"]]
        if done[0].psnr is not None:
            table += [["bits a pixel", f"{after * 8 / samples:.3f}"]]
        table += [["mean PSNR-RGB", f"{sum(finite) / len(finite):.2f} dB"]] if finite else []
    table += [["seconds", f"{folder.seconds:.1f}"]]
    console.say("\n".join(f"  {name:20} {value:>16}" for name, value in table))
    if folder.failed:
        raise InputError(f"{len(folder.failed)} of {len(folder.failed) + len(done)} pictures failed")


@click.command("upscale")
@click.argument("source")
@click.argument("target")
@click.option("--scale", type=click.IntRange(2, 4), help="Times larger in both directions.  [default: 2]")
@click.option("--model", type=click.Path(dir_okay=False), help="A head of your own, from codec train-upscaler.")
@click.option("--tile", type=click.IntRange(16), default=256, show_default=True, help="Samples a side at once.")
@threads_option
@click.option("-y", "--overwrite", is_flag=True, help="Replace an existing output.")
@shared
@limited
def upscale_command(
    source: str,
    target: str,
    scale: int | None,
    model: str | None,
    tile: int,
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
    check_not_same(source, target)
    check_picture_target(target, overwrite)
    head = load_upscaler(scale, model)
    with Console(as_json, quiet) as console:
        began = time.monotonic()

        def listen(share: float) -> None:
            console(Loose("progress", {"stage": "upscale", "share": share}))

        picture = upscaled_picture(any_picture(source, limits), head, tile=tile, threads=threads, listen=listen)
        for note in write_picture(target, picture):
            console(Loose("note", {"text": note}))
        rows, columns = picture.pixels.shape[:2]
        seconds = time.monotonic() - began
        console(Loose("done", {"path": target, "width": columns, "height": rows, "seconds": seconds}), plain=False)
        console.say(f"{target}: {columns}x{rows}, {seconds:.1f} s")
