"""A point: a source encoded, decoded afresh and compared, each in a process of its own.

The harness alone counts and times. Bytes are those of the file as it lies on the disk; what decodes it is given that
file and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

from ..method import Film, Method, Source
from ..process import BenchError, Ran, run_fresh
from ..results import KEY, Record
from ..sources import described
from . import worker


def machine() -> str:
    """This machine in words: system, processor, cores that may be used."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{platform.system()}, {_processor()}, {cores} core{'s' * (cores != 1)}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


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


def step(name: str, folder: str, **job: Any) -> tuple[dict[str, Any], Ran]:
    """(answer, how it ran) of one step in a fresh process. Raises BenchError where it fails."""
    path = os.path.join(folder, f"{name}.json")
    Path(path).write_text(json.dumps({"step": name, **job}))
    ran = run_fresh(worker.main, path, name)
    try:
        return json.loads(ran.out.splitlines()[-1]), ran
    except (IndexError, ValueError):
        raise BenchError(f"the worker of {name} said nothing") from None


def measure(method: Method, clip: str, source: Source, setting: float, out: Path | None = None) -> Record:
    """Encode, decode, compare: a finished record, its crops in the folder `out`. Raises BenchError where anything
    fails."""
    record = point(method, clip, source, setting)
    crops = {}
    if out is not None:
        name = hashlib.blake2b(json.dumps([record[k] for k in KEY]).encode(), digest_size=8).hexdigest()
        crops = {"crop": f"crops/{name}.png", "crop_source": f"crops/{source.hash[:16]}-{record['frames']}.png"}
        (out / "crops").mkdir(parents=True, exist_ok=True)
    about = {"kind": method.kind, "method": method.name}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        file, pictures = os.path.join(folder, "file"), os.path.join(folder, "pictures")
        from_source = {"source": described(source)}
        encoded, encoder = step("encode", folder, **about, **from_source, setting=setting, target=file)
        size = os.path.getsize(file)
        decoded, decoder = step("decode", folder, **about, file=file, pictures=pictures)
        places = {name: str(out / place) for name, place in crops.items()} if out is not None else {}
        found, _ = step("compare", folder, **from_source, pictures=pictures, **places)
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
