"""Heads as files: the pretrained ones, beside this module, and those that a user trains (FORMAT.md, "Heads as files").

magic "NVCH", the numbers of HeadFront, coded weights, CRC-32
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from importlib.resources import files

from ..fields import Front, byte
from ..layers import HeadError, Layer
from ..weights import encode_layers
from .coded import decode_layers
from .derived import SOURCE, derived
from .spec import HeadSpec

VERSION = 1
BASE_Q, ADDING, HALF = 1, 2, 4  # flags
STILL_HEADS = {1: "still.bin", 2: "still2.bin"}  # number in a file -> name; a number is never given another meaning
FILM_HEADS = {
    1: "film.bin",
    2: "enlarge3_2.bin",
    3: "enlarge2.bin",
    4: "enlarge3.bin",
    5: "enlarge4.bin",
}
HALVED = Fraction(3, 2)  # the one scale that is no whole number


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
    flags: int = byte(0, BASE_Q | ADDING | HALF)
    scale: int = byte(1, 4)  # what an upscaler multiplies both sides by; 1 for a head that restores, and of 3/2


@dataclass(frozen=True)
class Stored:
    """A head and what it is for. `half`: it multiplies both sides by a half more than `scale`."""

    spec: HeadSpec
    scale: int
    layers: tuple[Layer, ...]
    half: bool = False

    @property
    def factor(self) -> Fraction:
        """What it multiplies both sides by."""
        return Fraction(2 * self.scale + self.half, 2)


def write(spec: HeadSpec, scale: int | Fraction, layers: Sequence[Layer]) -> bytes:
    """A head's file. Raises ValueError where none can say that scale."""
    half = scale == HALVED
    if not half and scale not in HeadFront.legal["scale"]:
        raise ValueError(f"no head enlarges by {scale}")
    flags = BASE_Q * spec.base_q | ADDING * spec.adding | HALF * half
    return HeadFront(VERSION, spec.planes, spec.layers, spec.width, flags, int(scale)).write(encode_layers(layers))


def read(data: bytes) -> Stored:
    """Inverse of `write`. Raises HeadError."""
    front, coded = HeadFront.read(data)
    if front.illegal() & {"version", "flags", "scale"}:
        unknown = f"the head is of version {front.version}, flags {front.flags} or scale {front.scale}"
        raise HeadError(f"{unknown}, which are unknown")
    base_q, adding, half = (bool(front.flags & flag) for flag in (BASE_Q, ADDING, HALF))
    if half and front.scale != int(HALVED):
        raise HeadError(f"a head enlarges by {front.scale} and a half, which is unknown")
    try:
        spec = HeadSpec(front.planes, 0, front.layers, front.width, base_q, adding)  # refuses other shapes
    except ValueError as error:
        raise HeadError(str(error)) from None
    return Stored(spec, front.scale, tuple(decode_layers(coded, spec)), half)


@cache
def pretrained(name: str) -> Stored:
    """A pretrained head."""
    return read((files(__package__) / name).read_bytes())


def film_head(number: int, planes: int = SOURCE) -> Stored:
    """The package's head of films with that number, for pictures of so many packed planes. Raises HeadError where there
    is none."""
    if number not in FILM_HEADS:
        raise HeadError(f"this program has no film head {number}")
    stored = pretrained(FILM_HEADS[number])
    spec, layers = derived(stored.spec, stored.layers, planes)
    return replace(stored, spec=spec, layers=layers)


def film_head_for(scale: int | Fraction) -> int:
    """Number of the package's newest head for films whose base is smaller by `scale`; 0 where there is none."""
    return max((number for number in FILM_HEADS if film_head(number).factor == scale), default=0)


def upscaler(scale: int) -> Stored:
    """The package's head that enlarges pictures by 2, 3 or 4."""
    return pretrained(f"upscale{scale}.bin")
