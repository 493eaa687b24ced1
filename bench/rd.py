"""Rate and quality of NVC and of libav's encoders, and the BD-rates between them.

    python -m bench.rd CLIP... --json results.jsonl

Every point is a whole file, decoded again in a fresh process and compared with the source here; sound is left out on
all sides. Points that the file of results already holds, for the same clip, settings and code, are not measured again.
"""

from __future__ import annotations

import math
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

import click

from codec.errors import NvcError
from codec.settings import PRESETS

from .bdrate import Curve, CurveError, Difference, bd_psnr, bd_rate
from .method import KEY, Clip, Method, clip, measure, nvc, peers, point
from .peers import AV1_POINTS, PEERS
from .process import BenchError
from .report import Record, Results, fixed, table

POINTS_HEAD = ("method", "crf", "bytes", "kbit/s", "Y dB", "U dB", "V dB", "YUV dB", "encode s", "decode s")
NARROW = 0.5  # share of a curve's range of PSNR below which a BD-rate says little of the curve
DIFFERENCE_HEAD = ("method", "anchor", "clip", "BD-rate %", "BD-PSNR dB", "from dB", "to dB", "encode ×", "decode ×")


SLOPE_HEAD = ("method", "clip", "dB for a factor e of rate", "from dB", "to dB")


def tell(text: str) -> None:
    click.echo(text, err=True)


def points_of(method: Method, film: Clip, results: Results, run: str) -> tuple[list[Record], list[str]]:
    """(the method's points, each kept as soon as it is measured; sentences on those that failed)."""
    records, faults = [], []
    for setting in method.points:
        wanted = point(method, film, setting)
        record = results.find(wanted)
        if record is None:
            tell(f"{film.name}: {method.name} at {setting:g}")
            try:
                record = measure(method, film, setting) | {"run": run}
            except (BenchError, NvcError) as error:
                faults.append(f"{film.name}: {method.name} at {setting:g}: {error}")
                tell(f"failed: {faults[-1]}")
                continue
            results.add(record)
        records.append(record)
    return records, faults


def points_table(records: Sequence[Record]) -> str:
    rows = [
        (
            r["method"],
            f"{r['setting']:g}",
            f"{r['bytes']:,}",
            fixed(r["kbps"], 1),
            *(fixed(r[f"psnr_{plane}"]) for plane in ("y", "u", "v")),
            fixed(r["psnr_yuv"], 3),
            fixed(r["encode_s"], 1),
            fixed(r["decode_s"], 1),
        )
        for r in records
    ]
    return table(POINTS_HEAD, rows)


def curve(records: Sequence[Record]) -> Curve:
    return Curve.of((r["kbps"], r["psnr_yuv"]) for r in records)


def ratio(method: Sequence[Record], anchor: Sequence[Record], field: str) -> str | None:
    """How many times longer the method's points took, where all of both were measured in one run."""
    if len({r.get("run") for r in (*method, *anchor)}) != 1:
        return None
    return fixed(sum(r[field] for r in method) / len(method) / (sum(r[field] for r in anchor) / len(anchor)))


def differences(
    points: dict[str, dict[str, list[Record]]], method: str, anchor: str
) -> tuple[list[tuple[object, ...]], float | None, list[str]]:
    """(rows of the table, mean BD-rate over all clips or None where one is missing, sentences on what is missing).
    `points`: records by clip and method."""
    rows: list[tuple[object, ...]] = []
    rates: list[Difference] = []
    gains: list[Difference] = []
    notes: list[str] = []
    for name, of in points.items():
        try:
            a, b = curve(of[anchor]), curve(of[method])
            notes += [f"{name}: {m}: {text}" for m, c in ((anchor, a), (method, b)) for text in c.notes]
            rate, gain = bd_rate(a, b), bd_psnr(a, b)
            for m, c in ((anchor, a), (method, b)):
                share = (rate.high - rate.low) / (c.psnrs[-1] - c.psnrs[0])
                if share < NARROW:
                    notes.append(f"{name}: {method} against {anchor} covers {share:.0%} of the range of {m}")
        except CurveError as error:
            notes.append(f"{name}: {method} against {anchor}: {error}")
            continue
        rates.append(rate)
        gains.append(gain)
        times = [ratio(of[method], of[anchor], field) for field in ("encode_s", "decode_s")]
        ends = fixed(rate.low), fixed(rate.high)
        rows.append((method, anchor, name, fixed(rate.value, 1, True), fixed(gain.value, 2, True), *ends, *times))
    if not rates or len(rates) < len(points):
        return rows, None, notes
    mean = sum(r.value for r in rates) / len(rates)
    if len(rates) > 1:
        mean_gain = fixed(sum(g.value for g in gains) / len(gains), 2, True)
        rows.append((method, anchor, "mean", fixed(mean, 1, True), mean_gain, None, None, None, None))
    return rows, mean, notes


