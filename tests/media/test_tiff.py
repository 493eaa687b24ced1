"""TIFF against arrays worked out by formula: any depth, layout and alpha; what its tags say; pages.

Files are built byte by byte. What the builder means was checked once with other programs, which gave these samples of
the same kinds of files: Pillow 13.0 and ImageMagick 6.9.11.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from codec.errors import InputError
from codec.media import tiff as tiff_tags
from codec.media.pictures import Picture, parse_picture, read_picture, write_picture
from codec.settings import StillSettings
from codec.still.encode import encode_still
from codec.wire.exif import orientation, with_orientation
from tests.media.makers import ICC, bgr, packed, png, samples, scaled

ROWS, COLUMNS = 5, 7
EXIF_WITH_MAKER = with_orientation(b"II*\0\x08\0\0\0\1\0\x0f\1\2\0\6\0\0\0\x1a\0\0\0" + bytes(4) + b"Maker\0", 6)
EXACT = StillSettings(preset="fast", max_error=0, head=False)


def tiff(
    tags: dict[int, Any], parts: Iterable[bytes], order: str = "<", big: bool = False, tiled: bool = False
) -> bytes:
    """A file of one page, whose strips or tiles are `parts`."""
    parts = list(parts)
    head, wide = 16 if big else 8, 8 if big else 4
    starts = [head + sum(map(len, parts[:k])) for k in range(len(parts))]
    data = b"".join(parts) + bytes(sum(map(len, parts)) % 2)
    numbers: dict[int, Any] = {
        (324 if tiled else 273): starts,
        (325 if tiled else 279): [len(p) for p in parts],
        **tags,
    }
    at = head + len(data)
    table = b""
    for tag, value in sorted(numbers.items()):
        if isinstance(value, bytes):
            kind, count, values = 7, len(value), value
        else:
            listed = value if isinstance(value, list) else [value]
            kind, count = 4 if tag in (273, 279, 324, 325) else 3, len(listed)
            values = struct.pack(f"{order}{count}{'I' if kind == 4 else 'H'}", *listed)
        if len(values) > wide:
            place = struct.pack(order + ("Q" if big else "I"), at)
            data += values + bytes(len(values) % 2)
            at = head + len(data)
        else:
            place = values.ljust(wide, b"\0")
        table += struct.pack(order + ("HHQ" if big else "HHI"), tag, kind, count) + place
    magic = (b"II" if order == "<" else b"MM") + struct.pack(order + "H", 43 if big else 42)
    first = struct.pack(order + "HHQ", 8, 0, at) if big else struct.pack(order + "I", at)
    return magic + first + data + struct.pack(order + ("Q" if big else "H"), len(numbers)) + table + bytes(wide)


def page(values: NDArray[Any], bits: int, photometric: int, order: str = "<", **more: Any) -> bytes:
    """One strip of samples (rows, columns, channels)."""
    tags = _tags(values, bits, photometric) | more.pop("tags", {})
    return tiff(tags, [packed(values, bits, order)], order, **more)


def _tags(values: NDArray[Any], bits: int, photometric: int) -> dict[int, Any]:
    rows, columns, channels = values.shape
    return {256: columns, 257: rows, 258: [bits] * channels, 259: 1, 262: photometric, 277: channels, 278: rows}


@pytest.mark.parametrize("bits", [1, 2, 4, 6, 8, 10, 12, 14, 16])
@pytest.mark.parametrize(("photometric", "channels"), [(0, 1), (1, 1), (2, 3)])
def test_tiff_of_any_depth(photometric: int, channels: int, bits: int) -> None:
    peak = (1 << bits) - 1
    values = samples(peak, ROWS, COLUMNS, channels)
    wanted = scaled(peak - values if photometric == 0 else values, peak)
    for order in "<>":
        found = parse_picture(page(values, bits, photometric, order), "here")
        assert np.array_equal(found.pixels, wanted)
        assert len(found.notes) == (bits in (10, 12, 14))
    assert np.array_equal(parse_picture(page(values, bits, photometric, big=True), "here").pixels, wanted)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("layout", ["planes", "tiles", "strips", "deflate", "predicted", "lzw", "packbits"])
def test_tiff_of_any_layout(layout: str, bits: int) -> None:
    values = samples((1 << bits) - 1, 20, 40, 3)
    tags, tiled = _tags(values, bits, 2), False
    whole = packed(values, bits, "<")
    if layout == "planes":
        tags[284] = 2
        parts = [packed(values[..., k : k + 1], bits, "<") for k in range(3)]
    elif layout == "tiles":
        del tags[278]
        tags |= {322: 16, 323: 16}
        padded, tiled = np.pad(values, ((0, 12), (0, 8), (0, 0))), True
        parts = [packed(padded[y : y + 16, x : x + 16], bits, "<") for y in (0, 16) for x in (0, 16, 32)]
    elif layout == "strips":
        tags[278] = 6
        parts = [packed(values[y : y + 6], bits, "<") for y in (0, 6, 12, 18)]
    elif layout == "packbits":
        tags[259] = 32773
        parts = [b"".join(bytes([len(whole[k : k + 100]) - 1]) + whole[k : k + 100] for k in range(0, len(whole), 100))]
    elif layout == "lzw":
        tags[259] = 5
        done, data = cv2.imencode(".tif", bgr(values, bits), [cv2.IMWRITE_TIFF_COMPRESSION, 5])
        assert done and parse_picture(data.tobytes(), "here").pixels.shape == values.shape
        assert np.array_equal(parse_picture(data.tobytes(), "here").pixels, values)
        return
    else:
        tags |= {259: 8} | ({317: 2} if layout == "predicted" else {})
        if layout == "predicted":
            kept = values.copy()
            kept[:, 1:] -= values[:, :-1]
            whole = packed(kept % (1 << bits), bits, "<")
        parts = [zlib.compress(whole)]
    assert np.array_equal(parse_picture(tiff(tags, parts, tiled=tiled), "here").pixels, values)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(("photometric", "channels"), [(1, 2), (2, 4)])
def test_alpha_of_tiff_is_kept_or_divided_by(photometric: int, channels: int, bits: int) -> None:
    peak = (1 << bits) - 1
    values = samples(peak, ROWS, COLUMNS, channels)
    plain = parse_picture(page(values, bits, photometric, tags={338: 2}), "here")
    assert np.array_equal(plain.pixels, values)
    assert (plain.notes, plain.inexact) == ((), "")
    alpha = values[..., -1:]
    values[..., :-1] = values[..., :-1] * alpha // peak
    found = parse_picture(page(values, bits, photometric, tags={338: 1}), "here")
    divided = np.floor(np.divide(values[..., :-1] * float(peak), np.maximum(alpha, 1)) + 0.5)
    wanted = np.where(alpha > 0, divided, values[..., :-1])
    assert np.array_equal(found.pixels, np.concatenate([wanted, alpha], axis=2))
    said = "colours that were multiplied by alpha are divided by it"
    assert (found.notes, found.inexact) == ((f"here: {said}; the samples are not the file's own",), said)
    with pytest.raises(InputError, match=f"^the picture cannot be stored losslessly: {said}$"):
        encode_still(found, EXACT)
    values[..., -1] = peak
    assert not parse_picture(page(values, bits, photometric, tags={338: 1}), "here").inexact


def test_inks_palettes_and_further_channels_of_tiff() -> None:
    inks = samples(255, ROWS, COLUMNS, 4)
    found = parse_picture(page(inks, 8, 5), "here")
    wanted = np.floor((255 - inks[..., :3]) * (255 - inks[..., 3:]) / 255 + 0.5)
    assert np.array_equal(found.pixels, wanted)
    assert found.inexact == "CMYK is converted to RGB without its profile"
    indices, colours = samples(15, ROWS, COLUMNS, 1), samples(255, 3, 16)
    for factor, table in ((256, colours << 8), (257, colours * 257)):
        found = parse_picture(page(indices, 4, 3, tags={320: table.reshape(-1).tolist()}), "here")
        assert np.array_equal(found.pixels, colours.T[indices[..., 0]]), factor
    odd = samples(65535, 3, 16)
    found = parse_picture(page(indices, 4, 3, tags={320: odd.reshape(-1).tolist()}), "here")
    assert np.array_equal(found.pixels, odd.T[indices[..., 0]])
    five = samples(255, ROWS, COLUMNS, 5)
    found = parse_picture(page(five, 8, 2, tags={338: [0, 2]}), "here")
    assert np.array_equal(found.pixels, five[..., (0, 1, 2, 4)])
    assert found.notes == ("here: its further channels left out",)
    assert found.inexact


@pytest.mark.parametrize(
    ("bits", "photometric", "tags", "words"),
    [
        (8, 8, {}, "TIFF of colour space 8 cannot be read"),
        (8, 1, {339: 2}, "samples other than whole numbers from 0 on cannot be stored"),
        (16, 1, {339: 3}, "samples other than whole numbers from 0 on cannot be stored"),
        (8, 1, {258: 32}, "TIFF of 1 samples a pixel of 32 bits cannot be read"),
        (8, 1, {259: 34712}, "TIFF of compression 34712 cannot be read"),
        (8, 1, {317: 3}, "TIFF of predictor 3 for 8 bits cannot be read"),
        (8, 1, {279: 9}, "the TIFF is cut off or damaged"),
        (8, 1, {259: 8}, "the TIFF is cut off or damaged"),
        (8, 1, {259: 5, 279: 999}, "the TIFF is cut off or damaged"),
        (8, 1, {278: 1}, "the TIFF lacks strips or tiles"),
    ],
)
def test_tiff_that_is_not_read_says_why(bits: int, photometric: int, tags: dict[int, Any], words: str) -> None:
    values = samples((1 << bits) - 1, ROWS, COLUMNS, 3 if photometric == 8 else 1)
    with pytest.raises(InputError, match=f"^here: {words}$"):
        parse_picture(page(values, bits, photometric, tags=tags), "here")


def test_profile_orientation_and_exif_of_tiff() -> None:
    """The samples are not turned: the orientation is kept as EXIF."""
    values = samples(255, ROWS, COLUMNS, 3)
    found = parse_picture(page(values, 8, 2, tags={274: 6, 271: b"Maker\0", 34675: ICC, 700: b"<x/>"}), "here")
    assert np.array_equal(found.pixels, values)
    assert (orientation(found.exif), found.icc) == (6, ICC)
    assert b"Maker\0" in found.exif
    assert found.notes == ("here: its XMP left out",)
    assert parse_picture(page(values, 8, 2, tags={274: 1}), "here").exif == b""
    jpeg = cv2.imencode(".tif", bgr(values, 8), [cv2.IMWRITE_TIFF_COMPRESSION, 7])[1].tobytes()
    assert parse_picture(jpeg, "here").pixels.shape == values.shape


@pytest.mark.parametrize("deep", [False, True])
def test_tiff_is_written_with_profile_and_orientation(deep: bool, tmp_path: Path) -> None:
    """As Pillow and exiftool read them."""
    values = samples(65535 if deep else 255, ROWS, COLUMNS, 3).astype(np.uint16 if deep else np.uint8)
    for exif, notes in ((with_orientation(b"", 6), 0), (EXIF_WITH_MAKER, 1)):
        told = write_picture(str(tmp_path / "a.tif"), Picture(values, ICC, exif))
        assert ["without EXIF other than the orientation" in note for note in told] == [True] * notes
        found = read_picture(str(tmp_path / "a.tif"))
        assert np.array_equal(found.pixels, values)
        assert (found.icc, orientation(found.exif), found.notes) == (ICC, 6, ())


def test_pages_are_chosen_by_number(tmp_path: Path) -> None:
    values = [samples(255, ROWS + k, COLUMNS, 3) for k in range(3)]
    file = tmp_path / "a.tif"
    cv2.imwritemulti(str(file), [bgr(v, 8) for v in values])
    for number in (None, 1, 2, 3):
        found = read_picture(str(file), page=number)
        assert np.array_equal(found.pixels, values[(number or 1) - 1])
        which = f"number {number}" if number in (2, 3) else "the first"
        assert found.notes == (f"{file}: all pages but {which} of 3 left out",)
    with pytest.raises(InputError, match=r"a\.tif: it has no page 4: there are 3$"):
        read_picture(str(file), page=4)
    with pytest.raises(InputError, match=r"^here: only a TIFF has pages$"):
        parse_picture(png(8, 2, values[0]), "here", page=1)


@pytest.mark.parametrize("coding", [1, 5, 8, 32773])
@pytest.mark.parametrize("bits", [1, 8])
def test_bytes_whose_bits_are_in_reverse(bits: int, coding: int) -> None:
    """Of what is compressed, too. ImageMagick 6.9.11 reads these samples of the same files."""
    values = samples((1 << bits) - 1, ROWS, COLUMNS, 1)
    data = packed(values, bits, "<")
    pairs = b"".join(bytes([0, value]) for value in data)  # PackBits: each byte by itself
    codes = packed(np.array([[256, *data, 257]]), 9, ">")  # LZW: the same
    made = {1: data, 5: codes, 8: zlib.compress(data), 32773: pairs}[coding]
    mirrored = bytes(int(f"{value:08b}"[::-1], 2) for value in made)
    tags = _tags(values, bits, 1) | {259: coding, 266: 2}
    found = parse_picture(tiff(tags, [mirrored]), "here")
    assert np.array_equal(found.pixels, scaled(values, (1 << bits) - 1))


def test_directories_that_lie_across_each_other_are_counted_and_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each says that it has 65535 tags; so many are not read either. The page is looked up once."""
    count, tags = 500, 65535
    table = bytearray(8 + 4 * count + 2 + 12 * tags + 8)
    table[:8] = b"II*\0\x08\0\0\0"
    for number in range(count):
        at = 8 + 4 * number
        struct.pack_into("<H", table, at, tags)
        struct.pack_into("<I", table, at + 2 + 12 * tags, at + 4 if number < count - 1 else 0)
    with pytest.raises(InputError, match=r"^here: a page of the TIFF has 65535 tags: 4096 are allowed$"):
        parse_picture(bytes(table), "here")
    with pytest.raises(InputError, match=r"^here: it has no page 501: there are 500$"):
        parse_picture(bytes(table), "here", page=501)
    looked: list[int] = []
    once = tiff_tags.page_of
    monkeypatch.setattr(tiff_tags, "page_of", lambda data, page: looked.append(page) or once(data, page))
    parse_picture(page(samples(255, ROWS, COLUMNS, 3), 8, 2), "here", page=1)
    assert looked == [1]


@pytest.mark.parametrize("at", [1 << 62, 1 << 63, (1 << 64) - 1])
def test_places_that_no_file_has_are_beyond_its_end(at: int) -> None:
    """Of directories, of EXIF, of values."""
    with pytest.raises(InputError, match=r"^here: the TIFF is cut off$"):
        parse_picture(b"II+\0" + struct.pack("<HHQ", 8, 0, at) + bytes(99), "here")
    with pytest.raises(InputError, match=r"^here: the TIFF is cut off$"):
        parse_picture(b"II+\0" + struct.pack("<HHQQ", 8, 0, 16, at) + bytes(99), "here")
    values = samples(255, ROWS, COLUMNS, 1)
    data = page(values, 8, 1, tags={34665: [1, 2, 3, 4]}, big=True)
    entry = data.index(struct.pack("<HHQ", 34665, 3, 4))
    damaged = data[:entry] + struct.pack("<HHQQ", 34665, 16, 1, at) + data[entry + 20 :]
    assert np.array_equal(parse_picture(damaged, "here").pixels, values)
