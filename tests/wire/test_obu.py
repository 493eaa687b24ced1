"""Payloads inside temporal units: exact round trips, and FormatError for everything malformed."""

from __future__ import annotations

import random
from contextlib import suppress

import pytest

from codec.errors import FormatError
from codec.wire import obu
from tests.makers import base_temporal_units

DELIMITER = b"\x12\x00"


@pytest.mark.parametrize("value", [0, 1, 127, 128, 300, 1 << 14, (1 << 28) + 5, (1 << 32) - 1])
def test_leb128_round_trip(value):
    data = obu.leb128(value)
    assert obu.read_leb128(b"\xff" + data + b"\0", 1) == (value, 1 + len(data))


def test_leb128_may_be_padded():
    assert obu.read_leb128(b"\x85\x80\x80\x00", 0) == (5, 4)


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xff" * 8, b"\xff\xff\xff\xff\x7f", b"\x80" * 9])
def test_leb128_malformed(data):
    with pytest.raises(FormatError):
        obu.read_leb128(data, 0)


@pytest.mark.parametrize("value", [-1, 1 << 32])
def test_leb128_range(value):
    with pytest.raises(ValueError, match="leb128"):
        obu.leb128(value)


@pytest.mark.parametrize("payloads", [(), (b"",), (b"\0\0",), (b"a\x80", b"\x80\0\0", bytes(300)), (bytes(3 << 20),)])
@pytest.mark.parametrize("number", [0, 1])
def test_inject_extract_strip(payloads, number):
    tu = base_temporal_units(10)[number][0]
    film = obu.inject(tu, payloads)
    assert obu.extract(film) == list(payloads)
    assert obu.strip(film) == tu


def test_inject_goes_before_the_first_picture():
    tu = base_temporal_units(10)[0][0]
    kinds = [o.type for o in obu.iter_obus(obu.inject(DELIMITER + tu, [b"x"]))]
    assert kinds[:3] == [obu.TEMPORAL_DELIMITER, obu.SEQUENCE_HEADER, obu.METADATA]
    assert kinds[3] in (obu.FRAME, obu.FRAME_HEADER)


def test_foreign_metadata_is_skipped():
    foreign = bytes([obu.METADATA << 3 | 2, 6]) + b"\x04\xb5\x00\x3cab"
    tu = obu.inject(foreign + base_temporal_units(10)[0][0], [b"ours"])
    assert obu.extract(tu) == [b"ours"]
    assert obu.strip(tu).startswith(foreign)


def test_last_obu_without_size_extension_and_padding():
    body = obu.SIGNATURE + b"payload\x80"
    header = obu.METADATA << 3
    assert obu.extract(bytes([header]) + body) == [b"payload"]
    assert obu.extract(bytes([header | 4, 0]) + body) == [b"payload"]
    assert obu.extract(bytes([header | 6, 0, len(body) + 2]) + body + bytes(2) + bytes(5)) == [b"payload"]


def test_headers_without_size_take_no_payload():
    with pytest.raises(FormatError):
        obu.inject(bytes([obu.SEQUENCE_HEADER << 3]) + b"\0\0\0", [b"x"])


@pytest.mark.parametrize("tu", [b"\x0a", b"\x0a\x05abc", b"\x8a\x00", b"\x2e", b"\x2c", b"\x0a\xff\xff\xff\xff\xff"])
def test_malformed_units(tu):
    with pytest.raises(FormatError):
        list(obu.iter_obus(tu))


def test_missing_trailing_bits():
    body = obu.SIGNATURE + b"payload"
    with pytest.raises(FormatError):
        obu.extract(bytes([obu.METADATA << 3 | 2, len(body)]) + body)


def test_sequence_size():
    units = base_temporal_units(10)
    assert obu.sequence_size(units[0][0]) == (64, 48)
    assert obu.sequence_size(units[1][0]) is None
    with pytest.raises(FormatError):
        obu.sequence_size(b"\x0a\x02\x00\x00")


def test_sequence_size_with_optional_fields():
    """A header written by hand: timing, decoder model, two operating points, delays."""
    fields = [
        (0, 3), (0, 1), (0, 1), (1, 1), (1, 32), (25, 32), (1, 1), (0b00110, 5),  # uvlc of 5
        (1, 1), (9, 5), (1, 32), (3, 5), (3, 5), (1, 1), (1, 5),
        (0, 12), (9, 5), (1, 1), (1, 1), (0, 21), (1, 1), (3, 4),
        (1, 12), (2, 5), (0, 1), (0, 1),
        (9, 4), (8, 4), (719, 10), (479, 9), (0, 20),
    ]  # fmt: skip
    bits = "".join(f"{value:0{count}b}" for value, count in fields)
    size = -(-len(bits) // 8)
    body = int(bits.ljust(size * 8, "0"), 2).to_bytes(size)
    assert obu.sequence_size(bytes([0x0A, len(body)]) + body) == (720, 480)


def test_damage_never_escapes_as_another_error():
    rng = random.Random(5)
    tu = obu.inject(base_temporal_units(10)[0][0], [b"abc" * 50, b"z"])
    for _ in range(2000):
        broken = bytearray(tu)
        for _ in range(rng.randint(1, 4)):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        broken = bytes(broken[: rng.randint(0, len(broken))])
        for read in (obu.extract, obu.strip, obu.sequence_size, lambda data: obu.inject(data, [b"p"])):
            with suppress(FormatError):
                read(broken)
