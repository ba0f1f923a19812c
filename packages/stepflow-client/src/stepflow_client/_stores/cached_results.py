"""The result cache's file, which stores results by key."""

from __future__ import annotations

import hashlib
import json
import math
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .._data.arguments import check_instance, check_integer, check_seconds
from .sqlite import SharedFile
from .user_folders import user_folder

if TYPE_CHECKING:
    from .._codec.requests import RunArguments

# Part of every key, so results in an older format are never returned.
_FORMAT = 1
# An entry's size in bytes, excluding its output.
_OVERHEAD = 200
# Remove old results after every this many new ones, and after any result larger than 1/50 of the size limit.
_CLEANUP_INTERVAL = 50
_SCHEMA = (
    """
    CREATE TABLE IF NOT EXISTS results (
        number INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, created REAL NOT NULL,
        expires REAL NOT NULL, run_id TEXT NOT NULL, size INTEGER NOT NULL, output TEXT NOT NULL, digest BLOB NOT NULL
    )
    """,
    # With this index, enforcing the size limit doesn't read any outputs.
    "CREATE INDEX IF NOT EXISTS sizes ON results (number, size)",
)
_INSERT = """
INSERT OR REPLACE INTO results (key, created, expires, run_id, size, output, digest) VALUES (?, ?, ?, ?, ?, ?, ?)
"""


class CachedResult(NamedTuple):
    """A cached result from a successful run."""

    run_id: str
    created: float
    """When it was stored, in seconds since 1970."""
    output: Any


def default_path() -> Path:
    """Return the default path of the cache, in the platform's cache folder.

    On Linux, this is `$XDG_CACHE_HOME/stepflow/results.db` (`~/.cache` if unset). The folder is under
    `~/Library/Caches` on macOS and `%LOCALAPPDATA%` on Windows.
    """
    return user_folder("cache") / "results.db"


class ResultFile(SharedFile):
    """Run results in an SQLite file. Takes the same arguments as `ResultCache`."""

    _store_name = "result cache"
    _default_location_name = "the cache folder"
    _schema = _SCHEMA

    def __init__(
        self,
        path: str | os.PathLike[str] | None,
        *,
        max_age: float,
        max_bytes: int,
        namespace: str,
        on_failure: Callable[[str], object] | None,
    ) -> None:
        """Store the settings without opening the file."""
        super().__init__(path, on_failure=on_failure)
        self._max_age = check_seconds(max_age, "max_age", allow_infinity=True)
        self._max_bytes = check_integer(max_bytes, "max_bytes", least=1, most=sys.maxsize)
        self._namespace = check_instance(namespace, "namespace", str)

    def _default_path(self) -> Path:
        return default_path()

    def clear(self, *, max_age: float = 0.0) -> int:
        """Remove results and return how many were removed. Their content is overwritten on disk.

        Args:
            max_age: Remove only results stored more than this many seconds ago.

        Raises:
            StepflowClientError: If the file can't be changed.
        """
        check_seconds(max_age, "max_age", allow_zero=True)
        with self._converting_errors("change"):
            if not self.path.exists():
                return 0
            with self._locked_connection() as connection:
                # Include results from the future, stored before the clock was set back.
                last = time.time() - max_age if max_age > 0 else math.inf
                count = connection.execute("DELETE FROM results WHERE created <= ?", [last]).rowcount
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                return count

    def compute_key(self, flow: Mapping[str, Any] | str, arguments: RunArguments) -> str:
        """Return the cache key for a single-input run: a SHA-256 digest of everything its result depends on.

        Args:
            flow: The flow's content, or a stored flow's ID.
            arguments: The run's arguments.
        """
        parts = [_FORMAT, self._namespace, flow, arguments.inputs, arguments.variables, arguments.overrides or {}]
        text = json.dumps(parts, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def find_result(self, key: str) -> CachedResult | None:
        """Return the result stored under a key, or None if there is none. On failure, log a warning and return None."""
        now = time.time()
        # Skip results from the future: they were stored before the clock was set back, so there's no telling how old
        # they are.
        query = (
            "SELECT created, expires, run_id, output, digest FROM results"
            " WHERE key = ? AND created BETWEEN ? AND ? AND expires > ?"
        )
        with self.warn_on_failure("read a result"):
            if self.path.exists():
                with self._locked_connection() as connection:
                    row = connection.execute(query, [key, now - self._max_age, now, now]).fetchone()
                if row is not None:
                    created, expires, run_id, output, digest = row
                    if digest != _compute_digest(key, created, expires, run_id, output):
                        raise ValueError("the entry is damaged")
                    return CachedResult(run_id, created, json.loads(output))
        return None

    def store_result(self, key: str, run_id: str, output: Any) -> None:
        """Store a run's result under a key, replacing any older one. On failure, log a warning.

        Outputs larger than a quarter of the size limit are not stored.
        """
        with self.warn_on_failure("keep a result"):
            text = json.dumps(output, ensure_ascii=False, separators=(",", ":"))
            size = len(text.encode()) + _OVERHEAD
            if size - _OVERHEAD > self._max_bytes / 4:
                return
            now = time.time()
            expires = now + self._max_age
            row = [key, now, expires, run_id, size, text, _compute_digest(key, now, expires, run_id, text)]
            with self._locked_connection() as connection:
                cursor = connection.execute(_INSERT, row)
                if (cursor.lastrowid or 0) % _CLEANUP_INTERVAL == 0 or size > self._max_bytes / _CLEANUP_INTERVAL:
                    connection.execute("DELETE FROM results WHERE expires <= ?", [now])
                    totals = "SELECT number, SUM(size) OVER (ORDER BY number DESC) AS total FROM results"
                    last = f"SELECT MAX(number) FROM ({totals}) WHERE total > ?"  # noqa: S608
                    connection.execute(f"DELETE FROM results WHERE number <= ({last})", [self._max_bytes])  # noqa: S608


def _compute_digest(*values: object) -> bytes:
    """Return a digest for detecting damaged entries."""
    return hashlib.sha256(repr(values).encode("utf-8", "surrogatepass")).digest()
