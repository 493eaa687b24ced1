"""AV1 temporal units: what a sequence header says, and our payloads as metadata OBUs that every AV1 decoder skips.

A temporal unit in the low-overhead format (AV1 bitstream specification, section 5.2) is a run of OBUs:

    header   1 byte   forbidden 1 | type 4 | extension 1 | has_size 1 | reserved 1
    extension  1 byte, if its flag is set
    size     leb128, if has_size is set; else the OBU reaches to the end of the unit
    payload  `size` bytes

One payload of ours is one OBU of type 5 (metadata, section 5.8) with a size field and the body

    leb128(4)   metadata type ITU-T T.35
    b5          country code (United States)
    7f fd       provider code, not assigned to anybody
    4e 56 43    "NVC"
    ...         the payload
    80          trailing bits

Whatever breaks these rules raises FormatError; nothing here allocates more than the unit that it is given.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..errors import FormatError

SEQUENCE_HEADER, TEMPORAL_DELIMITER, FRAME_HEADER, TILE_GROUP, METADATA, FRAME, REDUNDANT_HEADER = range(1, 8)
_PICTURE_TYPES = frozenset((FRAME_HEADER, TILE_GROUP, FRAME, REDUNDANT_HEADER))

_T35 = b"\x04"  # metadata type ITU-T T.35
SIGNATURE = _T35 + b"\xb5\x7f\xfdNVC"
_TRAILING = b"\x80"
# a grey picture of 16x16 by SVT-AV1, 10 bits: sequence header and frame
GREY = bytes.fromhex("0a0a000000019ff895f28080320c1000da811c68a210000075c0")
_HAS_SIZE, _HAS_EXTENSION = 0x02, 0x04


@dataclass(frozen=True)
class TemporalUnit:
    """One coded picture of the base, shown at `pts` for `duration` (0 = unknown), both in the track's time base.

    `payloads` are ours. Writing puts them into `data`; reading takes them out again.
    """

    data: bytes
    pts: int
    duration: int
    keyframe: bool
    payloads: tuple[bytes, ...] = ()


def inject(tu: bytes, payloads: Sequence[bytes]) -> bytes:
    """`tu` with each payload in a metadata OBU of its own, after the headers and before the first picture OBU."""
    return _with_metadata(tu, [SIGNATURE + payload for payload in payloads])


def with_messages(tu: bytes, messages: Sequence[bytes]) -> bytes:
    """`tu` with T.35 messages of others, from the country code on, where `inject` would put ours."""
    return _with_metadata(tu, [_T35 + message for message in messages])


def _with_metadata(tu: bytes, bodies: Sequence[bytes]) -> bytes:
    if not bodies:
        return tu
    at = len(tu)
    for obu in iter_obus(tu):
        if obu.type in _PICTURE_TYPES:
            at = obu.start
            break
        if not tu[obu.start] & _HAS_SIZE:
            raise FormatError("a temporal unit whose headers have no size field cannot take a payload")
    parts = [tu[:at]]
    for body in bodies:
        parts += [bytes([METADATA << 3 | _HAS_SIZE]), leb128(len(body) + len(_TRAILING)), body, _TRAILING]
    return b"".join([*parts, tu[at:]])


def extract(tu: bytes) -> list[bytes]:
    """Our payloads in order; the metadata of others is skipped."""
    payloads = []
    for obu in iter_obus(tu):
        if _is_ours(tu, obu):
            # muxers may pad an OBU with zero bytes after its trailing bit
            body = tu[obu.body + len(SIGNATURE) : obu.end].rstrip(b"\0")
            if not body.endswith(_TRAILING):
                raise FormatError("a payload OBU does not end with trailing bits")
            payloads.append(body[:-1])
    return payloads


def messages_of(tu: bytes) -> list[bytes]:
    """The T.35 messages of others, from the country code on."""
    bodies = [tu[obu.body : obu.end] for obu in iter_obus(tu) if obu.type == METADATA and not _is_ours(tu, obu)]
    return [body.rstrip(b"\0").removesuffix(_TRAILING)[1:] for body in bodies if body.startswith(_T35)]


def strip(tu: bytes) -> bytes:
    """`tu` without our OBUs: what an ordinary AV1 decoder makes use of."""
    return _without(tu, [obu for obu in iter_obus(tu) if _is_ours(tu, obu)])


def without_messages(tu: bytes) -> bytes:
    """`tu` without T.35 messages, ours and those of others: what pictures are decoded from. libav refuses a whole
    picture for a message that is malformed."""
    return _without(
        tu, [obu for obu in iter_obus(tu) if obu.type == METADATA and tu.startswith(_T35, obu.body, obu.end)]
    )


def _without(tu: bytes, left_out: Sequence[Obu]) -> bytes:
    kept, at = [], 0
    for obu in left_out:
        kept.append(tu[at : obu.start])
        at = obu.end
    return b"".join([*kept, tu[at:]]) if kept else tu


def _is_ours(tu: bytes, obu: Obu) -> bool:
    return obu.type == METADATA and tu.startswith(SIGNATURE, obu.body, obu.end)


class Obu(NamedTuple):
    """Where an OBU lies in its temporal unit: header at `start`, payload in [body, end)."""

    type: int
    start: int
    body: int
    end: int


def iter_obus(tu: bytes) -> Iterator[Obu]:
    """The OBUs of a temporal unit in order. Zero bytes that pad the unit's end are ignored."""
    at, end = 0, len(tu)
    while at < end:
        header = tu[at]
        if header == 0 and not any(tu[at:]):
            return
        if header & 0x80:
            raise FormatError(f"no AV1 OBU begins at byte {at} of a temporal unit of {end}")
        body = at + 1 + bool(header & _HAS_EXTENSION)
        if header & _HAS_SIZE:
            size, body = read_leb128(tu, body)
        else:
            size = end - body
        if size < 0 or body + size > end:
            raise FormatError(f"the AV1 OBU at byte {at} reaches past the end of its temporal unit of {end} bytes")
        yield Obu(header >> 3 & 15, at, body, body + size)
        at = body + size


