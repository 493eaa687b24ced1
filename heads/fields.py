"""A file of heads: magic, numbers of one byte, coded weights, and the CRC-32 of all before.

`heads` imports nothing else of the project, so this is its own small copy of the idea of `codec.wire.fields`: the
numbers are declared once, on a dataclass, with their legal range.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection
from dataclasses import Field, field
from typing import Any, ClassVar, Self

from .layers import HeadError

_CRC = 4  # bytes
_KEY = "legal"  # of a field's metadata


def byte(low: int, high: int, reserved: Collection[int] = ()) -> Any:
    """A field that is one byte; `reserved` are illegal values in between."""
    return field(metadata={_KEY: [value for value in range(low, high + 1) if value not in reserved]})


class Front:
    """What a file of heads begins with. `foreign`, `damaged`: what is said of files that do not begin, or end, so."""

    magic: ClassVar[bytes]
    foreign: ClassVar[str]
    damaged: ClassVar[str]
    legal: ClassVar[dict[str, list[int]]]  # values of each number, in the order of the bytes

    def __init_subclass__(cls, magic: bytes, foreign: str, damaged: str) -> None:
        cls.magic, cls.foreign, cls.damaged = magic, foreign, damaged
        cls.legal = {name: value.metadata[_KEY] for name, value in vars(cls).items() if isinstance(value, Field)}

    def illegal(self) -> set[str]:
        """The names of numbers that are not legal."""
        return {name for name, values in self.legal.items() if getattr(self, name) not in values}

    def write(self, body: bytes) -> bytes:
        """The file with that front."""
        data = self.magic + bytes(getattr(self, name) for name in self.legal) + body
        return data + zlib.crc32(data).to_bytes(_CRC, "big")

    @classmethod
    def read(cls, data: bytes) -> tuple[Self, bytes]:
        """Inverse of `write`: (the front, the body). Which numbers are legal is for the caller to ask. Raises
        HeadError where it is another file, or damaged."""
        start = len(cls.magic) + len(cls.legal)
        if len(data) < start + _CRC or data[: len(cls.magic)] != cls.magic:
            raise HeadError(cls.foreign)
        if zlib.crc32(data[:-_CRC]).to_bytes(_CRC, "big") != data[-_CRC:]:
            raise HeadError(cls.damaged)
        return cls(*data[len(cls.magic) : start]), data[start:-_CRC]
