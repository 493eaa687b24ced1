"""The payload of a still .nvc (kind 3 of FORMAT.md): how its base becomes the picture, and what the base lacks.

Fields are declared as in `codec.segment.payload`; the parts that follow them are as long as the fields say.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..base.resample import BASE_MIN
from ..errors import FormatError
from ..limits import FIXED, Limits, check
from ..wire import avif
from ..wire.fields import STILL, Field, check_fields, layout, read_fields, seal, unseal
from ..wire.obu import extract

BAND_ROWS, BAND_CELL = 96, 768  # rows of cells of a band with those around it; bytes of a cell in all layers
PLAIN, HEAD, EXACT, GUIDE, DEEP = 36, 44, 56, 70, 20

NO_ALPHA, ALPHA, OPAQUE = 0, 1, 2
NO_HEAD = 0
UNBOUNDED, LINEAR, GUIDED = 0, 1, 2  # no loss-stream; one of the bounded mode, of that guided by heads
PSNR_UNIT, PSNR_MAX = 100, 10000
PART_MAX = 1 << 30

FIELDS = (
    Field("width", "H", 1, 65535),
    Field("height", "H", 1, 65535),
    Field("channels", "B", 1, 3),  # without alpha; 2 is illegal
    Field("depth", "B", 8, 16),  # bits a sample; 8 or 16
    Field("alpha", "B", 0, 2),  # none, in an item of its own, opaque everywhere
    Field("head", "B", 0, 255),  # none, or the number of the shipped head
    Field("told", "B", 0, 255),  # what the head is told of the base, plus 128
    Field("bounded", "B", 0, 2),  # whether a loss-stream follows, and of which kind
    Field("max_error", "B", 0, 127),  # of its samples
    Field("psnr", "H", 0, PSNR_MAX),  # PSNR-RGB as the encoder measured it, hundredths of a dB; information
    Field("checksum", "I", 0, 0xFFFFFFFF),  # CRC-32 of the samples, plane after plane
    Field("delta_bytes", "I", 0, 1 << 20),  # of the head's last layer as differences to the shipped one
    Field("loss_bytes", "I", 0, PART_MAX),  # of colour's loss-stream
    Field("loss_low_bytes", "I", 0, PART_MAX),  # of the lower bytes of 16-bit samples
    Field("alpha_bytes", "I", 0, PART_MAX),
    Field("alpha_low_bytes", "I", 0, PART_MAX),
)
_LAYOUT = layout(FIELDS)
PARTS = ("delta", "loss", "loss_low", "alpha_loss", "alpha_low")


@dataclass(frozen=True)
class StillHeader:
    """The fields of a still's payload. `psnr` in dB; the loss-streams as `codec.loss.coder` codes them."""

    width: int
    height: int
    channels: int
    depth: int
    alpha: int = NO_ALPHA
    head: int = NO_HEAD
    base_q: int = 0
    bounded: int = UNBOUNDED
    max_error: int = 0
    psnr: float = 0.0
    checksum: int = 0
    delta: bytes = b""
    loss: bytes = b""
    loss_low: bytes = b""
    alpha_loss: bytes = b""
    alpha_low: bytes = b""


def _check(v: dict[str, int]) -> None:
    check_fields(FIELDS, v)
    if v["channels"] == 2 or v["depth"] not in (8, 16):
        raise FormatError(f"no picture has {v['channels']} channels of {v['depth']} bits")
    if v["head"] == NO_HEAD and (v["told"] != 128 or v["delta_bytes"]):
        raise FormatError("a picture without a head describes one")
    if not v["bounded"] and (v["max_error"] or v["loss_bytes"] or v["loss_low_bytes"]):
        raise FormatError("a picture without a loss-stream has one")
    if v["depth"] == 8 and (v["loss_low_bytes"] or v["alpha_low_bytes"]):
        raise FormatError("8-bit samples have no lower bytes")
    if v["depth"] == 16 and (v["max_error"] or v["bounded"] == GUIDED):
        raise FormatError("16-bit samples have no error bound, and no heads that know them")
    if v["alpha"] != ALPHA and (v["alpha_bytes"] or v["alpha_low_bytes"]):
        raise FormatError("a picture without alpha has a loss-stream of it")


def write_still(header: StillHeader) -> bytes:
    """The payload of a still."""
    parts = [getattr(header, name) for name in PARTS]
    values = {
        "width": header.width,
        "height": header.height,
        "channels": header.channels,
        "depth": header.depth,
        "alpha": header.alpha,
        "head": header.head,
        "told": header.base_q + 128,
        "bounded": header.bounded,
        "max_error": header.max_error,
        "psnr": min(max(round(header.psnr * PSNR_UNIT), 0), PSNR_MAX) if header.psnr < 1000 else PSNR_MAX,
        "checksum": header.checksum,
        **dict(zip((f.name for f in FIELDS[-len(PARTS) :]), map(len, parts), strict=True)),
    }
    _check(values)
    return seal(STILL, _LAYOUT.pack(*(values[f.name] for f in FIELDS)) + b"".join(parts))


def read_still(payload: bytes) -> StillHeader:
    """Inverse of `write_still`. Raises FormatError on every illegal value that FORMAT.md names."""
    kind, body = unseal(payload)
    if kind != STILL:
        raise FormatError("a payload is not that of a still picture")
    v, rest = read_fields(FIELDS, body, "the header of a still picture")
    _check(v)
    lengths = [v[f.name] for f in FIELDS[-len(PARTS) :]]
    if len(rest) != sum(lengths):
        raise FormatError("the header of a still picture is not as long as its fields say")
    parts, at = [], 0
    for length in lengths:
        parts.append(rest[at : at + length])
        at += length
    return StillHeader(
        v["width"],
        v["height"],
        v["channels"],
        v["depth"],
        v["alpha"],
        v["head"],
        v["told"] - 128,
        v["bounded"],
        v["max_error"],
        v["psnr"] / PSNR_UNIT,
        v["checksum"],
        *parts,
    )


def still_memory(header: StillHeader) -> int:
    """Bytes that decoding a still takes at most."""
    each = PLAIN + DEEP * (header.depth > 8)
    band = 0
    if header.head != NO_HEAD:
        each += HEAD
        # its layers see one band of cells at a time, which in a flat picture is the whole
        band = -(-header.width // 2) * min(-(-header.height // 2), BAND_ROWS) * BAND_CELL
    if header.bounded or header.alpha == ALPHA:
        each += GUIDE if header.bounded == GUIDED else EXACT
    return FIXED + band + max(header.width, BASE_MIN) * max(header.height, BASE_MIN) * each


def check_still(header: StillHeader, limits: Limits) -> None:
    """Raise FormatError where a still is beyond the limits."""
    check(header.width, header.height, limits.still_pixels, still_memory(header), limits.still_memory)


# decoding


def header_of(data: bytes) -> tuple[avif.Still, StillHeader]:
    """What a still .nvc file holds, and its payload's header. Raises FormatError."""
    still = avif.read(data)
    payloads = extract(still.base)
    if len(payloads) != 1:
        raise FormatError("this AVIF file holds no payload of NVC: it is an ordinary picture")
    return still, read_still(payloads[0])
