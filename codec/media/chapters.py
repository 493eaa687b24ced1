"""Chapters on their way from one container to another.

Those of MP4 are samples of a track of titles: the first begins at 0, and each lasts until the next begins. What lies
between chapters is there a chapter without a title, which is left out again on the way back.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import av

_TICK = Fraction(1, 1000)  # seconds; shorter gaps come of rounding


def chapters_of(film: av.container.InputContainer) -> list[Any]:
    """The chapters of a film, without those that `filled` has put between them."""
    chapters: list[Any] = list(film.chapters())
    titles = [chapter["metadata"].get("title") for chapter in chapters]
    if "mp4" not in film.format.name or not any(titles):
        return chapters
    return [chapter for chapter, title in zip(chapters, titles, strict=True) if title != ""]


def span(chapter: Any) -> tuple[Fraction, Fraction]:
    """When a chapter begins and ends, in seconds."""
    base = chapter["time_base"] or Fraction(1, av.time_base)
    return chapter["start"] * base, chapter["end"] * base


def filled(chapters: Iterable[Any]) -> list[Any]:
    """Chapters in order, with one without a title wherever there is none between 0 and the last."""
    found: list[Any] = []
    end = Fraction(0)
    for chapter in sorted(chapters, key=lambda chapter: span(chapter)[0]):
        begins, ends = span(chapter)
        if begins - end >= _TICK:
            base = chapter["time_base"]
            found.append(chapter | {"start": round(end / base), "end": chapter["start"], "metadata": {"title": ""}})
        found.append(chapter)
        end = max(end, ends)
    return [chapter | {"id": number} for number, chapter in enumerate(found, 1)]


def moved(chapters: Iterable[Any], first: Fraction) -> list[Any]:
    """Chapters as Matroska needs them, which has no time before 0: libav's muxer moves all packets where the `first`
    comes earlier (seconds), and nothing else."""
    late = max(-round(first / _TICK), 0) * _TICK
    kept = []
    for chapter in chapters:
        begins, ends = (round((time + late) * av.time_base) for time in span(chapter))
        kept.append(chapter | {"start": begins, "end": ends, "time_base": Fraction(1, av.time_base)})
    return kept
