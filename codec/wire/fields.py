"""A record of the wire: a dataclass that declares each of its fields once, with its width and its legal range.

    @dataclass(frozen=True)
    class Header(Record, what="a header"):
        width: int = wire("H", 1, 65535)
        depth: int = wire("B", 8, 10, reserved=(9,))
        head_bytes = length("head", "I", 1 << 22)  # not a field: how long one is
        head: bytes = part("head_bytes")

From that follow what writes, reads, sizes and checks it, as in `fields.h` of libjxl: numbers lie in the order of their
declaration, then the parts, which are as long as the numbers say. What numbers must be to one another is for the
record's own `check`.

A payload is `version, kind, body, CRC-32`. Numbers are big-endian. Wire numbers are explicit and never reused. Nothing
is allocated on a header's word.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import MISSING, dataclass, field
from dataclasses import Field as DataclassField
from operator import itemgetter
from typing import Any, ClassVar, Self, TypeVar

from ..errors import FormatError

VERSION = 1
SEGMENT, RESIDUAL, STILL, TRACKS, PROPERTIES = KINDS = 1, 2, 3, 4, 5
PSNR_UNIT = 100  # stored in hundredths of a dB
PIXELS_MAX = 1 << 27  # luma samples of a picture, in the format
WORD_MAX = 0xFFFFFFFF

_FRAME = struct.Struct(">BB")  # version, kind
_CRC = struct.Struct(">I")
_KEY = "wire"  # of a field's metadata
Values = Mapping[str, int]  # the numbers of a record, by name
K = TypeVar("K")


# -------------------------------------------------------------------------------------------------------- declarations


@dataclass(frozen=True)
class Number:
    """A number of fixed width: struct code "B", "H", "I" or "Q" (1 to 8 bytes), its smallest and largest legal value,
    and those between them that are illegal."""

    code: str
    low: int
    high: int
    reserved: Collection[int] = ()

    def check(self, name: str, value: int) -> None:
        """Raise FormatError unless the value is legal."""
        if not self.low <= value <= self.high:
            raise FormatError(f"{name} is {value}, outside {self.low}..{self.high}")
        if value in self.reserved:
            raise FormatError(f"{name} is {value}")


@dataclass(frozen=True)
class _Numbers:
    """How a field lies in numbers. `named`: those that bear names of their own; else there is one, with the field's."""

    numbers: tuple[Number, ...]
    to: Callable[[Any], Iterable[int]]
    of: Callable[..., Any]
    named: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Part:
    """How a field lies in bytes: how many the numbers say, and what they are."""

    size: Callable[[Values], int]
    to: Callable[[Any], bytes]
    of: Callable[[bytes], Any]


class Length:
    """A number that says how many bytes a part has, and that is no field of its own."""

    def __init__(self, part: str, number: Number):
        self.part, self.number = part, number

    def __get__(self, record: Any, owner: type) -> int:
        return len(getattr(record, self.part))


def wire(
    code: str,
    low: int,
    high: int,
    *,
    reserved: Collection[int] = (),
    to: Callable[[Any], int] = int,
    of: Callable[[int], Any] = int,
    default: Any = MISSING,
) -> Any:
    """A field that is one number: `to` makes it of the field's value, `of` makes the value of it."""
    numbers = _Numbers((Number(code, low, high, reserved),), lambda value: (to(value),), of)
    return field(default=default, metadata={_KEY: numbers})


def wires(to: Callable[[Any], Iterable[int]], of: Callable[..., Any], **numbers: Number) -> Any:
    """A field that is several numbers."""
    return field(metadata={_KEY: _Numbers(tuple(numbers.values()), to, of, tuple(numbers))})


def one_of(code: str, table: Mapping[Any, int]) -> Any:
    """A field that is a key of `table`, as the number that it has there."""
    numbers = table.values()
    return wire(code, min(numbers), max(numbers), to=table.__getitem__, of=lambda number: key_of(table, number))


def decibels(largest: float, default: Any = MISSING) -> Any:
    """A field that is a PSNR of 0 .. `largest` dB, rounded to hundredths; what is beyond is limited."""
    return wire(
        "H", 0, round(largest * PSNR_UNIT), default=default,
        to=lambda value: round(min(max(value, 0.0), largest) * PSNR_UNIT), of=lambda number: number / PSNR_UNIT,
    )  # fmt: skip


def length(of: str, code: str, high: int) -> Length:
    """How many bytes the part `of` has, at most `high`: a number in this place."""
    return Length(of, Number(code, 0, high))


def part(size: str | Callable[[Values], int], default: Any = MISSING) -> Any:
    """A field that is bytes, as many as the number of that name says, or as follows from the numbers."""
    count = itemgetter(size) if isinstance(size, str) else size
    return field(default=default, metadata={_KEY: _Part(count, bytes, bytes)})


def text(size: str) -> Any:
    """A field that is printable ASCII, as many letters as the number of that name says."""

    def of(data: bytes) -> str:
        if not all(32 <= letter < 127 for letter in data):
            raise FormatError("a name holds what is no printable letter")
        return data.decode("ascii")

    return field(metadata={_KEY: _Part(itemgetter(size), lambda value: value.encode("ascii", "replace"), of)})


