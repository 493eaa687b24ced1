"""Still pictures as arrays: read from any file that OpenCV knows, written as what their name's ending says.

Samples are uint8 or uint16, (rows, columns, channels): grey, grey and alpha, RGB or RGBA. Nothing is turned by EXIF,
and colours are those of the file: what a profile or code points say of them is not applied, but kept beside the samples
where file formats allow. PNM, TIFF and BMP have readers of their own (`codec.media.pnm`, `tiff_samples`, `bmp`).

A file is decoded only after the size that its header claims (`codec.media.claims`) was admitted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FormatError, InputError, OutputError, UsageError
from ..limits import DEFAULT, check_source
from ..wire import avif
from ..wire.exif import orientation, tells_more, with_orientation
from . import bmp, jpeg, jpeg_2000, png, pnm, tiff, tiff_samples
from .animations import GIF, holds_animation, is_animation
from .attributes import COLOUR_SPACE, Attributes
from .behind import left_over
from .claims import claimed_sizes
from .colours import SRGB, Points, described, points_of
from .files import STDOUT, peeked, read_bytes, write_bytes
from .parts import check_target

Pixels = NDArray[Any]  # uint8 or uint16, (rows, columns, 1 to 4)

WRITABLE = {".png": 4, ".tif": 4, ".tiff": 4, ".webp": 4, ".bmp": 3, ".jpg": 3, ".jpeg": 3, ".ppm": 3}
DEEP = {".png", ".tif", ".tiff", ".ppm"}  # formats of 16-bit samples
KEEPING = {".png", ".jpg", ".jpeg", ".webp"}  # formats that OpenCV writes profiles and EXIF into
_JPEG_2000 = {".jp2", ".jpx", ".jpf", ".j2k", ".j2c", ".jpc"}
READABLE = {*WRITABLE, ".avif", ".gif", ".jpe", ".jfif", ".dib", ".pam", ".pbm", ".pgm", ".pnm", *_JPEG_2000}
_TIFF = {".tif", ".tiff"}  # whose profile and orientation we write
EXIF_PREFIX = b"Exif\0\0"
_MAGICS = (png.SIGNATURE, jpeg.MAGIC, *tiff.MAGICS, bmp.MAGIC, *GIF)


Admit = Callable[[int, int], None]  # is told width and height; raises InputError where they are too large


def admit_readable(width: int, height: int) -> None:
    """Raise InputError for a picture that is larger than what is read unasked."""
    check_source(width, height, DEFAULT)


@dataclass(frozen=True)
class Picture:
    """A picture and what belongs to it: `icc` profile and `exif` (a TIFF structure), empty where there is none; code
    points of colour, which count where there is no profile.

    Raises ValueError where the samples are of another kind.
    """

    pixels: Pixels
    icc: bytes = b""
    exif: bytes = b""
    points: Points = SRGB
    notes: tuple[str, ...] = field(default=(), compare=False)  # sentences on what of a file is not kept
    inexact: str = field(default="", compare=False)  # why the samples are not the file's own, where they are not

    def __post_init__(self) -> None:
        shape = self.pixels.shape
        if self.pixels.dtype not in (np.uint8, np.uint16) or len(shape) != 3 or not 1 <= shape[2] <= 4 or 0 in shape:
            raise ValueError(f"{self.pixels.dtype} {shape} are no samples of a picture")

    @property
    def peak(self) -> int:
        """The largest value of a sample."""
        return 255 if self.pixels.dtype == np.uint8 else 65535

    @property
    def unusual(self) -> bool:
        """Whether colours are told by code points, and are others than sRGB's."""
        return self.points != SRGB and not self.icc

    @property
    def colour(self) -> Pixels:
        """(rows, columns, 1 or 3): without alpha."""
        return self.pixels[..., : 1 if self.pixels.shape[2] < 3 else 3]

    @property
    def alpha(self) -> Pixels | None:
        """(rows, columns, 1), None without transparency."""
        return self.pixels[..., -1:] if self.pixels.shape[2] in (2, 4) else None


def looks_like_picture(path: str) -> bool:
    """Whether a file, or what stands on standard input, begins like a still picture, and is no animation."""
    head = peeked(path, avif.PEEK)
    known = head.startswith(_MAGICS) or pnm.is_pnm(head) or pnm.is_float(head) or avif.is_avif(head)
    known = known or head[:4] + head[8:12] == b"RIFFWEBP" or avif.is_heic(head) or jpeg_2000.is_picture(head)
    return known and not is_animation(path)


def read_picture(path: str, admit: Admit = admit_readable, page: int | None = None) -> Picture:
    """The picture in a file, or on standard input for "-"; of a TIFF that on `page`, 1 the first. Raises InputError for
    what is no picture, and where `admit` does, which is asked before anything is decoded."""
    return parse_picture(read_bytes(path), path, admit, page)


