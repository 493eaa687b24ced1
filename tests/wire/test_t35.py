"""What pictures bring with them: found in NAL units and OBUs, carried byte for byte."""

from __future__ import annotations

import pytest

from codec.wire import obu
from codec.wire.nal import is_beside, nal_units, t35_of
from codec.wire.t35 import caption_messages, kept, messages_in, name_of
from tests.makers import base_temporal_units

HDR10_PLUS = bytes.fromhex("b5003c0001040140001f404e202711138904e205900fa06400")
VIVID = bytes.fromhex("260004000501") + bytes(range(16))
DOLBY_VISION = bytes.fromhex("b5003b0000080037cd08")
OTHER = b"\xb5\x12\x34 of somebody else"
SLICE = bytes(range(1, 40))
HVCC, AVCC = b"\1" + bytes(20) + b"\3", b"\1" + bytes(3) + b"\xff" + bytes(20)  # sizes of four bytes


def escaped(data: bytes) -> bytes:
    """With what keeps start codes out, as section 7.4.1 of H.264 and H.265 says."""
    out = bytearray()
    for byte in data:
        out += b"\3" * (out.endswith(b"\0\0") and byte <= 3) + bytes([byte])
    return bytes(out)


def sei(header: str, *payloads: tuple[int, bytes]) -> bytes:
    """A NAL unit of SEI payloads (type, bytes)."""
    body = b"".join(bytes([kind]) + b"\xff" * (len(p) // 255) + bytes([len(p) % 255]) + p for kind, p in payloads)
    return bytes.fromhex(header) + escaped(body) + b"\x80"


@pytest.mark.parametrize(
    ("codec", "header", "extradata"), [("hevc", "4e01", HVCC), ("hevc", "5001", HVCC), ("h264", "06", AVCC)]
)
@pytest.mark.parametrize("annexb", [True, False])
def test_messages_are_found_in_nal_units(codec: str, header: str, extradata: bytes, annexb: bool) -> None:
    """Zeros in a message make it hold what keeps start codes out; long ones have sizes of several bytes."""
    long = HDR10_PLUS + bytes(600)
    units = [sei(header, (5, b"user data"), (4, long), (137, bytes(24))), b"\2\1" + SLICE, sei(header, (4, VIVID))]
    lead = b"\0\0\0\1" if annexb else b""
    packet = b"".join((lead or len(unit).to_bytes(4)) + unit for unit in units)
    found = [unit for unit in nal_units(packet, codec, b"" if annexb else extradata) if unit]
    assert [m for unit in found for m in t35_of(unit, codec)] == [long, VIVID]
    assert not any(is_beside(unit, codec) for unit in found)


@pytest.mark.parametrize("cut", range(0, 40, 3))
def test_what_is_cut_off_is_passed_over(cut: int) -> None:
    unit = sei("4e01", (4, HDR10_PLUS))
    packet = (len(unit).to_bytes(4) + unit)[:cut]
    for extradata in (b"", HVCC, b"\1"):
        for part in nal_units(packet, "hevc", extradata):
            assert all(HDR10_PLUS.startswith(message) for message in t35_of(part, "hevc"))


def test_layers_and_views_lie_beside_the_pictures() -> None:
    assert is_beside(b"\x02\x09" + SLICE, "hevc") and not is_beside(b"\x02\x01" + SLICE, "hevc")
    assert [is_beside(bytes([kind]) + SLICE, "h264") for kind in (1, 5, 19, 20)] == [False, False, True, True]


def test_messages_lie_in_the_base_as_they_were() -> None:
    unit = base_temporal_units(1)[0][0]
    for messages in ((), (HDR10_PLUS,), (VIVID + bytes(3), OTHER, HDR10_PLUS)):
        data = obu.with_messages(unit, messages)
        assert obu.messages_of(data) == list(messages)
        mixed = obu.inject(data, [b"ours", b"too"])
        assert obu.extract(mixed) == [b"ours", b"too"] and obu.strip(mixed) == data
        assert messages_in(mixed + bytes(5)) == tuple(m for m in messages if m != OTHER)
        assert [o.type for o in obu.iter_obus(data)].index(obu.SEQUENCE_HEADER) < 2
    assert messages_in(b"\x2a\xff") == ()


def test_what_is_kept() -> None:
    assert kept([HDR10_PLUS, DOLBY_VISION, VIVID, OTHER, b""]) == (HDR10_PLUS, VIVID)
    assert name_of(HDR10_PLUS) == "HDR10+ dynamic metadata" and name_of(DOLBY_VISION) is None


@pytest.mark.parametrize("count", [1, 20, 31, 32, 70])
def test_captions_become_messages(count: int) -> None:
    """ATSC A/53, part 4, table 6.10: a count of five bits, so there may be more than one message."""
    triplets = bytes(k % 251 for k in range(3 * count))
    messages = caption_messages(triplets)
    found = b""
    for message in messages:
        assert message.startswith(b"\xb5\x00\x31GA94\x03") and message.endswith(b"\xff")
        flags = message[8]
        assert flags & 0xE0 == 0x40 and len(message) == 8 + 2 + 3 * (flags & 31) + 1
        found += message[10:-1]
    assert found == triplets and len(messages) == -(-count // 31)
