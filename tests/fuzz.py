"""Mutated files through every reader: `python -m tests.fuzz --count 20000 --seed 1 --log fuzz.jsonl`.

File number N of seed S is the same for ever: target, file to mutate and mutation are drawn from (S, N). Each is read in
a worker process, which a watch-dog ends where it does not answer; a file that took more than `--limit` seconds of the
processor is read again, alone, before that counts. What may happen: the file is *refused*, by an error that the reader
documents and, where a file is read, names; or it is *shown*, and then every picture is one of the original (or the
file's own checksums say that it is right). Anything else is a finding: another exception, a crash, a hang, more memory
than the limits given to the reader allow (peak of the resident memory, Linux only), a wrong picture, output that
remains after an error.

The log has a line of JSON for each finding, and one at the end with counts by target, mutation and outcome, the slowest
file and the largest memory. `--replay N` reads one file and says what happens; `--keep DIR` stores what findings are
made of. Exit code 1 where there are findings.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

# a worker of ours is started by the path of this file
sys.path.insert(0, str(Path(__file__).parents[1]))

import av
import numpy as np
import torch
from PIL import Image

import codec.pillow
import splat
from bench.process import memory_of
from codec.cli.main import main as cli
from codec.errors import FormatError, NvcError
from codec.events import SegmentStats
from codec.film.contents import Contents
from codec.film.film import Film
from codec.film.info import describe
from codec.film.reader import FilmReader
from codec.film.tracks import compared
from codec.frames import checksum
from codec.jobs.store import pack, unpack
from codec.limits import Limits
from codec.loss.changes import split_changes
from codec.media.pictures import Picture
from codec.segment import payload
from codec.segment.encoder import Segment
from codec.still import payload as still_payload
from codec.still.decode import decode_still
from codec.still.info import describe_still
from codec.still.upscale import load_upscaler, upscaled_picture
from codec.wire import avif, obu
from codec.wire.obu import SIGNATURE
from codec.wire.tracks import read_tracks
from heads.layers import HeadError, Layer
from heads.restorer import store
from heads.restorer.spec import HeadSpec
from tests.mutations import FILM, JOB, MODEL, PAYLOAD, SPLAT, SPLICES, STILL, UNIT, Seed, mutate

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

GOLDEN = Path(__file__).parent / "golden"
LIMITS = Limits(max_pixels=1 << 18, max_memory=256 << 20)
MEMORY = (256 + 64) << 20  # bytes that reading a file may take: what the limits say, and the file with its index
SECONDS = 2.0
DEADLINE = 20.0  # seconds after which a worker is stopped for certain, however busy the machine is
ROOM = 4 << 30  # address space that a worker may take beyond what it begins with

REFUSED, SHOWN = "refused", "shown"
Outcome = tuple[str, str]


class Wrong(Exception):
    """What a reader must not do."""


@dataclass(frozen=True)
class Target:
    """A reader: the kind of seeds it takes, how often it is drawn, and what reads bytes, which also lie at a path."""

    kind: str
    weight: int
    run: Callable[[bytes, Path, Seed, str], Outcome]


# what is read


def _refused(error: Exception, path: Path | None = None) -> Outcome:
    text = str(error)
    if path is not None and str(path) not in text:
        raise Wrong(f"the error does not name the file: {error!r}")
    return REFUSED, text.replace(str(path), "FILE")


def _payload(data: bytes, path: Path, seed: Seed, mutation: str) -> Outcome:
    refused = []
    readers = (payload.read_segment, payload.read_residual, still_payload.read_still, read_tracks)
    for read in readers:
        try:
            read(data)
        except FormatError as error:
            refused.append(str(error))
    with contextlib.suppress(FormatError):
        split_changes(data)
    return (REFUSED, refused[0]) if len(refused) == len(readers) else (SHOWN, "")


def _unit(data: bytes, path: Path, seed: Seed, mutation: str) -> Outcome:
    refused = ""
    for read in (obu.extract, obu.strip, obu.sequence_header, lambda unit: list(obu.iter_obus(unit))):
        try:
            read(data)
        except FormatError as error:
            refused = str(error)
    return (REFUSED, refused) if refused else (SHOWN, "")


def _avif(data: bytes, path: Path, seed: Seed, mutation: str) -> Outcome:
    avif.is_avif(data)
    avif.orientation(data[:2000])
    try:
        found = avif.read(data)
    except FormatError as error:
        return _refused(error)
    if len(found.base) + len(found.alpha) + len(found.icc) + len(found.exif) > 4 * len(data):
        raise Wrong("an AVIF's items are longer than the file")
    avif.orientation(found.exif)
    return SHOWN, ""


def _crcs(frames: Any) -> Iterator[int]:
    for frame in frames:
        shapes = repr([(p.shape, str(p.dtype)) for p in frame.planes]).encode()
        yield checksum(frame.planes, zlib.crc32(shapes))


def _film(data: bytes, path: Path, seed: Seed, mutation: str) -> Outcome:
    originals: list[int] = seed.known[0]
    everything: set[int] = seed.known[1]
    rest = iter(originals)
    ordered = mutation.replace("_", "-") not in (*SPLICES, "units-changed", "payloads-many")
    try:
        for crc in _crcs(codec.open(path, device="cpu", threads=1, limits=LIMITS).frames()):
            if crc not in everything:
                raise Wrong("a picture that is none of the film's")
            if ordered and not any(crc == original for original in rest):
                raise Wrong("a picture out of order")
    except NvcError as error:
        return _refused(error, path)
    return SHOWN, ""


def _best_effort(data: bytes, path: Path, seed: Seed, mutation: str) -> Outcome:
    try:
        film = Film(path, best_effort=True, device="cpu", threads=1, limits=LIMITS)
        for _ in film.frames():
            pass
    except NvcError as error:
        return _refused(error, path)
    if any(str(path) not in text for text in film.problems):
        raise Wrong("a problem does not name the file")
    return SHOWN, ""


def _reader(data: bytes, path: Path, seed: Seed, mutation: str) -> Outcome:
    try:
        reader = FilmReader(path, LIMITS)
        sizes = reader.sizes()
        if sum(sizes.values()) != 2 * sizes["file"]:
            raise Wrong("sizes do not add up")
        sum(1 for _ in reader.units(reader.info.duration / 2, lambda error: None))
        describe(path, LIMITS)
        compared(Contents(path, LIMITS).tracks() or (), reader.tracks())
    except NvcError as error:
        return _refused(error, path)
    return SHOWN, ""


def _still(data: bytes, path: Path, seed: Seed, mutation: str) -> Outcome:
    try:
        picture = decode_still(data, 1, LIMITS)
    except FormatError as error:
        return _refused(error)
    if zlib.crc32(repr(picture.pixels.shape).encode() + picture.pixels.tobytes()) not in seed.known[1]:
        raise Wrong("a picture that is not the original")
    return SHOWN, ""


def _still_info(data: bytes, path: Path, seed: Seed, mutation: str) -> Outcome:
    try:
        describe_still(str(path))
    except NvcError as error:
        return _refused(error, path)
    return SHOWN, ""


def _pillow(data: bytes, path: Path, seed: Seed, mutation: str) -> Outcome:
    ours = SIGNATURE in data and avif.is_avif(data)
    try:
        with Image.open(io.BytesIO(data), formats=None if ours else ["NVC"]) as image:
            if image.format != "NVC":
                raise Wrong(f"a damaged picture of ours is shown as {image.format}")
            image.load()
    except (SyntaxError, OSError) as error:  # UnidentifiedImageError is an OSError
        return _refused(error)
    return SHOWN, ""


def _splat(data: bytes, path: Path, seed: Seed, mutation: str) -> Outcome:
    try:
        pixels = splat.decode(data, max_pixels=1 << 18, max_memory=256 << 20)
        splat.describe(data, max_pixels=1 << 18, max_memory=256 << 20)
    except splat.SplatError as error:
        return _refused(error)
    if mutation != "splat-resealed" and not np.array_equal(pixels, seed.known):
        raise Wrong("a picture that is not the original")
    return SHOWN, ""


def _model(data: bytes, path: Path, seed: Seed, mutation: str) -> Outcome:
    try:
        store.read(data)
    except HeadError as error:
        _refused(error)
    try:
        stored = load_upscaler(None, str(path))
    except NvcError as error:
        return _refused(error, path)
    upscaled_picture(Picture(np.full((8, 8, 3), 77, np.uint8)), stored, threads=1)
    return SHOWN, ""


def _job(data: bytes, path: Path, seed: Seed, mutation: str) -> Outcome:
    try:
        unpack(data)
    except (OSError, ValueError, KeyError, TypeError) as error:
        return REFUSED, str(error)
    except Exception as error:
        if type(error).__name__ == "error":  # struct.error
            return REFUSED, str(error)
        raise
    return SHOWN, ""


def _cli(data: bytes, path: Path, seed: Seed, mutation: str) -> Outcome:
    ending = ("y4m", "mkv", "y4m", "mp4")[zlib.crc32(data) >> 8 & 3] if seed.kind == FILM else "png"
    target = path.with_name(f"out.{ending}")
    most = ["--max-pixels", "256Ki", "--max-memory", "256MiB"]
    first = ["splat"] if seed.kind == SPLAT else []
    calls = [["decode", str(path), str(target)], ["info", str(path)]]
    if seed.kind != SPLAT:
        calls.append(["verify", str(path)])
    texts, codes = [], []
    for words in calls[: 1 + zlib.crc32(data) % len(calls)]:
        code, text = _command([*first, *words, *most])
        texts.append(text)
        codes.append(code)
        if code not in (0, 1) or "internal fault" in text or "Traceback" in text:
            raise Wrong(f"codec {words[0]} ends with {code}: {text}")
        if code == 1 and str(path) not in text and str(target) not in text:
            raise Wrong(f"codec {words[0]} does not name the file: {text}")
    there = {p.name for p in path.parent.iterdir()} - {path.name}
    if there != ({target.name} if codes[0] == 0 else set()):
        raise Wrong(f"after {codes[0]} there is {there}")
    target.unlink(missing_ok=True)
    return (SHOWN, "") if codes[0] == 0 else (REFUSED, texts[0].replace(str(path), "FILE"))


def _command(words: list[str]) -> tuple[int, str]:
    before, sys.argv = sys.argv, ["codec", *words]
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            cli()
    except SystemExit as end:
        return int(end.code or 0), err.getvalue()
    finally:
        sys.argv = before
    raise Wrong("the command line returned")


TARGETS = {
    "film": Target(FILM, 26, _film),
    "best-effort": Target(FILM, 8, _best_effort),
    "reader": Target(FILM, 10, _reader),
    "still": Target(STILL, 16, _still),
    "still-info": Target(STILL, 4, _still_info),
    "pillow": Target(STILL, 8, _pillow),
    "avif": Target(STILL, 6, _avif),
    "splat": Target(SPLAT, 10, _splat),
    "payload": Target(PAYLOAD, 8, _payload),
    "unit": Target(UNIT, 6, _unit),
    "model": Target(MODEL, 4, _model),
    "job": Target(JOB, 3, _job),
    "cli-film": Target(FILM, 2, _cli),
    "cli-still": Target(STILL, 2, _cli),
    "cli-splat": Target(SPLAT, 2, _cli),
}


# what is mutated


def fresh(folder: Path) -> None:
    """Small files of each kind, made on the spot: films with and without heads and loss-streams, stills, and a tile of
    Gaussians. Takes some seconds; the same bytes each time on one machine."""
    from fractions import Fraction

    from codec.frames import PlaneFormat
    from codec.segment.presets import PRESETS, Preset
    from codec.settings import Settings
    from heads.restorer.fit import Schedule
    from tests.makers import scene_frames, write_frames

    yuv = PlaneFormat("420", 8)
    source = write_frames(folder / "in.mkv", scene_frames(yuv, 48, 32, (5, 4)), yuv)
    PRESETS["fast"] = Preset(12, 0, 4, Schedule(20, 10, batch=2, crop=16, coarser=2), ((4, 0),), least=20)
    codec.segment.choice.WORTH = codec.segment.worth.PRICE = 1e-6  # type: ignore[attr-defined]
    codec.segment.choice.FIT_BYTES = 1  # type: ignore[attr-defined]
    usual = Settings(preset="fast", device="cpu", crf=55, threads=1)
    pretrained = store.FILM_HEADS
    for name, wishes, known in (
        ("loss", {"scale": Fraction(2), "loss": 16, "history": 1}, pretrained),
        ("exact", {"scale": Fraction(2), "max_error": 0, "head": False}, pretrained),
        ("plain", {"scale": Fraction(1), "loss": "off", "head": False}, pretrained),
        ("chain", {"scale": Fraction(1)}, {}),
    ):
        store.FILM_HEADS = known
        codec.encode(source, folder / f"{name}.nvc", replace(usual, **wishes))
    _remuxed(folder / "loss.nvc", folder / "matroska.nvc", "matroska")
    _remuxed(folder / "exact.nvc", folder / "fragments.nvc", "mp4", {"movflags": "frag_every_frame+empty_moov"})
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:24, :36]
    pixels = (np.stack([5 * x, 9 * y, 3 * (x + y)], 2) + rng.integers(0, 12, (24, 36, 3))).astype(np.uint8)
    stills = {
        "lossy": (Picture(pixels, b"not a profile", b"MM\0*\0\0\0\x08\0\0\0\0"), {"crf": 50.0}),
        "exact": (Picture(pixels), {"max_error": 0}),
        "grey": (Picture(pixels[..., :1].copy()), {"crf": 40.0, "head": False}),
        "palette": (Picture(pixels // 40 * 40), {"max_error": 0}),
        "sprite": (Picture(np.dstack([pixels // 64 * 64, pixels[..., :1] // 128 * 255])), {"max_error": 0}),
        "clear": (Picture(np.dstack([pixels, pixels[..., :1]]).astype(np.uint16) * 257), {"max_error": 0}),
    }
    for name, (picture, wishes) in stills.items():
        settings = codec.StillSettings(threads=1, **wishes)  # type: ignore[arg-type]
        (folder / f"{name}.still.nvc").write_bytes(codec.encode_still(picture, settings).data)
    for name, part in (("colour", pixels), ("grey", pixels[..., :1])):
        (folder / f"{name}.nvs").write_bytes(splat.encode(np.ascontiguousarray(part), step=60, threads=1))


def _remuxed(source: Path, target: Path, container: str, options: dict[str, str] | None = None) -> None:
    """A copy of a film in another container."""
    with av.open(str(source)) as film, av.open(str(target), "w", format=container, options=options) as copy:
        stream = copy.add_stream_from_template(film.streams.video[0], opaque=True)
        for packet in film.demux(film.streams.video[0]):
            if packet.size:
                packet.stream = stream
                copy.mux(packet)


def seeds_of(folders: Sequence[Path]) -> dict[str, list[Seed]]:
    """All seeds by kind, from films, stills and pictures of Gaussians in the folders."""
    found: dict[str, list[Seed]] = {kind: [] for kind in (FILM, STILL, SPLAT, MODEL, PAYLOAD, UNIT, JOB)}
    for path in sorted(p for folder in folders for p in folder.iterdir() if p.suffix in (".nvc", ".nvs")):
        kind = SPLAT if path.suffix == ".nvs" else STILL if path.name.endswith(".still.nvc") else FILM
        found[kind].append(Seed(path.name, kind, path.read_bytes()))
    films: set[int] = set()
    stills: set[int] = set()
    for k, seed in enumerate(found[FILM]):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "a.nvc"
            path.write_bytes(seed.data)
            crcs = list(_crcs(codec.open(path, device="cpu", threads=1).frames()))
        films.update(crcs)
        found[FILM][k] = replace(seed, known=(crcs, films))
    for k, seed in enumerate(found[STILL]):
        pixels = decode_still(seed.data).pixels
        stills.add(zlib.crc32(repr(pixels.shape).encode() + pixels.tobytes()))
        found[STILL][k] = replace(seed, known=(None, stills))
    found[SPLAT] = [replace(s, known=splat.decode(s.data)) for s in found[SPLAT]]
    for seed in found[STILL]:
        found[PAYLOAD] += [Seed(seed.name, PAYLOAD, p) for p in seed.payloads]
        found[UNIT].append(Seed(seed.name, UNIT, avif.read(seed.data).base))
    for seed in found[FILM]:
        units = seed.film[1]
        found[PAYLOAD] += [Seed(seed.name, PAYLOAD, p) for p in units[0].payloads]
        found[UNIT] += [Seed(seed.name, UNIT, obu.inject(u.data, u.payloads)) for u in units[:2]]
        header = payload.read_segment(units[0].payloads[0])
        stats = SegmentStats(len(units), 55.0, 1.0, 1, 0, "none", 0, 0, 30.0, 30.0, 0.0)
        segment = Segment(tuple(units), header, None, {}, stats)
        found[JOB].append(Seed(seed.name, JOB, pack(segment)))
    for scale, (layers, width) in ((2, (3, 4)), (3, (2, 1))):
        rng, spec = np.random.default_rng(scale), HeadSpec(12, 0, layers, width)
        numbers = [
            Layer(rng.integers(-9, 9, s).astype(np.int8), rng.integers(-99, 99, s[0]).astype(np.int32), 5)
            for s in spec.shapes()
        ]
        found[MODEL].append(Seed(f"scale {scale}", MODEL, store.write(spec, scale, numbers)))
    return found


class Fuzz:
    """Makes and reads files by number. `names`: of targets; `folder`: where the files lie while they are read."""

    def __init__(self, seed: int, names: Sequence[str], folders: Sequence[Path], folder: Path):
        self.seed, self.folder = seed, folder
        self.names = [name for name in TARGETS if name in names]
        self.seeds = seeds_of(folders)
        weights = np.array([TARGETS[name].weight for name in self.names], float)
        self._shares = weights / weights.sum()

    def made(self, number: int) -> tuple[str, Seed, str, bytes]:
        """(target, what is mutated, mutation, bytes) of file `number`."""
        rng = np.random.default_rng([self.seed, number])
        name = str(rng.choice(self.names, p=self._shares))
        seeds = self.seeds[TARGETS[name].kind]
        seed = seeds[int(rng.integers(len(seeds)))]
        mutation, data = mutate(rng, seed, seeds)
        return name, seed, mutation, data

    def read(self, number: int, begun: Callable[[], None] = lambda: None) -> dict[str, Any]:
        """Makes and reads file `number`, and tells what happened. `begun` is called between the two."""
        name, seed, mutation, data = self.made(number)
        path = self.folder / ("a.nvs" if seed.kind == SPLAT else "a.nvc")
        path.write_bytes(data)
        result: dict[str, Any] = {"n": number, "target": name, "file": seed.name, "mutation": mutation}
        before = _reset_peak()
        begun()
        began, wall = time.process_time(), time.perf_counter()
        try:
            outcome, text = TARGETS[name].run(data, path, seed, mutation)
        except Exception as error:
            outcome, text = "finding", f"{type(error).__name__}: {error}"
            if not isinstance(error, Wrong):
                result["trace"] = traceback.format_exc().splitlines()[-7:]
        finally:
            path.unlink(missing_ok=True)
        result |= {"seconds": round(time.process_time() - began, 3), "wall": round(time.perf_counter() - wall, 3)}
        result["memory"] = memory_of("self", "VmHWM") - before if before else 0
        if result["memory"] > MEMORY and outcome != "finding":
            outcome, text = "finding", f"took {result['memory'] >> 20} MiB"
        return result | {"outcome": outcome, "text": text[:400]}


def _reset_peak() -> int:
    """Bytes resident now; the peak is counted from here."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:  # not Linux, or not allowed
        return 0
    return memory_of("self", "VmRSS")


