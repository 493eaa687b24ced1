"""What travels inside the AV1 stream: the payloads of FORMAT.md, read and written from one declaration.

A payload is `version, kind, body, CRC-32`. Each fixed field is declared once, with its width and its legal range;
that declaration drives the writer, the reader and the checks, so that nothing is allocated on a header's word.
Numbers are big-endian. Wire numbers are explicit and never reused.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from .errors import FormatError
from .frames import Plane, PlaneFormat

VERSION = 1
SEGMENT, RESIDUAL, STILL = 1, 2, 3  # kinds
CHROMA = {"400": 0, "420": 1, "422": 2, "444": 3}
SCALE = {Fraction(1): 0, Fraction(3, 2): 1, Fraction(2): 2, Fraction(3): 3, Fraction(4): 4}
NO_HEAD, WHOLE_HEAD, HEAD_DIFFERENCE, SHIPPED_HEAD = 0, 1, 2, 3
TOLD_ZERO = 128  # what the first byte of a shipped head says, where what the head is told is 0
LOSS_OFF, LOSS_TRANSFORM, LOSS_BOUNDED, LOSS_LEARNED = 0, 1, 2, 3
PSNR_UNIT = 100  # stored in hundredths of a dB
PSNR_MAX = 100.0
PIXELS_MAX = 1 << 27  # luma samples of a picture, in the format


def told_of(crf: float) -> int:
    """What a head is told of the base: its quantiser in quarters, about 0."""
    return round(4 * crf) - TOLD_ZERO


def write_shipped(told: int, change: bytes = b"") -> bytes:
    """The head of a segment that uses one of the program: what it is told, and what the segment changes."""
    return bytes([told + TOLD_ZERO]) + change


def read_shipped(head: bytes) -> tuple[int, bytes]:
    """Inverse of `write_shipped`."""
    return head[0] - TOLD_ZERO, head[1:]


@dataclass(frozen=True)
class Field:
    """A fixed-width number: struct code "B", "H" or "I", and its smallest and largest legal value."""

    name: str
    code: str
    low: int
    high: int


SEGMENT_FIELDS = (
    Field("width", "H", 1, 65535),  # of the film, luma samples
    Field("height", "H", 1, 65535),
    Field("chroma", "B", 0, 3),
    Field("depth", "B", 8, 10),  # 9 is illegal
    Field("scale", "B", 0, 4),
    Field("rate", "I", 1, 0xFFFFFFFF),  # pictures a second, numerator: containers keep it roughly
    Field("rate_unit", "I", 1, 0xFFFFFFFF),  # and denominator
    Field("frames", "H", 1, 65535),
    Field("group", "B", 1, 255),  # pictures under one checksum
    Field("psnr", "H", 0, 10000),  # PSNR-YUV as the encoder measured it, hundredths of a dB
    Field("head_kind", "B", 0, 3),
    Field("history", "B", 0, 2),
    Field("gate", "B", 0, 8),  # of the history; 0 without one, 1 is illegal
    Field("layers", "B", 0, 8),
    Field("head_width", "B", 0, 64),
    Field("reference", "I", 0, 0xFFFFFFFF),  # identity of the head differed from, or number of a shipped one
    Field("head_bytes", "I", 0, 1 << 22),
    Field("loss_kind", "B", 0, 3),
    Field("loss_step", "B", 0, 255),
    Field("max_error", "B", 0, 127),
)


def layout(fields: Sequence[Field]) -> struct.Struct:
    """How the fields lie one after the other."""
    return struct.Struct(">" + "".join(f.code for f in fields))


_LAYOUT = layout(SEGMENT_FIELDS)
_FRAME = struct.Struct(">BB")  # version, kind
_CRC = struct.Struct(">I")


@dataclass(frozen=True)
class SegmentHeader:
    """The fields of a segment payload, in the terms of the codec. `head` is coded as `heads.weights` says."""

    width: int
    height: int
    format: PlaneFormat
    scale: Fraction
    rate: Fraction
    frames: int
    group: int
    psnr: float
    head_kind: int
    history: int
    gate: int
    layers: int
    head_width: int
    reference: int
    loss_kind: int
    loss_step: int
    max_error: int
    head: bytes
    used: bytes  # one bit a picture, lowest first: whether the head predicts it; empty without a head
    checksums: tuple[int, ...]

    def uses_head(self, picture: int) -> bool:
        """Whether the head predicts that picture of the segment."""
        return picture >> 3 < len(self.used) and bool(self.used[picture >> 3] >> (picture & 7) & 1)


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
    if kind not in (SEGMENT, RESIDUAL, STILL):
        raise FormatError(f"a payload is of unknown kind {kind}")
    return kind, data[_FRAME.size :]


def kind_of(payload: bytes) -> int:
    """SEGMENT, RESIDUAL or STILL. Raises FormatError where the payload is damaged or of another version."""
    return unseal(payload)[0]


def write_residual(data: bytes) -> bytes:
    """The payload that carries one picture's loss-stream."""
    return seal(RESIDUAL, data)


def read_residual(payload: bytes) -> bytes:
    """Inverse of `write_residual`."""
    kind, body = unseal(payload)
    if kind != RESIDUAL:
        raise FormatError("a payload is not a loss-stream")
    return body


