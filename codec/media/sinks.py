"""Where decoded pictures go: y4m, FFV1 in Matroska, a watchable copy, or numbered PNGs.

    with open_sink("out.mkv", info, source="film.nvc") as sink:
        for frame in frames:
            sink.write(frame)

Invariants: the target appears whole or not at all (it is written beside itself and renamed); y4m and FFV1 hold the
exact planes; every other sink says in `notes` that it is a copy. Every fault raises OutputError, but for a reader of
standard output that goes away: then `closed` is set and further pictures are ignored. What a process that was killed
left unfinished is removed when the same target is written again.
"""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

from ..errors import UsageError
from ..frames import VideoInfo
from .encoded import RECIPES, Cut, EncodedSink
from .files import STDOUT
from .pngs import PngSequence
from .sink import Sink, Y4mFile, Y4mPipe


def open_sink(
    path: str | os.PathLike[str],
    info: VideoInfo,
    source: str | os.PathLike[str] | None = None,
    start: Fraction | None = None,
    duration: Fraction | None = None,
    overwrite: bool = False,
    threads: int = 0,
) -> Sink:
    """The sink that a path's ending asks for: `.y4m`, `.mkv`, `.mp4`, `.mov`, `.webm`, `name_%05d.png`, or "-" (y4m).

    Args:
        info: of the frames to come, at their full size.
        source: the film whose sound, subtitles, chapters and tags are copied, where the format holds such.
        start, duration: in seconds, where only a part is written: sound and subtitles are cut alike, and the first
            picture written becomes time zero.
        threads: of the encoder, 0 = one a core.

    Raises UsageError for an unknown ending, OutputError where the target exists or cannot be written.
    """
    path = os.fspath(path)
    ending = Path(path).suffix.lower()
    if path == STDOUT:
        return Y4mPipe(info, source)
    if ending == ".y4m":
        return Y4mFile(path, info, source, overwrite)
    if ending == ".png":
        return PngSequence(path, info, source, overwrite, threads)
    if ending in RECIPES:
        recipe = RECIPES[ending](info)
        return EncodedSink(path, info, recipe, Cut(source, start, duration), overwrite, threads)
    raise UsageError(f"{path}: decode writes {', '.join(('.y4m', '.png', *RECIPES))} or - for standard output")
