"""Runs the player's modules in node: jobs in, what came of them out."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import codec

NODE = shutil.which("node")
PLAYER = Path(codec.__file__).parent / "web" / "player"
needs_node = pytest.mark.skipif(NODE is None, reason="there is no node to run JavaScript with")
_PATIENCE = 300  # seconds, for what hangs


def in_node(script: str, jobs: Sequence[dict[str, Any]], folder: Path) -> list[dict[str, Any]]:
    """What `script`, beside this module, prints of each job: a line of JSON."""
    assert NODE is not None
    listed = folder / "jobs.json"
    listed.write_text(json.dumps(jobs), encoding="utf-8")
    command = [NODE, str(Path(__file__).parent / script), str(PLAYER), str(listed)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, encoding="utf-8")
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.split("\n")[:-1]
    assert len(lines) == len(jobs), ran.stderr
    return [json.loads(line) for line in lines]
