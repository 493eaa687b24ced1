"""The picture formats that NVC's pictures are compared with: a table, and the two libraries that run any row of it.

Each row is an encoder as people use it, with effort rather than speed where it has a choice. Threads are the library's
own default, and bytes do not depend on them; libaom alone writes others with one thread than with more, so its number
is given. What a format cannot hold is refused: alpha in JPEG, and grey in WebP and AVIF, which Pillow reads as colour.
Only the lossless rows keep colours that transparency hides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from io import BytesIO
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..method import Kind, Knob, Method, Picture, Source, still_of
from ..process import BenchError

MODULES = ("bench/methods/stills.py",)
CHANNELS = {1: "grey", 2: "grey with alpha", 3: "colour", 4: "colour with alpha"}


def library(name: str) -> Any:
    """A module of a library that only measurements need. Raises BenchError where it is not installed."""
    try:
        return import_module(name)
    except ImportError:
        package = "Pillow" if name.startswith("PIL.") else name
        raise BenchError(f"pictures need {package}: pip install 'nvc[bench]'") from None


def picture_of(pixels: NDArray[np.uint8]) -> Picture:
    """The picture of (rows, columns) or (rows, columns, channels) samples."""
    return Picture(tuple(np.ascontiguousarray(plane) for plane in np.moveaxis(np.atleast_3d(pixels), 2, 0)))


@dataclass(frozen=True)
class Pillow(Method):
    """A row of the table that Pillow runs. `format` and `options` are those of `Image.save`, which is given the setting
    as `quality` where there is a knob; `channels`: numbers of planes that the format holds; `parts`: what the format's
    code is called in `PIL.features`."""

    kind: ClassVar[Kind] = "image"

    name: str
    format: str
    options: Mapping[str, Any] = field(hash=False)
    channels: tuple[int, ...]
    parts: tuple[str, ...]
    knob: Knob | None = None
    lossless: float | None = None
    libraries: tuple[str, ...] = ("pillow",)
    modules: tuple[str, ...] = MODULES
    settings: str = field(init=False)

    def __post_init__(self) -> None:
        words = ["Pillow", *(k if v is True else f"{k} {v}" for k, v in self.options.items())]
        object.__setattr__(self, "settings", ", ".join(words))

    def encode(self, source: Source, quality: float) -> bytes:
        pixels = still_of(source).pixels
        if (channels := pixels.shape[2]) not in self.channels:
            raise BenchError(f"{self.name} cannot hold {CHANNELS[channels]}, which {source.path} is")
        options = dict(self.options)
        if self.knob is not None:
            options["quality"] = int(quality) if quality == int(quality) else quality  # AVIF takes no float
        file = BytesIO()
        try:
            picture = library("PIL.Image").fromarray(pixels[..., 0] if channels == 1 else pixels)
            picture.save(file, self.format, **options)
        except (OSError, ValueError) as error:
            raise BenchError(f"{self.name} does not encode {source.path}: {error}") from None
        return file.getvalue()

    def decode(self, data: bytes) -> Iterator[Picture]:
        try:
            with library("PIL.Image").open(BytesIO(data), formats=[self.format]) as picture:
                yield picture_of(np.array(picture))
        except OSError as error:
            raise BenchError(f"{self.name} does not decode: {error}") from None

    def versions(self) -> dict[str, str]:
        try:
            features, avif = library("PIL.features"), library("PIL.AvifImagePlugin")
        except BenchError:
            return {}
        parts = {part: avif.get_codec_version(part) or features.version(part) for part in self.parts}
        return super().versions() | {part: number for part, number in parts.items() if number}


@dataclass(frozen=True)
class JpegXl(Method):
    """libjxl through imagecodecs at its default effort; the setting is Butteraugli's distance, 1 being what one cannot
    see."""

    kind: ClassVar[Kind] = "image"

    name: str
    knob: Knob | None = None
    lossless: float | None = None
    libraries: tuple[str, ...] = ("imagecodecs",)
    modules: tuple[str, ...] = MODULES
    settings: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "settings", "imagecodecs, effort 7" + ", lossless" * (self.knob is None))

    def encode(self, source: Source, quality: float) -> bytes:
        pixels = still_of(source).pixels
        options = {"lossless": True} if self.knob is None else {"lossless": False, "distance": quality}
        codecs = library("imagecodecs")
        try:
            samples = np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
            return bytes(codecs.jpegxl_encode(samples, effort=7, planar=False, **options))
        except (RuntimeError, ValueError) as error:
            raise BenchError(f"{self.name} does not encode {source.path}: {error}") from None

    def decode(self, data: bytes) -> Iterator[Picture]:
        try:
            yield picture_of(library("imagecodecs").jpegxl_decode(data))
        except (RuntimeError, ValueError) as error:
            raise BenchError(f"{self.name} does not decode: {error}") from None

    def versions(self) -> dict[str, str]:
        try:
            return super().versions() | {"libjxl": library("imagecodecs").jpegxl_version().removeprefix("libjxl ")}
        except BenchError:
            return {}


# Knobs reach from about 44 to about 28 dB of PSNR over R, G and B on the Kodak pictures.
_JPEG = Knob(best=98, worst=25, low=1, high=100)
_WEBP = Knob(best=100, worst=17, low=0, high=100, step=0.5)
_AVIF = Knob(best=97, worst=30, low=0, high=100)  # of which libavif makes 64 steps
_JXL = Knob(best=0.25, worst=5.5, low=0.0625, high=15, step=0.0625)  # from 20 on it halves the sides, and bytes rise

_OPTIMAL = {"optimize": True}
_SLOWEST = {"method": 6}
_EXACT = {"lossless": True, "exact": True, "quality": 100}  # here quality is effort
_LIBAOM = {"codec": "aom", "speed": 4, "subsampling": "4:2:0", "max_threads": 8}

STILLS: tuple[Method, ...] = (
    Pillow("jpeg", "JPEG", _OPTIMAL | {"subsampling": "4:2:0"}, (1, 3), ("jpg", "libjpeg_turbo"), _JPEG),
    Pillow("webp", "WEBP", _SLOWEST, (3, 4), ("webp",), _WEBP),
    Pillow("avif", "AVIF", _LIBAOM, (3, 4), ("avif", "aom"), _AVIF),
    JpegXl("jxl", _JXL),
    Pillow("png", "PNG", _OPTIMAL, (1, 2, 3, 4), ("zlib", "zlib_ng"), lossless=0.0),
    Pillow("webp-lossless", "WEBP", _SLOWEST | _EXACT, (3, 4), ("webp",), lossless=0.0),
    JpegXl("jxl-lossless", lossless=0.0),
)
