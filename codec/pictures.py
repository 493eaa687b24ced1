"""Still pictures as arrays: read from any file that OpenCV knows, written as what their name's ending says.

Samples are uint8, (rows, columns, channels): grey, grey and alpha, RGB or RGBA. Nothing is turned by EXIF, and colours
are those of the file: a profile is not applied, and not kept.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .errors import InputError, OutputError, UsageError
from .sinks import check_target, write_whole
from .source import STDIN, check_file

Pixels = NDArray[np.uint8]

WRITABLE = {".png": 4, ".tif": 4, ".tiff": 4, ".webp": 4, ".bmp": 3, ".jpg": 3, ".jpeg": 3, ".ppm": 3}
_LOSSLESS = {".webp": [cv2.IMWRITE_WEBP_QUALITY, 101]}  # beyond 100 it is lossless


def read_bytes(path: str) -> bytes:
    """A whole file, or standard input for "-". Raises InputError."""
    if path == STDIN:
        return sys.stdin.buffer.read()
    check_file(path)
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None


def read_picture(path: str) -> tuple[Pixels, list[str]]:
    """(a picture, sentences on what of it is not kept). Raises InputError for what is no picture."""
    data = read_bytes(path)
    try:
        found: Any = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    except cv2.error:  # larger than allowed
        found = None
    if found is None:
        raise InputError(f"{path} is no picture that can be read")
    notes = []
    if found.dtype == np.uint16:
        found = ((found.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
        notes.append(f"{path}: 16-bit samples are rounded to 8 bits")
    elif found.dtype != np.uint8:
        raise InputError(f"{path}: samples of type {found.dtype} cannot be stored")
    pixels = found if found.ndim == 3 else found[..., None]
    if pixels.shape[2] >= 3:
        pixels = np.concatenate([pixels[..., 2::-1], pixels[..., 3:]], axis=2)
    if pixels.shape[2] == 4 and (pixels[..., :1] == pixels[..., 1:3]).all():  # how OpenCV reads grey with alpha
        pixels = pixels[..., 2:]
    return np.ascontiguousarray(pixels), notes


def check_picture_target(path: str, overwrite: bool) -> None:
    """Raise UsageError or OutputError unless a picture may be written to `path`; "-" is PNG on standard output."""
    if path == STDIN:
        return
    if Path(path).suffix.lower() not in WRITABLE:
        raise UsageError(f"{path}: pictures are written as {', '.join(WRITABLE)}")
    check_target(path, overwrite)


def write_picture(path: str, pixels: Pixels) -> None:
    """Write a picture, whole or not at all. Raises OutputError where the format cannot hold it."""
    ending = ".png" if path == STDIN else Path(path).suffix.lower()
    if pixels.shape[2] in (2, 4) and WRITABLE[ending] < 4:
        raise OutputError(f"{path}: {ending} files hold no transparency")
    if pixels.shape[2] == 2:
        pixels = np.concatenate([np.repeat(pixels[..., :1], 3, axis=2), pixels[..., 1:]], axis=2)
    elif pixels.shape[2] >= 3:
        pixels = np.concatenate([pixels[..., 2::-1], pixels[..., 3:]], axis=2)
    done, data = cv2.imencode(ending, np.ascontiguousarray(pixels), _LOSSLESS.get(ending, []))
    if not done:
        raise OutputError(f"{path}: the picture could not be written")
    write_bytes(path, data.tobytes())


def write_bytes(path: str, data: bytes) -> None:
    """Write a file, whole or not at all; "-" is standard output. Raises OutputError."""
    if path == STDIN:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    try:
        write_whole(path, data)
    except OSError as error:
        raise OutputError(f"{path}: {error.strerror or error}") from None
