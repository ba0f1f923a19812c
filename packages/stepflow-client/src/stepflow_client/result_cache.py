"""A cache of successful results, reused by later calls with the same flow, input and settings.

On a cache miss, the client runs the flow as usual. The cache never makes a run fail: if there's an error, the client
logs it once, as a warning, and still runs the flow.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import types
from ._data.arguments import check_flag, check_instance, check_integer, check_seconds
from ._stores.atomic_file_writes import get_stepflow_user_folder
from ._stores.shared_sqlite_file import SharedFile
from .types.statuses import ExecutionStatus

if TYPE_CHECKING:
    import sqlite3

    from ._codec.call_checks import RunArguments

__all__ = ["ResultCache", "default_path"]

_DAY = 86_400.0
_FILE_NAME = "results.db"
# Part of every key, so that results in an older format are never returned.
_VERSION = 1
# An entry's size in bytes, not counting its output.
_ENTRY_OVERHEAD_BYTES = 200
# Remove old results each time this many new ones are stored, and after any result larger than 1/50 of the size limit.
_CLEANUP_INTERVAL = 50
_SCHEMA = (
    """
    CREATE TABLE IF NOT EXISTS results (
        number INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, created REAL NOT NULL,
        expires REAL NOT NULL, run_id TEXT NOT NULL, size INTEGER NOT NULL, output TEXT NOT NULL, digest BLOB NOT NULL
    )
    """,
    # This index lets us enforce the size limit without reading any outputs.
    "CREATE INDEX IF NOT EXISTS sizes ON results (number, size)",
)
_INSERT = """
INSERT OR REPLACE INTO results (key, created, expires, run_id, size, output, digest) VALUES (?, ?, ?, ?, ?, ?, ?)
"""


def default_path() -> Path:
    """Return the default path of the cache, in the platform's cache folder.

    On Linux, this is `$XDG_CACHE_HOME/stepflow/results.db` (`~/.cache` if unset). The folder is under
    `~/Library/Caches` on macOS and `%LOCALAPPDATA%` on Windows.
    """
    return get_stepflow_user_folder("cache") / _FILE_NAME


class ResultCache:
    """A cache of successful results in an SQLite file. Threads and processes can share it.

    Example:
        ```python
        cache = ResultCache("results.db", max_age=3600)
        first = await client.run("workflow.yaml", {"name": "World"}, cache=cache)
        again = await client.run("workflow.yaml", {"name": "World"}, cache=cache)
        assert again.run_id == first.run_id and again.cached_at is not None
        ```

    The key is a single SHA-256 digest of the flow's content and the run's input, variables and overrides. The file
    contains none of these. The server isn't part of the key: if servers return different results for the same flow, use
    a different `namespace` for each. Outputs that contain a secret variable's value aren't cached.

    Pickling a cache keeps its path and settings. The file is created on first write.

    Args:
        path: The file's path. Defaults to `default_path()`. The file is created with mode 0600 and its folder with mode
            0700.
        max_age: How long to keep a result, in seconds. Defaults to 7 days. With `math.inf`, results are kept until
            space runs out.
        max_bytes: Maximum total size of all outputs, in bytes of JSON. Defaults to 256 MiB. The oldest results are
            removed first. An output larger than a quarter of the limit isn't cached.
        refresh: Whether to run flows even if there's a cached result, replacing that result. Defaults to False.
        namespace: A string that identifies anything else that results depend on, e.g. the server or its workers'
            release.
        on_failure: Called once, with a one-sentence message, if something can't be read or cached. By default, the
            message is logged. It must be picklable if you pickle the cache.

    Raises:
        InvalidArgumentError: If a limit is not positive, or the namespace is not a str.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        max_age: float = 7 * _DAY,
        max_bytes: int = 256 * 2**20,
        refresh: bool = False,
        namespace: str = "",
        on_failure: Callable[[str], object] | None = None,
    ) -> None:
        """Store the settings without opening the file."""
        self._file = SharedFile(
            "result cache", path, _SCHEMA, folder="cache", file_name=_FILE_NAME, on_failure=on_failure
        )
        self._max_age = check_seconds(max_age, "max_age", allow_infinity=True)
        self._max_bytes = check_integer(max_bytes, "max_bytes", least=1, most=sys.maxsize)
        self._namespace = check_instance(namespace, "namespace", str)
        self._refresh = check_flag(refresh, "refresh")

    @property
    def path(self) -> Path:
        """The file's path."""
        return self._file.path

    @property
    def refresh(self) -> bool:
        """Whether to run flows even if there's a cached result."""
        return self._refresh

    def __repr__(self) -> str:
        return f"ResultCache({str(self.path)!r})"

    def clear(self, *, max_age: float = 0.0) -> int:
        """Remove results and return how many were removed. Their content is overwritten on disk.

        Args:
            max_age: Remove only results cached more than this many seconds ago. Defaults to 0, which removes all
                results.

        Raises:
            StepflowClientError: If the file can't be changed.
        """
        check_seconds(max_age, "max_age", allow_zero=True)
        # Include results dated in the future (stored before the clock was set back).
        last = time.time() - max_age if max_age > 0 else math.inf

        def delete(connection: sqlite3.Connection) -> int:
            count = connection.execute("DELETE FROM results WHERE created <= ?", [last]).rowcount
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return count

        return self._file.call("change", delete, missing=0)

    def close(self) -> None:
        """Close the file. The next call reopens it."""
        self._file.close()

    def _compute_key(self, flow: Mapping[str, Any] | str, arguments: RunArguments) -> str:
        """Return the cache key for a single-input run: a SHA-256 digest of everything its result depends on.

        Args:
            flow: The flow's content, or a stored flow's ID.
            arguments: The run's arguments.
        """
        parts = [_VERSION, self._namespace, flow, arguments.inputs, arguments.variables, arguments.overrides or {}]
        text = json.dumps(parts, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def _find_result(self, key: str) -> types.FlowResult | None:
        """Return the result stored under a key, or None if there is none. On failure, log a warning and return None."""
        now = time.time()
        # Skip results dated in the future: they were stored before the clock was set back, so we can't tell their age.
        condition = "key = ? AND created BETWEEN ? AND ? AND expires > ?"
        query = f"SELECT created, expires, run_id, output, digest FROM results WHERE {condition}"  # noqa: S608
        with self._file.warn_on_failure("read a result"):
            if self.path.exists():
                with self._file.locked_connection() as connection:
                    row = connection.execute(query, [key, now - self._max_age, now, now]).fetchone()
                if row is not None:
                    created, expires, run_id, output, digest = row
                    if digest != _compute_checksum(key, created, expires, run_id, output):
                        raise ValueError("the entry is damaged")
                    status, time_cached = ExecutionStatus.COMPLETED, datetime.fromtimestamp(created, UTC)
                    value = json.loads(output)
                    return types.FlowResult(run_id=run_id, status=status, output=value, cached_at=time_cached)
        return None

    def _store_result(self, key: str, run_id: str, output: Any) -> None:
        """Store a run's result under a key, replacing any older one. On failure, log a warning.

        Outputs larger than a quarter of the size limit aren't stored.
        """
        with self._file.warn_on_failure("keep a result"):
            text = json.dumps(output, ensure_ascii=False, separators=(",", ":"))
            size = len(text.encode()) + _ENTRY_OVERHEAD_BYTES
            if size - _ENTRY_OVERHEAD_BYTES > self._max_bytes / 4:
                return
            now = time.time()
            expires = now + self._max_age
            row = [key, now, expires, run_id, size, text, _compute_checksum(key, now, expires, run_id, text)]
            with self._file.locked_connection() as connection:
                cursor = connection.execute(_INSERT, row)
                if (cursor.lastrowid or 0) % _CLEANUP_INTERVAL == 0 or size > self._max_bytes / _CLEANUP_INTERVAL:
                    connection.execute("DELETE FROM results WHERE expires <= ?", [now])
                    totals = "SELECT number, SUM(size) OVER (ORDER BY number DESC) AS total FROM results"
                    last = f"SELECT MAX(number) FROM ({totals}) WHERE total > ?"  # noqa: S608
                    connection.execute(f"DELETE FROM results WHERE number <= ({last})", [self._max_bytes])  # noqa: S608


def _compute_checksum(*values: object) -> bytes:
    """Return a digest that is used to detect damaged entries."""
    return hashlib.sha256(repr(values).encode("utf-8", "surrogatepass")).digest()
