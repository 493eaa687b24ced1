"""Everything that can go wrong on purpose, and the exit code each kind ends with.

The command line prints the message as one sentence and exits with `error.exit_code`; a library user
catches `NvcError`. Anything else that escapes is a bug of ours.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_FULL = (errno.ENOSPC, errno.EDQUOT)
# where not what is written is at fault but where it is written to
_OF_DISKS = (*_FULL, errno.EIO, errno.EFBIG, errno.EROFS, errno.EACCES, errno.ENOENT)


class NvcError(Exception):
    """Base of all errors raised on purpose. The message is one sentence that names the file and the fault."""

    exit_code = 1


class InputError(NvcError):
    """The source cannot be read, or holds something that cannot be stored as asked."""


class SourceChanged(InputError):
    """The source is no longer what it was when the work began."""


class SourceDamaged(InputError):
    """The source is damaged, or becomes another film, midway: what is before that can be encoded (`best_effort`)."""


class Unsteady(InputError):
    """The source gives other pictures each time that it is read: what was made of them may not fit together."""


class FormatError(NvcError):
    """An .nvc file breaks the rules of FORMAT.md."""


class DamageError(FormatError):
    """One frame or segment of an .nvc file cannot be restored exactly.

    `pts` is the presentation time stamp of the first frame concerned, in the track's time base, or None.
    """

    def __init__(self, message: str, pts: int | None = None):
        super().__init__(message)
        self.pts = pts


class OutputError(NvcError):
    """The result cannot be written where it was asked for."""


class TargetExists(OutputError):
    """A file is there already, and may not be overwritten."""


class NoRoom(OutputError):
    """The disk that the result is to be written to is full."""


class Refused(OutputError):
    """What is to be written cannot be held by a file of its kind."""


class WorkerError(NvcError):
    """A process or machine that encoded a segment was lost, again and again."""


class NoWorkers(WorkerError):
    """There has been nobody to encode a segment for too long."""


class UsageError(NvcError):
    """The options contradict each other or lie outside their range.

    `names`: the parameters that the message speaks of, in the order of the {} that stand for them in it. A library user
    reads their own names; the command line spells them as its options. A message without `names` is taken as it is.
    """

    exit_code = 2

    def __init__(self, message: str, *names: str):
        super().__init__(message.format(*names) if names else message)
        self._form, self.names = message, names

    def spelt(self, spell: Callable[[str], str]) -> str:
        """The message, with names as `spell` writes them."""
        return self._form.format(*map(spell, self.names)) if self.names else self._form


def reason(error: BaseException) -> str:
    """The words of the system, or of a library, for an error: without its number, its file and the names of Python."""
    if isinstance(error, MemoryError):
        return "there is not enough memory"
    return str(getattr(error, "strerror", None) or error).rstrip(".") or type(error).__name__


def unwritable(message: str, fault: BaseException) -> OutputError:
    """A fault of the system, or of a library that writes, as an error: `message` and then the fault's own words."""
    number = getattr(fault, "errno", None)
    kind = NoRoom if number in _FULL else OutputError if number in _OF_DISKS else Refused
    return kind(f"{message}: {reason(fault)}")


@contextmanager
def naming(path: str) -> Iterator[None]:
    """A FormatError that is raised inside names the file."""
    try:
        yield
    except FormatError as error:
        raise type(error)(f"{path}: {error}") from None
