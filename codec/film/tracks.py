"""Compares what lies beside a film's pictures with what its encoder found there: sound, subtitles, covers, attachments.

Copies of a film to other containers may leave tracks out, order them anew, convert them or add some; none of that is
damage. What says that it is the same track and holds other bytes is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..wire.tracks import Track

RIGHT, DIFFERS, CONVERTED, MISSING, NOT_COVERED = "right", "differs", "converted", "missing", "not covered"


@dataclass(frozen=True)
class TrackState:
    """What became of a track. `written`: as it was, None where it was added later; `found`: as it is, None where it is
    not there; `state`: one of the words above."""

    state: str
    written: Track | None
    found: Track | None

    @property
    def kind(self) -> str:
        """One of `wire.tracks.KINDS`."""
        return self._track.kind

    @property
    def codec(self) -> str:
        """libav's name; as written, where it was."""
        return self._track.codec

    @property
    def _track(self) -> Track:
        track = self.written or self.found
        assert track is not None
        return track

    @property
    def text(self) -> str:
        """What is to be said of it, empty where it is right."""
        name = self._track.name
        if self.state == DIFFERS:
            assert self.written is not None and self.found is not None
            if self.written.packets != self.found.packets:
                return f"{name} has {self.found.packets} of its {self.written.packets} packets, or other ones"
            return f"{name} is damaged: its packets do not match their checksum"
        if self.state == CONVERTED:
            assert self.found is not None
            return f"{name} was converted to {self.found.codec or self.found.kind}, and cannot be checked"
        if self.state == MISSING:
            return f"{name} that the film was written with is not in this file"
        return f"{name} has no checksum, and cannot be checked" if self.state == NOT_COVERED else ""


def compared(written: Sequence[Track], found: Sequence[Track]) -> list[TrackState]:
    """The state of each track `written`, in their order, and then of those that were added."""
    rest = list(found)
    states: dict[int, TrackState] = {}

    def match(state: str, same: Callable[[Track, Track], bool]) -> None:
        for number, track in enumerate(written):
            other = None if number in states else next((one for one in rest if same(track, one)), None)
            if other is not None:
                rest.remove(other)
                states[number] = TrackState(state, track, other)

    match(RIGHT, lambda a, b: (a.kind, a.codec, a.size, a.crc) == (b.kind, b.codec, b.size, b.crc))
    match(DIFFERS, lambda a, b: (a.kind, a.codec) == (b.kind, b.codec))
    match(CONVERTED, lambda a, b: a.kind == b.kind)
    missing = [states.get(number, TrackState(MISSING, track, None)) for number, track in enumerate(written)]
    return missing + [TrackState(NOT_COVERED, None, track) for track in rest]
