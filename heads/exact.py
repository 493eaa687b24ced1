"""Within `exact_kernels` what torch computes of integers in float32 is exact."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock, local

import torch


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


class _Here(local):
    """Of a thread: whether it is within `exact_kernels` already, where all of that holds."""

    within = False


_HERE = _Here()


@contextmanager
def exact_kernels() -> Iterator[None]:
    """Within, float32 convolutions and matrix products are sums of products: no TF32, no bfloat16 in disguise, no
    Winograd, no autocast, no autograd."""
    if _HERE.within:
        yield
        return
    with (
        _SWITCHES,
        torch.inference_mode(),
        torch.autocast("cpu", enabled=False),
        torch.autocast("cuda", enabled=False),
    ):
        _HERE.within = True
        try:
            yield
        finally:
            _HERE.within = False


def has_bfloat16() -> bool:
    """Whether this machine multiplies bfloat16 faster than float32."""
    return bool(getattr(torch.cpu, "_is_amx_tile_supported", bool)())
