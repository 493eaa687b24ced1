"""Still pictures as arrays: read from any file that OpenCV knows, written as what their name's ending says.

Samples are uint8 or uint16, (rows, columns, channels): grey, grey and alpha, RGB or RGBA. Nothing is turned by EXIF,
and colours are those of the file: a profile is not applied, but kept beside the samples where file formats allow.

A file is decoded only after the size that its header claims (`codec.media.claims`) was admitted.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import FormatError, InputError, OutputError, UsageError
from ..limits import DEFAULT, check_source
from ..wire import avif
from .claims import PNG, TIFF, claimed_sizes, has_more_pages
from .files import STDIN, STDOUT, read_bytes, standard_input, write_bytes
from .parts import check_target

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # what is wrong with a file is ours to say

Pixels = NDArray[Any]  # uint8 or uint16, (rows, columns, 1 to 4)

WRITABLE = {".png": 4, ".tif": 4, ".tiff": 4, ".webp": 4, ".bmp": 3, ".jpg": 3, ".jpeg": 3, ".ppm": 3}
DEEP = {".png", ".tif", ".tiff", ".ppm"}  # formats of 16-bit samples
KEEPING = {".png", ".jpg", ".jpeg", ".webp"}  # formats that OpenCV writes profiles and EXIF into
READABLE = {*WRITABLE, ".avif", ".pgm", ".pnm", ".jpe"}
_LOSSLESS = {".webp": [cv2.IMWRITE_WEBP_QUALITY, 101]}  # beyond 100 it is lossless
EXIF_PREFIX = b"Exif\0\0"
_MAGICS = (PNG, b"\xff\xd8\xff", *TIFF, b"BM")
_PNM = re.compile(rb"P[1-6]\s")


Admit = Callable[[int, int], None]  # is told width and height; raises InputError where they are too large


def admit_readable(width: int, height: int) -> None:
    """Raise InputError for a picture that is larger than what is read unasked."""
    check_source(width, height, DEFAULT)


@dataclass(frozen=True)
class Picture:
    """A picture and what belongs to it: `icc` profile and `exif` (a TIFF structure), empty where there is none.

    Raises ValueError where the samples are of another kind.
    """

    pixels: Pixels
    icc: bytes = b""
    exif: bytes = b""
    notes: tuple[str, ...] = field(default=(), compare=False)  # sentences on what of a file is not kept

    def __post_init__(self) -> None:
        shape = self.pixels.shape
        if self.pixels.dtype not in (np.uint8, np.uint16) or len(shape) != 3 or not 1 <= shape[2] <= 4 or 0 in shape:
            raise ValueError(f"{self.pixels.dtype} {shape} are no samples of a picture")

    @property
    def peak(self) -> int:
        """The largest value of a sample."""
        return 255 if self.pixels.dtype == np.uint8 else 65535

    @property
    def colour(self) -> Pixels:
        """(rows, columns, 1 or 3): without alpha."""
        return self.pixels[..., : 1 if self.pixels.shape[2] < 3 else 3]

    @property
    def alpha(self) -> Pixels | None:
        """(rows, columns, 1), None without transparency."""
        return self.pixels[..., -1:] if self.pixels.shape[2] in (2, 4) else None


def looks_like_picture(path: str) -> bool:
    """Whether a file, or what stands on standard input, begins like a still picture."""
    if path == STDIN:
        source = standard_input()
        try:
            head = source.peek(avif.PEEK) if hasattr(source, "peek") else b""
        except OSError:  # said by whoever reads it
            return False
    else:
        if not os.path.isfile(path):  # what is read of a pipe is lost to whoever reads it next
            return False
        try:
            with open(path, "rb") as file:
                head = file.read(avif.PEEK)
        except OSError:
            return False
    if head.startswith(_MAGICS) or _PNM.match(head):
        return True
    return head[:4] + head[8:12] == b"RIFFWEBP" or avif.is_avif(head)


def read_picture(path: str, admit: Admit = admit_readable) -> Picture:
    """The picture in a file, or on standard input for "-". Raises InputError for what is no picture, and where `admit`
    does, which is asked before anything is decoded."""
    return parse_picture(read_bytes(path), path, admit)


def parse_picture(data: bytes, name: str, admit: Admit = admit_readable) -> Picture:
    """The picture that a file's bytes hold; `name` is for messages. Raises InputError."""
    sizes = claimed_sizes(data)
    for size in sizes:
        try:
            admit(*size)
        except InputError as error:
            raise InputError(f"{name}: {error}") from None
    found, kinds, values = _decoded(data if sizes else b"")
    if found is None:
        raise InputError(f"{name} is no picture that can be read")
    if found.dtype not in (np.uint8, np.uint16):
        raise InputError(f"{name}: samples of type {found.dtype} cannot be stored")
    pixels = found if found.ndim == 3 else found[..., None]
    if pixels.shape[2] >= 3:
        pixels = np.concatenate([pixels[..., 2::-1], pixels[..., 3:]], axis=2)
    if pixels.shape[2] == 4 and (pixels[..., :1] == pixels[..., 1:3]).all():  # how OpenCV reads grey with alpha
        pixels = pixels[..., 2:]
    metadata = {int(kind): np.asarray(value).tobytes() for kind, value in zip(kinds, values, strict=True)}
    icc, lost = metadata.get(cv2.IMAGE_METADATA_ICCP, b""), _left_out(data, pixels)
    if avif.is_avif(data):
        icc, pixels = _of_avif(data, icc, pixels)
    if icc[16:20] not in (b"", b"GRAY" if pixels.shape[2] < 3 else b"RGB "):
        icc = b""
        lost.append("its colour profile, which is of another colour space than the samples")
    if cv2.IMAGE_METADATA_XMP in metadata:
        lost.append("its XMP")
    exif = metadata.get(cv2.IMAGE_METADATA_EXIF, b"").removeprefix(EXIF_PREFIX)
    notes = (f"{name}: {' and '.join(lost)} left out",) if lost else ()
    return Picture(np.ascontiguousarray(pixels), icc, exif, notes)


