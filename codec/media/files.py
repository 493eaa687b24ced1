"""Files as the work needs them: checked before it begins, read whole, written whole or not at all (see `parts`). The
path "-" stands for a standard stream.
"""

from __future__ import annotations

import io
import os
import stat
import sys
from pathlib import Path
from typing import IO, Any, BinaryIO

from ..errors import InputError, OutputError, UsageError, reason, unwritable
from .parts import write_whole

STDIN = STDOUT = "-"


def named(path: str) -> str:
    """What sentences call a file that is read."""
    return "standard input" if path == STDIN else path


def check_file(path: str) -> None:
    """Raise InputError unless `path` is a file that can be opened; libav's own words for this are poor."""
    if not os.path.exists(path):
        raise InputError(f"{path}: there is no such file")
    if os.path.isdir(path):
        raise InputError(f"{path} is a directory")
    if not os.path.isfile(path):
        raise InputError(f"{path} is a pipe or a device, which cannot be read twice; let it be standard input (-)")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path}: no permission to read it")
    if not os.path.getsize(path):
        raise InputError(f"{path} is empty")


def standard_input() -> BinaryIO:
    """Standard input as bytes. Raises InputError where it is closed, and where somebody would have to type them."""
    if sys.stdin is None:
        raise InputError("standard input is closed")
    if sys.stdin.buffer.isatty():
        raise InputError("standard input is a terminal; pipe a film or a picture into it")
    return sys.stdin.buffer


def is_pipe(path: str) -> bool:
    """Whether `path` is standard input and can be read only once. A file that a shell has redirected is no pipe."""
    if path != STDIN:
        return False
    try:
        return not (hasattr(os, "pread") and stat.S_ISREG(os.fstat(standard_input().fileno()).st_mode))
    except (OSError, AttributeError):  # what a program has put in its place
        return True


def opened(path: str) -> BinaryIO:
    """A file from its beginning; for "-" standard input from where it stands: where that is no pipe, each call gives
    a reader with a place of its own. Raises InputError."""
    if path != STDIN:
        check_file(path)
        try:
            return open(path, "rb")
        except OSError as error:
            raise InputError(f"{path}: {error.strerror or error}") from None
    source = standard_input()
    return source if is_pipe(path) else io.BufferedReader(_Redirected(source.fileno(), source.tell()))


def peeked(path: str, size: int = 256) -> bytes:
    """The first bytes of a file; of standard input those that stand in it, which are left there. Empty where they
    cannot be read: whoever reads the file says why."""
    try:
        if is_pipe(path):
            source = standard_input()
            return source.peek(size) if hasattr(source, "peek") else b""
        if path != STDIN and not os.path.isfile(path):  # what is read of a pipe is lost to whoever reads it next
            return b""
        with opened(path) as file:
            return file.read(size)
    except (InputError, OSError):
        return b""


class _Redirected(io.RawIOBase):
    """A file that is open already, from byte `begin` on, read without moving anybody else's place in it."""

    def __init__(self, number: int, begin: int):
        self._number, self._begin, self._at = number, begin, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = os.pread(self._number, len(buffer), self._begin + self._at)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        end = os.fstat(self._number).st_size - self._begin
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: end}[whence]
        return self._at


def standard_output() -> BinaryIO:
    """Standard output as bytes. Raises OutputError where it is closed."""
    if sys.stdout is None:
        raise OutputError("standard output is closed")
    return sys.stdout.buffer


def read_bytes(path: str) -> bytes:
    """A whole file, or standard input for "-". Raises InputError."""
    if path == STDIN:
        try:
            return standard_input().read()
        except OSError as error:
            raise InputError(f"standard input cannot be read: {reason(error)}") from None
    check_file(path)
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None


def content_key(path: str | os.PathLike[str]) -> bytes:
    """32 bytes of BLAKE2b over a file's bytes, which an interrupted encode is resumed by."""
    import hashlib  # for encoders alone, and long to load

    digest = hashlib.blake2b(digest_size=32)
    try:
        with opened(os.fspath(path)) as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise InputError(f"{os.fspath(path)}: {error.strerror or error}") from None
    return digest.digest()


def check_not_same(source: str, target: str) -> None:
    """Raise UsageError where a file would be written over what it is made from. "-" is no file."""
    here = source != STDIN and target != STDOUT and os.path.exists(target) and os.path.exists(source)
    if here and os.path.samefile(source, target):
        raise UsageError(f"{source} is both input and output")


def write_bytes(path: str, data: bytes, overwrite: bool = True) -> None:
    """Write a file, whole or not at all; "-" is standard output. Raises OutputError, also for a file that is there
    unless it may be overwritten."""
    if path == STDOUT:
        try:
            output = standard_output()
            output.write(data)
            output.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(f"standard output cannot be written: {error.strerror}") from None
        return
    try:
        write_whole(path, data, overwrite)
    except OSError as error:
        raise unwritable(f"{path} cannot be written", error) from None


def drain(file: IO[Any]) -> None:
    """Let what is still buffered for a reader that has gone go nowhere, or it raises when the interpreter ends."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, file.fileno())
    os.close(null)
