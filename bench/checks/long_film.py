"""Does NVC carry a long film? Memory, speed and seeking over half an hour or more.

    bench check long-film make LONG.mp4 --minutes 30 --size 1280x720
    bench check long-film measure LONG.mp4 --seeks 12 -- --scale 1

`make` joins shots of the two sample films, each mirrored, moved, brighter or darker and tinted as a seeded chance has
it, by cuts and dissolves, with sound; every picture carries its number, so that no two are equal and a wrong one shows.
`measure` encodes a film with the real program, decodes at places all over it, each time opened afresh, and compares
with the source, which is read by seeking as well. It ends with exit code 1 where a picture is not the one asked for.
"""

from __future__ import annotations

import json
import math
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import av
import click
import cv2
import numpy as np
from numpy.typing import NDArray

import codec
from codec.errors import NvcError
from codec.frames import Plane, PlaneFormat
from codec.media.files import part_path
from codec.media.libav import colour_of, film_stream, open_film, planes_to_av
from codec.media.source import Conversion, open_source
from codec.metrics import plane_psnrs, weighted
from codec.settings import PRESETS
from samples.singer import SOUND_RATE, singer_sound

from ..process import ROOT, BenchError, environment, memory_of, python, run_fresh, tree_memory
from ..tables import fixed, table

SAMPLES = ROOT / "samples"
YUV = PlaneFormat("420", 8)
Picture = list[NDArray[np.uint8]]

# making

MARGIN = 9 / 8  # how much larger than the film the scaled samples are, so that a shot can be moved
SHOT = (2.0, 8.0)  # seconds
DISSOLVE = (0.4, 1.2)  # seconds
DISSOLVES = 0.3  # of all joins
BLOCK = 1024  # samples of sound
SONG = 24.0  # seconds until the sound comes again, at another loudness