def parse_picture(data: bytes, name: str, admit: Admit = admit_readable, page: int | None = None) -> Picture:
    """The picture that a file's bytes hold; `name` is for messages. Raises InputError."""
    beside = Attributes()
    try:
        found = _page_of(data, page)
        sizes = claimed_sizes(data, found[0] if found else None)
        for size in sizes:
            admit(*size)
        if found and found[1] > 1:
            beside.lose(f"all pages but {f'number {page}' if (page or 1) > 1 else 'the first'} of {found[1]}")
        pixels = _decoded(data, found[0] if found else None, beside) if sizes else None
    except (InputError, FormatError) as error:
        raise InputError(f"{name}: {error}") from None
    if pixels is None:
        reason = jpeg.unreadable(data) if data.startswith(jpeg.MAGIC) else ""
        raise InputError(f"{name}: {reason}" if reason else f"{name} is no picture that can be read")
    if pixels.dtype not in (np.uint8, np.uint16):
        raise InputError(f"{name}: samples of type {pixels.dtype} cannot be stored")
    grey = pixels.shape[2] == 4 and beside.icc[16:20] != b"RGB " and (pixels[..., :1] == pixels[..., 1:3]).all()
    if grey:  # how OpenCV reads grey with alpha
        pixels = pixels[..., 2:]
    if beside.icc[16:20] not in (b"", b"GRAY" if pixels.shape[2] < 3 else b"RGB "):
        beside.icc = b""
        beside.lose(COLOUR_SPACE)
    lost = [f"{' and '.join(beside.lost)} left out"] if beside.lost else []
    notes = tuple(f"{name}: {note}" for note in (*beside.notes, *lost))
    pixels = np.ascontiguousarray(pixels)
    return Picture(pixels, beside.icc, beside.exif, beside.points, notes, beside.inexact)


def _page_of(data: bytes, page: int | None) -> tuple[tiff.Directory, int] | None:
    """The page of a TIFF and how many it has; None of other files. Raises InputError for what is known not to be
    stored, FormatError where there is no such page."""
    if pnm.is_float(data):
        raise InputError("samples of floating point cannot be stored")
    if avif.is_heic(data):
        raise InputError("HEIC, a picture of HEVC, cannot be read: convert it to PNG or AVIF first")
    if data.startswith(tiff.MAGICS):
        return tiff.page_of(data, 1 if page is None else page)
    if page is not None:
        raise InputError("only a TIFF has pages")
    return None


def _decoded(data: bytes, page: tiff.Directory | None, beside: Attributes) -> Pixels | None:
    """Samples (rows, columns, 1 to 4) of a file whose size was admitted, and what is beside them; None where no decoder
    reads it. Raises InputError or FormatError with what is wrong."""
    if header := pnm.header_of(data):
        return _of_pnm(data, header, beside)
    if page is not None:
        tiff.look(page, beside)
        return tiff_samples.decode(page, beside)
    if data.startswith(bmp.MAGIC):
        return bmp.decode(data, beside)
    if data.startswith(png.SIGNATURE):
        png.check(data)
    pixels = _by_opencv(avif.without_descriptions(data) if avif.is_avif(data) else data, beside)
    if pixels is None:
        return None
    if holds_animation(data):
        beside.lose("all frames but the first")
    elif (more := left_over(data)) and not (data.startswith(jpeg.MAGIC) and jpeg.has_index(data)):
        beside.lose(more)
    if data.startswith(png.SIGNATURE):
        png.look(data, beside)
        return png.with_transparency(data, pixels)
    if data.startswith(jpeg.MAGIC):
        jpeg.look(data, beside)
    elif data.startswith(jpeg_2000.MAGICS):
        return jpeg_2000.look(data, pixels, beside)
    elif avif.is_avif(data):
        return _of_avif(data, pixels, beside)
    return pixels


def _of_pnm(data: bytes, header: pnm.Header, beside: Attributes) -> Pixels:
    pixels, end = pnm.decode(data, header)
    if pnm.is_pnm(data[end : end + avif.PEEK].lstrip()):
        beside.lose("all pictures but the first")
    if header.peak not in (1, 255, 65535):
        bits = 8 * pixels.itemsize
        beside.notes.append(f"samples of 0..{header.peak} are scaled to {bits} bits, from which they can be worked out")
    return pixels


