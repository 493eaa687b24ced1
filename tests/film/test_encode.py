"""End to end: a film goes in, an .nvc file comes out, and what is decoded from it is what it has to be."""

from __future__ import annotations

import os
import subprocess
import zlib
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import codec
from codec.errors import DamageError, InputError, NvcError, OutputError, UsageError
from codec.events import Decoding, Event
from codec.film.reader import FilmReader
from codec.film.writer import write_film
from codec.frames import Frame, PlaneFormat
from codec.loss.modes import TRANSFORM
from codec.media.demuxed import open_source
from codec.media.libav import ordinary_priority
from codec.media.parts import Part
from codec.metrics import plane_psnrs, weighted
from codec.segment import payload
from codec.segment.choice import Choice, Chooser
from codec.segment.head import read_pretrained, write_pretrained
from codec.segment.payload import SegmentHeader
from codec.segment.steering import split_steering
from codec.settings import Settings
from tests.makers import LAVISH, drawn_frames, same_planes, scene_frames, shorten, write_frames

YUV = PlaneFormat("420", 8)
FORMATS = [PlaneFormat(chroma, depth) for chroma in ("400", "420", "422", "444") for depth in (8, 10)]
TWO = Fraction(2)

pytestmark = pytest.mark.usefixtures("quick")


def settings(**wishes: Any) -> Settings:
    return Settings(**{"preset": "fast", "device": "cpu"} | wishes)


def decoded(path: Path, start: Fraction | None = None, duration: Fraction | None = None) -> list[Frame]:
    return list(codec.open(path, device="cpu").frames(start, duration))


def headers(path: Path) -> list[tuple[int, SegmentHeader]]:
    """(pts, header) of every segment, read without the decoder."""
    return [(u.pts, payload.read_segment(u.payloads[0])) for u in FilmReader(path).units() if u.keyframe]


def assert_same(a: list[Frame], b: list[Frame]) -> None:
    assert [f.pts for f in a] == [f.pts for f in b]
    for x, y in zip(a, b, strict=True):
        assert same_planes(x, y), f"the picture at pts {x.pts} differs"


def checksums_hold(path: Path, frames: list[Frame]) -> bool:
    """Whether plain CRC-32 over the frames' samples gives the checksums in the file."""
    at = 0
    for _, header in headers(path):
        for k, expected in enumerate(header.checksums):
            group = frames[at + k * header.group : at + min((k + 1) * header.group, header.frames)]
            if zlib.crc32(b"".join(p.tobytes() for f in group for p in f.planes)) != expected:
                return False
        at += header.frames
    return at == len(frames)


class Interrupt(Exception):
    """What a test throws into an encode."""


def throw_after(segment: int) -> Any:
    def listen(event: Event) -> None:
        if event.kind == "segment" and event.data["segment"] == segment:
            raise Interrupt

    return listen


# --- exact copies -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fmt", FORMATS, ids=lambda f: f.av_name)
@pytest.mark.parametrize("size", [(1, 1), (17, 33), (2, 70), (64, 48)], ids=lambda s: f"{s[0]}x{s[1]}")
def test_lossless_gives_back_every_sample(fmt: PlaneFormat, size: tuple[int, int], tmp_path: Path) -> None:
    frames = drawn_frames(fmt, *size, 3, 40)
    source = write_frames(tmp_path / "in.mkv", frames, fmt)
    result = codec.encode(source, tmp_path / "out.nvc", settings(max_error=0, head=False))
    found = decoded(tmp_path / "out.nvc")
    assert_same(found, frames)
    assert checksums_hold(tmp_path / "out.nvc", found)
    assert (result.psnr, result.frames, result.notes) == (100.0, 3, [])