def slopes_table(points: dict[str, dict[str, list[Record]]]) -> str:
    """How fast quality rises with rate between the ends of each curve: what a byte is worth (`segment.WORTH`)."""
    rows = []
    for name, of in points.items():
        for method, records in of.items():
            try:
                c = curve(records)
            except CurveError:
                continue
            slope = (c.psnrs[-1] - c.psnrs[0]) / math.log(c.rates[-1] / c.rates[0])
            rows.append((method, name, fixed(slope), fixed(c.psnrs[0]), fixed(c.psnrs[-1])))
    return table(SLOPE_HEAD, rows)


def numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise click.BadParameter(f"{text!r} is no list of numbers such as 25,33,41") from None


def known_peers(text: str) -> list[str]:
    names = [name for name in text.split(",") if name]
    if unknown := [name for name in names if name not in PEERS]:
        raise click.BadParameter(f"{', '.join(unknown)}: the peers are {', '.join(PEERS)}")
    return names


@click.command()
@click.argument("clips", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False))
@click.option("--points", default=",".join(f"{p:g}" for p in AV1_POINTS), show_default=True, help="crf of nvc.")
@click.option("--peer-points", help="crf of every peer, instead of those in its table.")
@click.option("--preset", type=click.Choice(list(PRESETS)), default="medium", show_default=True)
@click.option("--peers", "names", default=",".join(PEERS), show_default=True, help="Peers, by name.")
@click.option("--anchor", default="x265", show_default=True, help="What all others are compared with.")
@click.option("--variant", "variants", multiple=True, help='One more nvc, with these options: "--no-head".')
@click.option("--frames", type=click.IntRange(1), help="Only so many pictures of each clip.")
@click.option("--json", "path", type=click.Path(dir_okay=False), help="File of results, taken up again.")
@click.option("--claim", type=float, help="Fail unless nvc's mean BD-rate against the anchor is at most this.")
def main(
    clips: tuple[str, ...],
    points: str,
    peer_points: str | None,
    preset: str,
    names: str,
    anchor: str,
    variants: tuple[str, ...],
    frames: int | None,
    path: str | None,
    claim: float | None,
) -> None:
    """Measure nvc and its peers on CLIPS; print points and BD-rates as Markdown."""
    ours = [nvc(preset, numbers(points), shlex.split(text)) for text in ("", *variants)]
    others = peers(list(dict.fromkeys([*known_peers(anchor), *known_peers(names)])))
    if peer_points:
        others = [replace(method, points=numbers(peer_points)) for method in others]
    results, run = Results(path, KEY), f"{time.time():.0f}"
    for method in (*ours, *others):
        click.echo(f"- {method.name}: {method.settings}")
    found: dict[str, dict[str, list[Record]]] = {}
    faults: list[str] = []
    for file in clips:
        try:
            with clip(file, frames) as film:
                shown: dict[str, list[Record]] = {}
                for method in (*ours, *others):
                    shown[method.name], failed = points_of(method, film, results, run)
                    faults += failed
        except NvcError as error:
            raise click.ClickException(str(error)) from None
        name = film.name if film.name not in found else file
        found[name] = shown
        about = f"{film.info.width}x{film.info.height}, {film.frames} frames, {film.seconds:.2f} s"
        click.echo(f"\n{name} ({about})\n\n{points_table([r for rs in shown.values() for r in rs])}")
    notes: list[str] = []
    tables: list[tuple[object, ...]] = []
    reached: float | None = None
    pairs = [(ours[0].name, m.name) for m in others] + [(m.name, anchor) for m in (*ours[1:], *others)]
    pairs += [(m.name, ours[0].name) for m in ours[1:]]
    for one, against in dict.fromkeys(pairs):
        if one != against:
            rows, mean, missing = differences(found, one, against)
            tables += rows
            notes += missing
            reached = mean if (one, against) == (ours[0].name, anchor) else reached
    click.echo(f"\n{table(DIFFERENCE_HEAD, tables)}")
    click.echo(f"\n{slopes_table(found)}")
    for text in dict.fromkeys((*faults, *notes)):
        click.echo(f"\nNote: {text}")
    if claim is not None:
        held = reached is not None and reached <= claim
        click.echo(f"\nBD-rate against {anchor} at most {claim:g} %: {'holds' if held else 'FAILS'}")
        faults += [] if held else ["the claim"]
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
