"""What is encoded: films without their sound, and stills, found by the names that a user gives.

Where pictures are left out of a film, sound and other streams are, or libav reads it in another way than `codec`, every
method is given the same exact copy (FFV1; times rounded to a millisecond).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from codec.errors import NvcError
from codec.film.sources import source_of
from codec.media.animations import is_animation
from codec.media.demuxed import Demuxed
from codec.media.files import content_key
from codec.media.libav import open_film
from codec.media.pictures import read_picture
from codec.media.sinks import open_sink
from codec.media.source import Source as AnySource

from .method import Film, Kind, Source, Still
from .process import BenchError

STILL_ENDINGS = (".avif", ".bmp", ".jpeg", ".jpg", ".jxl", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")


def kind_of(path: str) -> Kind:
    """Whether a file is a film or a still, by its name's ending; an animation is a film."""
    return "image" if path.lower().endswith(STILL_ENDINGS) and not is_animation(path) else "video"


def stills_in(paths: Sequence[str]) -> list[str]:
    """The pictures among `paths`, folders opened, in order of their names. Raises BenchError where there is none."""
    found: list[str] = []
    for path in paths:
        inside = sorted(str(p) for p in Path(path).iterdir()) if os.path.isdir(path) else [path]
        found += [p for p in inside if kind_of(p) == "image"]
    if not found:
        raise BenchError(f"{', '.join(paths)}: there is no picture")
    return found


def open_still(path: str) -> Still:
    """A still of 8 bits a sample as grey, grey and alpha, RGB or RGBA; alpha that hides nothing is left out, as some
    formats do. Raises BenchError for what is none."""
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise BenchError("pictures need Pillow: pip install 'nvc[bench]'") from None
    try:
        with Image.open(path) as picture:
            _check_measurable(path, picture)
            alpha = picture.mode in ("LA", "PA", "RGBA") or "transparency" in picture.info
            mode = ("LA" if alpha else "L") if picture.mode in ("1", "L", "LA") else "RGBA" if alpha else "RGB"
            pixels = np.array(picture.convert(mode))
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise BenchError(f"{path}: {error}") from None
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    if alpha and pixels[..., -1].min() == 255:
        pixels = pixels[..., :-1]
    return Still(path, np.ascontiguousarray(pixels), content_key(path).hex()[:32])


def _check_measurable(path: str, picture: Any) -> None:
    """Raise BenchError for an open picture of Pillow's of which another one would be measured."""
    if picture.mode.startswith(("I", "F")) or _is_deep(path):
        raise BenchError(f"{path}: pictures of more than 8 bits are not measured")
    if picture.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA"):
        raise BenchError(f"{path}: pictures of {picture.mode} are not measured")
    if getattr(picture, "n_frames", 1) > 1 and picture.format != "MPO":  # a camera's, with a preview behind it
        raise BenchError(f"{path}: files of several pictures are not measured")


def _is_deep(path: str) -> bool:
    """Whether samples have more than 8 bits: Pillow passes over that where there are several channels."""
    try:
        return read_picture(path).peak > 255
    except NvcError:  # a kind that Pillow alone reads
        return False


@contextmanager
def open_clip(path: str, frames: int | None = None) -> Iterator[Film]:
    """A film, or its first `frames` pictures. Raises NvcError where it cannot be read."""
    with TemporaryDirectory(prefix="bench-") as folder, source_of(path) as source:
        silent = path
        if frames or not _is_silent(source):
            silent = os.path.join(folder, f"{Path(path).stem}.mkv")
            with open_sink(silent, source.info) as sink:
                for count, frame in enumerate(source.frames(), 1):
                    sink.write(frame)
                    if count == frames:
                        break
        with source_of(silent) as copy:
            info, tick = copy.info, copy.info.time_base
            times = [(f.pts, f.duration) for f in copy.frames()]
        last = times[-1][1] * tick or 1 / info.rate
        seconds = (times[-1][0] - times[0][0]) * tick + last
        yield Film(silent, info, len(times), seconds, content_key(path).hex()[:32])


def _is_silent(source: AnySource) -> bool:
    """Whether every method can be given the source's own file."""
    if not isinstance(source, Demuxed):  # libav, which some of them read it by, makes another film of it
        return False
    with open_film(source.path) as film:
        return len(film.streams) == 1


@contextmanager
def open_source_of(path: str, frames: int | None = None) -> Iterator[Source]:
    """A film or a still, whichever the name's ending says."""
    if kind_of(path) == "image":
        yield open_still(path)
    else:
        with open_clip(path, frames) as film:
            yield film


def described(source: Source) -> dict[str, Any]:
    """What another process needs to find the source again, for JSON."""
    if isinstance(source, Still):
        return {"path": source.path, "kind": "image"}
    return {
        "path": source.path,
        "kind": "video",
        "frames": source.frames,
        "seconds": str(source.seconds),
        "hash": source.hash,
    }


def found_again(description: dict[str, Any]) -> Source:
    """The source that `described` told of."""
    if description["kind"] == "image":
        return open_still(description["path"])
    with source_of(description["path"]) as source:
        info = source.info
    seconds = Fraction(description["seconds"])
    return Film(description["path"], info, description["frames"], seconds, description["hash"])


def about(source: Source) -> str:
    """Size and length in words."""
    if isinstance(source, Still):
        rows, columns, channels = source.pixels.shape
        return f"{columns}x{rows}, {['grey', 'grey+alpha', 'RGB', 'RGBA'][channels - 1]}"
    info = source.info
    return f"{info.width}x{info.height}, {info.format.av_name}, {source.frames} frames, {float(source.seconds):.2f} s"
