"""Sizes of lossless files, each decoded and found equal to its source."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from .measure.runner import Runner, unique_names
from .method import Film, Method, Source, Still
from .process import GIB
from .results import Record, equal
from .sources import about, open_source_of
from .tables import fixed, table

HEAD = ("method", "bytes", "of raw", "bits a luma sample", "of the smallest", "encode fps", "decode fps", "encode GiB")


def raw_bytes(source: Source) -> int:
    """Bytes of all samples, as they lie in memory."""
    if isinstance(source, Film):
        return source.frames * source.info.format.frame_bytes(source.info.width, source.info.height)
    return source.pixels.nbytes


def compare(paths: Sequence[str], methods: Sequence[Method], frames: int | None, runner: Runner) -> str:
    """Tables of all methods on each film, or of sums over all pictures, with the failures, as Markdown. What cannot be
    read is left out."""
    parts, sums, raw, read, notes = [], dict[str, list[Record]](), 0, 0, list[str]()
    for name, path in zip(unique_names(paths), paths, strict=True):
        with ExitStack() as stack:
            source = runner.opened(open_source_of(path, frames), stack)
            if source is None:
                notes.append(f"Note: {name} could not be read and is left out")
                continue
            read += isinstance(source, Still)
            records = []
            for method in methods:
                record = runner.record(method, name, source, method.lossless or 0.0)
                if "error" not in record and not equal(record):
                    record = record | {"error": "it is not lossless: what it decodes to differs from the source"}
                    runner.failed += 1
                if "error" in record:
                    notes.append(f"Note: {name}: {method.name} failed: {record['error']}")
                else:
                    records.append(record)
            if isinstance(source, Film):
                parts.append(f"**{name}** ({about(source)})\n\n{sizes(records, raw_bytes(source))}")
            else:
                raw += raw_bytes(source)
                for record in records:
                    sums.setdefault(record["method"], []).append(record)
    if sums:
        for method_name, found in list(sums.items()):
            if len(found) < read:
                notes.append(f"Note: {method_name} is left out of the sums: it failed on a picture")
                del sums[method_name]
        parts.append(f"**{read} pictures**\n\n{sizes([_sum(found) for found in sums.values()], raw)}")
    return "\n\n".join(parts + notes)


def _sum(records: Sequence[Record]) -> Record:
    added = {k: sum(r[k] for r in records) for k in ("bytes", "frames", "encode_s", "decode_s")}
    samples = sum(r["width"] * r["height"] for r in records)
    return {
        "method": records[0]["method"],
        "bpp": added["bytes"] * 8 / samples,
        "encode_memory": max(r["encode_memory"] for r in records),
        **added,
    }


def sizes(records: Sequence[Record], raw: int) -> str:
    """Table of one clip's records, smallest first; `raw`: its bytes uncompressed."""
    ordered = sorted(records, key=lambda r: r["bytes"])
    rows = [
        (
            r["method"],
            f"{r['bytes']:,}",
            f"{r['bytes'] / raw:.1%}",
            fixed(r["bpp"], 3),
            fixed(r["bytes"] / ordered[0]["bytes"], 3),
            fixed(r["frames"] / r["encode_s"]),
            fixed(r["frames"] / r["decode_s"], 1),
            fixed(r["encode_memory"] / GIB),
        )
        for r in ordered
    ]
    return table(HEAD, rows)
