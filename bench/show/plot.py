"""Rate–distortion curves as pictures, rd.png and rd.svg, and how a method looks wherever it is drawn.

The scale of the quality is that of the lossy points. A point that is lossless, or beyond `CEILING`, stands at the top
edge with its rate, so that it can neither squash the curves nor go unseen. The same panels give the same SVG file.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from codec.media.parts import write_whole

from ..process import BenchError
from ..results import MEASURES, Record, equal
from .curves import Line, Panel

CEILING = 60.0  # dB; above it a PSNR says that a few samples differ, and a scale up to there would hide the curves

# On white and on black paper. After Okabe and Ito, so that they differ in lightness too; each has a marker of its own,
# and a second round of the same colours has hollow ones.
_COLOURS = (
    ("#0072b2", "#4da3e0"),
    ("#d55e00", "#ff8a4c"),
    ("#009e73", "#2bc79a"),
    ("#b5489a", "#e08cc8"),
    ("#3f9fdb", "#a3d8f7"),
    ("#c08400", "#f0b83a"),
    ("#333333", "#ececec"),
)
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_DASHES = ((5, 2), (2, 2), (7, 2, 2, 2), (9, 3))
_GREY, _FAINT = "#6b6b6b", "#d8d8d8"
_STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.parse_math": False,  # a dollar sign in a name is one
    "svg.hashsalt": "nvc",
}
_UNITS = {"kbps": "kbit/s", "bpp": "bits per pixel"}
_QUALITIES = {name: f"{words}, dB" for names in MEASURES.values() for name, words in names.items()}


class Look(NamedTuple):
    """How a method is drawn: its colour on white and on black, and its marker by matplotlib's letter."""

    light: str
    dark: str
    marker: str
    hollow: bool


def looks(panels: Iterable[Panel]) -> dict[str, Look]:
    """The look of each method measured, in the order in which the panels name them."""
    names = dict.fromkeys(line.method for panel in panels for line in panel.lines if line.reference is None)
    found = {}
    for k, name in enumerate(names):
        turn, colour = divmod(k, len(_COLOURS))
        found[name] = Look(*_COLOURS[colour], _MARKERS[(colour + turn) % len(_MARKERS)], turn % 2 == 1)
    return found


def number(record: Record, name: str) -> float | None:
    """A field of a record that is a finite number, else None."""
    value = record.get(name)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def lossless(record: Record) -> bool:
    """Whether every sample came back; published points and failed ones do not say."""
    return "identical" in record and equal(record)


def draw(panels: Sequence[Panel], folder: Path) -> None:
    """Write rd.png and rd.svg. Raises BenchError where matplotlib is not installed."""
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        raise BenchError("rd.png and rd.svg are drawn by matplotlib: pip install 'nvc[bench]'") from None
    columns, rows = min(2, max(1, len(panels))), max(1, math.ceil(len(panels) / 2))
    width = 8.0 if columns == 1 else 12.5
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # whatever the user's own settings are
        matplotlib.rcParams.update(_STYLE)
        figure: Any = Figure(figsize=(width, 4.7 * rows + 0.5), dpi=130, layout="constrained")
        figure.get_layout_engine().set(w_pad=0.12, h_pad=0.1)
        grid = list(figure.subplots(rows, columns, squeeze=False).flat)
        styles = looks(panels)
        for axes, panel in zip(grid, panels, strict=False):
            _panel(axes, panel, styles)
        for axes in grid[len(panels) :]:
            axes.set_axis_off()
        _legend(figure, styles, width)
        for kind in ("png", "svg"):
            buffer = io.BytesIO()
            figure.savefig(buffer, format=kind, metadata={"Date": None} if kind == "svg" else None)
            write_whole(Path(folder) / f"rd.{kind}", buffer.getvalue())


def _panel(axes: Any, panel: Panel, styles: dict[str, Look]) -> None:
    """Draw one clip."""
    drawn = [(line, *_split(line, panel)) for line in panel.lines]
    inside = [point for _, points, _ in drawn for point in points]
    rates = [rate for _, points, above in drawn for rate, _ in points + above]
    low, high = (min(rates), max(rates)) if rates else (1.0, 10.0)
    pad = max((high / low) ** 0.05, 1.08)
    axes.set_xscale("log")
    axes.set_xlim(low / pad, high * pad)
    bottom, top = (min(q for _, q in inside), max(q for _, q in inside)) if inside else (30.0, 45.0)
    pad = max((top - bottom) * 0.06, 0.25)
    axes.set_ylim(bottom - pad, top + pad)
    _ticks(axes)

    for line, points, _ in drawn:
        if line.reference is None:
            look = styles[line.method]
            fill = "white" if look.hollow else look.light
            axes.plot(*zip(*points, strict=True) if points else ((), ()), color=look.light, marker=look.marker,
                      markersize=5.5, markerfacecolor=fill, linewidth=1.6, zorder=3)  # fmt: skip
    references = [(line, points) for line, points, _ in drawn if line.reference is not None and points]
    for k, (_, points) in enumerate(references):
        axes.plot(*zip(*points, strict=True), color=_GREY, linewidth=0.8, dashes=_DASHES[k % len(_DASHES)], zorder=2)
    _name(axes, [(line.method, points[-1]) for line, points in references])
    _mark_top(axes, panel, [(line, above) for line, _, above in drawn if above], styles)

    empty = [line.method for line, points, above in drawn if not points and not above]
    if empty:
        _text(axes, f"no point: {', '.join(empty)}", (1, 0), (-4, 4), ha="right", va="bottom", color=_GREY)
    _text(axes, panel.clip, (0, 1), (0, 27), size=11, weight="bold")
    _text(axes, panel.about, (0, 1), (0, 15), color=_GREY)
    axes.set_xlabel(_UNITS.get(panel.rate, panel.rate), labelpad=3)
    axes.set_ylabel(_QUALITIES.get(panel.quality, panel.quality))


