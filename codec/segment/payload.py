"""What travels inside the AV1 stream of a film: the payloads of FORMAT.md, kinds 1 and 2.

A segment's header is declared once, field by field (`codec.wire.fields`); what its fields must be to one another stands
in `SegmentHeader.check`. Below is what decoding a segment takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import prod

from ..base.resample import base_size
from ..errors import FormatError
from ..frames import PlaneFormat, channels_of
from ..limits import FIXED, Limits, check
from ..loss.modes import FILM_MODES
from ..metrics import PSNR_MAX
from ..settings import MAX_ERROR, MAX_STEP
from ..wire.fields import (
    RESIDUAL,
    SEGMENT,
    WORD_MAX,
    Number,
    Record,
    Values,
    check_picture,
    decibels,
    key_of,
    length,
    one_of,
    part,
    seal,
    unseal,
    wire,
    wires,
    words,
)

CHROMA = {"400": 0, "420": 1, "422": 2, "444": 3}
SCALE = {Fraction(1): 0, Fraction(3, 2): 1, Fraction(2): 2, Fraction(3): 3, Fraction(4): 4}
NO_HEAD, WHOLE_HEAD, HEAD_DIFFERENCE, PRETRAINED_HEAD = 0, 1, 2, 3
STEERED = 4  # with one of them that is a head: FORMAT.md, section 3, "Steered heads"


@dataclass(frozen=True)
class SegmentHeader(Record, what="a segment header"):
    """The fields of a segment payload, in the terms of the codec. `head` is coded as `heads.weights` says."""

    width: int = wire("H", 1, 65535)  # of the film, luma samples
    height: int = wire("H", 1, 65535)
    format: PlaneFormat = wires(
        chroma=Number("B", 0, 3),
        depth=Number("B", 8, 10, reserved=(9,)),
        to=lambda planes: (CHROMA[planes.chroma], planes.depth),
        of=lambda chroma, depth: PlaneFormat(key_of(CHROMA, chroma), depth),
    )
    scale: Fraction = one_of("B", SCALE)
    rate: Fraction = wires(  # pictures a second: containers keep it roughly
        rate=Number("I", 1, WORD_MAX), rate_unit=Number("I", 1, WORD_MAX), to=Fraction.as_integer_ratio, of=Fraction
    )
    frames: int = wire("H", 1, 65535)
    group: int = wire("B", 1, 255)  # pictures under one checksum
    psnr: float = decibels(PSNR_MAX)  # PSNR-YUV as the encoder measured it
    head_kind: int = wire("B", NO_HEAD, STEERED | PRETRAINED_HEAD, reserved=(STEERED | NO_HEAD,))
    history: int = wire("B", 0, 2)
    gate: int = wire("B", 0, 8)  # of the history; 0 without one, 1 is illegal
    layers: int = wire("B", 0, 8)
    head_width: int = wire("B", 0, 64)
    reference: int = wire("I", 0, WORD_MAX)  # identity of the head differed from, or number of a pretrained one
    head_bytes = length("head", "I", 1 << 22)
    loss_kind: int = wire("B", 0, max(FILM_MODES))
    loss_step: int = wire("B", 0, MAX_STEP)
    max_error: int = wire("B", 0, MAX_ERROR)
    head: bytes = part("head_bytes")
    used: bytes = part(lambda v: -(-v["frames"] // 8) if v["head_kind"] != NO_HEAD else 0)  # see `uses_head`
    checksums: tuple[int, ...] = words(lambda v: -(-v["frames"] // v["group"]))  # of each group's decoded pictures

    @property
    def head_sent(self) -> int:
        """How the head is sent, whether it is steered or not: NO_HEAD .. PRETRAINED_HEAD."""
        return self.head_kind & ~STEERED

    @property
    def steered(self) -> bool:
        """Whether the head's bytes begin with its steering (`codec.segment.steering`)."""
        return bool(self.head_kind & STEERED)

    @property
    def apart(self) -> bool:
        """Whether every picture is made of its base alone, and of no other picture."""
        return not self.history and not self.loss_kind

    def uses_head(self, picture: int) -> bool:
        """Whether the head predicts that picture of the segment: one bit a picture, lowest first."""
        return picture >> 3 < len(self.used) and bool(self.used[picture >> 3] >> (picture & 7) & 1)

    @classmethod
    def check(cls, v: Values) -> None:
        """Raise FormatError unless all numbers are legal, and fit one another."""
        super().check(v)
        check_picture(v["width"], v["height"])
        head = (v["layers"], v["head_width"], v["head_bytes"])
        if v["head_kind"] == NO_HEAD and (any(head) or v["history"] or v["reference"]):
            raise FormatError("a segment without a head describes one")
        if v["head_kind"] != NO_HEAD and (v["layers"] < 2 or not all(head)):
            raise FormatError("a head has too few layers, no channels or no bytes")
        if (v["history"] > 0) != (v["gate"] > 0) or v["gate"] == 1:
            raise FormatError("the gate does not fit the history")
        if v["head_kind"] & STEERED and v["history"]:
            raise FormatError("a head that sees earlier pictures is steered")
        sent = v["head_kind"] & ~STEERED
        if sent == WHOLE_HEAD and v["reference"]:
            raise FormatError("a whole head refers to another one")
        if sent == PRETRAINED_HEAD and (not v["reference"] or v["history"]):
            raise FormatError("a head of the program has no number, or a history")
        loss = FILM_MODES[v["loss_kind"]]
        if v["loss_step"] not in loss.steps:
            raise FormatError("the quantiser step does not fit the kind of loss-stream")
        if v["max_error"] not in loss.errors:
            raise FormatError("an error bound is given without a bounded loss-stream")