def words(count: Callable[[Values], int]) -> Any:
    """A field that is a tuple of 32-bit numbers, as many as follows from the numbers before."""

    def of(data: bytes) -> tuple[int, ...]:
        return tuple(word for (word,) in _CRC.iter_unpack(data))

    return field(
        metadata={_KEY: _Part(lambda v: count(v) * _CRC.size, lambda all_of: b"".join(map(_CRC.pack, all_of)), of)}
    )


def key_of(table: Mapping[K, int], number: int) -> K:
    """The key that has that number."""
    return next(key for key, value in table.items() if value == number)


def layout(numbers: Iterable[Number], order: str = ">") -> struct.Struct:
    """How numbers lie one after the other; `order` is struct's word for that of bytes."""
    return struct.Struct(order + "".join(number.code for number in numbers))


# -------------------------------------------------------------------------------------------------------------- records


class Record:
    """What a record of the wire can do. `what` it is called in messages; `order` of a number's bytes."""

    what: ClassVar[str]
    numbers: ClassVar[dict[str, Number]]  # by name, in the order of the wire
    layout: ClassVar[struct.Struct]  # of the numbers
    _fields: ClassVar[dict[str, _Numbers]]
    _parts: ClassVar[dict[str, _Part]]

    def __init_subclass__(cls, what: str, order: str = ">") -> None:
        cls.what, cls.numbers, cls._fields, cls._parts = what, {}, {}, {}
        for name, declared in list(vars(cls).items()):
            if isinstance(declared, Length):
                cls.numbers[name] = declared.number
            if not isinstance(declared, DataclassField):
                continue
            form = declared.metadata[_KEY]
            if isinstance(form, _Part):
                cls._parts[name] = form
            else:
                cls._fields[name] = form
                cls.numbers.update(zip(form.named or (name,), form.numbers, strict=True))
        cls.layout = layout(cls.numbers.values(), order)

    @classmethod
    def check(cls, v: Values) -> None:
        """Raise FormatError unless all numbers are legal."""
        for name, number in cls.numbers.items():
            number.check(name, v[name])

    def values(self) -> dict[str, int]:
        """The numbers, by name, not checked."""
        found: dict[str, int] = {}
        for name, form in self._fields.items():
            found.update(zip(form.named or (name,), form.to(getattr(self, name)), strict=True))
        return {name: found[name] if name in found else getattr(self, name) for name in self.numbers}

    def pack(self) -> bytes:
        """The record's bytes. Raises FormatError where it is not legal."""
        values = self.values()
        self.check(values)
        parts = {name: form.to(getattr(self, name)) for name, form in self._parts.items()}
        if any(len(parts[name]) != form.size(values) for name, form in self._parts.items()):
            raise FormatError(f"{self.what} has parts that do not fit its fields")
        return self.layout.pack(*values.values()) + b"".join(parts.values())

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """Inverse of `pack`. Raises FormatError where that is not what `pack` gives."""
        record, rest = cls.read(data)
        if rest:
            raise FormatError(f"{cls.what} is not as long as its fields say")
        return record

    @classmethod
    def read(cls, data: bytes) -> tuple[Self, bytes]:
        """The record that `data` begins with, and what follows it. Raises FormatError as `unpack` does."""
        if len(data) < cls.layout.size:
            raise FormatError(f"{cls.what} is too short")
        values = dict(zip(cls.numbers, cls.layout.unpack_from(data), strict=True))
        cls.check(values)
        sizes = {name: form.size(values) for name, form in cls._parts.items()}
        at = cls.layout.size
        if len(data) < at + sum(sizes.values()):
            raise FormatError(f"{cls.what} is not as long as its fields say")
        found: dict[str, Any] = {}
        for name, form in cls._fields.items():
            found[name] = form.of(*(values[number] for number in form.named or (name,)))
        for name, rest in cls._parts.items():
            found[name] = rest.of(data[at : at + sizes[name]])
            at += sizes[name]
        return cls(**found), data[at:]


def check_picture(width: int, height: int) -> None:
    """Raise FormatError where a picture has more samples than the format allows."""
    if width * height > PIXELS_MAX:
        raise FormatError(f"a picture of {width}x{height} samples is too large")


# ------------------------------------------------------------------------------------------------------------- payloads


def seal(kind: int, body: bytes) -> bytes:
    """A payload of that kind around `body`."""
    data = _FRAME.pack(VERSION, kind) + body
    return data + _CRC.pack(zlib.crc32(data))


def unseal(payload: bytes) -> tuple[int, bytes]:
    """(kind, body). Raises FormatError where the payload is damaged, or of a version or kind unknown."""
    if len(payload) < _FRAME.size + _CRC.size:
        raise FormatError("a payload is shorter than its frame")
    data, crc = payload[: -_CRC.size], payload[-_CRC.size :]
    if _CRC.unpack(crc)[0] != zlib.crc32(data):
        raise FormatError("a payload does not match its CRC-32")
    version, kind = _FRAME.unpack_from(data)
    if version != VERSION:
        raise FormatError(f"the payload is of version {version}; this program reads version {VERSION}")
    if kind not in KINDS:
        raise FormatError(f"a payload is of unknown kind {kind}")
    return kind, data[_FRAME.size :]


def kind_of(payload: bytes) -> int:
    """One of KINDS. Raises FormatError where the payload is damaged or of another version."""
    return unseal(payload)[0]


def claims(payload: bytes, kind: int) -> bool:
    """Whether a payload says that it is of that kind; it may still be damaged."""
    return payload[1:2] == bytes([kind])
