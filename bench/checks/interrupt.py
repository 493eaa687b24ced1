"""Does a killed encode leave no trace, and can it be resumed?

    bench check interrupt CLIP --times 20 --seed 1 -- --preset fast --scale 1

CLIP is encoded once without interruption. Then encodes are killed (SIGKILL, the whole process group) at random
moments: some while the file itself is written, the others spread evenly over the time that the first encode took. Every
second one replaces an older file. After each kill the target must be what it was, or whole; `--resume`, itself killed
now and then, must give the bytes of the uninterrupted encode and leave nothing beside them. Ends with exit code 1 where
it does not.

Moments are drawn from the seed; how far an encode has come by then depends on the machine.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import click

from codec.cli.options import COUNT, SEED, Number

from ..process import BenchError, environment, python
from ..tables import table

NAME = "out.nvc"
OLDER = b"an older file, which stays until a whole one takes its place"
PAUSE = 0.001  # seconds between looks at a folder
PATIENCE = 20  # times as long as the uninterrupted encode took, then a process hangs
KILLS = 3  # of one encode's resumptions, at most
WRITING = 4  # of so many trials one is killed while the file is written


@dataclass
class Trial:
    """What was found at one killed encode and at its resumptions.

    `moments` are seconds after the start; `found` is what lay at the target after each kill; `segments` how many
    were finished by then; `faults` are sentences.
    """

    older: bool
    moments: list[str] = field(default_factory=list)
    found: list[str] = field(default_factory=list)
    segments: list[int] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    same: bool = False


def start(command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    """Start a program in a process group of its own; what it says is added to `log`."""
    with open(log, "ab") as file:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env=environment(),
            start_new_session=True,
        )


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started, without a chance to tidy up."""
    if hasattr(os, "killpg"):
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    else:
        process.kill()
    process.wait()


def writing(folder: Path) -> bool:
    """Whether the film itself is being written, beside its target."""
    return any(folder.glob(f".{NAME}.*.part/part"))


class Interruption:
    """Encodes of one clip, in folders of their own, that are killed and resumed. `seconds`: until the film had its name
    without interruption; `writing`: those since it was begun to be written.

    Args:
        command: of the encode, without target, `-y` and `--resume`, which are added.
        work: an empty folder.
    """

    def __init__(self, command: Sequence[str], work: Path):
        self.command, self.work = list(command), work
        folder = work / "whole"
        folder.mkdir()
        began = time.monotonic()
        process = start([*self.command, str(folder / NAME)], folder / "log")
        while process.poll() is None and not writing(folder):
            time.sleep(PAUSE)
        written_from = time.monotonic()
        while process.poll() is None and not (folder / NAME).exists():
            time.sleep(PAUSE)
        self.seconds, self.writing = time.monotonic() - began, time.monotonic() - written_from
        if process.wait():
            raise BenchError((folder / "log").read_text(errors="replace").strip() or "the encode failed")
        self.whole = (folder / NAME).read_bytes()

    def trial(self, number: int, seed: int) -> Trial:
        """One encode, killed and resumed until it is done."""
        chance = random.Random(f"{seed} {number}")
        trial = Trial(older=number % 2 == 1)
        folder = self.work / f"{number}"
        folder.mkdir()
        if trial.older:
            (folder / NAME).write_bytes(OLDER)
        done = False
        for attempt in range(KILLS + 1):
            # a kill after the film took its name leaves it whole, and nothing is replaced unasked
            words = ["-y"] * (folder / NAME).exists() + ["--resume"] * (attempt > 0)
            # the first is always to be killed, of its resumptions two in five; the last has all the time it wants
            doomed = attempt == 0 or (attempt < KILLS and chance.random() < 0.4)
            late = number % WRITING == WRITING - 1 if attempt == 0 else chance.random() < 0.2
            moment = chance.uniform(0, 2 * self.writing if late else self.seconds)
            done = self._attempt(trial, folder, words, moment if doomed else None, late)
            if done or trial.faults:
                break
        trial.same = (folder / NAME).is_file() and (folder / NAME).read_bytes() == self.whole
        if done and not trial.same:
            trial.faults.append("other bytes than those of the uninterrupted encode")
        left = sorted({*os.listdir(folder)} - {NAME, "log"})
        if done and left:
            trial.faults.append(f"left behind: {', '.join(left)}")
        if not trial.faults:
            shutil.rmtree(folder)
        return trial

    def _attempt(self, trial: Trial, folder: Path, words: list[str], moment: float | None, late: bool) -> bool:
        """Run an encode, killed at `moment` (seconds from its start or, if `late`, from the beginning of writing);
        whether it came to its end."""
        began = time.monotonic()
        process = start([*self.command, str(folder / NAME), *words], folder / "log")
        try:
            while process.poll() is None and late and moment is not None and not writing(folder):
                time.sleep(PAUSE)
            if moment is None:
                process.wait(self.seconds * PATIENCE)
            else:
                process.wait(moment if late else max(0.0, began + moment - time.monotonic()))
        except subprocess.TimeoutExpired:
            if moment is None:
                trial.faults.append(f"hangs: more than {PATIENCE} times as long as without interruption")
        finally:
            kill(process)
        if process.returncode == 0:
            return True
        if process.returncode > 0:
            trial.faults.append(f"ended with {process.returncode}: {_last_line(folder / 'log')}")
        trial.moments.append(f"{time.monotonic() - began:.2f}{' writing' if late else ''}")
        trial.found.append(self._found(trial, folder / NAME))
        trial.segments.append(len(list((folder / f".{NAME}.parts").glob("*.segment"))))
        return False

    def _found(self, trial: Trial, target: Path) -> str:
        """What lies at the target after a kill."""
        data = target.read_bytes() if target.exists() else None
        if data is None and not trial.older and "whole" not in trial.found:
            return "nothing"
        if data == self.whole:
            return "whole"
        if data == OLDER and trial.older and "whole" not in trial.found:
            return "older"
        trial.faults.append("the file is lost" if data is None else "a file that is neither the older nor whole")
        return "WRONG"


