"""Decodes a file in this process and says what came out.

    bench check decoding FILE.nvc [--threads N] [--device cpu|cuda] [--to OUT]

The worker of `exact` and `film`, which start it by the name of this module. Prints one JSON object: `frames`; `crc`,
CRC-32 over all planes of all pictures in order; `times`, CRC-32 over their times; `seconds` from the opening of the
file to its last picture, the checksums here left out; `device`.
"""

from __future__ import annotations

import json
import time
import zlib
from typing import Any

import click
import numpy as np

from codec import Film, Frame, VideoInfo, decode
from codec.cli.options import Number

from ..process import BenchError, python, run


def add_time(crc: int, frame: Frame, info: VideoInfo) -> int:
    """Continue a CRC-32 by a picture's exact time in seconds."""
    return zlib.crc32(f"{frame.pts * info.time_base} ".encode(), crc)


def decode_here(file: str, threads: int, device: str) -> dict[str, Any]:
    """Every picture of `file` to nowhere."""
    crc = times = frames = 0
    began, idle = time.perf_counter(), 0.0
    film = Film(file, threads=threads, device=device)
    for frame in film.frames():
        paused = time.perf_counter()
        for plane in frame.planes:
            crc = zlib.crc32(np.ascontiguousarray(plane, plane.dtype.newbyteorder("<")).data, crc)
        times = add_time(times, frame, film.info)
        frames += 1
        idle += time.perf_counter() - paused
    seconds = time.perf_counter() - began - idle
    return {"frames": frames, "crc": f"{crc:08x}", "times": f"{times:08x}", "seconds": seconds, "device": film.device}


def decode_afresh(
    file: str,
    *,
    threads: int = 0,
    device: str = "auto",
    target: str | None = None,
    env: dict[str, str] | None = None,
    cores: int = 0,
) -> dict[str, Any]:
    """What a fresh process says of `file`; with its `wall` seconds and `memory` in bytes, start-up included."""
    options = ["--threads", threads, "--device", device, *(["--to", target] if target else [])]
    ran = run(python("bench.checks.decoding", file, *options), env, cores)
    try:
        found = json.loads(ran.out.splitlines()[-1])
    except (IndexError, ValueError):
        raise BenchError(f"the decoder of {file} said nothing") from None
    return found | {"wall": ran.seconds, "memory": ran.memory}


@click.command()
@click.argument("file")
@click.option("--threads", type=Number(int, 0, 256), default=0)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto")
@click.option("--to", "target", help="Write the pictures there instead of checking them.")
def main(file: str, threads: int, device: str, target: str | None) -> None:
    """Decode FILE and print what came out."""
    if target:
        done = decode(file, target, overwrite=True, threads=threads, device=device)
        click.echo(json.dumps({"frames": done.frames, "seconds": done.seconds}))
    else:
        click.echo(json.dumps(decode_here(file, threads, device)))


if __name__ == "__main__":
    main()
