"""How a command ends that fails: a sentence on standard error, with --json an event on standard output, an exit code.

The codes: 1 the file, the input or the output is bad, 2 wrong usage; 130 and others as `codec.cli.entry` has them.
"""

from __future__ import annotations

import os
import signal
import sys

from ..errors import NvcError, OutputError, UsageError, reason
from ..events import Failed
from .entry import caught
from .streams import give_up, put, say, unwritable

_NO_MEMORY = ("can't allocate memory", "out of memory", "Insufficient memory")  # torch and OpenCV have no MemoryError


def option_of(name: str) -> str:
    """A parameter as the option that sets it."""
    return f"--{name.replace('_', '-')}"


def fail(program: str, code: int, text: str, shown: str | None = None) -> int:
    """Tell that a command ends with `code`, and why; `shown` is what people read instead. Returns the code."""
    say(f"{program}: {text}" if shown is None else shown, end="" if shown else "\n")
    words = sys.argv[1:]
    if "--json" in words[: words.index("--") if "--" in words else None]:
        import json

        failed = Failed(text, code)
        try:
            put(json.dumps({"event": failed.kind, **failed.data}))
        except BrokenPipeError:
            give_up(sys.stdout)
        except OutputError:  # it may be what the event is about
            pass
    return code


def interruption(error: BaseException | None = None) -> tuple[int, str]:
    """(exit code, sentence) of a command that a signal ends; what is left of its work is in the notes of `error`."""
    number = caught() or signal.SIGINT
    how = "interrupted" if number == signal.SIGINT else f"ended by {signal.Signals(number).name}"
    return 128 + number, "; ".join((how, *getattr(error, "__notes__", ())))


def fault(error: Exception) -> tuple[int, str]:
    """(exit code, sentence) of a command that `error` ends. Where one that is none of ours was raised is shown under
    NVC_DEBUG."""
    if isinstance(error, UsageError):
        return error.exit_code, error.spelt(option_of)
    if isinstance(error, NvcError):
        return error.exit_code, str(error)
    if isinstance(error, OSError):  # those of files are told where they are read and written
        return 1, _of_system(error)
    if os.environ.get("NVC_DEBUG"):
        import traceback

        say("".join(traceback.format_exception(error)), end="")
    if isinstance(error, MemoryError) or any(words in str(error) for words in _NO_MEMORY):
        return 1, "; ".join(("there is not enough memory", *getattr(error, "__notes__", ())))
    if isinstance(error, ImportError):
        return 1, f"a library cannot be loaded: {error}; it may have to be installed again (NVC_DEBUG=1 shows where)"
    what = " ".join(f"{type(error).__name__}: {error}".split())
    return 1, f"internal fault, {what}; this is a bug of the program (NVC_DEBUG=1 shows where)"


def _of_system(error: OSError) -> str:
    if error.filename is not None:
        return f"{os.fsdecode(error.filename)}: {reason(error)}"
    import traceback

    frames = traceback.walk_tb(error.__traceback__)
    if any(frame.f_globals.get("__name__") == "click.utils" for frame, _ in frames):  # where its `echo` lies
        return str(unwritable(error))
    return reason(error)
