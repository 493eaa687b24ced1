"""The player's reading of steered heads, of pretrained heads of other scales, and of those that are derived from them:
as the codec reads them, whole and damaged."""

from __future__ import annotations

import base64
import zlib
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codec.errors import FormatError
from codec.frames import PlaneFormat, channels_of
from codec.segment.head import read_head
from codec.segment.payload import CHROMA, PRETRAINED_HEAD, SCALE, STEERED, WHOLE_HEAD, SegmentHeader, write_segment
from codec.segment.steering import BLOCK, REACH, Steered, SteeringReader, blocks_of, write_steering
from codec.web.pages import page_files
from heads.layers import HeadError
from heads.restorer import store
from heads.restorer.derived import derived
from heads.restorer.spec import HeadSpec
from heads.weights import encode_change, encode_layers
from tests.heads.drawn_heads import drawn_head
from tests.web.player import in_node, needs_node

pytestmark = needs_node

SHAPES = [(1, 1), (1, 2), (2, 1), (1, 5), (4, 1), (3, 3), (5, 8), (17, 30)]
FRAMES = 11
USED = bytes([0b11110111, 0b011])  # but for the fourth and the last
SIZE = 2 * BLOCK + 3, BLOCK + 9
NUMBER = 71


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _used(picture: int) -> bool:
    return bool(USED[picture >> 3] >> (picture & 7) & 1)


def _drawn(shape: tuple[int, int], told: bool, rng: np.random.Generator) -> list[Steered]:
    return [
        Steered(int(rng.integers(-REACH, REACH + 1)) * told * (k % 2), (rng.random(shape) < k % 4 / 3).astype(np.uint8))
        for k in filter(_used, range(FRAMES))
    ]


def _read(data: bytes, shape: tuple[int, int], told: bool) -> list[Any]:
    """What the codec reads of each picture: none, a sentence, or a difference with blocks unless they are all."""
    found: list[Any] = []
    reader = SteeringReader(data, shape, told)
    try:
        for k in range(FRAMES):
            steered = reader.next() if _used(k) else None
            if k + 1 == FRAMES:
                reader.finish()
            found.append(steered and [steered.difference, steered.blocks.ravel().tolist()])
    except FormatError:
        found += ["damaged"] * (FRAMES - len(found))
    return found


