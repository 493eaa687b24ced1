"""Records: what one declaration gives, and that the format pages say the same of every field as the declarations."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

import pytest

import splat.fields
import splat.payload
import splat.tables
from codec.errors import FormatError
from codec.segment.payload import SegmentHeader
from codec.still.payload import StillHeader
from codec.wire.fields import (
    KINDS,
    STILL,
    VERSION,
    Number,
    Record,
    Values,
    decibels,
    length,
    one_of,
    part,
    seal,
    text,
    wire,
    wires,
    words,
)
from codec.wire.properties import Properties
from codec.wire.tracks import Track, read_tracks, write_tracks
from heads.density.spec import DensitySpec, check
from heads.density.store import DensityFront, Family, specs
from heads.layers import HeadError
from heads.restorer.spec import HeadSpec
from heads.restorer.store import HeadFront

ROOT = Path(__file__).parents[2]
BITS = {"B": 8, "H": 16, "I": 32, "Q": 64}


# --------------------------------------------------------------------------------------------------- the format's pages


def section(page: str, title: str) -> str:
    """What a page says under a heading or after a phrase, up to the next heading."""
    text = (ROOT / page).read_text(encoding="utf-8")
    assert text.count(title) == 1
    return text.split(title)[1].split("\n#")[0]


def number(text: str) -> int:
    """123, 2^20, 2^32 - 1."""
    found = re.fullmatch(r"(\d+)(?:\^(\d+))?(?: - (\d+))?", text)
    assert found, text
    base, power, less = (int(group) if group else None for group in found.groups())
    assert base is not None
    return base ** (1 if power is None else power) - (less or 0)


def bounds(text: str) -> tuple[int, int] | set[int]:
    """`1..255`: the smallest and the largest; `8, 10` or `1`: a set."""
    if ".." in text:
        low, high = text.split("..")
        return number(low), number(high)
    return {number(one) for one in text.split(", ")}


def rows(text: str) -> list[list[str]]:
    """Cells of all tables' rows."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def fields_of(text: str) -> dict[str, tuple[int, tuple[int, int] | set[int]]]:
    """Bits and legal values of the fields in tables, up to the first that has no name in the code."""
    found = {}
    for name, width, legal, *_ in (row for row in rows(text) if len(row) == 4):
        if re.fullmatch(r"\w+", name) and (bits := re.match(r"\d+", width)) and re.match(r"\d", legal):
            assert name not in found
            found[name] = int(bits[0]), bounds(legal)
    return found


def declared(numbers: Mapping[str, Number | splat.fields.Number]) -> dict[str, tuple[int, object]]:
    """The same of a record."""
    found: dict[str, tuple[int, object]] = {}
    for name, one in numbers.items():
        reserved = set(getattr(one, "reserved", ()))
        legal = {*range(one.low, one.high + 1)} - reserved if reserved else (one.low, one.high)
        found[name] = BITS[one.code], legal
    return found


def named(legal: Mapping[str, list[int]]) -> dict[str, tuple[int, object]]:
    """The same of a file of heads."""
    found: dict[str, tuple[int, object]] = {}
    for name, values in legal.items():
        whole = len(values) > 1 and values == list(range(values[0], values[-1] + 1))
        found[name] = 8, (values[0], values[-1]) if whole else set(values)
    return found


def test_the_page_declares_a_payload_as_the_code_does() -> None:
    text = section("FORMAT.md", "\n## 2 Payload\n")
    assert fields_of(text) == {"version": (8, {VERSION}), "kind": (8, (min(KINDS), max(KINDS)))}
    assert seal(STILL, b"body")[:2] == bytes([VERSION, STILL])


def test_the_page_declares_tracks_as_the_code_does() -> None:
    text = section("FORMAT.md", "\n### Tracks\n")
    assert list(fields_of(text).items()) == list(declared(Track.numbers).items())
    assert [row[0] for row in rows(text) if len(row) == 3 and row[0] != "part"] == ["codec"]


def test_the_page_declares_properties_as_the_code_does() -> None:
    assert fields_of(section("FORMAT.md", "\n### Properties\n")) == declared(Properties.numbers)


