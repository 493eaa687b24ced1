"""Work that overlaps: an iterator that runs ahead in a thread of its own, and items worked on side by side, in order.

    pictures = ahead(bases, size, room)                 # decoded while others are restored
    for done in side_by_side(restore, pictures, pool):  # several at once, in the order of `pictures`

Threads, not processes: NumPy, torch, zlib and libav let others run while they work. What is under way is bounded.
Exceptions arrive where the item would have arrived that they arose at. Whoever closes such an iterator, or lets go of
it, waits for what is under way, then nothing of it runs any more.
"""

from __future__ import annotations

import atexit
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Executor, Future, wait
from threading import Condition, Thread, current_thread
from typing import Any, Generic, TypeVar
from weakref import WeakSet

Item = TypeVar("Item")
Result = TypeVar("Result")


def ahead(items: Iterable[Item], size: Callable[[Item], int], room: int) -> Generator[Item]:
    """The `items`, made by a thread of its own ahead of whoever asks: so many that their sizes fit into `room`, and
    one more, which the thread holds. The thread begins when the first is asked for."""
    lane = _Lane(items, size, room)
    try:
        while lane.more():
            yield lane.take()
    finally:
        lane.close()


class _Lane(Generic[Item]):
    """A thread that makes items, and those that nobody has taken yet."""

    def __init__(self, items: Iterable[Item], size: Callable[[Item], int], room: int):
        self._items, self._size, self._room = iter(items), size, room
        self._changed = Condition()
        self._ready: deque[tuple[Item, int]] = deque()
        self._filled = 0
        self._fault: BaseException | None = None  # that follows those that are ready
        self._ended = self._closed = False
        self._owner = current_thread()
        # no daemons are waited for when the program ends, and before anything could close them
        self._thread = Thread(target=self._run, name="ahead", daemon=True)
        _LANES.add(self)
        self._thread.start()

    def _run(self) -> None:
        try:
            try:
                for item in self._items:
                    if not self._put(item):
                        break
                    del item  # it is somebody else's now
            finally:
                close(self._items)
        except BaseException as error:
            self._fault = error
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _put(self, item: Item) -> bool:
        """Add an item when there is room; False where nobody wants it any more."""
        size = self._size(item)
        with self._changed:
            while self._ready and self._filled + size > self._room and not self._closed:
                self._changed.wait()
            if self._closed:
                return False
            self._ready.append((item, size))
            self._filled += size
            self._changed.notify_all()
            return True

    def more(self) -> bool:
        """Whether there is another item; waits for it, and raises what making it raised."""
        with self._changed:
            while not self._ready and not self._ended:
                self._changed.wait()
            if not self._ready and self._fault is not None:
                fault, self._fault = self._fault, None  # it holds the frames that it passed through, and they us
                raise fault
            return bool(self._ready)

    def take(self) -> Item:
        """The next item, of which `more` has told."""
        with self._changed:
            item, size = self._ready.popleft()
            self._filled -= size
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """End the thread, and wait for it. Who is not its owner, such as a collector of garbage in whatever thread,
        does not wait: it may be waiting for him."""
        self.stop()
        if current_thread() is self._owner:
            self.join()

    def stop(self) -> None:
        """Have the thread end with the item that it is at."""
        with self._changed:
            self._closed = True
            self._ready.clear()
            self._changed.notify_all()

    def join(self) -> None:
        """Wait for the thread."""
        self._thread.join()
        self._fault = None


_LANES: WeakSet[_Lane[Any]] = WeakSet()  # that nobody has closed

if hasattr(os, "register_at_fork"):  # threads do not come along
    os.register_at_fork(after_in_child=_LANES.clear)


@atexit.register
def _end_all() -> None:
    """End what a program leaves unfinished: threads inside libraries must not run on while it goes."""
    lanes = list(_LANES)
    for lane in lanes:
        lane.stop()
    for lane in lanes:
        lane.join()


def side_by_side(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    pool: Executor | None,
    most: Callable[[Item], int],
) -> Generator[Result]:
    """What `work` makes of each item, in the order of the items. At most `most(item)` of them are begun, or done and
    not taken yet; where that is one, or there is no pool, the caller's thread works."""
    source = iter(items)
    under_way: deque[Future[Result]] = deque()
    fault: Exception | None = None
    try:
        while fault is None:
            try:
                item = next(source)
            except StopIteration:
                break
            except Exception as error:  # those before it come first
                fault = error
                break
            count = most(item) if pool else 1
            while under_way and (len(under_way) >= count or count <= 1 or under_way[0].done()):
                yield under_way.popleft().result()
            if pool is None or count <= 1:
                yield work(item)
            else:
                under_way.append(pool.submit(work, item))
            del item
        while under_way:
            yield under_way.popleft().result()
        if fault is not None:
            raise fault
    finally:
        wait([future for future in under_way if not future.cancel()])
        close(source)


def close(items: object) -> None:
    """End a generator, or what else can be closed."""
    if callable(end := getattr(items, "close", None)):
        end()
