"""A command and its groups, run to the end of the process: every fault becomes one sentence and an exit code."""

from __future__ import annotations

import gc
import io
import sys
from typing import Any, NoReturn

import click

from .entry import caught
from .faults import fail, fault, interruption
from .streams import flush, give_up, settle


class Group(click.Group):
    """A group of commands whose reader may go away, which is no fault; click itself would end with 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            give_up(sys.stdout)
            return 0


def run_to_end(command: click.Command, program: str) -> NoReturn:
    """Run a command with the words of the command line, and exit."""
    try:
        code = command.main(standalone_mode=False)
        flush()
    except click.ClickException as error:
        text = io.StringIO()
        error.show(file=text)
        said = error.format_message()
        shown = text.getvalue().replace(f"Error: {said}", f"{program}: {said}")
        code = fail(program, error.exit_code, said, shown)
    except BrokenPipeError:
        give_up(sys.stdout)
        code = 0
    except (click.Abort, KeyboardInterrupt) as error:
        cause = error.__cause__ or error
        code = fail(program, *(fault(cause) if isinstance(cause, EOFError) else interruption(cause)))
    except Exception as error:  # a library may have turned an interruption into something else
        code = fail(program, *(interruption() if caught() else fault(error)))
    settle()
    gc.freeze()  # the end of a process need not look for garbage in what its libraries have made
    sys.exit(code if isinstance(code, int) else 0)
