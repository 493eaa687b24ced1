"""Work that overlaps: its order, its bounds, its faults, and that nothing of it is left."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from codec.frames import checksum, joined
from codec.pipeline import ahead, side_by_side

TURNS = 200  # of a loop that waits for another thread, 10 ms each


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Every test must end the threads that it began."""
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def until(state: list[int], count: int) -> None:
    """Wait until there are so many items."""
    for _ in range(TURNS):
        if len(state) >= count:
            return
        time.sleep(0.01)
    raise AssertionError(f"{len(state)} items, not {count}")


def one(item: object) -> int:
    return 1


def counted(made: list[int], count: int, fault_at: int = -1) -> Iterator[int]:
    for k in range(count):
        if k == fault_at:
            raise ValueError(f"item {k}")
        made.append(k)
        yield k


# --- ahead ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("room", [0, 1, 3, 1000])
def test_items_keep_their_order(room: int) -> None:
    assert list(ahead(counted([], 50), one, room)) == list(range(50))


def test_it_runs_ahead_by_its_room_and_one_item_and_no_further() -> None:
    made: list[int] = []
    items = ahead(counted(made, 50), one, 3)
    assert not made, "it begins when something is asked for"
    assert next(items) == 0
    until(made, 5)
    time.sleep(0.05)
    assert made == [0, 1, 2, 3, 4], "one taken, three in the room, one in the hand of the thread"
    assert [next(items) for _ in range(4)] == [1, 2, 3, 4]
    items.close()


def test_one_that_is_larger_than_the_room_passes_alone() -> None:
    assert list(ahead(iter([5, 1, 9, 1]), lambda size: size, 4)) == [5, 1, 9, 1]


def test_a_fault_comes_after_the_items_before_it() -> None:
    found: list[int] = []
    with pytest.raises(ValueError, match="item 7"):
        for k in ahead(counted([], 50, 7), one, 100):
            found.append(k)
    assert found == list(range(7))


def test_closing_ends_the_source_in_its_own_thread() -> None:
    ended: list[threading.Thread] = []

    def source() -> Iterator[int]:
        try:
            yield from range(1000)
        finally:
            ended.append(threading.current_thread())

    items = ahead(source(), one, 2)
    assert next(items) == 0
    items.close()
    assert len(ended) == 1 and ended[0] is not threading.current_thread()


def test_letting_go_of_it_is_enough() -> None:
    made: list[int] = []
    items = ahead(counted(made, 1000), one, 2)
    next(items)
    del items
    gc.collect()
    assert len(made) < 1000


def test_one_ahead_of_another_ends_with_it() -> None:
    made: list[int] = []

    def source() -> Iterator[int]:
        with closing(ahead(counted(made, 1000), one, 1)) as inner:
            for k in inner:
                yield k + 1

    outer = ahead(source(), one, 1)
    assert next(outer) == 1
    outer.close()
    assert len(made) < 20


ENDING = """
import sys
from codec.pipeline import ahead
items = ahead(iter(range(10**9)), lambda item: 1, 4)
print(next(items))
{end}
"""


@pytest.mark.parametrize("end", ["", "sys.exit()", "raise KeyboardInterrupt"])
def test_a_program_ends_that_has_not_taken_all(end: str) -> None:
    command = [sys.executable, "-c", ENDING.format(end=end)]
    root = Path(__file__).parents[1]
    assert subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=100).stdout == "0\n"


# --- side by side -----------------------------------------------------------------------------------------------------


def test_results_come_in_the_order_of_the_items_whoever_is_done_first() -> None:
    rng = np.random.default_rng(0)
    naps = rng.uniform(0, 0.01, 40)

    def work(k: int) -> int:
        time.sleep(naps[k])
        return k * k

    with ThreadPoolExecutor(5) as pool:
        assert list(side_by_side(work, range(40), pool, lambda k: 7)) == [k * k for k in range(40)]


def test_no_more_are_under_way_than_are_allowed() -> None:
    begun: list[int] = []

    def work(k: int) -> int:
        begun.append(k)
        return k

    with ThreadPoolExecutor(8) as pool:
        results = side_by_side(work, iter(range(100)), pool, lambda k: 3)
        for k in range(20):
            assert next(results) == k
            assert len(begun) <= k + 1 + 3
        results.close()
        assert len(begun) <= 23


def test_where_one_is_allowed_the_caller_works_and_after_those_before() -> None:
    order: list[tuple[int, bool]] = []

    def work(k: int) -> int:
        order.append((k, threading.current_thread() is threading.main_thread()))
        return k

    with ThreadPoolExecutor(4) as pool:
        found = list(side_by_side(work, range(12), pool, lambda k: 4 if k < 6 else 1))
    assert found == list(range(12))
    assert order[6:] == [(k, True) for k in range(6, 12)] and not any(here for _, here in order[:6])
    assert (
        list(side_by_side(lambda k: threading.current_thread(), range(3), None, lambda k: 4))
        == [threading.current_thread()] * 3
    )


def test_faults_of_work_and_of_items_come_in_their_places() -> None:
    def work(k: int) -> int:
        time.sleep(0.002 * (5 - k % 5))
        if k == 11:
            raise KeyError(k)
        return k

    for items, error, count in ((range(30), KeyError, 11), (counted([], 30, 9), ValueError, 9)):
        found: list[int] = []
        with ThreadPoolExecutor(4) as pool, pytest.raises(error):
            for k in side_by_side(work, items, pool, lambda k: 8):
                found.append(k)
        assert found == list(range(count))


def test_closing_waits_for_what_has_begun_and_leaves_out_the_rest() -> None:
    begun: list[int] = []
    done: list[int] = []

    def work(k: int) -> int:
        begun.append(k)
        time.sleep(0.01)
        done.append(k)
        return k

    with ThreadPoolExecutor(2) as pool:
        results = side_by_side(work, iter(range(100)), pool, lambda k: 10)
        next(results)
        results.close()
        assert begun == sorted(done) or set(begun) == set(done)
        assert len(begun) < 15


# --- checksums --------------------------------------------------------------------------------------------------------


def test_joined_checksums_are_those_of_all() -> None:
    rng = np.random.default_rng(1)
    crc = whole = 0
    for rows in (1, 2, 7, 64, 1, 300):
        planes = [rng.integers(0, 256, (rows, k)).astype(np.uint8) for k in (33, 5)]
        crc = joined(crc, checksum(planes), sum(p.nbytes for p in planes))
        whole = checksum(planes, whole)
        assert crc == whole
    assert joined(crc, 0, 0) == crc
