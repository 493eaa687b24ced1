"""Assignment to places of which some are named twice: the last value stays.

NumPy does so wherever it was tried, but does not promise it, and the exactness of palettes hangs on it. So it is asked
once, and where it fails, all but the last of equal places are left out before.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

_TRIED = 5000, 97  # columns, and places that they share: beyond what NumPy copies in one piece


def assign_last(target: NDArray[Any], places: NDArray[Any], values: NDArray[Any]) -> None:
    """target[places] = values for a target (m,), places (n,) or (rows, n) and values that fit them. Where a row names
    a place more than once, its last value stays; no two rows name the same."""
    if last_stays():
        target[places] = values
    else:
        assign_reduced(target, places, values)


def assign_reduced(target: NDArray[Any], places: NDArray[Any], values: NDArray[Any]) -> None:
    """`assign_last` in any order of assignment: every place is named once."""
    every = np.broadcast_to(values, places.shape).ravel()[::-1]
    found, last = np.unique(places.ravel()[::-1], return_index=True)
    target[found] = every[last]


@cache
def last_stays() -> bool:
    """Whether NumPy's own assignment does that, for all kinds of places and targets that are used."""
    columns, shared = _TRIED
    row = np.arange(columns, dtype=np.int64) * 31 % shared
    rows = np.stack([row[::step] + shared * k for k, step in enumerate((1, -1, 1))])
    values = np.arange(rows.size).reshape(rows.shape)
    orders = (np.ascontiguousarray, np.asfortranarray)
    tries = [(order(rows), order_of_values(values)) for order in orders for order_of_values in orders]
    tries += [(order(rows), values[0]) for order in orders]
    tries += [(row, values[0]), (row.astype(np.int32), values[0]), (np.repeat(row, 2)[::2], values[0])]
    for dtype in (np.uint16, np.int32, np.int64):
        for places, given in tries:
            plain, reduced = np.zeros((2, shared * len(rows)), dtype)
            plain[places] = given.astype(dtype)
            assign_reduced(reduced, places, given.astype(dtype))
            if not np.array_equal(plain, reduced):
                return False
    return True
