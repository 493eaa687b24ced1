"""One segment as a piece of work that can be done anywhere: in this process, in another, on another machine.

A task holds all that decides its segment's bytes, so whoever does it returns the same. Segments follow one another in
chunks of CHUNK: within one, a segment's heads may be differences to those of the segment before and its quantiser
follows from what was spent so far; the first of a chunk stands alone. Hence chunks can be encoded side by side, and a
film that is cut at a chunk still decodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from ..events import Listener, silent
from ..frames import Frame, VideoInfo
from ..machine import use_threads
from ..segment.encoder import Segment, SegmentEncoder
from ..segment.rate import RateControl, seconds_of, within
from ..settings import Settings

CHUNK = 3  # segments, half a minute at most; see bench/NOTES.md, "Segments side by side"


@dataclass(frozen=True)
class Smaller:
    """How a finished segment is coded again: within `most` bytes; `bare`: without its head, if need be."""

    most: int
    bare: bool


@dataclass(frozen=True)
class Task:
    """A segment to encode. `control`: as finished segments left it; `previous`: the segment before it in its chunk.

    With `smaller` that is the segment itself, as it was coded before."""

    index: int
    frames: Sequence[Frame]
    info: VideoInfo
    settings: Settings
    scale: Fraction
    control: RateControl
    previous: Segment | None
    smaller: Smaller | None = None


def run_task(task: Task, listen: Listener = silent, encoder: SegmentEncoder | None = None) -> Segment:
    """Encode the segment. Its stages go to `listen`. `encoder`: one that was begun with."""
    use_threads(task.settings.threads)
    encoder = encoder or SegmentEncoder(task.frames, task.info, task.settings, task.scale, listen)
    if task.smaller is not None:
        assert task.previous is not None
        return within(encoder, task.previous, task.smaller.most, task.smaller.bare)
    return task.control.segment(encoder, seconds_of(task.frames, task.info), task.previous)
