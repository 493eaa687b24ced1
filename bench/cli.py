"""The command line: `bench rd-curve | images | lossless | speed | picture | report | methods | check`. It holds no
logic, and imports what a command needs when that is called, so that `--help` does not wait for torch.

Exit codes: 0 fine, 1 a point failed or the input is bad, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from codec.cli.command import Group, run_to_end
from codec.cli.options import COUNT, Number, exact, shown, whole
from codec.cli.streams import put, say

from .checks import Checks
from .process import BenchError
from .results import RUN

if TYPE_CHECKING:
    from .installation import Installation
    from .method import Kind, Method

VIDEO_DEFAULT = "nvc,x264,x265,svt-av1,svt-av1-p2-10bit,vp9,lzma"
SPEED_DEFAULT = "nvc@32,x265@24,svt-av1@32"
PICTURE_DEFAULT = "svt-av1-p2-10bit,svt-av1-half,svt-av1-third,x265-half,nvc-rate:preset=slow"
DOWN_TO = 0.3
IMAGE_DEFAULT = "jpeg,webp,avif,jxl"
ANCHORS: dict[str, str] = {"video": "svt-av1", "image": "jpeg"}


def _installations(texts: Sequence[str]) -> dict[str, Installation]:
    """Other installations by their names. Raises click.BadParameter for what is none."""
    from .installation import installations

    try:
        return installations(texts)
    except BenchError as error:
        raise click.BadParameter(str(error)) from None


def _methods(
    kind: Kind, names: str, anchor: str | None, beside: Mapping[str, Installation] | None = None
) -> tuple[list[Method], list[Method]]:
    """(methods, the anchors among them). Raises click.BadParameter for an unknown name."""
    from .methods import find_all

    try:
        named = [method.name for method in find_all(kind, anchor or "", beside)]
        found = find_all(kind, ",".join((names, anchor or "")), beside)
    except BenchError as error:
        raise click.BadParameter(str(error)) from None
    if not found:
        raise click.BadParameter("no method is named")
    usual = [m.name for m in found if m.name == ANCHORS[kind]] or [m.name for m in found if m.knob is not None]
    named = named or usual[:1] or [found[0].name]
    return found, [next(m for m in found if m.name == name) for name in named]


_frames = click.option("--frames", type=COUNT, help="Only so many pictures of each clip.")
_beside = click.option("--beside", multiple=True, metavar="NAME=PLACE",
                       help="Another installation of NVC, an interpreter or a folder with a copy: "
                            "nvc@NAME is then its method.")  # fmt: skip
_out = click.option("--out", type=click.Path(file_okay=False, path_type=Path), default="bench-results",
                    show_default=True, help="Folder for results, taken up again.")  # fmt: skip


def _shared(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of the commands that measure curves."""
    for option in (
        click.option("--jobs", type=Number(int, 1, 64), default=1, show_default=True,
                     help="Points measured side by side; above 1, times say little."),
        _out,
        _beside,
        click.option("--anchor", help="What all others are compared with; of several, the best at each quality."),
        click.option("--points", type=Number(int, 2, 50), default=6, show_default=True,
                     help="About so many a curve."),
    ):  # fmt: skip
        command = option(command)
    return command


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def cli() -> None:
    """Rate, quality and speed of NVC and of the usual codecs, measured alike.

    A method is named NAME or NAME:key=value with options of its own ("nvc:preset=slow", "x265:preset=veryslow").
    `bench methods` lists them.

    Exit codes: 0 fine, 1 a point failed or the input is bad, 2 wrong usage, 130 interrupted.
    """


@contextmanager
def _kept_points() -> Iterator[None]:
    """An interruption inside says what becomes of the points that are finished."""
    try:
        yield
    except KeyboardInterrupt as error:
        error.add_note("the same command goes on where it stopped")
        raise


