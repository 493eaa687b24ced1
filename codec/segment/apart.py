"""Pictures that do not depend on each other, worked on side by side in an encoder, and handed on in their order."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import TypeVar

from heads.threads import workers

from ..machine import threads_here
from ..pipeline import side_by_side

HELD = 256 << 20  # bytes of pictures that may be under way at once
Item = TypeVar("Item")
Result = TypeVar("Result")


def apart(work: Callable[[Item], Result], items: Iterable[Item], size: int) -> Generator[Result]:
    """`work` of all items, each with about `size` bytes, in their order: on as many threads as networks may use, each
    with kernels of one thread. In the caller's thread, once each is asked for, where items are so large that bands of
    one share the threads better; a size of 0 asks for that."""
    count = threads_here() + 1
    pool = workers() if count > 2 and 0 < count * size <= HELD else None
    return side_by_side(work, items, pool, lambda item: count)
