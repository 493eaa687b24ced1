"""What is told while work is under way, to whoever listens: a person's terminal, a program, nobody."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    """What happens during an encode or decode. `kind`: "source", "scale", "progress", "segment", "note", "done";
    `data` has JSON types only."""

    kind: str
    data: dict[str, object]


Listener = Callable[[Event], None]
