"""Private folders beside a target, in which unfinished work lies until it is whole.

    .NAME.XXXXXXXX.part/    what is being written (`fresh`, for `parts.Part`)
    .NAME.parts/            what an interrupted work goes on from (`workshop`)

A private folder is made by us and for us alone (mode 0700), so nobody can put a link where we shall write. It is marked
by a file that stays locked while a process works in it: a lock that is free means that the work has ended, however it
did. What a killed process left in a `.part` is removed when the same target is written again; a `.parts` is taken up or
cleared by the next work of its kind on that target. Only files of our own names, in folders that look exactly as ours,
are ever removed, and no link is followed on the way to them.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
from contextlib import suppress
from typing import BinaryIO

from ..errors import OutputError, unwritable

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

MARK = "nvc.lock"
_MARK_TEXT = b"Unfinished work of NVC: it may be deleted once the program that wrote it has ended.\n"
_NAME_MAX = 140  # bytes of a hidden name; 143 is the least that a usual file system allows (eCryptfs)
_PART_NAMES = re.compile(r"part|[0-9]+")
_DIGITS = 8  # of a random name, hexadecimal
_TRIES = 20  # for a new folder, against others who tidy up at the same moment
_FOLDER_FLAGS = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)
_FILE_FLAGS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_BY_DESCRIPTOR = os.open in os.supports_dir_fd and hasattr(os, "O_DIRECTORY")  # not on Windows


class ForeignError(Exception):
    """A folder that is not ours or holds what is not; the words say why and follow its name."""


class BusyError(Exception):
    """Another process works in the folder at this moment."""


class Folder:
    """A private folder that is marked as ours and held by this process until it is left, removed, or the process ends.

    Its files are opened, moved and removed relative to the folder that was checked, whatever has its name by then.

    Attributes:
        path: of the folder.
        locked: whether it is certain that no other process works in it; False on file systems without locks.
    """

    def __init__(self, path: str, names: re.Pattern[str]):
        """For `made` and `found`. `names` are those of our files in it, beside the mark."""
        self.path = path
        self.locked = False
        self._names = names
        self._left = False
        self._mark: int | None = None
        self._folder = os.open(path, _FOLDER_FLAGS) if _BY_DESCRIPTOR else None

    @classmethod
    def made(cls, path: str, names: re.Pattern[str]) -> Folder:
        """A new folder. Raises FileExistsError or another OSError."""
        os.mkdir(path, 0o700)
        try:
            folder = cls(path, names)
        except BaseException:
            with suppress(OSError):
                os.rmdir(path)
            raise
        try:
            folder._hold(os.O_CREAT | os.O_EXCL)
            folder._write_mark()
        except BusyError:  # somebody who tidies up was quicker
            folder.leave()
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        except BaseException:
            folder.remove()
            raise
        return folder

    @classmethod
    def found(cls, path: str, names: re.Pattern[str], like: os.stat_result) -> Folder:
        """A folder that is there, if it is one of ours; nothing in it is changed. `like` is what our folders look like
        here: not every file system lets us choose owner and mode. Raises ForeignError, BusyError or OSError."""
        seen = os.lstat(path)
        if not stat.S_ISDIR(seen.st_mode):
            raise ForeignError("is a link" if stat.S_ISLNK(seen.st_mode) else "is no folder")
        if seen.st_uid != like.st_uid:
            raise ForeignError("belongs to somebody else")
        if (seen.st_mode ^ like.st_mode) & 0o777:
            raise ForeignError("has other permissions than this program gives")
        folder = cls(path, names)
        try:
            if not os.path.samestat(seen, folder.look()):
                raise ForeignError("has been replaced at this moment")
            folder._adopt()
        except BaseException:
            folder.leave()
            raise
        return folder

    def _adopt(self) -> None:
        """Hold the folder if all in it is ours. Raises ForeignError or BusyError."""
        names = self._listed()
        strange = sorted(name for name in names if name != MARK and not self._names.fullmatch(name))
        if strange:
            raise ForeignError(f"holds {strange[0]!r}, which is not of this program")
        if names and MARK not in names:
            raise ForeignError("was not made by this program")
        self._hold(0 if names else os.O_CREAT)  # a kill may have come before the mark, or before its words
        for name in self._listed():
            if not stat.S_ISREG(self._look(name).st_mode):
                raise ForeignError(f"holds {name!r}, which is no file")
        assert self._mark is not None
        os.lseek(self._mark, 0, os.SEEK_SET)
        if not _MARK_TEXT.startswith(os.read(self._mark, len(_MARK_TEXT) + 1)):
            raise ForeignError("was not made by this program")
        self._write_mark()

    def _hold(self, flags: int) -> None:
        """Lock the mark. Raises BusyError."""
        try:
            self._mark = self._open(MARK, os.O_RDWR | flags)
            self.locked = _lock(self._mark)
            if not os.path.samestat(os.fstat(self._mark), self._look(MARK)):
                raise BusyError  # it was removed before it was locked
        except (FileExistsError, FileNotFoundError):
            raise BusyError from None

    def _write_mark(self) -> None:
        assert self._mark is not None
        if os.fstat(self._mark).st_size < len(_MARK_TEXT):
            os.lseek(self._mark, 0, os.SEEK_SET)
            os.write(self._mark, _MARK_TEXT)

    def look(self) -> os.stat_result:
        """What the folder looks like."""
        return os.lstat(self.path) if self._folder is None else os.fstat(self._folder)

    def names(self) -> list[str]:
        """Our files but for the mark, sorted; none once the folder was left, as somebody else may have it by then."""
        return [] if self._left else sorted(name for name in self._listed() if self._names.fullmatch(name))

    def place(self, name: str) -> str:
        """The path of a file."""
        return os.path.join(self.path, name)

    def create(self, name: str) -> BinaryIO:
        """A new file, to be written; its mode is the one that new files of this user have. Raises OSError."""
        return os.fdopen(self._open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL), "w+b")

    def open(self, name: str) -> BinaryIO:
        """A file that is there, to be read or changed. Raises OSError."""
        return os.fdopen(self._open(name, os.O_RDWR), "r+b")

    def read(self, name: str) -> bytes:
        """A file's bytes. Raises OSError."""
        with self.open(name) as file:
            return file.read()

    def write(self, name: str, data: bytes, during: str) -> None:
        """Write a file whole or not at all; it is called `during` until it is on the disk. Raises OSError."""
        try:
            self.unlink(during)
            with self.create(during) as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            self.move(during, self.place(name))
        except OSError:
            with suppress(OSError):
                self.unlink(during)
            raise

    def move(self, name: str, path: str) -> None:
        """Give a file another place, whatever is there. Raises OSError."""
        if self._folder is None:
            os.replace(self.place(name), path)
        else:
            os.replace(name, path, src_dir_fd=self._folder)

    def settle(self, name: str, path: str) -> None:
        """Give a file another place, where nothing is (without hard links: was just now). Raises OSError."""
        if _linked(self.place(name) if self._folder is None else name, path, self._folder):
            self.unlink(name)
        else:
            self.move(name, path)

    def unlink(self, name: str) -> None:
        """Remove one of our files, if it is there. Raises OSError."""
        with suppress(FileNotFoundError):
            if self._folder is None:
                os.unlink(self.place(name))
            else:
                os.unlink(name, dir_fd=self._folder)

    def remove(self) -> None:
        """Remove our files and then the folder, if it holds nothing else. The mark goes last, so that what a kill
        leaves of it is known as ours. What cannot be removed stays."""
        if self._left:
            return
        try:
            for name in self.names():
                self.unlink(name)
            if set(self._listed()) <= {MARK}:
                if fcntl is None:
                    self._release()  # Windows removes no file that is open
                self.unlink(MARK)
                os.rmdir(self.path)
        except OSError:
            pass
        finally:
            self.leave()

    def leave(self) -> None:
        """Keep all as it is, for whoever comes next."""
        self._left = True
        self._release()
        if self._folder is not None:
            os.close(self._folder)
            self._folder = None

    def _release(self) -> None:
        if self._mark is not None:
            os.close(self._mark)
            self._mark = None

    def _listed(self) -> list[str]:
        return os.listdir(self.path if self._folder is None else self._folder)

    def _look(self, name: str) -> os.stat_result:
        if self._folder is None:
            return os.lstat(self.place(name))
        return os.stat(name, dir_fd=self._folder, follow_symlinks=False)

    def _open(self, name: str, flags: int) -> int:
        # 0666, of which the user's umask takes away; nobody else gets into the folder
        if self._folder is None:
            return os.open(self.place(name), flags | _FILE_FLAGS, 0o666)
        return os.open(name, flags | _FILE_FLAGS, 0o666, dir_fd=self._folder)