def write_segment(header: SegmentHeader) -> bytes:
    """The payload that opens a segment."""
    values = {
        "width": header.width,
        "height": header.height,
        "chroma": CHROMA[header.format.chroma],
        "depth": header.format.depth,
        "scale": SCALE[header.scale],
        "rate": header.rate.numerator,
        "rate_unit": header.rate.denominator,
        "frames": header.frames,
        "group": header.group,
        "psnr": round(min(max(header.psnr, 0.0), PSNR_MAX) * PSNR_UNIT),
        "head_kind": header.head_kind,
        "history": header.history,
        "gate": header.gate,
        "layers": header.layers,
        "head_width": header.head_width,
        "reference": header.reference,
        "head_bytes": len(header.head),
        "loss_kind": header.loss_kind,
        "loss_step": header.loss_step,
        "max_error": header.max_error,
    }
    _check(values)
    if len(header.used) != _mask_bytes(values) or len(header.checksums) != _checksums(values):
        raise FormatError("a segment header has parts that do not fit its fields")
    fixed = _LAYOUT.pack(*(values[f.name] for f in SEGMENT_FIELDS))
    return seal(SEGMENT, fixed + header.head + header.used + b"".join(map(_CRC.pack, header.checksums)))


def _mask_bytes(v: Mapping[str, int]) -> int:
    return -(-v["frames"] // 8) if v["head_kind"] != NO_HEAD else 0


def _checksums(v: Mapping[str, int]) -> int:
    return -(-v["frames"] // v["group"])


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


def _check(v: Mapping[str, int]) -> None:
    check_fields(SEGMENT_FIELDS, v)
    if v["depth"] == 9:
        raise FormatError("depth is 9")
    head = (v["layers"], v["head_width"], v["head_bytes"])
    if v["head_kind"] == NO_HEAD and (any(head) or v["history"] or v["reference"]):
        raise FormatError("a segment without a head describes one")
    if v["head_kind"] != NO_HEAD and (v["layers"] < 2 or not all(head)):
        raise FormatError("a head has too few layers, no channels or no bytes")
    if (v["history"] > 0) != (v["gate"] > 0) or v["gate"] == 1:
        raise FormatError("the gate does not fit the history")
    if v["head_kind"] == WHOLE_HEAD and v["reference"]:
        raise FormatError("a whole head refers to another one")
    if v["head_kind"] == SHIPPED_HEAD and (not v["reference"] or v["history"] or v["scale"]):
        raise FormatError("a head of the program has no number, a history, or a base of another size")
    if (v["loss_kind"] == LOSS_TRANSFORM) != (v["loss_step"] > 0):
        raise FormatError("the quantiser step does not fit the kind of loss-stream")
    if v["loss_kind"] not in (LOSS_BOUNDED, LOSS_LEARNED) and v["max_error"]:
        raise FormatError("an error bound is given without a bounded loss-stream")


def read_segment(payload: bytes) -> SegmentHeader:
    """Inverse of `write_segment`. Raises FormatError on every illegal value that FORMAT.md names."""
    kind, body = unseal(payload)
    if kind != SEGMENT:
        raise FormatError("a payload is not a segment header")
    v, rest = read_fields(SEGMENT_FIELDS, body, "a segment header")
    _check(v)
    used_at, sums_at = v["head_bytes"], v["head_bytes"] + _mask_bytes(v)
    if len(rest) != sums_at + _checksums(v) * _CRC.size:
        raise FormatError("a segment header is not as long as its fields say")
    used = rest[used_at:sums_at]
    if used and v["frames"] % 8 and used[-1] >> v["frames"] % 8:
        raise FormatError("a picture beyond the segment's last is said to use the head")
    return SegmentHeader(
        width=v["width"],
        height=v["height"],
        format=PlaneFormat(_name(CHROMA, v["chroma"]), v["depth"]),
        scale=_name(SCALE, v["scale"]),
        rate=Fraction(v["rate"], v["rate_unit"]),
        frames=v["frames"],
        group=v["group"],
        psnr=v["psnr"] / PSNR_UNIT,
        head_kind=v["head_kind"],
        history=v["history"],
        gate=v["gate"],
        layers=v["layers"],
        head_width=v["head_width"],
        reference=v["reference"],
        loss_kind=v["loss_kind"],
        loss_step=v["loss_step"],
        max_error=v["max_error"],
        head=rest[:used_at],
        used=used,
        checksums=tuple(crc for (crc,) in _CRC.iter_unpack(rest[sums_at:])),
    )


def _name(table: Mapping[Any, int], number: int) -> Any:
    return next(key for key, value in table.items() if value == number)


def checksum(planes: Sequence[Plane], crc: int = 0) -> int:
    """CRC-32 of the samples of a picture, row by row, plane by plane, 10-bit samples as 16 bits little-endian;
    `crc` continues the checksum of the picture before it in the same group."""
    for plane in planes:
        crc = zlib.crc32(plane.astype(plane.dtype.newbyteorder("<"), copy=False).tobytes(), crc)
    return crc