@pytest.mark.parametrize("fmt", FORMATS, ids=lambda f: f.av_name)
def test_lossless_holds_at_every_scale(fmt: PlaneFormat, tmp_path: Path) -> None:
    frames = scene_frames(fmt, 49, 39, (2,))
    source = write_frames(tmp_path / "in.mkv", frames, fmt)
    for scale in (Fraction(3, 2), TWO, Fraction(3), Fraction(4)):
        target = tmp_path / f"{float(scale):g}.nvc"
        codec.encode(source, target, settings(max_error=0, head=False, scale=scale))
        assert_same(decoded(target), frames)


@pytest.mark.parametrize("fmt", [YUV, PlaneFormat("444", 10), PlaneFormat("400", 8)], ids=lambda f: f.av_name)
def test_no_sample_exceeds_the_bound(fmt: PlaneFormat, tmp_path: Path) -> None:
    frames = drawn_frames(fmt, 33, 17, 4, 40)
    source = write_frames(tmp_path / "in.mkv", frames, fmt)
    codec.encode(source, tmp_path / "out.nvc", settings(max_error=2, head=False))
    worst = 0
    for found, frame in zip(decoded(tmp_path / "out.nvc"), frames, strict=True):
        for a, b in zip(found.planes, frame.planes, strict=True):
            worst = max(worst, int(np.abs(a.astype(int) - b.astype(int)).max()))
    assert worst == 2, "the bound holds, and is made use of"


def test_lossless_is_refused_where_the_planes_are_not_the_sources_own(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "in.mkv"), "w") as output:
        video: Any = output.add_stream("ffv1", rate=25)
        video.width, video.height, video.pix_fmt = 16, 16, "bgr0"
        output.mux(video.encode(av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), "rgb24")))
        output.mux(video.encode(None))
    with pytest.raises(InputError, match="losslessly"):
        codec.encode(tmp_path / "in.mkv", tmp_path / "out.nvc", settings(max_error=0))
    assert os.listdir(tmp_path) == ["in.mkv"]


