"""Pictures that do not depend on each other, worked on side by side, and handed on in their order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from typing import TypeVar

import torch

from heads.threads import workers

HELD = 256 << 20  # bytes of pictures that may be under way at once
T = TypeVar("T")
R = TypeVar("R")


def threads_for(picture: int) -> int:
    """On how many threads pictures of so many bytes are worked on side by side: on as many as torch may use. 1 where
    pictures are so large that their bands share the threads better."""
    threads = torch.get_num_threads()
    return threads if (threads + 1) * picture <= HELD else 1


def in_order(work: Callable[[T], R], items: Iterable[T], threads: int) -> Iterator[R]:
    """`work` of all items, in their order, on so many threads, each with kernels of one thread; one item more than
    there are threads is under way at most. On one thread, the caller's, an item is worked on when it is asked for.

    Raises what `items` and `work` raise. When it ends, nothing is under way any more."""
    if threads <= 1:
        yield from map(work, items)
        return
    waiting: deque[Future[R]] = deque()
    try:
        for item in items:
            waiting.append(workers().submit(work, item))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        wait([future for future in waiting if not future.cancel()])