def _by_opencv(data: bytes, beside: Attributes) -> Pixels | None:
    """Samples as OpenCV decodes them, in the order of RGB, and the metadata that it finds; None where it does not read
    the file."""
    from .opencv import cv2

    try:
        found, kinds, values = cv2.imdecodeWithMetadata(np.frombuffer(data, np.uint8), flags=cv2.IMREAD_UNCHANGED)
    except cv2.error:  # larger than allowed
        return None
    if found is None:
        return None
    metadata = {int(kind): np.asarray(value).tobytes() for kind, value in zip(kinds, values, strict=True)}
    beside.icc = metadata.get(cv2.IMAGE_METADATA_ICCP, b"")
    beside.exif = metadata.get(cv2.IMAGE_METADATA_EXIF, b"").removeprefix(EXIF_PREFIX)
    if cv2.IMAGE_METADATA_XMP in metadata:
        beside.lose("its XMP")
    pixels: Pixels = found if found.ndim == 3 else found[..., None]
    return _reordered(pixels)


def _reordered(pixels: Pixels) -> Pixels:
    """RGB of BGR and the other way round, with alpha or without; grey as it is."""
    return np.concatenate([pixels[..., 2::-1], pixels[..., 3:]], axis=2) if pixels.shape[2] >= 3 else pixels


def _of_avif(data: bytes, pixels: Pixels, beside: Attributes) -> Pixels:
    """What boxes of an AVIF file say: OpenCV passes over them, and gives 10 bits as they are in 16. They tell how the
    picture is turned; its EXIF is made to say the same. Raises FormatError where they cannot be read."""
    found = avif.describe(data)
    if pixels.dtype == np.uint16:
        peak = (1 << found.depth) - 1
        pixels = pnm.scaled(np.minimum(pixels, peak), peak)
    if found.aperture is not None:
        left, top, width, height = found.aperture
        pixels = pixels[top : top + height, left : left + width]
        beside.notes.append("what lies outside its clean aperture is cut off")
    if found.premultiplied:
        beside.convert("colours that were multiplied by alpha are divided by it")
    beside.icc = found.icc
    beside.exif = with_orientation(found.exif, found.orientation)
    beside.points = points_of(found.colour.primaries, found.colour.transfer)
    for name in found.lost:
        beside.lose(name)
    return pixels


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
    pixels = picture.pixels
    if pixels.shape[2] in (2, 4) and WRITABLE[ending] < 4:
        raise OutputError(f"{path}: {ending} files hold no transparency")
    if picture.peak > 255 and ending not in DEEP:
        raise OutputError(f"{path}: {ending} files hold no 16-bit samples")
    if pixels.shape[2] == 2:
        pixels = np.concatenate([np.repeat(pixels[..., :1], 3, axis=2), pixels[..., 1:]], axis=2)
    kept, lost = _metadata(picture, ending)
    notes = [f"{path}: {ending} files are written without {name}" for name in lost]
    if ending in (".jpg", ".jpeg"):
        notes.append(f"{path}: JPEG is lossy")
    elif ending == ".webp" and picture.alpha is not None and (picture.alpha == 0).any():
        notes.append(f"{path}: the writer of WebP does not keep colours that alpha hides")
    data = _encoded(ending, pixels, kept)
    if data is None and kept:  # libpng refuses profiles that are not well formed; the picture matters more
        data = _encoded(ending, pixels, {})
        notes.append(f"{path}: the writer refused the picture's colour profile or EXIF, which are left out")
    if data is None:
        raise OutputError(f"{path}: the picture could not be written")
    if ending == ".png" and picture.unusual:
        data = png.with_points(data, picture.points)
    elif ending in _TIFF and (picture.icc or picture.exif):
        data = tiff.with_tags(data, picture.icc, orientation(picture.exif))
    write_bytes(path, data, overwrite)
    return notes


def _metadata(picture: Picture, ending: str) -> tuple[dict[str, bytes], list[str]]:
    """What is written into a file, by the name that OpenCV has for it, and names of what is not."""
    kept, lost = {}, []
    for kind, value, name in (("EXIF", picture.exif, "EXIF"), ("ICCP", picture.icc, "colour profile")):
        if ending in _TIFF:
            if kind == "EXIF" and tells_more(value):
                lost.append("EXIF other than the orientation")
        elif value and ending in KEEPING:
            kept[kind] = value
        elif value:
            lost.append(name)
    if picture.unusual and ending != ".png":
        lost.append(f"the meaning of colours ({described(picture.points)})")
    return kept, lost


def _encoded(ending: str, pixels: Pixels, metadata: dict[str, bytes]) -> bytes | None:
    """A file's bytes, None where OpenCV fails; it is loaded but for a plain PNG, which is what stills become."""
    if ending == ".png" and not metadata:
        return png.encoded(pixels)
    from .opencv import cv2

    options = [cv2.IMWRITE_WEBP_QUALITY, 101] if ending == ".webp" else []  # beyond 100 it is lossless
    kinds = [getattr(cv2, f"IMAGE_METADATA_{name}") for name in metadata]
    values = [np.frombuffer(value, np.uint8) for value in metadata.values()]
    try:
        samples = np.ascontiguousarray(_reordered(pixels))
        done, data = cv2.imencodeWithMetadata(ending, samples, kinds, values, options)
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
