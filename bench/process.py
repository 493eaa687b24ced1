"""Programs and steps run in fresh processes, with their wall time and their peak memory.

`run` starts a program. `run_fresh` runs a function of ours in a process that was forked from one which has done nothing
but import the modules that it needs (multiprocessing's "forkserver"; "spawn" where there is none): as fresh as a new
interpreter, without the second that importing PyTorch takes.

Memory is the largest sum of resident sets of a process and all that it started, sampled from /proc; pages that two
processes share count twice. Where there is no /proc, it is the largest that the system reports for one process.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_all_start_methods, get_context, parent_process
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Protocol

from codec.errors import NvcError

PROC = Path("/proc")
GIB = 1 << 30  # bytes
PAUSE = 0.05  # seconds between samples
ROOT = Path(__file__).resolve().parents[1]


class BenchError(NvcError):
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


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """That of this process, in which this copy of the project is found, and `more`."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
    return {**os.environ, "PYTHONPATH": path, **(more or {})}


def run(command: Sequence[str], env: Mapping[str, str] | None = None, cores: int = 0, name: str | None = None) -> Ran:
    """Run a program to its end; `env` is added to the environment, `cores` > 0 limits it to as many processors.

    Raises BenchError where it fails, with `name`, or else how it was called, and the last line that it wrote to
    standard error.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        began = time.perf_counter()
        with limited(first_processors(cores)):
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment(env))
        memory, seconds = _watch(_Started(process), began)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
    if process.returncode:
        words = _last_words(texts[1]) or "no message"
        shown = f"{Path(command[0]).name} {' '.join(command[1:4])} … ended with {process.returncode}"
        raise BenchError(f"{name or shown}: {words}")
    return Ran(seconds, memory, *texts)


def run_fresh(function: Callable[[str], None], argument: str, name: str) -> Ran:
    """Run `function(argument)`, a function of a module, to its end in a process of its own; what it prints is kept.

    Raises BenchError where it raises or exits, with `name` and the last line that it wrote to standard error.
    """
    context: Any = get_context("forkserver" if "forkserver" in get_all_start_methods() else "spawn")
    context.set_forkserver_preload([function.__module__])
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        out, err = (os.path.join(folder, name) for name in ("out", "err"))
        began = time.perf_counter()
        process = context.Process(target=_printing_to, args=(out, err, function, argument))
        process.start()
        memory, seconds = _watch(_Forked(process), began)
        texts = [Path(path).read_text(errors="replace") if os.path.exists(path) else "" for path in (out, err)]
    if process.exitcode:
        raise BenchError(f"{name}: {_last_words(texts[1]) or f'ended with {process.exitcode}'}")
    return Ran(seconds, memory, *texts)


def _printing_to(out: str, err: str, function: Callable[[str], None], argument: str) -> None:
    """Call a function with standard output and error, also those of libraries, going to two files."""
    for number, path in ((1, out), (2, err)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(file, number)
        os.close(file)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        function(argument)
    finally:
        sys.stdout.flush()


def _end_with_parent() -> None:
    """Nobody waits for what this process does once its parent is gone, however that ended."""
    if (parent := parent_process()) is not None:
        parent.join()
        os._exit(1)


def _last_words(text: str) -> str | None:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), None)


class _Process(Protocol):
    """What is watched: the part of subprocess.Popen that `_watch` uses."""

    @property
    def pid(self) -> int: ...

    def ended(self, seconds: float) -> bool: ...

    def kill(self) -> None: ...


class _Started:
    """A program."""

    def __init__(self, process: subprocess.Popen[bytes]):
        self._process, self.pid = process, process.pid

    def ended(self, seconds: float) -> bool:
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


class _Forked:
    """A process of multiprocessing."""

    def __init__(self, process: BaseProcess):
        self._process, self.pid = process, process.pid or 0

    def ended(self, seconds: float) -> bool:
        self._process.join(seconds)
        return self._process.exitcode is not None

    def kill(self) -> None:
        self._process.kill()
        self._process.join()


def first_processors(count: int) -> list[int]:
    """The numbers of the first `count` processors that this thread may use; none where it may not choose them."""
    return sorted(os.sched_getaffinity(0))[: max(count, 0)] if hasattr(os, "sched_getaffinity") else []


@contextmanager
def limited(processors: Collection[int]) -> Iterator[None]:
    """Within, what this thread starts runs on the processors of these numbers alone; on all of its own where there are
    none. Raises BenchError where they cannot be had."""
    if not processors:
        yield
        return
    if not hasattr(os, "sched_setaffinity"):
        raise BenchError("processors cannot be chosen on this system")
    before = os.sched_getaffinity(0)
    if missing := set(processors) - before:
        raise BenchError(f"there is no processor {', '.join(map(str, sorted(missing)))} to run on here")
    os.sched_setaffinity(0, processors)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _watch(process: _Process, began: float) -> tuple[int, float]:
    """Wait for the end; (largest memory seen, seconds)."""
    memory = 0
    try:
        memory = tree_memory(process.pid)
        while not process.ended(PAUSE):
            memory = max(memory, tree_memory(process.pid))
    except BaseException:
        process.kill()
        raise
    seconds = time.perf_counter() - began
    if not memory and sys.platform != "win32":
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit
    return memory, seconds


def memory_of(process: int | str, name: str) -> int:
    """Bytes that the system counts for a process (a number, or "self") under a name such as VmRSS, resident now, or
    VmHWM, resident at most; 0 where it does not."""
    try:
        found = re.search(rf"^{name}:\s+(\d+) kB", (PROC / str(process) / "status").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


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
