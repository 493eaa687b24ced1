"""The command line: `codec encode | decode | info | verify | play | upscale | train-upscaler | splat`. It holds no
logic; it asks, shows and exits.

Exit codes: 0 fine, 1 the file or the input is bad, 2 wrong usage, 130 interrupted. Results go to standard output, all
else to standard error; with --json every event is one JSON object a line on standard output.
"""

from __future__ import annotations

from typing import NoReturn

import click

from .command import Group, run_to_end
from .film import decode_command, encode_command, info_command, verify_command
from .play import play_command
from .splat import splat_group
from .still import upscale_command
from .train import train_upscaler_command


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="nvc")
def cli() -> None:
    """NVC: films and pictures as a small AV1 stream, a convolution head that restores the rest, and a coded remainder.

    Exit codes: 0 fine, 1 the file or the input is bad, 2 wrong usage, 130 interrupted. With --json, what goes wrong is
    an event too: {"event": "error", "text": ..., "code": ...}.
    """


for command in (
    encode_command,
    decode_command,
    verify_command,
    info_command,
    play_command,
    upscale_command,
    train_upscaler_command,
    splat_group,
):
    cli.add_command(command)


def main() -> NoReturn:
    """Run the command of the command line, and exit."""
    run_to_end(cli, "codec")
