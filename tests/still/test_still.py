"""Still pictures: every kind comes back as promised, the file is what FORMAT.md says, damage is found."""

from __future__ import annotations

import io
import json
import math
import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from codec.base.colour import BITS, SRGB, to_pixels, to_planes
from codec.errors import DamageError, FormatError, InputError, UsageError
from codec.media.pictures import Picture
from codec.settings import StillSettings
from codec.still import by_numpy
from codec.still import encode as still
from codec.still.decode import decode_still
from codec.still.encode import EQUAL, encode_still, lack_of, psnr_of
from codec.still.exact import irreversible, reversible
from codec.still.files import decode_picture
from codec.still.payload import StillHeader, header_of, read_still, write_still
from codec.still.presets import PRESETS, TUNES
from codec.still.restore import restored, restoring
from codec.wire import avif
from codec.wire.fields import seal
from codec.wire.obu import FRAME, FRAME_HEADER, SEQUENCE_HEADER, extract, inject, iter_obus, strip
from heads.choice import forced
from heads.restorer import integer
from heads.restorer.coded import encode_last
from heads.restorer.numpy_kernel import NumpyHead
from heads.restorer.store import STILL_HEADS, pretrained
from tests.makers import GOLDEN
from tests.still.makers import drawn

FAST = StillSettings(preset="fast")
PIL = pytest.importorskip("PIL.Image")


@pytest.fixture(scope="module")
def coded() -> bytes:
    return encode_still(Picture(drawn(48, 64, 4)), FAST).data


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (17, 33), (40, 24)], ids=str)
def test_lossless_of_every_kind_and_size(size: tuple[int, int], channels: int, deep: bool) -> None:
    picture = Picture(drawn(*size, channels, deep), icc=b"a profile", exif=b"MM\0*\0\0\0\x08\0\0")
    found = encode_still(picture, replace(FAST, max_error=0))
    back = decode_still(found.data)
    assert back.pixels.dtype == picture.pixels.dtype
    assert (back.pixels == picture.pixels).all()
    assert (back.icc, back.exif) == (picture.icc, picture.exif)
    assert found.psnr == math.inf


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_lossy_is_near_and_alpha_exact(channels: int, deep: bool) -> None:
    picture = Picture(drawn(50, 70, channels, deep))
    found = encode_still(picture, replace(FAST, crf=12))
    back = decode_still(found.data)
    assert back.pixels.shape == picture.pixels.shape
    assert back.pixels.dtype == picture.pixels.dtype
    assert found.psnr == pytest.approx(psnr_of(back.colour, picture.colour, picture.peak))
    assert found.psnr > 30
    if picture.alpha is not None:
        assert (back.alpha == picture.alpha).all()


@pytest.mark.parametrize("tune", TUNES)
def test_what_a_picture_is_made_for_decodes(tune: str) -> None:
    """Also where there is no room for the windows of SSIM."""
    for size in ((190, 200), (9, 30)):
        picture = Picture(drawn(*size, 3))
        found = encode_still(picture, replace(FAST, crf=30, tune=tune))
        assert psnr_of(decode_still(found.data).pixels, picture.pixels, 255) == pytest.approx(found.psnr)
        assert header_of(found.data)[1].head in (0, *TUNES[tune].heads)


def test_what_is_exact_is_the_same_for_every_tune() -> None:
    picture = Picture(drawn(40, 48, 4))
    files = {encode_still(picture, replace(FAST, max_error=0, tune=tune)).data for tune in TUNES}
    assert len(files) == 1
    with pytest.raises(UsageError, match="must be one of"):
        StillSettings(tune="butter")


def test_what_is_lacking_falls_as_pictures_come_nearer() -> None:
    pixels = drawn(190, 190, 3)
    near, far = ((pixels.astype(int) + by).clip(0, 255).astype(np.uint8) for by in (2, 9))
    for likeness in (0.0, 0.5, 1.0):
        found = [lack_of(one, pixels, 255, likeness) for one in (pixels, near, far)]
        assert found == sorted(found) and found[0] == EQUAL
    assert lack_of(near, pixels, 255, 0.0) == pytest.approx(-psnr_of(near, pixels, 255))


def test_opaque_alpha_is_kept_and_costs_nothing() -> None:
    pixels = drawn(40, 40, 4)
    pixels[..., 3] = 255
    plain = encode_still(Picture(pixels[..., :3]), FAST)
    found = encode_still(Picture(pixels), FAST)
    assert len(found.data) == len(plain.data)
    assert (decode_still(found.data).pixels[..., 3] == 255).all()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("bound", [1, 2, 9])
