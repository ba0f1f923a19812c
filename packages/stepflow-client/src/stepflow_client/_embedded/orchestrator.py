"""The orchestrator name that lets a server resume its predecessor's runs immediately.

Under another name, a server waits until its predecessor's leases have expired, which takes 30 s or more. Two running
servers must not share a name, because each would execute the other's runs. So each name is stored in a small file next
to the store, and only the holder of the lock on that file may use it. The server inherits the lock, which is released
when both this process and the server have ended.
"""

from __future__ import annotations

import os
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_MAX_SERVERS = 64
# If a process is killed, its watchdog stops its server within this time.
_ORPHAN_SECONDS = 5.0
_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class OrchestratorName:
    """A name, and the descriptor of the locked file that reserves it for this server."""

    name: str
    lock: int | None = None
    is_first: bool = True
    """Whether no other server on this machine is using the store."""

    def close(self) -> None:
        """Release the name. Call it after the server has ended."""
        if self.lock is not None:
            import fcntl

            # Unlock explicitly: a fork of this process may also hold the descriptor.
            fcntl.flock(self.lock, fcntl.LOCK_UN)
            os.close(self.lock)


def claim_name(store: Path | None) -> OrchestratorName:
    """Return a name that no running server has, preferably the name of the store's previous server.

    Args:
        store: The file of the store; None for any other store, whose servers get new names.
    """
    name = f"stepflow-{uuid.uuid4()}"
    # OSError: the folder is not writable, the disk is full, or the file system does not support locks.
    with suppress(OSError):
        for number in range(_MAX_SERVERS if store is not None else 0):
            assert store is not None
            path = store.with_name(f"{store.name}.orchestrator-{number}")
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                if _lock_file(lock):
                    # The file contains the name and the id of the process that last took the lock.
                    reserved = (_read_holder(lock) or [name])[0]
                    os.pwrite(lock, f"{reserved} {os.getpid():<20}\n".encode(), 0)
                    return OrchestratorName(reserved, lock, is_first=number == 0)
            except BaseException:
                os.close(lock)
                raise
            os.close(lock)
    return OrchestratorName(name)


def _lock_file(lock: int) -> bool:
    """Lock a file, and return whether that succeeded.

    If the process that took the lock has ended and only its server is left, wait for the server to end.
    """
    import fcntl

    end = time.monotonic() + _ORPHAN_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end or _is_holder_alive(_read_holder(lock)):
                return False
            time.sleep(_POLL_SECONDS)
        else:
            return True


def _read_holder(lock: int) -> list[str]:
    return os.pread(lock, 200, 0).decode("ascii", "replace").split()


def _is_holder_alive(content: list[str]) -> bool:
    """Return whether the process that wrote the file is running; True if it has not written the file yet."""
    if len(content) != 2 or not content[1].isdigit():
        return True
    try:
        os.kill(int(content[1]), 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True