# --- heads and loss-streams -------------------------------------------------------------------------------------------


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Three scenes of 64x48 at 25 pictures a second, as FFV1."""
    return write_frames(tmp_path / "in.mkv", scene_frames(YUV, 64, 48, (12, 10, 11)), YUV)


@pytest.mark.usefixtures("generous")
def test_measured_quality_is_that_of_the_decoded_pictures(film: Path, tmp_path: Path) -> None:
    result = codec.encode(film, tmp_path / "out.nvc", settings())
    found = decoded(tmp_path / "out.nvc")
    assert [s.frames for s in result.segments] == [12, 10, 11]
    assert checksums_hold(tmp_path / "out.nvc", found)
    frames = scene_frames(YUV, 64, 48, (12, 10, 11))
    psnrs = np.array([plane_psnrs(a.planes, b.planes, 255) for a, b in zip(found, frames, strict=True)])
    at = 0
    for stats, (_, header) in zip(result.segments, headers(tmp_path / "out.nvc"), strict=True):
        measured = weighted(psnrs[at : at + header.frames])
        assert stats.psnr == pytest.approx(measured, abs=1e-6)
        assert header.psnr == pytest.approx(measured, abs=0.006)
        assert stats.head_bytes == len(header.head) > 0
        assert measured > stats.base_psnr, "a head is sent only where it gains"
        at += header.frames
    assert result.bytes == os.path.getsize(tmp_path / "out.nvc")


@pytest.mark.usefixtures("generous")
def test_head_that_does_not_pay_is_not_sent(film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codec.segment.worth.PRICE", 1e6)
    result = codec.encode(film, tmp_path / "out.nvc", settings())
    assert [s.head for s in result.segments] == ["none"] * 3


@pytest.mark.usefixtures("generous")
@pytest.mark.parametrize("history", [0, 1, 2])
def test_history_and_loss_stream_decode(history: int, tmp_path: Path) -> None:
    fmt = PlaneFormat("420", 8)
    source = write_frames(tmp_path / "in.mkv", scene_frames(fmt, 65, 47, (11,)), fmt)
    result = codec.encode(source, tmp_path / "out.nvc", settings(scale=TWO, loss=12, history=history))
    ((_, header),) = headers(tmp_path / "out.nvc")
    assert (header.history, header.loss_kind, header.loss_step) == (history, TRANSFORM.film, 12)
    assert any(header.uses_head(k) for k in range(1, 11))
    assert result.segments[0].loss_bytes != 0
    assert result.psnr > result.segments[0].base_psnr + 3
    found = decoded(tmp_path / "out.nvc")
    assert len(found) == 11
    assert checksums_hold(tmp_path / "out.nvc", found)


@pytest.mark.usefixtures("generous")
@pytest.mark.parametrize("fmt", [f for f in FORMATS if f != YUV], ids=lambda f: f.av_name)
def test_every_format_takes_heads_with_history(fmt: PlaneFormat, tmp_path: Path) -> None:
    source = write_frames(tmp_path / "in.mkv", scene_frames(fmt, 33, 35, (5,)), fmt)
    codec.encode(source, tmp_path / "out.nvc", settings(scale=Fraction(3, 2), loss=20, history=1))
    ((_, header),) = headers(tmp_path / "out.nvc")
    assert (header.history, header.format, header.scale) == (1, fmt, Fraction(3, 2))
    found = decoded(tmp_path / "out.nvc")
    assert [p.dtype for p in found[0].planes] == [fmt.dtype] * len(fmt.shapes(1, 1))
    assert checksums_hold(tmp_path / "out.nvc", found)


@pytest.mark.usefixtures("generous")
def test_films_smaller_than_a_block_take_heads_and_history(tmp_path: Path) -> None:
    for size in ((1, 1), (3, 2)):
        source = write_frames(tmp_path / "in.mkv", scene_frames(YUV, *size, (4,)), YUV)
        codec.encode(source, tmp_path / "out.nvc", settings(scale=TWO, loss=4, history=2), overwrite=True)
        assert checksums_hold(tmp_path / "out.nvc", decoded(tmp_path / "out.nvc"))


def test_a_single_picture_is_a_film(tmp_path: Path) -> None:
    frames = scene_frames(YUV, 40, 30, (1,))
    source = write_frames(tmp_path / "in.mkv", frames, YUV)
    codec.encode(source, tmp_path / "out.nvc", settings(history=1, scale=TWO))
    assert [f.pts for f in decoded(tmp_path / "out.nvc")] == [0]


# --- the head of the program ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three segments that change the head of the program, whatever their trainings find."""
    folder = tmp_path_factory.mktemp("pretrained")
    source = write_frames(folder / "in.mkv", scene_frames(YUV, 64, 48, (12, 10, 11)), YUV)
    with pytest.MonkeyPatch.context() as patch:
        shorten(patch, worth=LAVISH)
        codec.encode(source, folder / "shipped.nvc", settings(scale=Fraction(1)))
    return folder / "shipped.nvc"


def test_segments_adapt_the_head_of_the_program(pretrained: Path, tmp_path: Path) -> None:
    found = [header for _, header in headers(pretrained)]
    assert [(h.head_sent, h.reference, h.history) for h in found] == [(payload.PRETRAINED_HEAD, 1, 0)] * 3
    assert any(len(h.head) > 1 for h in found), "at least one changes it"
    whole = decoded(pretrained)
    assert checksums_hold(pretrained, whole)
    start = copied_from_keyframe(pretrained, tmp_path / "cut.mkv", 2)
    assert start > 0
    for a, b in zip(decoded(tmp_path / "cut.mkv"), whole[22:], strict=True):
        assert same_planes(a, b), "a cut film needs no earlier segment"


