"""Files as the work needs them: checked before it begins, read whole, written whole or not at all (see `parts`). The
path "-" stands for a standard stream.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import IO, Any, BinaryIO

from ..errors import InputError, OutputError, UsageError, reason, unwritable
from .parts import write_whole

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