def test_error_bound_is_kept_and_used(channels: int, bound: int) -> None:
    picture = Picture(drawn(48, 64, channels))
    found = encode_still(picture, replace(FAST, max_error=bound))
    worst = np.abs(decode_still(found.data).pixels.astype(int) - picture.pixels).max()
    assert worst == bound
    assert len(found.data) < len(encode_still(picture, replace(FAST, max_error=0)).data)


def test_the_head_helps_and_costs_no_bits() -> None:
    picture = Picture(drawn(128, 160, 3))
    with_head = encode_still(picture, replace(FAST, crf=45))
    without = encode_still(picture, replace(FAST, crf=45, head=False))
    assert with_head.head
    assert not without.head
    assert len(with_head.data) == len(without.data)
    assert with_head.psnr > without.psnr


def tuned(monkeypatch: pytest.MonkeyPatch) -> tuple[bytes, bytes]:
    """A picture coded with and without a last layer of its own, which is made to pay."""
    picture, slow = Picture(drawn(128, 160, 3)), replace(FAST, crf=40)
    plain = encode_still(picture, slow).data
    monkeypatch.setitem(PRESETS, "fast", replace(PRESETS["fast"], tuned_from=0))
    monkeypatch.setattr(still, "DB_PER_E", 0.0)
    return plain, encode_still(picture, slow).data


def test_a_last_layer_of_its_own_is_sent_where_it_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, own = tuned(monkeypatch)
    wanted = drawn(128, 160, 3)
    delta = header_of(own)[1].delta
    assert len(own) - len(plain) == pytest.approx(len(delta), abs=16)
    assert psnr_of(decode_still(own).pixels, wanted, 255) > psnr_of(decode_still(plain).pixels, wanted, 255) + 0.05
    monkeypatch.setattr(still, "DB_PER_E", 5.5)
    dear = encode_still(Picture(wanted), replace(FAST, crf=40)).data
    assert header_of(dear)[1].delta == b"", "on so small a picture it costs more than it saves"


