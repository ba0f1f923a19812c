"""A record of the runs started by a user or an application.

Current servers don't return a run's arguments, and no server stores labels or notes. The history stores them in an
SQLite file that only its owner can read, or in a PostgreSQL database that several hosts share. Secrets are replaced by
`***` before anything is written. Recording never makes a run fail: errors are logged as warnings instead.
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
import time
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from operator import methodcaller
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from ._base.lazy import make_lazy_exports
from ._data import arguments, secrets
from ._data.flow_declarations import has_secret_part
from ._rules.run_queries import RunQuery, parse_run_query
from ._stores.atomic_file_writes import get_stepflow_user_folder
from ._stores.shared_sqlite_file import SharedFile
from .errors import InvalidArgumentError
from .types.statuses import ExecutionStatus

if TYPE_CHECKING:
    import sqlite3

    from ._codec.call_checks import RunId
    from ._stores.postgres_history import SharedDatabase
    from .types.runs import HistoryEntry

__all__ = ["History", "HistoryEntry", "default_path"]

# Load the entry class on first use, because creating it is slow and recording doesn't need it.
__getattr__, _ = make_lazy_exports(__name__, {".types.runs": ["HistoryEntry"]})

_DAY = 86_400.0
_FILE_NAME = "history.db"
_PRUNE_INTERVAL = 50
# Maximum number of attempts to annotate a run that other processes are annotating too.
_MAX_ANNOTATE_ATTEMPTS = 100
# Keep the step outputs of only this many runs: they can be large and are only used to try out a flow's next version.
_MAX_RUNS_WITH_OUTPUTS = 20
# Maximum size of a run's outputs, in characters of JSON.
_MAX_OUTPUTS_LENGTH = 5_000_000
# Maximum size of a flow, input, variables or overrides, in characters of JSON. Larger values aren't recorded.
_MAX_VALUE_LENGTH = 1_000_000
_FIELDS = ("flow", "input", "variables", "overrides")
_COLUMNS = (
    "run_id, created, server, flow_id, flow_file, status, labels, note, omitted, flow, input, variables, overrides, "
    "rerun_of, kept, rerun_items, has_more_runs, is_embedded, checksum"
)
PENDING, OWN = "pending:", "pending:own:"
"""ID prefixes for unconfirmed runs. `OWN` marks runs whose flow ID no other run uses."""
_SCHEMA = (
    """
    CREATE TABLE IF NOT EXISTS runs (
        number INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL UNIQUE, created DOUBLE PRECISION, server TEXT,
        flow_id TEXT, flow_file TEXT, status TEXT, labels TEXT, note TEXT, omitted TEXT, flow TEXT, input TEXT,
        variables TEXT, overrides TEXT, rerun_of TEXT, kept TEXT, rerun_items TEXT, has_more_runs BIGINT,
        is_embedded BIGINT, checksum BIGINT
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS outputs (
        number INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL UNIQUE, server TEXT NOT NULL,
        content TEXT NOT NULL
    )
    """,
    f"CREATE INDEX IF NOT EXISTS pending ON runs (flow_id) WHERE substr(run_id, 1, {len(PENDING)}) = '{PENDING}'",
)
"""The statements that create the tables, in SQLite's dialect."""
_STATUS_INDEX, _LABELS_INDEX, _NOTE_INDEX = (_COLUMNS.split(", ").index(name) for name in ("status", "labels", "note"))
_STATUSES = frozenset(status.value for status in ExecutionStatus)
_PASSWORD_IN_URL = re.compile(r"(?<=://)[^/?#\s@\"]*@")
_UPDATES = ", ".join(f"{column} = excluded.{column}" for column in ("number", *_COLUMNS.split(", ")))
_PLACEHOLDERS = ", ".join("?" * len(_COLUMNS.split(", ")))
_INSERT = f"INSERT INTO runs ({_COLUMNS}) VALUES ({_PLACEHOLDERS})"  # noqa: S608
_UPSERT, _INSERT_NEW = f"{_INSERT} ON CONFLICT (run_id) DO UPDATE SET {_UPDATES}", f"{_INSERT} ON CONFLICT DO NOTHING"
_SELECT_RUN = f"SELECT {_COLUMNS} FROM runs WHERE run_id = ?"  # noqa: S608
_TEXT_COLUMNS, _JSON_COLUMNS = ("run_id", "rerun_of", "server", "flow_id", "flow_file", "note"), ("labels", *_FIELDS)
_HAS_LABEL = "instr(labels, ?) = 1 OR instr(labels, ?) > 0"
_FIELD_CONDITIONS = {
    "flow": "instr(flow, ?) > 0", "status": "status = ?", "since": "created >= ?", "until": "created < ?"
}  # fmt: skip
_IS_PENDING = f"substr(run_id, 1, {len(PENDING)}) = '{PENDING}'"
_DELETE_PENDING = f"DELETE FROM runs WHERE flow_id = ? AND {_IS_PENDING} AND substr(run_id, 1, {len(OWN)}) = '{OWN}'"  # noqa: S608


def default_path() -> Path:
    """Return the default path of the history file, in the platform's state folder.

    On Linux, this is `$XDG_STATE_HOME/stepflow/history.db` (`~/.local/state` if unset). The folder is under
    `~/Library/Application Support` on macOS and `%LOCALAPPDATA%` on Windows.
    """
    return get_stepflow_user_folder("state") / _FILE_NAME


class History:
    """A record of runs in an SQLite file or a PostgreSQL database. Threads and processes can share it.

    Example:
        ```python
        history = History()
        history.record(run_id, server=client.url, flow=flow, input={"name": "World"}, labels={"env": "dev"})
        for entry in history.search("World"):
            print(entry.run_id, entry.status)
        ```

    Pickling a history keeps its path or URL and its limits. The file or tables are created on first write.

    Args:
        path: The file's path. Defaults to `default_path()`. The file is created with mode 0600 and its folder with mode
            0700. To share a history between hosts, pass a PostgreSQL URL (`postgresql://...`) instead. This requires
            the extra `stepflow-client[postgres]`, and the tables are created in the schema `stepflow_history`.
        max_age: How long to keep a run, in seconds. Defaults to 90 days.
        max_runs: Maximum number of runs. Defaults to 10,000. The oldest are removed first. Both limits are enforced
            about every 50 runs, or more often if `max_runs` is small.
        on_failure: Called once, with a one-sentence message, if something can't be recorded. By default, the message is
            logged. For a database, it's called from another thread each time the database goes down. It must be
            picklable if you pickle the history.

    Raises:
        InvalidArgumentError: If a limit is not positive, or the extra is not installed.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        max_age: float = 90 * _DAY,
        max_runs: int = 10_000,
        on_failure: Callable[[str], object] | None = None,
    ) -> None:
        """Store the settings without opening the file."""
        self._store: SharedFile | SharedDatabase
        if isinstance(path, str) and path.startswith(("postgresql://", "postgres://")):
            from ._stores.postgres_history import SharedDatabase

            self._store = SharedDatabase(path, on_failure=on_failure, schema=_SCHEMA)
        else:
            self._store = SharedFile(
                "history", path, _SCHEMA, folder="state", file_name=_FILE_NAME, on_failure=on_failure
            )
        self._pending: dict[str, tuple[Any, ...]] = {}
        """Rows of runs not yet confirmed, by entry ID."""
        self._max_age = arguments.check_seconds(max_age, "max_age", allow_infinity=True)
        self._max_runs = arguments.check_integer(max_runs, "max_runs", least=1, most=sys.maxsize)

    @property
    def location(self) -> str:
        """The file's path, or the database's URL without its user, password and parameters."""
        return self._store.location

    @property
    def path(self) -> Path | None:
        """The file's path, or None for a database."""
        return self._store.path

    def __repr__(self) -> str:
        return f"History({self.location!r})"

    def close(self) -> None:
        """Close the file or connection. The next call will reopen it.

        Changes that are still queued for a database are written first, which can take up to a minute. If the database
        accepts no writes for 10 seconds, they are lost.
        """
        self._store.close()

    def record(
        self,
        run_id: RunId | None,
        *,
        server: str | None = None,
        flow: Mapping[str, Any] | None = None,
        flow_id: str | None = None,
        flow_file: str | os.PathLike[str] | None = None,
        input: Any = None,
        variables: Mapping[str, Any] | None = None,
        overrides: Any = None,
        labels: Mapping[str, str] | None = None,
        note: str | None = None,
        rerun_of: RunId | None = None,
        kept: Sequence[str] = (),
        rerun_items: Sequence[int] = (),
        has_more_runs: bool = False,
        is_embedded: bool = False,
        omitted: Collection[str] = (),
        has_own_flow: bool = False,
    ) -> str:
        """Record a run that has started or is about to start, and return the entry's ID.

        Errors are logged once, as a warning. While a database is down, up to 10,000 changes wait in memory.

        `***` replaces the values of variables declared with `is_secret: true`, and users and passwords in URLs. If no
        flow is passed, every variable is treated as secret.

        Args:
            run_id: The run's ID. If the run is already recorded, its record is replaced. Pass None for a run that is
                about to be created, then call `confirm` to complete the entry. If the process exits before that, the
                entry remains, with `is_confirmed` set to False.
            server: The server's URL.
            flow: The flow's content.
            flow_id: The flow's ID.
            flow_file: The path of the flow's file.
            input: The input, or a list of inputs for a batch.
            variables: The values of the flow's variables.
            overrides: Step overrides.
            labels: Labels for finding the run later, as a mapping of names to values.
            note: A note for finding the run later.
            rerun_of: The original run, if this is a rerun.
            kept: The IDs of the steps whose outputs the rerun keeps.
            rerun_items: The indexes of the original run's items to run again.
            has_more_runs: Whether this is the first of several runs in a batch.
            is_embedded: Whether the server is embedded, i.e. stops with the program that started it.
            omitted: The names of fields whose values aren't known: `flow`, `input`, `variables`, `overrides`.
            has_own_flow: Whether this is the only run with its flow ID, for example because it has an idempotency key.
                If so, it replaces the flow's unconfirmed entry.
        """
        arguments.check_flag(has_own_flow, "has_own_flow")
        entry_id = f"{OWN if has_own_flow else PENDING}{uuid4()}" if run_id is None else _get_run_id(run_id)
        earlier = None if rerun_of is None else _get_run_id(rerun_of, "rerun_of")
        arguments.check_flag(has_more_runs, "has_more_runs")
        arguments.check_flag(is_embedded, "is_embedded")
        items = arguments.check_instances(rerun_items, "rerun_items", int)
        added: dict[str, Any] = {"rerun_of": earlier, "kept": arguments.check_texts(kept, "kept"), "rerun_items": items}
        with self._store.warn_on_failure("record a run"):
            about: dict[str, Any] = {"flow": flow, "input": input, "variables": variables, "overrides": overrides}
            about |= {"server": server, "flow_id": flow_id, "note": note}
            about["labels"] = {str(name): str(value) for name, value in (labels or {}).items()}
            about["flow_file"] = None if flow_file is None else str(Path(flow_file).absolute())
            added |= {"has_more_runs": has_more_runs, "is_embedded": is_embedded, "omitted": omitted}
            row = _encode_row(entry_id, _hide_secrets(about, flow, variables) | added)
            size = sum(len(column) for column in row if isinstance(column, str))
            if run_id is None:
                self._pending[entry_id] = row
            change = partial(self._insert_and_prune, row, flow_id if has_own_flow and run_id is not None else None)
            self._store.change("record a run", change, run_id=entry_id, size=size, is_durable=run_id is None)
        return entry_id

    def confirm(self, entry_id: str, run_id: RunId | None) -> None:
        """Complete the entry of a run that was about to be created. Errors are logged once, as a warning.

        Args:
            entry_id: The ID returned by `record`.
            run_id: The run's ID. If no run was created, pass None to remove the entry.
        """
        row = self._pending.pop(arguments.check_text(entry_id, "entry_id"), None)
        checked_id = None if run_id is None else _get_run_id(run_id)
        change = partial(_write_confirmation, entry_id, checked_id, row)
        size = sum(len(column) for column in row or () if isinstance(column, str))
        self._store.change("record a run", change, run_id=checked_id or entry_id, size=size)

    def update(self, run_id: RunId, *, status: ExecutionStatus | str) -> None:
        """Set the last known status of a recorded run. Errors are logged once, as a warning.

        Args:
            run_id: The run.
            status: An `ExecutionStatus` value. Any other value is read back as None.
        """
        checked_id, status_text = _get_run_id(run_id), str(arguments.check_text(status, "status"))
        update = "UPDATE runs SET status = ? WHERE run_id = ? AND (status IS NULL OR status <> ?)"
        change = methodcaller("execute", update, [status_text, checked_id, status_text])
        self._store.change("update a run", change, run_id=checked_id)

    def annotate(self, run_id: RunId, note: str | None = None, *, labels: Mapping[str, str] | None = None) -> None:
        """Set a recorded run's note, or add labels to it. Storage errors are logged once, as a warning.

        Args:
            run_id: The run. Ignored if it isn't recorded.
            note: The new note, which replaces any earlier one. Defaults to None, which leaves the note unchanged.
            labels: Labels to set. Labels with other names are kept. Defaults to None, which leaves all labels
                unchanged.

        Raises:
            InvalidArgumentError: If an argument is invalid.
        """
        checked_id = _get_run_id(run_id)
        new_labels = {} if labels is None else dict(arguments.check_mapping(labels, "labels"))
        for name, value in new_labels.items():
            arguments.check_text(value, f"labels[{name!r}]")
        if note is not None:
            arguments.check_text(note, "note")
        if note is None and not new_labels:
            return
        change = partial(_write_annotation, checked_id, note, new_labels)
        self._store.change("annotate a run", change, run_id=checked_id, size=len(note or ""))

    def keep_outputs(self, run_id: RunId, outputs: Sequence[Mapping[str, Any]], *, server: str = "") -> None:
        """Keep a run's step outputs, so that you can rerun it even after its server (e.g. an embedded one) is gone.

        The caller must leave out outputs that contain secrets. Outputs are kept for the newest 20 runs, up to 5 million
        characters of JSON each. Storage errors are logged once, as a warning.

        Args:
            run_id: The run.
            outputs: For each item, the outputs of its completed steps, by step ID.
            server: Anything else the outputs depend on, e.g. a digest of the server's configuration. Defaults to "".
        """
        checked_id, origin = _get_run_id(run_id), arguments.check_instance(server, "server", str)
        what = "keep the outputs of a run"
        with self._store.warn_on_failure(what):
            content = json.dumps([dict(output) for output in outputs], ensure_ascii=False)
            if len(content) <= _MAX_OUTPUTS_LENGTH:
                change = partial(_write_outputs, checked_id, origin, content)
                self._store.change(what, change, run_id=checked_id, size=len(content))

    def kept_outputs(self, run_id: RunId, *, server: str | None = None) -> list[dict[str, Any]] | None:
        """Return the outputs stored by `keep_outputs`, or None if there are none or they can't be read.

        Args:
            run_id: The run.
            server: The value passed to `keep_outputs`. If it doesn't match, the method returns None. Defaults to None,
                which matches any value.

        Raises:
            StepflowClientError: If the store can't be read.
        """
        query, values = "SELECT content FROM outputs WHERE run_id = ?", [_get_run_id(run_id)]
        if server is not None:
            query, values = f"{query} AND server = ?", [*values, server]
        rows = self._read_rows(query, values)
        return _decode_step_outputs(rows[0][0]) if rows else None

    def get(self, run_id: RunId) -> HistoryEntry | None:
        """Return a run's record, or None if the run isn't recorded. A damaged record is reported once.

        Raises:
            StepflowClientError: If the store can't be read.
        """
        checked_id = _get_run_id(run_id)
        entries = self._read_entries(_SELECT_RUN, [checked_id])
        return next((entry for entry in entries if entry.run_id == checked_id), None)

    def search(
        self,
        text: str | None = None,
        *,
        labels: Mapping[str, str] | None = None,
        status: ExecutionStatus | str | None = None,
        server: str | Collection[str] | None = None,
        run_id: RunId | None = None,
        rerun_of: RunId | None = None,
        flow_file: str | os.PathLike[str] | None = None,
        confirmed: bool | None = True,
        limit: int = 20,
        offset: int = 0,
    ) -> list[HistoryEntry]:
        """Return the runs that match every condition, newest first.

        Damaged records are skipped and reported once. They still count toward `limit` and `offset`, so that page
        boundaries don't shift.

        Args:
            text: A query such as `flow:order customer=42 since:2026-11-24 "not found"`. A run must match every word. A
                word can match a label, or any text in the run's ID, the ID of the run it reruns, or its server, flow,
                input, variables, overrides, labels or note. The case of ASCII letters is ignored. `flow:` matches a
                flow's name, `status:` the last known status, and `since:` and `until:` take ISO 8601 times.
            labels: Labels the run must have, as a mapping of names to values.
            status: The last known status.
            server: The URL of the run's server. If you pass several URLs, runs on any of them match.
            run_id: The run's ID, or a prefix of it.
            rerun_of: Only return reruns of this run.
            flow_file: The path of the flow's file.
            confirmed: True for runs that exist, False for runs whose creation was never confirmed, None for both.
                Defaults to True.
            limit: Maximum number of runs. Defaults to 20.
            offset: Number of matching runs to skip, starting with the newest. Defaults to 0.

        Raises:
            InvalidArgumentError: If `text` contains an invalid time.
            StepflowClientError: If the store can't be read.
        """
        conditions, values = ["1 = 1"], list[Any]()

        def require(condition: str, *parameters: Any) -> None:
            conditions.append(condition)
            values.extend(parameters)

        query = parse_run_query(arguments.check_text(text, "text")) if text else RunQuery()
        for word in query.words:
            condition, word_values = _make_word_condition(word)
            require(condition, *word_values)
        for name, value in query.fields.items():
            if name in _FIELD_CONDITIONS:
                require(_FIELD_CONDITIONS[name], _convert_field_to_sql_value(name, value))
        if status is not None:
            require("status = ?", arguments.check_text(status, "status"))
        if server is not None:
            servers = arguments.check_texts(server, "server")
            require(f"server IN ({', '.join('?' * len(servers)) or 'NULL'})", *servers)
        if run_id is not None:
            prefix = _get_run_id(run_id)
            require("substr(run_id, 1, ?) = ?", len(prefix), prefix)
        if confirmed is not None:
            require(f"NOT {_IS_PENDING}" if arguments.check_flag(confirmed, "confirmed") else _IS_PENDING)
        if rerun_of is not None:
            require("rerun_of = ?", _get_run_id(rerun_of, "rerun_of"))
        if flow_file is not None:
            require("flow_file = ?", str(Path(arguments.file_path(flow_file, "flow_file")).absolute()))
        for name, value in ({} if labels is None else arguments.check_mapping(labels, "labels")).items():
            arguments.check_text(value, f"labels[{name!r}]")
            require(f"({_HAS_LABEL})", *_make_label_patterns(name, value))
        where = " AND ".join(conditions)
        select = f"SELECT {_COLUMNS} FROM runs WHERE {where} ORDER BY number DESC LIMIT ? OFFSET ?"  # noqa: S608
        page = [arguments.check_integer(limit, "limit", least=0), arguments.check_integer(offset, "offset", least=0)]
        return self._read_entries(select, [*values, *page])

    def clear(self, *, max_age: float = 0.0) -> int:
        """Remove runs and return how many were removed. Their content is overwritten in the file or tables.

        Args:
            max_age: Remove only runs recorded more than this many seconds ago. Defaults to 0, which removes all runs.

        Raises:
            StepflowClientError: If the store can't be changed.
        """
        arguments.check_seconds(max_age, "max_age", allow_zero=True)
        # If there is no age limit, include runs dated in the future (recorded before the clock was set back).
        last = time.time() - max_age if max_age > 0 else math.inf
        return self._store.call("change", partial(_delete_runs, "created <= ?", last), missing=0)

    def delete(self, run_id: RunId) -> bool:
        """Remove a run and return whether it was recorded. Its content is overwritten in the file or tables.

        The run's reruns still refer to it by ID. If a batch consists of several runs, they count as a single entry.

        Raises:
            StepflowClientError: If the store can't be changed.
        """
        return bool(self._store.call("change", partial(_delete_runs, "run_id = ?", _get_run_id(run_id)), missing=0))

    def _read_rows(self, query: str, values: Sequence[Any]) -> list[Any]:
        return self._store.call("read", lambda connection: connection.execute(query, values).fetchall(), missing=[])

    def _read_entries(self, query: str, values: list[Any]) -> list[HistoryEntry]:
        rows = self._read_rows(query, values)
        from .types.runs import HistoryEntry

        entries = []
        for row in rows:
            try:
                entries.append(HistoryEntry(**_decode_row(row)))
            except _DamagedRowError:
                self._store.report_failure_once("read a run", "its record is damaged")
        return entries

    def _insert_and_prune(self, row: tuple[Any, ...], own_flow_id: str | None, connection: sqlite3.Connection) -> None:
        if own_flow_id is not None:
            connection.execute(_DELETE_PENDING, [own_flow_id])
        connection.execute(_UPSERT, row)
        if zlib.crc32(row[0].encode()) % min(_PRUNE_INTERVAL, max(1, self._max_runs // 10)) == 0:
            connection.execute("DELETE FROM runs WHERE created < ?", [time.time() - self._max_age])
            newest = "SELECT number FROM runs ORDER BY number DESC LIMIT 1 OFFSET ?"
            connection.execute(f"DELETE FROM runs WHERE number <= ({newest})", [self._max_runs])  # noqa: S608


def _make_word_condition(word: str) -> tuple[str, list[str]]:
    """Return the SQL condition for one word of a query, along with the condition's values."""
    # JSON columns escape quotes and backslashes, so escape the word the same way.
    text, in_json = word, json.dumps(word, ensure_ascii=False)[1:-1]
    for mark, escape in (("\\", "\\\\"), ("%", "\\%"), ("_", "\\_")):
        text, in_json = text.replace(mark, escape), in_json.replace(mark, escape)
    matches = [f"{column} LIKE ? ESCAPE '\\'" for column in (*_TEXT_COLUMNS, *_JSON_COLUMNS)]
    values = [f"%{text}%"] * len(_TEXT_COLUMNS) + [f"%{in_json}%"] * len(_JSON_COLUMNS)
    name, is_label, value = word.partition("=")
    if is_label:
        matches.append(_HAS_LABEL)
        values += _make_label_patterns(name, value)
    return f"({' OR '.join(matches)})", values


def _make_label_patterns(name: str, value: str) -> list[str]:
    # The stored JSON only quotes names and values, so nothing else can match this pattern.
    text = _encode_json({name: value})[1:-1]
    return ["{" + text, ", " + text]


def _convert_field_to_sql_value(name: str, value: str) -> Any:
    if name not in ("since", "until"):
        return _encode_json({"name": value})[1:-1] if name == "flow" else value
    try:
        return datetime.fromisoformat(value).timestamp()
    except (ValueError, OverflowError):
        raise InvalidArgumentError(f"{name}:{value} is not a time in ISO 8601, such as 2026-11-24T14:00") from None


def _write_annotation(run_id: str, note: str | None, labels: Mapping[str, str], connection: sqlite3.Connection) -> None:
    # If the checksum has changed, another process has since annotated the run.
    update = f"UPDATE runs SET ({_COLUMNS}) = ({_PLACEHOLDERS}) WHERE run_id = ? AND checksum = ?"  # noqa: S608
    for _ in range(_MAX_ANNOTATE_ATTEMPTS):
        row = connection.execute(_SELECT_RUN, [run_id]).fetchone()
        if row is None:
            return
        changed = [*row[:-1]]
        changed[_LABELS_INDEX] = _encode_json(_decode_row(row)["labels"] | labels)
        if note is not None:
            changed[_NOTE_INDEX] = _hide_passwords(note)
        if connection.execute(update, [*_add_checksum(changed), run_id, row[-1]]).rowcount:
            return


def _write_confirmation(
    entry_id: str, run_id: str | None, row: tuple[Any, ...] | None, connection: sqlite3.Connection
) -> None:
    if row is None:
        row = connection.execute(_SELECT_RUN, [entry_id]).fetchone()
    if run_id is not None and row is not None:
        values = _add_checksum([run_id, *row[1:-1]])
        # Another process with the same idempotency key may have recorded the run already.
        update = "UPDATE runs SET run_id = ?, checksum = ? WHERE run_id = ?"
        update += " AND NOT EXISTS (SELECT 1 FROM runs AS other WHERE other.run_id = ?)"
        if connection.execute(update, [run_id, values[-1], entry_id, run_id]).rowcount:
            return
        connection.execute(_INSERT_NEW, values)
    connection.execute("DELETE FROM runs WHERE run_id = ?", [entry_id])


def _write_outputs(run_id: str, server: str, content: str, connection: sqlite3.Connection) -> None:
    names = ("number", "run_id", "server", "content")
    insert = "INSERT INTO outputs (run_id, server, content) VALUES (?, ?, ?) ON CONFLICT (run_id) DO UPDATE SET "
    connection.execute(insert + ", ".join(f"{name} = excluded.{name}" for name in names), [run_id, server, content])
    oldest = "SELECT number FROM outputs ORDER BY number DESC LIMIT 1 OFFSET ?"
    connection.execute(f"DELETE FROM outputs WHERE number <= ({oldest})", [_MAX_RUNS_WITH_OUTPUTS])  # noqa: S608


def _delete_runs(condition: str, value: float | str, connection: sqlite3.Connection) -> int:
    count = connection.execute(f"DELETE FROM runs WHERE {condition}", [value]).rowcount  # noqa: S608
    connection.execute("DELETE FROM outputs WHERE run_id NOT IN (SELECT run_id FROM runs)")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return count


def _get_run_id(run_id: RunId, what: str = "run_id") -> str:
    """Return a run's ID, or a prefix of it, as a string."""
    id_or_object = run_id if isinstance(run_id, (str, UUID)) else getattr(run_id, "run_id", run_id)
    return arguments.check_text(str(id_or_object) if isinstance(id_or_object, UUID) else id_or_object, what)


class _DamagedRowError(ValueError):
    """A row's checksum does not match."""


def _hide_secrets(
    entry: dict[str, Any], flow: Mapping[str, Any] | None, variables: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return the values to record, with secrets replaced by `***`."""
    schemas = secrets.get_variable_schemas(flow)
    names = {name for name in variables or {} if flow is None or has_secret_part(schemas.get(name))}
    passed = secrets.Secrets([value for name, value in (variables or {}).items() if name in names], include_short=False)
    hidden: dict[str, Any] = passed.hide_in(entry | {"flow": None if flow is None else secrets.hide_flow_secrets(flow)})
    if variables is not None:
        hidden["variables"] = {k: secrets.HIDDEN if k in names else passed.hide_in(v) for k, v in variables.items()}
    # Also hide default values that come from the flow.
    return hidden if flow is None else secrets.find_secret_values_in_flow(flow).hide_in(hidden)


def _encode_row(run_id: str, entry: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the column values for an entry."""
    texts = {name: None if entry[name] is None else _encode_json(entry[name]) for name in _FIELDS}
    too_large = {name for name, text in texts.items() if text is not None and len(text) > _MAX_VALUE_LENGTH}
    omitted = [name for name in _FIELDS if name in too_large or name in entry["omitted"]]
    texts |= dict.fromkeys(omitted)
    columns = [entry[name] for name in ("server", "flow_id", "flow_file")]
    plain = [None if value is None else _PASSWORD_IN_URL.sub("", str(value)) for value in columns]
    note = None if entry["note"] is None else _hide_passwords(str(entry["note"]))
    row = [run_id, time.time(), *plain, None, _encode_json(entry["labels"]), note, json.dumps(omitted), *texts.values()]
    row += [entry["rerun_of"], json.dumps(entry["kept"]), json.dumps(entry["rerun_items"])]
    return _add_checksum([*row, int(entry["has_more_runs"]), int(entry["is_embedded"])])


def _add_checksum(row: Sequence[Any]) -> tuple[Any, ...]:
    """Return a row with its checksum appended. The checksum doesn't cover the status, which is updated separately."""
    return *row, zlib.crc32(json.dumps([*row[:_STATUS_INDEX], *row[_STATUS_INDEX + 1 :]]).encode())


def _encode_json(value: Any) -> str:
    """Return a value as JSON, with passwords in URLs hidden."""
    return _hide_passwords(json.dumps(value, ensure_ascii=False))


def _hide_passwords(text: str) -> str:
    """Hide users and passwords in URLs.

    Each is replaced by a placeholder, so that a rerun doesn't mistake the remaining URL for the real argument.
    """
    # Also replace NUL, which PostgreSQL can't store.
    return _PASSWORD_IN_URL.sub(secrets.HIDDEN_IN_URL.removeprefix("://"), text.replace("\0", "\ufffd"))


def _decode_row(row: tuple[Any, ...]) -> dict[str, Any]:
    """Return the entry fields stored in a row.

    Raises:
        _DamagedRowError: If the row is damaged.
    """
    try:
        if row != _add_checksum(row[:-1]):
            raise ValueError("checksum mismatch")
        fields: dict[str, Any] = dict(zip(_COLUMNS.split(", "), row[:-1], strict=False))
        for name in ("labels", "omitted", "kept", "rerun_items", *_FIELDS):
            fields[name] = None if fields[name] is None else json.loads(fields[name])
        fields |= {name: tuple(fields[name]) for name in ("omitted", "kept", "rerun_items")}
        fields |= {name: bool(fields[name]) for name in ("has_more_runs", "is_embedded")}
        fields["created_at"] = datetime.fromtimestamp(fields.pop("created"), UTC)
    except (TypeError, ValueError, OverflowError, OSError, RecursionError) as error:
        raise _DamagedRowError(str(error)) from error
    status = fields["status"]
    # Check the status separately, since the checksum doesn't cover it.
    is_status = isinstance(status, str) and (status in _STATUSES or status.startswith("unknown_"))
    fields["status"] = status if is_status else None
    return fields


def _decode_step_outputs(content: str) -> list[dict[str, Any]] | None:
    """Decode each item's step outputs, or return None if the text is damaged."""
    try:
        # Raises if the value isn't a string, or contains bytes that aren't UTF-8.
        outputs = json.loads(str.encode(content))
    except (TypeError, ValueError, RecursionError):
        return None
    is_valid = isinstance(outputs, list) and all(isinstance(item, dict) for item in outputs)
    return outputs if is_valid else None
