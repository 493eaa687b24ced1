"""What is told while work is under way, to whoever listens: a person's terminal, a program, a page, nobody.

All work takes one `listen`, a callable that gets one event after the other, from any thread. An event is a frozen
record of JSON types; `kind` and `data` are what `--json` prints of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class Event:
    """Something that happened."""

    kind: ClassVar[str]

    @property
    def data(self) -> dict[str, Any]:
        """What happened, in JSON types."""
        return asdict(self)


Listener = Callable[[Event], None]


def silent(event: Event) -> None:
    """A listener that does nothing."""


@dataclass(frozen=True)
class Stage(Event):
    """Of the piece of work at hand, the share `done` (0..1) of a `stage` is finished: of a segment "scale", "base",
    "head" or "restore"."""

    kind: ClassVar[str] = "stage"
    stage: str
    done: float


@dataclass(frozen=True)
class SegmentStats:
    """What the encoder knows of a finished segment. Bytes of its base, its head and its loss-stream; `crf` of the base;
    `head`: layers x channels, or "none"; `history`: earlier pictures that the head sees; PSNR-YUV in dB of the pictures
    and of the plain base; `head_gain`: dB over the plain base that the head was chosen for; `met`: whether the wish for
    a quality or a rate was."""

    frames: int
    crf: float
    scale: float
    base_bytes: int
    head_bytes: int
    head: str
    history: int
    loss_bytes: int
    psnr: float
    base_psnr: float
    head_gain: float
    met: bool = True


@dataclass(frozen=True)
class SegmentDone(Event):
    """A segment of an encode is finished."""

    kind: ClassVar[str] = "segment"
    segment: int
    stats: SegmentStats

    @property
    def data(self) -> dict[str, Any]:
        return {"segment": self.segment, **asdict(self.stats)}


class Loose(Event):
    """An event that has no class of its own yet."""

    def __init__(self, kind: str, data: dict[str, Any]):
        object.__setattr__(self, "kind", kind)
        object.__setattr__(self, "_data", data)

    @property
    def data(self) -> dict[str, Any]:
        found: dict[str, Any] = self._data  # type: ignore[attr-defined]
        return found
