"""What picture files claim is read from their headers, and what is too large is refused before it is decoded."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from codec.errors import FormatError, InputError
from codec.limits import ENCODING, FIXED, Limits, check_source
from codec.media import pictures
from codec.media.claims import claimed_sizes
from codec.media.pictures import READABLE, parse_picture
from codec.media.tiff import page_of
from codec.still.files import encode_picture
from codec.still.folder import encode_folder
from codec.still.upscale import admit_to_enlarge
from codec.wire import avif
from tests.makers import Run, shell
from tests.still.makers import claiming_png, drawn

HUGE = 30000
WIDE = 40  # of what is drawn; its height is 24


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Run:
    return shell(monkeypatch, capfdbinary)


@pytest.fixture
def undecoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may be decoded."""

    def decoded(*given: object) -> None:
        raise AssertionError("a picture was decoded before its size was checked")

    monkeypatch.setattr(pictures, "_decoded", decoded)


def _tiff(width: int, height: int, tile: int = 0, order: str = "<", following: int = 0) -> bytes:
    entries = [(256, 4, width), (257, 4, height), *([(322, 4, tile), (323, 4, tile)] if tile else [])]
    body = b"".join(struct.pack(order + "HHII", tag, kind, 1, value) for tag, kind, value in entries)
    magic = b"II*\0" if order == "<" else b"MM\0*"
    return magic + struct.pack(order + "IH", 8, len(entries)) + body + struct.pack(order + "I", following)


def _big_tiff(width: int, height: int) -> bytes:
    body = b"".join(struct.pack("<HHQQ", tag, 16, 1, value) for tag, value in ((256, width), (257, height)))
    return b"II+\0" + struct.pack("<HHQQ", 8, 0, 16, 2) + body + bytes(8)


CLAIMS = {
    "png": claiming_png(HUGE, HUGE),
    "jpg": b"\xff\xd8\xff\xe0\0\x04ab\xff\xff\xc2" + struct.pack(">HBHHB", 11, 8, HUGE, HUGE, 1) + bytes(3),
    "tif": _tiff(HUGE, HUGE),
    "tif, big-endian": _tiff(HUGE, HUGE, order=">"),
    "tif, 64 bits": _big_tiff(HUGE, HUGE),
    "bmp": b"BM" + bytes(12) + struct.pack("<IiiHH", 40, HUGE, -HUGE, 1, 24) + bytes(24),
    "pnm": b"P6 # one\n# two\n30000\t30000\n255\n",
    "pam": b"P7\n# one\nWIDTH 30000\nHEIGHT 30000\nDEPTH 3\nMAXVAL 255\nENDHDR\n",
    "webp": b"RIFF\0\0\0\0WEBPVP8X" + struct.pack("<II", 10, 0) + 2 * (HUGE - 1).to_bytes(3, "little"),
    "gif": b"GIF89a" + struct.pack("<HH", HUGE, HUGE),
    "jp2": b"\xff\x4f\xff\x51" + struct.pack(">HHIIII", 41, 0, HUGE + 5, HUGE + 7, 5, 7),
    "sun": b"\x59\xa6\x6a\x95" + struct.pack(">II", HUGE, HUGE),
}


@pytest.mark.parametrize("kind", CLAIMS)
@pytest.mark.usefixtures("undecoded")
def test_a_few_bytes_that_claim_much_are_refused_unread(kind: str) -> None:
    assert claimed_sizes(CLAIMS[kind])[0] == (HUGE, HUGE)
    with pytest.raises(InputError, match=f"^here: a picture of {HUGE}x{HUGE} is claimed, .* --max-pixels raises that$"):
        parse_picture(CLAIMS[kind], "here")


@pytest.mark.parametrize("kind", CLAIMS)
def test_a_header_that_is_cut_off_claims_nothing(kind: str) -> None:
    for length in range(len(CLAIMS[kind])):
        assert claimed_sizes(CLAIMS[kind][:length]) in ([], [(HUGE, HUGE)], [(HUGE, HUGE)] * 2)


# Without those that OpenCV does not write, or of pictures that are not RGB.
_OTHER_NAMES = {".jpe", ".jfif", ".jpf", ".jpx", ".j2k", ".j2c", ".jpc", ".jp2", ".pbm", ".pgm", ".pnm"}


@pytest.mark.parametrize("ending", sorted(READABLE - _OTHER_NAMES | {".ras"}))
def test_headers_are_read_as_the_decoder_reads_them(ending: str) -> None:
    done, data = cv2.imencode(ending, np.ascontiguousarray(drawn(24, WIDE, 3)))
    assert done
    assert claimed_sizes(data.tobytes()) == [(WIDE, 24)] * (2 if ending == ".avif" else 1)
    assert parse_picture(data.tobytes(), "here").pixels.shape[:2] == (24, WIDE)


def test_headers_of_jpeg_2000() -> None:
    image, file = pytest.importorskip("PIL.Image"), io.BytesIO()
    image.fromarray(drawn(24, WIDE, 3)).save(file, "JPEG2000")
    assert claimed_sizes(file.getvalue()) == [(WIDE, 24)]


