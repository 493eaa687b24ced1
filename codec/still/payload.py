"""The payload of a still .nvc (kind 3 of FORMAT.md): how its base becomes the picture, and what the base lacks.

Its header is declared once, field by field, as that of a segment is; the parts that follow are as long as it says.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..base.quantiser import BASE_Q_ZERO
from ..base.resample import BASE_MIN
from ..errors import FormatError
from ..limits import FIXED, Limits, check
from ..loss.modes import GUIDED, LINEAR, OFF, PALETTE, STILL_MODES
from ..metrics import PSNR_MAX
from ..settings import MAX_ERROR
from ..wire import avif
from ..wire.fields import (
    STILL,
    WORD_MAX,
    Record,
    Values,
    check_picture,
    decibels,
    length,
    part,
    seal,
    unseal,
    wire,
)
from ..wire.obu import extract

NO_ALPHA, ALPHA, OPAQUE = 0, 1, 2  # none, in an item of its own, opaque everywhere
NO_HEAD = 0
PART_MAX = 1 << 30


@dataclass(frozen=True)
class StillHeader(Record, what="the header of a still picture"):
    """The fields of a still's payload. `psnr` in dB; the loss-streams as `codec.loss.coder` codes them."""

    width: int = wire("H", 1, 65535)
    height: int = wire("H", 1, 65535)
    channels: int = wire("B", 1, 3, reserved=(2,))  # without alpha
    depth: int = wire("B", 8, 16, reserved=range(9, 16))  # bits a sample
    alpha: int = wire("B", NO_ALPHA, OPAQUE, default=NO_ALPHA)
    head: int = wire("B", 0, 255, default=NO_HEAD)  # none, or the number of the pretrained head
    base_q: int = wire(  # what the head is told of the base
        "B", 0, 255, to=lambda q: q + BASE_Q_ZERO, of=lambda number: number - BASE_Q_ZERO, default=0
    )
    bounded: int = wire("B", 0, max(STILL_MODES), default=OFF.still)  # whether a loss-stream follows, and of which kind
    max_error: int = wire("B", 0, MAX_ERROR, default=0)  # of its samples
    psnr: float = decibels(PSNR_MAX, default=0.0)  # PSNR-RGB as the encoder measured it; information
    checksum: int = wire("I", 0, WORD_MAX, default=0)  # CRC-32 of the samples, plane after plane
    delta_bytes = length("delta", "I", 1 << 20)
    loss_bytes = length("loss", "I", PART_MAX)
    loss_low_bytes = length("loss_low", "I", PART_MAX)
    alpha_bytes = length("alpha_loss", "I", PART_MAX)
    alpha_low_bytes = length("alpha_low", "I", PART_MAX)
    delta: bytes = part("delta_bytes", b"")  # the head's last layer as differences to the pretrained one
    loss: bytes = part("loss_bytes", b"")  # colour's loss-stream
    loss_low: bytes = part("loss_low_bytes", b"")  # that of the lower bytes of 16-bit samples
    alpha_loss: bytes = part("alpha_bytes", b"")
    alpha_low: bytes = part("alpha_low_bytes", b"")

    @classmethod
    def check(cls, v: Values) -> None:
        """Raise FormatError unless all numbers are legal, and fit one another."""
        super().check(v)
        check_picture(v["width"], v["height"])
        if v["head"] == NO_HEAD and (v["base_q"] != BASE_Q_ZERO or v["delta_bytes"]):
            raise FormatError("a picture without a head describes one")
        if not v["bounded"] and (v["max_error"] or v["loss_bytes"] or v["loss_low_bytes"]):
            raise FormatError("a picture without a loss-stream has one")
        if v["depth"] == 8 and (v["loss_low_bytes"] or v["alpha_low_bytes"]):
            raise FormatError("8-bit samples have no lower bytes")
        if v["depth"] == 16 and (v["max_error"] or v["bounded"] == GUIDED.still):
            raise FormatError("16-bit samples have no error bound, and no heads that know them")
        if v["bounded"] == PALETTE.still and (v["head"] != NO_HEAD or v["max_error"] or v["loss_low_bytes"]):
            raise FormatError("a picture with a palette is exact, without a head or lower bytes")
        if v["alpha"] != ALPHA and (v["alpha_bytes"] or v["alpha_low_bytes"]):
            raise FormatError("a picture without alpha has a loss-stream of it")


def write_still(header: StillHeader) -> bytes:
    """The payload of a still. Raises FormatError where the header is not legal."""
    return seal(STILL, header.pack())


def read_still(payload: bytes) -> StillHeader:
    """Inverse of `write_still`. Raises FormatError on every illegal value that FORMAT.md names."""
    kind, body = unseal(payload)
    if kind != STILL:
        raise FormatError("a payload is not that of a still picture")
    return StillHeader.unpack(body)


def header_of(data: bytes) -> tuple[avif.Still, StillHeader]:
    """What a still .nvc file holds, and its payload's header. Raises FormatError."""
    still = avif.read(data)
    payloads = extract(still.base)
    if len(payloads) != 1:
        raise FormatError("this AVIF file holds no payload of NVC: it is an ordinary picture")
    return still, read_still(payloads[0])


# --------------------------------------------------------------------------------------------------------------- memory

# bytes a sample of the base, except where said otherwise; rounded up from what `bench check memory` measured
BAND_ROWS, BAND_CELL = 320, 768  # rows of cells of bands under way; bytes of a cell in all layers
PLAIN, HEAD, DEEP = 36, 44, 20
TABLES = 56 << 20  # bytes of what a palette's indices are coded with


def still_memory(header: StillHeader) -> int:
    """Bytes that decoding a still takes at most."""
    each = PLAIN + DEEP * (header.depth > 8)
    band = 0
    if header.head != NO_HEAD:
        each += HEAD
        # its layers see bands of cells, which in a flat picture are the whole
        band = -(-header.width // 2) * min(-(-header.height // 2), BAND_ROWS) * BAND_CELL
    alpha = LINEAR.still_memory if header.alpha == ALPHA else 0
    each += max(STILL_MODES[header.bounded].still_memory, alpha)
    if header.bounded == PALETTE.still:
        band += TABLES
    return FIXED + band + max(header.width, BASE_MIN) * max(header.height, BASE_MIN) * each


def check_still(header: StillHeader, limits: Limits) -> None:
    """Raise FormatError where a still is beyond the limits."""
    pixels = limits.palette_pixels if header.bounded == PALETTE.still else limits.still_pixels
    check(header.width, header.height, pixels, still_memory(header), limits.still_memory)
