"""Kernels that sum exactly: the switches that they need, and which of them a head is computed by.

Every head has some to choose from, the fastest first. A head takes the first that proves exact on this machine when it
is loaded. Tests and measurements force one, by `forced` or by the environment variable NVC_KERNEL.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import TypeVar

import torch

KERNELS = ("int8", "bfloat16", "float32", "float64")
VARIABLE = "NVC_KERNEL"

T = TypeVar("T")


class HeadError(ValueError):
    """A head that breaks the rules of the format."""


def _known_switches() -> list[tuple[object, str, object]]:
    """(owner, attribute, value that makes float32 products exact), as this version of torch has them."""
    found: list[tuple[object, str, object]] = [(torch.backends.cudnn, "enabled", False)]
    matmul, conv = torch.backends.cuda.matmul, getattr(torch.backends.mkldnn, "conv", None)
    if hasattr(conv, "fp32_precision"):  # from torch 2.9 on oneDNN may be told to multiply in bfloat16
        found.append((conv, "fp32_precision", "ieee"))
    try:
        bool(matmul.allow_tf32)
        found.append((matmul, "allow_tf32", False))
    except RuntimeError:  # where the program uses the newer switches, the older one must not be asked
        found.append((matmul, "fp32_precision", "ieee"))
    return found


class _Switches:
    """Holds the switches while anybody computes, in whatever thread, and puts them back after the last."""

    def __init__(self) -> None:
        self._lock, self._users = Lock(), 0
        self._before: list[tuple[object, str, object]] = []
        self._nnpack = False

    def __enter__(self) -> None:
        with self._lock:
            if self._users == 0:
                known = _known_switches()
                self._before = [(owner, name, getattr(owner, name)) for owner, name, _ in known]
                for owner, name, value in known:
                    setattr(owner, name, value)
                (self._nnpack,) = torch.backends.nnpack.set_flags(False)
            self._users += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                for owner, name, value in self._before:
                    setattr(owner, name, value)
                torch.backends.nnpack.set_flags(self._nnpack)


_SWITCHES = _Switches()


@contextmanager
def exact_kernels() -> Iterator[None]:
    """Within, float32 convolutions and matrix products are sums of products: no TF32, no bfloat16 in disguise, no
    Winograd, no autocast, no autograd."""
    with (
        _SWITCHES,
        torch.inference_mode(),
        torch.autocast("cpu", enabled=False),
        torch.autocast("cuda", enabled=False),
    ):
        yield


def has_bfloat16() -> bool:
    """Whether this machine multiplies bfloat16 faster than float32."""
    return bool(getattr(torch.cpu, "_is_amx_tile_supported", bool)())


_forced: list[str] = []


@contextmanager
def forced(kernel: str) -> Iterator[None]:
    """Within, heads that are loaded are computed by this one of KERNELS, where they have the choice."""
    _forced.append(kernel)
    try:
        yield
    finally:
        _forced.remove(kernel)


def first_exact(kernels: Sequence[str], load: Callable[[str], T | None]) -> tuple[str, T]:
    """(name, what `load` makes of it) of the first of `kernels` that `load` finds exact: it returns None for others. A
    kernel that is forced is the only one that is tried. Raises HeadError where none is exact."""
    asked = _forced[-1] if _forced else os.environ.get(VARIABLE, "")
    if asked and asked not in KERNELS:
        raise HeadError(f"{VARIABLE} is {asked!r}; kernels are {', '.join(KERNELS)}")
    tried = [asked] if asked in kernels else kernels
    for kernel in tried:
        found = load(kernel)
        if found is not None:
            return kernel, found
    if asked in kernels:
        raise HeadError(f"the head was to be computed by {asked} kernels, which are not exact for it on this machine")
    raise HeadError(f"no kernels of this machine sum exactly, of {', '.join(kernels)}")
