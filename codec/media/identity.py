"""That a file which is read by its name, again and again and for hours, stays the one that it was."""

from __future__ import annotations

import os

from ..errors import InputError, SourceChanged
from .files import STDIN, check_file, content_key, is_pipe, named, standard_input


class Identity:
    """What the file at `path` is now: device, number, size and time of change. A pipe is what it is."""

    def __init__(self, path: str):
        self._path = path
        self._known = self._found()
        self._content: bytes | None = None

    def _found(self) -> tuple[int, ...]:
        if is_pipe(self._path):
            return ()
        if self._path == STDIN:
            found = os.fstat(standard_input().fileno())
        else:
            check_file(self._path)
            found = os.stat(self._path)
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns

    def check(self) -> None:
        """Raise SourceChanged unless the path still names that file, as it was; where `content` was asked for before, a
        copy will do."""
        try:
            found = self._found()
        except InputError as gone:
            raise SourceChanged(f"{gone}; it was another file when the work began") from None
        if found == self._known:
            return
        if self._content is None or content_key(self._path) != self._content:
            raise SourceChanged(
                f"{named(self._path)} was changed or replaced while it was read; leave it alone meanwhile"
            )
        self._known = found

    def content(self) -> bytes:
        """`content_key` of the file; of a pipe, which is read only once, a word."""
        if is_pipe(self._path):
            return b"standard input"
        if self._content is None:
            key = content_key(self._path)
            self.check()
            self._content = key
        return self._content
