"""A step that goes on for long, in a module that needs nothing."""

from __future__ import annotations

import os
import time
from pathlib import Path


def sleep(path: str) -> None:
    """Say which process this is, in a file, and wait."""
    Path(path).write_text(str(os.getpid()))
    time.sleep(120)
