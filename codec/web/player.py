"""`codec play`: the player's page and one film, for a browser on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.resources.abc import Traversable
from threading import Thread
from urllib.parse import quote

from ..events import FilmPlayed, Listener, Note, PlayerOpened, silent
from ..film.contents import Contents
from ..limits import DEFAULT, Limits
from ..media.files import check_file
from ..media.foreign import is_gaussians
from ..wire.avif import is_still
from .pages import INDEX, page_files, type_of
from .presence import GRACE, Presence
from .resources import Constant, FilmFile, Resource
from .server import Server

_OPEN = "import sys, webbrowser; sys.exit(not webbrowser.open(sys.stdin.read()))"
ALIVE = "alive"  # the event stream that a page reads while it is there


def play(
    path: str | os.PathLike[str],
    *,
    port: int = 0,
    browser: bool = True,
    stay: bool = False,
    grace: float = GRACE,
    folder: Traversable | None = None,
    limits: Limits = DEFAULT,
    listen: Listener = silent,
) -> None:
    """Hand out the player with the film, still or .nvs file `path`, and wait: until the last page has been gone for
    `grace` seconds or, with `stay`, for a signal.

    `listen` is told the address first; `browser` opens it. `port`: 0 takes one that is free; `folder` holds another
    page than the package's. Raises InputError or FormatError where the file is none of ours, and OutputError where
    nothing can be listened on.
    """
    path = os.fspath(path)
    check_film(path, limits)
    pages = page_files(folder)
    name = os.path.basename(path).encode(errors="replace").decode()
    presence = Presence()
    resources: dict[str, Resource] = {page: Constant(type_of(page), data) for page, data in pages.items()}
    resources |= {"": resources[INDEX], ALIVE: presence, f"film/{name}": FilmFile(path)}
    with Server(resources, port, listen) as server:
        page = f"?src=film/{quote(name)}&alive={ALIVE}"
        listen(PlayerOpened(server.address + page, "browser" if browser else ""))
        if browser:
            Thread(target=_open, args=(server, page, listen), daemon=True).start()
        presence.wait(stay, grace)
    listen(FilmPlayed(path))


def _open(server: Server, page: str, listen: Listener) -> None:
    """Have the browser open the page. Some browsers are waited for until they end."""
    address = server.once(page)
    if not shown(address):
        server.forget(address.rpartition("/")[2])
        listen(Note("no browser was found on this machine: open the address in one"))


def check_film(path: str, limits: Limits) -> None:
    """Raise InputError or FormatError unless a file can be opened and its beginning is one of ours."""
    check_file(path)
    if not (is_still(path) or is_gaussians(path)):
        Contents(path, limits)


def shown(address: str) -> bool:
    """Open an address in the user's browser; False where there is none that has a screen."""
    screen = sys.platform in ("win32", "darwin") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")))
    if not screen:  # a browser of text would take the terminal
        return False
    try:  # a process of its own, as a browser writes to what it is started with, and that may be JSON
        return not subprocess.run(
            [sys.executable, "-c", _OPEN],
            input=address.encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        ).returncode
    except OSError:
        return False
