"""The workshop of an encode: segments come back as they were stored, or not at all."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Sequence
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
from codec.loss.modes import LIGHT, OFF
from codec.media.folders import MARK, Folder
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
        loss_kind=(LIGHT if density else OFF).film, loss_step=0, max_error=int(density), head=b"",
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
    assert job.get(0) is None and files(job.folder) == ["key", MARK]
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
    job = Store(target, "key", resume=True)
    job.leave(keep=False)
    assert not job.folder.exists()
    job = Store(target, "key", resume=False)
    job.put(0, drawn_segment(1))
    job.remove()
    assert not job.folder.exists()


def test_leaving_what_was_removed_keeps_nothing(tmp_path: Path) -> None:
    job = Store(str(tmp_path / "film.nvc"), "key", resume=False)
    job.put(0, drawn_segment(1))
    job.remove()
    assert job.leave(keep=True) == 0 and not list(tmp_path.iterdir())


def test_a_key_that_cannot_be_read_costs_no_segment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object) -> bytes:
        raise OSError(5, "Input/output error")

    kept_work(tmp_path / ".film.nvc.parts")
    with monkeypatch.context() as patch, pytest.raises(OutputError, match="key cannot be read: Input/output error"):
        patch.setattr(Folder, "read", broken)
        Store(str(tmp_path / "film.nvc"), "key", resume=True)
    assert same(Store(str(tmp_path / "film.nvc"), "key", resume=True).get(0), drawn_segment(1))


def test_two_encodes_to_one_target_do_not_share_a_workshop(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    target = str(tmp_path / "film.nvc")
    job = Store(target, "key", resume=False)
    job.put(0, drawn_segment(1))
    for resume in (False, True):
        with pytest.raises(OutputError, match=r"film\.nvc is being written by another process"):
            Store(target, "key", resume)
    assert same(job.get(0), drawn_segment(1))
    job.leave(keep=True)
    assert same(Store(target, "key", resume=True).get(0), drawn_segment(1))


def test_a_place_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="finished segments"):
        Store(str(tmp_path / "missing" / "film.nvc"), "key", resume=False)


def test_a_full_disk_leaves_no_folder_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **wishes: object) -> None:
        raise OSError(28, "No space left on device")

    for owner, name in ((os, "write"), (Folder, "create")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, full)
            with pytest.raises(OutputError, match="No space left"):
                Store(str(tmp_path / "film.nvc"), "key", resume=False)
        assert not list(tmp_path.iterdir())


# --- folders that have the workshop's name and are not ours ----------------------------------------------------------


def tree(folder: Path) -> dict[str, tuple[int, object]]:
    """All that lies under a folder: mode, and contents or where a link leads."""
    found: dict[str, tuple[int, object]] = {}
    for path in sorted(folder.rglob("*")):
        kind: object = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        found[str(path.relative_to(folder))] = (path.lstat().st_mode, kind)
    return found


def link_to_a_folder(place: Path) -> None:
    victim = place.parent / "victim"
    victim.mkdir(0o700)
    (victim / "000000.segment").write_bytes(b"precious")
    place.symlink_to(victim.name)


def link_to_nothing(place: Path) -> None:
    place.symlink_to("nowhere")


def a_file(place: Path) -> None:
    place.write_bytes(b"precious")


def our_names_without_the_mark(place: Path) -> None:
    place.mkdir(0o700)
    (place / "key").write_bytes(b"key")
    (place / "000000.segment").write_bytes(b"precious")


def foreign_file(place: Path) -> None:
    place.mkdir(0o700)
    (place / "diary.txt").write_bytes(b"precious")


def foreign_file_beside_ours(place: Path) -> None:
    kept_work(place)
    (place / "diary.txt").write_bytes(b"precious")


def link_beside_ours(place: Path) -> None:
    kept_work(place)
    (place.parent / "victim").write_bytes(b"precious")
    (place / "000001.segment").symlink_to("../victim")


def folder_beside_ours(place: Path) -> None:
    kept_work(place)
    (place / "000001.segment").mkdir()


def another_mark(place: Path) -> None:
    kept_work(place)
    (place / MARK).write_bytes(b"another program's")


def link_for_a_mark(place: Path) -> None:
    place.mkdir(0o700)
    (place.parent / "victim").write_bytes(b"")
    (place / MARK).symlink_to("../victim")


def open_to_others(place: Path) -> None:
    kept_work(place)
    place.chmod(0o777)


def kept_work(place: Path) -> None:
    job = Store(str(place.parent / "film.nvc"), "key", resume=False)
    job.put(0, drawn_segment(1))
    job.leave(keep=True)


@pytest.mark.skipif(os.name != "posix", reason="links and modes")
@pytest.mark.parametrize("resume", [False, True], ids=["afresh", "resumed"])
@pytest.mark.parametrize(
    ("plant", "words"),
    [
        (link_to_a_folder, "is a link"),
        (link_to_nothing, "is a link"),
        (a_file, "is no folder"),
        (our_names_without_the_mark, "was not made by this program"),
        (foreign_file, r"holds 'diary\.txt'"),
        (foreign_file_beside_ours, r"holds 'diary\.txt'"),
        (link_beside_ours, r"holds '000001\.segment'"),
        (folder_beside_ours, r"holds '000001\.segment'"),
        (another_mark, "was not made by this program"),
        (link_for_a_mark, "film.nvc.parts"),
        (open_to_others, "permissions"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_is_not_ours_is_left_as_it_is(
    plant: Callable[[Path], None], words: str, resume: bool, tmp_path: Path
) -> None:
    plant(tmp_path / ".film.nvc.parts")
    before = tree(tmp_path)
    with pytest.raises(OutputError, match=words):
        Store(str(tmp_path / "film.nvc"), "key", resume)
    assert tree(tmp_path) == before


def test_another_users_folder_is_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / ".film.nvc.parts"
    kept_work(place)
    before, look = tree(tmp_path), Folder.look

    def from_elsewhere(folder: Folder) -> os.stat_result:
        seen = list(look(folder))
        seen[4] += 1
        return os.stat_result(seen)

    monkeypatch.setattr(Folder, "look", from_elsewhere)
    with pytest.raises(OutputError, match="belongs to somebody else"):
        Store(str(tmp_path / "film.nvc"), "key", resume=True)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("mark", [None, b"", b"Unfin"], ids=["no mark", "an empty one", "half of it"])
def test_a_folder_whose_maker_was_killed_at_once_is_taken(mark: bytes | None, tmp_path: Path) -> None:
    place = tmp_path / ".film.nvc.parts"
    place.mkdir(0o700)
    if mark is not None:
        (place / MARK).write_bytes(mark)
    job = Store(str(tmp_path / "film.nvc"), "key", resume=True)
    job.remove()
    assert not list(tmp_path.iterdir())


def test_what_others_put_beside_our_work_stays_when_that_is_done(tmp_path: Path) -> None:
    job = Store(str(tmp_path / "film.nvc"), "key", resume=False)
    job.put(0, drawn_segment(1))
    (job.folder / "diary.txt").write_bytes(b"precious")
    job.remove()
    assert (job.folder / "diary.txt").read_bytes() == b"precious"


def test_a_killed_removal_can_be_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mark goes last, at whatever file the kill comes."""
    for stop in range(4):
        job = Store(str(tmp_path / "film.nvc"), "key", resume=False)
        job.put(0, drawn_segment(1))
        job.put(1, drawn_segment(2))
        count, unlink = 0, Folder.unlink

        def killed(folder: Folder, name: str, stop: int = stop, unlink: Callable[..., None] = unlink) -> None:
            nonlocal count
            if count == stop:
                raise KeyboardInterrupt
            count += 1
            unlink(folder, name)

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(Folder, "unlink", killed)
            job.remove()
        assert (job.folder / MARK).exists() or not list(job.folder.iterdir())
        Store(str(tmp_path / "film.nvc"), "key", resume=False).remove()
        assert not list(tmp_path.iterdir())


def test_long_names_have_workshops_of_their_own(tmp_path: Path) -> None:
    """Names that differ in their last letter alone, of 255 bytes, in letters of one to three bytes."""
    for letter in ("n", "\u00fc", "\u4e2d"):
        stem = letter * (250 // len(letter.encode()))
        stem += "x" * (250 - len(stem.encode()))
        targets = [str(tmp_path / f"{stem}{k}.nvc") for k in range(2)]
        jobs = [Store(target, "key", resume=False) for target in targets]
        assert jobs[0].folder != jobs[1].folder
        for k, job in enumerate(jobs):
            job.put(0, drawn_segment(k))
            job.leave(keep=True)
        jobs = [Store(target, "key", resume=True) for target in targets]
        assert [same(job.get(0), drawn_segment(k)) for k, job in enumerate(jobs)] == [True, True]
        for job in jobs:
            job.remove()
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
