"""Closes the port of a server to other machines.

Servers listen on all interfaces, and no release has an option for it. On Linux a process can take a duplicate of a
socket of its child (`pidfd_getfd`, 5.6) and bind it to a device (`SO_BINDTODEVICE`, without privileges from 5.7 on). A
listening socket that is bound to `lo` takes connections of this machine only. On other systems, and where a sandbox
forbids the system call, the port stays open to all.
"""

from __future__ import annotations

import ctypes
import os
import socket
import sys
from contextlib import suppress

# The same on all architectures that Python supports.
_PIDFD_GETFD = 438
_LISTENING = "0A"


def confine(pid: int) -> frozenset[int]:
    """Bind every TCP socket on which a child process listens to the loopback interface.

    Returns:
        The ports; none where the process does not listen yet.

    Raises:
        OSError: The system does not let us.
    """
    if sys.platform != "linux":
        raise OSError("only Linux can do this")
    listening = _listening(pid)
    if not listening:
        return frozenset()
    process = os.pidfd_open(pid)
    try:
        for fd in listening:
            with socket.socket(fileno=_duplicate(process, fd)) as listener:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo\0")
    finally:
        os.close(process)
    return frozenset(listening.values())


def _listening(pid: int) -> dict[int, int]:
    """Return the descriptors of a process that are listening TCP sockets, with their ports."""
    sockets = {}
    for name in os.listdir(f"/proc/{pid}/fd"):
        # It may be closed meanwhile.
        with suppress(FileNotFoundError):
            target = os.readlink(f"/proc/{pid}/fd/{name}")
            if target.startswith("socket:["):
                sockets[target[8:-1]] = int(name)
    if not sockets:
        return {}
    found = {}
    for table in ("tcp", "tcp6"):
        with suppress(FileNotFoundError), open(f"/proc/{pid}/net/{table}", encoding="ascii") as file:
            for line in file:
                fields = line.split()
                if len(fields) > 9 and fields[3] == _LISTENING and fields[9] in sockets:
                    found[sockets[fields[9]]] = int(fields[1].rpartition(":")[2], 16)
    return found


def _duplicate(process: int, fd: int) -> int:
    library = ctypes.CDLL(None, use_errno=True)
    duplicate: int = library.syscall(*map(ctypes.c_long, (_PIDFD_GETFD, process, fd, 0)))
    if duplicate < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return duplicate
