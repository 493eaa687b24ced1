"""Hostile input: files that once broke a reader, a short slice of `tests/fuzz.py`, and properties of the pure readers.

`tests/corpus/` holds a file for each bug that mutated files have found; a new one goes there with its fix, named after
what must hold, with the ending that says which readers it is for.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, UnidentifiedImageError

import codec
import splat
from codec.errors import FormatError, InputError, NvcError
from codec.loss.changes import split_changes
from codec.segment import payload
from codec.still import payload as still_payload
from codec.still.decode import decode_still
from codec.still.upscale import load_upscaler
from codec.wire import avif, obu
from codec.wire.fields import RESIDUAL, SEGMENT, STILL, kind_of, layout, seal
from heads.layers import HeadError
from heads.restorer import store
from splat.payload import MAGIC
from tests import fuzz
from tests.fuzz import GOLDEN, LIMITS, TARGETS, Fuzz

CORPUS = sorted((Path(__file__).parent / "corpus").iterdir())
COUNT = 300
always = settings(derandomize=True, database=None, deadline=None, max_examples=200)


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_a_file_that_broke_a_reader_is_refused(path: Path) -> None:
    data = path.read_bytes()
    if path.name.endswith(".still.nvc"):
        with pytest.raises(FormatError):
            decode_still(data, 1, LIMITS)
        with pytest.raises((OSError, SyntaxError)), Image.open(io.BytesIO(data), formats=["NVC"]) as image:
            image.load()
    elif path.suffix == ".nvc":
        with pytest.raises(NvcError) as refused:
            list(codec.open(path, device="cpu", limits=LIMITS).frames())
        assert str(path) in str(refused.value)
        try:
            list(codec.open(path, device="cpu", best_effort=True, limits=LIMITS).frames())
        except NvcError as error:
            assert str(path) in str(error)
    elif path.suffix == ".nvs":
        with pytest.raises(splat.SplatError):
            splat.decode(data)
    else:
        with pytest.raises(InputError, match=path.name):
            load_upscaler(None, str(path))


@pytest.mark.parametrize("rate", [(0xFFFFFFFF, 1), (1, 0xFFFFFFFF), (0x7FFFFFFF, 0x7FFFFFFE)])
def test_a_rate_beyond_what_libav_can_say_does_not_stop_a_copy(rate: tuple[int, int], tmp_path: Path) -> None:
    data = (GOLDEN / "head-v1.nvc").read_bytes()
    old = obu.SIGNATURE + payload.write_segment(codec.open(GOLDEN / "head-v1.nvc").first)
    fields = bytearray(old[len(obu.SIGNATURE) : -4])
    fields[9:17] = struct.pack(">II", *rate)  # behind version, kind, size, chroma, depth and scale
    new = obu.SIGNATURE + bytes(fields) + zlib.crc32(fields).to_bytes(4)
    assert data.count(old) == 1
    (tmp_path / "a.nvc").write_bytes(data.replace(old, new))
    assert codec.open(tmp_path / "a.nvc").first.rate == Fraction(*rate)
    for name in ("a.y4m", "a.mkv"):
        assert codec.decode(tmp_path / "a.nvc", tmp_path / name).frames == 8


@pytest.fixture(scope="module")
def mutated(tmp_path_factory: pytest.TempPathFactory) -> Fuzz:
    return Fuzz(3, list(TARGETS), [GOLDEN], tmp_path_factory.mktemp("fuzz"))


def test_mutated_files_are_refused_or_shown_right(mutated: Fuzz) -> None:
    found = [mutated.read(number) for number in range(COUNT)]
    assert [result for result in found if result["outcome"] == "finding"] == []
    assert {result["target"] for result in found} == set(TARGETS)
    assert {result["outcome"] for result in found} == {"refused", "shown"}
    assert not list(mutated.folder.iterdir())


def test_a_file_can_be_made_again_from_its_number(mutated: Fuzz) -> None:
    for number in (0, 7, 3, 40):
        assert mutated.made(number)[2:] == mutated.made(number)[2:]
    assert len({mutated.made(number)[3] for number in range(40)}) == 40


def test_a_crash_and_a_hang_are_findings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(fuzz, "DEADLINE", 0.5)
    said = 'import sys,time; [print("{}", flush=True) or print(end="") or exec(l) for l in sys.stdin]'
    script = tmp_path / "worker.py"
    script.write_text(said.replace("exec(l)", "(sys.exit(3) if l == '0\\n' else time.sleep(9))"))
    monkeypatch.setattr(fuzz, "__file__", str(script))
    crashed, hung = fuzz._Process([]), fuzz._Process([])
    assert crashed.read(0)["text"] == "the process ended with 3"
    assert hung.read(1)["text"].startswith("no answer")
    assert not crashed.alive and not hung.alive


# properties of the pure readers


def only(errors: type[Exception], read: object, *words: object) -> None:
    """Call a reader, which may raise but those errors."""
    try:
        found = read(*words)  # type: ignore[operator]
        if isinstance(found, Iterator):
            list(found)
    except errors:
        pass


def sealed(kind: int) -> st.SearchStrategy[bytes]:
    """Payloads with a right CRC-32: of any bytes, or of fields of any values."""
    records = {SEGMENT: payload.SegmentHeader, STILL: still_payload.StillHeader}
    fields = list(records[kind].numbers.values()) if kind in records else []
    legal = st.tuples(*(st.integers(f.low, f.high) for f in fields)).map(lambda v: layout(fields).pack(*v))
    front = st.one_of(legal, st.binary(max_size=layout(fields).size))
    return st.builds(lambda a, b: seal(kind, a + b), front, st.binary(max_size=80))


@always
@given(st.one_of(st.binary(max_size=200), sealed(SEGMENT), sealed(RESIDUAL), sealed(STILL)))
def test_payloads_of_any_bytes_raise_nothing_but_format_errors(data: bytes) -> None:
    for read in (kind_of, payload.read_segment, payload.read_residual, still_payload.read_still, split_changes):
        only(FormatError, read, data)


@always
@given(sealed(SEGMENT))
def test_a_segment_that_is_read_is_written_back(data: bytes) -> None:
    try:
        header = payload.read_segment(data)
    except FormatError:
        return
    assert payload.read_segment(payload.write_segment(header)) == header


OBUS = st.lists(
    st.builds(
        lambda kind, size, body: bytes([kind << 3 | 2]) + (obu.leb128(len(body)) if size is None else size) + body,
        st.integers(0, 15),
        st.one_of(st.none(), st.none(), st.binary(max_size=9)),
        st.one_of(st.binary(max_size=60), st.binary(max_size=30).map(lambda b: obu.SIGNATURE + b + b"\x80")),
    ),
    max_size=5,
).map(b"".join)


@always
@given(st.one_of(st.binary(max_size=120), OBUS))
def test_units_of_any_bytes_raise_nothing_but_format_errors(unit: bytes) -> None:
    for read in (obu.iter_obus, obu.extract, obu.strip, obu.sequence_header, obu.sequence_size):
        only(FormatError, read, unit)
    only(FormatError, obu.read_leb128, unit, 0)
    try:
        payloads, rest = obu.extract(unit), obu.strip(unit)
    except FormatError:
        return
    assert len(rest) + sum(map(len, payloads)) <= len(unit)
    assert obu.extract(rest) == []


def _box(kind: bytes, body: bytes, size: int | None) -> bytes:
    return struct.pack(">I", len(body) + 8 if size is None else size) + kind + body


KINDS = (b"meta", b"pitm", b"iloc", b"iinf", b"infe", b"iref", b"iprp", b"ipco", b"ipma", b"colr", b"ispe", b"av1C")
BOXES = st.recursive(
    st.binary(max_size=24),
    lambda inner: st.lists(
        st.builds(
            lambda kind, front, bodies, size: _box(kind, front + b"".join(bodies), size),
            st.sampled_from(KINDS),
            st.sampled_from((b"", bytes(4), b"\1\0\0\0", b"\2\0\0\0", bytes(5))),
            st.lists(inner, max_size=3),
            st.one_of(st.none(), st.none(), st.none(), st.integers(0, 1 << 32).map(lambda n: n & 0xFFFFFFFF)),
        ),
        max_size=4,
    ).map(b"".join),
    max_leaves=12,
)
FTYP = _box(b"ftyp", b"avif" + bytes(4) + b"avif", None)


@always
@given(st.one_of(st.binary(max_size=100), BOXES), st.booleans())
def test_avif_of_any_bytes_raises_nothing_but_format_errors(data: bytes, whole: bool) -> None:
    only(FormatError, avif.read, FTYP + (_box(b"meta", bytes(4) + data, None) if whole else data))
    avif.is_avif(data)
    assert 1 <= avif.orientation(data) <= 8
    assert 1 <= avif.orientation(b"MM\0*" + data) <= 8


@always
@given(st.integers(0, 255), st.binary(max_size=60), st.binary(max_size=30), st.integers(0, 1), st.integers(0, 1))
def test_splats_of_any_header_raise_nothing_but_splat_errors(
    form: int, fields: bytes, rest: bytes, small: int, sealed: int
) -> None:
    form = 4 + form % 4 if small else form
    front = MAGIC + bytes([form]) + (struct.pack(">HH", 40, 20) if small else b"") + fields
    data = front + (zlib.crc32(front).to_bytes(4) if sealed else b"") + rest
    only(splat.SplatError, lambda: splat.decode(data, max_pixels=1 << 16))
    only(splat.SplatError, lambda: splat.describe(data, max_pixels=1 << 16))


@always
@given(st.lists(st.integers(0, 255), min_size=6, max_size=6), st.binary(max_size=120), st.booleans())
def test_heads_of_any_bytes_raise_nothing_but_head_errors(fields: list[int], coded: bytes, legal: bool) -> None:
    if legal:
        fields = [1, 12, 2, 1 + fields[3] % 3, fields[4] % 8, 1 + fields[5] % 2]
    data = store.HeadFront.magic + bytes(fields) + coded
    only(HeadError, store.read, data + zlib.crc32(data).to_bytes(4))


def test_pillow_takes_a_damaged_picture_for_nothing_else() -> None:

    data = bytearray((GOLDEN / "lossy-v1.still.nvc").read_bytes())
    data[data.find(obu.SIGNATURE) + 20] ^= 1
    with pytest.raises(OSError, match="CRC-32") as refused:
        Image.open(io.BytesIO(bytes(data)))
    assert not isinstance(refused.value, UnidentifiedImageError)
