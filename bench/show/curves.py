"""Curves: the points of a method on a clip, ordered by rate, and what is said of two of them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..results import MEASURES, METRICS, Record, decibels, equal
from .bdrate import Curve, CurveError, bd_psnr, bd_rate, best_of

MEAN_CURVE = "mean curve"  # of rate and quality over pictures at equal settings
NAMES = {name: words for names in MEASURES.values() for name, words in names.items()}
NARROW = 0.5  # share of a curve's range of quality below which a BD-rate says little of the curve
EMPTY = dict.fromkeys(("bd_rate_percent", "bd_db", "low", "high"))  # of a row without a common range
SUMMED = ("bytes", "kbps", "bpp", *METRICS, "encode_s", "decode_s")


@dataclass(frozen=True)
class Line:
    """One method's points on one clip, by rising rate. `reference`: where a published line was taken from, None for
    what was measured here; its records have the rate, the quality and maybe some other metrics alone."""

    method: str
    records: tuple[Record, ...]
    reference: str | None = None


@dataclass(frozen=True)
class Panel:
    """The lines of one clip, or of the mean over a set of pictures. `rate` and `quality` name the fields of a record
    that are drawn along x ("kbps" or "bpp") and y ("psnr_yuv" or "psnr_rgb"). `rates`: those that count, where not all
    do."""

    clip: str
    about: str  # "720x480, 31 frames, 1.24 s"
    rate: str
    quality: str
    lines: tuple[Line, ...]
    rates: tuple[float, float] | None = None

    def line(self, method: str) -> Line | None:
        """The line measured for a method."""
        return next((line for line in self.lines if line.method == method and line.reference is None), None)


def lines_of(records: Iterable[Record], methods: Sequence[str], rate: str) -> tuple[Line, ...]:
    """The finished records of one clip as lines, in the order of `methods`."""
    by_method: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        if "error" not in record:
            by_method[record["method"]].append(record)
    return tuple(Line(m, tuple(sorted(by_method[m], key=lambda r: r[rate]))) for m in methods if by_method[m])


def mean_panel(panels: Sequence[Panel]) -> Panel:
    """The mean over pictures: at every setting that was measured on all of them, means of rate, quality and seconds."""
    first = panels[0]
    lines = []
    for method in dict.fromkeys(line.method for panel in panels for line in panel.lines):
        by_setting: dict[float, list[Record]] = defaultdict(list)
        for panel in panels:
            line = panel.line(method)
            for record in line.records if line else ():
                by_setting[record["setting"]].append(record)
        means = [_mean(records) for records in by_setting.values() if len(records) == len(panels)]
        if means:
            lines.append(Line(method, tuple(sorted(means, key=lambda r: r[first.rate]))))
    return replace(first, clip=MEAN_CURVE, about=f"{len(panels)} pictures", lines=tuple(lines))


def _mean(records: Sequence[Record]) -> Record:
    out: Record = {name: records[0][name] for name in ("method", "setting", "settings")} | {"clip": MEAN_CURVE}
    for name in SUMMED:
        values = [r[name] for r in records]
        out[name] = None if any(v is None for v in values) else sum(values) / len(values)
    out["identical"], out["frames"] = (sum(r[name] for r in records) for name in ("identical", "frames"))
    out["worst"] = max(r["worst"] for r in records)
    for name in ("run", "jobs"):
        common = {r.get(name) for r in records}
        out[name] = common.pop() if len(common) == 1 else None
    return out


def curve(line: Line, rate: str, measure: str) -> Curve:
    """The line as a curve of a measure in dB, without points that equal their source, which its notes name. Raises
    CurveError."""
    finite = [(r[rate], decibels(r, measure)) for r in line.records if not equal(r)]
    found = Curve.of((x, math.nan if y is None else y) for x, y in finite)
    notes = tuple(
        f"the point at {r['setting']:g} is left out of BD-rates: it equals its source, its PSNR is infinite"
        for r in filter(equal, line.records)
    )
    return replace(found, notes=found.notes + notes)


def named(anchors: Sequence[str]) -> str:
    """What methods are compared with, in words."""
    return anchors[0] if len(anchors) == 1 else f"the best of {', '.join(anchors)}"


def difference(panel: Panel, method: str, anchors: Sequence[str], measure: str) -> tuple[dict[str, Any], list[str]]:
    """(row of BD-rate and BD-PSNR of `method` against the best of `anchors` by a measure, sentences on what was left
    out or is doubtful). Values are None where there is no common range."""
    row: dict[str, Any] = {
        "anchor": named(anchors),
        "method": method,
        "clip": panel.clip,
        "over": 1,
        "measure": measure,
    }
    lines = {name: panel.line(name) for name in (*anchors, method)}
    about = f"{panel.clip}: {method} against {row['anchor']}"
    if missing := [name for name, line in lines.items() if line is None]:
        return row | EMPTY, [f"{about}: {' and '.join(missing)} has no point"]
    found = {name: line for name, line in lines.items() if line is not None}
    if lossless := [name for name, line in found.items() if all(map(equal, line.records))]:
        return row | EMPTY, [f"{' and '.join(lossless)}: lossless, so that there is no BD-rate"]
    if any(r[measure] is None for line in found.values() for r in line.records):
        return row | EMPTY, []  # nothing that one could measure on this clip
    notes = []
    about += f" by {NAMES[measure]}"
    try:
        curves = {name: curve(line, panel.rate, measure) for name, line in found.items()}
        for name, c in curves.items():
            notes += [f"{panel.clip}: {name}: {text}" for text in c.notes]
        a, b = best_of([curves[name] for name in anchors]), curves[method]
        rate = bd_rate(a, b, panel.rates)
    except CurveError as error:
        return row | EMPTY, [*notes, f"{about}: {error}"]
    try:
        gain = bd_psnr(a, b, panel.rates).value
    except CurveError as error:  # where one needs far less rate than the other
        gain = None
        notes.append(f"{about}: there is no difference at equal rate: {error}")
    for name, c in ((row["anchor"], a), (method, b)) if panel.rates is None else ():
        share = (rate.high - rate.low) / (c.psnrs[-1] - c.psnrs[0])
        if share < NARROW:
            notes.append(f"{about}: {share:.0%} of the range of {name} is covered")
    return row | {"bd_rate_percent": rate.value, "bd_db": gain, "low": rate.low, "high": rate.high}, notes


def differences(
    panels: Sequence[Panel], methods: Sequence[str], anchors: Sequence[str], measures: Sequence[str]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows of every method on every clip against the best of the anchors by every measure, then their means over clips;
    and sentences."""
    rows: list[dict[str, Any]] = []
    notes: list[str] = []
    for method in methods:
        for measure in measures if method not in anchors else ():
            mine = []
            for panel in panels:
                row, said = difference(panel, method, anchors, measure)
                mine.append(row)
                notes += said
            rows += mine
            if len(mine) > 1:
                rows.append(_mean_row(mine, panels[0].rate, notes))
    return rows, list(dict.fromkeys(notes))


