"""The workshop of one encode: a folder beside the target that keeps every finished segment.

It bounds memory (a segment leaves it as soon as it is done) and lets an interrupted encode resume: the folder is
keyed on the source's content, all settings and the versions of what computes; where the key fits, its segments are
taken over.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, astuple
from importlib.metadata import version
from pathlib import Path

import av
import torch

from heads.density.store import Family, identity
from heads.restorer.coded import decode_layers
from heads.restorer.spec import HeadSpec
from heads.weights import encode_layers

from ..errors import FormatError, OutputError
from ..events import SegmentStats
from ..media.files import write_whole
from ..segment.choice import FILM_HEAD
from ..segment.encoder import Segment
from ..segment.head import Head, film_head
from ..wire.obu import TemporalUnit

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_LENGTH = struct.Struct(">I")
ENCODER = 5  # raised whenever the encoder may give other bytes for the same wish


def versions() -> tuple[object, ...]:
    """Versions of all that computes: where they are equal, on like machines, encodes give the same bytes."""
    heads = film_head(FILM_HEAD, 0).identity, identity(Family.FILM)
    return (ENCODER, *heads, av.__version__, torch.__version__, version("constriction"))


def store_key(source: bytes, settings: str) -> str:
    """Name of the work: two encodes with the same key give the same bytes."""
    return hashlib.blake2b(repr((source, settings, versions())).encode(), digest_size=16).hexdigest()


class Store:
    """Finished segments on disk, in `.NAME.parts` beside the target."""

    def __init__(self, target: str, key: str, resume: bool):
        path = Path(target)
        self.folder = path.parent / f".{path.name}.parts"
        self._lock: int | None = None
        made = not self.folder.exists()
        try:
            self.folder.mkdir(exist_ok=True)
            self._lock = _locked(self.folder)
            if not (resume and self._key() == key):
                for old in self.folder.iterdir():
                    old.unlink()
                (self.folder / "key").write_text(key)
        except BlockingIOError:
            raise OutputError(f"{target} is being written by another encode at this moment") from None
        except OSError as error:
            if made:
                shutil.rmtree(self.folder, ignore_errors=True)
            self._unlock()
            raise OutputError(f"{self.folder} cannot be used to keep finished segments: {error.strerror}") from None

    def _key(self) -> str:
        try:
            return (self.folder / "key").read_text()
        except OSError:
            return ""

    def _path(self, index: int, version: int = 0) -> Path:
        return self.folder / (f"{index:06d}.{version}.segment" if version else f"{index:06d}.segment")

    def get(self, index: int, version: int = 0) -> Segment | None:
        """A finished segment, or None where there is none or it is damaged. `version`: how often it was coded again,
        which leaves the ones before in their places."""
        try:
            return unpack(self._path(index, version).read_bytes())
        except (OSError, ValueError, KeyError, TypeError, struct.error):
            return None

    def put(self, index: int, segment: Segment, version: int = 0) -> None:
        """Keep a segment; it is there whole or not at all."""
        path = self._path(index, version)
        try:
            write_whole(path, pack(segment))
        except OSError as error:
            raise OutputError(f"{path} cannot be written: {error.strerror}") from None

    def units(self, count: int, versions: Mapping[int, int] | None = None) -> Iterator[TemporalUnit]:
        """The temporal units of the first `count` segments, of those in `versions` that one."""
        for index in range(count):
            version = (versions or {}).get(index, 0)
            segment = self.get(index, version)
            if segment is None:
                raise OutputError(f"{self._path(index, version)} has disappeared or is damaged")
            yield from segment.units

    def leave(self, keep: bool) -> int:
        """The work stops before its end: finished segments stay where `keep`, and where there are any. Returns how many
        do."""
        kept = len({path.name.partition(".")[0] for path in self.folder.glob("*.segment")}) if keep else 0
        if kept:
            self._unlock()
        else:
            self.remove()
        return kept

    def remove(self) -> None:
        """Delete the folder: the work is done."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _locked(folder: Path) -> int | None:
    """A descriptor that holds the folder for this process until it is closed or the process ends, however it does; None
    where the system has no such locks. Raises BlockingIOError where another process holds it."""
    if fcntl is None:
        return None
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise
    except OSError:  # a file system without locks
        os.close(descriptor)
        return None
    return descriptor


def pack(segment: Segment) -> bytes:
    """A finished segment as bytes."""
    head = segment.head
    meta = {
        "units": [[u.pts, u.duration, u.keyframe, len(u.data), [len(p) for p in u.payloads]] for u in segment.units],
        "head": head and [head.gate, head.base_q, *astuple(head.spec)],
        "stats": asdict(segment.stats),
    }
    text = json.dumps(meta).encode()
    weights = encode_layers(head.layers) if head else b""
    parts = [_LENGTH.pack(len(text)), text, _LENGTH.pack(len(weights)), weights]
    for unit in segment.units:
        parts += [unit.data, *unit.payloads]
    data = b"".join(parts)
    return data + _LENGTH.pack(zlib.crc32(data))


def unpack(file: bytes) -> Segment:
    """Inverse of `pack`. Raises ValueError, KeyError, TypeError or struct.error for what it did not write."""
    data, crc = file[:-4], file[-4:]
    if _LENGTH.unpack(crc)[0] != zlib.crc32(data):
        raise ValueError("damaged")
    at = 0

    def take(size: int) -> bytes:
        nonlocal at
        at += size
        return data[at - size : at]

    meta = json.loads(take(_LENGTH.unpack(take(4))[0]))
    weights = take(_LENGTH.unpack(take(4))[0])
    head = None
    if meta["head"]:
        gate, base_q, *shape = meta["head"]
        spec = HeadSpec(*shape)
        head = Head(spec, tuple(decode_layers(weights, spec)), gate, base_q)
    units = tuple(
        TemporalUnit(take(size), pts, duration, keyframe, tuple(take(s) for s in sizes))
        for pts, duration, keyframe, size, sizes in meta["units"]
    )
    try:
        return Segment.read(units, head, SegmentStats(**meta["stats"]))
    except FormatError as error:
        raise ValueError(f"damaged: {error}") from None
