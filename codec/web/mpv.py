"""`codec play --mpv`: mpv with the restored pictures, and with sound, subtitles and chapters of the file itself.

mpv reads the pictures as a Matroska file from a server on loopback, so that it goes anywhere in the film by itself, and
pauses where decoding is too slow. Both files are handed over as one, an EDL of two streams, so that mpv chooses among
the tracks by the film's marks and its user's wishes; and on standard input, as everybody can see what a program was
started with. Times in both are those of the film.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction

from ..errors import OutputError, reason
from ..events import FilmPlayed, Listener, Note, PlayerOpened, silent
from ..film.film import Film
from ..frames import VideoInfo
from ..limits import DEFAULT, Limits
from ..media.libav import open_film
from .restored import RestoredFilm
from .server import Server

MPV = "mpv"
_PATIENCE = 1800  # seconds that mpv waits for a picture: of some films one takes long
_END = 5.0  # seconds that mpv has for its end
_CLOSED = (0, 4)  # exit codes: by itself or its user; by a signal or a key that quits
_CODES = {1: "it could not start", 2: "it could not show the film", 3: "it could not show all of the film"}
_FIXED = [  # what mpv is told of every film; what its user has set besides stays
    "--playlist=-",
    "--vid=1",  # the restored pictures; the base is 2
    "--rebase-start-time=no",  # it would move each file by itself
    "--cache=yes",
    f"--network-timeout={_PATIENCE}",
    "--script-opts-append=ytdl_hook-exclude=127%.0%.0%.1",  # what cannot be opened is none of its business
]
_QUARTERS = {(1, 0, 0, 1): 0, (0, 1, -1, 0): 90, (-1, 0, 0, -1): 180, (0, -1, 1, 0): 270}  # a, b, c, d: degrees


def play_in_mpv(
    path: str | os.PathLike[str],
    *,
    best_effort: bool = False,
    device: str = "auto",
    threads: int = 0,
    terminal: bool = True,
    limits: Limits = DEFAULT,
    listen: Listener = silent,
) -> None:
    """Show the film `path` in mpv until that ends. `terminal`: mpv may write to it, and takes keys from there.

    Raises OutputError where mpv is missing or fails, FormatError where the file is no film of ours, and DamageError,
    once mpv has ended, where pictures could not be restored exactly (unless `best_effort`).
    """
    path = os.fspath(path)
    program = shutil.which(MPV)
    if program is None:
        raise OutputError("mpv is not on this machine, or not on the PATH: install it, or play without --mpv")
    film = Film(path, best_effort=best_effort, device=device, threads=threads, limits=limits)
    restored = RestoredFilm(film, listen)
    rotation, note = _rotation(film.info)
    if note:
        listen(Note(note))
    options = [*_FIXED, *_of_film(path), *_later(restored.shift), *rotation, *([] if terminal else ["--terminal=no"])]
    with Server({"film.mkv": restored}, listen=listen) as server:
        address = f"{server.address}film.mkv"
        listen(PlayerOpened(address, MPV))
        code = _run([program, *options], _together(address, path))
    if restored.fault:
        raise restored.fault
    if code not in _CLOSED:
        raise OutputError(_ended(code))
    listen(FilmPlayed(path))


def _of_film(path: str) -> list[str]:
    """What mpv is told of the film: its title, or the file's name, and where chapters are."""
    with open_film(path) as film:
        name = film.metadata.get("title") or os.path.basename(path).encode(errors="replace").decode()
        chapters = [f"--chapters-file={os.path.abspath(path)}"] if film.chapters() else []
    return [f"--force-media-title={name}", *chapters]


def _together(address: str, path: str) -> str:
    """What mpv opens: the pictures at `address`, and beside them every track of the film itself."""
    files = [address, os.path.abspath(path)]  # a name of any letters: its bytes are counted
    return "edl://" + ";!new_stream;".join(f"!no_chapters;%{len(os.fsencode(file))}%{file},start=0" for file in files)


def _later(shift: Fraction) -> list[str]:
    """What mpv is told of the other tracks where pictures come `shift` seconds later than their times say."""
    return [f"--audio-delay={float(shift)}", f"--sub-delay={float(shift)}"] if shift else []


def _ended(code: int) -> str:
    """How mpv has failed."""
    if code < 0:
        return f"mpv was ended by {signal.Signals(-code).name}"
    return f"mpv has ended with code {code}" + (f": {_CODES[code]}" if code in _CODES else "")


def _rotation(info: VideoInfo) -> tuple[list[str], str]:
    """mpv's option that turns pictures as the film says, and a sentence where it cannot."""
    if not info.display_matrix:
        return [], ""
    a, b, _, c, d, *_ = (round(number / 65536) for number in info.display_matrix)
    if (a, b, c, d) not in _QUARTERS:
        return [], "mpv does not mirror pictures as the film asks for, or turn them so"
    return [f"--video-rotate={_QUARTERS[a, b, c, d]}"], ""


def _run(command: Sequence[str], address: str) -> int:
    """Run mpv, let it play what lies at `address`, and return its exit code. It is ended where we are."""
    around = [*filter(None, [os.environ.get("no_proxy")]), "127.0.0.1"]  # nothing else may know the token
    environment = os.environ | {"no_proxy": ",".join(around)}
    try:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment)
    except OSError as error:
        raise OutputError(f"{command[0]} cannot be started: {reason(error)}") from None
    try:
        assert process.stdin is not None
        with suppress(OSError):  # it may have ended already
            process.stdin.write(f"{address}\n".encode())
        with suppress(OSError):
            process.stdin.close()
        return process.wait()
    finally:
        process.terminate()
        try:
            process.wait(_END)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