def _linked(source: str, path: str, folder: int | None) -> bool:
    """Give a file, in an open folder, a second name that must be new; False where there are no hard links. Raises
    FileExistsError."""
    try:
        os.link(source, path, src_dir_fd=folder)
    except FileExistsError:
        raise
    except OSError:
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        return False
    return True


def _lock(descriptor: int) -> bool:
    """Hold a file for this process until it is closed or the process ends, however it does; False where the system has
    no such locks. Raises BusyError where another process holds it."""
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        elif sys.platform == "win32":
            import msvcrt

            os.lseek(descriptor, 1 << 20, os.SEEK_SET)  # what is locked there cannot be read by others
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            os.lseek(descriptor, 0, os.SEEK_SET)
        else:
            return False
    except (BlockingIOError, PermissionError):
        raise BusyError from None
    except OSError:  # a file system without locks
        return False
    return True


def workshop(target: str, ending: str, names: re.Pattern[str], purpose: str) -> Folder:
    """The folder beside `target`, with that ending, that keeps unfinished work from one run to the next: made, or found
    again. `names` are those of the files in it, `purpose` says in messages what they are.

    Raises OutputError where the name is taken by what is not ours, or holds such (that is left as it is), where another
    process works in it, and where it cannot be made.
    """
    real = resolved(target)
    path = beside(real, ending)
    try:
        sample = fresh(real)
        try:
            return Folder.made(path, names)
        except FileExistsError:
            return Folder.found(path, names, sample.look())
        finally:
            sample.remove()
    except BusyError:
        raise OutputError(f"{target} is being written by another process at this moment") from None
    except ForeignError as reason:
        way_out = "it is left as it is; move it away, or give another target"
        raise OutputError(f"{path}, where {purpose} would be kept, {reason}: {way_out}") from None
    except OSError as error:
        raise unwritable(f"{path} cannot be used to keep {purpose}", error) from None