def test_the_page_declares_a_segment_as_the_code_does() -> None:
    text = section("FORMAT.md", "\n### Segment\n")
    assert list(fields_of(text).items()) == list(declared(SegmentHeader.numbers).items())
    assert [row[0] for row in rows(text) if len(row) == 3 and row[0] != "part"] == ["head", "used", "checksums"]


def test_the_page_declares_a_still_as_the_code_does() -> None:
    text = section("FORMAT.md", "\n### Payload of a still\n")
    assert list(fields_of(text).items()) == list(declared(StillHeader.numbers).items())
    parts = [row[1] for row in rows(text) if len(row) == 3 and row[1].endswith("_bytes")]
    assert parts == [name for name in StillHeader.numbers if name.endswith("_bytes")]


def test_the_page_declares_files_of_heads_as_the_code_does() -> None:
    heads, density = section("FORMAT.md", "\n## 8 Heads as files\n").split("\n`NVCD`")
    assert list(fields_of(heads).items()) == list(named(HeadFront.legal).items())
    assert list(fields_of(density).items()) == list(named(DensityFront.legal).items())
    assert magic(heads) == HeadFront.magic and magic(density) == DensityFront.magic


def magic(text: str) -> bytes:
    """The bytes that a table begins with."""
    return next(bytes.fromhex(row[2].strip("`")) for row in rows(text) if row[0] == "magic")


def test_the_page_declares_nvs_as_the_code_does() -> None:
    text = section("SPLAT.md", "\n## File\n")
    numbers = {**splat.payload.Front.numbers, **splat.payload.CodeFront.numbers}
    assert list(fields_of(text).items()) == list(declared(numbers).items())
    assert magic(text) == splat.payload.MAGIC


def test_the_page_declares_the_trained_numbers_as_the_code_does() -> None:
    table = section("SPLAT.md", "\n| numbers | shape | legal | meaning |\n").split("\n\n")[0]
    found = {name: (tuple(map(int, shape.split(", "))), bounds(legal)) for name, shape, legal, _ in rows(table)}
    assert list(found.items()) == [
        (name, (one.shape, (one.low, one.high))) for name, one in splat.tables.Prior.numbers().items()
    ]
    total = sum(prod(one.shape) for one in splat.tables.Prior.numbers().values())
    assert f"{total} numbers" in " ".join(section("SPLAT.md", "\n## Symbols\n").split())


@pytest.mark.parametrize("page", ["FORMAT.md", "SPLAT.md"])
def test_no_line_of_a_page_is_long(page: str) -> None:
    assert max(map(len, (ROOT / page).read_text(encoding="utf-8").splitlines())) <= 120


# --------------------------------------------------------------------------------------------- heads: what spec.py says


def test_a_file_of_a_head_may_say_what_a_head_may_be() -> None:
    legal = HeadFront.legal
    for name in ("planes", "layers", "width"):
        for value in range(256):
            said = {"planes": 6, "layers": 4, "width": 16} | {name: value}
            try:
                HeadSpec(said["planes"], 0, said["layers"], said["width"])
            except ValueError:
                assert value not in legal[name]
            else:
                assert value in legal[name]


def test_a_file_of_density_heads_may_say_what_they_may_be() -> None:
    assert DensityFront.legal["heads"] == [len(specs(Family.FILM, 4))] == [len(specs(Family.STILL, 4))]
    for width in (32, 33):
        with pytest.raises(HeadError) as error:
            check(DensitySpec(0, False, False, width), [])
        assert (width in DensityFront.legal["width"]) == ("at most 32" not in str(error.value))


# -------------------------------------------------------------------------------------------------------------- records


