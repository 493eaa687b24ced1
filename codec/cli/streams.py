"""What is printed: results on standard output, where failing is an error, and all else on standard error, where nobody
would be left to be told of it."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import IO, Any

from ..errors import OutputError, reason
from ..media.files import drain


def put(text: str) -> None:
    """A line of results. Raises OutputError, or BrokenPipeError where the reader has gone."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        give_up(sys.stdout)
        raise unwritable(error) from None


def say(text: str, end: str = "\n") -> None:
    """A line for whoever waits. One that cannot be written costs nobody the work."""
    if sys.stderr is None:
        return
    try:
        sys.stderr.write(text + end)
        sys.stderr.flush()
    except BlockingIOError:  # a terminal that does not keep up
        pass
    except (OSError, ValueError):
        give_up(sys.stderr)


def flush() -> None:
    """Write what standard output still holds. Raises OutputError, or BrokenPipeError."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise unwritable(error) from None


def settle() -> None:
    """Before the end: drop what standard output does not take, of which somebody has been told."""
    try:
        flush()
    except (OSError, OutputError):
        give_up(sys.stdout)


def unwritable(error: OSError) -> OutputError:
    """What is to be said of a failing standard output."""
    return OutputError(f"standard output cannot be written: {reason(error)}")


def give_up(stream: IO[Any]) -> None:
    """Let what a failing stream still holds, and all that follows, go nowhere, or the interpreter fails in its end."""
    with suppress(OSError, ValueError):
        drain(stream)
