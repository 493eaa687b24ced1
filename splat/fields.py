"""A record of the file: numbers that a dataclass declares once, each with its width and its legal range.

`splat` imports nothing else of the project, so this is its own small copy of the idea of `codec.wire.fields`.
Numbers are big-endian and lie in the order of their declaration.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import Field, dataclass, field
from typing import Any, ClassVar, Self

from .errors import SplatError

_KEY = "number"  # of a field's metadata


@dataclass(frozen=True)
class Number:
    """A number's struct code, and its smallest and largest legal value. `each`: of several, what each is called."""

    code: str
    low: int
    high: int
    each: tuple[str, ...] = ()

    def check(self, names: Sequence[str], values: Sequence[int]) -> None:
        """Raise SplatError unless all values are legal."""
        for name, value in zip(names, values, strict=True):
            if not self.low <= value <= self.high:
                raise SplatError(f"the file's {name} is {value}, outside {self.low}..{self.high}")


def wire(code: str, low: int, high: int, each: tuple[str, ...] = ()) -> Any:
    """A field that is one number; with `each` a tuple of them, at most as many as it has names."""
    return field(metadata={_KEY: Number(code, low, high, each)})


class Record:
    """What a record of the file can do."""

    numbers: ClassVar[dict[str, Number]]

    def __init_subclass__(cls) -> None:
        cls.numbers = {name: value.metadata[_KEY] for name, value in vars(cls).items() if isinstance(value, Field)}

    def pack(self) -> bytes:
        """The record's bytes. Raises SplatError on illegal numbers."""
        data = b""
        for name, number in self.numbers.items():
            value = getattr(self, name)
            values = value if number.each else (value,)
            number.check(number.each[: len(values)] or (name,), values)
            data += struct.pack(f">{len(values)}{number.code}", *values)
        return data

    @classmethod
    def unpack(cls, data: bytes, at: int, several: int = 0) -> tuple[Self, int]:
        """The record that begins at `at`, and where it ends; `several`: how many numbers a field with `each` has.
        Raises SplatError."""
        counts = {name: several if number.each else 1 for name, number in cls.numbers.items()}
        layout = struct.Struct(">" + "".join(f"{counts[name]}{number.code}" for name, number in cls.numbers.items()))
        if len(data) < at + layout.size:
            raise SplatError("the file ends inside its header")
        left = list(layout.unpack_from(data, at))
        found = {}
        for name, number in cls.numbers.items():
            values, left = tuple(left[: counts[name]]), left[counts[name] :]
            number.check(number.each[:several] or (name,), values)
            found[name] = values if number.each else values[0]
        return cls(**found), at + layout.size
