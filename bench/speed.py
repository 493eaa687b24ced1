"""Speed: methods in alternation, so that what else the machine does falls on all of them.

Every run encodes and decodes with each method once, in turn, each time in a fresh interpreter. Ratios are taken within
a run; shown are medians over runs. Decoded pictures are thrown away; another decode of the last file, behind the runs,
shows that they are right.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

from .installation import HERE
from .measure.machine import instructions, machine
from .measure.point import called, judged, step
from .measure.runner import unique_names
from .method import Film, Method
from .process import GIB
from .results import axes, equal
from .sources import about, described, open_source_of
from .tables import fixed, table

STEPS = ("encode", "decode")
HEAD = ("method", "setting", "bytes", "dB",
        *(f"{name} {what}" for name in STEPS for what in ("s", "fps", "×", "processor s", "processor ×", "GiB")),
        )  # fmt: skip

Taken = dict[str, tuple[float, float, int]]  # by step: seconds, those of all processors, bytes of memory


def usual(method: Method) -> float:
    """The setting in the middle of a method's curve, or its only one."""
    knob = method.knob
    return (method.lossless or 0.0) if knob is None else knob.legal((knob.best + knob.worst) / 2)


def held(isa: str | None, kernel: str | None) -> dict[str, str]:
    """The environment in which libraries use instruction sets up to `isa`, and networks the kernels called `kernel`."""
    env = {} if isa is None else {"ONEDNN_MAX_CPU_ISA": isa.upper()}
    if isa is not None and isa.upper() == "AVX2":
        env["ATEN_CPU_CAPABILITY"] = "avx2"
    return env if kernel is None else env | {"NVC_KERNEL": kernel}


def here(env: Mapping[str, str]) -> str:
    """The machine, and what its libraries are held to."""
    return f"{machine()} ({instructions()}){''.join(f', {name}={value}' for name, value in env.items())}"


def compare(
    path: str,
    entries: Sequence[tuple[Method, float]],
    anchor: str,
    runs: int,
    frames: int | None,
    env: Mapping[str, str],
    tell: Callable[[str], None],
) -> str:
    """Table of every (method, setting) on one clip, as Markdown. Raises BenchError where one fails."""
    with open_source_of(path, frames) as source, tempfile.TemporaryDirectory(prefix="bench-") as folder:
        count = source.frames if isinstance(source, Film) else 1
        name = unique_names([path])[0]
        files = {method.name: os.path.join(folder, f"file {k}") for k, (method, _) in enumerate(entries)}
        taken: dict[str, list[Taken]] = {method.name: [] for method, _ in entries}
        for number in range(runs):
            for method, setting in entries:
                file, mine = files[method.name], {}
                jobs: dict[str, dict[str, Any]] = {
                    "encode": {"source": described(source), "setting": setting, "target": file},
                    "decode": {"file": file},
                }
                for one, job in jobs.items():
                    answer, ran = step(one, folder, method.installation or HERE, env, **called(method), **job)
                    mine[one] = answer["seconds"], answer["processor"], ran.memory
                taken[method.name].append(mine)
                told = ", ".join(f"{seconds:.2f} s" for seconds, *_ in mine.values())
                tell(f"{name}  run {number + 1}: {method.name} {told}")
        rows = []
        for method, setting in entries:
            found, *_ = judged(method, source, folder, files[method.name])
            quality = "equal" if equal(found | {"frames": count}) else fixed(found[axes(method.kind)[1]])
            cells: list[object] = [method.name, f"{setting:g}", f"{os.path.getsize(files[method.name]):,}", quality]
            for one in STEPS:
                cells += times(one, taken[method.name], taken[anchor], count)
            rows.append(cells)
        title = f"**{name}** ({about(source)}), medians of {runs} runs, ratios to {anchor}"
        return f"{title}\n{versions(entries)}\n\n{table(HEAD, rows)}"


def times(one: str, mine: Sequence[Taken], anchor: Sequence[Taken], count: int) -> list[object]:
    """Cells on a step that `count` pictures went through: seconds, pictures a second, seconds of all processors, the
    ratios of both, and the most memory."""
    spent, used = (median(run[one][k] for run in mine) for k in range(2))
    ratios = (median(a[one][k] / b[one][k] for a, b in zip(mine, anchor, strict=True)) for k in range(2))
    wall, processor = (fixed(ratio) for ratio in ratios)
    memory = fixed(max(run[one][2] for run in mine) / GIB)
    return [fixed(spent), fixed(count / spent, 1), wall, fixed(used), processor, memory]


def versions(entries: Sequence[tuple[Method, float]]) -> str:
    """The versions of the libraries that methods are made of, each set of them once."""
    found: dict[str, list[str]] = {}
    for method, _ in entries:
        words = ", ".join(f"{library} {number}" for library, number in method.versions().items())
        found.setdefault(words, []).append(method.name)
    return "; ".join(f"{' '.join(names)}: {words or 'no libraries'}" for words, names in found.items())
