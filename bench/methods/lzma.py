"""LZMA behind prediction: what a general compressor makes of pictures, `bench.lzma.file`."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from ..lzma.file import decode, encode_film, encode_still
from ..lzma.group import GROUP_BYTES
from ..lzma.pack import FINAL_PRESET, ZSTD_LEVEL
from ..method import Kind, Knob, Method, Picture, Source, film_of, still_of
from ..process import BenchError

MODULES = ("bench/lzma", "bench/methods/lzma.py")
LIBRARIES = ("numpy", "zstandard")
SETTINGS = f"prediction chosen by size, LZMA {FINAL_PRESET} or zstd {ZSTD_LEVEL}, groups of {GROUP_BYTES >> 20} MiB"


@dataclass(frozen=True)
class Lzma(Method):
    """Films. The setting is the largest error of a sample, 0 for none."""

    kind: ClassVar[Kind] = "video"

    name: str = "lzma"
    settings: str = SETTINGS
    knob: Knob | None = Knob(best=2, worst=16, low=1, high=32)
    lossless: float | None = 0
    libraries: tuple[str, ...] = LIBRARIES
    modules: tuple[str, ...] = MODULES

    def encode(self, source: Source, quality: float) -> bytes:
        film = film_of(source)
        if quality != int(quality):
            raise BenchError(f"{self.name} has no setting {quality}: it is a whole number of levels")
        return encode_film(film.pictures(), film.info.format, film.info.time_base, int(quality))

    def decode(self, data: bytes) -> Iterator[Picture]:
        return decode(data)

    def versions(self) -> dict[str, str]:
        return super().versions() | {"python": platform.python_version()}  # stands for liblzma, which does not tell


@dataclass(frozen=True)
class StillLzma(Method):
    """Stills, without loss."""

    kind: ClassVar[Kind] = "image"

    name: str = "lzma"
    settings: str = SETTINGS
    lossless: float | None = 0
    libraries: tuple[str, ...] = LIBRARIES
    modules: tuple[str, ...] = MODULES

    def encode(self, source: Source, quality: float) -> bytes:
        return encode_still(still_of(source).pixels)

    def decode(self, data: bytes) -> Iterator[Picture]:
        return decode(data)

    def versions(self) -> dict[str, str]:
        return super().versions() | {"python": platform.python_version()}
