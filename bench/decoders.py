"""Decoders of one .nvc file in alternation: this installation of NVC, and others beside it.

Every run decodes with each installation once, in turn, in fresh processes, and throws the pictures away. Before that
each has decoded once to say what comes out: that must be the same everywhere. Ratios are taken within a run, to the
first; shown are medians over runs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from codec.wire.avif import is_still

from .installation import Installation
from .measure import decoding
from .process import GIB, BenchError
from .tables import fixed, table

HEAD = ("installation", "pictures", "CRC-32", "fps", "decode s", "decode ×", "processor s", "processor ×", "first s",
        "warm first s", "warm first ×", "process s", "process ×", "GiB")  # fmt: skip


def decode_once(
    installation: Installation, path: str, options: Mapping[str, Any], env: Mapping[str, str], check: bool
) -> dict[str, Any]:
    """What `bench.measure.decoding` says of the file, run by the installation; with its `memory` in bytes."""
    job = {"path": path, "still": is_still(path), "options": dict(options), "check": check, "began": time.time()}
    program = Path(decoding.__file__).read_text(encoding="utf-8")
    ran = installation.run(program, json.dumps(job), name=f"{Path(path).name} by {installation.name}", env=env)
    try:
        return {**json.loads(ran.out.splitlines()[-1]), "memory": ran.memory}
    except (IndexError, ValueError):
        raise BenchError(f"the decoder of {installation.name} said nothing") from None


def compare_decoders(
    path: str,
    others: Sequence[Installation],
    runs: int,
    options: Mapping[str, Any],
    env: Mapping[str, str],
    tell: Callable[[str], None],
) -> str:
    """Table of every installation on one file, as Markdown. Raises BenchError where one fails, or where they differ."""
    checked = {one.name: decode_once(one, path, options, env, check=True) for one in others}
    if len({(found["frames"], found["crc"]) for found in checked.values()}) > 1:
        told = "; ".join(f"{name}: {c['frames']} pictures, {c['crc']}" for name, c in checked.items())
        raise BenchError(f"{path}: the decoded pictures differ ({told})")
    found: dict[str, list[dict[str, Any]]] = {one.name: [] for one in others}
    for number in range(runs):
        for one in others:
            mine = decode_once(one, path, options, env, check=False)
            found[one.name].append(mine)
            tell(f"{Path(path).name}  run {number + 1}: {one.name} {mine['seconds']:.2f} s")
    anchor = others[0].name
    rows = [row(name, checked[name], found[name], found[anchor]) for name in found]
    built = {
        name: [*(f"{library} {version}" for library, version in each["libraries"].items()), *each["kernels"]]
        for name, each in checked.items()
    }
    libraries = "; ".join(f"{name}: {', '.join(built[name])}" for name in found)
    title = f"**{Path(path).name}**, medians of {runs} runs, ratios to {anchor}\n{libraries}"
    return f"{title}\n\n{table(HEAD, rows)}"


def row(
    name: str, checked: Mapping[str, Any], mine: Sequence[Mapping[str, Any]], anchor: Sequence[Mapping[str, Any]]
) -> list[object]:
    """The cells of an installation: its medians, and those of its ratios to the anchor within each run."""

    def spent(key: str) -> float:
        return median(run[key] for run in mine)

    def ratio(key: str) -> str | None:
        return fixed(median(run[key] / other[key] for run, other in zip(mine, anchor, strict=True)))

    cells: list[object] = [name, checked["frames"], checked["crc"], fixed(checked["frames"] / spent("seconds"))]
    for key in ("seconds", "processor"):
        cells += [fixed(spent(key)), ratio(key)]
    cells.append(fixed(spent("first")))
    for key in ("warm", "whole"):
        cells += [fixed(spent(key)), ratio(key)]
    return [*cells, fixed(max(run["memory"] for run in mine) / GIB)]
