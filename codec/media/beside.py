"""What is to become of the streams beside a film's pictures, and which way each goes: copied where the container holds
it, converted where it does not or where that is asked for, else dropped with a note.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av

from ..settings import COPY, FLAC, OPUS, TEXT
from . import sound
from .clock import FileClock
from .routes import Copy, Route, holds
from .sound import Sound
from .texts import TEXT_CODEC, Text

_BITMAPS = ("hdmv_pgs_subtitle", "dvd_subtitle", "dvb_subtitle")  # that Matroska holds


@dataclass(frozen=True)
class Beside:
    """What accompanies the pictures of the film `path`, and what becomes of it.

    Args:
        clock: the file's, by which the streams come to their times.
        until: seconds on the film's clock where sound and subtitles end with the pictures; None: where they end.
        audio, subtitles: as in `codec.settings.Settings`.
        opus: whether sound that the container does not hold becomes Opus, where it is WebM; else there is no way.
        refused, dropped: numbers of the streams that the muxer was found not to copy, and not even to take converted.
    """

    path: str | os.PathLike[str]
    clock: FileClock = FileClock()
    until: Fraction | None = None
    audio: str = COPY
    subtitles: str = COPY
    opus: bool = False
    refused: frozenset[int] = frozenset()
    dropped: frozenset[int] = frozenset()


class Ways:
    """Adds streams to `output` by the wishes of `beside`; what is not copied is told to `notes`."""

    def __init__(self, beside: Beside, output: av.container.OutputContainer, notes: list[str]):
        self._beside, self._output, self._notes = beside, output, notes
        self._format = output.format.name

    def note(self, text: str) -> None:
        """Tell a sentence, once."""
        if text not in self._notes:
            self._notes.append(text)

    def route(self, stream: Any, what: str, cover: bool) -> Route | None:
        """The route of a stream that sentences call `what`; None where it is dropped, which is noted."""
        codec, beside = stream.codec_context.codec, self._beside
        if stream.index in beside.dropped:
            self.note(f"{what} is dropped; {self._format} cannot hold it")
            return None
        # libav's QuickTime muxer takes covers and writes none
        held = stream.index not in beside.refused and not (cover and self._format != "mp4")
        held = held and holds(self._format, stream)
        text = stream.type == "subtitle" and bool(codec.text_sub)
        wanted = {FLAC: (FLAC,), OPUS: (OPUS,)}.get(beside.audio) if stream.type == "audio" else None
        if text and beside.subtitles == TEXT:
            wanted = (TEXT_CODEC[self._format],)
        if held and (wanted is None or codec.canonical_name in wanted):
            return Copy(self._output, stream)
        if text:
            self.note(f"{what} is converted to {TEXT_CODEC[self._format]}; its styling may be lost")
            return Text(self._output, stream)
        if stream.type == "audio":
            return self._sound(stream, what)
        if held and beside.subtitles == TEXT and stream.type == "subtitle":
            self.note(f"{what} consists of pictures, which are no text; it is dropped")
            return None
        elsewhere = "; .mkv does" if codec.canonical_name in _BITMAPS and self._format != "matroska" else ""
        self.note(f"{what} is dropped; {self._format} cannot hold it{elsewhere}")
        return None

    def _sound(self, stream: Any, what: str) -> Route | None:
        """Sound that is converted: as asked, or so that nothing is lost."""
        asked = self._beside.audio
        to_opus = asked == OPUS or (asked == COPY and self._format == "webm" and self._beside.opus)
        if self._format == "webm" and not to_opus:
            self.note(f"{what} is dropped; webm cannot hold it")
            return None
        found = sound.heard(self._beside.path, stream.index, whole=not to_opus)
        if found is None:
            elsewhere = "; .mkv holds it" if self._format != "matroska" and holds("matroska", stream) else ""
            self.note(f"{what} is dropped; {self._format} cannot hold it, and nothing in it can be decoded{elsewhere}")
            return None
        recipe = sound.opus(found) if to_opus else sound.lossless(self._format, found)
        if not sound.encodes(self._format, recipe):
            self.note(f"{what} is dropped; {self._format} cannot hold it, nor what it could be converted to")
            return None
        if to_opus:
            self.note(f"{what} is encoded anew with {recipe.codec}")
        elif recipe.exact:
            self.note(f"{what} is converted to {recipe.codec}, which is exact")
        else:
            self.note(f"{what} is converted to {recipe.codec} of {recipe.bits} bits, to which its samples are rounded")
        return Sound(self._output, stream, recipe)
