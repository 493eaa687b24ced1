"""A record of the wire: declared once, with the width and the legal range of every field.

A payload is `version, kind, body, CRC-32`. Numbers are big-endian. Wire numbers are explicit and never reused. Nothing
is allocated on a header's word."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import FormatError

VERSION = 1
SEGMENT, RESIDUAL, STILL = 1, 2, 3  # kinds
PSNR_UNIT = 100  # stored in hundredths of a dB
PIXELS_MAX = 1 << 27  # luma samples of a picture, in the format


@dataclass(frozen=True)
class Field:
    """A fixed-width number: struct code "B", "H" or "I", and its smallest and largest legal value."""

    name: str
    code: str
    low: int
    high: int


def layout(fields: Sequence[Field]) -> struct.Struct:
    """How the fields lie one after the other."""
    return struct.Struct(">" + "".join(f.code for f in fields))


_FRAME = struct.Struct(">BB")  # version, kind
CRC = struct.Struct(">I")


def seal(kind: int, body: bytes) -> bytes:
    """A payload of that kind around `body`."""
    data = _FRAME.pack(VERSION, kind) + body
    return data + CRC.pack(zlib.crc32(data))


def unseal(payload: bytes) -> tuple[int, bytes]:
    """(kind, body). Raises FormatError where the payload is damaged, or of a version or kind unknown."""
    if len(payload) < _FRAME.size + CRC.size:
        raise FormatError("a payload is shorter than its frame")
    data, crc = payload[: -CRC.size], payload[-CRC.size :]
    if CRC.unpack(crc)[0] != zlib.crc32(data):
        raise FormatError("a payload does not match its CRC-32")
    version, kind = _FRAME.unpack_from(data)
    if version != VERSION:
        raise FormatError(f"the payload is of version {version}; this program reads version {VERSION}")
    if kind not in (SEGMENT, RESIDUAL, STILL):
        raise FormatError(f"a payload is of unknown kind {kind}")
    return kind, data[_FRAME.size :]


def kind_of(payload: bytes) -> int:
    """SEGMENT, RESIDUAL or STILL. Raises FormatError where the payload is damaged or of another version."""
    return unseal(payload)[0]


def check_fields(fields: Sequence[Field], v: Mapping[str, int]) -> None:
    """Raise FormatError unless all values lie in their fields' ranges; of a picture's size also the product."""
    for field in fields:
        if not field.low <= v[field.name] <= field.high:
            raise FormatError(f"{field.name} is {v[field.name]}, outside {field.low}..{field.high}")
    if v["width"] * v["height"] > PIXELS_MAX:
        raise FormatError(f"a picture of {v['width']}x{v['height']} samples is too large")


def read_fields(fields: Sequence[Field], body: bytes, what: str) -> tuple[dict[str, int], bytes]:
    """(values by name, what follows them), not checked. Raises FormatError where `what` is too short."""
    form = layout(fields)
    if len(body) < form.size:
        raise FormatError(f"{what} is too short")
    return dict(zip((f.name for f in fields), form.unpack_from(body), strict=True)), body[form.size :]
