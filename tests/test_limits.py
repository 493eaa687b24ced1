"""Claims are checked before anything is allocated, and users can move the limits."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import pytest
from PIL import Image

import codec.pillow
import splat
from codec.base.av1 import decode_base
from codec.cli.options import Amount
from codec.errors import DamageError, FormatError
from codec.film.reader import FilmReader
from codec.frames import PlaneFormat
from codec.limits import FILM_MEMORY, FILM_PIXELS, STILL_MEMORY, Limits
from codec.loss.modes import DENSITY, LINEAR, OFF, TRANSFORM
from codec.segment import payload
from codec.segment.payload import SegmentHeader, film_memory
from codec.segment.units import AHEAD, SegmentUnits
from codec.settings import SCALES
from codec.still.payload import StillHeader, header_of, still_memory
from codec.wire.mp4 import check_index
from tests.makers import GOLDEN, Run, base_temporal_units, drawn_frames, shell, write_frames

FILM, STILL, SPLAT = GOLDEN / "head-v1.nvc", GOLDEN / "lossless-v1.still.nvc", GOLDEN / "still-v1.nvs"
SMALL = Limits(max_pixels=1000)


def film_header(width: int, height: int, **fields: object) -> SegmentHeader:
    usual = {
        "width": width, "height": height, "format": PlaneFormat("420", 10), "scale": Fraction(1), "rate": Fraction(25),
        "frames": 100, "group": 8, "psnr": 40.0, "head_kind": payload.PRETRAINED_HEAD, "history": 0, "gate": 0,
        "layers": 4, "head_width": 16, "reference": 1, "loss_kind": OFF.film, "loss_step": 0, "max_error": 0,
        "head": b"\x80", "used": b"", "checksums": (),
    }  # fmt: skip
    return SegmentHeader(**(usual | fields))  # type: ignore[arg-type]


def test_defaults_let_films_of_8k_and_the_largest_stills_through() -> None:
    for loss in (OFF.film, TRANSFORM.film, DENSITY.film):
        each = {"loss_kind": loss, "group": 1 if loss else 8}
        assert film_memory(film_header(7680, 4320, **each)) < FILM_MEMORY
        for scale in SCALES[1:]:
            assert film_memory(film_header(7680, 4320, scale=scale, layers=6, head_width=24, **each)) < FILM_MEMORY
    assert FILM_PIXELS >= 7680 * 4320
    for bounded in (0, 1, 2):
        assert still_memory(StillHeader(16384, 8192, 3, 8, head=1, bounded=bounded)) < STILL_MEMORY


def test_memory_is_counted_with_all_that_a_header_claims() -> None:
    plain = film_memory(film_header(1920, 1080))
    for claim in (
        {"group": 100}, {"head_width": 64}, {"history": 2}, {"loss_kind": LINEAR.film},
        {"format": PlaneFormat("444", 10)},
    ):  # fmt: skip
        assert film_memory(film_header(1920, 1080, **claim)) > plain
    assert film_memory(film_header(1920, 1080, scale=Fraction(4))) < plain
    assert film_memory(film_header(1920, 1080), best_effort=True) > plain


@pytest.mark.parametrize("limits", [SMALL, Limits(max_memory=1 << 20)])
def test_library_refuses_what_is_beyond_the_limits(limits: Limits, tmp_path: Path) -> None:
    for work in (
        lambda: codec.open(FILM, limits=limits),
        lambda: codec.decode(FILM, tmp_path / "a.y4m", limits=limits),
        lambda: codec.verify(FILM, limits=limits),
        lambda: codec.decode_picture(STILL, tmp_path / "a.png", limits=limits),
    ):
        with pytest.raises(FormatError, match=r"nvc: .*--max-(pixels|memory)"):
            work()
    with pytest.raises(FormatError, match="--max"):
        codec.decode_still(STILL.read_bytes(), limits=limits)
    data = SPLAT.read_bytes()
    with pytest.raises(splat.SplatError, match="--max"):
        splat.decode(data, max_pixels=limits.max_pixels or 1 << 27, max_memory=limits.max_memory or 1 << 40)
    assert not list(tmp_path.iterdir())


def test_pillow_refuses_what_is_beyond_its_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec.pillow, "LIMITS", SMALL)
    with pytest.raises(OSError, match="--max-pixels"):
        Image.open(STILL)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Run:
    return shell(monkeypatch, capfdbinary)


@pytest.mark.parametrize(
    "words",
    [
        ("decode", FILM, "out.y4m"), ("verify", FILM), ("info", FILM),
        ("decode", STILL, "out.png"), ("verify", STILL), ("info", STILL),
        ("splat", "decode", SPLAT, "out.png"), ("splat", "info", SPLAT), ("upscale", STILL, "out.png"),
    ],
)  # fmt: skip
def test_commands_refuse_with_a_sentence_that_names_the_option(
    words: tuple[object, ...], run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = run(*words, "--max-pixels", "1K")
    assert found.code == 1
    assert "--max-pixels" in found.err
    assert any(isinstance(word, Path) and str(word) in found.err for word in words)
    assert not list(tmp_path.iterdir())
    if "upscale" not in words:
        assert run(*words, "--max-pixels", "100K", "--max-memory", "1GiB").code == 0


def test_folder_tells_which_pictures_are_too_large(run: Run, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.nvc").write_bytes(STILL.read_bytes())
    found = run("decode", tmp_path / "in", tmp_path / "out", "--max-pixels", "1K")
    assert found.code == 1
    assert "a.nvc" in found.err and "--max-pixels" in found.err


def test_amounts_have_suffixes() -> None:
    def read(text: str) -> int:
        return Amount().convert(text, None, None)

    assert [read(t) for t in ("7", "2K", "100M", "512MB", "4GiB", "1.5KiB")] == [
        7, 2000, 10**8, 512 * 10**6, 4 << 30, 1536,
    ]  # fmt: skip
    for wrong in ("", "0", "-1", "4X", "iB", "3iB", "1e9"):
        with pytest.raises(Exception, match="no amount"):
            read(wrong)


def test_a_stream_that_changes_its_size_midway_is_refused_before_it_is_decoded() -> None:
    small = [unit for unit, _ in base_temporal_units(2)]
    large = [unit for unit, _ in base_temporal_units(2, 512, 256)]
    shown = []
    with pytest.raises(DamageError, match="does not decode"):
        for pts, _ in decode_base([(unit, k) for k, unit in enumerate([*small, *large])], (48, 64)):
            shown.append(pts)
    assert set(shown) <= {0, 1}


def test_units_whose_pictures_never_come_are_not_kept_for_ever() -> None:
    unit = next(FilmReader(FILM).units())
    units = SegmentUnits(unit, ((_unit_at(unit, k)) for k in range(1, 1 << 20)), 1 << 20)
    with pytest.raises(DamageError, match=f"no picture for {AHEAD + 1} units"):
        for _ in units.stream():
            pass
    units = SegmentUnits(unit, ((_unit_at(unit, k)) for k in range(1, 1 << 20)), 1000)
    with pytest.raises(DamageError, match="no picture"):
        for _ in units.stream():
            pass


def _unit_at(unit: codec.wire.obu.TemporalUnit, pts: int) -> codec.wire.obu.TemporalUnit:
    return codec.wire.obu.TemporalUnit(unit.data, pts, 1, False, (bytes(100),))


def test_a_splat_of_few_bytes_that_claims_a_large_picture_is_refused() -> None:
    data = b"NVS\x05" + struct.pack(">HH", 65535, 2000) + bytes(12)
    with pytest.raises(splat.SplatError, match=r"65535x2000 .*--max-pixels"):
        splat.decode(data)


def box(kind: bytes, *parts: bytes) -> bytes:
    return struct.pack(">I", 8 + sum(map(len, parts))) + kind + b"".join(parts)


def _check(path: Path) -> None:
    with path.open("rb") as file:
        check_index(file)


@pytest.mark.parametrize(
    "inner",
    [
        box(b"stsz", struct.pack(">III", 0, 1, 0xF0000000)),
        box(b"stsz", struct.pack(">III", 0, 0, 0xF0000000)),
        box(b"stts", struct.pack(">IIII", 0, 1, 0x7FFFFFFF, 1)),
        box(b"trun", struct.pack(">II", 0, 0x7FFFFFFF)),
        box(b"elst", struct.pack(">II", 0, 0x7FFFFFFF)),
        box(b"stsz", struct.pack(">III", 0, 1, 100)) + box(b"elst", struct.pack(">II", 0, 5), bytes(60)),
        box(b"stsd", struct.pack(">II", 0, 1), struct.pack(">I", 0x7FFFFFFF), b"av01", bytes(80)),
        box(b"stsc", struct.pack(">II", 0, 2), bytes(12)),
        box(b"cmov", bytes(8)),
    ],
)
def test_an_index_that_claims_more_than_the_file_has_is_refused(inner: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.nvc"
    path.write_bytes(box(b"ftyp", bytes(8)) + box(b"moov", box(b"trak", inner)))
    with pytest.raises(FormatError, match="index"):
        _check(path)
    with pytest.raises(FormatError, match=r"a\.nvc: .*index"):
        codec.open(path)


def test_many_fragments_claim_no_more_than_one(tmp_path: Path) -> None:
    """Each of them less than the file has bytes, all together far more."""
    run = box(b"trun", struct.pack(">II", 0, 400))
    trafs = [box(b"traf", box(b"tfhd", bytes(8)), run) for _ in range(20)]
    path = tmp_path / "a.mp4"
    path.write_bytes(box(b"ftyp", b"isom", bytes(4)) + box(b"moof", *trafs))
    with pytest.raises(FormatError, match=r"claims [\d,]+ samples"):
        _check(path)


def test_what_is_nested_deeper_than_it_is_looked_into_is_refused(tmp_path: Path) -> None:
    table = box(b"stbl", box(b"stsz", struct.pack(">III", 0, 1, 20_000_000)))
    for _ in range(8):
        table = box(b"minf", table)
    path = tmp_path / "a.mp4"
    path.write_bytes(box(b"moov", box(b"trak", box(b"mdia", table))))
    with pytest.raises(FormatError, match="nested deeper"):
        _check(path)


def test_films_of_very_many_fragments_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w", options={"movflags": "frag_every_frame+empty_moov"}) as output:
        video = output.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 16, 16, "yuv420p"  # type: ignore[attr-defined]
        for k in range(10_000):
            frame = av.VideoFrame(16, 16, "yuv420p")
            frame.pts = k
            output.mux(video.encode(frame))  # type: ignore[attr-defined]
        output.mux(video.encode(None))  # type: ignore[attr-defined]
    _check(path)


def test_names_of_tables_within_a_text_are_no_tables(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    entry = box(b"tx3g", bytes(8), b"sold at Costco, stsz and all")
    path.write_bytes(box(b"moov", box(b"trak", box(b"stsd", struct.pack(">II", 0, 1), entry))))
    _check(path)


def test_what_libav_would_open_beside_mp4_and_matroska_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.nvc"
    path.write_text(f"ffconcat version 1.0\nfile {FILM.name}\n")
    (tmp_path / FILM.name).write_bytes(FILM.read_bytes())
    with pytest.raises(FormatError, match=r"a\.nvc"):
        codec.open(path)


def test_stills_are_counted_with_their_header() -> None:
    _, header = header_of(STILL.read_bytes())
    assert still_memory(header) > header.width * header.height * 50


@pytest.mark.usefixtures("quick")
def test_an_encoder_tells_where_its_film_needs_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_frames(tmp_path / "in.mkv", drawn_frames(PlaneFormat(), 64, 48, 3, 40), PlaneFormat())
    wishes = codec.Settings(preset="fast", head=False, scale=Fraction(1), device="cpu")
    assert not codec.encode(source, tmp_path / "a.nvc", wishes).notes
    monkeypatch.setattr("codec.film.encode.DEFAULT", SMALL)
    (note,) = codec.encode(source, tmp_path / "b.nvc", wishes).notes
    assert note.startswith("decoding will ask for options: a picture of 64x48") and "--max-pixels" in note
