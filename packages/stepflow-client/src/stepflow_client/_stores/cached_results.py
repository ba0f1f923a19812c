"""The file of the result cache, which stores results under keys."""

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

# Part of each key, so that results in another format are not found.
_FORMAT = 1
# Size of an entry in bytes without its output.
_OVERHEAD = 200
# Old results are removed after this many new ones, and after each result larger than 1/50 of the size limit.
_SHARE = 50
_SCHEMA = (
    """
    CREATE TABLE IF NOT EXISTS results (
        number INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, created REAL NOT NULL,
        expires REAL NOT NULL, run_id TEXT NOT NULL, size INTEGER NOT NULL, output TEXT NOT NULL, digest BLOB NOT NULL
    )
    """,
    # The size limit is enforced by reading this index only, not the outputs.
    "CREATE INDEX IF NOT EXISTS sizes ON results (number, size)",
)


class CachedResult(NamedTuple):
    """A stored result of a run that succeeded."""

    run_id: str
    created: float
    """When it was stored, in seconds since 1970."""
    output: Any


def default_path() -> Path:
    """Return the path of the cache in the platform's folder for caches.

    The path is `$XDG_CACHE_HOME/stepflow/results.db` (default `~/.cache`) on Linux, `~/Library/Caches` on macOS and
    `%LOCALAPPDATA%` on Windows.
    """
    return user_folder("cache") / "results.db"


class ResultFile(SharedFile):
    """Results of runs in a SQLite file; the arguments are those of `ResultCache`."""

    _what = "result cache"
    _where = "the cache folder"
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
        """Store the settings. The file is not opened yet."""
        super().__init__(path, on_failure=on_failure)
        self._max_age = check_seconds(max_age, "max_age", endless=True)
        self._max_bytes = check_integer(max_bytes, "max_bytes", least=1, most=sys.maxsize)
        self._namespace = check_instance(namespace, "namespace", str)

    def _default_path(self) -> Path:
        return default_path()

    def clear(self, *, max_age: float = 0.0) -> int:
        """Remove results and return how many were removed. Their contents are overwritten in the file.

        Args:
            max_age: Remove only results stored more than this many seconds ago.

        Raises:
            StepflowClientError: If the file cannot be changed.
        """
        check_seconds(max_age, "max_age", zero=True)
        with self._converting_errors("change"):
            if not self.path.exists():
                return 0
            with self._connected() as connection:
                # Include results with a time in the future, stored before the clock was set back.
                last = time.time() - max_age if max_age > 0 else math.inf
                count = connection.execute("DELETE FROM results WHERE created <= ?", [last]).rowcount
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                return count

    def key(self, flow: Mapping[str, Any] | str, arguments: RunArguments) -> str:
        """Return the key of a run of one input: the SHA-256 digest of everything that its result depends on.

        Args:
            flow: The content of the flow, or the id of a stored one.
            arguments: The arguments of the run.
        """
        parts = [_FORMAT, self._namespace, flow, arguments.inputs, arguments.variables, arguments.overrides or {}]
        text = json.dumps(parts, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def find(self, key: str) -> CachedResult | None:
        """Return the result stored under a key; None if there is none. On failure, log a warning and return None."""
        now = time.time()
        # A result from the future was stored before the clock was set back, so its age is unknown.
        query = (
            "SELECT created, expires, run_id, output, digest FROM results"
            " WHERE key = ? AND created BETWEEN ? AND ? AND expires > ?"
        )
        with self.warning("read a result"):
            if self.path.exists():
                with self._connected() as connection:
                    row = connection.execute(query, [key, now - self._max_age, now, now]).fetchone()
                if row is not None:
                    created, expires, run_id, output, digest = row
                    if digest != _digest(key, created, expires, run_id, output):
                        raise ValueError("the entry is damaged")
                    return CachedResult(run_id, created, json.loads(output))
        return None

    def keep(self, key: str, run_id: str, output: Any) -> None:
        """Store the result of a run under a key, replacing an older one. On failure, log a warning.

        An output larger than a quarter of the size limit is not stored.
        """
        with self.warning("keep a result"):
            text = json.dumps(output, ensure_ascii=False, separators=(",", ":"))
            size = len(text.encode()) + _OVERHEAD
            if size - _OVERHEAD > self._max_bytes / 4:
                return
            now = time.time()
            expires = now + self._max_age
            row = [key, now, expires, run_id, size, text, _digest(key, now, expires, run_id, text)]
            with self._connected() as connection:
                cursor = connection.execute(
                    "INSERT OR REPLACE INTO results (key, created, expires, run_id, size, output, digest)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?)",
                    row,
                )
                if (cursor.lastrowid or 0) % _SHARE == 0 or size > self._max_bytes / _SHARE:
                    connection.execute("DELETE FROM results WHERE expires <= ?", [now])
                    totals = "SELECT number, SUM(size) OVER (ORDER BY number DESC) AS total FROM results"
                    last = f"SELECT MAX(number) FROM ({totals}) WHERE total > ?"  # noqa: S608
                    connection.execute(f"DELETE FROM results WHERE number <= ({last})", [self._max_bytes])  # noqa: S608


def _digest(*values: object) -> bytes:
    """Return a digest that detects damage to an entry."""
    return hashlib.sha256(repr(values).encode("utf-8", "surrogatepass")).digest()
