"""Films whose heads are steered: what the encoder saw is what every decode shows, in part, on, and damaged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import codec
from codec.errors import DamageError
from codec.film.info import describe
from codec.film.reader import FilmReader
from codec.film.writer import write_film
from codec.frames import Frame, PlaneFormat, VideoInfo, folds_of
from codec.metrics import plane_psnrs
from codec.segment.encoder import SegmentEncoder
from codec.segment.fit_steering import Prediction, told_before
from codec.segment.payload import STEERED, SegmentHeader, read_segment, write_segment
from codec.segment.steering import put_blocks, split_steering
from codec.settings import Settings
from tests.makers import GENEROUS, same_planes, scene_frames, shorten, write_frames

YUV = PlaneFormat("420", 8)
SIZE = 150, 140  # 3x3 blocks
LENGTHS = (11, 10)


def any_blocks(found: Prediction, source: Any, plain: Any, last: Any, fmt: PlaneFormat, price: float) -> Prediction:
    """In the place of `partly`: blocks drawn by what the source is."""
    assert found.steered
    rng = np.random.default_rng(int(source[0].sum()))
    blocks = rng.integers(0, 2, found.steered.blocks.shape).astype(np.uint8)
    output = [plane.copy() for plane in found.output]
    put_blocks(output, found.plain, 1 - blocks, folds_of(fmt.chroma))
    psnrs = plane_psnrs(output, source, fmt.peak)
    return Prediction(output, psnrs, True, replace(found.steered, blocks=blocks), 1e9)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two segments, each picture told its own quantiser."""
    folder = tmp_path_factory.mktemp("film")
    source = write_frames(folder / "in.mkv", scene_frames(YUV, *SIZE, LENGTHS), YUV)
    with pytest.MonkeyPatch.context() as patch:
        shorten(patch, worth=GENEROUS)
        patch.setattr("codec.segment.choice.OWN_FROM", 1)
        patch.setattr("codec.segment.passes.partly", any_blocks)
        codec.encode(source, folder / "film.nvc", Settings(preset="fast", device="cpu", scale=Fraction(1), crf=50))
    found = headers(folder / "film.nvc")
    assert [h.head_kind for h in found] == [STEERED | h.head_sent for h in found] and len(found) == 2
    return folder / "film.nvc"


def headers(path: Path) -> list[SegmentHeader]:
    return [read_segment(u.payloads[0]) for u in FilmReader(path).units() if u.keyframe]


def frames_of(path: Path, start: Fraction | None = None, **options: Any) -> list[Frame]:
    return list(codec.open(path, device="cpu", **options).frames(start))


def changed(film: Path, path: Path, change: Callable[[SegmentHeader], SegmentHeader]) -> Path:
    """The film with another header of its first segment."""
    reader = FilmReader(film)
    units = list(reader.units())
    payload = write_segment(change(read_segment(units[0].payloads[0])))
    units[0] = replace(units[0], payloads=(payload, *units[0].payloads[1:]))
    write_film(path, units, reader.info, SIZE)
    return path


def with_steering(header: SegmentHeader, change: Callable[[bytes], bytes]) -> SegmentHeader:
    steering, rest = split_steering(header.head)
    steering = change(steering)
    return replace(header, head=len(steering).to_bytes(3) + steering + rest)


def test_every_part_is_that_of_the_whole(film: Path) -> None:
    whole = frames_of(film)  # against their checksums
    assert len(whole) == sum(LENGTHS)
    tick = codec.open(film).info.time_base
    for k in (5, 9, 11, 17):
        part = frames_of(film, whole[k].pts * tick)
        assert len(part) == len(whole) - k and all(map(same_planes, part, whole[k:]))
    assert all(s["steered"] and s["head"] == "pretrained" for s in describe(film)["segments"])


