"""Picture files against arrays worked out by formula: samples of every depth, alpha, what is said of colours.

Files are built byte by byte. What a builder means was checked once with other programs, which gave these samples and
tags of the same files: Pillow 13.0, ImageMagick 6.9.11, exiftool 12.57 and avifdec 0.11.1.
"""

from __future__ import annotations

import base64
import io
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
from codec.media import pictures
from codec.media.colours import CHROMATICITIES, SRGB, Points, named, profile
from codec.media.demuxed import open_source
from codec.media.pictures import Picture, looks_like_picture, parse_picture, read_picture, write_picture
from codec.settings import StillSettings
from codec.still.decode import decode_still
from codec.still.encode import encode_still
from codec.wire import avif
from codec.wire.exif import TURNS, orientation, turned, with_orientation
from codec.wire.obu import sequence_colour, strip
from tests.media.makers import ICC, bgr, packed, png, samples, scaled

ROWS, COLUMNS = 5, 7
EXACT = StillSettings(preset="fast", max_error=0, head=False)
EXIF_6 = b"MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"


# ------------------------------------------------------------------------------------------------------------------ PNM


def anymap(kind: int, values: NDArray[Any], peak: int) -> bytes:
    rows, columns, channels = values.shape
    if kind == 7:
        words = f"WIDTH {columns}\n# of a pixel\nDEPTH {channels}\nHEIGHT {rows}\nMAXVAL {peak}\nTUPLTYPE X\nENDHDR\n"
        head = b"P7\n" + words.encode()
    else:
        head = f"P{kind} # one\n{columns}\n#two\n {rows}{'' if kind in (1, 4) else f' {peak}'}\n".encode()
    if kind in (1, 2, 3):
        gap = b"" if kind == 1 else b" "
        return head + gap.join(str(value).encode() + b"\n" * (k % 5 == 0) for k, value in enumerate(values.reshape(-1)))
    if kind == 4:
        return head + np.packbits(values[..., 0].astype(np.uint8), axis=1).tobytes()
    return head + values.astype("u1" if peak < 256 else ">u2").tobytes()


@pytest.mark.parametrize("peak", [1, 15, 100, 255, 256, 1000, 1023, 65535])
@pytest.mark.parametrize(("kind", "channels"), [(2, 1), (3, 3), (5, 1), (6, 3), (7, 1), (7, 2), (7, 3), (7, 4)])
def test_anymaps_are_scaled_by_their_maximum(kind: int, channels: int, peak: int) -> None:
    values = samples(peak, ROWS, COLUMNS, channels)
    found = parse_picture(anymap(kind, values, peak), "here")
    assert np.array_equal(found.pixels, scaled(values, peak))
    back = np.floor(found.pixels.astype(np.float64) * peak / found.peak + 0.5)
    assert np.array_equal(back, values), "from what is stored the file's own samples can be worked out"
    said = f"here: samples of 0..{peak} are scaled to {8 * found.pixels.itemsize} bits"
    assert [note.startswith(said) for note in found.notes] == [True] * (peak not in (1, 255, 65535))
    assert not found.inexact


@pytest.mark.parametrize("kind", [1, 4])
def test_ones_of_bitmaps_are_black(kind: int) -> None:
    values = samples(1, ROWS, COLUMNS, 1)
    assert np.array_equal(parse_picture(anymap(kind, values, 1), "here").pixels, 255 - 255 * values)


def test_anymaps_that_are_not_read_say_why(tmp_path: Path) -> None:
    whole = anymap(6, samples(255, ROWS, COLUMNS, 3), 255)
    assert parse_picture(whole + whole, "here").notes == ("here: all pictures but the first left out",)
    for data, words in (
        (whole[:-1], "here: the picture is cut off"),
        (anymap(3, samples(9, 2, 2, 3), 9)[:-3], "here: the picture is cut off"),
        (anymap(5, samples(255, 4, 4, 1), 99), "here: samples exceed the maximum of 99"),
        (b"Pf\n2 2\n-1.0\n" + bytes(16), "here: samples of floating point cannot be stored"),
        (b"P2 1 1 99 1234567890", "here: a sample has too many digits"),
        (anymap(7, samples(255, 2, 2, 5), 255), "here: a picture of 5 channels cannot be stored"),
    ):
        with pytest.raises(InputError, match=f"^{words}$"):
            parse_picture(data, "here")
    (tmp_path / "a").write_bytes(b"P7\n")
    assert looks_like_picture(str(tmp_path / "a"))


