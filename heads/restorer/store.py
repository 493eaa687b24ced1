"""Heads as files: those that the package ships, and those that a user trains.

    magic "NVCH", version 1, planes, layers, width, flags (1 told, 2 adding), scale; coded weights; CRC-32

`scale` is what an upscaler multiplies both sides by, 1 for a head that restores. Numbers are one byte each.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from ..exact import HeadError
from ..layers import Layer
from ..weights import encode_layers
from .coded import decode_layers
from .spec import HeadSpec

MAGIC = b"NVCH"
VERSION = 1
SCALES = (1, 2, 3, 4)
STILL_HEADS = {1: "still.bin"}  # number in a file -> name; a number is never given another meaning
FILM_HEADS = {1: "film.bin"}
_FRAME = len(MAGIC) + 6


@dataclass(frozen=True)
class Stored:
    """A head and what it is for."""

    spec: HeadSpec
    scale: int
    layers: tuple[Layer, ...]


def write(spec: HeadSpec, scale: int, layers: Sequence[Layer]) -> bytes:
    """A head's file."""
    fields = (VERSION, spec.planes, spec.layers, spec.width, spec.base_q | spec.adding << 1, scale)
    data = MAGIC + bytes(fields) + encode_layers(layers)
    return data + zlib.crc32(data).to_bytes(4, "big")


def read(data: bytes) -> Stored:
    """Inverse of `write`. Raises HeadError."""
    if len(data) < _FRAME + 4 or data[: len(MAGIC)] != MAGIC:
        raise HeadError("this is no file of a head")
    if zlib.crc32(data[:-4]).to_bytes(4, "big") != data[-4:]:
        raise HeadError("the head does not match its CRC-32")
    version, planes, layers, width, flags, scale = data[len(MAGIC) : _FRAME]
    if version != VERSION or flags > 3 or scale not in SCALES:
        raise HeadError(f"the head is of version {version}, flags {flags} or scale {scale}, which are unknown")
    try:
        spec = HeadSpec(planes, 0, layers, width, bool(flags & 1), bool(flags & 2))
    except ValueError as error:
        raise HeadError(str(error)) from None
    return Stored(spec, scale, tuple(decode_layers(data[_FRAME:-4], spec)))


@cache
def pretrained(name: str) -> Stored:
    """A head of the package."""
    return read((files(__package__) / name).read_bytes())


def film_head(number: int) -> Stored:
    """The package's head of films with that number. Raises HeadError where there is none."""
    if number not in FILM_HEADS:
        raise HeadError(f"this program has no film head {number}")
    return pretrained(FILM_HEADS[number])


def upscaler(scale: int) -> Stored:
    """The package's head that enlarges pictures by 2, 3 or 4."""
    return pretrained(f"upscale{scale}.bin")
