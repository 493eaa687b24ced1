"""What runs before anything else of a program, and after everything: signals and standard streams.

Ctrl-C must be one line also while libraries load, so this module imports next to nothing, and `run` loads the program.
SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt, so that whoever works takes away what is unfinished; a second one
ends the process at once. In the end the process dies by the signal that it got, as programs are expected to: only then
does a shell end a loop that it stands in. The shell's exit code is then 128 and the signal's number: 130 for Ctrl-C.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from types import FrameType
from typing import NoReturn

_caught = 0  # the number of the first signal


def run(program: str, module: str) -> NoReturn:
    """Load `module` and run its `main`, which says itself what goes wrong; `program` is its name in messages."""
    code: object = 0
    try:
        import signal

        _listen()
        repair()
        import_module(module).main()
    except KeyboardInterrupt:  # while the program was being loaded
        from .faults import fail, interruption

        code = fail(program, *interruption())
    except SystemExit as end:
        code = end.code
    except Exception as error:  # it cannot be loaded
        from .faults import fail, fault

        code = fail(program, *fault(error))
    if _caught and os.name == "posix":
        _flush()
        signal.signal(_caught, signal.SIG_DFL)
        os.kill(os.getpid(), _caught)
    sys.exit(code)  # type: ignore[arg-type]


def caught() -> int:
    """The number of the signal that ends this process, 0 where there was none."""
    return _caught


def _listen() -> None:
    import signal

    def end(number: int, frame: FrameType | None) -> None:
        global _caught
        _caught = number
        for name, then in later.items():
            signal.signal(getattr(signal, name), then)
        raise KeyboardInterrupt

    # a terminal that is closed tells its processes several times
    later = {"SIGINT": signal.SIG_DFL, "SIGTERM": signal.SIG_DFL, "SIGHUP": signal.SIG_IGN}
    for name in tuple(later):
        number = getattr(signal, name, None)
        if number is None or signal.getsignal(number) == signal.SIG_IGN:  # as under nohup
            del later[name]
        else:
            signal.signal(number, end)


def repair() -> None:
    """Give the standard streams that are closed their places back: the next file to be opened would get them, and what
    is printed would go into it. What is written to standard output then fails as it should; standard error takes all;
    `sys.stdin` stays None. A name that an encoding lacks is shown with escapes."""
    for name, flags in (("stdin", os.O_RDONLY), ("stdout", os.O_RDONLY), ("stderr", os.O_WRONLY)):
        stream = getattr(sys, name)
        if stream is None:
            number = os.open(os.devnull, flags)  # the lowest that is free, and so its own
            if name != "stdin":
                setattr(sys, name, open(number, "w", errors="backslashreplace", closefd=False))  # noqa: SIM115
        elif name == "stdout" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _flush() -> None:
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        pass
