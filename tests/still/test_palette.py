"""Pictures of few colours: exact, small, and what is not of their making refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import codec.still.encode
from codec.errors import FormatError
from codec.limits import Limits
from codec.loss.decisions import Decisions, multipliers
from codec.loss.entropy import SymbolReader, SymbolWriter
from codec.loss.indexed import IndexCoder
from codec.loss.modes import PALETTE
from codec.loss.repeated import assign_reduced, last_stays
from codec.media.pictures import Picture
from codec.settings import StillSettings
from codec.still.decode import decode_still
from codec.still.encode import encode_still
from codec.still.few_colours import indexed, scattered, shown, worth_trying
from codec.still.info import describe_still
from codec.still.palette import TRANSPOSED, WITH_ALPHA, Indexed, palette_decode, palette_encode
from codec.still.payload import ALPHA, OPAQUE, StillHeader, check_still, header_of, write_still
from codec.wire import avif
from codec.wire.obu import inject, strip
from tests.still.makers import drawn

EXACT = StillSettings(max_error=0, preset="fast", threads=1)


def indices(rows: int, columns: int, colours: int, seed: int = 0) -> NDArray[np.int32]:
    """Rectangles on rectangles, with specks; every colour occurs where there is room."""
    rng = np.random.default_rng(seed)
    plane = np.zeros((rows, columns), np.int32)
    for k in range(min(4 * colours, 60)):
        y, x = rng.integers(0, rows), rng.integers(0, columns)
        plane[y : y + rng.integers(1, 2 + rows // 2), x : x + rng.integers(1, 2 + columns // 2)] = k % colours
    places = rng.permutation(rows * columns)[:colours]
    plane.reshape(-1)[places] = np.arange(len(places))
    return plane


def painted(plane: NDArray[np.int32], channels: int, deep: bool = False, seed: int = 1) -> NDArray[Any]:
    """The same in colours, no two of them alike."""
    top = 65536 if deep else 256
    numbers = np.random.default_rng(seed).choice(top ** min(channels, 2), int(plane.max()) + 1, replace=False)
    colours = np.stack([numbers // top ** min(k, 1) * (1 + 2 * k) % top for k in range(channels)], axis=1)
    return colours.astype(np.uint16 if deep else np.uint8)[plane]


def coded(pixels: NDArray[Any], settings: StillSettings = EXACT) -> tuple[bytes, StillHeader]:
    """The file of a picture, found equal, and its header."""
    data = encode_still(Picture(pixels), settings).data
    found = decode_still(data, 1).pixels
    assert found.dtype == pixels.dtype and np.array_equal(found, pixels)
    return data, header_of(data)[1]


@pytest.mark.parametrize("rounds", [0, 1, 3])
@pytest.mark.parametrize("colours", [2, 3, 16, 256, 257, 1000])
def test_indices_round_trip(colours: int, rounds: int) -> None:
    plane = indices(37, 61, colours)
    writer = SymbolWriter()
    IndexCoder(writer, plane.shape, colours, rounds).run(plane)
    reader = SymbolReader(writer.finish())
    assert np.array_equal(IndexCoder(reader, plane.shape, colours, rounds).run(None), plane)
    reader.finish()


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 1), (1, 300), (300, 1), (3, 5), (17, 16), (5, 130)])
@pytest.mark.parametrize("transposed", [False, True])
def test_shapes_round_trip(shape: tuple[int, int], transposed: bool) -> None:
    plane = indices(*shape, min(5, shape[0] * shape[1]))
    palette, plane = np.unique(plane, return_inverse=True)
    picture = Indexed(palette.astype(np.uint8)[:, None] * 50, plane.reshape(shape).astype(np.int32), False)
    found = palette_decode(palette_encode(picture, 3, transposed), shape, 1, 8, False)
    assert np.array_equal(found.pixels, picture.pixels) and not found.alpha


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("colours", [1, 2, 16, 200])
def test_palettes_round_trip(colours: int, channels: int, deep: bool) -> None:
    pixels = painted(indices(20, 30, colours), channels, deep)
    alpha = channels in (2, 4)
    picture = indexed(Picture(pixels))
    assert picture is not None and len(picture.palette) == len(np.unique(pixels.reshape(-1, channels), axis=0))
    data = palette_encode(picture, 2, False)
    found = palette_decode(data, (20, 30), channels - alpha, 16 if deep else 8, alpha)
    assert found.alpha == picture.alpha and np.array_equal(found.pixels, pixels)


@pytest.mark.parametrize(
    "channels, colours, deep", [(1, 2, False), (3, 16, False), (3, 257, False), (4, 16, False), (3, 9, True)]
)
def test_files_round_trip(channels: int, colours: int, deep: bool) -> None:
    _, header = coded(painted(indices(33, 47, colours), channels, deep))
    assert header.bounded == PALETTE.still and header.channels == min(channels, 3)


def test_opaque_alpha_takes_no_place_in_the_palette() -> None:
    pixels = painted(indices(20, 30, 7), 4)
    pixels[..., 3] = 255
    _, header = coded(pixels)
    assert header.alpha == OPAQUE and not header.loss[0] & WITH_ALPHA


def test_alpha_of_many_levels_stays_beside_the_palette(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codec.still.few_colours.COLOURS", 20)
    pixels = painted(indices(24, 36, 9), 4)
    pixels[..., 3] = np.arange(24 * 36).reshape(24, 36) // 5
    _, header = coded(pixels)
    assert header.bounded == PALETTE.still and header.alpha == ALPHA and header.alpha_loss


def test_a_palette_is_never_larger_than_a_prediction(monkeypatch: pytest.MonkeyPatch) -> None:
    for colours, seed in ((2, 0), (16, 1), (200, 2)):
        pixels = painted(indices(60, 80, colours, seed), 3)
        data, header = coded(pixels)
        assert header.bounded == PALETTE.still
        with monkeypatch.context() as patch:
            patch.setattr(codec.still.encode, "indexed", lambda picture: None)
            assert len(data) < len(coded(pixels)[0])


def test_the_smaller_file_is_taken_where_a_palette_is_doubtful(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = drawn(40, 50, 3)
    found = indexed(Picture(pixels))
    assert found is not None and scattered(found.indices) > 0.1
    monkeypatch.setattr(codec.still.encode, "stream_of", lambda picture, share: bytes(100_000))
    assert coded(pixels)[1].bounded != PALETTE.still


def test_grey_photographs_are_not_tried() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 1)).astype(np.uint8)
    found = indexed(Picture(pixels))
    assert found is not None and not worth_trying(found, scattered(found.indices))
    assert indexed(Picture(np.random.default_rng(0).integers(0, 256, (90, 90, 3)).astype(np.uint8))) is None


def test_what_browsers_show_is_as_coarse_as_the_file_is_small() -> None:
    planes = [np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) % 1024]
    blurs: list[float] = []

    def unit(tried: Any) -> bytes:
        blurs.append(float(np.abs(np.diff(tried[0].astype(int), axis=0)).max()))
        return bytes(500)

    assert len(shown(planes, unit, 100_000)) == 500 and len(blurs) == 1
    shown(planes, unit, 1000)
    assert len(blurs) == 4 and blurs[1] > blurs[2] > blurs[3]


def test_a_crf_asked_for_is_that_of_the_base(tmp_path: Path) -> None:
    pixels = painted(indices(60, 80, 9), 3)
    coarse, fine = coded(pixels)[0], coded(pixels, replace(EXACT, crf=10.0))[0]
    path = tmp_path / "a.nvc"
    path.write_bytes(fine)
    told = describe_still(str(path))
    assert len(fine) > len(coarse) and told["loss"] == "palette" and told["lossless"] and told["max_error"] == 0


def _with(data: bytes, loss: bytes, **fields: Any) -> bytes:
    """The file with another loss-stream."""
    still, header = header_of(data)
    base = inject(strip(still.base), [write_still(replace(header, loss=loss, **fields))])
    return avif.write(replace(still, base=base), codec.still.encode.SRGB)


def test_a_damaged_stream_is_refused() -> None:
    pixels = painted(indices(30, 40, 20), 3)
    data, header = coded(pixels)
    rng = np.random.default_rng(0)
    for _ in range(30):
        loss = bytearray(header.loss)
        loss[rng.integers(3, len(loss))] ^= 1 << rng.integers(0, 8)
        with pytest.raises(FormatError):
            decode_still(_with(data, bytes(loss)), 1)
    for loss in (b"", header.loss[:2], header.loss + b"much more than it has", header.loss[: len(header.loss) // 2]):
        with pytest.raises(FormatError):
            decode_still(_with(data, loss), 1)


@pytest.mark.parametrize("flags, colours", [(16, 3), (WITH_ALPHA, 3), (0, 31)])
def test_illegal_fronts_are_refused(flags: int, colours: int) -> None:
    with pytest.raises(FormatError, match="palette"):
        palette_decode(bytes([flags, 0, colours - 1]), (5, 6), 3, 8, False)


def test_a_palette_rises_and_has_no_second_alpha() -> None:
    twice = Indexed(np.array([[1, 2, 3], [1, 2, 3]], np.uint8), indices(5, 6, 2), False)
    with pytest.raises(FormatError, match="do not rise"):
        palette_decode(palette_encode(twice, 3, False), (5, 6), 3, 8, False)
    data, header = coded(painted(indices(20, 30, 7), 4))
    assert header.alpha == ALPHA and header.loss[0] & WITH_ALPHA
    with pytest.raises(FormatError, match="alpha"):
        decode_still(_with(data, header.loss, alpha_loss=b"more"), 1)


def test_indices_beyond_the_palette_are_refused() -> None:
    plane = np.array([[0, 3]], np.int32)
    writer = SymbolWriter()
    IndexCoder(writer, plane.shape, 4, 0).run(plane)
    with pytest.raises(FormatError, match="no colour"):
        IndexCoder(SymbolReader(writer.finish()), plane.shape, 3, 0).run(None)


@pytest.mark.parametrize("fields", [{"head": 1, "base_q": 3}, {"max_error": 1}, {"loss_low": b"x", "depth": 16}])
def test_illegal_headers_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(FormatError, match="palette"):
        StillHeader(**{"width": 9, "height": 9, "channels": 3, "depth": 8, "bounded": PALETTE.still, **fields}).pack()


def test_the_base_has_no_part_in_the_picture() -> None:
    pixels = painted(indices(20, 30, 7), 3)
    still, header = header_of(coded(pixels)[0])
    other, _ = header_of(coded(painted(indices(20, 30, 7, 5), 3, seed=9))[0])
    data = avif.write(replace(still, base=inject(strip(other.base), [write_still(header)])), codec.still.encode.SRGB)
    assert np.array_equal(decode_still(data, 1).pixels, pixels)


def test_the_base_has_the_size_that_the_header_says() -> None:
    data, header = coded(painted(indices(20, 30, 7), 4))
    still, _ = header_of(data)
    for taller in (header.height + 1, 65535):
        with pytest.raises(FormatError, match="another size"):
            decode_still(_with(data, header.loss, height=taller), 1)
    wide, _ = header_of(coded(painted(indices(20, 31, 7), 4))[0])
    with pytest.raises(FormatError, match="another size"):
        decode_still(avif.write(replace(still, alpha=wide.alpha), codec.still.encode.SRGB), 1)


def test_alpha_of_a_palette_has_an_item_for_viewers() -> None:
    still, header = header_of(coded(painted(indices(20, 30, 7), 4))[0])
    assert header.loss[0] & WITH_ALPHA
    with pytest.raises(FormatError, match="no item"):
        decode_still(avif.write(replace(still, alpha=b""), codec.still.encode.SRGB), 1)


def test_palettes_have_a_limit_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    header = StillHeader(4097, 4096, 1, 8, bounded=PALETTE.still, loss=b"xxx")
    with pytest.raises(FormatError, match="4097x4096 is claimed, more than 16,777,216 samples; --max-pixels raises"):
        check_still(header, Limits())
    check_still(header, Limits(max_pixels=4097 * 4096))
    check_still(replace(header, width=4096), Limits())
    check_still(replace(header, bounded=0, loss=b""), Limits())
    pixels = painted(indices(20, 30, 7), 3)
    monkeypatch.setattr(codec.still.encode, "PALETTE_PIXELS", 599)
    assert coded(pixels)[1].bounded != PALETTE.still
    monkeypatch.setattr(codec.still.encode, "PALETTE_PIXELS", 600)
    assert coded(pixels)[1].bounded == PALETTE.still


@pytest.mark.parametrize("bits, tried", [(0.99, False), (1.0, True)])
def test_a_prediction_is_tried_beside_a_long_stream(monkeypatch: pytest.MonkeyPatch, bits: float, tried: bool) -> None:
    pixels = np.zeros((40, 50, 3), np.uint8)
    pixels[:, :7] = 200
    monkeypatch.setattr(codec.still.encode, "stream_of", lambda picture, share: bytes(int(bits * 40 * 50 / 8)))
    crfs: list[float] = []
    known = codec.still.encode.StillEncoder.code
    monkeypatch.setattr(codec.still.encode.StillEncoder, "code", lambda self, crf: crfs.append(crf) or known(self, crf))
    encode_still(Picture(pixels), EXACT)
    assert bool(crfs) == tried


def test_grey_photographs_with_alpha_are_not_tried() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 2)).astype(np.uint8)
    pixels[..., 1] = 255 * (pixels[..., 1] > 99)
    found = indexed(Picture(pixels))
    assert found is not None and found.alpha and not worth_trying(found, scattered(found.indices))


def test_the_last_of_equal_places_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    assert last_stays()
    reduced = []

    def counted(*given: NDArray[Any]) -> None:
        reduced.append(given[1].ndim)
        assign_reduced(*given)

    pixels = painted(indices(60, 70, 20), 4)
    data, _ = coded(pixels)
    monkeypatch.setattr("codec.loss.repeated.last_stays", lambda: False)
    monkeypatch.setattr("codec.loss.repeated.assign_reduced", counted)
    again, _ = coded(pixels)
    assert again == data and {1, 2} == set(reduced)


def test_tall_pictures_are_coded_as_columns() -> None:
    assert coded(painted(indices(90, 20, 4), 3))[1].loss[0] & TRANSPOSED
    assert not coded(painted(indices(20, 90, 4), 3))[1].loss[0] & TRANSPOSED


def test_decisions_learn_what_their_contexts_know() -> None:
    rng = np.random.default_rng(0)
    told = rng.integers(0, 5, (200, 50))
    bits = (told % 2 == 1) ^ (rng.random(told.shape) < 0.02)
    writer, decisions = SymbolWriter(), Decisions(1, 2, 12, slice(1, None))
    for known, wanted in zip(told, bits, strict=True):
        sums = np.stack([0 * known, known * multipliers(1)[0]]).astype(np.uint64)
        decisions.code(writer, 0, decisions.scattered(sums), wanted)
    entropy = -(0.02 * np.log2(0.02) + 0.98 * np.log2(0.98))
    assert len(writer.finish()) * 8 < 1.3 * entropy * bits.size