@pytest.mark.usefixtures("undecoded")
def test_parts_that_are_larger_than_the_picture_count_too() -> None:
    """A TIFF's tiles, an animation's frames, the AV1 inside an AVIF file."""
    frame = struct.pack(">IIIIIHHBB", 0, HUGE, HUGE, 0, 0, 1, 1, 0, 0)
    animated = claiming_png(16, 16, (b"acTL", struct.pack(">II", 1, 0)), (b"fcTL", frame))
    done, data = cv2.imencode(".avif", np.ascontiguousarray(drawn(24, WIDE, 3)))
    assert done
    shown = struct.pack(">II", WIDE, 24)
    assert data.tobytes().count(shown) == 1
    avif_file = data.tobytes().replace(shown, struct.pack(">II", HUGE, HUGE))
    for claim in (_tiff(16, 16, tile=HUGE + 8), animated, avif_file):
        with pytest.raises(InputError, match="is claimed"):
            parse_picture(claim, "here")
    assert (WIDE, 24) in avif.claimed_sizes(avif_file)


def test_what_has_no_header_that_is_known_is_not_decoded(undecoded: None) -> None:
    assert claimed_sizes(b"#?RADIANCE\n\n-Y 30000 +X 30000\n") == []
    with pytest.raises(AssertionError):  # the fixture holds
        parse_picture(claiming_png(16, 16), "here")


def test_pages_are_counted_by_their_directories() -> None:
    """Also where the second cannot be read; a circle of them ends."""
    two = _tiff(16, 16, following=8 + 2 + 24 + 4) + _tiff(20, 30)[8:]
    assert [(page_of(two, k)[0].number(256), page_of(two, k)[1]) for k in (1, 2)] == [(16, 2), (20, 2)]
    assert page_of(_tiff(16, 16, following=8), 1)[1] == page_of(_tiff(16, 16, following=999), 1)[1] == 1
    with pytest.raises(FormatError, match="it has no page 3: there are 2"):
        page_of(two, 3)
    with pytest.raises(FormatError, match="cut off"):
        page_of(b"II*\0\xff\xff\xff\xff", 1)


@pytest.mark.usefixtures("undecoded")
def test_every_command_refuses_by_the_header(run: Run, tmp_path: Path) -> None:
    source = tmp_path / "huge.png"
    source.write_bytes(claiming_png(HUGE, HUGE))
    for words in (("encode", source, "a.nvc"), ("upscale", source, "a.png"), ("splat", "encode", source, "a.nvs")):
        *command, name = words
        failed = run(*command, tmp_path / name)
        assert failed.code == 1
        assert f"huge.png: a picture of {HUGE}x{HUGE} is claimed" in failed.err
        assert not (tmp_path / name).exists()


@pytest.mark.usefixtures("undecoded")
def test_limits_are_options_of_all_that_read_pictures(run: Run, tmp_path: Path) -> None:
    source = tmp_path / "a.png"
    source.write_bytes(claiming_png(100, 50))
    for words in (("encode", "a.nvc"), ("upscale", "b.png"), ("splat", "encode", "a.nvs")):
        *command, name = words
        many = run(*command, source, tmp_path / name, "--max-pixels", "4999")
        assert (many.code, "more than 4,999 samples; --max-pixels raises that" in many.err) == (1, True)
        much = run(*command, source, tmp_path / name, "--max-memory", "1KiB")
        assert (much.code, "more than 1 KiB; --max-memory raises that" in much.err) == (1, True)


@pytest.mark.usefixtures("undecoded")
def test_a_folder_names_and_skips_what_is_too_large(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(claiming_png(HUGE, HUGE))
    found = encode_folder(str(folder), str(tmp_path / "out"))
    assert (len(found.done), len(found.failed)) == (0, 2)
    assert "a.png: a picture of 30000x30000 is claimed" in found.failed[0]
    quiet = run("encode", folder, tmp_path / "out", "-q")
    assert quiet.code == 1
    lines = quiet.err.splitlines()
    assert ["a.png: a picture of" in lines[0], "b.png: a picture of" in lines[1]] == [True, True]
    assert lines[2:] == ["codec: 2 of 2 pictures failed"]


def test_what_is_too_wide_for_the_base_is_refused_unread(tmp_path: Path, undecoded: None) -> None:
    (tmp_path / "wide.png").write_bytes(claiming_png(20000, 10))
    with pytest.raises(InputError, match=r"wide\.png: a picture of 20000x10 is larger than 16384x8704"):
        encode_picture(tmp_path / "wide.png", tmp_path / "a.nvc")


def test_an_enlarged_picture_counts_as_large_as_it_becomes() -> None:
    admit_to_enlarge(2, Limits(max_pixels=400))(10, 10)
    with pytest.raises(InputError, match="10x10 enlarged by 2 has more than 399 samples"):
        admit_to_enlarge(2, Limits(max_pixels=399))(10, 10)
    with pytest.raises(InputError, match="too large to be enlarged by 4"):
        admit_to_enlarge(4, Limits())(9000, 4000)


def test_the_largest_still_of_the_format_may_be_encoded_unasked() -> None:
    check_source(16384, 8192, Limits(), ENCODING)
    with pytest.raises(InputError, match="of memory to encode, more than"):
        check_source(100, 100, Limits(max_memory=FIXED + 100 * 100 * ENCODING.each - 1), ENCODING)
