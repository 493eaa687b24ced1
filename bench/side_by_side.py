"""One part of one picture as several methods show it at equal bytes, side by side in a PNG.

The bytes are those of the whole film: of the first method at its coarsest setting, or as many as are asked for. Each
method's setting is sought by encoding, until its file has them within `NEAR`; one that cannot have so few, or whose
settings lie too far apart, is shown at the nearest, and the words below it tell its bytes. Picture and part are those
of every crop (`bench.measure.crops`): the middle one, where the source has most detail.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from codec.media.parts import write_whole

from .measure.runner import Runner
from .measure.sweep import estimate
from .method import Film, Knob, Method
from .process import BenchError
from .results import Record
from .show.tiles import tiled
from .sources import about, open_clip

NEAR = 0.02  # share of the bytes wanted
TRIES = 9


def nearest(knob: Knob, wanted: float, size: Callable[[float], float], aim: float | None = None) -> float:
    """The setting whose size (any unit) is within `NEAR` of the one wanted, or nearest to it of those tried: from the
    knob's worst, or from `aim` where the setting is a rate."""
    first = (knob.worst, knob.worst + (knob.best - knob.worst) / 6) if aim is None else (aim, 0.9 * aim)
    known: dict[float, float] = {}  # setting -> log of its size over the one wanted
    for k in range(TRIES):
        setting = knob.legal(first[k]) if k < len(first) else estimate(knob, known, 0.0)
        if setting in known:
            break
        known[setting] = math.log(size(setting) / wanted)
        if abs(known[setting]) <= NEAR:
            break
    return min(known, key=lambda setting: abs(known[setting]))


def record_at(runner: Runner, method: Method, name: str, source: Film, wanted: int) -> Record:
    """The point of a method whose file has about so many bytes. Raises BenchError where it fails."""

    def point(setting: float) -> Record:
        record = runner.record(method, name, source, setting)
        if "error" in record:
            raise BenchError(f"{method.name} at {setting:g} failed: {record['error']}")
        return record

    if method.knob is None:
        raise BenchError(f"{method.name} has no setting that decides its bytes")
    aim = wanted * 8 / float(source.seconds) / 1000 if method.knob.is_rate else None
    return point(nearest(method.knob, wanted, lambda setting: float(point(setting)["bytes"]), aim))


def compare(path: str, methods: Sequence[Method], kbps: float | None, frames: int | None, runner: Runner,
            target: Path) -> str:  # fmt: skip
    """Write the PNG `target`; what it shows, in words. Raises BenchError where a method fails."""
    with open_clip(path, frames) as film:
        name = Path(path).name
        wanted = coarsest(runner, methods[0], name, film) if kbps is None else kbps * 125 * float(film.seconds)
        records = [record_at(runner, method, name, film, round(wanted)) for method in methods]
        title = f"{name} ({about(film)}), {wanted:,.0f} bytes wanted"
    pictures = [loaded(runner.out / place) for place in (records[0]["crop_source"], *(r["crop"] for r in records))]
    words = [("source", f"{film.info.width}x{film.info.height}"), *map(lines_about, records)]
    write_whole(target, tiled(pictures, words))
    return "\n".join([title, *(" ".join(lines) for lines in words[1:])])


def coarsest(runner: Runner, method: Method, name: str, film: Film) -> float:
    """Bytes of a method's file at the end of its settings. Raises BenchError where it has none or fails."""
    if method.knob is None or method.knob.is_rate:
        raise BenchError(f"{method.name} has no coarsest setting: say how many kbit/s are wanted")
    knob = method.knob
    record = runner.record(method, name, film, knob.legal(knob.high if knob.worst > knob.best else knob.low))
    if "error" in record:
        raise BenchError(f"{method.name} failed: {record['error']}")
    return float(record["bytes"])


def loaded(path: Path) -> NDArray[np.uint8]:
    """The samples of a crop, RGB."""
    return np.asarray(cv2.imread(str(path)), np.uint8)[..., ::-1]


def lines_about(record: Record) -> tuple[str, str, str]:
    """What stands below a method's picture."""
    quality = f"{record['psnr_yuv']:.2f} dB PSNR-YUV  {record['ssim']:.4f} SSIM"
    return f"{record['method']} at {record['setting']:g}", f"{record['bytes']:,} bytes", quality