def test_steering_is_what_makes_the_pictures(film: Path, tmp_path: Path) -> None:
    bare = changed(film, tmp_path / "bare.nvc", lambda h: replace(h, head_kind=3, head=split_steering(h.head)[1]))
    with pytest.raises(DamageError, match="checksum"):
        frames_of(bare)


@pytest.mark.parametrize("change, words", [
    (lambda data: data[:-4] + bytes(1), "steering of the head is damaged"),
    (lambda data: data + bytes(7) + b"\1", "steering of the head is damaged"),
    (lambda data: b"\xff" * len(data), "steering of the head is damaged|checksum"),
    (lambda data: bytes([data[0] ^ 64]) + data[1:] + bytes(7) + b"\1", "steering of the head is damaged|checksum"),
])  # fmt: skip
def test_damaged_steering_is_told(film: Path, tmp_path: Path, change: Any, words: str) -> None:
    path = changed(film, tmp_path / "damaged.nvc", lambda header: with_steering(header, change))
    with pytest.raises(DamageError, match=words):
        frames_of(path)
    opened = codec.open(path, device="cpu", best_effort=True)
    shown, whole = list(opened.frames()), frames_of(film)
    assert len(shown) == len(whole) and opened.problems
    assert all(map(same_planes, shown[LENGTHS[0] :], whole[LENGTHS[0] :])), "the next segment is whole"
    bare = changed(film, tmp_path / "none.nvc", lambda h: replace(h, head=h.head[: 3 + len(split_steering(h.head)[0])]))
    plain = frames_of(bare, best_effort=True)
    for k, picture in enumerate(shown):
        assert same_planes(picture, whole[k]) or same_planes(picture, plain[k]), "nothing leaves that was not compared"


def test_steering_beyond_the_head_is_refused(film: Path, tmp_path: Path) -> None:
    path = changed(film, tmp_path / "cut.nvc", lambda h: replace(h, head=b"\xff\xff\xff" + h.head[3:]))
    with pytest.raises(DamageError, match="cut off"):
        frames_of(path)
    path = changed(film, tmp_path / "none.nvc", lambda h: replace(h, head=h.head[: 3 + len(split_steering(h.head)[0])]))
    with pytest.raises(DamageError, match="unusable"):
        frames_of(path)


def test_steering_that_does_not_pay_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_won(*given: Any) -> Prediction:
        return replace(any_blocks(*given), won=0.0)

    source = write_frames(tmp_path / "in.mkv", scene_frames(YUV, *SIZE, (9,)), YUV)
    shorten(monkeypatch, worth=GENEROUS)
    wishes = Settings(preset="fast", device="cpu", scale=Fraction(1), crf=50)
    monkeypatch.setattr("codec.segment.passes.partly", none_won)
    codec.encode(source, tmp_path / "a.nvc", wishes)
    monkeypatch.setattr("codec.segment.passes.partly", lambda found, *given: found)
    codec.encode(source, tmp_path / "b.nvc", wishes)
    assert [h.head_kind for h in headers(tmp_path / "a.nvc")] == [3]
    assert (tmp_path / "a.nvc").read_bytes() == (tmp_path / "b.nvc").read_bytes()


def test_another_base_keeps_what_the_head_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = scene_frames(YUV, *SIZE, (9,))
    info = VideoInfo(*SIZE, YUV, Fraction(1, 1000), Fraction(25))
    shorten(monkeypatch, worth=GENEROUS)
    monkeypatch.setattr("codec.segment.choice.OWN_FROM", 1)
    monkeypatch.setattr("codec.segment.passes.partly", any_blocks)
    encoder = SegmentEncoder(frames, info, Settings(preset="fast", device="cpu", crf=50), Fraction(1))
    base = encoder.base(50)
    first = encoder.finish(base)
    assert first.header.steered and told_before(first.header, first.head)
    again = encoder.again(base, first)
    assert again.header == first.header and again.bytes == first.bytes
    other = encoder.again(encoder.base(40), first)
    assert other.header.head_sent == first.header.head_sent and told_before(other.header, other.head)
