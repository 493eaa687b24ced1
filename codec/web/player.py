"""`codec play`: the player's page and one film, for a browser on this machine."""

from __future__ import annotations

import os
import sys
import webbrowser
from importlib.resources.abc import Traversable
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
        if browser and not shown(server.once(page)):
            listen(Note("no browser was found on this machine: open the address in one"))
        presence.wait(stay, grace)
    listen(FilmPlayed(path))


def check_film(path: str, limits: Limits) -> None:
    """Raise InputError or FormatError unless a file can be opened and its beginning is one of ours."""
    check_file(path)
    if not (is_still(path) or is_gaussians(path)):
        Contents(path, limits)


def shown(address: str) -> bool:
    """Open an address in the user's browser; False where there is none that has a screen."""
    screen = sys.platform in ("win32", "darwin") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")))
    try:
        return screen and webbrowser.open(address)  # without a screen it takes the terminal, for a browser of text
    except (OSError, webbrowser.Error):
        return False
