"""What a method is: something that turns a source into the bytes of a file, and such bytes into pictures.

A method neither counts nor times: the harness (`bench.measure.point`) runs `encode` and `decode` in fresh processes,
reads the clocks, takes the size of the file and compares what came out of it. What `decode` is given is the file alone.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from importlib import metadata
from typing import ClassVar, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from codec.film.sources import source_of
from codec.frames import Frame, Plane, VideoInfo

from .installation import Installation
from .process import ROOT, BenchError

Kind = Literal["video", "image"]


class Picture(NamedTuple):
    """A decoded picture. `planes` of a film are Y or Y, U, V; of a still grey or R, G, B, each with alpha behind where
    there is any; uint8, or uint16 where `depth`, the bits of a sample, is above 8. `time`: seconds after the first."""

    planes: tuple[Plane, ...]
    depth: int = 8
    time: Fraction = Fraction(0)


@dataclass(frozen=True)
class Film:
    """A film to encode: a file without sound, so that every byte of what becomes of it is a byte of pictures."""

    path: str
    info: VideoInfo
    frames: int
    seconds: Fraction
    hash: str  # of the file that was named

    def pictures(self) -> Iterator[Frame]:
        """Its pictures, from the first one, with `pts` in `info.time_base`."""
        with source_of(self.path) as source:
            yield from source.frames()


@dataclass(frozen=True)
class Still:
    """A picture to encode. `pixels`: (rows, columns, channels), uint8, 1 to 4 channels: grey or RGB, then alpha."""

    path: str
    pixels: NDArray[np.uint8]
    hash: str

    @property
    def planes(self) -> tuple[Plane, ...]:
        return tuple(np.ascontiguousarray(self.pixels[..., k]) for k in range(self.pixels.shape[2]))


Source = Film | Still


@dataclass(frozen=True)
class Knob:
    """A method's one quality setting. `best` and `worst` are where a curve begins to look for the qualities that it
    shall span (about 44 and 30 dB on ordinary material); settings are multiples of `step` within `low`..`high`. What
    lies between is spaced evenly, or in equal ratios where `ratios`. `is_rate`: the setting is the rate, in kbit/s or
    bits a pixel, that the method aims at."""

    best: float
    worst: float
    low: float
    high: float
    step: float = 1.0
    ratios: bool = False
    is_rate: bool = False

    def legal(self, setting: float) -> float:
        """The legal setting next to `setting`."""
        first, last = -(-self.low // self.step), self.high // self.step
        return float(min(max(round(setting / self.step), first), last) * self.step) + 0.0  # 0, never -0


class Method(ABC):
    """One way to encode films or stills.

    `name` stands in tables; `kind` says what it encodes. `knob` is None where there is nothing to choose; `lossless` is
    the setting at which every sample comes back, None where there is none. `settings` says in words what decides the
    bytes beside the setting. `libraries` and `modules` (of the project, as paths) name the code that makes them.
    `installation` runs its steps where it is not this one.
    """

    kind: ClassVar[Kind]
    name: str
    settings: str
    knob: Knob | None = None
    lossless: float | None = None
    libraries: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    installation: Installation | None = None

    @property
    def own_name(self) -> str:
        """The name by which its installation finds it."""
        return self.name

    @abstractmethod
    def encode(self, source: Source, quality: float) -> bytes:
        """The bytes of a self-contained file. Raises BenchError where the source cannot be encoded."""

    @abstractmethod
    def decode(self, data: bytes) -> Iterator[Picture]:
        """The pictures in those bytes, in the order of their times."""

    def variant(self, options: Mapping[str, str]) -> Self:
        """The same method with other options. Raises BenchError for one that it does not have."""
        raise BenchError(f"{self.name} has no options")

    def versions(self) -> dict[str, str]:
        """Versions of the libraries that decide the bytes, by name."""
        found = {}
        for library in self.libraries:
            try:
                found[library] = metadata.version(library)
            except metadata.PackageNotFoundError:
                continue
        return found

    def version(self) -> str:
        """Short hash of everything but source and setting that decides the bytes: what a finished point is keyed on."""
        digest = hashlib.blake2b(digest_size=8)
        for path in self.modules:
            for file in sorted([ROOT / path, *(ROOT / path).rglob("*")]):
                if file.is_file() and file.suffix in (".py", ".bin"):
                    digest.update(f"{file.relative_to(ROOT).as_posix()}\0".encode() + file.read_bytes())
        for name, number in self.versions().items():
            digest.update(f"{name} {number}\0".encode())
        return digest.hexdigest()


def film_of(source: Source) -> Film:
    """The source, which must be a film."""
    if not isinstance(source, Film):
        raise BenchError(f"{source.path} is a picture, and this method encodes films")
    return source


def still_of(source: Source) -> Still:
    """The source, which must be a still."""
    if not isinstance(source, Still):
        raise BenchError(f"{source.path} is a film, and this method encodes pictures")
    return source
