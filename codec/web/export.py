"""`codec play --export`: the player as files that any web server hands out."""

from __future__ import annotations

import os
from importlib.resources.abc import Traversable
from pathlib import Path

from ..errors import OutputError, TargetExists, reason, unwritable
from ..events import Listener, PlayerExported, silent
from ..media.parts import check_target, write_whole
from .pages import page_files


def export(
    target: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    folder: Traversable | None = None,
    listen: Listener = silent,
) -> PlayerExported:
    """Write the page's files below the folder `target`, which is made where there is none; `folder` holds another page
    than the package's.

    A file that is there and differs is not ours to replace unless `overwrite`: TargetExists, before anything is
    written. Each is written whole or not at all. Raises OutputError.
    """
    root, pages = Path(target), page_files(folder)
    wanted = {root / path: data for path, data in pages.items() if not _same(root / path, data)}
    taken = [path for path in wanted if os.path.lexists(path)]
    if taken and not overwrite:
        more = f" and {len(taken) - 1} more" if len(taken) > 1 else ""
        raise TargetExists(f"{taken[0]}{more} exists already and is another; --overwrite replaces it")
    for place in sorted({root, *(path.parent for path in wanted)}):
        try:
            place.mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(f"the folder {place} cannot be made: {reason(error)}") from None
    for path in wanted:
        check_target(str(path), overwrite)
    for path, data in wanted.items():
        try:
            write_whole(path, data, overwrite)
        except OSError as error:
            raise unwritable(f"{path} cannot be written", error) from None
    done = PlayerExported(os.fspath(target), len(pages), sum(map(len, pages.values())))
    listen(done)
    return done


def _same(path: Path, data: bytes) -> bool:
    """Whether a file is there with these bytes."""
    try:
        return path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data
    except OSError:
        return False
