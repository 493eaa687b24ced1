"""The package's density heads as files, beside this module (FORMAT.md, "Heads as files").

    magic "NVCD", the numbers of DensityFront; of each head the bytes of its coded weights (16 bits, big-endian) and
    these; CRC-32

Heads stand in the order of `specs`: for the first plane phases 0 to 3, for the planes after it the same.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from importlib.resources import files

from ..fields import Front, byte
from ..layers import HeadError, Layer
from ..weights import decode_shapes, encode_layers
from .spec import DensitySpec, check

VERSION = 1
HEADS = 8  # of a family
CHANNELS_MAX = 32
Stored = tuple[DensitySpec, tuple[Layer, ...]]


@dataclass(frozen=True)
class DensityFront(
    Front,
    magic=b"NVCD",
    foreign="this is no file of density heads",
    damaged="the density heads do not match their CRC-32",
):
    """How many heads follow, and their channels."""

    version: int = byte(VERSION, VERSION)
    heads: int = byte(HEADS, HEADS)
    width: int = byte(1, CHANNELS_MAX)


class Family(Enum):
    """What a set of heads is for."""

    FILM = "film"  # of films by modes 3 and 4
    LIGHT = "light"  # of films
    STILL = "still"

    @property
    def temporal(self) -> bool:
        """Whether its heads see the last picture."""
        return self is not Family.STILL


def specs(family: Family, width: int) -> list[DensitySpec]:
    """Shapes of a family's heads."""
    light = family is Family.LIGHT
    return [DensitySpec(known, family.temporal, others, width, light) for others in (False, True) for known in range(4)]


def write(width: int, heads: Sequence[Sequence[Layer]]) -> bytes:
    """A family's file."""
    coded = map(encode_layers, heads)
    return DensityFront(VERSION, len(heads), width).write(b"".join(len(c).to_bytes(2, "big") + c for c in coded))


def read(data: bytes, family: Family) -> list[Stored]:
    """Inverse of `write`. Raises HeadError."""
    front, coded = DensityFront.read(data)
    if front.illegal() & {"version", "heads"}:
        raise HeadError(f"density heads of version {front.version} or number {front.heads} are unknown")
    if front.illegal():
        raise HeadError(f"a density head has 1 to {CHANNELS_MAX} channels")
    found, at = list[Stored](), 0
    for spec in specs(family, front.width):
        size = int.from_bytes(coded[at : at + 2], "big")
        layers = decode_shapes(coded[at + 2 : at + 2 + size], spec.shapes())
        check(spec, layers)
        found.append((spec, tuple(layers)))
        at += 2 + size
    if at != len(coded):
        raise HeadError("the density heads are not as long as they say")
    return found


@cache
def _file(family: Family) -> bytes:
    return (files(__package__) / f"{family.value}.bin").read_bytes()


def identity(family: Family) -> int:
    """Tells a pretrained family from any other: what changes of it refer to."""
    return zlib.crc32(_file(family))


@cache
def pretrained_density(family: Family) -> list[Stored]:
    """A pretrained family."""
    return read(_file(family), family)
