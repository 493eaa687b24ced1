"""Heads as files: the pretrained ones, beside this module, and those that a user trains (FORMAT.md, "Heads as files").

magic "NVCH", the numbers of HeadFront, coded weights, CRC-32
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from ..fields import Front, byte
from ..layers import HeadError, Layer
from ..weights import encode_layers
from .coded import decode_layers
from .spec import HeadSpec

VERSION = 1
BASE_Q, ADDING = 1, 2  # flags
STILL_HEADS = {1: "still.bin"}  # number in a file -> name; a number is never given another meaning
FILM_HEADS = {1: "film.bin"}


@dataclass(frozen=True)
class HeadFront(
    Front,
    magic=b"NVCH",
    foreign="this is no file of a head",
    damaged="the head does not match its CRC-32",
):
    """A head's shape, and what it is for."""

    version: int = byte(VERSION, VERSION)
    planes: int = byte(4, 12, reserved=(5, 7, 9, 10, 11))  # packed planes of a picture
    layers: int = byte(2, 8)
    width: int = byte(1, 64)
    flags: int = byte(0, BASE_Q | ADDING)
    scale: int = byte(1, 4)  # what an upscaler multiplies both sides by; 1 for a head that restores


@dataclass(frozen=True)
class Stored:
    """A head and what it is for."""

    spec: HeadSpec
    scale: int
    layers: tuple[Layer, ...]


def write(spec: HeadSpec, scale: int, layers: Sequence[Layer]) -> bytes:
    """A head's file."""
    flags = BASE_Q * spec.base_q | ADDING * spec.adding
    return HeadFront(VERSION, spec.planes, spec.layers, spec.width, flags, scale).write(encode_layers(layers))


def read(data: bytes) -> Stored:
    """Inverse of `write`. Raises HeadError."""
    front, coded = HeadFront.read(data)
    if front.illegal() & {"version", "flags", "scale"}:
        unknown = f"the head is of version {front.version}, flags {front.flags} or scale {front.scale}"
        raise HeadError(f"{unknown}, which are unknown")
    base_q, adding = bool(front.flags & BASE_Q), bool(front.flags & ADDING)
    try:
        spec = HeadSpec(front.planes, 0, front.layers, front.width, base_q, adding)  # refuses other shapes
    except ValueError as error:
        raise HeadError(str(error)) from None
    return Stored(spec, front.scale, tuple(decode_layers(coded, spec)))


@cache
def pretrained(name: str) -> Stored:
    """A pretrained head."""
    return read((files(__package__) / name).read_bytes())


def film_head(number: int) -> Stored:
    """The package's head of films with that number. Raises HeadError where there is none."""
    if number not in FILM_HEADS:
        raise HeadError(f"this program has no film head {number}")
    return pretrained(FILM_HEADS[number])


def upscaler(scale: int) -> Stored:
    """The package's head that enlarges pictures by 2, 3 or 4."""
    return pretrained(f"upscale{scale}.bin")
