"""Segments encoded on other machines, through Dask's scheduler (the package `distributed`).

Dask, because it is Python all through and installs from wheels of a few megabytes on every system that we run on, keeps
results in order, notices dead workers and shows on a page what it does; Ray brings a binary runtime of its own. A
segment's pictures travel to the worker that encodes it; the film need not be there. Whoever can reach the scheduler can
run code on its workers: that is how Dask works, so it belongs into a network that one trusts, or behind its TLS.
"""

from __future__ import annotations

import asyncio
import logging
import re
import threading
import uuid
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import Any

from ..errors import UsageError, WorkerError, reason
from ..events import Event, Listener, Stage
from ..segment.encoder import Segment
from ..settings import JOBS_MAX
from .store import versions
from .task import Task, run_task
from .workers import Workers, now_and_then

ANSWER, CONNECT = 5, 20  # seconds that a scheduler may take to say that it is one, and to take in a client
TELL_EVERY = 1.0  # seconds between a worker's reports
TOPIC = "nvc-"
_ADDRESS = re.compile(r"((tcp|tls|wss?|ucx)://)?([\w.-]+|\[[\da-fA-F:.]+\]):\d{1,5}", re.ASCII)


class Cluster(Workers):
    """The workers of the Dask scheduler at `address`, such as "tcp://10.0.0.1:8786"; as many at a time as `count` says,
    or as there are. Raises UsageError where there are none, or where they would not give the bytes that we would."""

    def __init__(self, address: str, count: int | None = None):
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
        try:
            self._check(address)
            self._address = address
            self.count = count or min(len(self._client.ncores()), JOBS_MAX)
        except BaseException:
            self._client.close()
            raise
        self._listeners: dict[int, Listener] = {}
        self._topic = TOPIC + uuid.uuid4().hex
        self._client.subscribe_topic(self._topic, self._reported)

    def _check(self, address: str) -> None:
        try:
            found = self._client.run(versions)
        except Exception as error:  # whatever a worker raises that has no NVC, or another one
            raise UsageError(f"the workers at {address} cannot run NVC: {reason(error)}") from None
        if not found:
            raise UsageError(f"the Dask scheduler at {address} has no workers")
        for worker, theirs in found.items():
            if theirs != versions():
                raise UsageError(_other(worker, theirs))

    def _reported(self, event: tuple[object, tuple[int, str, float]]) -> None:
        index, stage, done = event[1]
        if listen := self._listeners.get(index):
            listen(Stage(stage, done))

    def attempt(self, lane: int, task: Task, listen: Listener) -> Segment:
        from distributed import KilledWorker

        self._listeners[task.index] = listen
        try:
            # pictures that went as an argument would stay with the scheduler until the segment is done
            pictures = self._client.scatter(task, hash=False)
            return self._client.submit(_run, pictures, self._topic, versions(), pure=False).result()
        except (KilledWorker, CancelledError, OSError, RuntimeError) as error:
            if self._client.status != "running":  # it has tried for a while to find the scheduler again
                self.closed = True
                raise WorkerError(f"the Dask scheduler at {self._address} was lost") from None
            if isinstance(error, RuntimeError):
                raise
            raise WorkerError(f"the worker that encoded segment {task.index} was lost: {reason(error)}") from None
        finally:
            del self._listeners[task.index]

    def close(self) -> None:
        super().close()
        self._client.close()


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