def _curves(
    kind: Kind,
    paths: Sequence[str],
    names: str,
    anchor: str | None,
    points: int,
    frames: int | None,
    out: Path,
    jobs: int,
    beside: Sequence[str],
    below: str | None = None,
    down_to: float | None = None,
) -> int:
    from codec.media.parts import write_whole

    from .measure.runner import Below, Runner, run_curves
    from .show import report

    others = _installations(beside)
    methods, anchors = _methods(kind, names, anchor, others)
    if below is None and down_to is not None:
        raise click.UsageError("--down-to is a share of the rate that --below names")
    over = anchors[0] if below is None else Below(*_entry(kind, below, others), down_to or DOWN_TO)
    with _kept_points():
        runner = Runner(out, jobs, say)
        clips = run_curves(kind, paths, methods, over, points, frames, runner)
    asked = {
        "command": f"bench {shlex.join(sys.argv[1:])}",
        "kind": kind,
        "clips": clips,
        "methods": [{"name": m.name, "settings": m.settings, "version": m.version()} for m in methods],
        "anchor": ",".join(m.name for m in anchors),
        "rates": None if below is None else str(over),
        "date": time.strftime("%Y-%m-%d"),
    }
    write_whole(out / RUN, json.dumps(asked, indent=1).encode() + b"\n")
    put(report.build(out))
    say(f"{out / 'index.html'} shows the curves; results, tables and plots lie beside it")
    return 1 if runner.failed else 0


@cli.command("rd-curve")
@click.argument("clips", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False))
@click.option("--methods", default=VIDEO_DEFAULT, show_default=True)
@click.option(
    "--below",
    metavar="METHOD@SETTING",
    help="Measure at the rates below this point's, instead of at the qualities of the anchor.",
)
@click.option(
    "--down-to",
    type=Number(float, 0.001, 0.999),
    help=f"With --below: down to so many times that rate.  [default: {DOWN_TO}]",
)
@_frames
@_shared
def rd_curve(clips: tuple[str, ...], methods: str, **options: Any) -> int:
    """Rate-distortion curves of video methods on CLIPS, with tables, plots and a page."""
    return _curves("video", clips, methods, **options)


@cli.command("images")
@click.argument("pictures", nargs=-1, required=True, type=click.Path(exists=True))
@click.option("--methods", default=IMAGE_DEFAULT, show_default=True)
@_shared
def images(pictures: tuple[str, ...], methods: str, anchor: str | None, points: int, out: Path, jobs: int,
           beside: tuple[str, ...]) -> int:  # fmt: skip
    """Rate-distortion curves of picture methods on PICTURES or folders of them: the mean over the set."""
    from .sources import stills_in

    return _curves("image", stills_in(pictures), methods, anchor, points, None, out, jobs, beside)


@cli.command("lossless")
@click.argument("clips", nargs=-1, required=True, type=click.Path(exists=True))
@click.option("--methods", help="[default: all that are lossless]")
@_frames
@_out
def lossless_command(clips: tuple[str, ...], methods: str | None, frames: int | None, out: Path) -> int:
    """Sizes and speed of lossless methods on CLIPS or pictures; every file is decoded and compared."""
    from .lossless import compare
    from .measure.runner import Runner
    from .methods import lossless
    from .sources import kind_of, stills_in

    kinds = {kind_of(path) if Path(path).is_file() else "image" for path in clips}
    if len(kinds) > 1:
        raise click.BadParameter("films and pictures are compared in runs of their own")
    kind: Kind = "image" if "image" in kinds else "video"
    chosen, _ = _methods(kind, methods or ",".join(lossless(kind)), None)
    if lossy := [m.name for m in chosen if m.lossless is None]:
        raise click.BadParameter(f"{', '.join(lossy)} is not lossless")
    paths = stills_in(clips) if kind == "image" else list(clips)
    with _kept_points():
        runner = Runner(out, 1, say)
        text = compare(paths, chosen, frames, runner)
    put(text)
    return 1 if runner.failed else 0