def worker(words: argparse.Namespace) -> None:
    """Reads numbers from standard input, one a line, and writes a line of JSON before and after each is read."""
    torch.set_num_threads(1)
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with tempfile.TemporaryDirectory() as folder:
        fuzz = Fuzz(words.seed, words.target or list(TARGETS), [GOLDEN, words.fresh], Path(folder))
        if size := memory_of("self", "VmSize"):
            import resource  # there is no size to limit where this module is absent

            resource.setrlimit(resource.RLIMIT_AS, (size + ROOM, size + ROOM))
        for line in sys.stdin:
            number = int(line)

            def begun(number: int = number) -> None:
                print(json.dumps({"begun": number}), file=out, flush=True)

            print(json.dumps(fuzz.read(number, begun)), file=out, flush=True)


class _Process:
    """A worker and what it says."""

    def __init__(self, arguments: Sequence[str]):
        command = [sys.executable, __file__, "--worker", *arguments]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._collect, daemon=True).start()

    def _collect(self) -> None:
        for line in self.process.stdout or ():
            self._lines.put(line)
        self._lines.put("")

    def read(self, number: int) -> dict[str, Any]:
        """What becomes of file `number`; after a crash or a hang the process is gone."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(f"{number}\n")
            self.process.stdin.flush()
            self._next(300)  # begun; the first one waits for the seeds
            return self._next(DEADLINE)
        except queue.Empty:
            self.stop()
            return {"n": number, "outcome": "finding", "text": f"no answer after {DEADLINE:g} s", "seconds": DEADLINE}
        except (EOFError, BrokenPipeError):
            code = self.process.wait()
            return {"n": number, "outcome": "finding", "text": f"the process ended with {code}", "seconds": 0.0}

    def _next(self, seconds: float) -> dict[str, Any]:
        line = self._lines.get(timeout=seconds)
        if not line:
            raise EOFError
        return json.loads(line)

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


class _Run:
    """All files of a run, shared by some worker processes, and what became of them."""

    def __init__(self, words: argparse.Namespace, arguments: Sequence[str]):
        self.words, self.arguments = words, arguments
        self.results: list[dict[str, Any]] = []
        self._numbers = iter(range(words.first, words.first + words.count))
        self._lock = threading.Lock()

    def serve(self) -> None:
        """One worker's share."""
        process = _Process(self.arguments)
        while True:
            with self._lock:
                number = next(self._numbers, None)
            if number is None:
                break
            if not process.alive:
                process = _Process(self.arguments)
            result = process.read(number)
            with self._lock:
                self.results.append(result)
        process.stop()

    def again(self) -> None:
        """Files that took too long, or as long as forever, once more, alone."""
        process = None
        for k, result in enumerate(self.results):
            if result["seconds"] > self.words.limit:
                if process is None or not process.alive:
                    process = _Process(self.arguments)
                process.read(result["n"])  # what it needs is there then
                if not process.alive:
                    process = _Process(self.arguments)
                self.results[k] = second = process.read(result["n"])
                if second["seconds"] > self.words.limit:
                    second |= {"outcome": "finding", "text": f"takes {second['seconds']} s: {second.get('text')}"}
        if process is not None:
            process.stop()


