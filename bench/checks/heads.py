"""What a head gains over its base, and what history adds to that.

    bench check heads CLIP --scale 2 --crf 56,60 --width 8,16
    bench check heads CLIP --history --loss 16,24,36

The first codes the clip's first segment once for each crf and shows that base plain (at scale 2: by the fixed Lanczos
filter) and with heads of several widths on it. A head is measured as the decoder has it: integers, coded to bytes and
read back, and not dropped where it does not pay. Its bytes stand beside its gain.

The second encodes the whole clip with a loss-stream, once with x = 0 and once with x = 1 earlier pictures in the head's
sight, decodes both files in fresh processes and compares them with the source here. As the two differ in bytes and in
quality, two or more steps give curves, and their BD-rate says which is ahead. With x = 0 no head is sent where none
pays; with x = 1 one is always sent.
"""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import replace
from fractions import Fraction

import click

import codec
from codec.base.coded import Base
from codec.cli.options import COUNT, Number, exact, shown
from codec.film.sources import source_of
from codec.frames import Frame, VideoInfo, channels_of
from codec.loss.coder import LossSettings
from codec.segment.fit_restorer import LAYERS, examples_of, fit_restorer
from codec.segment.head import Head
from codec.segment.passes import Passes
from codec.segment.presets import PRESETS
from codec.segment.scenes import split
from heads.restorer.coded import decode_layers
from heads.restorer.spec import HeadSpec
from heads.weights import encode_layers

from ..measure.point import step
from ..method import Film
from ..process import BenchError
from ..show.bdrate import Curve, CurveError, bd_psnr, bd_rate
from ..sources import described, open_clip
from ..tables import fixed, table

GAIN_HEAD = ("base", "bytes", "plain dB", "head", "weights", "head bytes", "head / base", "with head dB", "gain dB")
HISTORY_HEAD = (
    "step, x",
    "heads",
    "base bytes",
    "loss bytes",
    "head bytes",
    "file bytes",
    "Y dB",
    "U dB",
    "V dB",
    "YUV dB",
)


def tell(text: str) -> None:
    click.echo(text, err=True)


def numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(exact(part)) for part in text.split(","))
    except ValueError:
        raise click.BadParameter(f"{shown(text)} is no list of numbers such as 25,33,41") from None


def first_segment(path: str, limit: int | None) -> tuple[list[Frame], VideoInfo]:
    with source_of(path) as source:
        frames = next(split(source.frames(), source.info), [])
        return frames[:limit], source.info


def trained(passes: Passes, base: Base, width: int) -> tuple[Head, int]:
    """(a head for that base as the decoder reads it, its bytes)."""
    examples, _ = examples_of(passes, base, passes.preset.schedule)
    spec = HeadSpec(channels_of(passes.info.format.chroma), 0, LAYERS, width)
    head = fit_restorer(passes, examples, spec, passes.preset.schedule)
    if head is None:
        raise BenchError(f"the head of {width} channels left the range in which it is exact")
    data = encode_layers(head.layers)
    return Head(spec, tuple(decode_layers(data, spec))), len(data)


def psnr(passes: Passes, base: Base, head: Head | None) -> float:
    """PSNR-YUV of all pictures, each by the head where that is better, as a segment's header has it."""
    return passes.run(base, head, LossSettings()).psnr


def gains(
    path: str, scale: Fraction, crfs: tuple[float, ...], preset: str, widths: tuple[int, ...], limit: int | None
) -> tuple[str, list[float]]:
    """(table, gains in dB of the best head of each crf)."""
    frames, info = first_segment(path, limit)
    rows: list[tuple[object, ...]] = []
    best = []
    for crf in crfs:
        passes = Passes(frames, info, codec.Settings(preset=preset, head=True), scale)
        tell(f"base at crf {crf:g}, scale {float(scale):g}")
        base = passes.base(crf)
        plain = psnr(passes, base, None)
        name = f"crf {crf:g}, scale {float(scale):g}, {len(frames)} pictures"
        found = []
        for width in widths:
            tell(f"head of {width} channels")
            head, size = trained(passes, base, width)
            better = psnr(passes, base, head)
            found.append(better - plain)
            rows.append(
                (
                    name,
                    f"{base.bytes:,}",
                    fixed(plain, 3),
                    f"{LAYERS}x{width}",
                    f"{head.spec.weights:,}",
                    f"{size:,}",
                    f"{size / base.bytes:.1%}",
                    fixed(better, 3),
                    fixed(better - plain, 3, True),
                )
            )
        best.append(max(found))
    return table(GAIN_HEAD, rows), best


