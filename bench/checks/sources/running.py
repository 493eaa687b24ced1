"""Runs the cases, some processes side by side, and prints the table of what became of them."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

import click

from codec.machine import use_threads

from ...tables import table
from . import film_check, films, picture_check, pictures
from .outcome import FINDING, VERDICTS, Outcome
from .reading import find_reader
from .sampling import Choice, spread

KINDS = ("films", "pictures")


@dataclass(frozen=True)
class Case:
    """A combination to be tried; `keep`: where the files of a finding go, empty where they are not wanted."""

    kind: str
    number: int
    choice: Choice
    seed: int
    keep: str = ""


def cases_of(kind: str, count: int, seed: int, keep: Path | None = None) -> Iterator[Case]:
    """The first `count` combinations of a kind, the same for the same seed."""
    axes, fits = (films.AXES, films.fits) if kind == "films" else (pictures.AXES, pictures.fits)
    choices = spread(axes, fits, seed)
    for number, choice in enumerate(islice(choices, count)):
        yield Case(kind, number, choice, seed, str(keep / f"{kind}-{seed}-{number}") if keep else "")


def attempt(case: Case) -> Outcome:
    """What becomes of one case. A fault that is no sentence is a finding, too."""
    use_threads(1)
    folder = Path(tempfile.mkdtemp(prefix="sources-"))
    try:
        seed = case.seed * 1000003 + case.number
        if case.kind == "films":
            outcome = film_check.check(case.number, case.choice, folder, seed, find_reader()[1])
        else:
            outcome = picture_check.check(case.number, case.choice, folder, seed)
    except Exception as error:  # whatever it is, it is what the check looks for
        outcome = Outcome(case.number, case.choice, FINDING, (f"{type(error).__name__}: {error}",))
    if case.keep and outcome.verdict == FINDING:
        shutil.copytree(folder, case.keep, dirs_exist_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    return outcome


def outcomes(cases: Sequence[Case], jobs: int) -> Iterator[tuple[Case, Outcome]]:
    """Every case with what became of it, in order. A process that dies takes only the case down that killed it."""
    waiting = list(cases)
    os.environ.setdefault("SVT_LOG", "1")
    while waiting:
        with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
            futures = [(case, pool.submit(attempt, case)) for case in waiting]
            try:
                for case, future in futures:
                    yield case, future.result()
                    waiting.remove(case)
            except BrokenProcessPool:
                for _, future in futures:
                    future.cancel()
        if waiting:
            first, *waiting = waiting
            yield first, _alone(first)


def _alone(case: Case) -> Outcome:
    """A case in a process of its own, which may die of it."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        try:
            return pool.submit(attempt, case).result()
        except BrokenProcessPool:
            return Outcome(case.number, case.choice, FINDING, ("the process died",))


def run(count: int, seed: int, only: str | None, numbers: Sequence[int], keep: Path | None, jobs: int) -> int:
    """Try `count` combinations, or those of `numbers` alone, and print what became of them; 1 where there are
    findings."""
    kinds = [kind for kind in KINDS if only in (None, kind)]
    share = -(-count // len(kinds))
    cases = [
        case for kind in kinds for case in cases_of(kind, max(share, *numbers, 0) + 1 if numbers else share, seed, keep)
    ]
    cases = [case for case in cases if not numbers or case.number in numbers]
    found: list[tuple[Case, Outcome]] = []
    for case, outcome in outcomes(cases, jobs):
        found.append((case, outcome))
        if outcome.verdict == FINDING or numbers:
            click.echo(_told(case, outcome))
    click.echo(f"Films are judged by {find_reader()[0]}.\n")
    click.echo(_summary(found))
    for kind, reason in film_check.EXCEPTIONS.items():
        click.echo(f"\nExcepted: {kind}: {reason}.")
    return int(any(outcome.verdict == FINDING for _, outcome in found))


def _told(case: Case, outcome: Outcome) -> str:
    """A finding, and how to make it again."""
    choice = ", ".join(f"{axis} {value}" for axis, value in case.choice.items())
    lines = [f"{outcome.verdict}: {case.kind} {case.number}: {choice}", *(f"  {why}" for why in outcome.why)]
    lines += [f"  note: {note}" for note in outcome.notes]
    return "\n".join([*lines, f"  bench check sources --only {case.kind} --seed {case.seed} --case {case.number}", ""])


def _summary(found: Iterable[tuple[Case, Outcome]]) -> str:
    """How many cases of each kind and container or type became what."""
    counted: Counter[tuple[str, str, str]] = Counter()
    for case, outcome in found:
        counted[case.kind, next(iter(case.choice.values())), outcome.verdict] += 1
    rows: list[tuple[object, ...]] = []
    groups = list(dict.fromkeys((kind, group) for kind, group, _ in counted))
    for kind, group in groups:
        numbers = [counted[kind, group, verdict] for verdict in VERDICTS]
        rows.append((kind, group, sum(numbers), *numbers))
    totals = [sum(number for (_, _, of), number in counted.items() if of == verdict) for verdict in VERDICTS]
    rows.append(("all", "", sum(totals), *totals))
    return table(("kind", "of", "cases", *VERDICTS), rows)