def fresh(real: str) -> Folder:
    """A new folder beside a target, of a random name, for files called "part" or by a number; what killed processes
    left in such folders is removed. Raises OSError."""
    for left in reversed(range(_TRIES)):
        try:
            folder = Folder.made(beside(real, f".{os.urandom(_DIGITS // 2).hex()}.part"), _PART_NAMES)
            break
        except (FileExistsError, FileNotFoundError):
            if not left:
                raise
    _remove_stale(folder)
    return folder


def _remove_stale(folder: Folder) -> None:
    """Remove what is like `folder`, belongs to the same target, and is no longer worked in."""
    where, own = os.path.split(folder.path)
    start = own[: -len(".part") - _DIGITS]
    ours = re.compile(rf"{re.escape(start)}[0-9a-f]{{{_DIGITS}}}\.part")
    with suppress(OSError):
        for name in os.listdir(where or "."):
            if name != own and ours.fullmatch(name):
                with suppress(OSError, ForeignError, BusyError):
                    stale = Folder.found(os.path.join(where, name), _PART_NAMES, folder.look())
                    stale.remove() if stale.locked else stale.leave()


def resolved(target: str) -> str:
    """Where the bytes of a target go: it itself or, where it is a link, what the link leads to."""
    return os.path.realpath(target) if os.path.islink(target) else target


def beside(real: str, ending: str) -> str:
    """A hidden path beside a file, made of its name, the same each time. A long name is cut, and told from others by a
    hash."""
    folder, name = os.path.split(real)
    if len(os.fsencode(f".{name}{ending}")) > _NAME_MAX:
        import hashlib  # seldom wanted, and long to load

        ending = f"~{hashlib.blake2b(os.fsencode(name), digest_size=8).hexdigest()}{ending}"
        while len(os.fsencode(f".{name}{ending}")) > _NAME_MAX:
            name = name[:-1]
    return os.path.join(folder, f".{name}{ending}")