@cli.command("speed")
@click.argument("clips", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False))
@click.option("--methods", help=f"NAME or NAME@SETTING.  [default: {SPEED_DEFAULT}]")
@click.option("--anchor", help="What all others are compared with.  [default: the first]")
@click.option("--runs", type=COUNT, default=3, show_default=True)
@_frames
@_beside
@click.option("--cores", help="Run on the processors of these numbers alone, as in 0,1.")
@click.option("--isa", help="Hold libraries to instruction sets up to this one, in oneDNN's words, as in AVX2.")
@click.option("--kernel", help="Hold NVC's networks to kernels of integers of this name, as in int8.")
@click.option("--threads", type=Number(int, 0, 256), help="Of decoders of .nvc files; else nvc:threads=N.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), help="Likewise; else nvc:device=cpu.")
def speed_command(
    clips: tuple[str, ...],
    methods: str | None,
    anchor: str | None,
    runs: int,
    frames: int | None,
    beside: tuple[str, ...],
    cores: str | None,
    isa: str | None,
    kernel: str | None,
    **decoder: Any,
) -> None:
    """Seconds and memory of encoding and decoding CLIPS, methods in alternation; medians and ratios to the anchor.

    Of a clip that is an .nvc file, this installation's decoder and those beside it are compared instead.
    """
    from .decoders import compare_decoders
    from .installation import HERE
    from .process import limited
    from .speed import compare, held, here

    others, env = _installations(beside), held(isa, kernel)
    with limited(_numbers(cores)):
        for clip in clips:
            options = {name: value for name, value in decoder.items() if value is not None}
            if clip.lower().endswith(".nvc"):
                _refuse({"methods": methods, "anchor": anchor, "frames": frames}, "an .nvc file is decoded alone")
                text = compare_decoders(clip, [HERE, *others.values()], runs, options, env, say)
            else:
                _refuse(options, "it is of decoders of .nvc files")
                entries = _entries(clip, methods or SPEED_DEFAULT, others)
                names = [m.name for m, _ in entries]
                if anchor is not None and anchor not in names:
                    raise click.BadParameter(f"{anchor} is not among {', '.join(names)}")
                text = compare(clip, entries, anchor or names[0], runs, frames, env, say)
            put(f"{here(env)}\n{text}")


def _refuse(options: Mapping[str, Any], why: str) -> None:
    """Raise click.BadParameter where one of `options` was given."""
    for name, value in options.items():
        if value is not None:
            raise click.BadParameter(f"--{name} does not go with this clip: {why}")


def _numbers(text: str | None) -> list[int]:
    """The numbers of processors in a list parted by commas. Raises click.BadParameter for what is none."""
    try:
        return [whole(number) for number in text.split(",")] if text is not None else []
    except ValueError:
        raise click.BadParameter(f"{shown(text)} is no list of processors") from None


def _entries(clip: str, methods: str, beside: Mapping[str, Installation]) -> list[tuple[Method, float]]:
    """Each method of a list with its setting. Raises click.BadParameter for what is neither."""
    from .sources import kind_of

    entries = [_entry(kind_of(clip), text, beside) for text in filter(None, methods.split(","))]
    if not entries:
        raise click.BadParameter("no method is named")
    return entries


def _entry(kind: Kind, text: str, beside: Mapping[str, Installation]) -> tuple[Method, float]:
    """A method with its setting, the usual one where none is told. Raises click.BadParameter for what is neither."""
    from .speed import usual

    name, at, setting = text.rpartition("@")
    if not at or setting.split(":")[0] in beside:
        name, setting = text, ""
    methods, _ = _methods(kind, name, None, beside)
    try:
        return methods[0], float(exact(setting)) if at and setting else usual(methods[0])
    except ValueError:
        raise click.BadParameter(f"{shown(setting)} is no setting") from None


@cli.command("picture")
@click.argument("clip", type=click.Path(exists=True, dir_okay=False))
@click.argument("target", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--methods", default=PICTURE_DEFAULT, show_default=True)
@click.option("--kbps", type=Number(float, 0.001, 1e6), help="The rate of all files.  [default: the first's lowest]")
@_frames
@_beside
@_out
def picture_command(clip: str, target: Path, methods: str, kbps: float | None, frames: int | None,
                    beside: tuple[str, ...], out: Path) -> None:  # fmt: skip
    """A part of a picture of CLIP as several methods show it at equal bytes, side by side in the PNG file TARGET."""
    from .measure.runner import Runner
    from .side_by_side import compare

    chosen, _ = _methods("video", methods, None, _installations(beside))
    with _kept_points():
        put(compare(clip, chosen, kbps, frames, Runner(out, 1, say), target))


@cli.command("report")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
def report_command(folder: Path) -> None:
    """Make the tables, plots and page of a run's FOLDER again."""
    from .show.report import build

    put(build(folder))


@cli.command("methods")
def methods_command() -> None:
    """List every method with its settings."""
    from .methods import METHODS

    for kind, table in METHODS.items():
        for method in table.values():
            knob = method.knob
            span = "lossless"
            if knob is not None:
                span = f"{knob.low:g}..{knob.high:g}, {knob.best:g} is better than {knob.worst:g}"
            put(f"{kind}  {method.name:18} {span:36} {method.settings}")


@cli.group("check", cls=Checks)
def check_group() -> None:
    """Checks of NVC alone: exactness, memory, long films and what else must hold."""


def main() -> NoReturn:
    """Run the command of the command line, and exit."""
    run_to_end(cli, "bench")
