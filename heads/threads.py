"""Threads that each run kernels of one thread."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from threading import Barrier, Thread

import torch


def _keep_to_one() -> None:
    torch.set_num_threads(1)
    torch.get_num_threads()  # fixes it: a thread takes the default of that moment when it first asks


def single_threads(count: int) -> ThreadPoolExecutor:
    """`count` threads, started, whose torch kernels keep to one thread each. Torch takes what one thread asks for as
    the default of all that come later, so the caller's own number is set again."""
    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(count, "head", initializer=_keep_to_one)
    barrier = Barrier(count + 1)
    for _ in range(count):
        pool.submit(barrier.wait)
    barrier.wait()
    torch.set_num_threads(before)
    return pool


@contextmanager
def one_thread() -> Iterator[None]:
    """Within, torch kernels of the calling thread keep to one thread. Threads of OpenMP that have shared a kernel wait
    for the next one in busy loops, and take the cores of those that train side by side."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    # what was asked for is now the default of threads that come later, such as those of a player: set it back elsewhere
    other = Thread(target=torch.set_num_threads, args=(before,))
    other.start()
    other.join()
    try:
        yield
    finally:
        torch.set_num_threads(before)


@cache
def workers() -> ThreadPoolExecutor:
    """Threads for bands of pictures, kept for the life of the process."""
    return single_threads(os.cpu_count() or 1)


if hasattr(os, "register_at_fork"):  # threads do not come along
    os.register_at_fork(after_in_child=workers.cache_clear)


def for_all(work: Callable[[int], None], items: Sequence[int], most: int | None = None) -> None:
    """Do `work` with all items, side by side on as many threads as torch may use, `most` of them at most, each with
    kernels of one thread."""
    share = min(torch.get_num_threads(), len(items), most or len(items))
    if share <= 1:
        for item in items:
            work(item)
        return
    left = deque(items)  # whoever is done takes the next: threads are not equally fast on a busy machine

    def some() -> None:
        while True:
            try:
                item = left.popleft()
            except IndexError:
                return
            work(item)

    for done in [workers().submit(some) for _ in range(share)]:
        done.result()