def test_a_damaged_last_layer_is_a_format_error(monkeypatch: pytest.MonkeyPatch) -> None:
    _, own = tuned(monkeypatch)
    delta = header_of(own)[1].delta
    for broken in (delta[:2], delta[: len(delta) // 8 * 4 - 1], b"\xff" + delta[1:], delta + b"x", bytes(len(delta))):
        with pytest.raises(FormatError):
            decode_still(edited(own, delta=broken))


def test_wishes_are_met() -> None:
    picture = Picture(drawn(96, 128, 3))
    assert encode_still(picture, replace(FAST, target_psnr=34)).psnr == pytest.approx(34.1, abs=0.4)
    for wish in ({"bpp": 0.8}, {"target_size": 0.8 * 96 * 128 / 8 / 1e6}):
        size = len(encode_still(picture, replace(FAST, **wish)).data)  # type: ignore[arg-type]
        assert 0.85 * 0.8 <= size * 8 / (96 * 128) <= 0.8


@pytest.mark.parametrize("channels", [3, 4])
def test_a_still_is_never_larger_than_asked_for(channels: int) -> None:
    picture = Picture(drawn(48, 64, channels))
    least = len(encode_still(picture, replace(FAST, crf=63)).data)
    for size in (least, least + 1, least + 30, 2 * least, 3 * least):
        found = len(encode_still(picture, replace(FAST, target_size=size / 1e6)).data)
        assert found <= size
    for wish in ({"target_size": (least - 40) / 1e6}, {"bpp": (least - 40) * 8 / (48 * 64)}):
        with pytest.raises(InputError, match=rf"a size of {least - 40:,} bytes cannot be reached: .* takes {least:,}"):
            encode_still(picture, replace(FAST, **wish))  # type: ignore[arg-type]


def test_a_wish_for_psnr_where_trials_are_exact() -> None:
    flat = Picture(np.zeros((20, 20, 3), np.uint8))
    assert encode_still(flat, replace(FAST, target_psnr=40)).psnr >= 40


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"crf": 30, "bpp": 1}, "crf and bpp contradict"),
        ({"max_error": 0, "bpp": 1}, "bpp cannot be met together"),
        ({"max_error": 200}, "the bound on the error"),
        ({"crf": 99}, "crf must lie"),
        ({"target_psnr": -1}, "target_psnr must be positive"),
        ({"preset": "wild"}, "preset must be one of"),
        ({"threads": -1}, "threads must lie"),
    ],
)
def test_settings_that_cannot_be(wishes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        StillSettings(**wishes)


def test_pictures_that_cannot_be_stored() -> None:
    with pytest.raises(InputError, match="16-bit samples cannot be kept within an error"):
        encode_still(Picture(drawn(20, 20, 3, deep=True)), replace(FAST, max_error=1))
    with pytest.raises(InputError, match="larger than 16384x8704"):
        encode_still(Picture(np.zeros((8705, 1, 1), np.uint8)), FAST)


def test_bytes_do_not_depend_on_threads_nor_on_the_run() -> None:
    picture = Picture(drawn(96, 128, 3))
    assert len({encode_still(picture, replace(FAST, threads=n)).data for n in (1, 2, 2)}) == 1


def test_pixels_do_not_depend_on_threads_nor_on_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode_still(Picture(drawn(200, 90, 3)), replace(FAST, crf=45)).data
    whole = decode_still(data).pixels
    before = torch.get_num_threads()
    try:
        for threads, band in ((1, 64), (2, 7), (1, 1000)):
            torch.set_num_threads(threads)
            monkeypatch.setattr(integer, "BAND_LEAST", band)
            monkeypatch.setattr(integer, "BAND", 1)
            assert (decode_still(data).pixels == whole).all()
    finally:
        torch.set_num_threads(before)


# the file


def test_others_see_the_base(coded: bytes) -> None:
    """Pillow's AVIF reader (libavif) finds colour and alpha; turned as EXIF says."""
    pixels = drawn(48, 64, 4)
    shown = PIL.open(io.BytesIO(coded), formats=["AVIF"])
    assert (shown.mode, shown.size) == ("RGBA", (64, 48))
    seen = np.asarray(shown).astype(int)
    assert np.abs(seen[..., :3] - pixels[..., :3])[:, 20:].mean() < 12
    assert np.abs(seen[..., 3] - pixels[..., 3]).mean() < 6


@pytest.mark.parametrize("turn", range(1, 9))
def test_browsers_turn_it_as_exif_says(turn: int) -> None:
    from PIL import ImageOps

    exif = PIL.Exif()
    exif[0x0112] = turn
    pixels = np.zeros((32, 48, 3), np.uint8)
    pixels[:8, :12] = 250
    pixels[:8, 24:] = 120
    picture = Picture(pixels, exif=exif.tobytes().removeprefix(b"Exif\0\0"))
    assert avif.orientation(picture.exif) == turn
    file = io.BytesIO(encode_still(picture, replace(FAST, crf=10, head=False)).data)
    reference = PIL.fromarray(pixels)
    reference.info["exif"] = exif.tobytes()
    reference.getexif()[0x0112] = turn
    wanted = np.asarray(ImageOps.exif_transpose(reference)).astype(int)
    found = np.asarray(ImageOps.exif_transpose(PIL.open(file, formats=["AVIF"]))).astype(int)
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).mean() < 6


def test_orientation_of_broken_exif_is_upright() -> None:
    for exif in (b"", b"II*\0", b"II*\0\xff\xff\0\0", b"MM\0*\0\0\0\x08\0\x05\x01\x12", b"nonsense" * 4):
        assert avif.orientation(exif) == 1


def test_container_comes_back_and_says_where_it_is_cut(coded: bytes) -> None:
    found = avif.read(coded)
    again = avif.read(avif.write(found, SRGB))
    assert (again.base, again.alpha) == (found.base, found.alpha)
    assert (found.width, found.height) == (64, 48)
    for end in range(0, len(coded), 7):
        with pytest.raises(FormatError):
            avif.read(coded[:end])


def test_another_program_may_move_the_payload(coded: bytes) -> None:
    """The temporal unit with other boxes around it still decodes."""
    found = avif.read(coded)
    moved = avif.write(replace(found, icc=b"another", exif=b""), SRGB)
    assert (decode_still(moved).pixels == decode_still(coded).pixels).all()


def test_ordinary_avif_is_told_from_ours(coded: bytes) -> None:
    found = avif.read(coded)
    with pytest.raises(FormatError, match="it is an ordinary picture"):
        header_of(avif.write(replace(found, base=strip(found.base)), SRGB))
    with pytest.raises(FormatError, match="no AVIF file"):
        header_of(b"\x89PNG\r\n\x1a\n" + bytes(100))


