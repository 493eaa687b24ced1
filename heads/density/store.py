"""The package's density heads as files.

    magic "NVCD", version 1, number of heads, width; of each head the bytes of its coded weights (16 bits, big-endian)
    and these; CRC-32

Heads stand in the order of `specs`: for the first plane phases 0 to 3, for the planes after it the same.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from enum import Enum
from functools import cache
from importlib.resources import files

from ..exact import HeadError
from ..layers import Layer
from ..weights import decode_shapes, encode_layers
from .head import DensitySpec, check

MAGIC = b"NVCD"
VERSION = 1
Stored = tuple[DensitySpec, tuple[Layer, ...]]


class Family(Enum):
    """What a set of heads is for."""

    FILM = "film"
    STILL = "still"

    @property
    def temporal(self) -> bool:
        """Whether its heads see the last picture."""
        return self is Family.FILM


def specs(family: Family, width: int) -> list[DensitySpec]:
    """Shapes of a family's heads."""
    return [DensitySpec(known, family.temporal, others, width) for others in (False, True) for known in range(4)]


def write(width: int, heads: Sequence[Sequence[Layer]]) -> bytes:
    """A family's file."""
    data = MAGIC + bytes([VERSION, len(heads), width])
    for layers in heads:
        coded = encode_layers(layers)
        data += len(coded).to_bytes(2, "big") + coded
    return data + zlib.crc32(data).to_bytes(4, "big")


def read(data: bytes, family: Family) -> list[Stored]:
    """Inverse of `write`. Raises HeadError."""
    start = len(MAGIC) + 3
    if len(data) < start + 4 or data[: len(MAGIC)] != MAGIC:
        raise HeadError("this is no file of density heads")
    if zlib.crc32(data[:-4]).to_bytes(4, "big") != data[-4:]:
        raise HeadError("the density heads do not match their CRC-32")
    version, count, width = data[len(MAGIC) : start]
    wanted = specs(family, width)
    if version != VERSION or count != len(wanted):
        raise HeadError(f"density heads of version {version} or number {count} are unknown")
    found, at = list[Stored](), start
    for spec in wanted:
        size = int.from_bytes(data[at : at + 2], "big")
        layers = decode_shapes(data[at + 2 : at + 2 + size], spec.shapes())
        check(spec, layers)
        found.append((spec, tuple(layers)))
        at += 2 + size
    if at != len(data) - 4:
        raise HeadError("the density heads are not as long as they say")
    return found


@cache
def _file(family: Family) -> bytes:
    return (files(__package__) / f"{family.value}.bin").read_bytes()


def identity(family: Family) -> int:
    """Tells a family of the package from any other: what changes of it refer to."""
    return zlib.crc32(_file(family))


@cache
def pretrained_density(family: Family) -> list[Stored]:
    """A family of the package."""
    return read(_file(family), family)
