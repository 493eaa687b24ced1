"""Markdown tables, which read as well in a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


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
