"""A point: a source encoded, decoded afresh and compared, each in a process of its own.

The harness alone counts and times. Bytes are those of the file as it lies on the disk; what decodes it is given that
file and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..installation import Installation
from ..method import Film, Method, Source
from ..process import BenchError, Ran, run_fresh
from ..results import KEY, Record
from ..sources import described
from . import worker
from .machine import machine

STEP = """
import json, os, sys, time
from bench.measure.worker import main
import av, torch  # behind the package, which tells libraries how to wait; their import is no method's time
used = lambda: time.process_time() + sum(os.times()[2:4])  # those of processes that have ended behind its own
began = used()
main(sys.argv[1])
print(json.dumps({"processor": used() - began}))
"""


def point(method: Method, clip: str, source: Source, setting: float) -> Record:
    """The fields of a record that say what is measured; those of `KEY` are among them."""
    rows, columns = (source.info.height, source.info.width) if isinstance(source, Film) else source.pixels.shape[:2]
    return {
        "kind": method.kind,
        "method": method.name,
        "clip": clip,
        "setting": setting,
        "settings": method.settings,
        "version": method.version(),
        "clip_hash": source.hash,
        "frames": source.frames if isinstance(source, Film) else 1,
        "width": columns,
        "height": rows,
        "seconds": float(source.seconds) if isinstance(source, Film) else None,
        "versions": method.versions(),
        "machine": machine(),
        "date": time.strftime("%Y-%m-%d"),
    }


def step(
    name: str, folder: str, installation: Installation | None = None, env: Mapping[str, str] | None = None, **job: Any
) -> tuple[dict[str, Any], Ran]:
    """(answer, how it ran) of one step in a fresh process. Raises BenchError where it fails.

    With an `installation` it is a new interpreter of that one, with `env` added to its environment, and the answer has
    `processor` too: seconds of all processors, also in processes that have ended.
    """
    path = os.path.join(folder, f"{name}.json")
    Path(path).write_text(json.dumps({"step": name, **job}))
    try:
        if installation is None:
            ran = run_fresh(worker.main, path, name)
            return json.loads(ran.out.splitlines()[-1]), ran
        ran = installation.run(STEP, path, name=name, env=env)
        answer, used = map(json.loads, ran.out.splitlines()[-2:])
        return {**answer, **used}, ran
    except (IndexError, TypeError, ValueError):
        raise BenchError(f"the worker of {name} said nothing") from None


def called(method: Method) -> dict[str, Any]:
    """What tells a worker of the method's installation which one it is."""
    return {"kind": method.kind, "method": method.own_name}


def judged(
    method: Method, source: Source, folder: str, file: str, **places: Any
) -> tuple[dict[str, Any], dict[str, Any], Ran]:
    """(quality of a file of `method` against its source, the decode's answer, how it ran); crops go to `places`."""
    pictures = os.path.join(folder, "pictures")
    decoded, decoder = step("decode", folder, method.installation, **called(method), file=file, pictures=pictures)
    found, _ = step("compare", folder, source=described(source), pictures=pictures, **places)
    return found, decoded, decoder


def measure(method: Method, clip: str, source: Source, setting: float, out: Path | None = None) -> Record:
    """Encode, decode, compare: a finished record, its crops in the folder `out`. Raises BenchError where anything
    fails."""
    record = point(method, clip, source, setting)
    crops = {}
    if out is not None:
        name = hashlib.blake2b(json.dumps([record[k] for k in KEY]).encode(), digest_size=8).hexdigest()
        crops = {"crop": f"crops/{name}.png", "crop_source": f"crops/{source.hash[:16]}-{record['frames']}.png"}
        (out / "crops").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        file = os.path.join(folder, "file")
        encoded, encoder = step("encode", folder, method.installation, **called(method), source=described(source),
                                setting=setting, target=file)  # fmt: skip
        size = os.path.getsize(file)
        places = {name: str(out / place) for name, place in crops.items()} if out is not None else {}
        found, decoded, decoder = judged(method, source, folder, file, **places)
    bits = size * 8
    return record | found | {
        "bytes": size,
        "kbps": bits / record["seconds"] / 1000 if record["seconds"] else None,
        "bpp": bits / (record["width"] * record["height"] * record["frames"]),
        "encode_s": encoded["seconds"],
        "decode_s": decoded["seconds"],
        "encode_memory": encoder.memory,
        "decode_memory": decoder.memory,
        **crops,
    }  # fmt: skip
