"""Callers that wait for the same run.

Callers in this process are coordinated by a registry, those in other processes by locks on bytes of a file. One of the
callers, the leader, runs the flow; the others get its result. If the leader gives up, for example because it is
cancelled, another caller becomes the leader and takes over the existing run.
"""

from __future__ import annotations

import errno
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple

if sys.platform != "win32":
    import fcntl

__all__ = ["Flight", "KeyLock", "joined"]


class _Landed(NamedTuple):
    result: Any
    error: BaseException | None


class Flight:
    """A run that callers in this process wait for, in any thread or event loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._callers = 0
        self._is_led = False
        self._owner: object = None
        self._run_id: str | None = None
        self._landed: _Landed | None = None

    def turn(self, owner: object) -> Literal["lead", "wait", "landed"]:
        """Return what a caller must do now: lead, check again later, or take the leader's result.

        Args:
            owner: The client of the caller.
        """
        with self._lock:
            if self._landed is not None:
                return "landed"
            if self._is_led:
                return "wait"
            if self._owner is not owner:
                # The run belongs to another client, and this one may not be allowed to read it.
                self._owner, self._run_id = owner, None
            self._is_led = True
            return "lead"

    @property
    def run_id(self) -> str | None:
        """The id of the run, once it is known."""
        return self._run_id

    def created(self, run_id: str) -> None:
        """Record the run that the leader has created."""
        self._run_id = run_id

    def land(self, result: Any = None, error: BaseException | None = None) -> None:
        """End the flight: give all callers the leader's result, or its error."""
        with self._lock:
            self._landed = _Landed(result, error)

    def hand_over(self) -> None:
        """Let another caller lead."""
        with self._lock:
            self._is_led = False

    def landed(self, owner: object) -> tuple[Any, BaseException | None]:
        """Return the leader's result and error; None and None for an error of another client."""
        assert self._landed is not None
        is_own = self._landed.error is None or self._owner is owner
        return (self._landed.result, self._landed.error) if is_own else (None, None)

    def abandoned(self, owner: object) -> str | None:
        """Return the run if this client owns it and only this caller still waits for it; None otherwise.

        After that, no other caller can take over the run.
        """
        with self._lock:
            if self._callers > 1 or self._landed is not None or self._is_led or self._owner is not owner:
                return None
            run_id, self._run_id = self._run_id, None
            return run_id


_registry_lock = threading.Lock()
_flights: dict[tuple[str, str], Flight] = {}


@contextmanager
def joined(path: Path, key: str) -> Iterator[Flight]:
    """Join the callers of a key, and yield their flight. The flight ends when the last caller leaves.

    Args:
        path: The cache file.
        key: The key.
    """
    place = _place(path)
    with _registry_lock:
        flight = _flights.get((place, key))
        if flight is None or flight._landed is not None:
            flight = _flights[place, key] = Flight()
        flight._callers += 1
    try:
        yield flight
    finally:
        with _registry_lock:
            flight._callers -= 1
            is_over = not flight._callers or flight._landed is not None
            if is_over and _flights.get((place, key)) is flight:
                del _flights[place, key]


def _place(path: Path) -> str:
    try:
        return os.path.realpath(path)
    except OSError:
        # The working folder was deleted: callers that give the same relative path still share a run.
        return str(path)


class KeyLock:
    """A lock on a key between processes: a locked byte of a file, which the system releases when the process ends.

    It does not exclude other callers in the same process.

    Args:
        path: The cache file. The lock file is next to it.
        key: The key, in hexadecimal digits.
    """

    def __init__(self, path: Path, key: str) -> None:
        self._path = f"{path}.lock"
        self._byte = int(key[:15], 16)
        self._file: int | None = None

    def take(self) -> bool:
        """Take the lock, and return whether it was free.

        Raises:
            OSError: If the file cannot be locked, for example in a read-only folder.
        """
        if sys.platform == "win32":
            # No locks on Windows: each process runs the flow itself.
            return True
        file = _lock_file(self._path)
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, self._byte)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                return False
            raise
        self._file = file
        return True

    def free(self) -> None:
        """Release the lock, if it was taken."""
        if sys.platform != "win32" and self._file is not None:
            with suppress(OSError):
                fcntl.lockf(self._file, fcntl.LOCK_UN, 1, self._byte)
            self._file = None


_lock_files: dict[str, int] = {}


def _lock_file(path: str) -> int:
    """Return the descriptor of the file that contains the locks of this process.

    The file stays open: closing any descriptor of a file releases all locks that the process has on it.
    """
    with _registry_lock:
        known = _lock_files.get(path)
        if known is not None:
            with suppress(OSError):
                if os.path.samestat(os.fstat(known), os.stat(path)):
                    return known
        Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _lock_files[path] = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        return _lock_files[path]


def _forked() -> None:
    """In a fork, forget the calls of the parent process."""
    global _registry_lock
    _registry_lock = threading.Lock()
    _flights.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