def summary(results: Sequence[dict[str, Any]], seconds: float) -> dict[str, Any]:
    """Counts by target, mutation and outcome, and the extremes."""

    def counts(name: str) -> dict[str, dict[str, int]]:
        found: dict[str, Counter[str]] = {}
        for result in results:
            found.setdefault(str(result.get(name, "unknown")), Counter())[result["outcome"]] += 1
        return {key: dict(found[key]) for key in sorted(found)}

    slowest = max(results, key=lambda r: r["seconds"], default={})
    largest = max(results, key=lambda r: r.get("memory", 0), default={})
    return {
        "files": len(results),
        "outcomes": dict(Counter(r["outcome"] for r in results)),
        "targets": counts("target"),
        "mutations": counts("mutation"),
        "slowest": slowest,
        "largest": largest,
        "seconds": round(seconds, 1),
    }


def main() -> int:
    asked = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    asked.add_argument("--count", type=int, default=1000, help="files")
    asked.add_argument("--first", type=int, default=0, help="number of the first file")
    asked.add_argument("--seed", type=int, default=1)
    asked.add_argument("--target", action="append", choices=list(TARGETS), help="one or more; all by default")
    asked.add_argument("--jobs", type=int, default=2)
    asked.add_argument("--limit", type=float, default=SECONDS, help="seconds of the processor that a file may take")
    asked.add_argument("--log", type=Path, help="JSON lines")
    asked.add_argument("--keep", type=Path, help="folder for the files of findings")
    asked.add_argument("--replay", type=int, metavar="N", help="read this file alone, and tell")
    asked.add_argument("--fresh", type=Path, help=argparse.SUPPRESS)
    asked.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    words = asked.parse_args()
    if words.worker:
        worker(words)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        words.fresh = Path(folder)
        fresh(words.fresh)
        names = words.target or list(TARGETS)
        chosen = [word for name in names for word in ("--target", name)]
        arguments = ["--seed", str(words.seed), "--fresh", folder, *chosen]
        if words.replay is not None:
            words.first, words.count, words.jobs = words.replay, 1, 1
        run, began = _Run(words, arguments), time.monotonic()
        threads = [threading.Thread(target=run.serve) for _ in range(words.jobs)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        run.again()
        findings = [r for r in run.results if r["outcome"] == "finding"]
        lines = [*findings, {"summary": summary(run.results, time.monotonic() - began), "seed": words.seed}]
        if words.replay is not None:
            lines = run.results
        text = "".join(json.dumps(line) + "\n" for line in lines)
        if words.log:
            words.log.write_text(text)
        print(text, end="")
        if (words.keep and findings) or (words.keep and words.replay is not None):
            words.keep.mkdir(parents=True, exist_ok=True)
            fuzz = Fuzz(words.seed, names, [GOLDEN, words.fresh], words.fresh)
            for result in run.results if words.replay is not None else findings:
                name, seed, mutation, data = fuzz.made(result["n"])
                ending = {SPLAT: "nvs", FILM: "nvc", STILL: "still.nvc"}.get(seed.kind, seed.kind)
                (words.keep / f"{result['n']}-{name}-{mutation}.{ending}").write_bytes(data)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
