"""Segments encoded on other machines, through Dask's scheduler (the package `distributed`).

Dask, because it is Python all through and installs from wheels of a few megabytes on every system that we run on, keeps
results in order, notices dead workers and shows on a page what it does; Ray brings a binary runtime of its own. A
segment's pictures travel to the worker that encodes it; the film need not be there. Whoever can reach the scheduler can
run code on its workers: that is how Dask works, so it belongs into a network that one trusts, or behind its TLS.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import Any

from ..errors import NoWorkers, UsageError, WorkerError, reason
from ..events import Event, Listener, Stage
from ..segment.encoder import Segment
from ..settings import JOBS_MAX
from .store import versions
from .task import Task, run_task
from .workers import Workers, now_and_then

PATIENCE = 1800.0  # seconds that a cluster may be without workers
AGAIN = 60.0  # seconds after which that is said again
LOOK = 1.0  # seconds between looks
ANSWER, CONNECT = 5, 20  # seconds that a scheduler may take to say that it is one, and to take in a client
TELL_EVERY = 1.0  # seconds between a worker's reports
TOPIC = "nvc-"
_ADDRESS = re.compile(r"((tcp|tls|wss?|ucx)://)?([\w.-]+|\[[\da-fA-F:.]+\]):\d{1,5}", re.ASCII)


class Cluster(Workers):
    """The workers of the Dask scheduler at `address`, such as "tcp://10.0.0.1:8786"; as many at a time as `count` says,
    or as there are. While there are none at all that is told, and after `patience` (seconds) NoWorkers is raised, here
    too. Raises UsageError where no scheduler answers, or workers would not give the bytes that we would."""

    remedy = "give each worker more"

    def __init__(
        self,
        address: str,
        count: int | None = None,
        patience: float = PATIENCE,
        tell: Callable[[str], None] = lambda text: None,
    ):
        if not _ADDRESS.fullmatch(address):
            raise UsageError(f"{address} is no address of a Dask scheduler, such as tcp://10.0.0.1:8786")
        try:
            from distributed import Client
        except ImportError:
            raise UsageError("a cluster needs Dask: pip install 'nvc[cluster]'") from None
        logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # what it says is raised here
        try:
            with ThreadPoolExecutor(1) as pool:  # the caller's thread may have an event loop
                pool.submit(asyncio.run, _greet(address)).result()
            self._client: Any = Client(address, timeout=CONNECT, set_as_default=False)
        except Exception:  # whatever Dask makes of a stranger's answer; its words are for those who know its classes
            raise UsageError(f"no Dask scheduler answers at {address} within {ANSWER} s") from None
        self._address, self._tell = address, tell
        self._absence = Absence(f"the Dask scheduler at {address}", patience)
        try:
            workers = self._check()
            self.count = count or min(workers, JOBS_MAX)
        except BaseException:
            self._client.close()
            raise
        self._listeners: dict[int, Listener] = {}
        self._topic = TOPIC + uuid.uuid4().hex
        self._client.subscribe_topic(self._topic, self._reported)

    def _check(self) -> int:
        """How many workers there are, at least one. Raises UsageError where one has other versions, NoWorkers."""
        found: dict[str, tuple[object, ...]] = {}
        while not found:
            self._wait_for_workers()
            try:
                found = self._client.run(versions)
            except Exception as error:  # whatever a worker raises that has no NVC, or another one
                raise UsageError(f"the workers at {self._address} cannot run NVC: {reason(error)}") from None
        for worker, theirs in found.items():
            if theirs != versions():
                raise UsageError(_other(worker, theirs))
        return len(found)

    def _reported(self, event: tuple[object, tuple[int, str, float]]) -> None:
        index, stage, done = event[1]
        if listen := self._listeners.get(index):
            listen(Stage(stage, done))

    def run(self, lane: int, task: Task, listen: Listener, lost: Callable[[str], None]) -> Segment:
        self._tell = lost  # the same for all lanes
        return super().run(lane, task, listen, lost)

    def attempt(self, lane: int, task: Task, listen: Listener) -> Segment:
        from distributed import KilledWorker

        self._listeners[task.index] = listen
        try:
            self._wait_for_workers()
            # pictures that went as an argument would stay with the scheduler until the segment is done
            pictures = self._client.scatter(task, hash=False)
            return self._result(self._client.submit(_run, pictures, self._topic, versions(), pure=False))
        except (KilledWorker, CancelledError, OSError, RuntimeError) as error:
            if self._client.status != "running":  # it has tried for a while to find the scheduler again
                self.closed = True
                raise WorkerError(f"the Dask scheduler at {self._address} was lost") from None
            if isinstance(error, RuntimeError):
                raise
            raise WorkerError(f"the worker that encoded segment {task.index} was lost: {reason(error)}") from None
        finally:
            del self._listeners[task.index]

    def _result(self, future: Any) -> Segment:
        """What comes of a task, while there are workers that may do it. Raises what it raises, and WorkerError."""
        while True:
            try:
                return future.result(LOOK)
            except TimeoutError:
                if future.done():  # just now, or it came of the task itself
                    return future.result()
                self._there_are_workers()

    def _wait_for_workers(self) -> None:
        """Return once there is a worker. Raises NoWorkers, or another WorkerError."""
        while not self._there_are_workers():
            time.sleep(min(LOOK, self._absence.patience))

    def _there_are_workers(self) -> bool:
        """Whether there are, as far as the scheduler answers. Raises NoWorkers where there have been none for too
        long, WorkerError where nobody waits for them any more."""
        if self.closed:
            raise WorkerError("the encode is being stopped")
        try:
            return self._absence.seen(len(self._client.ncores()), self._tell)
        except OSError:  # the client looks for the scheduler, and tells in its own time
            return True

    def close(self) -> None:
        super().close()
        self._client.close()


class Absence:
    """How long somebody has had no workers; may be told by many threads. `patience`: seconds."""

    def __init__(self, whose: str, patience: float, clock: Callable[[], float] = time.monotonic):
        self.patience = patience
        self._whose, self._clock, self._lock = whose, clock, threading.Lock()
        self._since: float | None = None
        self._told = 0.0

    def seen(self, workers: int, tell: Callable[[str], None]) -> bool:
        """Take that there are so many now, and return whether there are any. Where there are none, `tell` is given a
        sentence at first and then every AGAIN seconds; after the patience NoWorkers is raised."""
        with self._lock:
            now = self._clock()
            if workers:
                self._since = None
                return True
            if self._since is None:
                self._since, self._told = now, -math.inf
            gone = now - self._since
            if gone >= self.patience:
                raise NoWorkers(f"{self._whose} has had no workers for {_length(self.patience)}; start some again")
            if now - self._told >= AGAIN:
                self._told = now
                how_long = f"has had no workers for {_length(gone)}" if gone >= 1 else "has no workers"
                left = _length(self.patience - gone)
                tell(f"{self._whose} {how_long}; the encode goes on with the first that comes, and ends after {left}")
            return False


def _length(seconds: float) -> str:
    """A length of time in words."""
    return f"{seconds / 60:.3g} min" if seconds >= 60 else f"{seconds:.0f} s"


async def _greet(address: str) -> None:
    """Raise unless a scheduler answers. A client that failed to connect would try for a minute to say goodbye, and
    print why it could not."""
    from distributed.comm import connect
    from distributed.security import Security

    arguments = Security().get_connection_args("client")
    async with asyncio.timeout(ANSWER):
        comm = await connect(address, timeout=ANSWER, **arguments)
        await comm.close()


_ALONE = threading.Lock()  # one segment at a time in a process: what torch is told holds for all its threads


def _run(task: Task, topic: str, ours: tuple[object, ...]) -> Segment:
    """On a worker."""
    from distributed import get_worker

    worker = get_worker()
    if versions() != ours:  # one that came after the encode had begun
        raise UsageError(_other(worker.address, versions()))

    def listen(event: Event) -> None:
        if isinstance(event, Stage):
            worker.log_event(topic, (task.index, event.stage, event.done))

    with _ALONE:
        return run_task(task, now_and_then(listen, TELL_EVERY))


def _other(worker: str, versions: tuple[object, ...]) -> str:
    return f"the worker {worker} has other versions than this program: {versions}"
