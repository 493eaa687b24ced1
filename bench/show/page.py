"""The results as one page, index.html, that holds all it shows: data, pictures, style and script.

It is made to be opened from a disk, without a network: its policy forbids every request, and the pictures are data
URIs, each once. Names of clips and methods are data to the page, never markup. What needs no script is written out.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from codec.media.parts import write_whole

from .curves import NAMES, Panel
from .plot import CEILING, looks, lossless

PARTS = Path(__file__).with_name("assets")
PNG = b"\x89PNG\r\n\x1a\n"
LARGEST = 48 << 20  # bytes of all pictures; beyond it browsers take long to open the page


def write(
    panels: Sequence[Panel],
    bd: Sequence[Mapping[str, Any]],
    notes: Sequence[str],
    about: Mapping[str, Any],
    folder: Path,
) -> None:
    """Write index.html.

    `bd` has a row for each BD-rate: `anchor, method, clip, over, measure, bd_rate_percent, bd_db, low, high` (see
    `curves.difference`), where the last four may be None. `notes` are sentences that the reader must see, `about` has
    `command, machine, versions, date`. The crops that records name lie in `folder`; what is missing or left out is
    named.
    """
    images, lost = _images(panels, Path(folder))
    sources = dict.fromkeys(f"Reference line {line.method}: {line.reference}." for panel in panels
                            for line in panel.lines if line.reference is not None)  # fmt: skip
    data = {
        "panels": [_panel(panel) for panel in panels],
        "looks": {name: look._asdict() for name, look in looks(panels).items()},
        "ceiling": CEILING,
    }
    parts = {
        "css": (PARTS / "page.css").read_text(encoding="utf-8"),
        "js": (PARTS / "page.js").read_text(encoding="utf-8"),
        "about": escape(" · ".join(str(about[key]) for key in ("machine", "date") if about.get(key))),
        "command": escape(str(about.get("command", ""))),
        "bd": _bd(bd) or "<p>There is none.</p>",
        "notes": _list([*notes, *lost, *sources]) or "<p>There are none.</p>",
        "versions": _definitions({**_settings(panels), **(about.get("versions") or {})}),
        "data": _json(data),
        "images": _json(images),
    }
    page = re.sub(r"\{\{(\w+)\}\}", lambda m: parts[m[1]], (PARTS / "page.html").read_text(encoding="utf-8"))
    write_whole(Path(folder) / "index.html", page.encode())


def _images(panels: Sequence[Panel], folder: Path) -> tuple[dict[str, str | None], list[str]]:
    """Data URIs of the crops by name, None where there is no such picture, and sentences on what is not among them."""
    names = [record.get(key) for panel in panels for line in panel.lines for record in line.records
             for key in ("crop_source", "crop")]  # fmt: skip
    wanted = list(dict.fromkeys(name for name in names if name))
    images: dict[str, str | None] = {}
    size = 0
    for k, name in enumerate(wanted):
        data = _png(folder / name)
        size += len(data or b"")
        if size > LARGEST:
            left = f"{len(wanted) - k} of {len(wanted)} pictures are not in this page, which they would make too large"
            return images, [*_lost(images), f"{left}: they lie beside it, from {name} on."]
        images[name] = f"data:image/png;base64,{base64.b64encode(data).decode()}" if data else None
    return images, _lost(images)


def _lost(images: Mapping[str, str | None]) -> list[str]:
    return [f"The picture {name} is missing." for name, data in images.items() if data is None]


def _png(path: Path) -> bytes | None:
    """The bytes of a PNG file; None where there is no such file."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    return data if data.startswith(PNG) else None


def _settings(panels: Sequence[Panel]) -> dict[str, str]:
    """What each method measured was run with, where its records say so."""
    lines = [line for panel in panels for line in panel.lines if line.reference is None]
    return {line.method: r["settings"] for line in lines for r in line.records[:1] if r.get("settings")}


def _bd(rows: Sequence[Mapping[str, Any]]) -> str:
    """A table for each anchor: a row for each method and measure, a column for each clip."""
    return "\n".join(_bd_table(anchor, [row for row in rows if row["anchor"] == anchor])
                     for anchor in dict.fromkeys(row["anchor"] for row in rows))  # fmt: skip


def _bd_table(anchor: str, rows: Sequence[Mapping[str, Any]]) -> str:
    cells = {(row["method"], row["measure"], row["clip"]): _bd_cell(row) for row in rows}
    clips = list(dict.fromkeys(row["clip"] for row in sorted(rows, key=lambda row: row["over"] == 1)))  # means first
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in ("method", "by", *clips))
    body = "\n".join(
        f'<tr><th scope="row">{escape(method)}</th><td>{escape(NAMES[measure])}</td>'
        + "".join(cells.get((method, measure, clip), "<td>–</td>") for clip in clips)
        + "</tr>"
        for method, measure in dict.fromkeys((row["method"], row["measure"]) for row in rows)
    )
    title = f"Against {escape(anchor)}"
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{title}">\n<table><caption>{title}</caption>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>"
    )


def _bd_cell(row: Mapping[str, Any]) -> str:
    rate, gain, low, high = (row[key] for key in ("bd_rate_percent", "bd_db", "low", "high"))
    shown = "–" if rate is None else f"{_signed(rate, 1)} %"
    kind = "" if rate is None else ' class="good"' if rate < 0 else ' class="bad"'
    gained = [] if gain is None else [f"{_signed(gain, 2)} dB"]
    ranged = [] if low is None or high is None else [f"{low:.1f}–{high:.1f} dB"]
    below = f"<small>{'; '.join(gained + ranged)}</small>" if gained or ranged else ""
    return f"<td{kind}>{shown}{below}</td>"


def _signed(value: float, digits: int) -> str:
    return f"{value:+.{digits}f}".replace("-", "−")


def _list(sentences: Iterable[str]) -> str:
    items = "\n".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return f'<ul class="notes">{items}</ul>' if items else ""


def _definitions(pairs: Mapping[str, Any]) -> str:
    items = "\n".join(f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in pairs.items())
    return f'<dl class="versions">{items}</dl>'


def _panel(panel: Panel) -> dict[str, Any]:
    """A panel as the page reads it: the records as they are, and beside them which of them are lossless."""
    lines = [
        {
            "method": line.method,
            "reference": line.reference,
            "records": list(line.records),
            "lossless": [lossless(record) for record in line.records],
        }
        for line in panel.lines
    ]
    about = {"clip": panel.clip, "about": panel.about, "rate": panel.rate, "quality": panel.quality}
    return {**about, "lines": lines}


def _json(content: object) -> str:
    """JSON that can stand within a script element: without "<" nothing in it ends the element or opens a comment."""
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
