"""What a machine has for networks: its device and its threads. No decoded picture depends on either."""

from __future__ import annotations

import os

from .errors import UsageError

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h; the second is 32 MiB at most


def use_threads(count: int) -> None:
    """Let this process's networks run on `count` threads; 0 leaves it at one a core. No result depends on it."""
    if count:
        import torch

        torch.set_num_threads(count)


def one_thread_for_numpy() -> None:
    """Have NumPy start no threads for products of matrices, where it is not loaded yet: what decodes has threads of its
    own, and those would wait for them in busy loops. For programs of ours."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def threads_here() -> int:
    """On how many threads networks run where the calling thread has them run."""
    import torch

    return torch.get_num_threads()


def device_of(name: str) -> str:
    """The torch device that "auto", "cpu" or "cuda" stands for. Raises UsageError where there is no such device."""
    if name == "cpu":
        return name
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("there is no CUDA device here")
    return "cuda" if torch.cuda.is_available() else "cpu"


def device_of_still(name: str) -> str:
    """The same for pictures, for which "auto" is the processor: CUDA takes longer to start than one takes to decode."""
    return device_of("cpu" if name == "auto" else name)


def keep_memory() -> None:
    """Let this process keep memory that it will want again for the next picture: glibc gives arrays of some megabytes
    back to the system, which clears them each time. For programs of ours, not for whoever imports the library; nothing
    elsewhere (bench/NOTES.md, "Memory that is kept")."""
    for option, value in ((_MMAP_THRESHOLD, 32 << 20), (_TRIM_THRESHOLD, 1 << 30)):
        _of_glibc("mallopt", option, value)


def give_back_memory() -> None:
    """Give the system what is free: glibc holds on to what an encoder of a base has freed, half a gigabyte at
    1280x720. Nothing elsewhere."""
    _of_glibc("malloc_trim", 0)


def _of_glibc(function: str, *arguments: int) -> None:
    """Call a function of glibc, where that is the C library."""
    import ctypes

    try:
        called = getattr(ctypes.CDLL(None), function)
    except (OSError, AttributeError, TypeError):  # another C library, or Windows
        return
    called(*arguments)
