"""What a long film takes to encode, to seek in and to decode, and whether each picture is the one asked for."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from codec import Film
from codec.frames import Plane
from codec.media.conversion import Conversion
from codec.media.libav import colour_of, film_stream, open_film
from codec.metrics import plane_psnrs, weighted

from ...process import BenchError, environment, memory_of, tree_memory

SAMPLING = 0.2  # seconds between looks at the memory
LOG = 60.0  # seconds between lines
LOOK = Fraction(1, 5)  # seconds that are decoded at each place
PSNR_LEAST = 25.0  # dB; a wrong picture has less
MIB = 1 << 20


@dataclass
class Watched:
    """What a program was seen to take: `memory` bytes at most; `over` pairs of its pictures done so far and the most
    memory since the pair before; `done` the data of its last event; `seconds`."""

    memory: int = 0
    over: list[tuple[float, int]] = field(default_factory=list)
    done: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


def watched(command: Sequence[str], tell: Callable[[str], None]) -> Watched:
    """Run a program that prints JSON events, with a line a minute. Raises BenchError where it fails."""
    seen, recent = Watched(), 0
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        events, errors = Path(folder, "events"), Path(folder, "errors")
        began = told = time.monotonic()
        with open(events, "wb") as out, open(errors, "wb") as err:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment())
        try:
            while process.poll() is None:
                recent = max(recent, tree_memory(process.pid))
                seen.memory = max(seen.memory, recent, memory_of(process.pid, "VmHWM"))
                if time.monotonic() - told >= LOG:
                    told = time.monotonic()
                    now = _last_event(events, "progress")
                    seen.over.append((float(now.get("frames", 0)), recent))
                    tell(
                        f"{(told - began) / 60:6.1f} min: {now.get('frames', 0)} of {now.get('total', 0)} pictures, "
                        f"{now.get('fps', 0):.2f} a second; {recent / MIB:.0f} MiB in the last minute, "
                        f"{seen.memory / MIB:.0f} MiB at most"
                    )
                    recent = 0
                time.sleep(SAMPLING)
        except BaseException:
            process.kill()
            process.wait()
            raise
        seen.seconds = time.monotonic() - began
        seen.memory = seen.memory or _children()
        seen.done = _last_event(events, "done")
        if process.returncode:
            words = errors.read_text(errors="replace").strip().splitlines() or ["no message"]
            raise BenchError(f"{' '.join(command[2:4])} ended with {process.returncode}: {words[-1]}")
    return seen


def _last_event(path: Path, kind: str) -> dict[str, Any]:
    """The last whole event of a kind among those printed lately."""
    with open(path, "rb") as file:
        file.seek(max(0, os.path.getsize(path) - (1 << 16)))
        lines = file.read().split(b"\n")[:-1]
    for line in reversed(lines):
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if event.get("event") == kind:
            return event
    return {}


def _children() -> int:
    """The largest of the processes that have ended, as the system counts, where there is no /proc."""
    if sys.platform == "win32":
        return 0
    import resource

    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def places(length: Fraction, count: int, seed: int) -> list[Fraction]:
    """Times in seconds, one by chance from each of `count` equal parts of a film."""
    chance = random.Random(seed)
    return [Fraction(round((k + chance.random()) * float(length) / count * 1000), 1000) for k in range(count)]


def source_at(path: str, start: Fraction, duration: Fraction) -> list[tuple[Fraction, tuple[Plane, ...]]]:
    """The source's pictures from the one before `start` to the one after `start + duration`, found by seeking: times in
    seconds and planes."""
    kept: list[tuple[Fraction, tuple[Plane, ...]]] = []
    with open_film(path) as film:
        stream: Any = film_stream(film)
        stream.codec_context.thread_type = "AUTO"
        # some way ahead, since a film's index names times of decoding
        film.seek(max(0, int((start - 1) / stream.time_base)), stream=stream, backward=True)
        conversion: Conversion | None = None
        for frame in film.decode(stream):
            conversion = conversion or Conversion(frame, colour_of(frame, stream))
            at = frame.pts * stream.time_base
            if at < start:
                kept = kept[:0]
            kept.append((at, conversion.planes(frame)))
            if at >= start + duration:
                break
    return kept


@dataclass
class Seek:
    """One place: seconds until its first picture and until all, PSNR-YUV in dB, and what is wrong."""

    start: Fraction
    first: float = 0.0
    all: float = 0.0
    psnr: float = 0.0
    pictures: int = 0
    faults: list[str] = field(default_factory=list)


def sought(nvc: str, source: str, start: Fraction, device: str) -> Seek:
    """Decode a moment of a film and compare it with the source."""
    seek, found = Seek(start), []
    began = time.perf_counter()
    film = Film(nvc, device=device)
    for frame in film.frames(start, LOOK):
        seek.first = seek.first or time.perf_counter() - began
        found.append(frame)
    seek.all, seek.pictures = time.perf_counter() - began, len(found)
    wanted = source_at(source, start, LOOK)
    own = [k for k, (at, _) in enumerate(wanted) if start <= at < start + LOOK]
    times, expected = [f.pts * film.info.time_base for f in found], [wanted[k][0] for k in own]
    if times != expected:
        seek.faults.append(f"times {_listed(times)} instead of {_listed(expected)}")
        return seek
    psnrs = []
    for k, frame in zip(own, found, strict=True):
        near = {
            n: weighted(plane_psnrs(frame.planes, wanted[n][1], film.info.format.peak))
            for n in (k - 1, k, k + 1)
            if 0 <= n < len(wanted)
        }
        psnrs.append(near[k])
        if near[k] < PSNR_LEAST:
            seek.faults.append(f"{near[k]:.1f} dB at {float(wanted[k][0]):.3f} s")
        elif max(near.values()) > near[k]:
            seek.faults.append(f"the picture at {float(wanted[k][0]):.3f} s is more like its neighbour")
    seek.psnr = float(np.mean(psnrs)) if psnrs else PSNR_LEAST
    return seek


def _listed(times: list[Fraction]) -> str:
    return ", ".join(f"{float(t):.3f}" for t in times) or "none"


def decode_part(argument: str) -> None:
    """Decode pictures to nowhere and print how many and in how many seconds; `argument` is JSON: file, start and
    duration in seconds, device. A step that `run_fresh` gives a process of its own."""
    path, start, duration, device = json.loads(argument)
    began = time.perf_counter()
    film = Film(path, device=device)
    count = sum(1 for _ in film.frames(Fraction(start), Fraction(duration)))
    print(json.dumps([count, time.perf_counter() - began]))
