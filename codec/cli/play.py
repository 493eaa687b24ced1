"""`codec play`: a film in a browser or in mpv, and the player as files."""

from __future__ import annotations

from typing import Any

import click

from ..errors import UsageError
from ..events import Event, Listener, Note, PlayerOpened
from ..machine import keep_memory
from .console import Console
from .options import Number, limited, machine, shared

PORT_MAX = 65535


@click.command("play")
@click.argument("film", required=False)
@click.option("--mpv", "by_mpv", is_flag=True, help="Show it in mpv: no browser, no GPU.")
@click.option("--export", "target", metavar="DIR", help="Write the player to DIR, for any web server; without FILM.")
@click.option("--no-browser", is_flag=True, help="Print the address, and let me open it.")
@click.option("--port", type=Number(int, 0, PORT_MAX), help="Of the page's address.  [default: one that is free]")
@click.option("--stay", is_flag=True, help="Go on when the last page has been closed.")
@click.option("--best-effort", is_flag=True, help="With --mpv: show what can be shown of a damaged film.")
@click.option("-y", "--overwrite", is_flag=True, help="With --export: replace files that are there and differ.")
@machine
@shared
@limited
def play_command(
    film: str | None,
    by_mpv: bool,
    target: str | None,
    no_browser: bool,
    port: int | None,
    stay: bool,
    best_effort: bool,
    overwrite: bool,
    device: str,
    threads: int,
    as_json: bool,
    quiet: bool,
    limits: Any,
) -> None:
    """Watch the .nvc file FILM as it is restored.

    It opens in the browser, whose GPU restores it; the page is for this machine alone, and the command ends with it.
    With --mpv the film is restored here (--device, --threads), and mpv shows it with its sound, subtitles and chapters.
    --export writes the page itself: on any web server it plays what is dropped on it, or what ?src=ADDRESS names.
    """
    page, mpv = no_browser or stay or port is not None, by_mpv or best_effort
    if target is not None and (film is not None or page or mpv or not target):
        raise UsageError("--export takes a folder, and nothing else")
    if overwrite and target is None:
        raise UsageError("--overwrite goes with --export")
    if target is None and not film:
        raise UsageError("a FILM is missing; --export DIR needs none")
    if film == "-":
        raise UsageError("a film is read at many places at once, so it must be a file, not standard input")
    if not by_mpv and (best_effort or device != "auto" or threads):
        raise UsageError("--best-effort, --device and --threads go with --mpv; the page restores in the browser")
    if by_mpv and page:
        raise UsageError("--mpv has no page: --no-browser, --port and --stay do not go with it")
    if no_browser and quiet and not as_json:
        raise UsageError("--no-browser prints an address, which --quiet keeps back")
    with Console(as_json, quiet) as console:
        if target is not None:
            from ..web.export import export

            done = export(target, overwrite=overwrite, listen=console)
            console.say(f"{done.path}: {done.files} files, {done.bytes:,} bytes")
        elif by_mpv:
            from ..web.mpv import play_in_mpv

            keep_memory()
            how: Any = {"best_effort": best_effort, "device": device, "threads": threads, "limits": limits}
            play_in_mpv(film or "", **how, terminal=not (as_json or quiet), listen=console)
        else:
            from ..web.player import play

            listen = _told(console, stay, silent=quiet and not as_json)
            play(film or "", port=port or 0, browser=not no_browser, stay=stay, limits=limits, listen=listen)


def _told(console: Console, stay: bool, silent: bool) -> Listener:
    """What tells of the page: its address, and under `silent`, or nobody would ever come, that no browser opens it."""
    address = ""

    def listen(event: Event) -> None:
        nonlocal address
        if isinstance(event, PlayerOpened):
            address = event.address
            console.say(f"{address}\n{'' if stay else 'It ends with its page, or '}Ctrl-C ends it.")
        elif isinstance(event, Note) and silent:
            click.echo(f"codec: {event.text}: {address}", err=True)
        console(event)

    return listen
