"""Who encodes segments: this process, or others on this machine; `codec.jobs.cluster` has those on other machines.

A process of ours runs `serve`: tasks come in on its standard input, reports and finished segments go out on its
standard output (`codec.jobs.messages`). Those of `multiprocessing` would run the caller's main module again. It ends
when its input does, so none outlives its master.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from typing import IO

from ..errors import NoWorkers, WorkerError
from ..events import Event, Listener, Stage
from ..segment.encoder import Segment
from .ahead import Begun
from .messages import ERROR, REPORT, SEGMENT, read_error, read_task, receive, send, send_error, send_task
from .store import pack, unpack
from .task import Task, run_task

ATTEMPTS = 3  # at one segment, whose worker died
TELL_EVERY = 0.2  # seconds between a process's reports
# modules are looked for where this process does, not in the current folder; Ctrl-C reaches the master, which ends these
_PROGRAM = """
import sys
sys.path[:] = sys.argv[1:]
import signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
from codec.jobs.workers import serve
serve()
"""


class Workers(ABC):
    """Encodes segments, `count` at a time. Each of them is asked for by one lane, a thread with a number below `count`,
    which waits for it."""

    count: int
    closed = False
    remedy = "try fewer --jobs"  # where a segment wants more memory than there is
    ahead = False  # whether the next segment can be begun while one is encoded

    @abstractmethod
    def attempt(self, lane: int, task: Task, listen: Listener) -> Segment:
        """The encoded segment; its stages go to `listen`. Raises NvcError as the encoder does, and WorkerError where
        the worker was lost."""

    def run(self, lane: int, task: Task, listen: Listener, lost: Callable[[str], None]) -> Segment:
        """The encoded segment, by another worker where one dies; `lost` is told then. Raises NvcError."""
        for left in reversed(range(ATTEMPTS)):
            try:
                return self.attempt(lane, task, listen)
            except NoWorkers:
                raise
            except WorkerError as error:
                if self.closed:
                    raise
                if not left:
                    times = f"{ATTEMPTS} times in all"
                    raise WorkerError(f"{error}, {times}; it may want memory: {self.remedy}") from None
                lost(f"{error}; it is encoded again")
        raise AssertionError

    def begin(self, task: Task) -> None:
        """Begin with a segment that will be asked for in its turn, where `ahead`; its `previous` is not known yet."""
        raise NotImplementedError

    def close(self) -> None:
        """Stop what is under way; whoever waits gets a WorkerError."""
        self.closed = True


class Here(Workers):
    """This process, one segment after the other; of the next one it already codes the base."""

    count = 1
    ahead = True

    def __init__(self) -> None:
        self._begun: dict[int, Begun] = {}

    def begin(self, task: Task) -> None:
        self._begun[task.index] = Begun(task, self._begun.get(task.index - 1))

    def attempt(self, lane: int, task: Task, listen: Listener) -> Segment:
        begun = self._begun.pop(task.index, None)
        if begun is None:
            return run_task(task, listen)
        try:
            return run_task(task, listen, begun.attend(listen))
        finally:
            begun.give_up()

    def close(self) -> None:
        super().close()
        while self._begun:
            self._begun.popitem()[1].give_up()


class Processes(Workers):
    """`count` processes, each started when its lane has work for it."""

    def __init__(self, count: int):
        self.count = count
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._lock = threading.Lock()

    def attempt(self, lane: int, task: Task, listen: Listener) -> Segment:
        process = self._process(lane)
        assert process.stdin is not None and process.stdout is not None
        try:
            send_task(process.stdin, task)
        except OSError:
            raise self._lost(process, task) from None
        while True:
            try:
                kind, body = receive(process.stdout)
            except (OSError, EOFError):
                raise self._lost(process, task) from None
            if kind == SEGMENT:
                return unpack(bytes(body))
            if kind == ERROR:
                raise read_error(body)
            listen(Stage(*json.loads(bytes(body))))

    def _lost(self, process: subprocess.Popen[bytes], task: Task) -> WorkerError:
        process.kill()
        code = process.wait()
        how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
        return WorkerError(f"the process that encoded segment {task.index} {how}")

    def _process(self, lane: int) -> subprocess.Popen[bytes]:
        """The lane's process; a new one where there is none, or none any more."""
        with self._lock:
            if self.closed:
                raise WorkerError("the encode is being stopped")
            process = self._processes.get(lane)
            if process is None or process.poll() is not None:
                if process:
                    _forget(process)
                try:
                    process = subprocess.Popen(command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
                except OSError as error:
                    raise WorkerError(f"no process can be started: {error.strerror}") from None
                self._processes[lane] = process
            return process

    def close(self) -> None:
        with self._lock:
            self.closed = True
            for process in self._processes.values():
                process.kill()
                process.wait()
                _forget(process)


def command() -> list[str]:
    """What starts a process of `Processes`."""
    return [sys.executable, "-P", "-c", _PROGRAM, *filter(None, sys.path)]


def _forget(process: subprocess.Popen[bytes]) -> None:
    """Close the pipes of a process that has ended."""
    for pipe in (process.stdin, process.stdout):
        with suppress(OSError):
            if pipe:
                pipe.close()


def serve() -> None:
    """What a process of `Processes` does until its standard input ends."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints must not get between messages
    tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()
    threading.Thread(target=_take_in, args=(sys.stdin.buffer, tasks), daemon=True).start()
    while True:
        _answer(tasks.get(), out)


def _take_in(source: IO[bytes], tasks: queue.SimpleQueue[Task]) -> None:
    """Take tasks in; at the end of them end the process, also in the midst of one that nobody waits for any more."""
    code = 1
    try:
        while True:
            _, body = receive(source)
            tasks.put(read_task(body))
            del body  # while the next one is waited for
    except EOFError:
        code = 0
    except BaseException:
        traceback.print_exc()
    os._exit(code)


def now_and_then(listen: Listener, seconds: float) -> Listener:
    """`listen`, but not sooner than so many seconds after it was last called."""
    told = 0.0

    def sometimes(event: Event) -> None:
        nonlocal told
        if time.monotonic() - told >= seconds:
            told = time.monotonic()
            listen(event)

    return sometimes


def _answer(task: Task, out: IO[bytes]) -> None:
    def listen(event: Event) -> None:
        if isinstance(event, Stage):
            send(out, REPORT, json.dumps([event.stage, event.done]).encode())

    try:
        send(out, SEGMENT, pack(run_task(task, now_and_then(listen, TELL_EVERY))))
    except MemoryError:
        os._exit(1)  # with fewer processes, or later, there may be enough
    except Exception as error:
        send_error(out, error)
