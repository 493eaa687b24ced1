"""The workshop of an encode: segments come back as they were stored, or not at all."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from codec.errors import OutputError
from codec.events import SegmentStats
from codec.frames import PlaneFormat
from codec.jobs.store import Store, pack, store_key, unpack
from codec.loss.changes import join_changes
from codec.loss.modes import DENSITY, OFF
from codec.segment.encoder import Segment
from codec.segment.head import Head
from codec.segment.payload import NO_HEAD, SegmentHeader, write_residual, write_segment
from codec.wire.obu import TemporalUnit
from heads.restorer.spec import HeadSpec
from tests.heads.drawn_heads import drawn_head

SPEC = HeadSpec(6, 1, 3, 4)
TOLD = HeadSpec(6, 0, 4, 3, base_q=True, adding=True)


def drawn_header(density: bool) -> SegmentHeader:
    return SegmentHeader(
        width=64, height=48, format=PlaneFormat("420", 8), scale=Fraction(3, 2), rate=Fraction(30000, 1001), frames=4,
        group=1, psnr=41.12, head_kind=NO_HEAD, history=0, gate=0, layers=0, head_width=0, reference=0,
        loss_kind=(DENSITY if density else OFF).film, loss_step=0, max_error=int(density), head=b"",
        used=b"", checksums=(1, 2, 3, 4),
    )  # fmt: skip


def drawn_segment(seed: int, head: bool = True) -> Segment:
    rng = np.random.default_rng(seed)
    units = []
    for k in range(4):
        payloads = tuple(rng.bytes(int(n)) for n in rng.integers(0, 50, k % 3))
        units.append(TemporalUnit(rng.bytes(60), 1001 * k - 3, 1001, k == 0, payloads))
    spec, gate, base_q = (SPEC, 5, 0) if seed % 2 else (TOLD, 0, -9)
    made = Head(spec, tuple(drawn_head(spec, seed)), gate, base_q)
    changes = {1: rng.bytes(5), 6: rng.bytes(300)} if seed == 1 else {}
    header = drawn_header(density=seed == 1)
    opening = write_segment(header), write_residual(join_changes(changes) + rng.bytes(20))
    units[0] = replace(units[0], payloads=opening)
    stats = SegmentStats(
        frames=4, crf=30.25, scale=1.5, base_bytes=240, head_bytes=17, head="3x4", history=1, loss_bytes=90,
        psnr=41.123456789012345, base_psnr=40.1, head_gain=1 / 3, met=seed != 2,
    )  # fmt: skip
    return Segment(tuple(units), header, made if head else None, changes, stats)


def same(a: Segment | None, b: Segment) -> bool:
    if a is None or a.units != b.units or a.stats != b.stats or bool(a.head) != bool(b.head):
        return False
    if a.header != b.header or a.changes != b.changes:
        return False
    if a.head is None or b.head is None:
        return True
    if (a.head.spec, a.head.gate, a.head.base_q) != (b.head.spec, b.head.gate, b.head.base_q):
        return False
    return a.head.identity == b.head.identity and all(
        np.array_equal(x.weight, y.weight) and np.array_equal(x.bias, y.bias) and x.scale_bits == y.scale_bits
        for x, y in zip(a.head.layers, b.head.layers, strict=True)
    )


def files(folder: Path) -> Sequence[str]:
    return sorted(p.name for p in folder.iterdir())


@pytest.mark.parametrize("head", [True, False], ids=["head", "no head"])
def test_segments_come_back_as_they_were(head: bool, tmp_path: Path) -> None:
    for seed in range(3):
        segment = drawn_segment(seed, head)
        assert same(unpack(pack(segment)), segment)
    job = Store(str(tmp_path / "film.nvc"), "key", resume=False)
    segments = [drawn_segment(seed, head) for seed in range(3)]
    for k, segment in enumerate(segments):
        job.put(k, segment)
    assert all(same(job.get(k), segment) for k, segment in enumerate(segments))
    assert job.get(3) is None
    assert list(job.units(3)) == [u for s in segments for u in s.units]
    assert not any(name.endswith(".part") for name in files(job.folder))


def test_every_damage_is_noticed(tmp_path: Path) -> None:
    job = Store(str(tmp_path / "film.nvc"), "key", resume=False)
    job.put(0, drawn_segment(1))
    path = job.folder / "000000.segment"
    whole = path.read_bytes()
    for at in range(0, len(whole), 7):
        data = bytearray(whole)
        data[at] ^= 0x10
        path.write_bytes(data)
        assert job.get(0) is None
    for size in (0, 1, 3, 4, 5, 40, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        assert job.get(0) is None
    with pytest.raises(OutputError, match="damaged"):
        list(job.units(1))
    path.write_bytes(whole)
    assert same(job.get(0), drawn_segment(1))


@pytest.mark.parametrize("body", [b"", b"\0\0\0\4", b"\0\0\0\2{}", b"\0\0\0\4\xff\xff\xff\xff", b"\0\0\0\2[]\0\0\0\0"])
def test_a_sealed_file_of_nonsense_is_ignored(body: bytes, tmp_path: Path) -> None:
    job = Store(str(tmp_path / "film.nvc"), "key", resume=False)
    (job.folder / "000000.segment").write_bytes(body + zlib.crc32(body).to_bytes(4, "big"))
    assert job.get(0) is None


@pytest.mark.parametrize(
    "payloads", [(), (bytes(9),), (b"",), (write_residual(b"x"),)], ids=["none", "nonsense", "empty", "other"]
)
def test_a_sealed_file_without_a_segment_header_is_ignored(payloads: tuple[bytes, ...], tmp_path: Path) -> None:
    segment = drawn_segment(1)
    first = replace(segment.units[0], payloads=payloads)
    job = Store(str(tmp_path / "film.nvc"), "key", resume=False)
    job.put(0, replace(segment, units=(first, *segment.units[1:])))
    assert job.get(0) is None


def test_resuming_keeps_what_the_same_work_left(tmp_path: Path) -> None:
    target = str(tmp_path / "film.nvc")
    segment = drawn_segment(2)
    job = Store(target, "key", resume=True)
    job.put(0, segment)
    job.leave(keep=True)
    job = Store(target, "key", resume=True)
    assert same(job.get(0), segment)
    job.leave(keep=True)
    assert Store(target, "key", resume=False).get(0) is None, "not asked to resume: afresh"


def test_another_key_starts_afresh(tmp_path: Path) -> None:
    target = str(tmp_path / "film.nvc")
    job = Store(target, "key", resume=True)
    job.put(0, drawn_segment(2))
    job.leave(keep=True)
    job = Store(target, "other", resume=True)
    assert job.get(0) is None and files(job.folder) == ["key"]
    assert (job.folder / "key").read_text() == "other"
    (job.folder / "key").unlink()
    job.put(0, drawn_segment(2))
    job.leave(keep=True)
    assert Store(target, "other", resume=True).get(0) is None, "without its key a folder is nobody's"


def test_leaving(tmp_path: Path) -> None:
    target = str(tmp_path / "film.nvc")
    job = Store(target, "key", resume=False)
    assert job.folder == tmp_path / ".film.nvc.parts"
    job.leave(keep=True)
    assert not job.folder.exists(), "nothing was finished"
    job = Store(target, "key", resume=False)
    job.put(0, drawn_segment(1))
    job.leave(keep=True)
    assert job.folder.exists()
    job.leave(keep=False)
    assert not job.folder.exists()
    job = Store(target, "key", resume=False)
    job.put(0, drawn_segment(1))
    job.remove()
    assert not job.folder.exists()


def test_two_encodes_to_one_target_do_not_share_a_workshop(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    target = str(tmp_path / "film.nvc")
    job = Store(target, "key", resume=False)
    job.put(0, drawn_segment(1))
    for resume in (False, True):
        with pytest.raises(OutputError, match=r"film\.nvc is being written by another encode"):
            Store(target, "key", resume)
    assert same(job.get(0), drawn_segment(1))
    job.leave(keep=True)
    assert same(Store(target, "key", resume=True).get(0), drawn_segment(1))


def test_a_place_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="finished segments"):
        Store(str(tmp_path / "missing" / "film.nvc"), "key", resume=False)
    (tmp_path / ".film.nvc.parts").write_text("a file")
    with pytest.raises(OutputError, match="finished segments"):
        Store(str(tmp_path / "film.nvc"), "key", resume=False)


def test_a_full_disk_leaves_no_folder_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **wishes: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OutputError, match="No space left"):
        Store(str(tmp_path / "film.nvc"), "key", resume=False)
    assert not list(tmp_path.iterdir())


def test_the_key_follows_source_and_settings() -> None:
    keys = {store_key(source, text) for source in (b"a", b"b") for text in ("x", "y")}
    assert len(keys) == 4
    assert store_key(b"a", "x") == store_key(b"a", "x")


def test_identity_follows_every_integer() -> None:
    """What a difference refers to: any other weight, bias or scale is another head."""
    layers = drawn_head(SPEC, 4)
    identity = Head(SPEC, tuple(layers)).identity
    assert Head(SPEC, tuple(drawn_head(SPEC, 4)), 3).identity == identity
    for i in range(3):
        for change in ("weight", "bias", "scale_bits"):
            value = getattr(layers[i], change)
            if change != "scale_bits":
                value = value.copy()
                value.flat[0] += 1 if value.flat[0] < 100 else -1
            else:
                value = value - 1
            other = [*layers[:i], replace(layers[i], **{change: value}), *layers[i + 1 :]]
            assert Head(SPEC, tuple(other)).identity != identity, (i, change)
