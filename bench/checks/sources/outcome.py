"""What became of a case: the words of the table of results, and how differences are excused by notes.

A difference is fine only where a note names that kind of loss, or where a sentence that names the file refuses it;
silence is a finding.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from .sampling import Choice

EQUAL, NOTED, EXCEPTED, REFUSED = "equal", "noted", "excepted", "refused with a sentence"
NOT_MADE, FINDING = "not made", "FINDING"
VERDICTS = (EQUAL, NOTED, EXCEPTED, REFUSED, NOT_MADE, FINDING)


@dataclass(frozen=True)
class Difference:
    """What a result does not have as its source has it. `kind`: the word by which notes are looked up; `where`: the
    result that was read ("nvc", "decoded mkv" ...)."""

    kind: str
    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.kind}: {self.text}"


@dataclass(frozen=True)
class Outcome:
    """A case and what became of it. `why`: differences that no note excuses, or the sentence of a refusal."""

    number: int
    choice: Choice
    verdict: str
    why: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=(), compare=False)


def judged(
    number: int,
    choice: Choice,
    differences: Iterable[Difference],
    notes: Sequence[str],
    excuses: Mapping[str, str],
    exceptions: Container[str] = (),
) -> Outcome:
    """The verdict on differences: `excuses` holds, for each kind of them, the expression that a note has to match;
    `exceptions` are kinds that are allowed without one, each with a reason that is printed."""
    found = list(differences)
    unsaid = [one for one in found if not excused(one, notes, excuses)]
    silent = [one for one in unsaid if one.kind not in exceptions]
    verdict = FINDING if silent else EXCEPTED if unsaid else NOTED if found else EQUAL
    return Outcome(number, choice, verdict, tuple(map(str, silent or unsaid or found)), tuple(notes))


def excused(difference: Difference, notes: Sequence[str], excuses: Mapping[str, str]) -> bool:
    """Whether a note names that kind of loss."""
    wanted = excuses.get(difference.kind)
    return wanted is not None and any(re.search(wanted, note) for note in notes)