def encoded(film: Film, settings: codec.Settings) -> tuple[tuple[object, ...], int, tuple[float, float]]:
    """(row of the table, base bytes, (bytes of the file, PSNR-YUV)) of an encode of the whole clip, decoded afresh."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        file, pictures = os.path.join(folder, "a.nvc"), os.path.join(folder, "pictures")
        tell(f"loss-stream of step {settings.loss}, x = {settings.history}")
        done = codec.encode(film.path, file, settings)
        step("decode", folder, kind="video", method="nvc", file=file, pictures=pictures)
        found, _ = step("compare", folder, source=described(film), pictures=pictures)
    base, loss, head = (sum(getattr(s, f"{part}_bytes") for s in done.segments) for part in ("base", "loss", "head"))
    row = (
        f"{settings.loss}, {settings.history}",
        " ".join(dict.fromkeys(s.head for s in done.segments)),
        *(f"{n:,}" for n in (base, loss, head, done.bytes)),
        *(fixed(found[name]) for name in ("psnr_y", "psnr_u", "psnr_v")),
        fixed(found["psnr_yuv"], 3),
    )
    return row, base, (done.bytes, found["psnr_yuv"])


def with_history(film: Film, settings: codec.Settings, steps: tuple[int, ...]) -> str:
    """Table of x = 0 and x = 1 at each step, and their difference in words."""
    rows: list[tuple[object, ...]] = []
    points: dict[int, list[tuple[float, float]]] = {0: [], 1: []}
    for quantiser in steps:
        bases = set()
        for x in points:
            row, base, point = encoded(film, replace(settings, loss=quantiser, history=x))
            rows.append(row)
            points[x].append(point)
            bases.add(base)
        if len(bases) > 1:
            raise BenchError(f"the bases of x = 0 and x = 1 differ: {sorted(bases)} bytes")
    lines = [table(HISTORY_HEAD, rows), ""]
    for quantiser, (size0, psnr0), (size1, psnr1) in zip(steps, points[0], points[1], strict=True):
        more = 100 * (size1 / size0 - 1)
        lines.append(f"Step {quantiser}, x = 1 over x = 0: {psnr1 - psnr0:+.3f} dB, {more:+.2f} % of bytes")
    if len(steps) > 1:
        try:
            without, with_one = Curve.of(points[0]), Curve.of(points[1])
            rate, gain = bd_rate(without, with_one), bd_psnr(without, with_one)
            text = f"BD-rate {rate.value:+.2f} % over {rate.low:.2f}..{rate.high:.2f} dB, BD-PSNR {gain.value:+.3f} dB"
        except CurveError as error:
            text = f"No BD-rate: {error}"
        lines.append(text)
    return "\n".join(lines)


@click.command()
@click.argument("clip", type=click.Path(exists=True, dir_okay=False))
@click.option("--scale", type=click.Choice(["1", "1.5", "2", "3", "4"]), default="2", show_default=True)
@click.option("--crf", default="56,60", show_default=True, help="Of the base; the first alone with --history.")
@click.option("--preset", type=click.Choice(list(PRESETS)), default="medium", show_default=True)
@click.option("--width", help="Channels of the heads.  [default: those of the preset]")
@click.option("--frames", type=COUNT, help="At most so many pictures of the first segment.")
@click.option("--claim", type=Number(float, -100, 100), help="Fail unless the best head of each crf gains so many dB.")
@click.option("--history", is_flag=True, help="Compare x = 0 with x = 1 under a loss-stream.")
@click.option("--loss", default="24", show_default=True, help="Its quantiser steps.")
def main(
    clip: str,
    scale: str,
    crf: str,
    preset: str,
    width: str | None,
    frames: int | None,
    claim: float | None,
    history: bool,
    loss: str,
) -> None:
    """Measure heads on CLIP."""
    crfs = numbers(crf)
    if history:
        wish = codec.Settings(crf=crfs[0], scale=Fraction(scale), preset=preset)
        with open_clip(clip) as film:
            click.echo(with_history(film, wish, tuple(map(int, numbers(loss)))))
        return
    widths = tuple(w for w, _ in PRESETS[preset].widths) if width is None else tuple(map(int, numbers(width)))
    text, best = gains(clip, Fraction(scale), crfs, preset, widths, frames)
    click.echo(text)
    if claim is not None:
        held = min(best) >= claim
        click.echo(f"\nA head gains {claim:g} dB at every crf: {'holds' if held else 'FAILS'}")
        sys.exit(0 if held else 1)
