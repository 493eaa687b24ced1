"""Results as they are kept: a file of JSON lines that only grows and that a later run takes up.

A record is one point, that is, one source encoded by one method at one setting:

- `method, clip, setting, settings, version, clip_hash, frames`: what was measured; `KEY` of them name a finished point
- `kind` ("video" or "image"), `width`, `height`, `seconds` (null for a picture), `versions` of libraries by name
- `bytes` of the whole file; `kbps` (null for a picture); `bpp`: bits for each luma sample of each picture
- `psnr_y`, `psnr_u`, `psnr_v`, `psnr_yuv`, `psnr_rgb`, `ssim`, `ms_ssim`, `xpsnr`: see `bench.measure.quality`; null
  where it does not apply. `identical`: pictures that equal their source in every sample; `worst`: largest error of any
  sample
- `encode_s`, `decode_s`, `encode_memory`, `decode_memory` (bytes, peak of all processes), `machine`, `jobs` (points
  that were measured side by side: above 1, seconds say little), `run` (common to all points of one run), `date`
- `crop`, `crop_source`: PNG files beside the results, a part of a decoded picture and of its source

A point that could not be made has the fields of the first two lines and `error`, a sentence; it is tried again.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

RESULTS, RUN = "results.jsonl", "run.json"

Record = dict[str, Any]

KEY = ("kind", "method", "settings", "setting", "version", "clip_hash", "frames")
METRICS = ("psnr_y", "psnr_u", "psnr_v", "psnr_yuv", "psnr_rgb", "ssim", "ms_ssim", "xpsnr")
COLUMNS = (
    *("method", "clip", "setting", "bytes", "kbps", "bpp", *METRICS, "identical", "worst"),
    *("encode_s", "decode_s", "encode_memory", "decode_memory", "frames", "settings", "version", "machine", "jobs"),
    *("date", "error"),
)


_SSIMS = {"ssim": "SSIM", "ms_ssim": "MS-SSIM"}
# what methods are compared by, and its names for people; the first of each kind is what curves are swept and drawn by
MEASURES: dict[str, dict[str, str]] = {
    "video": {"psnr_yuv": "PSNR-YUV", "psnr_y": "PSNR-Y", **_SSIMS, "xpsnr": "XPSNR"},
    "image": {"psnr_rgb": "PSNR-RGB", **_SSIMS},
}


def decibels(record: Mapping[str, Any], name: str) -> float | None:
    """A measure of a record in dB: SSIM and MS-SSIM as -10 log10(1 - SSIM). None where it does not apply, infinity
    where nothing is left to gain."""
    value: float | None = record.get(name)
    if value is None or name not in _SSIMS:
        return value
    return -10 * math.log10(1 - value) if value < 1 else math.inf


def axes(kind: str) -> tuple[str, str]:
    """The fields of rate and quality for films and for pictures."""
    return "kbps" if kind == "video" else "bpp", next(iter(MEASURES[kind]))


def equal(record: Record) -> bool:
    """Whether every picture of a point equals its source, so that its PSNR is infinite."""
    return bool(record["identical"] == record["frames"])


class Results:
    """Records by key, in a file of JSON lines that only grows, or in memory alone.

    Of records with the same key the last one counts. A line that does not parse, as an interrupted run may leave
    behind, is passed over.
    """

    def __init__(self, path: str | os.PathLike[str] | None, key: Sequence[str] = KEY):
        self.path = None if path is None else Path(path)
        self._names = tuple(key)
        self._records: dict[tuple[Any, ...], Record] = {}
        if self.path is None or not self.path.exists():
            return
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict) and all(name in record for name in self._names):
                self._records[self._key(record)] = record

    def _key(self, record: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(record[name] for name in self._names)

    def __iter__(self) -> Iterator[Record]:
        return iter(list(self._records.values()))

    def find(self, record: Mapping[str, Any]) -> Record | None:
        """The record whose key fields equal those of `record`."""
        return self._records.get(self._key(record))

    def add(self, record: Record) -> None:
        """Keep a record, in the file at once."""
        self._records[self._key(record)] = record
        if self.path is not None:
            broken = self.path.exists() and self.path.read_bytes()[-1:] not in (b"", b"\n")
            with open(self.path, "a", encoding="utf-8") as file:
                file.write("\n" * broken + json.dumps(record, allow_nan=False) + "\n")
