"""Curves: the points of a method on a clip, ordered by rate, and what is said of two of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..results import METRICS, Record, equal
from .bdrate import Curve, CurveError, bd_psnr, bd_rate

MEAN = "mean"  # of BD-rates over clips
MEAN_CURVE = "mean curve"  # of rate and quality over pictures at equal settings
NARROW = 0.5  # share of a curve's range of quality below which a BD-rate says little of the curve
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
    that are drawn along x ("kbps" or "bpp") and y ("psnr_yuv" or "psnr_rgb")."""

    clip: str
    about: str  # "720x480, 31 frames, 1.24 s"
    rate: str
    quality: str
    lines: tuple[Line, ...]

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


def curve(line: Line, panel: Panel) -> Curve:
    """The line as a curve, without points of infinite PSNR, which its notes name. Raises CurveError."""
    finite = [r for r in line.records if not equal(r)]
    equals = [r for r in line.records if equal(r)]
    found = Curve.of((r[panel.rate], r[panel.quality]) for r in finite)
    notes = tuple(
        f"the point at {r['setting']:g} is left out of BD-rates: it equals its source, its PSNR is infinite"
        for r in equals
    )
    return replace(found, notes=found.notes + notes)


def difference(panel: Panel, method: str, anchor: str) -> tuple[dict[str, Any], list[str]]:
    """(row of BD-rate and BD-PSNR of `method` against `anchor`, sentences on what was left out or is doubtful). Values
    are None where there is no common range."""
    row: dict[str, Any] = {"anchor": anchor, "method": method, "clip": panel.clip}
    empty = dict.fromkeys(("bd_rate_percent", "bd_psnr_db", "psnr_low", "psnr_high"))
    lines = panel.line(anchor), panel.line(method)
    if lines[0] is None or lines[1] is None:
        missing = [name for name, line in zip((anchor, method), lines, strict=True) if line is None]
        return row | empty, [f"{panel.clip}: {method} against {anchor}: {' and '.join(missing)} has no point"]
    lossless = [line.method for line in lines if line and all(map(equal, line.records))]
    if lossless:
        return row | empty, [f"{' and '.join(lossless)}: lossless, so that there is no BD-rate"]
    notes = []
    try:
        a, b = curve(lines[0], panel), curve(lines[1], panel)
        for name, c in ((anchor, a), (method, b)):
            notes += [f"{panel.clip}: {name}: {text}" for text in c.notes]
        rate = bd_rate(a, b)
    except CurveError as error:
        return row | empty, [*notes, f"{panel.clip}: {method} against {anchor}: {error}"]
    try:
        gain = bd_psnr(a, b).value
    except CurveError as error:  # where one needs far less rate than the other
        gain = None
        notes.append(f"{panel.clip}: {method} against {anchor} has no BD-PSNR: {error}")
    for name, c in ((anchor, a), (method, b)):
        share = (rate.high - rate.low) / (c.psnrs[-1] - c.psnrs[0])
        if share < NARROW:
            notes.append(f"{panel.clip}: {method} against {anchor} covers {share:.0%} of the range of {name}")
    values = {
        "bd_rate_percent": rate.value,
        "bd_psnr_db": gain,
        "psnr_low": rate.low,
        "psnr_high": rate.high,
    }
    return row | values, notes


def differences(panels: Sequence[Panel], methods: Sequence[str], anchor: str) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows of every method on every clip against the anchor, then their mean over clips; and sentences."""
    rows: list[dict[str, Any]] = []
    notes: list[str] = []
    for method in methods:
        if method == anchor:
            continue
        mine = []
        for panel in panels:
            row, said = difference(panel, method, anchor)
            mine.append(row)
            notes += said
        rows += mine
        if len(mine) > 1:
            rows.append(_mean_row(mine, notes))
    return rows, list(dict.fromkeys(notes))


def _mean_row(rows: Sequence[dict[str, Any]], notes: list[str]) -> dict[str, Any]:
    """Mean over clips of BD-rate and BD-PSNR; of none where one is missing, as a mean over the rest would mislead."""
    first = rows[0]
    out = {"anchor": first["anchor"], "method": first["method"], "clip": MEAN}
    if lacking := [r["clip"] for r in rows if r["bd_rate_percent"] is None]:
        if len(lacking) < len(rows):
            words = f"{', '.join(lacking)} {'has' if len(lacking) == 1 else 'have'} no BD-rate"
            notes.append(f"{first['method']} against {first['anchor']} has no mean: {words}")
        return out | dict.fromkeys(("bd_rate_percent", "bd_psnr_db", "psnr_low", "psnr_high"))
    for name in ("bd_rate_percent", "bd_psnr_db"):
        values = [r[name] for r in rows]
        out[name] = None if None in values else sum(values) / len(values)
    return out | {"psnr_low": None, "psnr_high": None}


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
