"""What a run leaves for people: tables, plots and the page, made from the files of its folder alone.

- `results.jsonl`: the points (`bench.results`); `run.json`: what was asked for
- `summary.csv`: the points, one a row; `bd_rate.json`; `tables.md`
- `rd.png`, `rd.svg`: curves; `index.html`: the same to look into, with parts of the pictures
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from codec.errors import reason
from codec.media.parts import write_whole

from ..process import BenchError
from ..results import COLUMNS, MEASURES, RESULTS, RUN, Record, Results, axes, equal
from ..tables import fixed, table
from . import page, plot, reference
from .curves import Panel, difference, differences, lines_of, mean_panel, named, times

Row = dict[str, Any]

VIDEO_HEAD = ("method", "setting", "bytes", "kbit/s", "Y dB", "U dB", "V dB", "YUV dB", "SSIM", "MS-SSIM", "XPSNR",
              "encode s", "decode s")  # fmt: skip
IMAGE_HEAD = ("method", "setting", "bytes", "bpp", "RGB dB", "SSIM", "MS-SSIM", "encode s", "decode s")


@dataclass(frozen=True)
class Report:
    """A run's results in order: `panels` of the clips, `mean` over a set of pictures, `bd` rows, `notes`."""

    asked: Row
    panels: tuple[Panel, ...]
    mean: Panel | None
    bd: list[Row]
    notes: list[str]

    @property
    def shown(self) -> tuple[Panel, ...]:
        return (self.mean, *self.panels) if self.mean else self.panels


