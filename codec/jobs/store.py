"""The workshop of one encode: a folder beside the target that keeps every finished segment.

It bounds memory (a segment leaves it as soon as it is done) and lets an interrupted encode resume: the folder is
keyed on the source's content, all settings and the versions of what computes; where the key fits, its segments are
taken over.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, astuple
from importlib.metadata import version
from pathlib import Path

import av
import torch

from heads.density.store import Family, identity
from heads.restorer import store as restorers
from heads.restorer.coded import decode_layers
from heads.restorer.spec import HeadSpec
from heads.weights import encode_layers

from ..errors import FormatError, OutputError, unwritable
from ..events import SegmentStats
from ..media.folders import workshop
from ..segment.encoder import Segment
from ..segment.head import Head, film_head
from ..wire.obu import TemporalUnit

_NAMES = re.compile(r"key|[0-9]{6,}(\.[0-9]+)?\.(segment|new)")
_LENGTH = struct.Struct(">I")
ENCODER = 10  # raised whenever the encoder may give other bytes for the same wish


def versions() -> tuple[object, ...]:
    """Versions of all that computes: where they are equal, on like machines, encodes give the same bytes."""
    films = (film_head(number, 0).identity for number in restorers.FILM_HEADS)
    heads = *films, identity(Family.FILM), identity(Family.LIGHT)
    return (ENCODER, *heads, av.__version__, torch.__version__, version("constriction"))


def store_key(source: bytes, settings: str) -> str:
    """Name of the work: two encodes with the same key give the same bytes."""
    return hashlib.blake2b(repr((source, settings, versions())).encode(), digest_size=16).hexdigest()


class Store:
    """Finished segments on disk, in `.NAME.parts` beside the target.

    Attributes:
        folder: their folder.
    """

    def __init__(self, target: str, key: str, resume: bool):
        """Segments of the same `key` are kept where `resume`, all others removed. Raises OutputError; where their key
        cannot be read, they stay."""
        self._folder = workshop(target, ".parts", _NAMES, "finished segments")
        self.folder = Path(self._folder.path)
        try:
            same = resume and self._key() == key
        except OSError as error:
            self._folder.leave()
            raise OutputError(f"{self._folder.place('key')} cannot be read: {error.strerror}") from None
        try:
            if not same:
                for old in self._folder.names():
                    self._folder.unlink(old)
                with self._folder.create("key") as file:
                    file.write(key.encode())
        except OSError as error:
            self._folder.remove()
            raise unwritable(f"{self.folder} cannot be used to keep finished segments", error) from None

    def _key(self) -> str:
        try:
            return self._folder.read("key").decode(errors="replace")
        except FileNotFoundError:
            return ""

    def get(self, index: int, version: int = 0) -> Segment | None:
        """A finished segment, or None where there is none or it is damaged. `version`: how often it was coded again,
        which leaves the ones before in their places."""
        try:
            return unpack(self._folder.read(_name(index, version)))
        except (OSError, ValueError, KeyError, TypeError, struct.error):
            return None

    def put(self, index: int, segment: Segment, version: int = 0) -> None:
        """Keep a segment; it is there whole or not at all."""
        name = _name(index, version)
        try:
            self._folder.write(name, pack(segment), f"{index:06d}.new")
        except OSError as error:
            raise unwritable(f"{self._folder.place(name)} cannot be written", error) from None

    @property
    def bytes(self) -> int:
        """Of all that is finished."""
        return sum(path.stat().st_size for path in self.folder.glob("*.segment"))

    def units(self, count: int, versions: Mapping[int, int] | None = None) -> Iterator[TemporalUnit]:
        """The temporal units of the first `count` segments, of those in `versions` that one."""
        for index in range(count):
            version = (versions or {}).get(index, 0)
            segment = self.get(index, version)
            if segment is None:
                raise OutputError(f"{self._folder.place(_name(index, version))} has disappeared or is damaged")
            yield from segment.units

    def leave(self, keep: bool) -> int:
        """The work stops before its end: finished segments stay where `keep`, and where there are any. Returns how many
        do."""
        finished = (name.partition(".")[0] for name in self._folder.names() if name.endswith(".segment"))
        kept = len(set(finished)) if keep else 0
        if kept:
            self._folder.leave()
        else:
            self._folder.remove()
        return kept

    def remove(self) -> None:
        """Delete the folder: the work is done."""
        self._folder.remove()


def _name(index: int, version: int = 0) -> str:
    return f"{index:06d}.{version}.segment" if version else f"{index:06d}.segment"


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