def _decoded(data: bytes) -> tuple[Any, Sequence[int], Sequence[Any]]:
    """Samples as OpenCV orders them, kinds and values of metadata; samples are None where it does not read the file."""
    if not data:
        return None, (), ()
    try:
        return cv2.imdecodeWithMetadata(np.frombuffer(data, np.uint8), flags=cv2.IMREAD_UNCHANGED)
    except cv2.error:  # larger than allowed
        return None, (), ()


def _of_avif(data: bytes, icc: bytes, pixels: Pixels) -> tuple[bytes, Pixels]:
    """(profile, samples) of an AVIF file: OpenCV passes over its profile, and gives 10 bits as they are in 16."""
    try:
        found = avif.read(data)
    except FormatError:  # as OpenCV reads it; its colours are right where it has 8 bits
        return icc, pixels
    if pixels.dtype == np.uint16:
        peak = (1 << found.depth) - 1
        pixels = ((pixels.astype(np.uint32) * 65535 + peak // 2) // peak).astype(np.uint16)
    return icc or found.icc, pixels


def _left_out(data: bytes, pixels: Pixels) -> list[str]:
    """What OpenCV passes over without a word."""
    lost = []
    if has_more_pages(data):
        lost.append("all pages but the first")
    if data.startswith(PNG) and b"acTL" in data[:4096]:
        lost.append("all frames but the first")
    if data.startswith(PNG) and b"tRNS" in data[:4096] and pixels.shape[2] in (1, 3):
        lost.append("its transparency")
    return lost


def check_picture_target(path: str, overwrite: bool) -> None:
    """Raise UsageError or OutputError unless a picture may be written to `path`; "-" is PNG on standard output."""
    if path == STDOUT:
        return
    if Path(path).suffix.lower() not in WRITABLE:
        raise UsageError(f"{path}: pictures are written as {', '.join(WRITABLE)}")
    check_target(path, overwrite)


def write_picture(path: str, picture: Picture, overwrite: bool = True) -> list[str]:
    """Write a picture, whole or not at all; returns sentences on what the file does not hold. Raises OutputError where
    the format cannot hold it, or a file is there that may not be overwritten."""
    ending = ".png" if path == STDOUT else Path(path).suffix.lower()
    pixels, notes = picture.pixels, []
    if pixels.shape[2] in (2, 4) and WRITABLE[ending] < 4:
        raise OutputError(f"{path}: {ending} files hold no transparency")
    if picture.peak > 255 and ending not in DEEP:
        raise OutputError(f"{path}: {ending} files hold no 16-bit samples")
    if pixels.shape[2] == 2:
        pixels = np.concatenate([np.repeat(pixels[..., :1], 3, axis=2), pixels[..., 1:]], axis=2)
    elif pixels.shape[2] >= 3:
        pixels = np.concatenate([pixels[..., 2::-1], pixels[..., 3:]], axis=2)
    if ending in (".jpg", ".jpeg"):
        notes.append(f"{path}: JPEG is lossy")
    elif ending == ".webp" and picture.alpha is not None and (picture.alpha == 0).any():
        notes.append(f"{path}: the writer of WebP does not keep colours that alpha hides")
    kinds, values = [], []
    for kind, value, name in (
        (cv2.IMAGE_METADATA_EXIF, picture.exif, "EXIF"),
        (cv2.IMAGE_METADATA_ICCP, picture.icc, "colour profile"),
    ):
        if value and ending in KEEPING:
            kinds.append(kind)
            values.append(np.frombuffer(value, np.uint8))
        elif value:
            notes.append(f"{path}: {ending} files are written without {name}")
    data = _encoded(ending, pixels, kinds, values)
    if data is None and kinds:  # libpng refuses profiles that are not well formed; the picture matters more
        data = _encoded(ending, pixels, [], [])
        notes.append(f"{path}: the writer refused the picture's colour profile or EXIF, which are left out")
    if data is None:
        raise OutputError(f"{path}: the picture could not be written")
    write_bytes(path, data, overwrite)
    return notes


def _encoded(ending: str, pixels: Pixels, kinds: list[int], values: list[NDArray[np.uint8]]) -> bytes | None:
    """A file's bytes, None where OpenCV fails."""
    try:
        samples = np.ascontiguousarray(pixels)
        done, data = cv2.imencodeWithMetadata(ending, samples, kinds, values, _LOSSLESS.get(ending, []))
    except cv2.error:
        return None
    return data.tobytes() if done else None


def eight_bits(picture: Picture, name: str) -> Picture:
    """The picture with 8-bit samples, and a note where they were of 16."""
    if picture.peak == 255:
        return picture
    note = f"{name}: 16-bit samples are rounded to 8 bits"
    return replace(picture, pixels=to_eight(picture.pixels), notes=(*picture.notes, note))


def to_eight(pixels: Pixels) -> NDArray[np.uint8]:
    """Samples of 16 bits rounded to 8."""
    return ((pixels.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
