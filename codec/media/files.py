"""Files as the work needs them: checked before it begins, read whole, written whole or not at all.

A target is written beside itself, under a hidden name that holds the process's number, and gets its own name when it is
complete and on the disk: whatever happens, an older file is there until then. What a process that was killed left
unfinished is removed when the same target is written again. The path "-" stands for a standard stream.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, BinaryIO

from ..errors import InputError, OutputError, UsageError, reason

STDIN = STDOUT = "-"


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
    digest = hashlib.blake2b(digest_size=32)
    try:
        with open(path, "rb") as file:
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


def check_target(path: str, overwrite: bool) -> None:
    """As `check_free`; then also remove what killed processes left of it unfinished."""
    check_free(path, overwrite)
    folder, name = os.path.split(path)
    remove_stale(folder, re.escape(name))


def check_free(path: str, overwrite: bool) -> None:
    """Raise OutputError unless a file may be written to `path`."""
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise OutputError(f"{path}: there is no folder {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"{path}: no permission to write to the folder")
    if os.path.isdir(path):
        raise OutputError(f"{path} is a directory")
    if os.path.exists(path) and not os.path.isfile(path):
        raise OutputError(f"{path} is a pipe or a device, which a file would replace; write to standard output (-)")
    if os.path.exists(path) and not overwrite:
        raise OutputError(f"{path} exists already; --overwrite replaces it")


def write_bytes(path: str, data: bytes) -> None:
    """Write a file, whole or not at all; "-" is standard output. Raises OutputError."""
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
        write_whole(path, data)
    except OSError as error:
        raise OutputError(f"{path}: {error.strerror or error}") from None


def write_whole(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file that is there either whole or not at all. Raises OSError."""
    part = part_path(os.fspath(path))
    try:
        Path(part).write_bytes(data)
        put_in_place(part, path)
    except OSError:
        discard(part)
        raise


def part_path(path: str) -> str:
    """The hidden name beside `path` under which it is written until it is whole."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}.{os.getpid()}.part")


def put_in_place(part: str, path: str | os.PathLike[str]) -> None:
    """Give a finished file its name, once it is on the disk: a full disk or a power cut must not cost an older one."""
    with open(part, "rb+") as file:
        os.fsync(file.fileno())
    os.replace(part, path)


def discard(path: str) -> None:
    """Remove a file, if it is there and can be removed."""
    with suppress(OSError):
        os.unlink(path)


def remove_stale(folder: str, name: str) -> None:
    """Remove what was written under `part_path` of targets whose name matches `name` by processes that have ended."""
    ours = re.compile(rf"\.{name}\.(\d{{1,9}})\.part")
    with suppress(OSError):
        for found in os.listdir(folder or "."):
            part = ours.fullmatch(found)
            if part and not _runs(int(part[1])):
                discard(os.path.join(folder, found))


def _runs(pid: int) -> bool:
    """Whether there is such a process. Where the system does not tell, no: there an open file cannot be removed."""
    if pid == os.getpid():
        return True
    if os.name != "posix":  # on Windows os.kill would end the process
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def drain(file: IO[Any]) -> None:
    """Let what is still buffered for a reader that has gone go nowhere, or it raises when the interpreter ends."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, file.fileno())
    os.close(null)