# ------------------------------------------------------------------------------------------------------------------ BMP


def bitmap(header: bytes, lines: Iterable[bytes], between: bytes = b"") -> bytes:
    body = b"".join(line + bytes(-len(line) % 4) for line in lines)
    size = 14 + 4 + len(header) + len(between)
    return b"BM" + struct.pack("<IIII", size + len(body), 0, size, 4 + len(header)) + header + between + body


def described(bits: int, compression: int, rows: int = ROWS, more: bytes = b"", colours: int = 0) -> bytes:
    return struct.pack("<iiHHIIiiII", COLUMNS, rows, 1, bits, compression, 0, 0, 0, colours, 0) + more


def test_bitmaps_of_every_depth() -> None:
    rgb = samples(255, ROWS, COLUMNS, 3).astype(np.uint8)
    for rows, lines in ((ROWS, rgb[::-1]), (-ROWS, rgb)):
        found = parse_picture(bitmap(described(24, 0, rows), [row[:, ::-1].tobytes() for row in lines]), "here")
        assert np.array_equal(found.pixels, rgb)
    core = struct.pack("<HHHH", COLUMNS, ROWS, 1, 24)
    assert np.array_equal(parse_picture(bitmap(core, [r[:, ::-1].tobytes() for r in rgb[::-1]]), "here").pixels, rgb)
    for bits in (1, 2, 4, 8):
        indices, palette = samples((1 << bits) - 1, ROWS, COLUMNS), samples(255, 1 << bits, 3)
        table = np.pad(palette[:, ::-1], ((0, 0), (0, 1))).astype(np.uint8).tobytes()
        lines = [packed(row[None], bits, "<") for row in indices[::-1]]
        assert np.array_equal(parse_picture(bitmap(described(bits, 0), lines, table), "here").pixels, palette[indices])


def test_bitmaps_with_masks_and_alpha() -> None:
    values = samples(31, ROWS, COLUMNS, 3)
    fives = [(r @ [1 << 10, 1 << 5, 1]).astype("<u2").tobytes() for r in values[::-1]]
    assert np.array_equal(parse_picture(bitmap(described(16, 0), fives), "here").pixels, scaled(values, 31))
    rgba = samples(255, ROWS, COLUMNS, 4).astype(np.uint8)
    masks = struct.pack("<IIII", 0xFF, 0xFF00, 0xFF0000, 0xFF000000)
    lines = [row.tobytes() for row in rgba[::-1]]
    found = parse_picture(bitmap(described(32, 3, more=masks.ljust(108 - 40, b"\0")), lines), "here")
    assert np.array_equal(found.pixels, rgba)
    found = parse_picture(bitmap(described(32, 0), lines), "here")
    assert np.array_equal(found.pixels, rgba[..., 2::-1])
    assert "its fourth channel" in found.notes[0]


@pytest.mark.parametrize(("fourth", "told"), [(0, False), (255, False), (245, True)])
def test_a_fourth_channel_of_a_bitmap_is_told_where_it_is_more_than_filling(fourth: int, told: bool) -> None:
    lines = [bytes([1, 2, 3, fourth]) * COLUMNS] * ROWS
    notes = parse_picture(bitmap(described(32, 0), lines), "here").notes
    words = "here: its fourth channel, of which the file does not say that it is alpha, left out"
    assert notes == (words,) * told


def test_bitmaps_of_run_lengths() -> None:
    palette = samples(255, 16, 3)
    table = np.pad(palette[:, ::-1], ((0, 0), (0, 1))).astype(np.uint8).tobytes()
    wanted = np.zeros((ROWS, COLUMNS), int)
    wanted[ROWS - 1, :5] = 3
    wanted[ROWS - 2, :] = 7, 7, 1, 2, 3, 0, 9
    wanted[0, 2] = 4
    runs_8 = [5, 3, 0, 0, 2, 7, 0, 3, 1, 2, 3, 0, 0, 2, 1, 0, 1, 9, 0, 0, 0, 2, 2, 2, 1, 4, 0, 1]
    runs_4 = [5, 0x33, 0, 0, 2, 0x77, 0, 3, 0x12, 0x30, 0, 2, 1, 0, 1, 0x90, 0, 0, 0, 2, 2, 2, 1, 0x40, 0, 1]
    wide = described(16, 3, more=struct.pack("<IIII", 0xF80000, 0x7E0, 0x1F, 0).ljust(68, b"\0"))
    with pytest.raises(InputError, match=r"^here: BMP of such masks of channels cannot be read$"):
        parse_picture(bitmap(wide, [bytes(2 * COLUMNS)] * ROWS), "here")
    for bits, compression, runs in ((8, 1, runs_8), (4, 2, runs_4)):
        data = bitmap(described(bits, compression, colours=16), [bytes(runs)], table)
        assert np.array_equal(parse_picture(data, "here").pixels, palette[wanted])


