"""Installations of NVC: this one, and another that stands beside it, such as the commit before.

Another one is named NAME=PLACE. PLACE is the interpreter of another virtual environment, which finds the project that
is installed there, or a folder with another copy of the project, which the interpreter of this process runs. What such
a process shall do is given as text, so that the other installation needs to know nothing of this module.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .process import ROOT, BenchError, Ran, run


@dataclass(frozen=True)
class Installation:
    """An interpreter, and the folder in which it finds the project: None where it is installed for it."""

    name: str
    python: str
    folder: str | None = None

    def run(self, program: str, *arguments: str, name: str, env: Mapping[str, str] | None = None) -> Ran:
        """Run the text of a program in a fresh interpreter of this installation; `env` is added to the environment.

        Raises BenchError where it fails, with `name` and the last line that it wrote to standard error.
        """
        command = [self.python, "-P", "-c", program, *arguments]  # -P: the folder at hand is not looked through
        return run(command, {**(env or {}), "PYTHONPATH": self.folder or ""}, name=name)


HERE = Installation("here", sys.executable, str(ROOT))


def installation(text: str) -> Installation:
    """The installation that NAME=PLACE stands for. Raises BenchError where there is none."""
    name, _, place = text.partition("=")
    if not re.fullmatch(r"[A-Za-z][\w.-]*", name) or not place:
        raise BenchError(f"{text!r} does not have the form NAME=PLACE, where NAME begins with a letter")
    if name == HERE.name:
        raise BenchError(f"{HERE.name!r} is the name of this installation: give the other one another")
    if (Path(place) / "codec" / "__init__.py").is_file():
        return Installation(name, sys.executable, os.path.abspath(place))
    python = None if os.path.isdir(place) else shutil.which(place)
    if python is None:
        raise BenchError(f"{place!r} is neither an interpreter nor a folder with a copy of the project")
    return Installation(name, os.path.abspath(python))


def installations(texts: Sequence[str]) -> dict[str, Installation]:
    """Those of several NAME=PLACE by their names. Raises BenchError where two have the same."""
    found = [installation(text) for text in texts]
    names = [one.name for one in found]
    if twice := {name for name in names if names.count(name) > 1}:
        raise BenchError(f"two installations are called {', '.join(sorted(twice))}")
    return dict(zip(names, found, strict=True))