def write_segment(header: SegmentHeader) -> bytes:
    """The payload that opens a segment. Raises FormatError where the header is not legal."""
    return seal(SEGMENT, header.pack())


def read_segment(payload: bytes) -> SegmentHeader:
    """Inverse of `write_segment`. Raises FormatError on every illegal value that FORMAT.md names."""
    kind, body = unseal(payload)
    if kind != SEGMENT:
        raise FormatError("a payload is not a segment header")
    header = SegmentHeader.unpack(body)
    if header.used and header.frames % 8 and header.used[-1] >> header.frames % 8:
        raise FormatError("a picture beyond the segment's last is said to use the head")
    return header


def write_residual(data: bytes) -> bytes:
    """The payload that carries one picture's loss-stream."""
    return seal(RESIDUAL, data)


def read_residual(payload: bytes) -> bytes:
    """Inverse of `write_residual`."""
    kind, body = unseal(payload)
    if kind != RESIDUAL:
        raise FormatError("a payload is not a loss-stream")
    return body


# --------------------------------------------------------------------------------------------------------------- memory

# bytes a luma sample, except where said otherwise; rounded up from what `bench check memory` measured
BASE = 72  # of the base: dav1d's 8 references and what its threads have under way, 3 bytes each
UPSCALED = 12  # of each plane's sample
BAND, BAND_ROW = 9 << 20, 350  # of what one thread has under way of a head; the second: of each channel and column
HISTORY, SEEN = 100, 8  # motion between bases; what is kept, of each plane's sample and earlier picture


def film_memory(header: SegmentHeader, best_effort: bool = False) -> int:
    """Bytes that decoding a segment takes at most; under `best_effort` bases are kept with their pictures."""
    full = header.width * header.height
    base = prod(base_size(header.width, header.height, header.scale))
    samples = header.format.frame_bytes(header.width, header.height) // header.format.dtype.itemsize / full
    held = min(header.group, header.frames) + 1
    memory = FIXED + base * (BASE + 3 * held * best_effort)
    picture = header.format.frame_bytes(header.width, header.height)
    memory += held * (max(picture, 3 * base) if header.apart else picture)  # after a seek a group's bases are kept
    each = UPSCALED * samples
    if header.head_kind != NO_HEAD:
        planes = channels_of(header.format.chroma)
        each += 2 * (planes * (1 + 2 * header.history) + 1) + 3.5 * header.head_width + 2 * planes
        each += HISTORY + SEEN * samples * header.history if header.history else 0
    luma, any_plane = FILM_MODES[header.loss_kind].memory
    each += luma + any_plane * samples
    return memory + round(full * each)


def room_ahead(header: SegmentHeader, limits: Limits, threads: int) -> int:
    """Bytes that base pictures, and finished ones, may take that wait for somebody: two for each thread, unless they
    are large."""
    base = 3 * prod(base_size(header.width, header.height, header.scale))
    picture = header.format.frame_bytes(header.width, header.height)
    return min(2 * threads * max(base, picture), limits.film_memory >> 5)


def abreast(header: SegmentHeader, limits: Limits, threads: int, best_effort: bool = False) -> int:
    """How many pictures of a segment are restored side by side, each by one thread: `threads`; 1, by all of them, where
    a picture depends on the one before it, or where so many would take more memory than the limits let them."""
    if header.history:
        return 1
    full = header.width * header.height
    base = prod(base_size(header.width, header.height, header.scale))
    picture = header.format.frame_bytes(header.width, header.height)
    upscaled = UPSCALED * picture // header.format.dtype.itemsize
    head = min(round(3.5 * full), BAND // max(1, header.head_width) + BAND_ROW * header.width) * header.head_width
    waiting = 2 * room_ahead(header, limits, threads) + 2 * threads * (picture + 3 * base)
    needed = film_memory(header, best_effort) + waiting + (threads - 1) * (upscaled + head)
    return threads if needed <= limits.film_memory else 1


def check_film(header: SegmentHeader, limits: Limits, best_effort: bool = False) -> None:
    """Raise FormatError where a segment is beyond the limits."""
    check(header.width, header.height, limits.film_pixels, film_memory(header, best_effort), limits.film_memory)
