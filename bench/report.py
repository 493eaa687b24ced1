"""Results as they are kept and as they are shown: JSON lines that a later run takes up, and Markdown tables."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

Record = dict[str, Any]


class Results:
    """Records by key, in a file of JSON lines that only grows, or in memory alone.

    Of records with the same key the last one counts. A line that does not parse, as an interrupted run may leave
    behind, is passed over.
    """

    def __init__(self, path: str | os.PathLike[str] | None, key: Sequence[str]):
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

    def find(self, record: Mapping[str, Any]) -> Record | None:
        """The record whose key fields equal those of `record`."""
        return self._records.get(self._key(record))

    def add(self, record: Record) -> None:
        """Keep a record, in the file at once."""
        self._records[self._key(record)] = record
        if self.path is not None:
            broken = self.path.exists() and self.path.read_bytes()[-1:] not in (b"", b"\n")
            with open(self.path, "a", encoding="utf-8") as file:
                file.write("\n" * broken + json.dumps(record) + "\n")


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; the first column to the left, the others to the right, None as "-"."""
    cells = [list(header), *([("-" if c is None else str(c)) for c in row] for row in rows)]
    widths = [max(len(row[k]) for row in cells) for k in range(len(header))]

    def line(row: Sequence[str]) -> str:
        padded = [c.ljust(w) if k == 0 else c.rjust(w) for k, (c, w) in enumerate(zip(row, widths, strict=True))]
        return f"| {' | '.join(padded)} |"

    rule = [("-" * (w - 1) + ":") if k else "-" * w for k, w in enumerate(widths)]
    return "\n".join([line(cells[0]), line(rule), *map(line, cells[1:])])


def fixed(number: float | None, digits: int = 2, sign: bool = False) -> str | None:
    """A number with so many digits behind the point, None as it is."""
    return None if number is None else f"{number:{'+' if sign else ''},.{digits}f}"
