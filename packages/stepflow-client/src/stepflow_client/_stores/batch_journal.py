"""A batch's journal, an on-disk record of its requests to the server, updated before and after each request.

It is an SQLite file (WAL, mode 0600) that only one process can open at a time. It stores digests of the flow and of
each chunk's inputs, each chunk's tag and run, and the outcomes of finished chunks, but not the inputs themselves. Each
entry has its own digest, so a damaged file causes an error rather than a wrong outcome.

If some of a chunk's inputs are rerun, or dropped because the server rejects them, a `repeated` entry records the
attempt number and the final outcomes so far. The same transaction deletes the `created` entry of the previous run.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import threading
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Literal
from uuid import UUID, uuid4

from .._data.arguments import file_path
from .._rules.chunks import Chunk
from ..errors import JournalError
from ..types import ExecutionStatus, FlowError
from ..types.results import Outcome
from .shared_sqlite_file import DATABASE_ERRORS, LOCK_EXCLUSIVELY, open_private_database

# Use a single b-tree: a table and a separate index could disagree about whether an entry exists.
_CREATE_TABLE = """
CREATE TABLE IF NOT EXISTS entry (
    kind TEXT NOT NULL, number INTEGER NOT NULL, content BLOB NOT NULL, digest BLOB NOT NULL, PRIMARY KEY (kind, number)
) WITHOUT ROWID
"""
_Kind = Literal["batch", "since", "first", "complete", "begun", "repeated", "created", "ended"]
# The entry types whose content isn't an object.
_CONTENTS: dict[_Kind, Any] = {"since": (int, float), "first": str, "complete": bool, "created": str, "ended": list}
# The number stored in entries about the whole batch. Entries about a chunk store the chunk number.
_BATCH = 0
_RESUME = "to resume the batch after its last entry, start it again with this journal"
_DAMAGED_HINT = "remove the file to run the batch from its beginning, including inputs that have already run"


class Journal:
    """The journal of a single batch.

    Args:
        path: The file path. The file is created if it doesn't exist.

    Raises:
        InvalidArgumentError: If the path isn't a valid file path.
        JournalError: If the file is in use by another process or batch, can't be opened, or isn't a journal. Methods
            also raise it if the file can't be written or an entry is damaged.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open and lock the file."""
        self.path = file_path(path, "journal")
        self._lock = threading.Lock()
        try:
            self._file = open_private_database(self.path, timeout=0)
        except (*DATABASE_ERRORS, OSError) as error:
            raise JournalError(f"the journal {self.path} cannot be opened: {error}") from None
        try:
            with self._locked_file() as file:
                file.executescript(f"PRAGMA synchronous=FULL; {LOCK_EXCLUSIVELY}")
                tables = [name for (name,) in file.execute("SELECT name FROM sqlite_schema")]
                if tables not in ([], ["entry"]):
                    raise self._make_unusable_error("it is a different kind of database")
                file.execute(_CREATE_TABLE)
                problem = file.execute("PRAGMA quick_check(1)").fetchone()[0]
                if problem != "ok":
                    raise self._make_unusable_error(problem)
                # Check for gaps: if a chunk's entry was lost, the chunk would look as if it never began, and would run
                # again.
                self._count = 0
                for number, kind in file.execute("SELECT number, kind FROM entry ORDER BY number, kind = 'begun' DESC"):
                    if kind == "begun" and number == self._count:
                        self._count += 1
                    elif kind in ("begun", "repeated", "created", "ended") and number not in range(self._count):
                        raise self._make_unusable_error(f"the entry of chunk {self._count} is missing")
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Close the file so that another batch can open it."""
        with self._lock:
            self._file.close()

    def _make_unusable_error(self, reason: object) -> JournalError:
        return JournalError(f"{self.path} is not a usable journal: {reason}", hint=_DAMAGED_HINT)

    @contextmanager
    def _locked_file(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._file
            except DATABASE_ERRORS as error:
                if "locked" in str(error):
                    raise JournalError(f"the journal {self.path} is in use by another batch") from None
                if isinstance(error, (sqlite3.OperationalError, sqlite3.ProgrammingError)):
                    # For example, the disk is full.
                    raise JournalError(f"the journal {self.path} cannot be written: {error}", hint=_RESUME) from None
                raise self._make_unusable_error(error) from None

    def _read_entry(self, kind: _Kind, number: int = _BATCH) -> Any:
        """Return an entry's content, or None if there is no such entry.

        Raises:
            JournalError: If the entry is damaged.
        """
        with self._locked_file() as file:
            query = "SELECT content, digest FROM entry WHERE kind = ? AND number = ?"
            row = file.execute(query, (kind, number)).fetchone()
        if row is None:
            return None
        content, digest = row
        with suppress(zlib.error, ValueError, RecursionError):
            if isinstance(content, bytes) and digest == _compute_entry_digest(kind, number, content):
                value = json.loads(zlib.decompress(content))
                if isinstance(value, _CONTENTS.get(kind, dict)) and (kind not in ("first", "created") or UUID(value)):
                    return value
        raise self._make_unusable_error(f"the entry {kind!r} of chunk {number} is damaged")

    def _write_entry(self, kind: _Kind, content: Any, number: int = _BATCH, *, replaces: _Kind | None = None) -> None:
        """Write an entry, optionally deleting a different entry for the same chunk in the same transaction."""
        packed = zlib.compress(json.dumps(content).encode(), 1)
        row = (kind, number, packed, _compute_entry_digest(kind, number, packed))
        with self._locked_file() as file, file:
            file.execute("BEGIN")
            file.execute("INSERT OR REPLACE INTO entry VALUES (?, ?, ?, ?)", row)
            if replaces is not None:
                file.execute("DELETE FROM entry WHERE kind = ? AND number = ?", (replaces, number))

    def begin_or_resume_batch(self, settings: Mapping[str, str]) -> str:
        """Return the batch's tag (a new tag for a new journal). If the journal already exists, the settings must match.

        Args:
            settings: Values that must stay the same when the batch is resumed, by name.

        Raises:
            JournalError: If the journal belongs to a batch with different settings.
        """
        batch = self._read_entry("batch")
        if batch is None:
            if self._count:
                raise self._make_unusable_error("the entry of the batch is missing")
            batch = {**settings, "tag": uuid4().hex}
            self._write_entry("batch", batch)
        for name, value in settings.items():
            if batch.get(name) != value:
                message = f"the journal {self.path} belongs to a different batch: {name} changed"
                raise JournalError(message, hint="use a separate journal for a changed batch")
        with self._locked_file() as file:
            # There may be more inputs this time.
            file.execute("DELETE FROM entry WHERE kind = 'complete'")
        return str(batch["tag"])

    def get_or_set_start_time(self, time: float) -> float:
        """Return the earliest time at which the batch may have created runs, storing `time` if none is stored yet."""
        stored = self._read_entry("since")
        if stored is None:
            self._write_entry("since", time)
            return time
        return float(stored)

    def record_or_get_first_run(self, run_id: str | None = None) -> str | None:
        """Return the batch's first run, which identifies the batch in the history.

        If `run_id` is passed, store it first.
        """
        if run_id is not None:
            self._write_entry("first", run_id)
            return run_id
        stored = self._read_entry("first")
        return None if stored is None else str(stored)

    def record_batch_end(self) -> None:
        """Record that all inputs have been read and all their items have ended."""
        self._write_entry("complete", True)

    def has_begun_any_chunk(self) -> bool:
        """Return whether any chunk has begun."""
        return self._count > 0

    def has_batch_ended(self) -> bool:
        """Return whether all inputs had finished when the batch last ran."""
        return self._read_entry("complete") is not None

    def find_chunk(self, number: int, first: int) -> Chunk | None:
        """Return a chunk without its inputs, or None if it never began.

        Args:
            number: The chunk number.
            first: The index of the chunk's first input.
        """
        if number >= self._count:
            return None
        kinds: tuple[_Kind, ...] = ("begun", "repeated", "created", "ended")
        begun, repeat, run_id, ended = (self._read_entry(kind, number) for kind in kinds)
        try:
            outcomes = None if ended is None else [*map(_decode_outcome, ended)]
            chunk = Chunk(number, **begun, run_id=run_id, outcomes=outcomes)
            if repeat is not None:
                chunk.attempt, chunk.settled = int(repeat["attempt"]), [*map(_decode_outcome, repeat["settled"])]
            indexes = range(chunk.first, chunk.first + chunk.count)
            fits = chunk.first == first and {outcome.index for outcome in chunk.settled} <= {*indexes}
            fits = fits and (outcomes is None or [outcome.index for outcome in outcomes] == [*indexes])
        except (TypeError, ValueError, KeyError) as error:
            raise self._make_unusable_error(error) from None
        if not fits:
            raise self._make_unusable_error(f"the outcomes of chunk {number} do not match its inputs")
        return chunk

    def has_unrecorded_run(self) -> bool:
        """Return whether there is a chunk that began but has no recorded run."""
        with self._locked_file() as file:
            with_run = "SELECT number FROM entry WHERE kind IN ('created', 'ended')"
            lost = f"SELECT 1 FROM entry WHERE kind = 'begun' AND number NOT IN ({with_run}) LIMIT 1"  # noqa: S608
            return file.execute(lost).fetchone() is not None

    def record_chunk_begin(self, chunk: Chunk) -> None:
        """Record a chunk just before its run is created."""
        if chunk.number >= self._count:
            content = {"first": chunk.first, "tag": chunk.tag, "count": chunk.count, "digest": chunk.digest}
            self._write_entry("begun", content, chunk.number)
            self._count = chunk.number + 1

    def record_chunk_repeat(self, chunk: Chunk) -> None:
        """Record that a chunk starts a new attempt or now has fewer inputs, just before its run is created."""
        content = {"attempt": chunk.attempt, "settled": [_encode_outcome(outcome) for outcome in chunk.settled]}
        self._write_entry("repeated", content, chunk.number, replaces="created")

    def record_run(self, number: int, run_id: str) -> None:
        """Record a chunk's run."""
        self._write_entry("created", run_id, number)

    def record_outcomes(self, number: int, outcomes: list[Outcome]) -> None:
        """Record a chunk's outcomes."""
        self._write_entry("ended", [_encode_outcome(outcome) for outcome in outcomes], number)


def _compute_entry_digest(kind: str, number: int, content: bytes) -> bytes:
    return hashlib.sha256(b"%b %d %b" % (kind.encode(), number, content)).digest()


def _encode_outcome(outcome: Outcome) -> list[Any]:
    error = None if outcome.error is None else outcome.error.to_dict()
    fields = [outcome.index, outcome.key, outcome.run_id, outcome.status.value, outcome.output, error]
    return [*fields, outcome.attempts, outcome.item_index]


def _decode_outcome(fields: list[Any]) -> Outcome:
    index, key, run_id, status, output, error, attempts, item = fields
    flow_error = None if error is None else FlowError(**error)
    return Outcome(index, key, run_id, ExecutionStatus(status), output, flow_error, attempts=attempts, item_index=item)
