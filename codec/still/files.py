"""Pictures in files to still .nvc files and back: one, or a folder of them side by side.

A folder's pictures keep their places below it; what fails is told and does not stop the others.
"""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass

from ..errors import FormatError, InputError, naming
from ..events import Listener, PictureDone, silent
from ..limits import DEFAULT, ENCODING, Limits, check_source
from ..machine import device_of_still, use_threads
from ..media.endings import ending_of
from ..media.files import STDIN, STDOUT, check_not_same, read_bytes, write_bytes
from ..media.parts import check_target
from ..media.pictures import Admit, Picture, check_picture_target, looks_like_picture, parse_picture, write_picture
from ..settings import StillSettings
from ..wire.avif import is_avif, is_still
from ..wire.avif import read as read_avif
from ..wire.obu import SIGNATURE, extract
from .decode import decode_still
from .payload import header_of

NVC = ".nvc"
OWN = (NVC, ".avif")  # endings of what is written


@dataclass(frozen=True)
class Done:
    """A picture that was encoded or decoded. `psnr`: dB, None after decoding; `source_bytes`: of the file that was
    read, 0 for standard input; `notes`: what was not kept or not met."""

    source: str
    target: str
    width: int
    height: int
    source_bytes: int
    bytes: int
    seconds: float
    psnr: float | None = None
    crf: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def bpp(self) -> float:
        """Bits a pixel of the .nvc file."""
        return (self.bytes if self.psnr is not None else self.source_bytes) * 8 / (self.width * self.height)

    @property
    def lossless(self) -> bool:
        """Whether the picture was encoded without any loss."""
        return self.psnr == math.inf

    @property
    def event(self) -> PictureDone:
        """The same for listeners."""
        return PictureDone(
            source=self.source,
            path=self.target,
            width=self.width,
            height=self.height,
            bytes=self.bytes,
            bpp=round(self.bpp, 5),
            psnr=None if self.psnr is None or self.lossless else round(self.psnr, 3),
            lossless=self.lossless,
            crf=self.crf,
            seconds=round(self.seconds, 3),
        )


def is_folder(path: str) -> bool:
    return path != STDIN and os.path.isdir(path)


def is_of_pictures(source: str) -> bool:
    """Whether what is to be encoded is a picture or a folder of them, rather than a film. Raises InputError for an .nvs
    file."""
    from ..media.foreign import refuse_gaussians

    refuse_gaussians(source)
    return is_folder(source) or looks_like_picture(source)


def is_of_stills(source: str) -> bool:
    """Whether what is to be decoded is a still .nvc or a folder of them, rather than a film."""
    return is_folder(source) or (looks_like_picture(source) if source == STDIN else is_still(source))


def any_picture(path: str, admit: Admit, limits: Limits = DEFAULT, page: int | None = None) -> Picture:
    """The picture in a file of any kind that can be read, of a TIFF that on `page`, a still .nvc as it is restored.

    Raises InputError, also where `admit` does, which is asked for the size before anything is decoded, or FormatError
    for a damaged .nvc."""
    data = read_bytes(path)
    if is_avif(data):
        try:
            ours = bool(extract(read_avif(data).base))
        except FormatError:
            ours = SIGNATURE in data  # a damaged one: its base alone would be another picture
        if ours and page is not None:
            raise InputError(f"{path}: only a TIFF has pages")
        if ours:
            with naming(path):
                _, header = header_of(data)
                try:
                    admit(header.width, header.height)
                except InputError as error:
                    raise InputError(f"{path}: {error}") from None
                return decode_still(data, limits=limits)
    return parse_picture(data, path, admit, page)


def _admit_to_encode(limits: Limits) -> Admit:
    from .encode import HIGHEST, WIDEST

    def admit(width: int, height: int) -> None:
        check_source(width, height, limits, ENCODING)
        if width > WIDEST or height > HIGHEST:
            raise InputError(f"a picture of {width}x{height} is larger than {WIDEST}x{HIGHEST}")

    return admit


def encode_picture(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    settings: StillSettings | None = None,
    *,
    overwrite: bool = False,
    limits: Limits = DEFAULT,
    page: int | None = None,
    listen: Listener = silent,
) -> Done:
    """Encode the picture at `source` ("-": standard input), of a TIFF that on `page` (1 the first), to the still .nvc
    file `target` ("-": standard output).

    A source that is larger than `limits` allow is refused before it is decoded. Raises InputError, OutputError or
    UsageError; then nothing is at `target` that was not there before.
    """
    source, target = os.fspath(source), os.fspath(target)
    check_not_same(source, target)
    if target != STDOUT:
        ending_of(target, OWN, "encode writes pictures as .nvc or .avif (both are AVIF)")
        check_target(target, overwrite)
    began = time.monotonic()
    settings = settings or StillSettings()
    device_of_still(settings.device)
    use_threads(settings.threads)
    from .encode import encode_still  # learns, which takes torch

    picture = any_picture(source, _admit_to_encode(limits), limits, page)
    try:
        coded = encode_still(picture, settings, listen)
    except InputError as error:
        raise InputError(f"{source}: {error}") from None
    write_bytes(target, coded.data, overwrite)
    height, width = picture.pixels.shape[:2]
    notes = picture.notes
    if coded.missed:
        notes += (f"{source}: {coded.missed} could not be met; the nearest was kept",)
    size = os.path.getsize(source) if source != STDIN else 0
    seconds = time.monotonic() - began
    return Done(source, target, width, height, size, len(coded.data), seconds, coded.psnr, coded.crf, notes)


def decode_picture(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    threads: int = 0,
    device: str = "auto",
    limits: Limits = DEFAULT,
) -> Done:
    """Decode the still .nvc file `source` to a picture of the kind that the name of `target` says ("-": PNG on standard
    output), on `threads` and `device` as `decode_still` has them. Raises FormatError, DamageError, OutputError or
    UsageError; then nothing new is at `target`."""
    source, target = os.fspath(source), os.fspath(target)
    check_not_same(source, target)
    check_picture_target(target, overwrite)
    began = time.monotonic()
    device = device_of_still(device)
    data = read_bytes(source)
    with naming(source):
        picture = decode_still(data, threads, limits, device)
    notes = tuple(write_picture(target, picture, overwrite))
    height, width = picture.pixels.shape[:2]
    size = os.path.getsize(target) if target != STDOUT else 0
    return Done(source, target, width, height, len(data), size, time.monotonic() - began, notes=notes)