def _last_line(log: Path) -> str:
    return next((line for line in reversed(log.read_text(errors="replace").splitlines()) if line.strip()), "")


def interrupted(
    command: Sequence[str], times: int, seed: int, jobs: int = 1, tell: Callable[[str], None] = lambda text: None
) -> list[Trial]:
    """Kill and resume an encode so many times; see the module. Raises BenchError where the first encode fails."""
    with tempfile.TemporaryDirectory(prefix="bench-") as work:
        made = Interruption(command, Path(work))
        tell(
            f"{len(made.whole):,} bytes in {made.seconds:.1f} s without interruption, "
            f"the last {made.writing:.3f} s of it writing the file"
        )
        with ThreadPoolExecutor(max(1, jobs)) as pool:
            trials = []
            for number, trial in enumerate(pool.map(lambda n: made.trial(n, seed), range(times))):
                trials.append(trial)
                tell(f"[{number + 1}/{times}] killed {len(trial.moments)} times, {'; '.join(trial.faults) or 'fine'}")
    return trials


@click.command()
@click.argument("clip", type=click.Path(exists=True, dir_okay=False))
@click.option("--times", type=COUNT, default=20, show_default=True, help="Encodes to kill.")
@click.option("--seed", type=SEED, default=1, show_default=True)
@click.option("--jobs", type=Number(int, 1, 64), default=1, show_default=True, help="Encodes at a time.")
@click.argument("options", nargs=-1)
def main(clip: str, times: int, seed: int, jobs: int, options: tuple[str, ...]) -> None:
    """Kill encodes of CLIP at random moments and resume them; after "--" stand options of `codec encode`."""
    command = [*python("codec", "encode", os.path.abspath(clip)), *options, "-q"]
    trials = interrupted(command, times, seed, jobs, lambda text: click.echo(text, err=True))
    rows = [
        (
            str(number),
            ", ".join(trial.moments) or "ended before",
            ", ".join(trial.found),
            ", ".join(map(str, trial.segments)),
            "yes" if trial.same else "NO",
            "; ".join(trial.faults),
        )
        for number, trial in enumerate(trials, 1)
    ]
    click.echo(table(("trial", "killed at s", "then found", "segments done", "same bytes", "faults"), rows))
    kills = sum(len(trial.moments) for trial in trials)
    bad = sum(bool(trial.faults) or not trial.same for trial in trials)
    click.echo(f"\n{kills} kills of {len(trials)} encodes; {bad} of them with faults")
    sys.exit(1 if bad else 0)
