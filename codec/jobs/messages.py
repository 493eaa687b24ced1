"""What a master and its processes say to each other: numbers and bytes, nothing that could run.

message   kind, 1 byte | length, 8 bytes | body
TASK      JSON of everything but samples, then the planes of every picture, row by row
REPORT    JSON: stage, share of it that is done
SEGMENT   a finished segment, as `codec.jobs.store` keeps it
ERROR     JSON: name of a class of `codec.errors`, or "" for a fault of ours; message
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import asdict
from fractions import Fraction
from typing import IO, Any

import numpy as np

from .. import errors
from ..frames import Colour, Frame, PlaneFormat, VideoInfo
from ..segment.rate import RateControl
from ..settings import Settings
from .store import pack, unpack
from .task import Smaller, Task

TASK, REPORT, SEGMENT, ERROR = b"T", b"R", b"S", b"E"
_HEAD = struct.Struct(">cQ")
_LENGTH = struct.Struct(">Q")


def send(out: IO[bytes], kind: bytes, *parts: Any) -> None:
    """Write a message whose body is `parts`, bytes or contiguous arrays, one after the other. Raises OSError."""
    out.write(_HEAD.pack(kind, sum(memoryview(p).nbytes for p in parts)))
    for part in parts:
        out.write(memoryview(part).cast("B"))
    out.flush()


def receive(source: IO[bytes]) -> tuple[bytes, memoryview]:
    """(kind, body) of the next message. Raises EOFError where there is none, or not all of it."""
    kind, size = _HEAD.unpack(_exactly(source, _HEAD.size))
    return kind, _exactly(source, size)


def _exactly(source: IO[bytes], size: int) -> memoryview:
    data = memoryview(bytearray(size))
    at = 0
    while at < size:
        got = source.readinto(data[at:])  # type: ignore[attr-defined]
        if not got:
            raise EOFError
        at += got
    return data


def _text(value: object) -> bytes:
    return json.dumps(value, default=str).encode()  # fractions as "n/d"


def send_task(out: IO[bytes], task: Task) -> None:
    """Write a task. Raises OSError."""
    info, control = task.info, task.control
    text = _text(
        {
            "index": task.index,
            "frames": [[f.pts, f.duration, [m.hex() for m in f.messages]] for f in task.frames],
            "info": vars(info)
            | {"format": asdict(info.format), "side_data": {k: v.hex() for k, v in info.side_data.items()}},
            "settings": vars(task.settings),
            "scale": task.scale,
            "control": {k: v for k, v in vars(control).items() if k != "settings"},
            "smaller": task.smaller and asdict(task.smaller),
        }
    )
    previous = pack(task.previous) if task.previous else b""
    planes = [np.ascontiguousarray(p) for f in task.frames for p in f.planes]
    send(out, TASK, _LENGTH.pack(len(text)), text, _LENGTH.pack(len(previous)), previous, *planes)


def read_task(body: memoryview) -> Task:
    """The task in a message's body."""
    at = 0

    def take(size: int) -> memoryview:
        nonlocal at
        at += size
        return body[at - size : at]

    meta: dict[str, Any] = json.loads(bytes(take(*_LENGTH.unpack(take(8)))))
    previous = bytes(take(*_LENGTH.unpack(take(8))))
    info = _info(meta["info"])
    options = meta["settings"]
    settings = Settings(**options | {"scale": options["scale"] and Fraction(options["scale"])})
    control = RateControl(settings, 0.0)
    vars(control).update(meta["control"])
    frames = []
    for pts, duration, messages in meta["frames"]:
        shapes: Sequence[tuple[int, int]] = info.format.shapes(info.width, info.height)
        planes = (np.frombuffer(take(h * w * info.format.dtype.itemsize), info.format.dtype) for h, w in shapes)
        picture = tuple(p.reshape(s) for p, s in zip(planes, shapes, strict=True))
        frames.append(Frame(picture, pts, duration, tuple(map(bytes.fromhex, messages))))
    known = unpack(previous) if previous else None
    smaller = Smaller(**meta["smaller"]) if meta["smaller"] else None
    return Task(meta["index"], frames, info, settings, Fraction(meta["scale"]), control, known, smaller)


def _info(found: dict[str, Any]) -> VideoInfo:
    fractions = {name: Fraction(found[name]) for name in ("time_base", "rate", "sar", "duration")}
    return VideoInfo(
        **found
        | fractions
        | {
            "format": PlaneFormat(**found["format"]),
            "colour": Colour(*found["colour"]),
            "display_matrix": tuple(found["display_matrix"]),
            "side_data": {name: bytes.fromhex(data) for name, data in found["side_data"].items()},
        }
    )


def send_error(out: IO[bytes], error: Exception) -> None:
    """Write what went wrong."""
    if isinstance(error, errors.NvcError):
        send(out, ERROR, _text([type(error).__name__, str(error)]))
    else:
        send(out, ERROR, _text(["", f"{type(error).__name__}: {error}"]))


def read_error(body: memoryview) -> Exception:
    """What went wrong, as an exception to raise."""
    name, text = json.loads(bytes(body))
    kind = getattr(errors, name, RuntimeError) if name else RuntimeError
    return kind(text)
