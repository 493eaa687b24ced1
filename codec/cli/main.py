"""The command line: `codec encode | decode | info | verify | upscale | train-upscaler | splat`. It holds no logic; it
asks, shows and exits.

Exit codes: 0 fine, 1 the file or the input is bad, 2 wrong usage. Results go to standard output, all else to standard
error; with --json every event is one JSON object a line on standard output.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from ..errors import NvcError
from ..media.files import drain
from .film import decode_command, encode_command, info_command, verify_command
from .splat import splat_group
from .still import upscale_command
from .train import train_upscaler_command


class _Commands(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # the reader has gone, which is no fault; click itself would end with 1
            drain(sys.stdout)
            return 0


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="nvc")
def cli() -> None:
    """NVC: films and pictures as a small AV1 stream, a convolution head that restores the rest, and a coded remainder.

    Exit codes: 0 fine, 1 the file or the input is bad, 2 wrong usage.
    """


for command in (
    encode_command,
    decode_command,
    verify_command,
    info_command,
    upscale_command,
    train_upscaler_command,
    splat_group,
):
    cli.add_command(command)


def main() -> None:
    """Entry point: every expected fault becomes one sentence and an exit code."""
    try:
        code = cli(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except NvcError as error:
        click.echo(f"codec: {error}", err=True)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("codec: interrupted; encode --resume goes on from the last finished segment", err=True)
        sys.exit(1)
    except OSError as error:  # those of files are told where they are read and written
        from ..media.libav import reason

        if not error.filename:
            drain(sys.stdout)
        click.echo(f"codec: {error.filename or 'standard output cannot be written'}: {reason(error)}", err=True)
        sys.exit(1)
    except Exception as error:  # a bug of ours: a sentence for the user, the trace for whoever asks for it
        if os.environ.get("NVC_DEBUG"):
            raise
        click.echo(f"codec: internal fault, {type(error).__name__}: {error} (NVC_DEBUG=1 shows where)", err=True)
        sys.exit(1)
