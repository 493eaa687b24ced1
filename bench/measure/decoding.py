"""One decode of an .nvc file, timed by the process that does it: a program for any installation, ours or another.

It is run as text (`bench.decoders`) and takes nothing but the standard library and `codec`, by what that has offered
for long. Its argument is a job in JSON:

    path, still     the file, and whether it is a picture
    options         of `codec.open`, or of `codec.decode_still`
    check           true: say what comes out, by which kernels, and read no clock
    began           by the clock of `time.time`, when this process was asked for

It prints one JSON object: `frames`; of a check `crc`, CRC-32 over all planes in order, and `kernels`; else seconds:
`first`, to the first picture; `seconds`, to the last, from the opening of the file; `processor`, of all threads for
that; `whole`, from `began` to there; `warm`, to the first picture of the file opened again. The libraries that every
film needs are there before the clock is read; what a still is decoded by is imported within its seconds, for its
installation chooses.
"""

from __future__ import annotations

import json
import sys
import time
import zlib
from collections.abc import Generator
from importlib import import_module, metadata
from typing import Any

import codec


def pictures(job: dict[str, Any], film: Any = None) -> Generator[Any]:
    """The planes of every picture: those of a film, which may be opened already, or the pixels of a still."""
    if job["still"]:
        with open(job["path"], "rb") as file:
            yield [codec.decode_still(file.read(), **job["options"]).pixels]
    else:
        for frame in (film or codec.open(job["path"], **job["options"])).frames():
            yield frame.planes


def check(job: dict[str, Any]) -> dict[str, Any]:
    """How many pictures there are, what comes out, and which kernels computed a film's heads, where it says so."""
    film = None if job["still"] else codec.open(job["path"], **job["options"])
    crc = frames = 0
    for planes in pictures(job, film):
        frames += 1
        for plane in planes:
            crc = zlib.crc32(plane.astype(plane.dtype.newbyteorder("<")).tobytes(), crc)
    return {"frames": frames, "crc": f"{crc:08x}", "kernels": sorted(getattr(film, "kernels", ()))}


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """Seconds of a decode and of the first picture once more."""
    if not job["still"]:
        for name in ("av", "torch"):
            import_module(name)
        _ = codec.open  # imported when it is asked for
    began, used, first, frames = time.perf_counter(), time.process_time(), None, 0
    for _ in pictures(job):
        first = time.perf_counter() - began if first is None else first
        frames += 1
    seconds, processor, whole = time.perf_counter() - began, time.process_time() - used, time.time() - job["began"]
    began = time.perf_counter()
    again = pictures(job)
    next(again)
    warm = time.perf_counter() - began
    again.close()
    return {"frames": frames, "first": first, "seconds": seconds, "processor": processor, "whole": whole, "warm": warm}


def libraries() -> dict[str, str]:
    """Versions of what decoding is done by."""
    return {name: metadata.version(name) for name in ("torch", "av")}


def as_the_command_does() -> None:
    """Memory is kept for the next picture as in `codec decode`, where the installation has that."""
    keep_memory = getattr(import_module("codec.machine"), "keep_memory", None)
    if keep_memory:
        keep_memory()


if __name__ == "__main__":
    wanted = json.loads(sys.argv[1])
    as_the_command_does()
    try:
        found = check(wanted) | {"libraries": libraries()} if wanted["check"] else measure(wanted)
    except codec.NvcError as error:
        sys.exit(str(error))
    print(json.dumps(found))
