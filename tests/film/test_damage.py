"""Damaged films: never wrong pixels in silence, never anything but an NvcError; best effort shows what is left."""

from __future__ import annotations

import subprocess
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import codec
from codec.base.av1 import decode_base
from codec.base.resample import plain_prediction, upscale
from codec.errors import DamageError, FormatError, InputError, NvcError
from codec.film.reader import FilmReader
from codec.film.writer import write_film
from codec.frames import Frame, PlaneFormat
from codec.segment import payload
from codec.segment.payload import SegmentHeader, read_segment, write_residual, write_segment
from codec.settings import Settings
from codec.wire.fields import RESIDUAL, VERSION, kind_of
from codec.wire.obu import TemporalUnit
from tests.makers import LAVISH, same_planes, scene_frames, shorten, write_frames

YUV = PlaneFormat("420", 8)
LENGTHS = (11, 10, 12)
SECOND = range(11, 21)  # pictures of the second segment
Units = list[TemporalUnit]


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `loss.nvc` (scale 2, loss-stream, history 1) and `head.nvc` (heads alone, a chain of differences)
    and `shipped.nvc` (changes of the head of the program), each of three segments."""
    folder = tmp_path_factory.mktemp("films")
    source = write_frames(folder / "in.mkv", scene_frames(YUV, 64, 48, LENGTHS), YUV)
    with pytest.MonkeyPatch.context() as patch:
        shorten(patch, worth=LAVISH)
        wishes = Settings(preset="fast", device="cpu")
        codec.encode(source, folder / "loss.nvc", replace(wishes, scale=Fraction(2), loss=16, history=1))
        codec.encode(source, folder / "shipped.nvc", replace(wishes, scale=Fraction(1)))
        patch.setattr("codec.segment.choice.FILM_HEAD", 0)
        codec.encode(source, folder / "head.nvc", replace(wishes, scale=Fraction(1)))
    kinds = [u.payloads and kind_of(u.payloads[-1]) for u in FilmReader(folder / "loss.nvc").units()]
    assert kinds.count(RESIDUAL) > 25
    return folder


def frames_of(path: Path) -> list[Frame]:
    return list(codec.open(path, device="cpu").frames())


@cache
def original(path: Path) -> list[Frame]:
    """What an undamaged film decodes to."""
    return frames_of(path)


def rewritten(path: Path, target: Path, change: Callable[[Units], Units | None]) -> Path:
    """Write `path` again to `target` with its temporal units changed."""
    reader = FilmReader(path)
    units = list(reader.units())
    changed = change(units)
    size = (reader.info.width, reader.info.height)
    write_film(target, units if changed is None else changed, reader.info, size)
    return target


def flipped(data: bytes, at: int, bit: int = 0) -> bytes:
    out = bytearray(data)
    out[at] ^= 1 << bit
    return bytes(out)


def with_header(unit: TemporalUnit, change: Callable[[SegmentHeader], SegmentHeader]) -> TemporalUnit:
    """The unit with its segment header changed and sealed again, so that the CRC-32 holds."""
    header = change(read_segment(unit.payloads[0]))
    return replace(unit, payloads=(write_segment(header), *unit.payloads[1:]))


def with_payload(unit: TemporalUnit, number: int, data: bytes) -> TemporalUnit:
    payloads = list(unit.payloads)
    payloads[number] = data
    return replace(unit, payloads=tuple(payloads))


def test_rewriting_alone_changes_nothing(films: Path, tmp_path: Path) -> None:
    for name in ("loss.nvc", "head.nvc"):
        whole = original(films / name)
        found = frames_of(rewritten(films / name, tmp_path / name, lambda units: None))
        assert [f.pts for f in found] == [f.pts for f in whole]
        assert all(same_planes(a, b) for a, b in zip(found, whole, strict=True))


# --- one fault at a time: (film, picture that the error names, words of the error, change) ---------------------------


def flip_residual(units: Units) -> None:
    units[14] = with_payload(units[14], -1, flipped(units[14].payloads[-1], 9))


def resealed_residual(units: Units) -> None:
    data = payload.read_residual(units[14].payloads[-1])
    units[14] = with_payload(units[14], -1, write_residual(flipped(data, len(data) // 2, 3)))


def longer_residual(units: Units) -> None:
    data = payload.read_residual(units[14].payloads[-1])
    units[14] = with_payload(units[14], -1, write_residual(data + bytes(40) + b"\x01"))


def other_residual(units: Units) -> None:
    units[14] = with_payload(units[14], -1, units[15].payloads[-1])


def no_residual(units: Units) -> None:
    units[14] = replace(units[14], payloads=())


def two_residuals(units: Units) -> None:
    units[14] = replace(units[14], payloads=units[14].payloads * 2)


def second_header(units: Units) -> None:
    units[14] = replace(units[14], payloads=units[11].payloads[:1])


def unknown_kind(units: Units) -> None:
    data = bytes([VERSION, 77]) + b"from the future"
    units[14] = with_payload(units[14], -1, data + zlib.crc32(data).to_bytes(4))


def residual_without_loss_stream(units: Units) -> None:
    units[14] = replace(units[14], payloads=(write_residual(b"abcd"),))


def flip_header(units: Units) -> None:
    units[11] = with_payload(units[11], 0, flipped(units[11].payloads[0], 7))


def no_header(units: Units) -> None:
    units[11] = replace(units[11], payloads=())


def newer_version(units: Units) -> None:
    data = bytes([VERSION + 1]) + units[11].payloads[0][1:-4]
    units[11] = with_payload(units[11], 0, data + zlib.crc32(data).to_bytes(4))


def other_size(units: Units) -> None:
    units[11] = with_header(units[11], lambda h: replace(h, width=h.width - 1))


def other_head(units: Units) -> None:
    units[11] = with_header(units[11], lambda h: replace(h, head=flipped(h.head, min(16, len(h.head) - 1), 5)))


def illegal_head(units: Units) -> None:
    units[11] = with_header(units[11], lambda h: replace(h, head=b"\xff" * len(h.head)))


def short_head(units: Units) -> None:
    units[11] = with_header(units[11], lambda h: replace(h, head=h.head[:5]))


def other_shape(units: Units) -> None:
    units[11] = with_header(units[11], lambda h: replace(h, head_width=h.head_width + 1))


def other_reference(units: Units) -> None:
    units[11] = with_header(units[11], lambda h: replace(h, reference=h.reference ^ 1))


def unused_head(units: Units) -> None:
    units[11] = with_header(units[11], lambda h: replace(h, used=flipped(h.used, 0, 1)))


def wrong_checksum(units: Units) -> None:
    units[11] = with_header(units[11], lambda h: replace(h, checksums=(h.checksums[0] ^ 1, *h.checksums[1:])))


def other_step(units: Units) -> None:
    units[11] = with_header(units[11], lambda h: replace(h, loss_step=h.loss_step + 1))


def dropped_picture(units: Units) -> Units:
    return units[:16] + units[17:]


def dropped_last_picture(units: Units) -> Units:
    return units[:20] + units[21:]


def base_of_another_picture(units: Units) -> None:
    units[14] = replace(units[14], data=units[15].data)


FAULTS = [
    ("loss.nvc", 14, "loss-stream is damaged: a payload does not match its CRC-32", flip_residual),
    ("loss.nvc", 14, "loss-stream is damaged|checksum", resealed_residual),
    ("loss.nvc", 14, "loss-stream is damaged: the loss-stream has bytes after its end", longer_residual),
    ("loss.nvc", 14, "loss-stream is damaged|checksum", other_residual),
    ("loss.nvc", 14, "checksum", no_residual),
    ("loss.nvc", 14, "more payloads than one picture can have", two_residuals),
    ("loss.nvc", 14, "a payload is not a loss-stream", second_header),
    ("loss.nvc", 14, "unknown kind 77", unknown_kind),
    ("loss.nvc", 11, "0.440 s: a payload does not match its CRC-32", flip_header),
    ("loss.nvc", 11, "segment header is missing", no_header),
    ("loss.nvc", 11, "version 2; this program reads version 1", newer_version),
    ("loss.nvc", 11, "of another size or format than the film", other_size),
    ("loss.nvc", 11, "checksum", wrong_checksum),
    ("loss.nvc", None, "loss-stream is damaged|checksum", other_step),
    ("loss.nvc", None, "checksum|loss-stream is damaged|the base does not decode", dropped_picture),
    ("loss.nvc", None, "checksum|loss-stream is damaged|the base does not decode", base_of_another_picture),
    ("head.nvc", 14, "more payloads than one picture can have", residual_without_loss_stream),
    ("head.nvc", 11, "0.440 s: a payload does not match its CRC-32", flip_header),
    ("head.nvc", 11, "head of the segment is unusable|checksum", other_head),
    ("head.nvc", 11, "head of the segment is unusable: layer 0 has an illegal scale", illegal_head),
    ("head.nvc", 11, "head of the segment is unusable: coded weights are shorter", short_head),
    ("head.nvc", 11, "head of the segment is unusable: .* another shape", other_shape),
    ("head.nvc", 11, "head of the segment is unusable: .* not in the file", other_reference),
    ("head.nvc", 11, "checksum", unused_head),
    ("head.nvc", 11, "checksum", wrong_checksum),
    ("head.nvc", None, "checksum|the base does not decode|9 of its 10", dropped_picture),
    ("head.nvc", 20, "checksum|9 of its 10", dropped_last_picture),
]
IDS = [f"{name[:4]}-{change.__name__}" for name, _, _, change in FAULTS]
SHORTER = (dropped_picture, dropped_last_picture)


@pytest.mark.parametrize(("name", "picture", "words", "change"), FAULTS, ids=IDS)
def test_fault_is_named_with_its_time_and_best_effort_goes_on(
    name: str, picture: int | None, words: str, change: Callable[[Units], Units | None], films: Path, tmp_path: Path
) -> None:
    whole = original(films / name)
    path = rewritten(films / name, tmp_path / "broken.nvc", change)
    shown: list[Frame] = []
    with pytest.raises(DamageError, match=words) as raised:
        shown.extend(codec.open(path, device="cpu", threads=2).frames())
    message = str(raised.value)
    assert message.startswith(f"{path}: frame at ")
    assert raised.value.pts is not None
    assert raised.value.pts in [f.pts for f in whole]
    assert f"{raised.value.pts / 1000:.3f} s" in message
    if picture is not None and change not in SHORTER:
        assert raised.value.pts == whole[picture].pts

    # best effort: every picture of the other segments is exact, the rest is announced
    film = codec.open(path, best_effort=True, device="cpu", threads=2)
    found = {f.pts: f for f in film.frames()}
    assert film.problems
    assert all(str(path) in text and "frame at" in text for text in film.problems)
    if change in SHORTER:
        assert sum(LENGTHS) - LENGTHS[1] <= len(found) < sum(LENGTHS)
        assert any("pictures; from here on the segment is incomplete" in text for text in film.problems)
    else:
        assert [f.pts for f in whole] == list(found)
    later = read_segment(list(FilmReader(path).units())[-1 - (LENGTHS[2] - 1)].payloads[0])
    depends = later.head_sent == payload.HEAD_DIFFERENCE and any("head" in p or "header" in p for p in film.problems)
    for k, frame in enumerate(whole):
        if k < SECOND.start or (k >= SECOND.stop and not depends):
            assert same_planes(found[frame.pts], frame), f"picture {k} is not concerned"


def test_what_is_shown_before_an_error_is_exact(films: Path, tmp_path: Path) -> None:
    whole = original(films / "loss.nvc")
    path = rewritten(films / "loss.nvc", tmp_path / "broken.nvc", flip_residual)
    shown: list[Frame] = []
    with pytest.raises(DamageError):
        shown.extend(codec.open(path, device="cpu").frames())
    assert len(shown) == 14
    assert all(same_planes(a, b) for a, b in zip(shown, whole, strict=False))


def test_best_effort_shows_the_base_through_the_fixed_filter(films: Path, tmp_path: Path) -> None:
    path = rewritten(films / "loss.nvc", tmp_path / "broken.nvc", flip_header)
    film = codec.open(path, best_effort=True, device="cpu")
    found = list(film.frames())
    bases = dict(decode_base(((u.data, u.pts) for u in list(FilmReader(path).units())[11:21]), (24, 32)))
    for frame in found[11:21]:
        expected = plain_prediction(upscale(bases[frame.pts], YUV, 64, 48, Fraction(2)), 8)
        assert same_planes(frame, Frame(tuple(expected), frame.pts))
    assert len(film.problems) == 1


def test_no_head_is_used_after_a_damaged_one_until_a_whole_one(films: Path, tmp_path: Path) -> None:
    path = rewritten(films / "head.nvc", tmp_path / "broken.nvc", flip_header)
    film = codec.open(path, best_effort=True, device="cpu")
    assert len(list(film.frames())) == sum(LENGTHS)
    assert len(film.problems) == 2
    assert "0.840 s: the head of the segment is unusable" in film.problems[1]


def test_first_header_damaged(films: Path, tmp_path: Path) -> None:
    def change(units: Units) -> None:
        units[0] = with_payload(units[0], 0, flipped(units[0].payloads[0], 7))

    path = rewritten(films / "loss.nvc", tmp_path / "broken.nvc", change)
    with pytest.raises(FormatError, match=r"broken\.nvc: a payload does not match its CRC-32"):
        codec.open(path)
    whole = original(films / "loss.nvc")
    film = codec.open(path, best_effort=True, device="cpu")
    found = list(film.frames())
    assert len(found) == len(whole)
    assert all(same_planes(a, b) for a, b in zip(found[11:], whole[11:], strict=True))
    assert "frame at 0.000 s" in film.problems[0]


def test_damaged_film_leaves_no_output_unless_best_effort(films: Path, tmp_path: Path) -> None:
    path = rewritten(films / "loss.nvc", tmp_path / "broken.nvc", flip_residual)
    for name in ("out.y4m", "out.mkv", "out.mp4"):
        with pytest.raises(DamageError):
            codec.decode(path, tmp_path / name)
        assert [p.name for p in tmp_path.iterdir()] == ["broken.nvc"]
    result = codec.decode(path, tmp_path / "out.y4m", best_effort=True)
    assert result.frames == sum(LENGTHS)
    assert len(result.problems) == 1
    with pytest.raises(DamageError):
        codec.verify(path)


# --- at random --------------------------------------------------------------------------------------------------------


def outcome(path: Path, whole: list[Frame]) -> str:
    """Decode; whatever comes out before an error must be pictures of the film, in order, sample for sample."""
    originals = iter(whole)
    try:
        for frame in codec.open(path, device="cpu").frames():
            assert any(same_planes(frame, original) for original in originals), f"a wrong picture at {frame.pts}"
    except NvcError as error:
        assert str(path) in str(error), f"{error!r} does not name the file"
        return "refused"
    return "shown"


def damaged(data: bytes, rng: np.random.Generator) -> Iterator[bytes]:
    """Some kinds of damage that disks, networks and people do to files."""
    yield flipped(data, int(rng.integers(len(data))), int(rng.integers(8)))
    start = int(rng.integers(len(data)))
    size = int(rng.integers(1, 64))
    yield data[:start] + rng.bytes(size) + data[start + size :]
    yield data[:start] + data[start + size :]
    yield data[:start] + bytes(size) + data[start:]


@pytest.mark.parametrize("name", ["loss.nvc", "head.nvc", "shipped.nvc"])
def test_random_damage_never_shows_a_wrong_picture(name: str, films: Path, tmp_path: Path) -> None:
    whole, data = original(films / name), (films / name).read_bytes()
    path = tmp_path / "broken.nvc"
    rng, seen = np.random.default_rng(7), set()
    for _ in range(3):
        for broken in damaged(data, rng):
            path.write_bytes(broken)
            seen.add(outcome(path, whole))
            try:
                list(codec.open(path, best_effort=True, device="cpu").frames())
            except NvcError:
                pass
    assert "refused" in seen


def test_random_damage_of_the_base_never_shows_a_wrong_picture(films: Path, tmp_path: Path) -> None:
    whole = original(films / "head.nvc")
    rng, seen = np.random.default_rng(3), []
    for n in range(16):

        def change(units: Units, n: int = n) -> None:
            k = int(rng.integers(len(units)))
            data = units[k].data
            at = int(rng.integers(min(20, len(data) // 2), len(data)))
            units[k] = replace(units[k], data=flipped(data, at, n % 8))

        try:
            path = rewritten(films / "head.nvc", tmp_path / f"{n}.nvc", change)
        except FormatError:
            continue  # no OBUs any more: such a film cannot be written
        seen.append(outcome(path, whole))
    assert seen.count("refused") > len(seen) // 2


@pytest.mark.parametrize("name", ["loss.nvc", "head.nvc", "shipped.nvc"])
def test_truncated_files_are_refused(name: str, films: Path, tmp_path: Path) -> None:
    whole, data = original(films / name), (films / name).read_bytes()
    path = tmp_path / "broken.nvc"
    for length in (0, 1, 8, 40, 500, len(data) // 4, len(data) // 2, len(data) * 3 // 4, len(data) - 40, len(data) - 1):
        path.write_bytes(data[:length])
        assert outcome(path, whole) == "refused", f"{length} bytes of {len(data)}"


def test_truncated_matroska_shows_whole_segments_only(films: Path, tmp_path: Path, ffmpeg: str) -> None:
    path = tmp_path / "a.mkv"
    command = [ffmpeg, "-v", "error", "-i", str(films / "loss.nvc"), "-c", "copy", str(path)]
    subprocess.run(command, check=True)
    whole, data = original(films / "loss.nvc"), path.read_bytes()
    for tenths in range(1, 10):
        path.write_bytes(data[: len(data) * tenths // 10])
        outcome(path, whole)


def test_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.nvc"):
        codec.open(tmp_path / "absent.nvc")


def test_a_header_that_claims_a_huge_picture_is_refused_before_anything_is_allocated(
    films: Path, tmp_path: Path
) -> None:
    def change(units: Units) -> None:
        for k in (0, 11, 21):
            data = bytearray(units[k].payloads[0][:-4])
            data[2:6] = b"\xff\xff\xff\xff"  # width and height
            units[k] = with_payload(units[k], 0, bytes(data) + zlib.crc32(data).to_bytes(4))

    path = rewritten(films / "loss.nvc", tmp_path / "broken.nvc", change)
    for best_effort in (False, True):
        with pytest.raises(FormatError, match=r"broken\.nvc: a picture of 65535x65535 .*too large"):
            codec.open(path, best_effort=best_effort)