def _split(line: Line, panel: Panel) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """A line's (rate, quality) points within the scale, and those above it, where the lossless have infinity."""
    inside: list[tuple[float, float]] = []
    above: list[tuple[float, float]] = []
    for record in line.records:
        rate, quality = number(record, panel.rate), number(record, panel.quality)
        if rate is None or rate <= 0 or record.get("error"):
            continue
        if lossless(record):
            above.append((rate, math.inf))
        elif quality is not None:
            (inside if quality <= CEILING else above).append((rate, quality))
    return inside, above


def _ticks(axes: Any) -> None:
    """Plain numbers along the rate, and a faint grid."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(FixedLocator(rate_ticks(low, high, 9)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(True, color=_FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(length=3, color=_GREY)


def rate_ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers within low..high for a logarithmic scale, at most so many where the range spans few decades."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    best: list[float] = []
    for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7), [k / 4 for k in range(4, 40)]):
        ticks = [float(f"{step}e{decade}") for decade in decades for step in steps]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) <= most or not best:
            best = ticks
    return best


def _text(axes: Any, text: str, at: tuple[float, float], shift: tuple[float, float], **style: Any) -> None:
    """Text at a place given in fractions of the axes, moved by points."""
    axes.annotate(text, at, shift, xycoords="axes fraction", textcoords="offset points",
                  annotation_clip=False, **{"size": 8, **style})  # fmt: skip


def _place(axes: Any, rate: float, quality: float) -> tuple[float, float]:
    """A point in fractions of the axes."""
    x, y = axes.transAxes.inverted().transform(axes.transData.transform((rate, quality)))
    return float(x), float(y)


def _name(axes: Any, ends: Sequence[tuple[str, tuple[float, float]]]) -> None:
    """Write the names of reference lines at their ends, none over another."""
    from matplotlib.patheffects import withStroke

    halo = [withStroke(linewidth=2.5, foreground="white")]
    taken: list[tuple[float, float, float]] = []  # left and right end, height
    for (x, y), name in sorted((_place(axes, *point), name) for name, point in ends):
        wide = _share(axes, name)
        left = x + 0.01 if x + 0.01 + wide <= 1 else x - 0.01 - wide
        while any(left < end and begin < left + wide and abs(y - other) < 0.036 for begin, end, other in taken):
            y -= 0.004
        taken.append((left, left + wide, y))
        _text(axes, name, (left, y), (0, 0), size=7.5, color=_GREY, va="center", path_effects=halo, zorder=4)


def _share(axes: Any, text: str) -> float:
    """About how much of the width of the axes a small text takes."""
    return len(text) * (0.0115 if axes.get_subplotspec().get_gridspec().ncols == 2 else 0.0095)


def _mark_top(axes: Any, panel: Panel, lines: Sequence[tuple[Line, Sequence[tuple[float, float]]]],
              styles: dict[str, Look]) -> None:  # fmt: skip
    """Draw what lies above the scale at its top edge, each with an arrow and its rate, in rows that do not collide."""
    ends: list[float] = []  # of each row of labels
    points = [(_place(axes, rate, 0)[0], rate, quality, line) for line, above in lines for rate, quality in above]
    for x, rate, quality, line in sorted(points, key=lambda p: p[0]):
        look = styles.get(line.method)
        colour, marker = (look.light, look.marker) if look else (_GREY, "o")
        fill = "white" if look is None or look.hollow else colour
        axes.annotate("", (x, 1), (0, 13), xycoords="axes fraction", textcoords="offset points", annotation_clip=False,
                      arrowprops={"arrowstyle": "<-", "color": colour, "shrinkA": 0, "shrinkB": 0})  # fmt: skip
        axes.plot([x], [1], transform=axes.transAxes, clip_on=False, color=colour, marker=marker, markersize=5.5,
                  markerfacecolor=fill, zorder=5)  # fmt: skip
        shown = f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"
        label = f"∞ at {shown}" if math.isinf(quality) else f"{quality:.1f} dB at {shown}"
        half = _share(axes, label) / 2
        middle = min(x, 1 - half)
        row = _row(ends, middle - half, middle + half)
        _text(axes, label, (middle, 1), (0, -8 - 10 * row), ha="center", va="top", color=colour, size=7.5)


def _row(ends: list[float], start: float, end: float) -> int:
    """The first row in which a label from `start` to `end` follows the last one with a gap; it is taken."""
    row = next((k for k, taken in enumerate(ends) if taken + 0.01 <= start), len(ends))
    ends[row : row + 1] = [end]
    return row


def _legend(figure: Any, styles: dict[str, Look], width: float) -> None:
    """All methods, once, below the panels."""
    from matplotlib.lines import Line2D

    if not styles:
        return
    handles = [
        Line2D([], [], color=s.light, marker=s.marker, markersize=5.5, linewidth=1.6,
               markerfacecolor="white" if s.hollow else s.light)
        for s in styles.values()
    ]  # fmt: skip
    columns = max(1, min(len(styles), int(width * 13 / (max(map(len, styles)) + 7))))
    legend = figure.legend(handles, ["." for _ in styles], loc="outside lower center", ncols=columns, frameon=False)
    for text, name in zip(legend.get_texts(), styles, strict=True):
        text.set_text(name)  # not before: a label that begins with "_" would be left out