def test_a_shipped_head_alone_costs_a_byte(
    film: Path, tmp_path: Path, generous: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("codec.segment.choice.fit_restorer", lambda *args, **options: None)
    monkeypatch.setattr("codec.segment.choice.last_layers", lambda *args: ())
    codec.encode(film, tmp_path / "out.nvc", settings(scale=Fraction(1)))
    found = [header for _, header in headers(tmp_path / "out.nvc")]
    used = [h for h in found if h.head_sent == payload.PRETRAINED_HEAD]
    assert used and all(len(h.head) == 1 for h in used)
    assert checksums_hold(tmp_path / "out.nvc", decoded(tmp_path / "out.nvc"))


def test_a_difference_to_a_shipped_head_is_told_what_that_is(
    tmp_path: Path, lavish: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the second segment on nothing is adapted, so heads are differences to one of the program."""
    with_pretrained = Chooser.with_pretrained

    def first_alone(self: Chooser, best: Choice, number: int) -> Choice:
        return best if self.known else with_pretrained(self, best, number)

    monkeypatch.setattr(Chooser, "with_pretrained", first_alone)
    source = write_frames(tmp_path / "in.mkv", scene_frames(YUV, 64, 48, (12, 10, 11)), YUV)
    codec.encode(source, tmp_path / "out.nvc", settings(scale=Fraction(1)))
    found = [header for _, header in headers(tmp_path / "out.nvc")]
    assert found[0].head_sent == payload.PRETRAINED_HEAD
    assert payload.HEAD_DIFFERENCE in [h.head_sent for h in found[1:]]
    whole = decoded(tmp_path / "out.nvc")
    assert checksums_hold(tmp_path / "out.nvc", whole)
    tick = codec.open(tmp_path / "out.nvc").info.time_base
    assert_same(decoded(tmp_path / "out.nvc", whole[24].pts * tick), whole[24:])

    def told_otherwise(units: list[Any]) -> None:
        header = payload.read_segment(units[0].payloads[0])
        begin = len(header.head) - len(split_steering(header.head)[1]) if header.steered else 0
        base_q, change = read_pretrained(header.head[begin:])
        head = header.head[:begin] + write_pretrained(base_q - 1, change)
        other = replace(header, head=head, used=bytes(len(header.used)))
        units[0] = replace(units[0], payloads=(payload.write_segment(other), *units[0].payloads[1:]))

    reader = FilmReader(tmp_path / "out.nvc")
    units = list(reader.units())
    told_otherwise(units)
    write_film(tmp_path / "other.nvc", units, reader.info, (64, 48))
    with pytest.raises(DamageError):
        decoded(tmp_path / "other.nvc")


@pytest.mark.parametrize("change, words", [
    ({"reference": 99}, "no film head 99"), ({"reference": 3}, "base of another size"),
    ({"layers": 5}, "another shape"), ({"head_width": 8}, "another shape"),
    ({"head": bytes([128, 9])}, "multiples"), ({"head": bytes([128, 0])}, "shorter"),
])  # fmt: skip
def test_a_wrong_head_of_the_program_is_refused(
    pretrained: Path, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    reader = FilmReader(pretrained)
    units = list(reader.units())
    header = replace(payload.read_segment(units[0].payloads[0]), **change)
    units[0] = replace(units[0], payloads=(payload.write_segment(header), *units[0].payloads[1:]))
    write_film(tmp_path / "wrong.nvc", units, reader.info, (64, 48))
    with pytest.raises(DamageError, match=words):
        decoded(tmp_path / "wrong.nvc")


def test_films_without_a_head_of_the_program_train_their_own(
    tmp_path: Path, lavish: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heads.restorer.store.FILM_HEADS", {})
    source = write_frames(tmp_path / "in.mkv", scene_frames(YUV, 64, 48, (9,)), YUV)
    codec.encode(source, tmp_path / "out.nvc", settings(scale=TWO, loss="off"))
    ((_, header),) = headers(tmp_path / "out.nvc")
    assert header.head_kind == payload.WHOLE_HEAD


# --- seeking and cutting ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three segments; the head of the second is a difference to that of the first, the third's to the second's."""
    folder = tmp_path_factory.mktemp("chain")
    source = write_frames(folder / "in.mkv", scene_frames(YUV, 64, 48, (12, 10, 11)), YUV)
    with pytest.MonkeyPatch.context() as patch:
        shorten(patch, worth=LAVISH)
        patch.setattr("heads.restorer.store.FILM_HEADS", {})  # heads of their own
        codec.encode(source, folder / "chain.nvc", settings(scale=Fraction(1)))
    kinds = [h.head_kind for _, h in headers(folder / "chain.nvc")]
    assert kinds == [payload.WHOLE_HEAD, payload.HEAD_DIFFERENCE, payload.HEAD_DIFFERENCE]
    return folder / "chain.nvc"


def test_seeking_gives_the_pictures_of_a_full_decode(chain: Path) -> None:
    whole = decoded(chain)
    tick = codec.open(chain).info.time_base
    for k in (0, 1, 11, 12, 13, 21, 22, 30, 32):
        assert_same(decoded(chain, whole[k].pts * tick), whole[k:])
    assert_same(decoded(chain, Fraction(-1)), whole)
    assert_same(decoded(chain, whole[20].pts * tick, 4 * Fraction(1, 25)), whole[20:24])
    assert_same(decoded(chain, None, Fraction(1, 25)), whole[:1])
    assert decoded(chain, Fraction(100)) == []


@pytest.mark.usefixtures("lavish")
def test_a_chain_of_differences_ends_after_a_while(film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heads.restorer.store.FILM_HEADS", {})
    monkeypatch.setattr("codec.jobs.lanes.CHUNK", 2)
    codec.encode(film, tmp_path / "out.nvc", settings(scale=Fraction(1)))
    kinds = [h.head_kind for _, h in headers(tmp_path / "out.nvc")]
    assert kinds == [payload.WHOLE_HEAD, payload.HEAD_DIFFERENCE, payload.WHOLE_HEAD]


def copied_from_keyframe(source: Path, target: Path, number: int) -> int:
    """Copy the packets from keyframe `number` (0 = first) on, as a cutting program does; returns its pts."""
    with av.open(str(source)) as old, av.open(str(target), "w", format="matroska") as new:
        track = old.streams.video[0]
        copy = new.add_stream_from_template(track, opaque=True)
        seen, first = -1, 0
        for packet in old.demux(track):
            if not packet.size:
                continue
            seen += packet.is_keyframe
            if seen < number:
                continue
            if packet.is_keyframe and seen == number:
                first = packet.pts or 0
            packet.stream = copy
            new.mux(packet)
    return first


def test_film_without_heads_can_be_cut_at_a_keyframe(film: Path, tmp_path: Path) -> None:
    codec.encode(film, tmp_path / "out.nvc", settings(head=False))
    whole = decoded(tmp_path / "out.nvc")
    copied_from_keyframe(tmp_path / "out.nvc", tmp_path / "cut.mkv", 1)
    found = decoded(tmp_path / "cut.mkv")
    assert len(found) == 21
    assert all(same_planes(a, b) for a, b in zip(found, whole[12:], strict=True))


def test_film_cut_before_a_difference_says_what_is_missing(chain: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.mkv"
    copied_from_keyframe(chain, cut, 1)
    with pytest.raises(DamageError, match="the head that it is a difference to is not in the file"):
        decoded(cut)
    film = codec.open(cut, best_effort=True)
    assert len(list(film.frames())) == 21
    assert len(film.problems) == 2, "one for each segment"


def test_remuxed_film_decodes_to_the_same(chain: Path, tmp_path: Path, ffmpeg: str) -> None:
    whole = decoded(chain)
    before = chain
    for name in ("a.mkv", "b.webm", "c.mp4"):
        command = [ffmpeg, "-v", "error", "-i", str(before), "-c", "copy", "-map", "0", str(tmp_path / name)]
        subprocess.run(command, check=True)
        before = tmp_path / name
        found = decoded(before)
        assert len(found) == 33
        assert all(same_planes(a, b) for a, b in zip(found, whole, strict=True))
        assert len(decoded(before, Fraction(15, 25))) == 33 - 15


# --- targets ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    """Two scenes of 128x96."""
    return write_frames(tmp_path / "in.mkv", scene_frames(YUV, 128, 96, (12, 12)), YUV)


@pytest.mark.parametrize("wish", [34.0, 42.0])
def test_psnr_asked_for_is_met_without_waste(wish: float, wide: Path, tmp_path: Path) -> None:
    result = codec.encode(wide, tmp_path / "out.nvc", settings(target_psnr=wish, head=False))
    assert result.notes == []
    assert wish <= result.psnr < wish + 0.7


def test_bit_rate_asked_for_is_kept(wide: Path, tmp_path: Path) -> None:
    result = codec.encode(wide, tmp_path / "out.nvc", settings(bitrate=100, head=False))
    sizes = codec.open(tmp_path / "out.nvc").sizes()
    rate = (sizes["base"] + sizes["payload"]) * 8 / (24 / 25) / 1000
    assert result.notes == []
    assert 80 < rate <= 103


def test_size_asked_for_is_kept(make_film: Any, tmp_path: Path) -> None:
    source = make_film("in.mp4", size=(128, 96), times=list(range(24)), sound="aac")
    result = codec.encode(source, tmp_path / "out.nvc", settings(target_size=0.06, head=False))
    assert result.notes == []
    assert 50_000 < os.path.getsize(tmp_path / "out.nvc") <= 60_000


def test_targets_out_of_reach_are_told_and_the_nearest_is_kept(wide: Path, tmp_path: Path) -> None:
    best = codec.encode(wide, tmp_path / "a.nvc", settings(target_psnr=90, head=False))
    assert any("90 dB could not be reached in 2 of 2 segments" in note for note in best.notes)
    assert [s.crf for s in best.segments] == [1.0, 1.0]
    least = codec.encode(wide, tmp_path / "b.nvc", settings(bitrate=1, head=False))
    assert any("1 kbit/s could not be reached" in note for note in least.notes)
    assert [s.crf for s in least.segments] == [63.0, 63.0]


def test_size_below_that_of_the_sound_is_refused(make_film: Any, tmp_path: Path) -> None:
    source = make_film("in.mp4", sound="aac")
    with pytest.raises(InputError, match="sound and container alone"):
        codec.encode(source, tmp_path / "out.nvc", settings(target_size=0.001))
    assert not (tmp_path / "out.nvc").exists()


# --- what is copied ---------------------------------------------------------------------------------------------------


def packets(path: Path, kind: str) -> list[tuple[bytes, Fraction]]:
    with av.open(str(path)) as film:
        return [(bytes(p), p.pts * p.time_base) for p in film.demux(*film.streams.get({kind: 0})) if p.size]


def test_sound_is_copied_byte_for_byte(make_film: Any, tmp_path: Path) -> None:
    source = make_film("in.mp4", sound="aac", times=list(range(24)))
    codec.encode(source, tmp_path / "out.nvc", settings(head=False))
    old, new = packets(source, "audio"), packets(tmp_path / "out.nvc", "audio")
    assert len(old) > 30
    assert new == old


def test_times_stay_exact(make_film: Any, tmp_path: Path) -> None:
    times = [0, 1, 2, 5, 6, 7, 8, 20, 21, 22, 30, 31]  # in 1001/24000 s
    source = make_film("in.mp4", times=times, options={"bf": "0"})
    codec.encode(source, tmp_path / "out.nvc", settings(head=False))
    with open_source(source) as film:
        expected = [(f.pts * film.info.time_base, f.duration * film.info.time_base) for f in film.frames()]
    tick = codec.open(tmp_path / "out.nvc").info.time_base
    found = [(f.pts * tick, f.duration * tick) for f in decoded(tmp_path / "out.nvc")]
    assert [f[0] for f in found] == [f[0] for f in expected] == [Fraction(1001 * t, 24000) for t in times]
    assert found[-1][1] == expected[-1][1]


def test_base_plays_as_plain_av1(chain: Path) -> None:
    with av.open(str(chain)) as film:
        video = film.streams.video[0]
        assert video.codec_context.codec.canonical_name == "av1"
        assert sum(1 for _ in film.decode(video)) == 33


@pytest.mark.parametrize("ending", ["y4m", "mkv"])
def test_exact_sinks_hold_the_decoded_planes(ending: str, chain: Path, tmp_path: Path) -> None:
    target = tmp_path / f"out.{ending}"
    result = codec.decode(chain, target, start=Fraction(12, 25), duration=Fraction(10, 25), device="cpu")
    assert (result.frames, result.problems) == (10, [])
    with open_source(target) as film:
        found = list(film.frames())
    assert all(same_planes(a, b) for a, b in zip(found, decoded(chain)[12:22], strict=True))


def test_verify_counts_the_pictures(chain: Path) -> None:
    events: list[Event] = []
    assert codec.verify(chain, listen=events.append).frames == 33
    assert [event.frames for event in events if isinstance(event, Decoding)][-1] == 33


# --- interruptions and refusals ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("generous")
@pytest.mark.parametrize("wishes", [{}, {"target_psnr": 37.0}, {"bitrate": 60}], ids=["crf", "psnr", "bitrate"])
def test_resumed_encode_gives_the_same_bytes(film: Path, tmp_path: Path, wishes: dict[str, Any]) -> None:
    codec.encode(film, tmp_path / "straight.nvc", settings(**wishes))
    with pytest.raises(Interrupt):
        codec.encode(film, tmp_path / "out.nvc", settings(**wishes), listen=throw_after(1))
    assert not (tmp_path / "out.nvc").exists()
    events: list[Event] = []
    codec.encode(film, tmp_path / "out.nvc", settings(**wishes), resume=True, listen=events.append)
    assert (tmp_path / "out.nvc").read_bytes() == (tmp_path / "straight.nvc").read_bytes()
    coded = {e.data["segment"] for e in events if e.kind == "progress" and e.data["stage"] == "base"}
    assert coded == {2}, "finished segments are not coded again"
    assert sorted(os.listdir(tmp_path)) == ["in.mkv", "out.nvc", "straight.nvc"]


def test_resume_with_other_settings_starts_afresh(film: Path, tmp_path: Path) -> None:
    with pytest.raises(Interrupt):
        codec.encode(film, tmp_path / "out.nvc", settings(head=False), listen=throw_after(1))
    codec.encode(film, tmp_path / "out.nvc", settings(head=False, crf=50), resume=True)
    codec.encode(film, tmp_path / "straight.nvc", settings(head=False, crf=50))
    assert (tmp_path / "out.nvc").read_bytes() == (tmp_path / "straight.nvc").read_bytes()


def test_interrupted_encode_of_an_overwritten_film_keeps_the_old_one(film: Path, tmp_path: Path) -> None:
    (tmp_path / "out.nvc").write_bytes(b"old")
    with pytest.raises(Interrupt):
        codec.encode(film, tmp_path / "out.nvc", settings(head=False), overwrite=True, listen=throw_after(0))
    assert (tmp_path / "out.nvc").read_bytes() == b"old"


def test_existing_files_are_not_overwritten_unasked(film: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.nvc"
    target.write_bytes(b"precious")
    with pytest.raises(OutputError, match="exists already"):
        codec.encode(film, target, settings(head=False))
    assert target.read_bytes() == b"precious"
    codec.encode(film, target, settings(head=False), overwrite=True)
    assert len(decoded(target)) == 33
    y4m = tmp_path / "out.y4m"
    y4m.write_bytes(b"precious")
    with pytest.raises(OutputError, match="exists already"):
        codec.decode(target, y4m)
    assert y4m.read_bytes() == b"precious"


@pytest.mark.parametrize("name", ["out.nvc", "out.y4m", "out.mkv", "out%d.png"])
def test_files_that_appear_meanwhile_are_not_overwritten_unasked(
    name: str, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / name.replace("%d", "2")

    def appear(self: Part, *args: Any) -> None:
        raise AssertionError("put in place")

    def listen(event: Event) -> None:
        if event.kind in ("segment", "progress"):
            target.write_bytes(b"precious")

    if name == "out.nvc":
        with pytest.raises(OutputError, match=r"exists already; --overwrite.* [23] finished segments are kept, --res"):
            codec.encode(film, target, settings(head=False), listen=listen)
        target.unlink()
        codec.encode(film, target, settings(head=False), resume=True)
        assert len(decoded(target)) == 33
        return
    codec.encode(film, tmp_path / "in.nvc", settings(head=False))
    monkeypatch.setattr(Part, "_put", appear)
    with pytest.raises(OutputError, match="exists already"):
        codec.decode(tmp_path / "in.nvc", tmp_path / name, device="cpu", listen=listen)
    assert target.read_bytes() == b"precious"
    assert sorted(os.listdir(tmp_path)) == sorted(["in.mkv", "in.nvc", target.name])


def test_input_is_never_the_output(film: Path, tmp_path: Path) -> None:
    before = film.read_bytes()
    (tmp_path / "link.mkv").symlink_to(film)
    for target in (film, tmp_path / "link.mkv", tmp_path / "." / "in.mkv"):
        with pytest.raises(UsageError, match="both input and output"):
            codec.encode(film, target, settings(), overwrite=True)
    assert film.read_bytes() == before


def broken_films(folder: Path, film: Path) -> Iterator[Path]:
    (folder / "text.mp4").write_text("no film at all\n" * 100)
    yield folder / "text.mp4"
    (folder / "empty.mkv").write_bytes(b"")
    yield folder / "empty.mkv"
    data = film.read_bytes()
    (folder / "head.mkv").write_bytes(data[:600])
    yield folder / "head.mkv"
    yield folder / "absent.mkv"
    yield folder


def test_bad_input_is_an_error_that_names_it_and_leaves_nothing(film: Path, tmp_path: Path) -> None:
    inputs = tmp_path / "inputs"
    inputs.mkdir()
    (tmp_path / "outputs").mkdir()
    for path in broken_films(inputs, film):
        with pytest.raises(InputError, match=path.name):
            codec.encode(path, tmp_path / "outputs" / "out.nvc", settings(head=False))
        assert os.listdir(tmp_path / "outputs") == []


def test_target_in_no_folder_is_refused_before_any_work(film: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    with pytest.raises(OutputError, match="no folder"):
        codec.encode(film, tmp_path / "absent" / "out.nvc", settings(), listen=events.append)
    assert events == []


def test_film_that_turns_out_damaged_leaves_no_target(make_film: Any, tmp_path: Path) -> None:
    def adjust(output: Any, video: Any) -> None:
        output.container_options.update(movflags="faststart")

    source = make_film("in.mp4", times=list(range(40)), adjust=adjust)
    source.write_bytes(source.read_bytes()[:-2000])
    with pytest.raises(InputError, match=r"in\.mp4"):
        codec.encode(source, tmp_path / "out.nvc", settings(head=False))
    assert os.listdir(tmp_path) == ["in.mp4"]


def test_open_refuses_films_that_are_not_ours(make_film: Any, film: Path, tmp_path: Path) -> None:
    with pytest.raises(NvcError, match="not AV1"):
        codec.open(make_film("h264.mp4"))
    with av.open(str(tmp_path / "plain.mp4"), "w") as output:
        video: Any = output.add_stream("libsvtav1", rate=25, options={"preset": "12"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p10le"
        for k in range(3):
            picture = av.VideoFrame(64, 48, "yuv420p10le")
            picture.pts = k
            output.mux(video.encode(picture))
        ordinary_priority()
        output.mux(video.encode(None))
    with pytest.raises(NvcError, match=r"plain\.mp4 is no \.nvc file"):
        codec.open(tmp_path / "plain.mp4")
