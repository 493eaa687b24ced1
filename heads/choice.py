"""Which kernels a head is computed by.

Every head has some to choose from, the fastest first. A head takes the first that proves exact on this machine when it
is loaded. Tests and measurements force one, by `forced` or by the environment variable NVC_KERNEL.

All but "numpy" are torch's. That one is for a picture that is done before torch would be imported.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from .layers import HeadError

KERNELS = ("int8", "bfloat16", "float32", "float64", "numpy")
VARIABLE = "NVC_KERNEL"
# products that take NumPy about as long as importing torch (bench/NOTES.md, "A still from a fresh process")
NUMPY_MOST = 36 * 10**9

T = TypeVar("T")


_forced: list[str] = []


@contextmanager
def forced(kernel: str) -> Iterator[None]:
    """Within, heads that are loaded are computed by this one of KERNELS, where they have the choice."""
    _forced.append(kernel)
    try:
        yield
    finally:
        _forced.remove(kernel)


def asked() -> str:
    """The kernel that is forced, or "". Raises HeadError for a name that is none of KERNELS."""
    kernel = _forced[-1] if _forced else os.environ.get(VARIABLE, "")
    if kernel and kernel not in KERNELS:
        raise HeadError(f"{VARIABLE} is {kernel!r}; kernels are {', '.join(KERNELS)}")
    return kernel


def without_torch(products: int) -> bool:
    """Whether so many products, of a head without history, are left to NumPy: where torch is not loaded, and would
    take longer to be."""
    if kernel := asked():
        return kernel == "numpy"
    return "torch" not in sys.modules and products <= NUMPY_MOST


def first_exact(kernels: Sequence[str], load: Callable[[str], T | None]) -> tuple[str, T]:
    """(name, what `load` makes of it) of the first of `kernels` that `load` finds exact: it returns None for others. A
    kernel that is forced is the only one that is tried. Raises HeadError where none is exact."""
    only = asked()
    tried = [only] if only in kernels else kernels
    for kernel in tried:
        found = load(kernel)
        if found is not None:
            return kernel, found
    if only in kernels:
        raise HeadError(f"the head was to be computed by {only} kernels, which are not exact for it on this machine")
    raise HeadError(f"no kernels of this machine sum exactly, of {', '.join(kernels)}")