@pytest.mark.parametrize("small", [False, True])
def test_runs_beyond_a_bitmap_are_passed_over(small: bool) -> None:
    """Of any kind and number: of a row, of a whole picture."""
    table = bytes(range(64))
    beyond = [200, 0x11] * 2000 + [0, 4, 0x11, 0x11, 0x11, 0x11][: 4 if small else 6] * 50 + [0, 2, 255, 0]
    first = [3, 0x22, 0, 3, 0x30, 0x40] if small else [3, 2, 0, 3, 3, 0, 4, 0]
    runs = bytes([*first, 9, 0x55 if small else 5, *beyond, 0, 0, 1, 0x66 if small else 6])
    wanted = np.zeros((ROWS, COLUMNS), int)
    wanted[ROWS - 1] = 2, 2, 2, 3, 0, 4, 5
    wanted[ROWS - 2, 0] = 6
    data = bitmap(described(4 if small else 8, 2 if small else 1, colours=16), [runs + bytes([0, 2, 0, 255])], table)
    palette = np.frombuffer(table, np.uint8).reshape(16, 4)[:, 2::-1]
    assert np.array_equal(parse_picture(data + b"\1\1" * 5000, "here").pixels, palette[wanted])


# ------------------------------------------------------------------------------------------------------------------ PNG


