"""Who is at the other end of a connection within this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")  # of Linux: proc(5)
_LOCAL, _REMOTE, _USER = 1, 2, 7  # columns


def is_stranger(port: int, ours: int) -> bool:
    """Whether the program whose connection leads from `port` to our port `ours` is another user's. False where the
    system does not tell."""
    users = {user for local, remote, user in _connections() if (local, remote) == (port, ours)}
    return bool(users) and os.getuid() not in users


def _connections() -> Iterator[tuple[int, int, int]]:
    """(local port, remote port, user) of every TCP connection that Linux lists, none elsewhere."""
    for table in _TABLES:
        with suppress(OSError), open(table, encoding="ascii") as lines:
            next(lines, None)
            for line in lines:
                fields = line.split()
                local, remote = (int(fields[k].rpartition(":")[2], 16) for k in (_LOCAL, _REMOTE))
                yield local, remote, int(fields[_USER])
