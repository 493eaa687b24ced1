"""Files that appear whole or not at all: written in a private folder beside the target, then put in its place.

Whatever happens, an older file is there until then; it hands on its permissions. A target that is a link stays one:
the file that it leads to is replaced, in its own folder. What is not to be overwritten is not, also where it came to be
there while the work went on.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping
from typing import BinaryIO

from ..errors import OutputError, TargetExists
from .folders import fresh, resolved


def check_target(path: str, overwrite: bool) -> None:
    """Raise OutputError unless a file may be written to `path` or, where that is a link, to what it leads to."""
    real = resolved(path)
    folder = os.path.dirname(real) or "."
    to = path if real == path else f"{path}, a link to {real}"
    try:
        taken = bool(os.lstat(path))
    except (FileNotFoundError, NotADirectoryError):  # what its folder is follows
        taken = False
    except OSError as error:  # such as a name that is too long
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from None
    if os.path.islink(real):
        raise OutputError(f"{path} is a link that leads to itself")
    if not os.path.isdir(folder):
        raise OutputError(f"{to}: there is no folder {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"{to}: no permission to write to the folder")
    if os.path.isdir(real):
        raise OutputError(f"{path} is a directory")
    if os.path.exists(real) and not os.path.isfile(real):
        raise OutputError(f"{path} is a pipe or a device, which a file would replace; write to standard output (-)")
    if taken and not overwrite:
        raise TargetExists(f"{path} exists already; --overwrite replaces it")


class Part:
    """A file that is being written, or many with numbers for names.

        part = Part(target, overwrite)
        try:
            with part.open() as file:
                ...
            part.finish()
        finally:
            part.discard()

    Attributes:
        path: of the file, for those who open it by its name.
    """

    def __init__(self, target: str | os.PathLike[str], overwrite: bool = True):
        """Raises OutputError where `target` may not be written, see `check_target`, and OSError where nothing can be
        written beside it."""
        self._named, self._overwrite = os.fspath(target), overwrite
        check_target(self._named, overwrite)
        self._target = resolved(self._named)
        self._folder = fresh(self._target)
        self.path = self._folder.place("part")

    def open(self, number: int | None = None) -> BinaryIO:
        """The file, or the one of that number, to be written; it must not be there. Raises OSError."""
        return self._folder.create("part" if number is None else str(number))

    def finish(self, targets: Mapping[int, str] | None = None) -> None:
        """Put the file, or those of these numbers, in place, if they still may be written: OutputError. Raises OSError;
        what is in place by then stays."""
        named = {"part": self._named} if targets is None else {str(n): target for n, target in targets.items()}
        for target in named.values():
            check_target(target, self._overwrite)
        for name, target in named.items():
            self._put(name, target)
        self._folder.remove()

    def discard(self) -> None:
        """Remove what is not in place; does not raise."""
        self._folder.remove()

    def _put(self, name: str, named: str) -> None:
        target = self._target if named == self._named else resolved(named)
        with self._folder.open(name) as file:
            os.fsync(file.fileno())  # a full disk or a power cut must not cost an older file
            if hasattr(os, "fchmod") and os.path.isfile(target):
                os.fchmod(file.fileno(), stat.S_IMODE(os.stat(target).st_mode) & 0o777)
        try:
            if self._overwrite:
                self._folder.move(name, target)
            else:
                self._folder.settle(name, target)
        except FileExistsError:  # since it was checked
            check_target(named, self._overwrite)
            raise
        except OSError as error:
            if error.errno != errno.EXDEV or os.path.dirname(target) == os.path.dirname(self._target):
                raise
            # one picture of many is a link, to another file system
            write_whole(target, self._folder.read(name))


def write_whole(path: str | os.PathLike[str], data: bytes, overwrite: bool = True) -> None:
    """Write a file that is there either whole or not at all. Raises OutputError, see `check_target`, and OSError."""
    part = Part(path, overwrite)
    try:
        with part.open() as file:
            file.write(data)
        part.finish()
    finally:
        part.discard()
