"""Does a file give the same planes however it is decoded?

    bench check exact FILE.nvc

The exactness contract, over thread counts, instruction sets and devices.
Each row decodes in a fresh process whose libraries are held to something else; exit code 1 where any differs. Only
what the machine has can be checked: run it on several, and compare the CRCs of the same file.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click
import torch

from codec.errors import NvcError
from codec.film.info import describe

from ..process import BenchError
from ..tables import fixed, table
from .decoding import decode_afresh

HEAD = ("what", "threads", "frames", "CRC-32 of all planes", "seconds", "")

# name -> threads, device, environment
CPU_WAYS: dict[str, tuple[int, str, dict[str, str]]] = {
    "as it is": (0, "cpu", {}),
    "1 thread": (1, "cpu", {}),
    "2 threads": (2, "cpu", {}),
    "ATEN_CPU_CAPABILITY=default": (0, "cpu", {"ATEN_CPU_CAPABILITY": "default"}),
    "ATEN_CPU_CAPABILITY=avx2": (0, "cpu", {"ATEN_CPU_CAPABILITY": "avx2"}),
    "ONEDNN_MAX_CPU_ISA=SSE41": (0, "cpu", {"ONEDNN_MAX_CPU_ISA": "SSE41"}),
    "ONEDNN_MAX_CPU_ISA=AVX2": (0, "cpu", {"ONEDNN_MAX_CPU_ISA": "AVX2"}),
    "everything lowest, 1 thread": (1, "cpu", {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"}),
}
GPU_WAYS: dict[str, tuple[int, str, dict[str, str]]] = {"CUDA": (0, "cuda", {})}


def contents(segments: Sequence[Mapping[str, Any]]) -> str:
    """What of the decoder a file puts to the test."""
    frames, by_head = (sum(s[key] for s in segments) for key in ("frames", "head_frames"))
    history, loss = max(s["history"] for s in segments), sorted({s["loss"] for s in segments})
    text = f"{by_head} of {frames} pictures are predicted by a head, history {history}; loss-stream: {', '.join(loss)}"
    return text if by_head else f"{text}\nWithout a head this shows little: encode a film for which one is sent."


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
def main(file: str) -> None:
    """Decode FILE in every way that this machine has; exit code 1 where the planes differ."""
    try:
        segments = describe(file)["segments"]
    except NvcError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{contents(segments)}\n")
    ways = CPU_WAYS | (GPU_WAYS if torch.cuda.is_available() else {})
    rows: list[tuple[object, ...]] = []
    seen: set[tuple[str, str, int]] = set()
    first: str | None = None
    failed = 0
    for name, (threads, device, environment) in ways.items():
        try:
            found = decode_afresh(file, threads=threads, device=device, env=environment)
        except BenchError as error:
            failed += 1
            rows.append((name, threads or "all", None, None, None, f"FAILED: {error}"))
            continue
        crc = found["crc"]
        first = first or crc
        seen.add((crc, found["times"], found["frames"]))
        verdict = "" if crc == first else "DIFFERS"
        rows.append((name, threads or "all", found["frames"], crc, fixed(found["seconds"]), verdict))
    click.echo(table(HEAD, rows))
    if not torch.cuda.is_available():
        click.echo("\nThere is no CUDA device here; that was not checked.")
    same = len(seen) == 1 and not failed
    click.echo(f"\nIdentical planes in {len(rows)} ways: {'holds' if same else 'FAILS'}")
    sys.exit(0 if same else 1)
