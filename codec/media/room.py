"""Whether a disk has room for what is expected to be written to it: a sentence where it does not look so."""

from __future__ import annotations

import os
import shutil

from .folders import resolved

_MEGABYTE = 10**6


def short_of_room(target: str, expected: int, what: str) -> str:
    """A sentence where the disk of the file `target` has less room than the `expected` bytes that `what` may take;
    empty where it has enough, and where that cannot be told."""
    folder = os.path.dirname(os.path.abspath(resolved(target)))
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return ""
    if usage.free >= expected or not usage.total:  # some file systems say nothing of themselves
        return ""
    return f"{folder} has {_shown(usage.free)} free; {what} may need about {_shown(expected)} here"


def _shown(size: int) -> str:
    """Bytes in MB, roughly."""
    return f"{size / _MEGABYTE:.0f} MB" if size >= 10 * _MEGABYTE else f"{size / _MEGABYTE:.1f} MB"