def leb128(value: int) -> bytes:
    """`value` in the fewest bytes, seven bits each, least significant first."""
    if not 0 <= value < 1 << 32:
        raise ValueError(f"{value} does not fit a leb128 of the AV1 specification")
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_leb128(data: bytes, at: int) -> tuple[int, int]:
    """(value, position after it) of the leb128 at `at`; at most eight bytes and 32 bits, as the specification says."""
    value = 0
    for k in range(8):
        if at + k >= len(data):
            raise FormatError("an AV1 size field is cut off")
        byte = data[at + k]
        value |= (byte & 0x7F) << 7 * k
        if not byte & 0x80:
            if value >> 32:
                raise FormatError("an AV1 size field exceeds 32 bits")
            return value, at + k + 1
    raise FormatError("an AV1 size field is longer than eight bytes")


class SequenceHeader(NamedTuple):
    """Of section 5.5: profile, level and tier of the first operating point, max_frame_width and max_frame_height."""

    profile: int
    level: int
    tier: int
    width: int
    height: int


def sequence_header(tu: bytes) -> SequenceHeader | None:
    """The unit's sequence header, None where it has none. No frame of the sequence is larger than it says, so this
    bounds what a decoder allocates."""
    found = _opened(tu)
    return found and found[0]


def _opened(tu: bytes) -> tuple[SequenceHeader, Bits, bool, bool] | None:
    """The sequence header as far as its size, what follows, whether it is that of a still picture, and whether frame
    headers tell of a decoder's model."""
    header = next((o for o in iter_obus(tu) if o.type == SEQUENCE_HEADER), None)
    if header is None:
        return None
    bits = Bits(tu, header.body, header.end)
    profile = bits.take(3)
    bits.take(1)  # still_picture
    reduced = bool(bits.take(1))  # reduced_still_picture_header
    level, tier, modelled = (bits.take(5), 0, False) if reduced else _operating_point(bits)
    width_bits, height_bits = bits.take(4) + 1, bits.take(4) + 1
    found = SequenceHeader(profile, level, tier, bits.take(width_bits) + 1, bits.take(height_bits) + 1)
    return found, bits, reduced, modelled


class SequenceTools(NamedTuple):
    """Of section 5.5, what the fields of frame headers depend on. `reduced`: of a still picture alone; `modelled`,
    `numbered`: frame headers tell of a decoder's model, and numbers of frames; `superblock`: log2 of its side;
    `order_bits`: of a frame's order; `motion_field`: enable_ref_frame_mvs; `screen`, `whole_motion`:
    seq_force_screen_content_tools, seq_force_integer_mv; `superres`: enable_superres."""

    reduced: bool
    modelled: bool
    numbered: bool
    superblock: int
    order_bits: int
    motion_field: bool
    screen: int
    whole_motion: int
    superres: bool


