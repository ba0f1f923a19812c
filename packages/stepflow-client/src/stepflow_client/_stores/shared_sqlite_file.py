"""Private SQLite files, shared by threads and processes: the history and the result cache."""

from __future__ import annotations

import os
import sqlite3
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from .._base.logging import logger
from .._data.arguments import check_function, file_path
from ..errors import StepflowClientError
from .atomic_file_writes import get_stepflow_user_folder


class FailureReporter:
    """Base class for stores that report their first failure.

    Args:
        name: The store's name in messages.
        on_failure: Called with a message if the store can't be used. If None, a warning is logged instead.
    """

    def __init__(self, name: str, on_failure: Callable[[str], object] | None) -> None:
        """Store the settings."""
        self._name = name
        self._on_failure = check_function(on_failure, "on_failure")
        self._has_warned = False

    @property
    def location(self) -> str:
        """The store's location, without passwords."""
        raise NotImplementedError

    @property
    def _logged_location(self) -> str:
        return self.location

    @contextmanager
    def warn_on_failure(self, action: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            # Let the run continue, whatever the cause (e.g. a full disk, a file that belongs to another program, or a
            # value that isn't JSON).
            self.report_failure_once(action, getattr(error, "strerror", None) or error)

    def report_failure_once(self, action: str, reason: object) -> None:
        """Report that an action failed, unless a failure has already been reported."""
        if not self._has_warned:
            self._has_warned = True
            self._report_or_log(action, reason)

    def _report_or_log(self, action: str, reason: object) -> None:
        """Pass a message to `on_failure`, or log it."""
        if self._on_failure is None:
            logger.warning("the %s cannot %s in %s: %s", self._name, action, self._logged_location, reason)
        else:
            self._on_failure(f"the {self._name} cannot {action} in {self.location}: {reason}")


Result = TypeVar("Result")

# How long to wait for other processes to finish writing, in seconds.
_LOCK_WAIT_SECONDS = 5.0
# How long a process waits for a file if it recently waited in vain, and how soon it waits for the full time again, in
# seconds. Without the shorter wait, a call that makes several changes would wait the full time for each one, long past
# its deadline.
_SHORT_LOCK_WAIT_SECONDS, _IMPATIENT_SECONDS = 0.1, 30.0

DATABASE_ERRORS = (sqlite3.Error, UnicodeError, MemoryError, OverflowError)
"""Exceptions that `sqlite3` raises for unusable files. If a file is damaged, messages may quote bytes that aren't
UTF-8, and sizes and numbers may be too large."""

# Held while creating a file.
_creating = threading.Lock()
_all: weakref.WeakSet[SharedFile] = weakref.WeakSet()
_forking = threading.Lock()
_held: list[threading.Lock] = []
# How long a fork waits for each thread that is using a file, in seconds.
_FORK_WAIT_SECONDS = 2.0


def _hold_locks() -> None:
    """Before a fork, wait until no thread is inside SQLite, whose locks would never be released in the child."""
    _forking.acquire()
    with _creating:
        locks = [file._lock for file in _all]
    _held.extend(lock for lock in [*locks, _creating] if lock.acquire(timeout=_FORK_WAIT_SECONDS))


def _release_locks() -> None:
    while _held:
        _held.pop().release()
    _forking.release()


def _reset_locks_in_fork() -> None:
    global _creating, _forking
    _creating, _forking = threading.Lock(), threading.Lock()
    _held.clear()
    for file in _all:
        file._lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_hold_locks, after_in_parent=_release_locks, after_in_child=_reset_locks_in_fork)


LOCK_EXCLUSIVELY = "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; BEGIN EXCLUSIVE; COMMIT;"
"""Statements that lock a file, so that no other process can use it until this one closes it. Exclusive mode doesn't
need a shared-memory file.
"""


def open_private_database(path: Path, *, timeout: float) -> sqlite3.Connection:
    """Open an SQLite file. A new file is readable only by its owner from the start.

    Args:
        path: The file path. Its folder must exist.
        timeout: Seconds to wait for other connections that have locked the file.

    Raises:
        OSError, sqlite3.Error: If the file can't be opened.
    """
    with _creating, suppress(FileExistsError):
        # Don't open an existing file: closing it would release the locks held by this process's other connections.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    return sqlite3.connect(path, timeout=timeout, isolation_level=None, check_same_thread=False)


