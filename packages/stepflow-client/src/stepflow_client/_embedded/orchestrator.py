"""The orchestrator name with which a server resumes the runs of its predecessor immediately.

Without it, a server waits until the leases of its predecessor have expired, which takes 30 s or more. Two running
servers must not share a name, because each would execute the other's runs. Therefore each name is stored in a small
file next to the store, and only the holder of the lock on that file may use it. The server inherits the lock, so it is
released when both this process and the server have ended.
"""

from __future__ import annotations

import os
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_MAX_SERVERS = 64
# If a process is killed, its watchdog ends its server in less time than this.
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
    """Return a name that no running server has. If the store had an earlier server, its name is reused.

    Args:
        store: The file of the store; None for a store of another kind, whose servers get new names.
    """
    if store is not None:
        for number in range(_MAX_SERVERS):
            # OSError: the folder is not writable, or its file system does not support locks.
            with suppress(OSError):
                claimed = _claim(store.with_name(f"{store.name}.orchestrator-{number}"), is_first=number == 0)
                if claimed is None:
                    continue
                return claimed
            break
    return OrchestratorName(_new_name())


def _claim(path: Path, is_first: bool) -> OrchestratorName | None:
    """Lock a file and return the name in it; None if another process holds the lock.

    A file without a name gets a new one. The file contains the name and the id of the process that last took the lock.
    """
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not _locked(lock):
            os.close(lock)
            return None
        name = (_content(lock) or [_new_name()])[0]
        os.pwrite(lock, f"{name} {os.getpid():<20}\n".encode(), 0)
    except BaseException:
        os.close(lock)
        raise
    return OrchestratorName(name, lock, is_first)


def _locked(lock: int) -> bool:
    """Lock a file, and return whether that succeeded.

    If the process that took the lock has ended and only its server is left, wait for the server to end.
    """
    import fcntl

    end = time.monotonic() + _ORPHAN_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end or _lives(_content(lock)):
                return False
            time.sleep(_POLL_SECONDS)
        else:
            return True


def _content(lock: int) -> list[str]:
    return os.pread(lock, 200, 0).decode("ascii", "replace").split()


def _lives(content: list[str]) -> bool:
    """Return whether the process that wrote the file is running; True if it has not written the file yet."""
    if len(content) != 2 or not content[1].isdigit():
        return True
    try:
        os.kill(int(content[1]), 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _new_name() -> str:
    return f"stepflow-{uuid.uuid4()}"