def test_a_box_that_claims_too_much_is_refused(coded: bytes) -> None:
    at = coded.index(b"iloc")
    for value in (b"\xff\xff\xff\xff", b"\0\0\0\1", b"\0\0\0\0", b"\0\0\0\7"):
        with pytest.raises(FormatError):
            decode_still(coded[: at - 4] + value + coded[at:])
    count = at + 4 + 4 + 2
    with pytest.raises(FormatError, match="65535 items"):
        avif.read(coded[:count] + b"\xff\xff" + coded[count + 2 :])


def test_many_references_are_refused(coded: bytes) -> None:
    """Each would have copied an item: time grew with the square of the file's size."""
    found = avif.read(coded)
    writer = avif.ItemWriter()
    writer.add(b"av01", found.base, [])
    for _ in range(100):
        writer.refer(b"auxl", 1)
    with pytest.raises(FormatError, match="so many references"):
        avif.read(writer.finish())


def test_a_base_of_several_pictures_or_headers_is_refused(coded: bytes) -> None:
    found = avif.read(coded)
    kinds = {obu.type: found.base[obu.start : obu.end] for obu in iter_obus(found.base)}
    for more in (kinds[SEQUENCE_HEADER], kinds.get(FRAME) or kinds[FRAME_HEADER]):
        with pytest.raises(FormatError, match="not one picture with one sequence header"):
            decode_still(avif.write(replace(found, base=found.base + more), SRGB))


def test_every_flipped_bit_is_an_error_or_the_same_picture(coded: bytes) -> None:
    picture = decode_still(coded)
    rng = np.random.default_rng(1)
    for at in rng.choice(len(coded) * 8, 150, replace=False):
        data = bytearray(coded)
        data[at >> 3] ^= 1 << (at & 7)
        try:
            found = decode_still(bytes(data))
        except FormatError:
            continue
        assert (found.pixels == picture.pixels).all()


# the payload

HEADER = StillHeader(640, 360, 3, 8, alpha=1, head=1, base_q=-5, bounded=True, max_error=2, psnr=40.5, checksum=7)


def test_payload_comes_back() -> None:
    header = replace(HEADER, loss=b"abc", alpha_loss=b"de")
    assert read_still(write_still(header)) == header
    deep = replace(header, depth=16, max_error=0, loss_low=b"\0f", alpha_low=b"\1")
    assert read_still(write_still(deep)) == deep


def test_layout_is_that_of_the_format_page() -> None:
    data = write_still(replace(HEADER, loss=b"xyz"))
    fixed = struct.pack(">HHBBBBBBBHIIIIII", 640, 360, 3, 8, 1, 1, 123, 1, 2, 4050, 7, 0, 3, 0, 0, 0)
    body = b"\x01\x03" + fixed + b"xyz"
    assert data == body + zlib.crc32(body).to_bytes(4, "big")
    page = (Path(__file__).parents[2] / "FORMAT.md").read_text(encoding="utf-8")
    section = page[page.index("## 7 Still pictures") :]
    for name in StillHeader.numbers:
        assert name in section


@pytest.mark.parametrize(
    "wrong",
    [
        {"width": 0},
        {"width": 65535, "height": 65535},
        {"channels": 2},
        {"depth": 9},
        {"depth": 16},
        {"alpha": 3},
        {"alpha": 0, "alpha_loss": b"x"},
        {"head": 0},
        {"bounded": False},
        {"bounded": False, "max_error": 0, "loss": b"x"},
        {"max_error": 128},
        {"loss_low": b"x"},
        {"alpha_low": b"x"},
        {"base_q": 200},
    ],
    ids=str,
)
def test_illegal_fields_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(FormatError):
        write_still(replace(HEADER, **wrong))


def test_short_long_and_foreign_payloads_are_refused() -> None:
    good = write_still(replace(HEADER, loss=b"abc"))
    body = good[2:-4]
    for kind, data in ((3, body[:-1]), (3, body + b"x"), (3, body[:9]), (2, body)):
        with pytest.raises(FormatError):
            read_still(seal(kind, data))


