"""Threads that compute side by side, each with kernels of one thread."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

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
