"""Closes the port of a server to other machines.

Servers listen on all interfaces, and no release has an option to change this. On Linux, a process can duplicate a
socket of its child process (`pidfd_getfd`, Linux 5.6) and bind it to a device (`SO_BINDTODEVICE`, unprivileged since
5.7). A listening socket bound to `lo` only accepts connections from this machine. On other systems, or if a sandbox
forbids the system call, the port stays open to other machines.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import sys
from contextlib import suppress

# The system call number is the same on all architectures that Python supports.
_PIDFD_GETFD = 438
_INTERNET = (socket.AF_INET, socket.AF_INET6)


def bind_to_loopback(pid: int) -> frozenset[int]:
    """Bind every TCP socket on which a child process listens to the loopback interface.

    Returns:
        The ports; an empty set if the process does not listen yet.

    Raises:
        OSError: If the system does not support or allow it.
    """
    if sys.platform != "linux":
        raise OSError("only Linux can do this")
    ports = set()
    process = os.pidfd_open(pid)
    try:
        for fd in _list_sockets(pid):
            duplicate = _duplicate_socket(process, fd)
            if duplicate is None:
                continue
            try:
                listener = socket.socket(fileno=duplicate)
            except OSError:
                # The number has been reused for a file.
                os.close(duplicate)
                continue
            with listener:
                if listener.family in _INTERNET and listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo\0")
                    ports.add(listener.getsockname()[1])
    finally:
        os.close(process)
    return frozenset(ports)


def _list_sockets(pid: int) -> list[int]:
    """Return the file descriptors of a process that are sockets."""
    sockets = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        # The descriptor may have been closed in the meantime.
        with suppress(FileNotFoundError):
            if os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:"):
                sockets.append(int(name))
    return sockets


def _duplicate_socket(process: int, fd: int) -> int | None:
    """Return a duplicate of a socket descriptor of a process; None if it has been closed in the meantime."""
    library = ctypes.CDLL(None, use_errno=True)
    duplicate: int = library.syscall(*map(ctypes.c_long, (_PIDFD_GETFD, process, fd, 0)))
    if duplicate < 0:
        number = ctypes.get_errno()
        if number == errno.EBADF:
            return None
        raise OSError(number, os.strerror(number))
    return duplicate
