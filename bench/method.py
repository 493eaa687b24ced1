"""Methods: how a clip becomes a file and a file becomes pictures, each in a process of its own.

A method says which programs to run; clocks, bytes and quality are the harness's own (`measure`). Every program starts
a fresh interpreter, reads the clip and writes y4m, so that no method is spared what another one is charged for.
"""

from __future__ import annotations

import hashlib
import os
import platform
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from codec.frames import VideoInfo
from codec.sinks import open_sink
from codec.source import content_key, open_source
from codec.streams import open_film

from .compare import quality, read_y4m
from .peers import AV1_POINTS, PEERS, Peer
from .process import ROOT, python, run
from .report import Record

KEY = ("clip_hash", "clip_frames", "method", "settings", "setting", "version")  # of a finished point
LIBRARIES = ("av", "constriction", "numpy", "opencv-python-headless", "torch")


@dataclass(frozen=True)
class Method:
    """`encode(clip, setting, target)` and `decode(file, target)` are commands; `points`: settings of a curve, from
    best to worst; `settings`: what else decides the bytes, in words; `version`: of all code that does."""

    name: str
    ending: str
    points: tuple[float, ...]
    settings: str
    version: str
    encode: Callable[[str, float, str], list[str]]
    decode: Callable[[str, str], list[str]]


def source_version(*paths: str) -> str:
    """Short hash over sources of the project (folders or modules) and the versions of the libraries under them."""
    digest = hashlib.blake2b(digest_size=8)
    for path in paths:
        for file in sorted([ROOT / path, *(ROOT / path).rglob("*")]):
            if file.is_file() and file.suffix in (".py", ".bin"):
                digest.update(f"{file.relative_to(ROOT).as_posix()}\0".encode() + file.read_bytes())
    for library in LIBRARIES:
        try:
            digest.update(f"{library} {version(library)}\0".encode())
        except ModuleNotFoundError:
            continue
    return digest.hexdigest()


def nvc(preset: str = "medium", points: tuple[float, ...] = AV1_POINTS, arguments: Sequence[str] = ()) -> Method:
    """NVC with one of its presets; `arguments` are more options of `codec encode`."""

    def encode(clip: str, setting: float, target: str) -> list[str]:
        wishes = ("--crf", f"{setting:g}", "--preset", preset, *arguments)
        return python("codec", "encode", clip, target, *wishes, "-q", "-y")

    def decode(file: str, target: str) -> list[str]:
        return python("codec", "decode", file, target, "-q", "-y")

    settings = " ".join((f"--preset {preset}", *arguments))
    name = " ".join(("nvc", *arguments))
    return Method(name, ".nvc", points, settings, source_version("codec", "heads"), encode, decode)


def peer(row: Peer) -> Method:
    """One of libav's encoders."""

    def encode(clip: str, setting: float, target: str) -> list[str]:
        return python("bench.peers", "encode", clip, target, "--peer", row.name, "--crf", f"{setting:g}")

    def decode(file: str, target: str) -> list[str]:
        return python("bench.peers", "decode", file, target)

    words = [row.encoder, *(f"{k}={v}" for k, v in row.options.items() if v)]
    if row.depth > 8:
        words.append(f"{row.depth} bits")
    return Method(row.name, ".mp4", row.points, " ".join(words), source_version("bench/peers.py"), encode, decode)


def peers(names: Sequence[str]) -> list[Method]:
    """Peers by name. Raises KeyError for an unknown one."""
    return [peer(PEERS[name]) for name in names]


@dataclass(frozen=True)
class Clip:
    """Pictures to encode: a file without sound, so that all its bytes are those of pictures on every side."""

    name: str
    path: str
    hash: str  # of the file that was named
    info: VideoInfo
    frames: int
    seconds: float


@contextmanager
def clip(path: str, frames: int | None = None) -> Iterator[Clip]:
    """A clip, or its first `frames` pictures.

    Where pictures are left out, or sound and other streams are, every method is given an exact copy (FFV1, times
    rounded to a millisecond).
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, open_film(path) as film:
        silent = path
        if frames or len(film.streams) > 1:
            silent = os.path.join(folder, f"{Path(path).stem}.mkv")
            with open_source(path) as source, open_sink(silent, source.info) as sink:
                for count, frame in enumerate(source.frames(), 1):
                    sink.write(frame)
                    if count == frames:
                        break
        with open_source(silent) as source:
            info, tick = source.info, source.info.time_base
            times = [(f.pts, f.duration) for f in source.frames()]
        last = times[-1][1] * tick or 1 / info.rate
        seconds = float((times[-1][0] - times[0][0]) * tick + last)
        yield Clip(Path(path).name, silent, content_key(path).hex()[:32], info, len(times), seconds)


def point(method: Method, clip: Clip, setting: float) -> Record:
    """The fields of a result that say what was measured; `KEY` is among them."""
    return {
        "method": method.name,
        "clip": clip.name,
        "setting": setting,
        "settings": method.settings,
        "version": method.version,
        "clip_hash": clip.hash,
        "clip_frames": clip.frames,
    }


def measure(method: Method, clip: Clip, setting: float) -> Record:
    """Encode, decode afresh, compare: a point with its results. Raises BenchError where anything fails."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        file, pictures = os.path.join(folder, f"a{method.ending}"), os.path.join(folder, "a.y4m")
        encoded = run(method.encode(clip.path, setting, file))
        size = os.path.getsize(file)
        decoded = run(method.decode(file, pictures))
        fmt, planes = read_y4m(pictures)
        with open_source(clip.path) as source:
            found = quality(source.frames(), planes, clip.info.format, fmt.depth)
    return point(method, clip, setting) | {
        "bytes": size,
        "kbps": size * 8 / clip.seconds / 1000,
        "bpp": size * 8 / (clip.info.width * clip.info.height * clip.frames),
        **asdict(found),
        "encode_s": encoded.seconds,
        "decode_s": decoded.seconds,
        "encode_memory": encoded.memory,
        "decode_memory": decoded.memory,
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
    }