def load(folder: Path) -> tuple[Row, list[Record]]:
    """(run.json, the records that it asks for). Raises BenchError where the folder holds no run."""
    try:
        asked = json.loads((folder / RUN).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BenchError(f"{folder}: there is no finished run to report: {reason(error)}") from None
    methods = {(m["name"], m["settings"], m["version"]) for m in asked["methods"]}
    clips = {(c["hash"], c["frames"]): c["name"] for c in asked["clips"]}
    records = []
    for record in Results(folder / RESULTS):
        key = (record["clip_hash"], record["frames"])
        if key in clips and (record["method"], record["settings"], record["version"]) in methods:
            records.append(record | {"clip": clips[key]})
    return asked, records


def assemble(asked: Row, records: Sequence[Record]) -> Report:
    """Everything that is shown, from what was asked and the records."""
    rate, quality = axes(asked["kind"])
    methods = [m["name"] for m in asked["methods"]]
    panels = []
    for clip in asked["clips"]:
        mine = [r for r in records if r["clip"] == clip["name"]]
        rates = tuple(clip["rates"]) if "rates" in clip else None
        about = clip["about"] if rates is None else f"{clip['about']}; {rates[0]:.1f} to {rates[1]:.1f} kbit/s count"
        panels.append(Panel(clip["name"], about, rate, quality, lines_of(mine, methods, rate), rates))
    notes = [f"{r['clip']}: {r['method']} at {r['setting']:g} failed: {r['error']}" for r in records if "error" in r]
    anchors, measures = asked["anchor"].split(","), list(MEASURES[asked["kind"]])
    bd, said = differences(panels, methods, anchors, measures)
    notes += said
    mean = None
    if asked["kind"] == "image" and len(panels) > 1:
        mean = mean_panel(panels)
        for method in methods:
            for measure in measures if method not in anchors else ():
                row, said = difference(mean, method, anchors, measure)
                bd.append(row | {"over": len(panels)})
                notes += said
    if mean and all(clip["name"].startswith("kodim") for clip in asked["clips"]):
        mean = replace(mean, lines=(*mean.lines, *reference.lines()))
    notes += _equalities(panels)
    return Report(asked, tuple(panels), mean, bd, list(dict.fromkeys(notes)))


def _equalities(panels: Sequence[Panel]) -> list[str]:
    """Sentences on the points of infinite PSNR, one for each method and setting."""
    where: dict[tuple[str, float], list[str]] = {}
    for panel in panels:
        for line in panel.lines:
            for r in filter(equal, line.records):
                where.setdefault((line.method, r["setting"]), []).append(panel.clip)
    named = {key: ", ".join(clips) if len(clips) < 4 else f"{len(clips)} clips" for key, clips in where.items()}
    return [f"{m} at {s:g} equals its source on {clips}: its PSNR is infinite" for (m, s), clips in named.items()]


def points_table(panel: Panel) -> str:
    """The points of a panel that were measured here."""
    video = panel.rate == "kbps"
    rows = []
    for line in panel.lines:
        for r in line.records if line.reference is None else ():
            psnrs = [r[f"psnr_{name}"] for name in ("y", "u", "v", "yuv")] if video else [r["psnr_rgb"]]
            others = [fixed(r["ssim"], 4), fixed(r["ms_ssim"], 5), *[fixed(r["xpsnr"])] * video]
            rows.append((
                line.method,
                f"{r['setting']:g}",
                f"{r['bytes']:,.0f}",
                fixed(r[panel.rate], 1 if video else 3),
                *("equal" if equal(r) else fixed(value) for value in psnrs),
                *others,
                fixed(r["encode_s"], 2),
                fixed(r["decode_s"], 2 if video else 3),
            ))  # fmt: skip
    return table(VIDEO_HEAD if video else IMAGE_HEAD, rows)


def difference_table(report: Report) -> str:
    """BD-rates by every measure side by side, each over its range; of many pictures only the means."""
    asked, panels = report.asked, {panel.clip: panel for panel in report.shown}
    names = MEASURES[asked["kind"]]
    anchors = asked["anchor"].split(",")
    found: dict[tuple[str, str], dict[str, Row]] = {}
    for row in report.bd:
        if asked["kind"] == "video" or row["over"] > 1 or len(report.panels) == 1:
            found.setdefault((row["method"], row["clip"]), {})[row["measure"]] = row
    rows = []
    for (method, clip), by in found.items():
        panel = panels.get(clip) if len(anchors) == 1 else None
        ratios = [times(panel, method, anchors[0], f) if panel else None for f in ("encode_s", "decode_s")]
        cells = [_difference_cell(by[name]) for name in names]
        rows.append((method, clip, *cells, fixed(by[next(iter(names))]["bd_db"], 2, True), *map(fixed, ratios)))
    title = f"BD-rate against {named(anchors)}, % (over the range, dB)"
    if asked.get("rates"):
        title += f", at rates from {asked['rates']}"
    head = ("method", "clip", *names.values(), "BD-PSNR dB", "encode ×", "decode ×")
    return f"{title}\n\n{table(head, rows)}"


def _difference_cell(row: Row) -> str | None:
    value = fixed(row["bd_rate_percent"], 2, True)
    return value if row["low"] is None else f"{value} ({row['low']:.1f}..{row['high']:.1f})"


def text_of(report: Report) -> str:
    """The report as Markdown."""
    asked = report.asked
    parts = [f"`{asked['command']}`", "\n".join(f"- {m['name']}: {m['settings']}" for m in asked["methods"])]
    for panel in (report.mean,) if report.mean else report.panels:
        parts.append(f"**{panel.clip}** ({panel.about})\n\n{points_table(panel)}")
    if report.bd:
        parts.append(difference_table(report))
    if report.mean and (checks := _checks(report.mean, len(report.panels))):
        parts.append(checks)
    parts += [f"Note: {note}" for note in report.notes]
    return "\n\n".join(parts) + "\n"


def _checks(mean: Panel, pictures: int) -> str:
    """Our own points of codecs whose figures were published, beside those."""
    records = [r for line in mean.lines if line.reference is None for r in line.records]
    checks = reference.compare_published(records, reference.published()) if records else []
    return reference.checks_table(checks, pictures) if checks else ""


def summary(records: Sequence[Record]) -> str:
    """The records as CSV."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return out.getvalue()


def build(folder: Path) -> str:
    """Write everything but the results themselves into a run's folder; the report as Markdown. Raises BenchError."""
    asked, records = load(folder)
    report = assemble(asked, records)
    write_whole(folder / "summary.csv", summary(records).encode())
    write_whole(folder / "bd_rate.json", json.dumps(report.bd, indent=1, allow_nan=False).encode() + b"\n")
    text = text_of(report)
    write_whole(folder / "tables.md", text.encode())
    versions = {k: v for record in records for k, v in record.get("versions", {}).items()}
    about = {"command": asked["command"], "date": asked["date"], "versions": versions,
             "machine": ", ".join(dict.fromkeys(r["machine"] for r in records))}  # fmt: skip
    page.write(report.shown, report.bd, report.notes, about, folder)
    plot.draw((report.mean,) if report.mean else report.panels, folder)
    return text
