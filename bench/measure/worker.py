"""One step of a measurement in a process of its own: `encode`, `decode` or `compare`.

The job, a file of JSON, says what to do and where; the answer is one JSON object on standard output
(`bench.measure.point` asks). The clock is read here, around the method's own call alone: reading the source is charged,
the start of an interpreter is not. While decoded pictures are written out for the comparison the clock of `decode`
stands still; without `pictures` (as in `bench speed`) nothing is written and it runs through.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from codec.errors import NvcError

from ..method import Film, Picture, Still
from ..methods import find
from ..sources import found_again
from .crops import write_crop
from .quality import measure_film, measure_still

Job = dict[str, Any]


def encode(job: Job) -> dict[str, Any]:
    """Encode the job's `source` by its `method` at its `setting` to the file `target`."""
    method, source = find(job["kind"], job["method"]), found_again(job["source"])
    began = time.perf_counter()
    data = method.encode(source, job["setting"])
    seconds = time.perf_counter() - began
    Path(job["target"]).write_bytes(data)
    return {"seconds": seconds}


def decode(job: Job) -> dict[str, Any]:
    """Decode the job's `file` by its `method`; to the file `pictures`, where there is one."""
    method = find(job["kind"], job["method"])
    data = Path(job["file"]).read_bytes()
    target = open(job["pictures"], "wb") if job.get("pictures") else None  # noqa: SIM115
    heads: list[dict[str, Any]] = []
    began, idle, count = time.perf_counter(), 0.0, 0
    for picture in method.decode(data):
        count += 1
        if target is not None:
            paused = time.perf_counter()
            heads.append(_write(picture, target))
            idle += time.perf_counter() - paused
    seconds = time.perf_counter() - began - idle
    if target is not None:
        target.close()
        Path(f"{job['pictures']}.json").write_text(json.dumps(heads))
    return {"seconds": seconds, "frames": count}


def _write(picture: Picture, file: BinaryIO) -> dict[str, Any]:
    for plane in picture.planes:
        file.write(np.ascontiguousarray(plane, plane.dtype.newbyteorder("<")).data)
    shapes = [list(plane.shape) for plane in picture.planes]
    return {"shapes": shapes, "depth": picture.depth, "time": str(Fraction(picture.time))}


def written(path: str) -> Iterator[Picture]:
    """The pictures that `decode` wrote."""
    with open(path, "rb") as file:
        for head in json.loads(Path(f"{path}.json").read_text()):
            dtype = np.dtype("<u1" if head["depth"] <= 8 else "<u2")
            planes = []
            for rows, columns in head["shapes"]:
                data = file.read(rows * columns * dtype.itemsize)
                planes.append(np.frombuffer(data, dtype).reshape(rows, columns))
            yield Picture(tuple(planes), head["depth"], Fraction(head["time"]))


def compare(job: Job) -> dict[str, Any]:
    """Quality of the job's `pictures` against its `source`; a part of both goes to the PNG files `crop` and
    `crop_source`."""
    source = found_again(job["source"])
    if isinstance(source, Film):
        found = measure_film(source.pictures(), source.info, written(job["pictures"]))
        middle = source.frames // 2
        original = next(islice(source.pictures(), middle, None)).planes
        copy = next(islice(written(job["pictures"]), middle, None))
    else:
        copy = next(written(job["pictures"]), Picture(()))
        found, original = measure_still(source.planes, copy), source.planes
    if job.get("crop"):
        write_crop(source, original, original, 8 if isinstance(source, Still) else source.info.format.depth,
                   job["crop_source"])  # fmt: skip
        write_crop(source, original, copy.planes, copy.depth, job["crop"])
    return asdict(found)


STEPS: dict[str, Callable[[Job], dict[str, Any]]] = {"encode": encode, "decode": decode, "compare": compare}


def main(path: str) -> None:
    """Do what the job in the file `path` says and print the answer; exit with 1 where it cannot be done."""
    wanted = json.loads(Path(path).read_text())
    try:
        answer = STEPS[wanted["step"]](wanted)
    except NvcError as error:
        sys.exit(str(error))
    print(json.dumps(answer))