def _mean_row(rows: Sequence[dict[str, Any]], rate: str, notes: list[str]) -> dict[str, Any]:
    """Mean over clips of BD-rate and BD-PSNR; of none where one is missing, as a mean over the rest would mislead."""
    first = rows[0]
    clip = f"mean of {len(rows)} {'clips' if rate == 'kbps' else 'pictures'}"
    out = {**{name: first[name] for name in ("anchor", "method", "measure")}, "clip": clip, "over": len(rows), **EMPTY}
    if lacking := [r["clip"] for r in rows if r["bd_rate_percent"] is None]:
        if len(lacking) < len(rows):
            words = f"{', '.join(lacking)} {'has' if len(lacking) == 1 else 'have'} no BD-rate by"
            notes.append(f"{first['method']} against {first['anchor']} has no mean: {words} {NAMES[first['measure']]}")
        return out
    for name in ("bd_rate_percent", "bd_db"):
        values = [r[name] for r in rows]
        out[name] = None if None in values else sum(values) / len(values)
    return out


def times(panel: Panel, method: str, anchor: str, field: str) -> float | None:
    """How many times longer the method's points took than the anchor's, on average; None unless all were measured one
    at a time in one run."""
    lines = panel.line(method), panel.line(anchor)
    records = [r for line in lines if line for r in line.records]
    runs = {r.get("run") for r in records}
    if None in lines or None in runs or len(runs) > 1 or any(r.get("jobs") != 1 for r in records):
        return None
    means = [sum(r[field] for r in line.records) / len(line.records) for line in lines if line]
    return float(means[0] / means[1])
