"""The journal of a batch: a record on disk of the requests to the server, written before and after each one.

It is one SQLite file (WAL, mode 0600), which only one process can open at a time. It contains digests of the flow and
of each chunk's inputs, the tag and the run of each chunk, and the outcomes of chunks that have ended; it does not
contain the inputs.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from ._rules.chunks import Chunk
from ._stores.sqlite import open_private
from .errors import InvalidArgumentError
from .outcomes import Outcome
from .types import ExecutionStatus, FlowError

__all__ = ["Journal"]

_TABLES = """
CREATE TABLE IF NOT EXISTS batch (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS chunk (
    number INTEGER PRIMARY KEY, first INTEGER NOT NULL, count INTEGER NOT NULL, digest TEXT NOT NULL,
    tag TEXT NOT NULL, run_id TEXT, outcomes BLOB
);
"""


class Journal:
    """The journal of one batch.

    Args:
        path: The path of the file; it is created if it does not exist.

    Raises:
        InvalidArgumentError: If another process, or another batch of this process, has the file open, if it cannot be
            opened, or if it is not a journal.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open the file and lock it."""
        self.path = Path(path)
        self._lock = threading.Lock()
        try:
            self._file = open_private(self.path, timeout=0)
        except (OSError, sqlite3.Error) as error:
            raise InvalidArgumentError(f"the journal {self.path} cannot be opened: {error}") from None
        try:
            # Without a shared-memory file: whoever has opened it keeps everybody else out until it ends.
            self._file.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._file.execute("PRAGMA journal_mode=WAL")
            self._file.execute("PRAGMA synchronous=FULL")
            self._file.execute("BEGIN EXCLUSIVE")
            self._file.execute("COMMIT")
            self._file.executescript(_TABLES)
        except sqlite3.Error as error:
            self._file.close()
            if "locked" in str(error):
                raise InvalidArgumentError(f"the journal {self.path} is in use by another batch") from None
            if isinstance(error, sqlite3.OperationalError):
                # The disk is full, for example.
                raise InvalidArgumentError(f"the journal {self.path} cannot be written: {error}") from None
            raise InvalidArgumentError(f"{self.path} is no journal that can be used: {error}") from None

    def close(self) -> None:
        """Close the file; another batch can then open it."""
        with self._lock:
            self._file.close()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._file
            except sqlite3.Error as error:
                raise InvalidArgumentError(
                    f"the journal {self.path} cannot be written: {error}",
                    hint="the batch goes on from its last entry when it is started again with this journal",
                ) from None

    def begin(self, settings: Mapping[str, str]) -> str:
        """Return the tag of the batch: a new one for a new journal, or the stored one if the settings are the same.

        Args:
            settings: Values that must be the same when the batch is continued, by name.

        Raises:
            InvalidArgumentError: If the journal belongs to a batch with other settings.
        """
        with self._writing() as file:
            # The inputs may be more than the last time.
            file.execute("DELETE FROM batch WHERE name = 'ended'")
            known = dict(file.execute("SELECT name, value FROM batch"))
            for name, value in settings.items():
                if known.get(name, value) != value:
                    raise InvalidArgumentError(
                        f"the journal {self.path} is of a batch with another {name}",
                        hint="a changed batch needs a journal of its own",
                    )
            if "tag" not in known:
                known = {**settings, "tag": uuid4().hex}
                file.execute("BEGIN")
                file.executemany("INSERT INTO batch VALUES (?, ?)", list(known.items()))
                file.execute("COMMIT")
            return str(known["tag"])

    def remember(self, name: str, value: str) -> str:
        """Store a value if the name has none yet, and return the stored value."""
        with self._writing() as file:
            file.execute("INSERT OR IGNORE INTO batch VALUES (?, ?)", (name, value))
            return str(file.execute("SELECT value FROM batch WHERE name = ?", (name,)).fetchone()[0])

    def end(self) -> None:
        """Record that all inputs were read and have ended."""
        self.remember("ended", "yes")

    def has_ended(self) -> bool:
        """Return whether all inputs had ended when the batch was last run."""
        with self._writing() as file:
            return file.execute("SELECT 1 FROM batch WHERE name = 'ended'").fetchone() is not None

    def chunk(self, number: int) -> Chunk | None:
        """Return what is known of a chunk, without its inputs; None if the chunk was never begun."""
        with self._writing() as file:
            row = file.execute(
                "SELECT first, tag, count, digest, run_id, outcomes FROM chunk WHERE number = ?", (number,)
            ).fetchone()
        if row is None:
            return None
        first, tag, count, digest, run_id, packed = row
        outcomes = None if packed is None else [_outcome(each) for each in json.loads(zlib.decompress(packed))]
        return Chunk(number, first, tag, count=count, digest=digest, run_id=run_id, outcomes=outcomes)

    def has_lost(self) -> bool:
        """Return whether a chunk was begun whose run is unknown."""
        with self._writing() as file:
            wanted = "SELECT 1 FROM chunk WHERE run_id IS NULL AND outcomes IS NULL LIMIT 1"
            return file.execute(wanted).fetchone() is not None

    def begun(self, chunk: Chunk) -> None:
        """Record a chunk whose run is about to be created."""
        with self._writing() as file:
            file.execute(
                "INSERT OR IGNORE INTO chunk VALUES (?, ?, ?, ?, ?, NULL, NULL)",
                (chunk.number, chunk.first, chunk.count, chunk.digest, chunk.tag),
            )

    def created(self, number: int, run_id: str) -> None:
        """Record the run of a chunk."""
        with self._writing() as file:
            file.execute("UPDATE chunk SET run_id = ? WHERE number = ?", (run_id, number))

    def ended(self, number: int, outcomes: list[Outcome]) -> None:
        """Record the outcomes of a chunk."""
        packed = zlib.compress(json.dumps([_fields(each) for each in outcomes]).encode(), 1)
        with self._writing() as file:
            file.execute("UPDATE chunk SET outcomes = ? WHERE number = ?", (packed, number))


def _fields(outcome: Outcome) -> list[Any]:
    error = None if outcome.error is None else outcome.error.model_dump(mode="json")
    return [outcome.index, outcome.key, outcome.run_id, outcome.status.value, outcome.output, error]


def _outcome(fields: list[Any]) -> Outcome:
    index, key, run_id, status, output, error = fields
    found = None if error is None else FlowError.model_validate(error)
    return Outcome(index, key, run_id, ExecutionStatus(status), output, found)
