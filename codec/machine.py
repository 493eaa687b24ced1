"""What a machine has for networks: its device and its threads. No decoded picture depends on either."""

from __future__ import annotations

import torch

from .errors import UsageError


def use_threads(count: int) -> None:
    """Let this process's networks run on `count` threads; 0 leaves it at one a core. No result depends on it."""
    if count:
        torch.set_num_threads(count)


def threads_here() -> int:
    """On how many threads networks run where the calling thread has them run."""
    return torch.get_num_threads()


def device_of(name: str) -> str:
    """The torch device that "auto", "cpu" or "cuda" stands for. Raises UsageError where there is no such device."""
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("there is no CUDA device here")
    return "cuda" if name != "cpu" and torch.cuda.is_available() else "cpu"