def edited(data: bytes, **changes: Any) -> bytes:
    """The file with other fields in its payload, sealed anew."""
    found = avif.read(data)
    header = replace(read_still(extract(found.base)[0]), **changes)
    unit = inject(strip(found.base), [write_still(header)])
    return avif.write(replace(found, base=unit), SRGB)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"width": 63}, "another size"),
        ({"height": 47}, "another size"),
        ({"head": 9}, "needs head 9"),
        ({"checksum": 1}, "checksum"),
        ({"base_q": 100}, "checksum"),
        ({"alpha_loss": b""}, "does not match its checksum"),
    ],
    ids=str,
)
def test_a_payload_that_does_not_fit_is_refused(coded: bytes, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(FormatError, match=words):
        decode_still(edited(coded, **changes))


def test_wrong_samples_are_a_damage_error(coded: bytes) -> None:
    with pytest.raises(DamageError):
        decode_still(edited(coded, checksum=1))


# parts


def test_colour_there_and_back_is_exact_but_for_rounding() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    planes = [np.rint(p * (1 << BITS)).astype(np.int32) for p in to_planes(pixels, 255)]
    assert (to_pixels(planes, 255) == pixels).all()
    deep = np.random.default_rng(0).integers(0, 65536, (64, 64, 3)).astype(np.uint16)
    planes = [np.rint(p * (1 << BITS)).astype(np.int32) for p in to_planes(deep, 65535)]
    assert np.abs(to_pixels(planes, 65535).astype(int) - deep).max() <= 6  # three roundings of 4 units each


def test_colour_is_rounded_half_up_in_integers() -> None:
    """Against fractions, at the places that rounding decides."""
    values = np.arange(-40, (1023 << BITS) + 40, dtype=np.int32)[None]
    for peak in (255, 65535):
        found = to_pixels([values], peak)[0, :, 0]
        wanted = [min(max((2 * peak * int(v) + 16368) // 32736, 0), peak) for v in values[0]]
        assert found.tolist() == wanted


def test_reversible_colour_is_reversible() -> None:
    corners = np.stack(np.meshgrid(*[[0, 1, 127, 128, 254, 255]] * 3), axis=-1).reshape(12, 18, 3).astype(np.uint8)
    planes = reversible(corners)
    assert max(int(p.max()) for p in planes) <= 1023
    assert (irreversible(planes) == corners).all()


def test_shipped_head_is_what_files_were_made_with() -> None:
    """A shipped head is never changed: what needs another one gets another number."""
    for number in STILL_HEADS:
        stored = pretrained(STILL_HEADS[number])
        assert stored.spec.base_q
        assert stored.scale == 1


def test_golden_stills_come_out_alike_by_numpy_and_by_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    crcs = json.loads((GOLDEN / "still-crc.json").read_text())
    used = []
    monkeypatch.setattr(by_numpy, "NumpyHead", lambda *how: used.append(how) or NumpyHead(*how))
    with forced("numpy"):
        for name, crc in crcs.items():
            assert zlib.crc32(decode_still((GOLDEN / name).read_bytes(), threads=2).pixels.tobytes()) == crc, name
    assert used
    used.clear()
    with forced("float32"):
        name = "lossy-v1.still.nvc"
        assert zlib.crc32(decode_still((GOLDEN / name).read_bytes()).pixels.tobytes()) == crcs[name]
    assert not used


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (17, 33), (130, 70)], ids=str)
def test_a_head_restores_alike_by_numpy_and_by_torch(size: tuple[int, int], own: bool) -> None:
    """Also with a last layer of the picture's own, and with planes that no base has."""
    rng = np.random.default_rng(size[0])
    stored = pretrained(STILL_HEADS[1])
    last = stored.layers[-1]
    weight = np.clip(last.weight + rng.integers(-2, 3, last.weight.shape), -90, 90).astype(np.int8)
    delta = encode_last(replace(last, weight=weight), stored.layers) if own else b""
    header = StillHeader(size[1], size[0], 3, 8, head=1, base_q=-70, delta=delta)
    planes = [rng.integers(0, 1024, size).astype(np.uint16) for _ in range(3)]
    with forced("float32"):
        due = restored(planes, header, restoring(header))
    with forced("numpy"):
        for threads in (1, 3):
            assert np.array_equal(restored(planes, header, restoring(header, threads=threads)), due)


def test_a_device_that_there_is_not_is_refused_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="no CUDA device"):
        decode_still(b"no still", device="cuda")
    with pytest.raises(UsageError, match="no CUDA device"):
        encode_still(Picture(drawn(16, 16, 3)), replace(FAST, device="cuda"))
    with pytest.raises(UsageError, match="no CUDA device"):
        decode_picture("none.nvc", "out.png", device="cuda")
    with pytest.raises(UsageError, match="auto, cpu or cuda"):
        StillSettings(device="tpu")


def test_bytes_are_those_of_the_processor_by_default() -> None:
    picture = Picture(drawn(24, 32, 3))
    data = encode_still(picture, replace(FAST, device="cpu")).data
    assert encode_still(picture, FAST).data == data
    assert (decode_still(data, device="cpu").pixels == decode_still(data).pixels).all()
