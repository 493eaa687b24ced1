"""Payloads: the bytes of FORMAT.md, round trips, and every illegal value refused by name."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from codec.errors import FormatError
from codec.frames import PlaneFormat, checksum
from codec.segment.payload import SegmentHeader, read_residual, read_segment, write_residual, write_segment
from codec.wire.fields import RESIDUAL, SEGMENT, kind_of
from codec.wire.obu import extract, inject

# "Worked example" of FORMAT.md, as it lies in a temporal unit
EXAMPLE = bytes.fromhex(
    """
    2A 36
    04 B5 7F FD 4E 56 43
    01 01
    05 00 02 D0 01 08 02
    00 00 5D C0 00 00 03 E9
    00 03 08 10 36
    00 00 00 00 00
    00 00 00 00 00 00 00 00
    00 00 00
    12 34 AB CD
    AA 75 86 94
    80
    """
)
BARE = SegmentHeader(
    width=1280,
    height=720,
    format=PlaneFormat("420", 8),
    scale=Fraction(2),
    rate=Fraction(24000, 1001),
    frames=3,
    group=8,
    psnr=41.5,
    head_kind=0,
    history=0,
    gate=0,
    layers=0,
    head_width=0,
    reference=0,
    loss_kind=0,
    loss_step=0,
    max_error=0,
    head=b"",
    used=b"",
    checksums=(0x1234ABCD,),
)
FULL = replace(
    BARE,
    frames=19,
    group=4,
    head_kind=2,
    history=2,
    gate=5,
    layers=4,
    head_width=16,
    reference=0xDEADBEEF,
    loss_kind=1,
    loss_step=9,
    head=bytes(range(100)),
    used=b"\xff\x01\x07",
    checksums=(1, 0xFFFFFFFF, 3, 4, 5),
)
# (offset in the body, width in bytes) of each fixed field, from the table in FORMAT.md
FIELDS = {
    "width": (0, 2), "height": (2, 2), "chroma": (4, 1), "depth": (5, 1), "scale": (6, 1), "rate": (7, 4),
    "rate_unit": (11, 4), "frames": (15, 2), "group": (17, 1), "psnr": (18, 2), "head_kind": (20, 1),
    "history": (21, 1), "gate": (22, 1), "layers": (23, 1), "head_width": (24, 1), "reference": (25, 4),
    "head_bytes": (29, 4), "loss_kind": (33, 1), "loss_step": (34, 1), "max_error": (35, 1),
}  # fmt: skip
FIXED = 36


def sealed(data: bytes) -> bytes:
    return data + struct.pack(">I", zlib.crc32(data))


def patched(header: SegmentHeader, **values: int) -> bytes:
    """The payload of `header` with raw field values in place, its CRC-32 right."""
    data = bytearray(write_segment(header)[:-4])
    for name, value in values.items():
        at, size = FIELDS[name]
        data[2 + at : 2 + at + size] = value.to_bytes(size, "big")
    return sealed(bytes(data))


def test_the_worked_example() -> None:
    payload = EXAMPLE[9:-1]
    assert read_segment(payload) == BARE
    assert write_segment(BARE) == payload
    before, frame = bytes.fromhex("1200 0A0100"), bytes.fromhex("320100")  # delimiter and sequence header, frame
    assert inject(before + frame, [payload]) == before + EXAMPLE + frame
    assert extract(before + EXAMPLE + frame) == [payload]


@pytest.mark.parametrize("chroma", ["400", "420", "422", "444"])
@pytest.mark.parametrize("depth", [8, 10])
@pytest.mark.parametrize("scale", [Fraction(1), Fraction(3, 2), Fraction(2), Fraction(3), Fraction(4)], ids=str)
def test_formats_round_trip(chroma: str, depth: int, scale: Fraction) -> None:
    for header in (BARE, FULL):
        header = replace(header, format=PlaneFormat(chroma, depth), scale=scale)
        assert read_segment(write_segment(header)) == header


@pytest.mark.parametrize("changes", [
    {"width": 1, "height": 1}, {"width": 65535, "height": 2048}, {"rate": Fraction(1, 0xFFFFFFFF)},
    {"psnr": 0.0}, {"psnr": 100.0}, {"frames": 24, "used": b"\xff\xff\xff", "checksums": (7,) * 6},
    {"group": 255, "checksums": (9,)}, {"group": 1, "checksums": tuple(range(19))},
    {"history": 0, "gate": 0}, {"head_kind": 6, "history": 0, "gate": 0},
    {"history": 1, "gate": 2}, {"gate": 8}, {"layers": 2, "head_width": 1},
    {"layers": 8, "head_width": 64}, {"head_kind": 1, "reference": 0}, {"reference": 0}, {"head": bytes(1 << 22)},
    {"loss_kind": 0, "loss_step": 0}, {"loss_step": 255}, {"loss_kind": 2, "loss_step": 0, "max_error": 0},
    {"loss_kind": 2, "loss_step": 0, "max_error": 127},
], ids=lambda c: "-".join(c))  # fmt: skip
def test_legal_extremes_round_trip(changes: dict[str, Any]) -> None:
    header = replace(FULL, **changes)
    assert read_segment(write_segment(header)) == header


ILLEGAL: list[tuple[SegmentHeader, dict[str, int]]] = [
    (BARE, {"width": 0}), (BARE, {"height": 0}), (BARE, {"width": 65535, "height": 2049}), (BARE, {"chroma": 4}),
    *((BARE, {"depth": v}) for v in (0, 7, 9, 11, 12, 255)), (BARE, {"scale": 5}), (BARE, {"scale": 255}),
    (BARE, {"rate": 0}), (BARE, {"rate_unit": 0}), (BARE, {"frames": 0}), (BARE, {"group": 0}),
    (BARE, {"psnr": 10001}), (BARE, {"psnr": 65535}), (FULL, {"head_kind": 3}), (FULL, {"history": 3}),
    (FULL, {"gate": 0}), (FULL, {"gate": 1}), (FULL, {"gate": 9}), (FULL, {"history": 0}),
    (FULL, {"layers": 0}), (FULL, {"layers": 1}), (FULL, {"layers": 9}), (FULL, {"head_width": 0}),
    (FULL, {"head_width": 65}), (FULL, {"head_kind": 1}), (FULL, {"head_kind": 4}),
    (FULL, {"head_kind": 6}), (FULL, {"head_kind": 8}),
    (BARE, {"history": 1}), (BARE, {"history": 1, "gate": 4}), (BARE, {"gate": 4}), (BARE, {"layers": 4}),
    (BARE, {"head_width": 8}), (BARE, {"reference": 1}), (BARE, {"head_bytes": 1}), (BARE, {"head_kind": 1}),
    (BARE, {"head_kind": 2}), (FULL, {"head_kind": 0}),
    (FULL, {"loss_kind": 3}), (FULL, {"loss_step": 0}), (FULL, {"loss_kind": 0}), (FULL, {"loss_kind": 2}),
    (FULL, {"max_error": 1}), (BARE, {"max_error": 1}), (BARE, {"loss_step": 1}), (BARE, {"loss_kind": 1}),
    (BARE, {"loss_kind": 2, "max_error": 128}), (BARE, {"loss_kind": 2, "max_error": 255}),
    (FULL, {"head_bytes": 0}), (FULL, {"head_bytes": 99}), (FULL, {"head_bytes": 101}),
    (FULL, {"head_bytes": (1 << 22) + 1}), (FULL, {"head_bytes": 0xFFFFFFFF}),
    (FULL, {"frames": 18}), (FULL, {"frames": 17}), (FULL, {"frames": 65535}), (FULL, {"group": 3}),
    (FULL, {"group": 5}), (BARE, {"frames": 9}),
]  # fmt: skip


@pytest.mark.parametrize("header, values", ILLEGAL, ids=lambda v: str(v) if isinstance(v, dict) else "")
def test_illegal_values_are_refused(header: SegmentHeader, values: dict[str, int]) -> None:
    with pytest.raises(FormatError):
        read_segment(patched(header, **values))


def test_a_head_of_the_program_has_a_number_and_no_history() -> None:
    pretrained = replace(FULL, head_kind=3, history=0, gate=0, reference=1)
    assert read_segment(write_segment(pretrained)) == pretrained
    wishes = ({"reference": 0}, {"history": 1, "gate": 4}, {"head": b""})
    for wrong in (replace(pretrained, **wish) for wish in wishes):
        with pytest.raises(FormatError):
            write_segment(wrong)


def test_patching_alone_breaks_nothing() -> None:
    assert read_segment(patched(BARE, width=640, frames=8)) == replace(BARE, width=640, frames=8)
    assert sum(size for _, size in FIELDS.values()) == FIXED
    assert len(write_segment(BARE)) == 2 + FIXED + 4 + 4


@pytest.mark.parametrize("changes", [
    {"width": 65536}, {"width": 65535, "height": 65535}, {"frames": 65536}, {"group": 0}, {"layers": 1}, {"gate": 1},
    {"head": b""}, {"head": bytes((1 << 22) + 1)}, {"used": b""}, {"used": bytes(4)}, {"checksums": ()},
    {"checksums": (1,) * 6}, {"loss_step": 256}, {"loss_kind": 2}, {"rate": Fraction(0)}, {"max_error": 4},
    {"loss_kind": 2, "loss_step": 0, "max_error": 128},
], ids=lambda c: "-".join(c))  # fmt: skip
def test_illegal_headers_are_not_written(changes: dict[str, Any]) -> None:
    with pytest.raises(FormatError):
        write_segment(replace(FULL, **changes))


def test_used_bits() -> None:
    header = replace(FULL, used=b"\x01\x80\x04")
    assert [k for k in range(24) if header.uses_head(k)] == [0, 15, 18]
    assert not header.uses_head(24) and not header.uses_head(10_000)
    assert not any(BARE.uses_head(k) for k in range(8))
    at = 2 + FIXED + len(FULL.head) + 2  # the last byte of `used`: pictures 16, 17, 18
    for bit in range(8):
        data = bytearray(write_segment(FULL)[:-4])
        data[at] = 1 << bit
        if bit < 3:
            assert read_segment(sealed(bytes(data))).uses_head(16 + bit)
        else:
            with pytest.raises(FormatError, match="beyond"):
                read_segment(sealed(bytes(data)))


@pytest.mark.parametrize("header", [BARE, FULL], ids=["bare", "full"])
def test_every_cut_and_every_flipped_bit_is_refused(header: SegmentHeader) -> None:
    payload = write_segment(header)
    for size in range(len(payload)):
        with pytest.raises(FormatError):
            read_segment(payload[:size])
        if size > 6:  # cut, but with a CRC-32 that fits
            with pytest.raises(FormatError):
                read_segment(sealed(payload[: size - 4]))
    for bit in range(8 * len(payload)):
        flipped = bytearray(payload)
        flipped[bit >> 3] ^= 1 << (bit & 7)
        with pytest.raises(FormatError, match="CRC"):
            read_segment(bytes(flipped))
    with pytest.raises(FormatError):
        read_segment(sealed(payload[:-4] + b"\0"))


def test_kinds_and_versions() -> None:
    segment, residual = write_segment(BARE), write_residual(b"loss")
    assert (kind_of(segment), kind_of(residual)) == (SEGMENT, RESIDUAL) == (1, 2)
    for version, kind in ((0, 1), (2, 1), (255, 2)):
        with pytest.raises(FormatError, match="version"):
            kind_of(sealed(bytes([version, kind])))
    for kind in (0, 6, 255):
        with pytest.raises(FormatError, match="kind"):
            kind_of(sealed(bytes([1, kind])))
    with pytest.raises(FormatError, match="not a segment"):
        read_segment(residual)
    with pytest.raises(FormatError, match="not a loss-stream"):
        read_residual(segment)


@pytest.mark.parametrize("size", [0, 1, 3, 4, 1000])
def test_loss_streams_round_trip(size: int) -> None:
    data = np.random.default_rng(size).bytes(size)
    payload = write_residual(data)
    assert payload[:2] == b"\1\2" and payload[2:-4] == data
    assert read_residual(payload) == data
    for cut in range(len(payload)):
        with pytest.raises(FormatError):
            read_residual(payload[:cut])


def test_garbage_raises_format_errors_only() -> None:
    rng = np.random.default_rng(5)
    for trial in range(3000):
        body = rng.bytes(int(rng.integers(0, 120)))
        data = sealed(b"\1\1" + body) if trial % 2 else body
        with pytest.raises(FormatError):
            read_segment(data)


def test_checksum_is_of_samples_in_order() -> None:
    rng = np.random.default_rng(6)
    eight = [rng.integers(0, 256, s).astype(np.uint8) for s in ((3, 5), (2, 3), (2, 3))]
    ten = [rng.integers(0, 1024, s).astype(np.uint16) for s in ((3, 5), (2, 3), (2, 3))]
    for planes, code in ((eight, "<B"), (ten, "<H")):
        samples = b"".join(struct.pack(code, int(v)) for p in planes for v in p.ravel())
        assert checksum(planes) == zlib.crc32(samples)
        assert checksum(planes[1:], checksum(planes[:1])) == checksum(planes)
        assert checksum(planes[::-1]) != checksum(planes)
    big = [p.astype(">u2") for p in ten]
    assert checksum(big) == checksum(ten)
    assert checksum([np.asfortranarray(p) for p in eight]) == checksum(eight)
    assert checksum([p[:, ::-1] for p in eight]) != checksum(eight)
