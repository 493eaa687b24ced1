"""What travels inside the AV1 stream: the payloads of FORMAT.md, read and written from one declaration.

A payload is `version, kind, body, CRC-32`. Each fixed field is declared once, with its width and its legal range;
that declaration drives the writer, the reader and the checks, so that nothing is allocated on a header's word.
Numbers are big-endian. Wire numbers are explicit and never reused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import Any

from ..base.resample import base_size
from ..errors import FormatError
from ..frames import PlaneFormat, channels_of
from ..limits import FIXED, Limits, check
from ..metrics import PSNR_MAX
from ..wire.fields import CRC, PSNR_UNIT, RESIDUAL, SEGMENT, Field, check_fields, layout, read_fields, seal, unseal

BASE = 72  # of the base: dav1d's 8 references and what its threads have under way, 3 bytes each
UPSCALED = 12  # of each plane's sample
HISTORY, SEEN = 100, 8  # motion between bases; what is kept, of each plane's sample and earlier picture
TRANSFORM, LINEAR, DENSITY = (0, 14), (34, 26), (0, 45)  # of luma, and of each plane's sample
MOVED = 60  # a loss-stream's displaced pictures: blocks with what their filters reach, in float32
CHROMA = {"400": 0, "420": 1, "422": 2, "444": 3}
SCALE = {Fraction(1): 0, Fraction(3, 2): 1, Fraction(2): 2, Fraction(3): 3, Fraction(4): 4}
NO_HEAD, WHOLE_HEAD, HEAD_DIFFERENCE, PRETRAINED_HEAD = 0, 1, 2, 3
LOSS_OFF, LOSS_TRANSFORM, LOSS_LINEAR, LOSS_DENSITY = 0, 1, 2, 3


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


_LAYOUT = layout(SEGMENT_FIELDS)


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
    return seal(SEGMENT, fixed + header.head + header.used + b"".join(map(CRC.pack, header.checksums)))


def _mask_bytes(v: Mapping[str, int]) -> int:
    return -(-v["frames"] // 8) if v["head_kind"] != NO_HEAD else 0


def _checksums(v: Mapping[str, int]) -> int:
    return -(-v["frames"] // v["group"])


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
    if v["head_kind"] == PRETRAINED_HEAD and (not v["reference"] or v["history"] or v["scale"]):
        raise FormatError("a head of the program has no number, a history, or a base of another size")
    if (v["loss_kind"] == LOSS_TRANSFORM) != (v["loss_step"] > 0):
        raise FormatError("the quantiser step does not fit the kind of loss-stream")
    if v["loss_kind"] not in (LOSS_LINEAR, LOSS_DENSITY) and v["max_error"]:
        raise FormatError("an error bound is given without a bounded loss-stream")


def read_segment(payload: bytes) -> SegmentHeader:
    """Inverse of `write_segment`. Raises FormatError on every illegal value that FORMAT.md names."""
    kind, body = unseal(payload)
    if kind != SEGMENT:
        raise FormatError("a payload is not a segment header")
    v, rest = read_fields(SEGMENT_FIELDS, body, "a segment header")
    _check(v)
    used_at, sums_at = v["head_bytes"], v["head_bytes"] + _mask_bytes(v)
    if len(rest) != sums_at + _checksums(v) * CRC.size:
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
        checksums=tuple(crc for (crc,) in CRC.iter_unpack(rest[sums_at:])),
    )


def _name(table: Mapping[Any, int], number: int) -> Any:
    return next(key for key, value in table.items() if value == number)


def film_memory(header: SegmentHeader, best_effort: bool = False) -> int:
    """Bytes that decoding a segment takes at most; under `best_effort` bases are kept with their pictures."""
    full = header.width * header.height
    base = prod(base_size(header.width, header.height, header.scale))
    samples = header.format.frame_bytes(header.width, header.height) // header.format.dtype.itemsize / full
    held = min(header.group, header.frames) + 1
    memory = FIXED + base * (BASE + 3 * held * best_effort)
    memory += held * header.format.frame_bytes(header.width, header.height)
    each = UPSCALED * samples
    if header.head_kind != NO_HEAD:
        planes = channels_of(header.format.chroma)
        each += 2 * (planes * (1 + 2 * header.history) + 1) + 3.5 * header.head_width + 2 * planes
        each += HISTORY + SEEN * samples * header.history if header.history else 0
    if header.loss_kind != LOSS_OFF:
        luma, any_plane = {LOSS_TRANSFORM: TRANSFORM, LOSS_LINEAR: LINEAR, LOSS_DENSITY: DENSITY}[header.loss_kind]
        each += luma + any_plane * samples + MOVED
    return memory + round(full * each)


def check_film(header: SegmentHeader, limits: Limits, best_effort: bool = False) -> None:
    """Raise FormatError where a segment is beyond the limits."""
    check(header.width, header.height, limits.film_pixels, film_memory(header, best_effort), limits.film_memory)
