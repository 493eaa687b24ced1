"""Speed: methods in alternation, so that what else the machine does falls on all of them.

Every run encodes and decodes with each method once, in turn, in fresh processes. Ratios are taken within a run; shown
are medians over runs. Decoded pictures are thrown away, after one decode before the clock counts has shown that they
are right.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from .measure.point import measure, step
from .measure.runner import unique_names
from .method import Film, Method
from .process import GIB
from .results import axes, equal
from .sources import about, described, open_source_of
from .tables import fixed, table

HEAD = ("method", "setting", "bytes", "dB", "encode s", "encode fps", "encode ×", "decode s", "decode fps", "decode ×",
        "encode GiB", "decode GiB")  # fmt: skip


def usual(method: Method) -> float:
    """The setting in the middle of a method's curve, or its only one."""
    knob = method.knob
    return (method.lossless or 0.0) if knob is None else knob.legal((knob.best + knob.worst) / 2)


def compare(
    path: str,
    entries: Sequence[tuple[Method, float]],
    anchor: str,
    runs: int,
    frames: int | None,
    tell: Callable[[str], None],
) -> str:
    """Table of every (method, setting) on one clip, as Markdown. Raises BenchError where one fails."""
    with open_source_of(path, frames) as source, tempfile.TemporaryDirectory(prefix="bench-") as folder:
        count = source.frames if isinstance(source, Film) else 1
        name = unique_names([path])[0]
        first: dict[str, Any] = {}
        seconds: dict[str, list[tuple[float, float]]] = {method.name: [] for method, _ in entries}
        memory: dict[str, tuple[int, int]] = {}
        for method, setting in entries:
            first[method.name] = measure(method, name, source, setting)
        for number in range(runs):
            for method, setting in entries:
                file = os.path.join(folder, "file")
                who = {"kind": method.kind, "method": method.name}
                coded, encoder = step("encode", folder, **who, source=described(source), setting=setting, target=file)
                shown, decoder = step("decode", folder, **who, file=file)
                seconds[method.name].append((coded["seconds"], shown["seconds"]))
                memory[method.name] = encoder.memory, decoder.memory
                tell(f"{name}  run {number + 1}: {method.name} {coded['seconds']:.2f} s, {shown['seconds']:.2f} s")
        rows = []
        for method, setting in entries:
            record, mine = first[method.name], seconds[method.name]
            cells: list[object] = [method.name, f"{setting:g}", f"{record['bytes']:,}"]
            cells.append("equal" if equal(record) else fixed(record[axes(method.kind)[1]]))
            for k in range(2):
                ratio = median(a[k] / b[k] for a, b in zip(mine, seconds[anchor], strict=True))
                spent = median(s[k] for s in mine)
                cells += [fixed(spent), fixed(count / spent, 1), fixed(ratio)]
            rows.append((*cells, *(fixed(m / GIB) for m in memory[method.name])))
        title = f"**{name}** ({about(source)}), medians of {runs} runs, ratios to {anchor}"
    return f"{title}\n\n{table(HEAD, rows)}"
