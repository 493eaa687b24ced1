"""The player's reference in JavaScript against the codec: equal planes and checksums, for all it can restore."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from numpy.typing import NDArray

import codec
from codec.base.resample import BASE_FORMAT, base_size
from codec.frames import Plane, PlaneFormat, channels_of, checksum
from codec.loss.coder import LossCoder, LossSettings
from codec.loss.modes import TRANSFORM
from codec.segment import decoder
from codec.segment.head import Head
from codec.segment.opened import BasePicture, OpenSegment
from codec.segment.payload import CHROMA, SCALE, read_residual
from codec.segment.restore import Restorer
from codec.segment.steering import Steered, blocks_of
from heads.restorer.spec import HeadSpec
from tests.heads.drawn_heads import drawn_head
from tests.makers import GOLDEN

NODE = shutil.which("node")
PLAYER = Path(codec.__file__).parent / "web" / "player"
FORMATS = [PlaneFormat(chroma, depth) for chroma in CHROMA for depth in (8, 10)]
GROUP = 2

pytestmark = pytest.mark.skipif(NODE is None, reason="there is no node to run JavaScript with")


def _array(values: NDArray[Any] | bytes) -> dict[str, str]:
    """An array as `arithmetic.mjs` reads it, little-endian like every machine that this runs on."""
    array = np.frombuffer(values, np.uint8) if isinstance(values, bytes) else np.ascontiguousarray(values)
    name = {"uint8": "u8", "uint16": "u16", "int8": "i8", "int32": "i32"}[array.dtype.name]
    return {"type": name, "data": base64.b64encode(array.tobytes()).decode()}


def _head(head: Head | None) -> dict[str, Any] | None:
    if head is None:
        return None
    layers = [
        {"weight": _array(x.weight), "bias": _array(x.bias), "scaleBits": x.scale_bits, "shape": x.weight.shape}
        for x in head.layers
    ]
    return {"layers": layers, "baseQ": head.base_q if head.spec.base_q else None, "adds": head.spec.adding}


def _picture(
    base: Sequence[Plane], payload: bytes | None, planes: Sequence[Plane], steered: Steered | None
) -> dict[str, Any]:
    return {
        "base": [_array(plane) for plane in base],
        "steered": steered and {"difference": steered.difference, "blocks": _array(steered.blocks.ravel())},
        "payload": None if payload is None else _array(payload),
        "planes": [_array(plane) for plane in planes],
    }


def _segment(fmt: PlaneFormat, size: tuple[int, int], scale: Fraction, **rest: Any) -> dict[str, Any]:
    names = {"head_kind": 0, "history": 0, "loss_kind": 0, "loss_step": 0, "group": GROUP, "used": _array(b"")}
    film = {
        "width": size[0],
        "height": size[1],
        "chroma": CHROMA[fmt.chroma],
        "depth": fmt.depth,
        "scale": SCALE[scale],
    }
    return {**film, **names, **rest}


def _of_film(path: Path) -> Iterator[dict[str, Any]]:
    """The segments of a film as cases."""
    segments: dict[int, tuple[OpenSegment, list[dict[str, Any]]]] = {}
    take = decoder.SegmentDecoder._completed

    def completed(self: decoder.SegmentDecoder, done: decoder.Restored, begun: decoder.Begun) -> list[Plane]:
        planes, picture = take(self, done, begun), done.picture
        assert isinstance(picture, BasePicture)
        payload = read_residual(picture.payloads[0]) if picture.payloads else None
        pictures = segments.setdefault(id(picture.segment), (picture.segment, []))[1]
        assert not isinstance(picture.steered, str)
        pictures.append(_picture(picture.base, payload, planes, picture.steered))
        return planes

    with patch.object(decoder.SegmentDecoder, "_completed", completed):
        count = sum(1 for _ in codec.open(path, device="cpu").frames())
    assert count == sum(len(pictures) for _, pictures in segments.values())
    for opened, pictures in segments.values():
        header = opened.header
        assert header is not None
        names = ("head_kind", "history", "loss_kind", "loss_step", "group")
        said: dict[str, Any] = {name: getattr(header, name) for name in names}
        segment = _segment(header.format, (header.width, header.height), header.scale, **said)
        yield {
            "segment": {**segment, "used": _array(header.used)},
            "head": _head(opened.head),
            "baseSize": base_size(header.width, header.height, header.scale),
            "pictures": pictures,
            "checksums": header.checksums,
        }


def _checksums(pictures: Sequence[Sequence[Plane]]) -> list[int]:
    sums = []
    for k in range(0, len(pictures), GROUP):
        crc = 0
        for planes in pictures[k : k + GROUP]:
            crc = checksum(planes, crc)
        sums.append(crc)
    return sums


def _base(size: tuple[int, int], rng: np.random.Generator, moved: int = 0) -> list[Plane]:
    """Waves that move, with noise and samples at both ends of the range."""
    planes: list[Plane] = []
    for rows, columns in BASE_FORMAT.shapes(*size):
        y, x = np.arange(rows)[:, None] + moved, np.arange(columns) + 2 * moved
        values = 512 + 300 * np.sin(x / 5) * np.cos(y / 4) + rng.normal(0, 20, (rows, columns))
        values[rng.random(values.shape) < 0.02] = 1023
        values[rng.random(values.shape) < 0.02] = 0
        planes.append(np.clip(np.rint(values), 0, 1023).astype(np.uint16))
    return planes


def _drawn(
    fmt: PlaneFormat, size: tuple[int, int], scale: Fraction, head: Head | None, step: int, seed: int
) -> dict[str, Any]:
    """A segment of four drawn pictures: the head predicts all but the second, and is steered where `seed` is odd; the
    last has nothing to correct."""
    rng = np.random.default_rng(seed)
    restorer = Restorer(fmt, *size, scale, head)
    coder = LossCoder(fmt, *size, LossSettings(TRANSFORM, step)) if step else None
    pictures, shown = [], []
    for k in range(4):
        base, steered = _base(base_size(*size, scale), rng, k), None
        if head and k != 1 and seed % 2:
            blocks = (rng.random(blocks_of(*size)) < k / 3).astype(np.uint8)  # none, some, all
            steered = Steered(int(rng.integers(-9, 10)), blocks)
        output: Sequence[Plane] = restorer.predict(base, head is not None and k != 1, steered)
        payload: bytes | None = None
        if coder:
            noise = [rng.normal(0, 4 << (fmt.depth - 8), plane.shape) for plane in output]
            source = [
                np.clip(plane + shift.round(), 0, fmt.peak).astype(fmt.dtype)
                for plane, shift in zip(output, noise, strict=True)
            ]
            still = output if k == 3 else source  # nothing is left to correct in the last
            payload, output = coder.encode(still, output, 1.0)
            payload = payload or None
        pictures.append(_picture(base, payload, output, steered))
        shown.append(output)
    rest: dict[str, Any] = {"loss_kind": TRANSFORM.film, "loss_step": step} if step else {}
    if head:
        rest |= {"head_kind": 1, "used": _array(bytes([0b1101]))}
    return {
        "segment": _segment(fmt, size, scale, **rest),
        "head": _head(head),
        "baseSize": base_size(*size, scale),
        "pictures": pictures,
        "checksums": _checksums(shown),
    }


def _differences(cases: list[dict[str, Any]], folder: Path) -> list[dict[str, Any]]:
    """What JavaScript makes otherwise of each case."""
    assert NODE is not None
    (folder / "cases.json").write_text(json.dumps(cases))
    script = Path(__file__).with_name("arithmetic.mjs")
    ran = subprocess.run([NODE, script, PLAYER, folder / "cases.json"], capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    found: list[dict[str, Any]] = json.loads(ran.stdout)
    assert len(found) == len(cases)
    return found


SAME: dict[str, Any] = {"planes": [], "checksums": [], "missing": None}


@pytest.mark.parametrize("name", ["head", "shipped", "enlarged", "tracks"])
def test_golden_films_are_restored_alike(name: str, tmp_path: Path) -> None:
    cases = list(_of_film(GOLDEN / f"{name}-v1.nvc"))
    assert _differences(cases, tmp_path) == [SAME] * len(cases)


@pytest.mark.parametrize("name", ["history", "lossless", "learned", "whole", "light"])
def test_what_it_cannot_do_it_says(name: str, tmp_path: Path) -> None:
    assert all(found["missing"] for found in _differences(list(_of_film(GOLDEN / f"{name}-v1.nvc")), tmp_path))


@pytest.mark.parametrize("scale", SCALE, ids=str)
def test_heads_of_every_layout_predict_alike(scale: Fraction, tmp_path: Path) -> None:
    shapes = [(2, 1), (3, 5), (4, 16)]
    cases = []
    for k, fmt in enumerate(FORMATS):
        layers, width = shapes[k % 3]
        spec = HeadSpec(channels_of(fmt.chroma), 0, layers, width, base_q=k % 2 == 1, adding=k % 3 == 2)
        head = Head(spec, tuple(drawn_head(spec, k)), base_q=(-128, 100, 127)[k % 3] if spec.base_q else 0)
        cases.append(_drawn(fmt, (67, 23) if k % 4 > 1 else (23, 67), scale, head, 0, k))
        cases.append(_drawn(fmt, (34, 51), scale, None, 0, k))
    assert _differences(cases, tmp_path) == [SAME] * len(cases)


@pytest.mark.parametrize("step", [1, 12, 255])
def test_corrections_of_every_layout_are_read_alike(step: int, tmp_path: Path) -> None:
    sizes = [(1, 1), (49, 37)]
    cases = [_drawn(fmt, size, Fraction(1), None, step, k) for k, fmt in enumerate(FORMATS) for size in sizes]
    payloads = [picture["payload"] for case in cases for picture in case["pictures"]]
    assert any(payloads) and not all(payloads)
    assert _differences(cases, tmp_path) == [SAME] * len(cases)


def test_damage_of_a_loss_stream_is_a_sentence(tmp_path: Path) -> None:
    case = _drawn(FORMATS[2], (49, 37), Fraction(1), None, 12, 0)
    data = base64.b64decode(case["pictures"][0]["payload"]["data"])
    case["pictures"][0]["payload"] = _array(data + bytes(11) + b"\1")
    with pytest.raises(AssertionError, match="the loss-stream has bytes after its end"):
        _differences([case], tmp_path)