def test_steering_is_read_as_the_codec_reads_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    jobs, wanted = [], []
    for shape in SHAPES:
        for told in (False, True):
            good = write_steering(_drawn(shape, told, rng), told)[3:]
            bad = [good[: len(good) // 2], good + bytes(8) + b"\1", rng.bytes(40), b""]
            for at in rng.integers(len(good), size=4):
                bad.append(good[:at] + rng.bytes(1) + good[at + 1 :])
            for data in (good, *bad):
                wanted.append(_read(data, shape, told))
                size = {"width": BLOCK * shape[1] - 5, "height": BLOCK * shape[0] - 63}
                head = _text(len(data).to_bytes(3) + data + b"rest")
                jobs.append(
                    {"do": "steering", "head": head, "told": told, **size, "frames": FRAMES, "used": _text(USED)}
                )
    whole, damaged = 0, 0
    for job, ours, theirs in zip(jobs, in_node("files.mjs", jobs, tmp_path), wanted, strict=True):
        found, rest = ours["found"]["pictures"], ours["found"]["rest"]
        assert rest == len(b"rest")
        count = blocks_of(job["width"], job["height"])
        for ours_of_one, wanted_of_one in zip(found, theirs, strict=True):
            if isinstance(wanted_of_one, str):
                assert "the steering of the head is damaged" in ours_of_one
                damaged += 1
            else:
                told = ours_of_one and [ours_of_one["difference"], ours_of_one["blocks"] or [1] * (count[0] * count[1])]
                assert told == wanted_of_one
                whole += 1
    assert whole > 100 and damaged > 100


@pytest.mark.parametrize("base_q", [False, True])
def test_heads_are_derived_as_the_codec_derives_them(base_q: bool, tmp_path: Path) -> None:
    spec = HeadSpec(6, 0, 3, 5, base_q=base_q)
    layers = drawn_head(spec, 4)
    path = tmp_path / "head.bin"
    path.write_bytes(store.write(spec, Fraction(3, 2), layers))
    jobs = [{"do": "derivedHead", "path": str(path), "chroma": number} for number in CHROMA.values()]
    for chroma, ours in zip(CHROMA, in_node("files.mjs", jobs, tmp_path), strict=True):
        wanted, their_layers = derived(spec, layers, channels_of(chroma))
        assert (ours["found"]["planes"], ours["found"]["scale"]) == (wanted.planes, 1.5)
        for a, b in zip(ours["found"]["layers"], their_layers, strict=True):
            assert a["shape"] == list(b.weight.shape) and a["scaleBits"] == b.scale_bits
            assert a["weight"] == b.weight.ravel().tolist() and a["bias"] == b.bias.tolist()


def _header(chroma: str, scale: Fraction, kind: int, spec: HeadSpec, head: bytes) -> SegmentHeader:
    return SegmentHeader(
        *SIZE, PlaneFormat(chroma, 8), scale, Fraction(25), FRAMES, 8, 40.0, kind, 0, 0, spec.layers, spec.width,
        NUMBER if kind & PRETRAINED_HEAD == PRETRAINED_HEAD else 0, 0, 0, 0, head, USED, (1, 2),
    )  # fmt: skip


def test_heads_of_segments_are_those_that_the_codec_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole ones and pretrained ones, of every scale and chroma format, steered or not; and what is refused."""
    spec = HeadSpec(6, 0, 3, 4, base_q=True, adding=True)
    layers = drawn_head(spec, 2)
    steering = write_steering(_drawn(blocks_of(*SIZE), True, np.random.default_rng(1)), True)
    cases: list[tuple[SegmentHeader, Fraction]] = []
    for chroma in CHROMA:
        _, wanted = derived(spec, layers, channels_of(chroma))
        last = replace(wanted[-1], weight=wanted[-1].weight - np.sign(wanted[-1].weight))
        change = encode_change([*wanted[:-1], last], wanted, 0)
        whole = HeadSpec(channels_of(chroma), 0, 3, 4)
        coded = encode_layers(drawn_head(whole, 3))
        for scale in SCALE:
            for steered, before in ((0, b""), (STEERED, steering)):
                kind = PRETRAINED_HEAD | steered
                cases.append((_header(chroma, scale, kind, spec, before + b"\x90"), scale))
                cases.append((_header(chroma, scale, WHOLE_HEAD | steered, whole, before + coded), scale))
        changed = steering + b"\x90" + change
        cases.append((_header(chroma, Fraction(1), PRETRAINED_HEAD | STEERED, spec, changed), Fraction(1)))
    refused = [
        _header("420", Fraction(2), PRETRAINED_HEAD, spec, b"\x90"),  # of a head for another scale
        _header("420", Fraction(1), PRETRAINED_HEAD | STEERED, spec, steering),  # what it is told is missing
        _header("420", Fraction(1), PRETRAINED_HEAD | STEERED, spec, steering[:-1]),
        _header("420", Fraction(1), PRETRAINED_HEAD | STEERED, spec, b"\0\0"),
        _header("420", Fraction(1), PRETRAINED_HEAD, HeadSpec(6, 0, 3, 5), b"\x90"),  # of another shape
        _header("420", Fraction(1), WHOLE_HEAD | STEERED, HeadSpec(6, 0, 3, 4), bytes(3)),
    ]
    jobs, sums = [], []
    monkeypatch.setattr(store, "FILM_HEADS", {NUMBER: "drawn"})
    for header, scale in [*cases, *((header, Fraction(1)) for header in refused)]:
        path = tmp_path / f"{SCALE[scale]}.bin"
        path.write_bytes(store.write(spec, scale, layers))
        monkeypatch.setattr(store, "pretrained", {"drawn": store.read(path.read_bytes())}.__getitem__)
        try:
            sums.append(read_head(header, 0, None, lambda pts: None).identity)
        except (FormatError, HeadError, ValueError):
            sums.append(None)
        heads = {NUMBER: str(path)}
        jobs.append({"do": "segmentHead", "data": _text(write_segment(header)), "heads": heads})
    answers = in_node("files.mjs", jobs, tmp_path)
    assert all("found" in answer or "error" in answer for answer in answers), answers
    assert [answer.get("found") for answer in answers] == sums
    assert [k for k, found in enumerate(sums) if found is None] == list(range(len(cases), len(jobs)))


def test_every_head_of_the_program_lies_where_the_page_looks_for_it(tmp_path: Path) -> None:
    heads = [(kind, n) for kind, known in (("film", store.FILM_HEADS), ("still", store.STILL_HEADS)) for n in known]
    answers = in_node("files.mjs", [{"do": "nameOfHead", "kind": kind, "number": n} for kind, n in heads], tmp_path)
    names = [answer["found"] for answer in answers]
    pages = page_files()
    wanted = [store.pretrained((store.FILM_HEADS if kind == "film" else store.STILL_HEADS)[n]) for kind, n in heads]
    for name, head in zip(names, wanted, strict=True):
        assert [a.numbers for a in store.read(pages[name]).layers] == [b.numbers for b in head.layers]


def test_files_of_heads_that_say_what_nobody_knows(tmp_path: Path) -> None:
    spec = HeadSpec(6, 0, 2, 1)
    jobs = []
    for flags, scale in ((0, 1), (4, 1), (4, 2), (8, 1), (0, 5), (0, 0)):
        data = bytearray(store.write(spec, 1, drawn_head(spec))[:-4])
        data[8:10] = flags, scale
        path = tmp_path / f"{flags}-{scale}.bin"
        path.write_bytes(bytes(data) + zlib.crc32(data).to_bytes(4))
        jobs.append({"do": "headFile", "path": str(path)})
    one, half, *others = in_node("files.mjs", jobs, tmp_path)
    assert (one["found"]["scale"], half["found"]["scale"]) == (1, 1.5)
    assert all("unknown" in answer["error"] for answer in others)
    for job in jobs[2:]:
        with pytest.raises(HeadError):
            store.read(Path(job["path"]).read_bytes())
