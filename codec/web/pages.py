"""The files that the player's page is made of: those of the folder `player` beside this module, the pretrained heads
that films and stills refer to, and the tables of .nvs files."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable

from heads.restorer.store import FILM_HEADS, STILL_HEADS

from ..errors import InputError
from .resources import TYPES

INDEX = "index.html"
TABLES = "tables.bin"  # of .nvs files, a file of `splat`


def page_files(folder: Traversable | None = None) -> dict[str, bytes]:
    """Each file's bytes by its path below the page, which has slashes; `folder` holds another page than the package's.
    Files of types that a page has no use for are left out. Raises InputError where there is no page."""
    folder = folder or files(__package__) / "player"
    if not (folder / INDEX).is_file():
        raise InputError("the player's page is not there; NVC has to be installed again")
    heads = {
        f"heads/{kind}{number}.bin": (files("heads.restorer") / name).read_bytes()  # a page finds them by their number
        for kind, names in (("film", FILM_HEADS), ("still", STILL_HEADS))
        for number, name in names.items()
    }
    return _found(folder) | heads | {TABLES: (files("splat") / TABLES).read_bytes()}


def type_of(path: str) -> str:
    """The MIME type of a file of the page."""
    return TYPES[_ending(path)]


def _found(folder: Traversable, before: str = "") -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            found |= _found(entry, f"{before}{entry.name}/")
        elif _ending(entry.name) in TYPES:
            found[before + entry.name] = entry.read_bytes()
    return found


def _ending(name: str) -> str:
    return f".{name.rpartition('.')[2].lower()}"