CHOSEN = 2  # of `screen` and `whole_motion`: each frame header says


def sequence_tools(tu: bytes) -> tuple[SequenceHeader, SequenceTools] | None:
    """The unit's sequence header and what follows its size, None where it has none."""
    opened = _opened(tu)
    return opened and (opened[0], _tools(*opened[1:]))


def sequence_colour(tu: bytes) -> tuple[int, int, int] | None:
    """Code points of primaries, transfer and matrix that the unit's sequence header tells, None where it tells none."""
    opened = _opened(tu)
    if opened is None:
        return None
    header, bits, *kind = opened
    _tools(bits, *kind)
    bits.take(2)  # enable_cdef, enable_restoration
    if bits.take(1) and header.profile == 2:  # high_bitdepth
        bits.take(1)  # twelve_bit
    if header.profile != 1:
        bits.take(1)  # mono_chrome
    return (bits.take(8), bits.take(8), bits.take(8)) if bits.take(1) else None


def _tools(bits: Bits, reduced: bool, modelled: bool) -> SequenceTools:
    """What follows the size, up to enable_superres."""
    numbered = not reduced and bool(bits.take(1))  # frame_id_numbers_present_flag
    if numbered:
        bits.take(4 + 3)
    superblock = 6 + bits.take(1)  # use_128x128_superblock
    bits.take(2)  # enable_filter_intra, enable_intra_edge_filter
    order_bits, motion_field, screen, whole = 0, False, CHOSEN, CHOSEN
    if not reduced:
        bits.take(4)  # enable_interintra_compound, enable_masked_compound, enable_warped_motion, enable_dual_filter
        ordered = bits.take(1)  # enable_order_hint
        if ordered:
            bits.take(1)  # enable_jnt_comp
            motion_field = bool(bits.take(1))  # enable_ref_frame_mvs
        screen = CHOSEN if bits.take(1) else bits.take(1)  # seq_choose_screen_content_tools
        whole = bits.take(1) if screen and not bits.take(1) else CHOSEN  # unless seq_choose_integer_mv
        order_bits = bits.take(3) + 1 if ordered else 0  # order_hint_bits_minus_1
    superres = bool(bits.take(1))
    return SequenceTools(reduced, modelled, numbered, superblock, order_bits, motion_field, screen, whole, superres)


def sequence_size(tu: bytes) -> tuple[int, int] | None:
    """(width, height) of the unit's sequence header, None where it has none."""
    header = sequence_header(tu)
    return header and (header.width, header.height)


def _operating_point(bits: Bits) -> tuple[int, int, bool]:
    """(level, tier) of the first operating point, and whether there is a decoder's model; passes over what lies around
    them and over the other points."""
    decoder_model = False
    delay_bits = 0
    levels = []
    if bits.take(1):  # timing_info_present_flag
        bits.take(32 + 32)  # num_units_in_display_tick, time_scale
        if bits.take(1):  # equal_picture_interval
            bits.uvlc()  # num_ticks_per_picture_minus_1
        decoder_model = bool(bits.take(1))
        if decoder_model:
            delay_bits = bits.take(5) + 1  # buffer_delay_length_minus_1
            bits.take(32 + 5 + 5)  # num_units_in_decoding_tick, two lengths
    display_delay = bits.take(1)
    for _ in range(bits.take(5) + 1):  # operating points
        bits.take(12)  # operating_point_idc
        index = bits.take(5)
        levels.append((index, bits.take(1) if index > 7 else 0))
        if decoder_model and bits.take(1):
            bits.take(2 * delay_bits + 1)  # operating_parameters_info
        if display_delay and bits.take(1):
            bits.take(4)  # initial_display_delay_minus_1
    return (*levels[0], decoder_model)


class Bits:
    """Reads big-endian bit fields of data[at:end]."""

    def __init__(self, data: bytes, at: int, end: int):
        self.data, self.at, self.end = data, at * 8, end * 8

    def take(self, count: int) -> int:
        if self.at + count > self.end:
            raise FormatError("an AV1 header is cut off")
        value = 0
        for k in range(self.at, self.at + count):
            value = value << 1 | self.data[k >> 3] >> (7 - (k & 7)) & 1
        self.at += count
        return value

    def uvlc(self) -> int:
        zeros = 0
        while not self.take(1):
            zeros += 1
        return (1 << 32) - 1 if zeros >= 32 else (1 << zeros) - 1 + self.take(zeros)