@dataclass
class Shot:
    """A way through one of the samples: `pictures` are (planes) larger than the film by MARGIN."""

    pictures: list[Picture]
    first: int
    step: int
    length: int
    mirrored: tuple[bool, bool]  # left and right, top and bottom
    corner: tuple[float, float]
    drift: tuple[float, float]
    light: NDArray[np.uint8]
    tint: tuple[float, float, float]

    def picture(self, k: int, size: tuple[int, int]) -> Picture:
        """Picture k of the shot at that size."""
        there = (self.first + k * self.step) % (2 * len(self.pictures))  # to the end and back again
        planes = self.pictures[min(there, 2 * len(self.pictures) - 1 - there)]
        share = k / max(1, self.length)
        at = [min(1.0, max(0.0, c + d * share)) for c, d in zip(self.corner, self.drift, strict=True)]
        room = (planes[1].shape[1] - size[0] // 2, planes[1].shape[0] - size[1] // 2)
        x, y = (int(a * r) for a, r in zip(at, room, strict=True))
        cut = [
            planes[0][2 * y : 2 * y + size[1], 2 * x : 2 * x + size[0]],
            *(p[y : y + size[1] // 2, x : x + size[0] // 2] for p in planes[1:]),
        ]
        if any(self.mirrored):
            code = 1 if not self.mirrored[1] else -1 if self.mirrored[0] else 0  # as OpenCV numbers the axes
            cut = [cast(Any, cv2.flip(p, code)) for p in cut]
        cos, sin, grey = self.tint
        return [
            cast(Any, cv2.LUT(cut[0], self.light)),
            cast(Any, cv2.addWeighted(cut[1], cos, cut[2], sin, grey - 128 * (cos + sin))),
            cast(Any, cv2.addWeighted(cut[1], -sin, cut[2], cos, grey - 128 * (cos - sin))),
        ]


def _scaled(path: Path, size: tuple[int, int]) -> list[Picture]:
    """The pictures of a film, larger than `size` by MARGIN."""
    width, height = (2 * math.ceil(n * MARGIN / 2) for n in size)
    found = []
    with open_source(path) as film:
        for frame in film.frames():
            shapes = zip(frame.planes, YUV.shapes(width, height), strict=True)
            found.append([cv2.resize(p, s[::-1], interpolation=cv2.INTER_CUBIC) for p, s in shapes])
    return cast(Any, found)


def _shots(clips: list[list[Picture]], rate: Fraction, chance: random.Random) -> Iterator[Shot]:
    """Shots without end, no two alike."""
    while True:
        pictures = chance.choice(clips)
        gain, lift = chance.uniform(0.75, 1.15), chance.uniform(-12, 12)
        light = np.clip((np.arange(256) - 16) * gain + 16 + lift, 16, 235).astype(np.uint8)
        angle, saturation = chance.uniform(-0.7, 0.7), chance.uniform(0.6, 1.2)
        yield Shot(
            pictures,
            chance.randrange(2 * len(pictures)),
            chance.choice((-1, 1)),
            round(chance.uniform(*SHOT) * rate),
            (chance.random() < 0.5, chance.random() < 0.15),
            (chance.random(), chance.random()),
            (chance.uniform(-0.6, 0.6), chance.uniform(-0.6, 0.6)),
            light,
            (saturation * math.cos(angle), saturation * math.sin(angle), 128.0),
        )


def drawn(size: tuple[int, int], rate: Fraction, seed: int) -> Iterator[Picture]:
    """The film's pictures, without end."""
    chance = random.Random(seed)
    shots = _shots([_scaled(SAMPLES / name, size) for name in ("singer.mp4", "texture.mp4")], rate, chance)
    number = lead = 0
    for shot, after in pairwise(shots):
        join = round(chance.uniform(*DISSOLVE) * rate) if chance.random() < DISSOLVES else 0
        join = min(join, shot.length - lead, after.length)
        for k in range(lead, shot.length):
            picture = shot.picture(k, size)
            into = k - (shot.length - join)
            if into >= 0:
                share = (into + 1) / (join + 1)
                other = after.picture(into, size)
                pairs = zip(picture, other, strict=True)
                picture = [cast(Any, cv2.addWeighted(a, 1 - share, b, share, 0)) for a, b in pairs]
            _number(picture[0], number)
            yield picture
            number += 1
        lead = join


def _number(luma: NDArray[np.uint8], number: int) -> None:
    """Write a picture's number into its corner."""
    high = max(10, luma.shape[0] // 12)
    scale = high / 32
    at, thick = (high // 3, luma.shape[0] - high // 3), max(1, high // 12)
    text = f"{number:07d}"
    for value, width in ((16, 3 * thick), (235, thick)):
        cv2.putText(luma, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, value, width, cv2.LINE_8)


def _loudness(chance: random.Random) -> Iterator[NDArray[np.float32]]:
    """Blocks of sound (2, BLOCK) without end."""
    song = singer_sound(SONG).astype(np.float32)
    while True:
        loud = np.float32(chance.uniform(0.3, 0.9))
        for start in range(0, song.shape[1] - BLOCK, BLOCK):
            yield np.ascontiguousarray(song[:, start : start + BLOCK] * loud)


def make(
    path: str,
    count: int,
    size: tuple[int, int],
    rate: Fraction,
    seed: int,
    threads: int = 0,
    tell: Callable[[int], None] = lambda done: None,
) -> None:
    """Write a film of `count` pictures with sound; it is there whole or not at all."""
    part = part_path(path)
    try:
        with av.open(part, "w", format="mp4", options={"movflags": "+faststart"}) as output:
            video = cast(Any, output.add_stream("libx264", rate=rate, options={"preset": "veryfast", "crf": "20"}))
            video.width, video.height, video.pix_fmt = *size, YUV.av_name
            video.time_base = video.codec_context.time_base = 1 / rate
            video.codec_context.thread_count = threads
            voice = cast(Any, output.add_stream("aac", rate=SOUND_RATE, layout="stereo", options={"b": "96k"}))
            sound, heard = _loudness(random.Random(seed)), 0
            for number, picture in zip(range(count), drawn(size, rate, seed), strict=False):
                frame = planes_to_av(picture, YUV)
                frame.pts, frame.time_base = number, 1 / rate
                output.mux(video.encode(frame))
                while heard < (number + 1) / rate * SOUND_RATE:
                    block = av.AudioFrame.from_ndarray(cast(Any, next(sound)), "fltp", "stereo")
                    block.sample_rate, block.pts, block.time_base = SOUND_RATE, heard, Fraction(1, SOUND_RATE)
                    output.mux(voice.encode(block))
                    heard += BLOCK
                tell(number + 1)
            output.mux(video.encode(None))
            output.mux(voice.encode(None))
        os.replace(part, path)
    finally:
        if os.path.exists(part):
            os.unlink(part)


# measuring

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
    film = codec.open(nvc, device=device)
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
    film = codec.open(path, device=device)
    count = sum(1 for _ in film.frames(Fraction(start), Fraction(duration)))
    print(json.dumps([count, time.perf_counter() - began]))


# the command line


def _size(context: click.Context, parameter: click.Parameter, value: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)x(\d+)", value)
    if not found or any(int(n) < 16 or int(n) % 2 for n in found.groups()):
        raise click.BadParameter("must be WxH with even sides, e.g. 1280x720")
    return int(found[1]), int(found[2])


@click.group()
def main() -> None:
    """Make and measure long films."""


@main.command("make")
@click.argument("out")
@click.option("--minutes", type=click.FloatRange(min=0.01), default=30.0, show_default=True)
@click.option("--size", default="1280x720", show_default=True, callback=_size)
@click.option("--rate", type=click.IntRange(1, 120), default=25, show_default=True)
@click.option("--seed", default=1, show_default=True)
@click.option("--threads", default=0, show_default=True, help="Of x264; 0: one a core.")
def make_command(out: str, minutes: float, size: tuple[int, int], rate: int, seed: int, threads: int) -> None:
    """Make the film OUT (MP4, H.264 and AAC)."""
    count, began = max(1, round(minutes * 60 * rate)), time.monotonic()

    def tell(done: int) -> None:
        if done % (60 * rate) == 0:
            speed = done / (time.monotonic() - began)
            click.echo(f"{done} of {count} pictures, {speed:.0f} a second", err=True)

    make(out, count, size, Fraction(rate), seed, threads, tell)
    seconds = time.monotonic() - began
    print(f"{out}: {count} pictures, {os.path.getsize(out) / 1e6:.1f} MB, {count / seconds:.0f} pictures a second")


@main.command("measure")
@click.argument("film", type=click.Path(exists=True, dir_okay=False))
@click.option("--preset", type=click.Choice(PRESETS), default="fast", show_default=True)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--seeks", type=click.IntRange(0), default=12, show_default=True, help="Places to decode.")
@click.option("--part", type=float, default=20.0, show_default=True, help="Seconds to decode for speed and memory.")
@click.option("--seed", default=1, show_default=True)
@click.option("--out", help="Keep the coded film here; where it is already, it is measured without being encoded.")
@click.option("--log", "log_path", help="Add the lines of progress to this file as well.")
@click.argument("options", nargs=-1)
def measure_command(
    film: str,
    preset: str,
    device: str,
    seeks: int,
    part: float,
    seed: int,
    out: str | None,
    log_path: str | None,
    options: tuple[str, ...],
) -> None:
    """Encode FILM and seek in it; after "--" stand further options of `codec encode`. An encode that was interrupted
    is resumed where --out is the same."""

    def tell(text: str) -> None:
        click.echo(text, err=True)
        if log_path:
            with open(log_path, "a") as log:
                log.write(f"{text}\n")

    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        nvc = out or os.path.join(folder, "film.nvc")
        try:
            if os.path.exists(nvc):
                tell(f"{nvc} is there already and is not encoded again")
            else:
                words = ["--preset", preset, "--device", device, *options, "--json", "-q", "--resume"]
                _print_encode(film, nvc, watched([*python("codec", "encode", film, nvc), *words], tell))
            faults = _print_decode(film, nvc, device, seeks, part, seed, tell)
        except (BenchError, NvcError) as error:
            raise click.ClickException(str(error)) from None
    sys.exit(1 if faults else 0)


def _print_encode(film: str, nvc: str, seen: Watched) -> None:
    with open_source(film) as source:
        info = source.info
    frames = int(seen.done.get("frames", 0))
    rows: list[tuple[object, ...]] = [
        ("pictures", f"{frames:,}, {info.width}x{info.height}"),
        ("source", f"{os.path.getsize(film) / 1e6:,.1f} MB"),
        ("file", f"{os.path.getsize(nvc) / 1e6:,.1f} MB"),
        ("PSNR-YUV", f"{float(seen.done.get('psnr', 0)):.2f} dB"),
        ("time", f"{seen.seconds:,.0f} s, {frames / seen.seconds:.2f} pictures a second"),
        ("memory at most", f"{seen.memory / MIB:,.0f} MiB"),
    ]
    # a leak shows as a rise from quarter to quarter
    for quarter in range(4) if len(seen.over) >= 4 else ():
        of = [m for done, m in seen.over if quarter <= 4 * done / max(1, frames) < quarter + 1]
        rows.append((f"memory at most, quarter {quarter + 1}", f"{max(of) / MIB:,.0f} MiB" if of else None))
    print(table(("encode", "measured"), rows), end="\n\n")


def _print_decode(
    film: str, nvc: str, device: str, seeks: int, part: float, seed: int, tell: Callable[[str], None]
) -> int:
    """Tables of seeking and of decoding; how many places had faults."""
    info = codec.open(nvc, device=device).info
    rows: list[tuple[object, ...]] = []
    faults = 0
    for start in places(info.duration - LOOK, seeks, seed):
        seek = sought(nvc, film, start, device)
        faults += bool(seek.faults)
        rows.append((f"{float(start):,.3f}", seek.pictures, fixed(seek.first), fixed(seek.all), fixed(seek.psnr),
                     "; ".join(seek.faults)))  # fmt: skip
        tell(f"at {float(start):.3f} s: first picture after {seek.first:.2f} s, {'; '.join(seek.faults) or 'fine'}")
    print(table(("seek to s", "pictures", "first after s", "all after s", "PSNR-YUV", "faults"), rows), end="\n\n")
    rows = []
    for name, at in (("beginning", 0.0), ("end", max(0.0, float(info.duration) - part))):
        ran = run_fresh(decode_part, json.dumps([nvc, at, part, device]), "decode")
        count, seconds = json.loads(ran.out)
        rows.append((name, count, fixed(seconds, 1), fixed(count / seconds, 1), f"{ran.memory / MIB:,.0f} MiB"))
    print(table(("decode", "pictures", "seconds", "a second", "memory at most"), rows))
    return faults


if __name__ == "__main__":
    main()
