"""The exactness contract: golden files decode to the same samples for ever, however a machine computes."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch

import codec
import splat.payload
from codec.film.info import describe
from codec.film.reader import FilmReader
from codec.loss.changes import split_changes
from codec.segment import payload
from codec.still.payload import header_of
from codec.wire.fields import VERSION
from heads.restorer.integer import IntegerHead
from heads.restorer.store import STILL_HEADS, pretrained
from tests.makers import GOLDEN

CRCS: dict[str, int] = json.loads((GOLDEN / "crc.json").read_text())
STILLS: dict[str, int] = json.loads((GOLDEN / "still-crc.json").read_text())

# decodes all golden files in every way that one process can: threads x kernels
PROGRAM = """
import json, os, sys, zlib
import torch
import codec, heads.choice, heads.density.loaded, heads.restorer.loaded
from codec.frames import checksum

def compute_by(kernels):
    torch.backends.mkldnn.set_flags(kernels != "ATen")
    os.environ["NVC_KERNEL"] = kernels if kernels in heads.choice.KERNELS else ""
    for kept in (heads.density.loaded, heads.restorer.loaded):
        kept._loaded.cache_clear()

def crc_of(name, device, threads):
    if name.endswith(".still.nvc"):
        return zlib.crc32(codec.decode_still(open(name, "rb").read(), threads=threads).pixels.tobytes())
    crc = 0
    for frame in codec.open(name, threads=threads, device=device).frames():
        crc = checksum(frame.planes, crc)
    return crc

device, ways, names = json.loads(sys.argv[1])
found = {}
for threads, kernels in ways:
    compute_by(kernels)
    found[f"{threads} {kernels}"] = {name: crc_of(name, device, threads) for name in names}
print(json.dumps(found))
"""

ISAS = {
    "best": {},
    "AVX2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    "lowest": {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"},
}
HAS_INT8 = "int8" in {IntegerHead(head.spec, head.layers).kernel for head in map(pretrained, STILL_HEADS.values())}
FEW = [(1, "oneDNN"), (2, "ATen"), (1, "float32")]
WAYS = {"best": [*FEW, (2, "oneDNN"), *[(2, "int8")] * HAS_INT8, (2, "float64")], "AVX2": FEW, "lowest": FEW}


def decoded_by(device: str, ways: list[tuple[int, str]], environment: dict[str, str]) -> dict[str, dict[str, int]]:
    """CRC-32 of every golden file's samples, by the way in which they were computed."""
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps([device, ways, [*CRCS, *STILLS]])],
        cwd=GOLDEN,
        env={**os.environ, **environment, "PYTHONPATH": os.pathsep.join([str(GOLDEN.parent.parent), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)


@pytest.mark.parametrize("isa", ISAS)
def test_golden_files_decode_alike_whatever_computes(isa: str) -> None:
    """The exactness matrix in its short form: instruction sets x threads x torch's kernels. `bench.checks.exact` is the
    long one, for files of any size."""
    found = decoded_by("cpu", WAYS[isa], ISAS[isa])
    assert found == {f"{threads} {kernels}": CRCS | STILLS for threads, kernels in WAYS[isa]}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_golden_files_decode_alike_on_a_gpu() -> None:
    assert decoded_by("cuda", [(0, "oneDNN")], {}) == {"0 oneDNN": CRCS | STILLS}


def test_every_version_of_a_format_has_golden_files() -> None:
    """One that is read has files here that must decode for ever."""
    names = [path.name for path in GOLDEN.iterdir()]
    for version in range(1, VERSION + 1):
        assert any(name.endswith(f"-v{version}.nvc") for name in names)
        assert any(name.endswith(f"-v{version}.still.nvc") for name in names)
    for version in range(1, splat.payload.VERSION + 1):
        assert any(name.endswith(f"-v{version}.nvs") for name in names)
    pinned = {*CRCS, *STILLS, "crc.json", "still-crc.json", "still-v1.nvs"}
    assert set(names) == pinned, "a file that nothing decodes, or a checksum without a file"


def test_golden_films_exercise_the_whole_decoder() -> None:
    segments = [s for name in CRCS for s in describe(GOLDEN / name)["segments"]]
    assert {s["scale"] for s in segments} >= {1.0, 1.5, 2.0, 3.0}
    assert {s["history"] for s in segments} >= {0, 2}
    assert {s["loss"] for s in segments} == {"off", "transform", "linear", "density", "whole", "light"}
    assert sum(s["head_frames"] > 0 for s in segments) >= 3
    for name in ("learned-v1.nvc", "whole-v1.nvc", "light-v1.nvc"):
        first = next(FilmReader(GOLDEN / name).units())
        assert set(split_changes(payload.read_residual(first.payloads[1]))[0]) == {1, 2, 3, 5, 6, 7}
    formats = {codec.open(GOLDEN / name).info.format.av_name for name in CRCS}
    assert formats >= {"yuv420p", "yuv444p", "yuv422p10le"}


def test_golden_stills_exercise_the_whole_decoder() -> None:
    headers = [header_of((GOLDEN / name).read_bytes())[1] for name in STILLS]
    assert {(h.channels, h.depth) for h in headers} >= {(1, 8), (3, 8), (3, 16)}
    assert any(h.head and h.delta for h in headers)
    assert {(h.bounded, h.max_error) for h in headers} == {(0, 0), (1, 3), (1, 0), (2, 0), (2, 1), (3, 0)}
    assert any(h.alpha_loss for h in headers) and any(h.loss_low and h.alpha_low for h in headers)
