"""The name by which a server finds the runs of its predecessor in a store, and takes them up at once.

Without it a server waits for the leases of its predecessor to run out, which takes 30 s and more. A name must
not be shared by two servers that live: each would run the other's runs. So a name belongs to a small file beside
the store, and only who holds the lock of that file may use it. The server inherits the lock: it is free when both
this process and the server are gone.
"""

from __future__ import annotations

import os
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_MOST_SERVERS = 64
# The server of a process that was killed is ended by its watchdog in less.
_ORPHAN_SECONDS = 5.0
_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class OrchestratorName:
    """A name, and the descriptor of the locked file that makes it this server's own."""

    name: str
    lock: int | None = None
    is_first: bool = True
    """Whether no other server of this machine holds the store."""

    def close(self) -> None:
        """Return the name back; for when the server is gone."""
        if self.lock is not None:
            import fcntl

            # Explicitly: a fork of this process may hold the descriptor, too.
            fcntl.flock(self.lock, fcntl.LOCK_UN)
            os.close(self.lock)


def claim_name(store: Path | None) -> OrchestratorName:
    """Return a name no live server has: that of an earlier server of this store, if there was one.

    Args:
        store: The file of the store; None for a store of another kind, whose servers get new names.
    """
    if store is not None:
        for number in range(_MOST_SERVERS):
            # OSError: the folder cannot be written, or its file system has no locks.
            with suppress(OSError):
                claimed = _claim(store.with_name(f"{store.name}.orchestrator-{number}"), is_first=number == 0)
                if claimed is None:
                    continue
                return claimed
            break
    return OrchestratorName(_new_name())


def _claim(path: Path, is_first: bool) -> OrchestratorName | None:
    """Return the name in a file, which gets one if it has none; None if another process has the file's lock.

    The file holds the name and the id of the process that has or had the lock.
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
    """Lock a file; wait where the process that holds it is gone, and only its server is left."""
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
    """Return whether the process that wrote a file lives; True for one that has not written yet."""
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
