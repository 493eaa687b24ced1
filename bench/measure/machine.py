"""The machine that measures, in words."""

from __future__ import annotations

import os
import platform
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
SETS = (
    "avx2",
    "avx_vnni",
    "avx512f",
    "avx512_vnni",
    "amx_int8",
    "asimddp",
    "i8mm",
)  # that kernels of integers differ by


def machine() -> str:
    """This machine in words: system, processor, cores that may be used."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{platform.system()}, {_processor()}, {cores} core{'s' * (cores != 1)}"


def instructions() -> str:
    """Those of `SETS` that the processor has; "unknown" where the system does not tell."""
    flags = _told("flags") or _told("Features")
    if flags is None:
        return "instruction sets unknown"
    return ", ".join(name for name in SETS if name in flags.split()) or f"none of {', '.join(SETS)}"


def _processor() -> str:
    return _told("model name") or platform.processor() or platform.machine()


def _told(name: str) -> str | None:
    """What the system says of its first processor under a name."""
    try:
        lines = CPUINFO.read_text().splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == name), None)
