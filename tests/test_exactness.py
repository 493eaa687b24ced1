"""The exactness contract: golden files decode to the same samples for ever, however a machine computes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import codec
from codec import payload
from codec.container import FilmReader
from codec.info import describe
from codec.learned import split_changes
from codec.still import header_of

GOLDEN = Path(__file__).parent / "golden"
CRCS: dict[str, int] = json.loads((GOLDEN / "crc.json").read_text())
STILLS: dict[str, int] = json.loads((GOLDEN / "still-crc.json").read_text())

PROGRAM = """
import sys, codec, json, zlib
from codec.payload import checksum
from codec.still import decode_still
crcs = {}
for name in sys.argv[3:]:
    crc = 0
    if name.endswith(".still.nvc"):
        crcs[name] = zlib.crc32(decode_still(open(name, "rb").read(), threads=int(sys.argv[1])).pixels.tobytes())
        continue
    for frame in codec.open(name, threads=int(sys.argv[1]), device=sys.argv[2]).frames():
        crc = checksum(frame.planes, crc)
    crcs[name] = crc
print(json.dumps(crcs))
"""

WAYS = {
    "1 thread": (1, "cpu", {}),
    "2 threads": (2, "cpu", {}),
    "ATen without SIMD": (2, "cpu", {"ATEN_CPU_CAPABILITY": "default"}),
    "oneDNN with SSE4.1, 1 thread": (1, "cpu", {"ONEDNN_MAX_CPU_ISA": "SSE41"}),
    "oneDNN with AVX2": (2, "cpu", {"ONEDNN_MAX_CPU_ISA": "AVX2"}),
    "CUDA": (0, "cuda", {}),
}


@pytest.mark.parametrize("way", WAYS)
def test_golden_files_decode_alike(way: str) -> None:
    threads, device, environment = WAYS[way]
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(threads), device, *CRCS, *STILLS],
        cwd=GOLDEN,
        env={**os.environ, **environment, "PYTHONPATH": os.pathsep.join([str(GOLDEN.parent.parent), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout) == CRCS | STILLS


def test_golden_films_exercise_the_whole_decoder() -> None:
    segments = [s for name in CRCS for s in describe(GOLDEN / name)["segments"]]
    assert {s["scale"] for s in segments} >= {1.0, 1.5, 2.0, 3.0}
    assert {s["history"] for s in segments} >= {0, 2}
    assert {s["loss"] for s in segments} == {"off", "transform", "bounded", "learned"}
    assert sum(s["head_frames"] > 0 for s in segments) >= 3
    with FilmReader(GOLDEN / "learned-v1.nvc") as film:
        learned = next(film.units())
    assert set(split_changes(payload.read_residual(learned.payloads[1]))[0]) == {1, 2, 3, 5, 6, 7}
    formats = {codec.open(GOLDEN / name).info.format.av_name for name in CRCS}
    assert formats >= {"yuv420p", "yuv444p", "yuv422p10le"}


def test_golden_stills_exercise_the_whole_decoder() -> None:
    headers = [header_of((GOLDEN / name).read_bytes())[1] for name in STILLS]
    assert {(h.channels, h.depth) for h in headers} >= {(1, 8), (3, 8), (3, 16)}
    assert any(h.head and h.delta for h in headers)
    assert {(h.bounded, h.max_error) for h in headers} == {(0, 0), (1, 3), (1, 0), (2, 0), (2, 1)}
    assert any(h.alpha_loss for h in headers) and any(h.loss_low and h.alpha_low for h in headers)