@pytest.mark.parametrize("kind", [b"IDAT", b"PLTE", b"tRNS", b"IEND"])
def test_chunks_beyond_the_end_of_a_png_never_reach_the_decoder(kind: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """It allocates what their length says; nor does a large picture of which there is next to nothing."""
    monkeypatch.setattr(pictures, "_by_opencv", None)
    data = png(8, 3, samples(255, ROWS, COLUMNS, 1), (b"PLTE", bytes(768)), (b"tRNS", bytes(256)))
    at = data.index(kind) - 4
    claiming = data[:at] + struct.pack(">I", 0xCA2C0032) + data[at + 4 :]
    large = data[:16] + struct.pack(">II", 3000, 3000) + data[24:]
    for torn in (claiming, claiming[: at + 14], data[: at + 6], data[: at + 11], large):
        with pytest.raises(InputError, match=r"^here: the PNG is cut off or damaged$"):
            parse_picture(torn, "here")


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_one_grey_that_is_clear(depth: int) -> None:
    values = samples((1 << depth) - 1, ROWS, COLUMNS, 1)
    found = parse_picture(png(depth, 0, values, (b"tRNS", struct.pack(">H", 1))), "here")
    grey = scaled(values, (1 << depth) - 1)
    assert np.array_equal(found.pixels, np.concatenate([grey, np.where(values == 1, 0, found.peak)], axis=2))
    assert found.notes == ()


P3 = (0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
ADOBE = (0.3127, 0.329, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)


def gamma(value: float) -> tuple[bytes, bytes]:
    return b"gAMA", struct.pack(">I", round(value * 100000))


def chromaticities(values: tuple[float, ...]) -> tuple[bytes, bytes]:
    return b"cHRM", struct.pack(">8I", *(round(v * 100000) for v in values))


@pytest.mark.parametrize(
    ("chunks", "points"),
    [
        ([gamma(1.0)], Points(1, 8)),
        ([gamma(1 / 2.2)], SRGB),
        ([gamma(1 / 2.2), chromaticities(P3)], Points(12, 4)),
        ([chromaticities(P3)], Points(12, 13)),
        ([(b"sRGB", b"\0"), gamma(1.0), chromaticities(P3)], SRGB),
        ([(b"cICP", b"\x09\x10\0\1"), (b"sRGB", b"\0"), gamma(1.0)], Points(9, 16)),
        ([(b"cICP", b"\x09\x12\0\1")], Points(9, 18)),
        ([(b"cICP", b"\2\2\0\1"), gamma(1.0)], Points(1, 8)),
        ([(b"sBIT", b"\5\6\5"), (b"bKGD", bytes(6))], SRGB),
    ],
)
def test_colours_of_png_are_code_points(chunks: list[tuple[bytes, bytes]], points: Points, tmp_path: Path) -> None:
    """Kept in the .nvc file's nclx, and written as cICP; a PNG of sRGB tells nothing."""
    values = samples(255, ROWS, COLUMNS, 3)
    found = parse_picture(png(8, 2, values, *chunks), "here")
    assert (found.points, found.icc, found.notes) == (points, b"", ())
    data = encode_still(found, EXACT).data
    assert avif.read(data).colour == (*points, 8, 2)
    assert sequence_colour(avif.read(data).base) == (*points, 8)
    assert write_picture(str(tmp_path / "a.png"), decode_still(data)) == []
    again = read_picture(str(tmp_path / "a.png"))
    assert (again.points, again.notes) == (points, ())
    assert np.array_equal(again.pixels, values)
    assert (b"cICP" in (tmp_path / "a.png").read_bytes()) == (points != SRGB)
    notes = write_picture(str(tmp_path / "a.webp"), again)
    assert [("the meaning of colours (" in note) for note in notes] == [True] * (points != SRGB)


def test_colours_without_code_points_become_a_profile() -> None:
    """Adobe RGB, as its primaries and gamma are written: matrix columns as littleCMS and exiftool give them."""
    found = parse_picture(png(8, 2, samples(255, 4, 4, 3), gamma(0.45471), chromaticities(ADOBE)), "here")
    assert found.points == SRGB
    assert found.notes == ("here: its gamma and chromaticities are kept as a colour profile",)
    columns = [found.icc.index(name) for name in (b"rXYZ", b"gXYZ", b"bXYZ")]
    places = [struct.unpack_from(">I", found.icc, at + 4)[0] for at in columns]
    xyz = [[v / 65536 for v in struct.unpack_from(">3i", found.icc, at + 8)] for at in places]
    assert np.allclose(
        xyz, [[0.60974, 0.31111, 0.01947], [0.20528, 0.62567, 0.06087], [0.14919, 0.06322, 0.74455]], atol=9e-5
    )
    grey = parse_picture(png(8, 0, samples(255, 4, 4, 1), gamma(0.7)), "here")
    assert (grey.icc[16:20], grey.notes) == (b"GRAY", found.notes)
    assert profile(None, (0.3, 0.0) * 4, False) == b""
    assert named(0.45455, CHROMATICITIES[9]) == Points(9, 4)
    assert named(0.5, None) is None


def test_grey_in_colours_keeps_their_profile() -> None:
    """Grey with alpha is stored as such, but for a profile of RGB."""
    values = samples(255, 4, 4, 2)[..., (0, 0, 0, 1)]
    told = b"iCCP", b"x\0\0" + zlib.compress(profile(0.7, None, False))
    assert parse_picture(png(8, 6, values), "here").pixels.shape == (4, 4, 2)
    found = parse_picture(png(8, 6, values, told), "here")
    assert (found.icc, found.notes) == (profile(0.7, None, False), ())
    assert np.array_equal(found.pixels, values)


def test_what_png_says_beside_is_told() -> None:
    values = samples(255, 4, 4, 3)
    profile_chunk = b"iCCP", b"x\0\0" + zlib.compress(profile(0.7, None, False))
    for chunks, words in (
        ([(b"mDCV", bytes(24)), (b"cLLI", bytes(8))], "its mastering display and its content light levels left out"),
        ([(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x/>")], "its XMP left out"),
        ([(b"tEXt", b"Title\0A"), (b"tEXt", b"date:create\0now")], "its text left out"),
        ([(b"cICP", b"\1\x0d\0\0")], "that its samples are of limited range left out"),
        ([(b"cICP", b"\x0c\x0d\0\1"), profile_chunk], "its colour profile, which its code points overrule, left out"),
    ):
        assert parse_picture(png(8, 2, values, *chunks), "here").notes == (f"here: {words}",)
    assert parse_picture(png(8, 2, values, profile_chunk, gamma(1.0)), "here").icc == profile(0.7, None, False)


# ----------------------------------------------------------------------------------------------------------------- JPEG


def with_segments(*segments: tuple[int, bytes]) -> bytes:
    done, data = cv2.imencode(".jpg", bgr(samples(255, 16, 16, 3), 8))
    assert done
    added = b"".join(bytes([255, marker]) + struct.pack(">H", len(body) + 2) + body for marker, body in segments)
    return data.tobytes()[:2] + added + data.tobytes()[2:]


def parts_of(icc: bytes, count: int) -> list[tuple[int, bytes]]:
    size = -(-len(icc) // count)
    return [(0xE2, b"ICC_PROFILE\0" + bytes([k + 1, count]) + icc[k * size :][:size]) for k in range(count)]


MPF = 0xE2, b"MPF\0MM\0*\0\0\0\x08\0\1\xb0\1\0\4\0\0\0\1\0\0\0\2\0\0\0\0"


def test_a_profile_in_parts_among_others_of_the_same_marker() -> None:
    one, two, three = parts_of(ICC, 3)
    for order in ([one, two, three], [MPF, three, one, MPF, two], [two, (0xE2, b"other\0"), one, three]):
        assert parse_picture(with_segments(*order), "here").icc == ICC
    lacking = parse_picture(with_segments(one, MPF, three), "here")
    assert lacking.icc == b""
    told = "its colour profile, of which parts are missing and all pictures but the first left out"
    assert lacking.notes == (f"here: {told}",)


def test_what_jpeg_says_beside_is_told() -> None:
    xmp = b"http://ns.adobe.com/xap/1.0/\0"
    for segments, words in (
        ([(0xE1, xmp + b"<x/>")], "its XMP left out"),
        (
            [(0xE1, xmp + b'<x xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/"/>'), MPF],
            "its XMP and its gain map left out",
        ),
        ([(0xE2, b"urn:iso:std:iso:ts:21496:-1\0" + bytes(4)), MPF], "its gain map left out"),
        ([MPF], "all pictures but the first left out"),
        ([(0xFE, b"by hand"), (0xED, b"Photoshop 3.0\0")], "its comment and its IPTC left out"),
    ):
        assert parse_picture(with_segments(*segments), "here").notes == (f"here: {words}",)
    deep = with_segments().replace(b"\xff\xc0\0\x11\x08", b"\xff\xc0\0\x11\x0c")
    with pytest.raises(InputError, match=r"^here: JPEG of 12 bits a sample cannot be read$"):
        parse_picture(deep, "here")


@pytest.mark.parametrize("ending", [".jpg", ".png", ".webp"])
def test_what_lies_behind_a_picture_is_told(ending: str) -> None:
    done, found = cv2.imencode(ending, bgr(samples(255, 16, 16, 3), 8))
    data = found.tobytes()
    assert done and parse_picture(data + bytes(9), "here").notes == (), "what only fills is nothing"
    assert parse_picture(data + b"a trailer", "here").notes == ("here: what lies behind its end left out",)
    (note,) = parse_picture(data + data, "here").notes
    assert note == f"here: all {'frames' if ending == '.jpg' else 'pictures'} but the first left out"


def test_jpegs_behind_each_other_are_a_film_whatever_its_name_says(tmp_path: Path) -> None:
    several, indexed, still = (tmp_path / name for name in ("a.jpg", "b.jpg", "c.jpg"))
    several.write_bytes(3 * with_segments())
    indexed.write_bytes(2 * with_segments(MPF))
    still.write_bytes(with_segments())
    assert [looks_like_picture(str(path)) for path in (several, indexed, still)] == [False, True, True]
    assert read_picture(str(indexed)).notes == (f"{indexed}: all pictures but the first left out",)
    with open_source(several) as film:
        assert sum(1 for _ in film.frames()) == 3


def test_inks_of_jpeg_are_converted_and_not_called_lossless() -> None:
    """Inverted, as Adobe writes them, and as YCCK: Pillow's conversion, within its rounding and OpenCV's."""
    image = pytest.importorskip("PIL.Image")
    file = io.BytesIO()
    rgb = np.broadcast_to(samples(255, 2, 2, 3).astype(np.uint8).repeat(8, 0).repeat(8, 1), (16, 16, 3))
    image.fromarray(np.ascontiguousarray(rgb)).convert("CMYK").save(file, "JPEG", quality=100)
    found = parse_picture(file.getvalue(), "here")
    shown = np.asarray(image.open(file).convert("RGB")).astype(int)
    assert np.abs(found.pixels - shown).max() <= 2
    with pytest.raises(InputError, match="CMYK is converted to RGB"):
        encode_still(found, EXACT)
    assert encode_still(found, StillSettings(preset="fast", head=False)).data


# ----------------------------------------------------------------------------------------------------------------- AVIF


def box(kind: bytes, *parts: bytes) -> bytes:
    return struct.pack(">I", 8 + sum(map(len, parts))) + kind + b"".join(parts)


def unit_of(values: NDArray[Any], bits: int) -> bytes:
    """AV1 of samples, its values those of `bits` bits."""
    how = [cv2.IMWRITE_AVIF_QUALITY, 95, cv2.IMWRITE_AVIF_DEPTH, bits, cv2.IMWRITE_AVIF_SPEED, 9]
    done, data = cv2.imencode(".avif", bgr(values, bits), how)
    assert done
    return avif.read(data.tobytes()).base


def avif_of(values: NDArray[Any], *properties: bytes, bits: int = 8, exif: bytes = b"") -> bytes:
    writer = avif.ItemWriter()
    writer.add(b"av01", unit_of(values, bits), [*_av1(values.shape[:2], bits), *((p, True) for p in properties)])
    if exif:
        writer.refer(b"cdsc", writer.add(b"Exif", bytes(4) + exif, []))
    return writer.finish()


def _av1(shape: tuple[int, ...], bits: int) -> list[tuple[bytes, bool]]:
    shown = box(b"ispe", struct.pack(">III", 0, shape[1], shape[0]))
    told = box(b"pixi", struct.pack(">IBBBB", 0, 3, bits, bits, bits))
    return [(shown, False), (told, False), (box(b"av1C", bytes([0x81, 0, (0x40 if bits > 8 else 0) | 0x0C, 0])), True)]


WAVES = np.stack([(np.add.outer(np.arange(64), np.arange(96)) * k) % 256 for k in (1, 2, 1)], axis=2)


@pytest.mark.parametrize("turn", range(4))
@pytest.mark.parametrize("mirror", [None, 0, 1])
@pytest.mark.parametrize("exif", [b"", EXIF_6])
def test_boxes_say_how_an_avif_is_turned(exif: bytes, mirror: int | None, turn: int) -> None:
    """Whatever its EXIF says; the samples stay as they are."""
    boxes = [box(b"irot", bytes([turn]))] if turn else []
    boxes += [] if mirror is None else [box(b"imir", bytes([mirror]))]
    plain, found = parse_picture(avif_of(WAVES), "here"), parse_picture(avif_of(WAVES, *boxes, exif=exif), "here")
    assert np.array_equal(found.pixels, plain.pixels)
    assert orientation(found.exif) == turned(turn, mirror)
    drawn = np.rot90(np.arange(6).reshape(2, 3), turn)
    drawn = drawn if mirror is None else drawn[::-1] if mirror == 0 else drawn[:, ::-1]
    again = {1: (0, None), **TURNS}[orientation(found.exif)]
    shown = np.rot90(np.arange(6).reshape(2, 3), again[0])
    shown = shown if again[1] is None else shown[::-1] if again[1] == 0 else shown[:, ::-1]
    assert np.array_equal(shown, drawn)


def test_tiles_of_ten_bits_are_as_bright_as_one_picture() -> None:
    values = (np.concatenate([WAVES[:, :64], 255 - WAVES[:, :64]], axis=1) * 4).astype(np.uint16)
    halves = values[:, :64], values[:, 64:]
    writer = avif.ItemWriter()
    grid = struct.pack(">BBBBHH", 0, 0, 0, 1, 128, 64)
    icc = box(b"colr", b"prof", ICC)
    writer.add(b"grid", grid, [*_av1(values.shape[:2], 10)[:2], (icc, False), (box(b"irot", b"\1"), True)])
    for half in halves:
        writer.add(b"av01", unit_of(half, 10), _av1(half.shape[:2], 10))
    writer.references.append(box(b"dimg", struct.pack(">4H", 1, 2, 2, 3)))
    found = parse_picture(writer.finish(), "here")
    wanted = np.concatenate([parse_picture(avif_of(half, bits=10), "here").pixels for half in halves], axis=1)
    inner = np.r_[0:62, 66:128]  # chroma is smoothed across the seam
    assert np.array_equal(found.pixels[:, inner], wanted[:, inner])
    assert (found.pixels.max() > 60000, found.icc, orientation(found.exif)) == (True, ICC, 8)


def test_other_heif_is_a_picture_that_is_not_read(tmp_path: Path) -> None:
    """Rather than a film of its first tile."""
    file = tmp_path / "a.heic"
    file.write_bytes(box(b"ftyp", b"heic", bytes(4), b"mif1heic") + box(b"meta", bytes(4)))
    assert looks_like_picture(str(file))
    with pytest.raises(InputError, match=r"a\.heic: HEIC, a picture of HEVC, cannot be read"):
        read_picture(str(file))


def test_nclx_is_kept_and_a_clean_aperture_cropped() -> None:
    nclx = box(b"colr", b"nclx", struct.pack(">HHHB", 9, 16, 9, 0x80))
    clap = box(b"clap", struct.pack(">IIIIiIiI", 40, 1, 20, 1, 10, 1, -6, 1))
    plain, found = parse_picture(avif_of(WAVES, nclx), "here"), parse_picture(avif_of(WAVES, nclx, clap), "here")
    assert plain.points == found.points == Points(9, 16)
    assert np.array_equal(found.pixels, plain.pixels[16:36, 38:78])  # as avifenc derives it: X: 38, Y: 16
    assert found.notes == ("here: what lies outside its clean aperture is cut off",)
    for wrong in ((200, 1, 20, 1, 0, 1, 0, 1), (41, 1, 20, 1, 0, 1, 0, 1), (40, 0, 20, 1, 0, 1, 0, 1)):
        whole = parse_picture(avif_of(WAVES, box(b"clap", struct.pack(">IIIIiIiI", *wrong))), "here")
        assert whole.pixels.shape == (64, 96, 3)


def test_without_nclx_the_coded_picture_tells_code_points() -> None:
    told = encode_still(Picture(WAVES.astype(np.uint8), points=Points(9, 18)), StillSettings(preset="fast", head=False))
    writer = avif.ItemWriter()
    writer.add(b"av01", strip(avif.read(told.data).base), _av1(WAVES.shape[:2], 10))
    found = parse_picture(writer.finish(), "here")
    assert (found.points, found.pixels.dtype) == (Points(9, 18), np.uint16)


def test_code_points_that_mean_nothing_are_those_of_srgb() -> None:
    for points in ((2, 2), (3, 3), (0, 99), (65535, 65535)):
        nclx = box(b"colr", b"nclx", struct.pack(">HHHB", *points, 6, 0x80))
        assert parse_picture(avif_of(WAVES, nclx), "here").points == SRGB


def test_orientation_is_written_into_any_exif() -> None:
    nothing_of_it = b"II*\0\x08\0\0\0\1\0\x0f\1\2\0\6\0\0\0\x1a\0\0\0" + bytes(4) + b"Maker\0"
    for exif in (b"", b"no EXIF", EXIF_6, nothing_of_it):
        for wanted in range(1, 9):
            found = with_orientation(exif, wanted)
            assert orientation(found) == wanted
            assert (b"Maker\0" in found) == (exif == nothing_of_it)


# ------------------------------------------------------------------------------------------------------------ elsewhere

# 4x4 samples of 12 bits, 0, 273, 546, ..., as ImageMagick wrote them; it reads them as 0, 4369, 8738, ... of 65535
JPEG_2000 = base64.b64decode(
    "AAAADGpQICANCocKAAAAFGZ0eXBqcDIgAAAAAGpwMiAAAAAtanAyaAAAABZpaGRyAAAABAAAAAQAAQsHAAAAAAAPY29scgEAAAAAABEAAACdanAyY/9P"
    "/1EAKQAAAAAABAAAAAQAAAAAAAAAAAAAAAQAAAAEAAAAAAAAAAAAAQsBAf9SAAwAAAABAAAEBAAB/1wABEBg/2QAJQABQ3JlYXRlZCBieSBPcGVuSlBF"
    "RyB2ZXJzaW9uIDIuNS4w/5AACgAAAAAAKwAB/5Pf4GgSGjluoYLW+iSx5X39kRPYAGqGhb5YzdD/f//Z"
)


def test_jpeg_2000_of_twelve_bits_is_scaled() -> None:
    found = parse_picture(JPEG_2000, "here")
    assert np.array_equal(found.pixels, (np.arange(16) * 4369).reshape(4, 4, 1))
    assert found.notes == ("here: samples of 12 bits are scaled to 16",)
    assert parse_picture(JPEG_2000[JPEG_2000.index(b"\xff\x4f") :], "here").pixels.max() == 65535
    grey = profile(0.7, None, True)
    header, colour = JPEG_2000.index(b"jp2h") - 4, JPEG_2000.index(b"colr") - 4
    told = box(b"colr", b"\2\0\0", grey)
    data = JPEG_2000[:header] + box(b"jp2h", JPEG_2000[header + 8 : colour], told) + JPEG_2000[colour + 15 :]
    assert parse_picture(data, "here").icc == grey


def test_jpeg_2000_is_a_picture_and_several_are_a_film(tmp_path: Path) -> None:
    codestream = JPEG_2000[JPEG_2000.index(b"\xff\x4f") :]
    motion = JPEG_2000.replace(b"ftypjp2 ", b"ftypmjp2")
    stills = {"a.jp2": True, "b.j2k": True, "c.mj2": False, "d.jp2": False, "e.j2k": False}
    for name, data in zip(stills, (JPEG_2000, codestream, motion, 2 * JPEG_2000, 2 * codestream), strict=True):
        (tmp_path / name).write_bytes(data)
    assert {name: looks_like_picture(str(tmp_path / name)) for name in stills} == stills
    xmp = bytes.fromhex("be7acfcb97a942e89c71999491e3afac") + b"<x/>"
    told = box(b"xml ", b"<a/>") + box(b"uuid", xmp)
    at = JPEG_2000.index(b"jp2c") - 4
    _, said = parse_picture(JPEG_2000[:at] + told + JPEG_2000[at:], "here").notes
    assert said == "here: its text and its XMP left out"


def test_a_gif_of_one_picture_is_one(tmp_path: Path) -> None:
    """2x1 samples of a palette of two, written by hand; the second colour is clear where the file says so."""
    image = b",\0\0\0\0\2\0\1\0\0\2\2\x44\x0a\0"
    head = b"GIF89a\2\0\1\0\x80\0\0" + bytes([10, 20, 30, 40, 50, 60])
    path = tmp_path / "a.gif"
    for clear, alpha in ((b"", []), (b"!\xf9\4\1\0\0\1\0", [[[255], [0]]])):
        path.write_bytes(head + clear + image + b";")
        found = read_picture(str(path))
        assert looks_like_picture(str(path)) and found.notes == ()
        assert found.pixels[0, 0, :3].tolist() == [10, 20, 30] and (found.alpha is None) == (not alpha)
        if found.alpha is not None:
            assert found.alpha.tolist() == alpha
    path.write_bytes(head + image + image + b";")
    assert not looks_like_picture(str(path))


def test_pillow_keeps_what_png_says_of_colours(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    import codec.pillow

    assert codec.pillow.FORMAT in image.OPEN
    values = samples(255, ROWS, COLUMNS, 3)
    for chunks, points in (([gamma(1.0)], (1, 8)), ([gamma(1 / 2.2)], None), ([chromaticities(P3)], (12, 13))):
        (tmp_path / "a.png").write_bytes(png(8, 2, values, *chunks))
        image.open(tmp_path / "a.png").save(tmp_path / "a.nvc", lossless=True, preset="fast", head=False)
        found = image.open(tmp_path / "a.nvc")
        assert found.info.get("cicp") == points
        found.save(tmp_path / "b.nvc", lossless=True, preset="fast", head=False)
        assert image.open(tmp_path / "b.nvc").info.get("cicp") == points
    (tmp_path / "a.png").write_bytes(png(8, 2, values, gamma(0.7)))
    image.open(tmp_path / "a.png").save(tmp_path / "a.nvc", lossless=True, preset="fast", head=False)
    assert image.open(tmp_path / "a.nvc").info["icc_profile"] == profile(0.7, None, False)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    ("rows", "columns", "channels"), [(1, 1, 1), (5, 7, 4), (900, 701, 3), (3, 2, 3), (640, 900, 1)]
)
def test_a_plain_png_holds_all_samples(rows: int, columns: int, channels: int, dtype: type) -> None:
    """Of one band of rows, and of several that are packed side by side."""
    rng = np.random.default_rng(rows)
    pixels = rng.integers(0, np.iinfo(dtype).max, (rows, columns, channels), dtype, endpoint=True)
    data = pictures.png.encoded(pixels)
    pictures.png.check(data)
    assert np.array_equal(parse_picture(data, "a.png").pixels, pixels)


def test_what_is_not_the_files_own_has_no_part_in_equality() -> None:
    pixels = np.zeros((1, 1, 1), np.uint8)
    assert Picture(pixels).inexact == "" and Picture(pixels, points=Points(9, 16)).unusual
    assert not Picture(pixels, icc=ICC, points=Points(9, 16)).unusual
