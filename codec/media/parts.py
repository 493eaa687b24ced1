"""Files that appear whole or not at all: written in a private folder beside the target, then put in its place.

Whatever happens, an older file is there until then; it hands on its permissions. A target that is a link stays one:
the file that it leads to is replaced, in its own folder.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping
from typing import BinaryIO

from .folders import fresh, resolved


class Part:
    """A file that is being written, or many with numbers for names.

        part = Part(target)
        try:
            with part.open() as file:
                ...
            part.finish()
        finally:
            part.discard()

    Attributes:
        path: of the file, for those who open it by its name.
    """

    def __init__(self, target: str | os.PathLike[str]):
        """Raises OSError where nothing can be written beside `target`."""
        self._target = resolved(os.fspath(target))
        self._folder = fresh(self._target)
        self.path = self._folder.place("part")

    def open(self, number: int | None = None) -> BinaryIO:
        """The file, or the one of that number, to be written; it must not be there. Raises OSError."""
        return self._folder.create("part" if number is None else str(number))

    def finish(self, targets: Mapping[int, str] | None = None) -> None:
        """Put the file, or those of these numbers, in place. Raises OSError; what is in place by then stays."""
        if targets is None:
            self._put("part", self._target)
        for number, target in (targets or {}).items():
            self._put(str(number), resolved(target))
        self._folder.remove()

    def discard(self) -> None:
        """Remove what is not in place; does not raise."""
        self._folder.remove()

    def _put(self, name: str, target: str) -> None:
        with self._folder.open(name) as file:
            os.fsync(file.fileno())  # a full disk or a power cut must not cost an older file
            if hasattr(os, "fchmod") and os.path.isfile(target):
                os.fchmod(file.fileno(), stat.S_IMODE(os.stat(target).st_mode) & 0o777)
        try:
            self._folder.move(name, target)
        except OSError as error:
            if error.errno != errno.EXDEV or os.path.dirname(target) == os.path.dirname(self._target):
                raise
            # one picture of many is a link, to another file system
            write_whole(target, self._folder.read(name))


def write_whole(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file that is there either whole or not at all. Raises OSError."""
    part = Part(path)
    try:
        with part.open() as file:
            file.write(data)
        part.finish()
    finally:
        part.discard()
