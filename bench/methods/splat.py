"""The project's compressor of pictures into tiles of Gaussians; the setting is the file's rate in bits a pixel."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from splat import decode, encode
from splat.errors import SplatError

from ..method import Kind, Knob, Method, Picture, Source, still_of
from ..process import BenchError
from .stills import picture_of

MODULES = ("splat", "bench/methods/splat.py")
OPTIONS: dict[str, dict[str, Any]] = {
    "effort": {"0": 0, "1": 1, "2": 2},
    "network": {"on": True, "off": False},
}


@dataclass(frozen=True)
class Splat(Method):
    """`splat.encode` with the best file of so many bits a pixel; options as `codec splat encode` has them."""

    kind: ClassVar[Kind] = "image"

    name: str = "splat"
    settings: str = "effort 1"
    knob: Knob | None = Knob(best=0.6, worst=0.15, low=0.01, high=16, step=0.01, ratios=True)
    libraries: tuple[str, ...] = ("torch", "constriction")
    modules: tuple[str, ...] = MODULES
    options: tuple[tuple[str, Any], ...] = ()

    def variant(self, options: Mapping[str, str]) -> Self:
        found = {}
        for key, value in options.items():
            if value not in OPTIONS.get(key, {}):
                legal = ", ".join(f"{key}={value}" for key, values in OPTIONS.items() for value in values)
                raise BenchError(f"{self.name} has no option {key}={value}; it has {legal}")
            found[key] = OPTIONS[key][value]
        words = [f"effort {found.get('effort', 1)}", *["network"] * found.get("network", False)]
        name = ":".join([self.name, *(f"{key}={value}" for key, value in options.items())])
        return replace(self, name=name, settings=", ".join(words), options=tuple(sorted(found.items())))

    def encode(self, source: Source, quality: float) -> bytes:
        try:
            return encode(still_of(source).pixels, bpp=quality, **dict(self.options))
        except SplatError as error:
            raise BenchError(f"{self.name} does not encode {source.path}: {error}") from None

    def decode(self, data: bytes) -> Iterator[Picture]:
        try:
            yield picture_of(decode(data))
        except SplatError as error:
            raise BenchError(f"{self.name} does not decode: {error}") from None
