"""Programs run in fresh processes, with their wall time and their peak memory.

Memory is the largest sum of resident sets of a process and all that it started, sampled from /proc; pages that two
processes share count twice. Where there is no /proc, it is the largest that the system reports for one process.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
PAUSE = 0.05  # seconds between samples
ROOT = Path(__file__).resolve().parents[1]


class BenchError(RuntimeError):
    """A measurement that cannot be made: the program's own words, or what does not fit."""


@dataclass(frozen=True)
class Ran:
    """A finished program: wall time, peak memory in bytes, and what it wrote."""

    seconds: float
    memory: int
    out: str
    err: str


def python(module: str, *arguments: object) -> list[str]:
    """The command that runs a module in a fresh interpreter."""
    return [sys.executable, "-m", module, *map(str, arguments)]


def run(command: Sequence[str], env: Mapping[str, str] | None = None, cores: int = 0) -> Ran:
    """Run a program to its end; `env` is added to the environment, `cores` > 0 limits it to as many processors.

    Raises BenchError where it fails.
    """
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
    environment = {**os.environ, "PYTHONPATH": path, **(env or {})}
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        began = time.perf_counter()
        with _limited(cores):
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment)
        memory, seconds = _watch(process, began)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
    if process.returncode:
        words = next((line.strip() for line in reversed(texts[1].splitlines()) if line.strip()), "no message")
        raise BenchError(f"{Path(command[0]).name} {' '.join(command[1:4])} … ended with {process.returncode}: {words}")
    return Ran(seconds, memory, *texts)


@contextmanager
def _limited(cores: int) -> Iterator[None]:
    """Within, what this thread starts runs on the first `cores` of its processors, where that can be chosen."""
    if cores <= 0 or not hasattr(os, "sched_setaffinity"):
        yield
        return
    processors = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(processors)[:cores])
    try:
        yield
    finally:
        os.sched_setaffinity(0, processors)


def _watch(process: subprocess.Popen[bytes], began: float) -> tuple[int, float]:
    """Wait for the end; (largest memory seen, seconds)."""
    memory = 0
    try:
        while process.poll() is None:
            memory = max(memory, tree_memory(process.pid))
            try:
                process.wait(PAUSE)
            except subprocess.TimeoutExpired:
                pass
    except BaseException:
        process.kill()
        process.wait()
        raise
    seconds = time.perf_counter() - began
    if not memory and sys.platform != "win32":
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit
    return memory, seconds


def tree_memory(root: int) -> int:
    """Bytes resident in process `root` and its descendants now; 0 where that cannot be known."""
    parents: dict[int, int] = {}
    resident: dict[int, int] = {}
    for folder in PROC.glob("[0-9]*") if PROC.is_dir() else ():
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            pages = (folder / "statm").read_text().split()[1]
        except (OSError, IndexError):
            continue  # it has ended meanwhile
        parents[int(folder.name)] = int(fields[1])
        resident[int(folder.name)] = int(pages) * os.sysconf("SC_PAGE_SIZE")

    def belongs(pid: int) -> bool:
        while pid in parents and pid != root:
            pid = parents[pid]
        return pid == root

    return sum(size for pid, size in resident.items() if belongs(pid))
