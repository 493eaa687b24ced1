"""Published figures: curves that others measured, with their source, and what ours differ from them by.

A file here holds one curve, a JSON object with the fields of `Published`; figures stand as they were published. Rates
and qualities are means over the pictures of a set, as ours are: of bits per pixel, and of each picture's PSNR of RGB.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from importlib import resources
from types import NoneType
from typing import Any, ClassVar, Protocol, TypeVar, get_args, get_origin, get_type_hints

import numpy as np

from ...process import BenchError
from ...results import Record
from ...tables import fixed, table
from ..bdrate import Curve, CurveError, Difference, bd_psnr, interpolate
from ..curves import Line

FAR = 1.0  # dB; a difference above it is pointed out in words


class _Dataclass(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Any]]


T = TypeVar("T", bound=_Dataclass)


@dataclass(frozen=True)
class Point:
    """One published point. `origin`: where it was seen, where that is not the source of its curve."""

    bpp: float
    psnr_rgb: float  # dB
    ms_ssim: float | None
    setting: float | str | None
    origin: str | None = None


@dataclass(frozen=True)
class Source:
    """Where figures stand, and the day on which they were read there: a file in a repository, or an address."""

    title: str
    seen: str
    repository: str | None = None
    path: str | None = None
    commit: str | None = None
    address: str | None = None

    def __str__(self) -> str:
        commit = self.commit and f"commit {self.commit[:10]}"
        parts = (self.title, self.repository, self.path, commit, self.address, f"seen {self.seen}")
        return ", ".join(part for part in parts if part)


@dataclass(frozen=True)
class Published:
    """One published curve, by rising rate.

    `name` stands beside its line. `method` is our method of the same codec that the curve can check, None where there
    is none. `how`: command or settings. `precision`: what was rounded, averaged or told by others.
    """

    name: str
    method: str | None
    description: str
    source: Source
    set: str  # "Kodak, 24 pictures"
    how: str
    precision: str
    points: tuple[Point, ...]

    def line(self) -> Line:
        """The curve as it is drawn; its records have the fields of its points."""
        records = tuple(dict(vars(point)) for point in self.points)
        return Line(self.name, records, reference=f"{self.source}; {self.precision}")


def _value(hint: Any, value: Any, where: str) -> Any:
    """The value, which must be of the type that `hint` stands for."""
    if isinstance(hint, type) and is_dataclass(hint):
        return _filled(hint, value, where)
    if get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise BenchError(f"{where}: a list is due")
        return tuple(_value(get_args(hint)[0], item, f"{where}, {k}") for k, item in enumerate(value, 1))
    kinds = get_args(hint) or (hint,)
    if type(value) not in kinds:
        due = " or ".join({float: "a number", str: "a text", NoneType: "null"}[kind] for kind in kinds)
        raise BenchError(f"{where}: {due} is due, not {value!r}")
    if isinstance(value, float) and not math.isfinite(value):
        raise BenchError(f"{where}: {value!r} is not finite")
    return value


def _filled(kind: type[T], data: Any, where: str) -> T:
    """A dataclass of that kind from a JSON object, which must have its fields and no other ones."""
    if not isinstance(data, dict):
        raise BenchError(f"{where}: an object is due")
    hints = get_type_hints(kind)
    missing = {f.name for f in fields(kind) if f.default is MISSING} - data.keys()
    for names, words in ((missing, "is missing"), (data.keys() - hints.keys(), "is not known")):
        if names:
            raise BenchError(f"{where}: {min(names)} {words}")
    return kind(**{name: _value(hints[name], value, f"{where}, {name}") for name, value in data.items()})


def read(text: str, file: str) -> Published:
    """The curve that a file holds. Raises BenchError, naming the file, where it is not one."""
    try:
        data = json.loads(text, parse_int=float)
    except ValueError as error:
        raise BenchError(f"{file} is not JSON: {error}") from None
    curve = _filled(Published, data, file)
    if curve.source.repository is None and curve.source.address is None:
        raise BenchError(f"{file}, source: it needs a repository or an address")
    if len(curve.points) < 2:
        raise BenchError(f"{file}: a curve needs two points")
    below = 0.0
    for k, point in enumerate(curve.points, 1):
        if not point.bpp > below:
            raise BenchError(f"{file}, points, {k}: rates must be positive and rise, and {point.bpp} does not")
        if point.ms_ssim is not None and not 0 <= point.ms_ssim <= 1:
            raise BenchError(f"{file}, points, {k}: an MS-SSIM of {point.ms_ssim} is none")
        below = point.bpp
    return curve


def published(name: str | None = None) -> list[Published]:
    """The curves that are kept here, or the one of the file `name`.json. Raises BenchError for a broken file, and
    where there is no such one."""
    files = sorted((f for f in resources.files(__name__).iterdir() if f.name.endswith(".json")), key=lambda f: f.name)
    if name is not None and f"{name}.json" not in [file.name for file in files]:
        names = ", ".join(file.name.removesuffix(".json") for file in files)
        raise BenchError(f"no figures of {name!r} are kept; there are those of {names}")
    return [
        read(file.read_text(encoding="utf-8"), f"bench/show/reference/{file.name}")
        for file in files
        if name is None or file.name == f"{name}.json"
    ]


def lines(set: str = "kodak") -> tuple[Line, ...]:
    """The published curves on a set, which is named by the first word of theirs, in letters of any case."""
    return tuple(curve.line() for curve in published() if curve.set.split(",")[0].lower() == set.lower())


@dataclass(frozen=True)
class Check:
    """Our curve beside the published one of the same codec; differences in dB, positive where ours is better.

    `difference`: at equal rate, on average over the range of bits per pixel that both cover. `largest`: of those at the
    `compared` published points within our range, at `bpp`. Each is None where the curves do not meet; `problem` says
    why. `settings`: ours.
    """

    method: str
    settings: str | None
    published: Published
    difference: Difference | None = None
    largest: float | None = None
    bpp: float | None = None
    compared: int = 0
    problem: str | None = None

    @property
    def far(self) -> bool:
        """Whether the curves are more than `FAR` apart, on average or at a point."""
        return any(abs(d) > FAR for d in (self.difference and self.difference.value, self.largest) if d is not None)


def compare_published(records: Sequence[Record], published: Sequence[Published]) -> list[Check]:
    """How our mean points on a set differ from the published curves of the same codecs.

    `records` are means over the set, with `method`, `bpp`, `psnr_rgb` and maybe `settings`; a method with options, as
    "jpeg:key=value", is compared under its name, and each of its settings for itself.
    """
    ours: dict[tuple[str, str | None], list[tuple[float, float]]] = {}
    for record in records:
        if record.get("bpp") is not None and record.get("psnr_rgb") is not None:
            points = ours.setdefault((record["method"], record.get("settings")), [])
            points.append((record["bpp"], record["psnr_rgb"]))
    return [
        _check(method, settings, points, curve)
        for (method, settings), points in ours.items()
        for curve in published
        if curve.method == method.split(":")[0]
    ]


def _check(method: str, settings: str | None, points: list[tuple[float, float]], theirs: Published) -> Check:
    try:
        curve = Curve.of(points)
        difference = bd_psnr(Curve.of((p.bpp, p.psnr_rgb) for p in theirs.points), curve)
    except CurveError as error:
        return Check(method, settings, theirs, problem=str(error))
    within = [p for p in theirs.points if curve.rates[0] <= p.bpp <= curve.rates[-1]]
    at = interpolate(np.log(curve.rates), curve.psnrs, np.log([p.bpp for p in within]))
    gaps = [(float(psnr) - p.psnr_rgb, p.bpp) for psnr, p in zip(at, within, strict=True)]
    largest, bpp = max(gaps, key=lambda gap: abs(gap[0]), default=(None, None))
    return Check(method, settings, theirs, difference, largest, bpp, len(within))


def checks_table(checks: Sequence[Check], pictures: int | None = None) -> str:
    """The checks as a table, and what to know when reading it. `pictures`: how many of the set are ours."""
    if not checks:
        return "Nothing that was measured has published figures to check it by."
    header = ("ours", "published", "dB at equal rate", "over bpp", "largest dB", "at bpp", "points")
    rows, words = [], []
    for check in checks:
        mean = check.difference
        over = mean and f"{mean.low:.2f}–{mean.high:.2f}"
        gaps = (fixed(mean and mean.value, sign=True), over, fixed(check.largest, sign=True), fixed(check.bpp))
        rows.append((check.method, check.published.name, *gaps, check.compared))
        words.append(f"{check.method}: published with {check.published.how}; ours with {check.settings or 'its own'}.")
        if check.problem:
            words[-1] += f" No comparison: {check.problem}."
        if check.far:
            words[-1] += f" The difference is above {FAR:g} dB: other options, other pictures, or an error of ours."
    sets = " and ".join(dict.fromkeys(check.published.set for check in checks))
    ours = f"{pictures} pictures" if pictures else "the pictures that were measured, maybe fewer"
    note = f"Above 0: ours is better. Published means are over {sets}; ours over {ours}."
    return "\n\n".join([table(header, rows), note, *words])