class SharedFile(FailureReporter):
    """An SQLite file for concurrent use by threads and processes, such as the history or the result cache.

    It can be pickled; the pickle contains the settings but not the connection. The file is created on the first write.

    Args:
        name: The store's name in messages.
        path: The file path, or None for the default.
        schema: The statements that create the tables.
        folder: The user's folder that contains the file by default, e.g. `state`.
        file_name: The file's default name.
        on_failure: Called once, with a message, if the file can't be used. If None, a warning is logged instead.
    """

    def __init__(
        self,
        name: str,
        path: str | os.PathLike[str] | None,
        schema: tuple[str, ...],
        *,
        folder: str,
        file_name: str,
        on_failure: Callable[[str], object] | None,
    ) -> None:
        """Store the settings without opening the file."""
        super().__init__(name, on_failure)
        self._path = None if path is None else file_path(path, "path")
        self._schema, self._folder, self._file_name = schema, folder, file_name
        self._reset_lock_and_connection()

    def _reset_lock_and_connection(self) -> None:
        self._lock = threading.Lock()
        with _creating:
            _all.add(self)
        self._connection: sqlite3.Connection | None = None
        self._process = 0
        self._has_warned = False
        self._file_id: tuple[int, int] | None = None
        self._impatient_until = 0.0

    @property
    def path(self) -> Path:
        """The file path."""
        return self._path or get_stepflow_user_folder(self._folder) / self._file_name

    @property
    def location(self) -> str:
        """The path as a string."""
        return str(self.path)

    def __getstate__(self) -> dict[str, Any]:
        own = ("_lock", "_connection", "_process", "_file_id", "_impatient_until", "_has_warned")
        return {name: value for name, value in vars(self).items() if name not in own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._reset_lock_and_connection()

    def close(self) -> None:
        """Close the file. The next call reopens it."""
        with self._lock:
            if self._connection is not None and self._process == os.getpid():
                self._connection.close()
            self._connection = None

    def __del__(self) -> None:
        connection = vars(self).get("_connection")
        if connection is not None and self._process == os.getpid():
            connection.close()

    @contextmanager
    def locked_connection(self) -> Iterator[sqlite3.Connection]:
        """Yield this process's connection, to one thread at a time."""
        with self._lock, self._choosing_lock_wait() as wait:
            is_own = self._process == os.getpid()
            if self._connection is not None and is_own and sys.platform != "win32":
                if self._file_id != _get_file_id(self.path):
                    # The open file was removed or replaced, so writes to it would be lost.
                    self._connection.close()
                    self._connection = None
            if self._connection is None or not is_own:
                # Don't close an inherited connection: it belongs to the parent process.
                self._connection, self._process = _open_database(self.path, self._schema, wait), os.getpid()
                self._file_id = _get_file_id(self.path)
            self._connection.execute(f"PRAGMA busy_timeout = {1000 * wait:.0f}")
            yield self._connection

    @contextmanager
    def _choosing_lock_wait(self) -> Iterator[float]:
        """Yield how many seconds to wait for other processes.

        Don't wait long if a recent wait ended with the file still locked.
        """
        began = time.monotonic()
        try:
            yield _LOCK_WAIT_SECONDS if began >= self._impatient_until else _SHORT_LOCK_WAIT_SECONDS
        except sqlite3.OperationalError as error:
            # SQLite reports some conflicts between writers without waiting at all. Those don't last, so they don't
            # count.
            if "locked" in str(error) and time.monotonic() - began > 0.9 * _LOCK_WAIT_SECONDS:
                self._impatient_until = time.monotonic() + _IMPATIENT_SECONDS
            raise

    @property
    def _logged_location(self) -> str:
        return f"the {self._folder} folder" if self._path is None else str(self._path)

    def change(self, what: str, change: Callable[[sqlite3.Connection], object], **_: object) -> None:
        """Change the file, reporting only the first error."""
        with self.warn_on_failure(what), self.locked_connection() as connection:
            change(connection)

    def call(self, what: str, action: Callable[[sqlite3.Connection], Result], *, missing: Result) -> Result:
        """Run an action and return its result, or `missing` if there is no file.

        Raises:
            StepflowClientError: If the file can't be used.
        """
        try:
            if not self.path.exists():
                return missing
            with self.locked_connection() as connection:
                return action(connection)
        except (*DATABASE_ERRORS, OSError) as error:
            hint = f"to start a new one, move {self.path}* away" if type(error) is sqlite3.DatabaseError else None
            raise StepflowClientError(f"cannot {what} the {self._name} {self.path}: {error}", hint=hint) from error


def _get_file_id(path: Path) -> tuple[int, int] | None:
    with suppress(OSError):
        status = os.stat(path)
        return status.st_dev, status.st_ino
    return None


def _open_database(path: Path, schema: tuple[str, ...], wait: float) -> sqlite3.Connection:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    connection = open_private_database(path, timeout=wait)
    end = time.monotonic() + wait
    try:
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                break
            except sqlite3.OperationalError as error:
                # SQLite itself doesn't wait for this lock.
                if "locked" not in str(error) or time.monotonic() > end:
                    raise
                time.sleep(0.01)
        # By default, a single string that isn't UTF-8 would make the whole query fail.
        connection.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
        # Don't wait for the disk: a power failure may lose the last writes, but it never corrupts the file.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA secure_delete = ON")
        for statement in schema:
            connection.execute(statement)
    except BaseException:
        connection.close()
        raise
    return connection
