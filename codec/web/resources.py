"""What a server hands out: bytes that are known, files that may change or vanish, and parts of either."""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import InputError, reason
from ..wire.avif import PEEK, is_avif

Piece = bytes | memoryview
BLOCK = 1 << 18  # bytes that are read and sent at a time
BYTES = "application/octet-stream"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".wgsl": "text/plain; charset=utf-8",
    ".glsl": "text/plain; charset=utf-8",
    ".bin": BYTES,
}
_RANGE = re.compile(r"bytes=(\d{0,40})-(\d{0,40})", re.ASCII | re.IGNORECASE)
_EBML = b"\x1a\x45\xdf\xa3"


@dataclass(frozen=True)
class State:
    """What a resource is at this moment: its type, its bytes (None is endless) and, in quotes, what tells it from what
    it was before."""

    kind: str
    size: int | None
    tag: str = ""


class Resource(ABC):
    """Something that an address leads to."""

    @abstractmethod
    def state(self) -> State:
        """What it is now. Raises InputError with the sentence for whoever asks."""

    @abstractmethod
    def parts(self, state: State, begin: int, end: int) -> Iterator[Piece]:
        """Its bytes [begin, end), a piece at a time; all there are of what is endless. Raises InputError where they can
        no longer be had."""


class Constant(Resource):
    """Bytes that do not change."""

    def __init__(self, kind: str, data: bytes):
        self._state, self._data = State(kind, len(data)), data

    def state(self) -> State:
        return self._state

    def parts(self, state: State, begin: int, end: int) -> Iterator[Piece]:
        for at in range(begin, end, BLOCK):
            yield self._data[at : min(at + BLOCK, end)]


class FilmFile(Resource):
    """A film, picture or .nvs file, opened anew each time that it is asked for."""

    def __init__(self, path: str):
        self.path = path

    def state(self) -> State:
        try:
            with open(self.path, "rb") as file:
                seen = os.fstat(file.fileno())
                kind = kind_of(file.read(PEEK))
        except FileNotFoundError:
            raise InputError(f"{self.path} is no longer there") from None
        except OSError as error:
            raise InputError(f"{self.path} cannot be read: {reason(error)}") from None
        return State(kind, seen.st_size, _tag(seen))

    def parts(self, state: State, begin: int, end: int) -> Iterator[Piece]:
        try:
            with open(self.path, "rb") as file:
                if _tag(os.fstat(file.fileno())) != state.tag:
                    raise InputError(f"{self.path} has become another file while it was read")
                file.seek(begin)
                while begin < end:
                    data = file.read(min(BLOCK, end - begin))
                    if not data:
                        raise InputError(f"{self.path} has become shorter while it was read")
                    yield data
                    begin += len(data)
        except OSError as error:
            raise InputError(f"{self.path} cannot be read: {reason(error)}") from None


def _tag(seen: os.stat_result) -> str:
    """What tells a file from what it was before, in quotes."""
    return f'"{seen.st_size:x}-{seen.st_mtime_ns:x}-{seen.st_ino:x}"'


def kind_of(head: bytes) -> str:
    """The MIME type of a film or picture that begins like this."""
    if head.startswith(_EBML):
        return "video/webm" if b"webm" in head[:64] else "video/x-matroska"
    if is_avif(head):
        return "image/avif"
    return "video/mp4" if head[4:8] == b"ftyp" else BYTES


def asked(header: str, size: int) -> tuple[int, int] | None:
    """[begin, end) of the bytes that a Range header asks for; (0, 0) where it asks for none that there are; None where
    it is none of one range of bytes, and all are sent (RFC 9110, 14.2)."""
    found = _RANGE.fullmatch(header.strip())
    if not found or not any(found.groups()):
        return None
    first, last = found.groups()
    if not first:
        begin, end = max(size - int(last), 0), size
    else:
        begin, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < begin:
            return None
    return (begin, end) if begin < end else (0, 0)