@dataclass(frozen=True)
class Drawn(Record, what="a drawn record"):
    """A field of every kind."""

    first: int = wire("B", 1, 200, reserved=(7, 9))
    shifted: int = wire("B", 0, 255, to=lambda value: value + 128, of=lambda value: value - 128)
    pair: tuple[int, int] = wires(
        lambda pair: pair, lambda a, b: (a, b), one=Number("H", 0, 500), two=Number("I", 5, 9)
    )
    choice: str = one_of("B", {"a": 3, "b": 5})
    level: float = decibels(50.0)
    body_bytes = length("body", "H", 300)
    many: int = wire("B", 0, 255)
    body: bytes = part("body_bytes")
    bits: bytes = part(lambda v: v["many"] // 8)
    sums: tuple[int, ...] = words(lambda v: v["many"])

    @classmethod
    def check(cls, v: Values) -> None:
        super().check(v)
        if v["one"] == 13:
            raise FormatError("one is unlucky")


DRAWN = Drawn(
    first=3, shifted=-128, pair=(500, 5), choice="b", level=41.504, many=17, body=b"abc", bits=b"xy", sums=(7,) * 17
)


def test_a_record_lies_as_it_is_declared() -> None:
    front = bytes.fromhex("03 00 01F4 00000005 05 1036 0003 11")
    assert Drawn.layout.size == len(front) and list(Drawn.numbers)[-2:] == ["body_bytes", "many"]
    assert DRAWN.pack() == front + b"abcxy" + bytes.fromhex("00000007") * 17
    found = Drawn.unpack(DRAWN.pack())
    assert found == replace(DRAWN, level=41.5) and found.body_bytes == 3
    assert [replace(DRAWN, level=value).values()["level"] for value in (-1.0, 60.0, float("inf"))] == [0, 5000, 5000]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"first": 0}, "first is 0, outside 1..200"), ({"first": 9}, "first is 9$"),
        ({"shifted": 128}, "shifted is 256, outside 0..255"),
        ({"pair": (0, 10)}, "two is 10, outside 5..9"), ({"pair": (13, 5)}, "unlucky"),
        ({"body": bytes(301)}, "body_bytes is 301"), ({"bits": b"x"}, "parts that do not fit"),
        ({"sums": (1,) * 16}, "a drawn record has parts that do not fit its fields"),
    ],
    ids=str,
)  # fmt: skip
def test_an_illegal_record_is_not_written(changes: dict[str, object], said: str) -> None:
    with pytest.raises(FormatError, match=said):
        replace(DRAWN, **changes).pack()  # type: ignore[arg-type]


def test_an_illegal_record_is_not_read() -> None:
    data = DRAWN.pack()
    for cut in range(len(data)):
        end = "is too short" if cut < Drawn.layout.size else "is not as long as its fields say"
        with pytest.raises(FormatError, match=f"a drawn record {end}"):
            Drawn.unpack(data[:cut])
    with pytest.raises(FormatError, match="not as long"):
        Drawn.unpack(data + b"x")
    with pytest.raises(FormatError, match="unlucky"):
        Drawn.unpack(data[:2] + b"\0\x0d" + data[4:])
    with pytest.raises(FormatError, match="first is 7"):
        Drawn.unpack(b"\7" + data[1:])


@dataclass(frozen=True)
class Named(Record, what="a name"):
    name_bytes = length("name", "B", 9)
    long: int = wire("Q", 0, (1 << 63) - 1)
    name: str = text("name_bytes")


def test_records_lie_one_after_the_other() -> None:
    first, second = Named(name="ab", long=1 << 40), Named(name="", long=0)
    data = first.pack() + second.pack()
    assert data == bytes.fromhex("02 0000010000000000") + b"ab" + bytes(9)
    assert Named.read(data) == (first, second.pack())
    with pytest.raises(FormatError, match="not as long"):
        Named.unpack(data)
    with pytest.raises(FormatError, match="no printable letter"):
        Named.unpack(bytes.fromhex("01 0000000000000000 0a"))


def test_tracks_are_read_as_they_were_written() -> None:
    sound, cover = Track("audio", 7, 1 << 40, 5, "aac"), Track("cover", 1, 9, 0xFFFFFFFF, "mjpeg")
    tracks = (sound, cover, Track("attachment", 1, 0, 0, ""))
    payload = write_tracks(tracks)
    assert read_tracks(payload) == tracks and read_tracks(write_tracks([])) == ()
    body = payload[2:-4]
    for cut in (1, 17, len(body) - 1):
        with pytest.raises(FormatError, match="the record of a track"):
            read_tracks(seal(payload[1], body[:cut]))
    with pytest.raises(FormatError, match="kind is 5"):
        read_tracks(seal(payload[1], b"\5" + body[1:]))
    with pytest.raises(FormatError, match="does not tell of tracks"):
        read_tracks(seal(STILL, body))
