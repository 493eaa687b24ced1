"""The command line: `bench rd-curve | images | lossless | speed | report | methods | check`. It holds no logic, and
imports what a command needs when that is called, so that `--help` does not wait for torch.

Exit codes: 0 fine, 1 a point failed or the input is bad, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from codec.cli.command import Group, run_to_end
from codec.cli.options import COUNT, Number, exact, shown
from codec.cli.streams import put, say

from .checks import Checks
from .process import BenchError
from .results import RUN

if TYPE_CHECKING:
    from .method import Kind, Method

VIDEO_DEFAULT = "nvc,x264,x265,svt-av1,svt-av1-p2-10bit,vp9,lzma"
IMAGE_DEFAULT = "jpeg,webp,avif,jxl"
ANCHORS: dict[str, str] = {"video": "svt-av1", "image": "jpeg"}


def _methods(kind: Kind, names: str, anchor: str | None) -> tuple[list[Method], Method]:
    """(methods, the anchor among them). Raises click.BadParameter for an unknown name."""
    from .methods import find, find_all

    try:
        found = find_all(kind, names)
        if anchor is None:
            usual = [m for m in found if m.name == ANCHORS[kind]]
            return found, (usual or [m for m in found if m.knob is not None] or found)[0]
        chosen = find(kind, anchor)
    except BenchError as error:
        raise click.BadParameter(str(error)) from None
    except IndexError:
        raise click.BadParameter("no method is named") from None
    same = [m for m in found if m.name == chosen.name]
    return (found, same[0]) if same else ([*found, chosen], chosen)


_frames = click.option("--frames", type=COUNT, help="Only so many pictures of each clip.")
_out = click.option("--out", type=click.Path(file_okay=False, path_type=Path), default="bench-results",
                    show_default=True, help="Folder for results, taken up again.")  # fmt: skip


def _shared(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of the commands that measure curves."""
    for option in (
        click.option("--jobs", type=Number(int, 1, 64), default=1, show_default=True,
                     help="Points measured side by side; above 1, times say little."),
        _out,
        click.option("--anchor", help="What all others are compared with."),
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
) -> int:
    from codec.media.parts import write_whole

    from .measure.runner import Runner, run_curves
    from .show import report

    methods, chosen = _methods(kind, names, anchor)
    with _kept_points():
        runner = Runner(out, jobs, say)
        clips = run_curves(kind, paths, methods, chosen, points, frames, runner)
    asked = {
        "command": f"bench {shlex.join(sys.argv[1:])}",
        "kind": kind,
        "clips": clips,
        "methods": [{"name": m.name, "settings": m.settings, "version": m.version()} for m in methods],
        "anchor": chosen.name,
        "date": time.strftime("%Y-%m-%d"),
    }
    write_whole(out / RUN, json.dumps(asked, indent=1).encode() + b"\n")
    put(report.build(out))
    say(f"{out / 'index.html'} shows the curves; results, tables and plots lie beside it")
    return 1 if runner.failed else 0


@cli.command("rd-curve")
@click.argument("clips", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False))
@click.option("--methods", default=VIDEO_DEFAULT, show_default=True)
@_frames
@_shared
def rd_curve(clips: tuple[str, ...], methods: str, frames: int | None, anchor: str | None, points: int, out: Path,
             jobs: int) -> int:  # fmt: skip
    """Rate-distortion curves of video methods on CLIPS, with tables, plots and a page."""
    return _curves("video", clips, methods, anchor, points, frames, out, jobs)


@cli.command("images")
@click.argument("pictures", nargs=-1, required=True, type=click.Path(exists=True))
@click.option("--methods", default=IMAGE_DEFAULT, show_default=True)
@_shared
def images(pictures: tuple[str, ...], methods: str, anchor: str | None, points: int, out: Path, jobs: int) -> int:
    """Rate-distortion curves of picture methods on PICTURES or folders of them: the mean over the set."""
    from .sources import stills_in

    return _curves("image", stills_in(pictures), methods, anchor, points, None, out, jobs)


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
@click.option("--methods", default="nvc@32,x265@24,svt-av1@32", show_default=True, help="NAME or NAME@SETTING.")
@click.option("--anchor", help="What all others are compared with.  [default: the first]")
@click.option("--runs", type=COUNT, default=3, show_default=True)
@_frames
def speed_command(clips: tuple[str, ...], methods: str, anchor: str | None, runs: int, frames: int | None) -> None:
    """Seconds and memory of encoding and decoding, methods in alternation; medians and ratios to the anchor."""
    from .sources import kind_of
    from .speed import compare, usual

    for clip in clips:
        entries = []
        for text in filter(None, methods.split(",")):
            name, _, setting = text.partition("@")
            method, _ = _methods(kind_of(clip), name, None)
            try:
                entries.append((method[0], float(exact(setting)) if setting else usual(method[0])))
            except ValueError:
                raise click.BadParameter(f"{shown(setting)} is no setting") from None
        names = [m.name for m, _ in entries]
        if anchor is not None and anchor not in names:
            raise click.BadParameter(f"{anchor} is not among {', '.join(names)}")
        put(compare(clip, entries, anchor or names[0], runs, frames, say))


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
