"""A record of the runs that a user or an application has started.

Current servers return none of a run's arguments, and no server stores labels or notes. The history stores them in an
SQLite file that only its owner can read, or in a PostgreSQL database that several hosts share. Secrets are replaced by
`***` before anything is written. Recording never makes a run fail: errors are logged, as a warning.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID, uuid4

from ._base.lazy import lazy_names
from ._data.arguments import (
    check_flag,
    check_instance,
    check_instances,
    check_integer,
    check_mapping,
    check_seconds,
    check_text,
    check_texts,
    file_path,
)
from ._rules.run_queries import RunQuery, split_query
from ._stores.history_rows import (
    COLUMNS,
    FIELDS,
    OWN,
    PENDING,
    SCHEMA,
    DamagedRowError,
    annotate_row,
    confirm_row,
    decode_outputs,
    decode_row,
    encode_json,
    encode_row,
    hide_secrets,
)
from ._stores.sqlite import SharedFile
from ._stores.user_folders import user_folder
from .errors import InvalidArgumentError

if TYPE_CHECKING:
    from ._codec.requests import RunId
    from ._stores.postgres import SharedDatabase
    from .types.runs import HistoryEntry
    from .types.statuses import ExecutionStatus

__all__ = ["History", "HistoryEntry", "default_path"]

# Recording needs no entries, and making their class takes time.
__getattr__, _ = lazy_names(__name__, {".types.runs": ["HistoryEntry"]})

_DAY = 86_400.0
_PRUNE_EVERY = 50
# Maximum number of attempts to annotate a run that other processes annotate at the same time.
_MAX_OVERLAPS = 100
# Number of runs whose step outputs are kept: they may be large, and serve for trying the next version of a flow.
_MAX_OUTPUTS = 20
# Maximum size of the outputs of a run, in characters of JSON.
_LARGEST_OUTPUTS = 5_000_000
_UPDATES = ", ".join(f"{column} = excluded.{column}" for column in ("number", *COLUMNS.split(", ")))
_INSERT = f"INSERT INTO runs ({COLUMNS}) VALUES ({', '.join('?' * len(COLUMNS.split(', ')))})"  # noqa: S608
_RECORD, _RECORD_NEW = f"{_INSERT} ON CONFLICT (run_id) DO UPDATE SET {_UPDATES}", f"{_INSERT} ON CONFLICT DO NOTHING"
_PLAIN, _JSON_TEXTS = ("run_id", "rerun_of", "server", "flow_id", "flow_file", "note"), ("labels", *FIELDS)
_HAS_LABEL = "instr(labels, ?) = 1 OR instr(labels, ?) > 0"
_FIELD_CONDITIONS = {
    "flow": "instr(flow, ?) > 0", "status": "status = ?", "since": "created >= ?", "until": "created < ?"
}  # fmt: skip
_IS_PENDING = f"substr(run_id, 1, {len(PENDING)}) = '{PENDING}'"
_FORGET = f"DELETE FROM runs WHERE flow_id = ? AND {_IS_PENDING} AND substr(run_id, 1, {len(OWN)}) = '{OWN}'"  # noqa: S608


class _Cursor(Protocol):
    @property
    def rowcount(self) -> int: ...
    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...


class _Connection(Protocol):
    """A connection to either store. The module `postgres` translates what its database writes differently."""

    def execute(self, statement: str, values: Sequence[Any] = ..., /) -> _Cursor: ...


class _HistoryFile(SharedFile):
    _what = "history"
    _where = "the state folder"
    _schema = SCHEMA

    def _default_path(self) -> Path:
        return default_path()


def default_path() -> Path:
    """Return the default path of the history, in the platform's folder for state.

    It is `$XDG_STATE_HOME/stepflow/history.db` (default `~/.local/state`) on Linux; the folder is in
    `~/Library/Application Support` on macOS and in `%LOCALAPPDATA%` on Windows.
    """
    return user_folder("state") / "history.db"


class History:
    """A record of runs in an SQLite file or a PostgreSQL database, which processes and threads use at the same time.

    Example:
        ```python
        history = History()
        history.record(run_id, server=client.url, flow=flow, input={"name": "World"}, labels={"env": "dev"})
        for entry in history.search("World"):
            print(entry.run_id, entry.status)
        ```

    A history can be pickled, with its path or URL and its limits. The file or the tables are created by the first call
    that writes to it.

    Args:
        path: The path of the file; by default `default_path()`. The file is created with mode 0600, its folder with
            mode 0700. Or the URL of a PostgreSQL database, `postgresql://...`, which several hosts share: it needs the
            extra `stepflow-client[postgres]`. Its tables are in the schema `stepflow_history`.
        max_age: Seconds for which a run is kept. Default 90 days.
        max_runs: Maximum number of runs. Default 10,000; the oldest are removed first. Both limits are applied after
            every 50 runs, or more often if `max_runs` is small.
        on_failure: A function that is called once, with a sentence, if something cannot be recorded; by default the
            sentence is logged. For a database, it is called each time that it goes down, by another thread. It must be
            picklable if the history is pickled.

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
        """Store the settings. No file is opened."""
        self._store = _open_store(path, on_failure)
        self._pending: dict[str, tuple[Any, ...]] = {}
        """The rows whose creation is not confirmed, by their ids."""
        self._max_age = check_seconds(max_age, "max_age", endless=True)
        self._max_runs = check_integer(max_runs, "max_runs", least=1, most=sys.maxsize)

    @property
    def location(self) -> str:
        """The path of the file, or the URL of the database without users, passwords and parameters."""
        return self._store.location

    @property
    def path(self) -> Path | None:
        """The path of the file; None for a database."""
        return self._store.path

    def __repr__(self) -> str:
        return f"History({self.location!r})"

    def close(self) -> None:
        """Close the file or the connection; the next call opens it again.

        Changes that wait for a database are written first, for up to a minute. If the database takes none of them for
        10 seconds, they are lost.
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
        """Record that a run was started, or will be, and return the id of its entry.

        Errors are logged once, as a warning.
        Changes for a database that is down wait in memory until it is reachable: up to 10,000 of them.

        The values of variables that the flow declares with `is_secret: true` are not stored, nor are users and
        passwords in URLs: `***` takes their place. If the flow is not given, all variables count as secret.

        Args:
            run_id: The run; an existing record of it is replaced. None if it is about to be created: `confirm` then
                completes the entry. If the process ends before that, the entry stays, with `is_confirmed` False.
            server: The URL of the server.
            flow: The content of the flow.
            flow_id: The id of the flow.
            flow_file: The path of the flow's file.
            input: The input; for a batch, the list of inputs.
            variables: The values of the flow's variables.
            overrides: Changes to steps.
            labels: Labels to find the run by: values by name.
            note: A note to find the run by.
            rerun_of: The earlier run, if this run is a rerun.
            kept: The ids of the steps whose outputs a rerun keeps.
            rerun_items: The indexes of the items of the earlier run that are run again.
            has_more_runs: Whether the run is the first of several runs of a batch.
            is_embedded: Whether the server is an embedded one, which stops with the program that started it.
            omitted: Names of the fields that are unknown: `flow`, `input`, `variables`, `overrides`.
            has_own_flow: Whether this run is the only one of its flow id, as with an idempotency key: an unconfirmed
                entry of that flow is then replaced.
        """
        check_flag(has_own_flow, "has_own_flow")
        entry_id = f"{OWN if has_own_flow else PENDING}{uuid4()}" if run_id is None else _parse_run_id(run_id)
        earlier = None if rerun_of is None else _parse_run_id(rerun_of, "rerun_of")
        check_flag(has_more_runs, "has_more_runs")
        check_flag(is_embedded, "is_embedded")
        items = check_instances(rerun_items, "rerun_items", int)
        added: dict[str, Any] = {"rerun_of": earlier, "kept": check_texts(kept, "kept"), "rerun_items": items}
        with self._store.warning("record a run"):
            about = {
                "flow": flow,
                "input": input,
                "variables": variables,
                "overrides": overrides,
                "server": server,
                "flow_id": flow_id,
                "note": note,
                "labels": {str(name): str(value) for name, value in (labels or {}).items()},
                "flow_file": None if flow_file is None else str(Path(flow_file).absolute()),
            }
            added |= {"has_more_runs": has_more_runs, "is_embedded": is_embedded, "omitted": omitted}
            row = encode_row(entry_id, hide_secrets(about, flow, variables) | added)
            size = sum(len(column) for column in row if isinstance(column, str))
            if run_id is None:
                self._pending[entry_id] = row
            change = partial(self._write_run, row, flow_id if has_own_flow and run_id is not None else None)
            self._store.change("record a run", change, run_id=entry_id, size=size, is_durable=run_id is None)
        return entry_id

    def confirm(self, entry_id: str, run_id: RunId | None) -> None:
        """Complete the entry of a run that was about to be created. Errors are logged once, as a warning.

        Args:
            entry_id: The id that `record` has returned.
            run_id: The run; None if none was created, which removes the entry.
        """
        row = self._pending.pop(check_text(entry_id, "entry_id"), None)
        checked_id = None if run_id is None else _parse_run_id(run_id)
        change = partial(_write_confirmation, entry_id, checked_id, row)
        size = sum(len(column) for column in row or () if isinstance(column, str))
        self._store.change("record a run", change, run_id=checked_id or entry_id, size=size)

    def update(self, run_id: RunId, *, status: ExecutionStatus | str) -> None:
        """Set the last known status of a run, if the run is recorded. Errors are logged once, as a warning.

        Args:
            run_id: The run.
            status: One of the values of `ExecutionStatus`. Any other is read as None.
        """
        checked_id, status_text = _parse_run_id(run_id), str(check_text(status, "status"))
        update = "UPDATE runs SET status = ? WHERE run_id = ? AND (status IS NULL OR status <> ?)"
        self._store.change(
            "update a run",
            lambda connection: connection.execute(update, [status_text, checked_id, status_text]),
            run_id=checked_id,
        )

    def annotate(self, run_id: RunId, note: str | None = None, *, labels: Mapping[str, str] | None = None) -> None:
        """Set the note of a recorded run, or add labels to it. Errors of the store are logged once, as a warning.

        Args:
            run_id: The run. A run that is not recorded stays so.
            note: The note; it replaces an earlier one. None, the default: the note stays.
            labels: Labels, which replace those of the same names. None, the default: the labels stay.

        Raises:
            InvalidArgumentError: If an argument is invalid.
        """
        checked_id = _parse_run_id(run_id)
        new_labels = {} if labels is None else dict(check_mapping(labels, "labels"))
        for name, value in new_labels.items():
            check_text(value, f"labels[{name!r}]")
        if note is not None:
            check_text(note, "note")
        if note is None and not new_labels:
            return
        change = partial(_write_annotation, checked_id, note, new_labels)
        self._store.change("annotate a run", change, run_id=checked_id, size=len(note or ""))

    def keep_outputs(self, run_id: RunId, outputs: Sequence[Mapping[str, Any]], *, server: str = "") -> None:
        """Keep the outputs of a run's steps, for reruns when its server is gone, as an embedded one is.

        The caller leaves out what must not be written: outputs that contain secrets. The outputs of the newest 20 runs
        are kept, of each at most 5 million characters of JSON. Errors of the store are logged once, as a warning.

        Args:
            run_id: The run.
            outputs: For each item, the outputs of the steps that have completed, by step id.
            server: What else the outputs depend on, for example a digest of the server's configuration. Default "".
        """
        checked_id, origin = _parse_run_id(run_id), check_instance(server, "server", str)
        what = "keep the outputs of a run"
        with self._store.warning(what):
            content = json.dumps([dict(output) for output in outputs], ensure_ascii=False)
            if len(content) <= _LARGEST_OUTPUTS:
                change = partial(_write_outputs, checked_id, origin, content)
                self._store.change(what, change, run_id=checked_id, size=len(content))

    def kept_outputs(self, run_id: RunId, *, server: str | None = None) -> list[dict[str, Any]] | None:
        """Return what `keep_outputs` has kept of a run; None if there is nothing that can be read.

        Args:
            run_id: The run.
            server: What `keep_outputs` was given; for anything else, the outputs are not returned. Default None: any.

        Raises:
            StepflowClientError: If the store cannot be read.
        """
        query, values = "SELECT content FROM outputs WHERE run_id = ?", [_parse_run_id(run_id)]
        if server is not None:
            query, values = f"{query} AND server = ?", [*values, server]
        rows = self._read_rows(query, values)
        return decode_outputs(rows[0][0]) if rows else None

    def get(self, run_id: RunId) -> HistoryEntry | None:
        """Return the record of a run, or None if the run is not recorded. A damaged record is reported once.

        Raises:
            StepflowClientError: If the store cannot be read.
        """
        checked_id = _parse_run_id(run_id)
        entries = self._read_entries(f"SELECT {COLUMNS} FROM runs WHERE run_id = ?", [checked_id])  # noqa: S608
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
        """Return the runs that match all given conditions, newest first.

        A damaged record is left out and reported once. It counts for `limit` and `offset`, so that the position of
        a run never refers to another one.

        Args:
            text: A query such as `flow:order customer=42 since:2026-11-24 "not found"`: a run matches all of its words.
                A word is a text in the run's id, the id of the run that it is a rerun of, its server, flow, input,
                variables, overrides, labels or note, or a label; the case of ASCII letters is ignored. `flow:` is the
                name of a flow, `status:` the last known status, `since:` and `until:` are times in ISO 8601.
            labels: Labels that the run has, with these values.
            status: The last known status.
            server: The URL of the run's server, or several URLs that include it.
            run_id: The run, or the beginning of its id.
            rerun_of: The run that the runs are reruns of.
            flow_file: The file of the run's flow.
            confirmed: True for runs that exist, False for those whose creation is not confirmed, None for both. Default
                True.
            limit: Maximum number of runs. Default 20.
            offset: Number of matching runs to skip, from the newest on. Default 0.

        Raises:
            InvalidArgumentError: If a time in `text` is not one.
            StepflowClientError: If the store cannot be read.
        """
        conditions, values = ["1 = 1"], list[Any]()
        query = split_query(check_text(text, "text")) if text else RunQuery()
        for word in query.words:
            condition, word_values = _make_word_condition(word)
            conditions.append(condition)
            values += word_values
        for name, value in query.fields.items():
            if name in _FIELD_CONDITIONS:
                conditions.append(_FIELD_CONDITIONS[name])
                values.append(_parse_field_value(name, value))
        if status is not None:
            conditions.append("status = ?")
            values.append(check_text(status, "status"))
        if server is not None:
            servers = check_texts(server, "server")
            conditions.append(f"server IN ({', '.join('?' * len(servers))})")
            values += servers
        if run_id is not None:
            conditions.append("substr(run_id, 1, ?) = ?")
            prefix = _parse_run_id(run_id)
            values += [len(prefix), prefix]
        if confirmed is not None:
            conditions.append(f"NOT {_IS_PENDING}" if check_flag(confirmed, "confirmed") else _IS_PENDING)
        if rerun_of is not None:
            conditions.append("rerun_of = ?")
            values.append(_parse_run_id(rerun_of, "rerun_of"))
        if flow_file is not None:
            conditions.append("flow_file = ?")
            values.append(str(Path(file_path(flow_file, "flow_file")).absolute()))
        for name, value in ({} if labels is None else check_mapping(labels, "labels")).items():
            check_text(value, f"labels[{name!r}]")
            conditions.append(f"({_HAS_LABEL})")
            values += _make_label_patterns(name, value)
        where = " AND ".join(conditions)
        select = f"SELECT {COLUMNS} FROM runs WHERE {where} ORDER BY number DESC LIMIT ? OFFSET ?"  # noqa: S608
        return self._read_entries(
            select, [*values, check_integer(limit, "limit", least=0), check_integer(offset, "offset", least=0)]
        )

    def clear(self, *, max_age: float = 0.0) -> int:
        """Remove runs and return how many were removed. Their content is overwritten in the file or the tables.

        Args:
            max_age: Remove only runs recorded more than this many seconds ago. Default 0: all runs.

        Raises:
            StepflowClientError: If the store cannot be changed.
        """
        check_seconds(max_age, "max_age", zero=True)
        # All of them includes those recorded before the clock was set back.
        last = time.time() - max_age if max_age > 0 else math.inf
        return self._store.call("change", partial(_delete_runs, "created <= ?", last), missing=0)

    def delete(self, run_id: RunId) -> bool:
        """Remove one run, and return whether it was recorded. Its content is overwritten in the file or the tables.

        Reruns of the run keep its id, and batches of several runs are one entry.

        Raises:
            StepflowClientError: If the store cannot be changed.
        """
        return bool(self._store.call("change", partial(_delete_runs, "run_id = ?", _parse_run_id(run_id)), missing=0))

    def _read_rows(self, query: str, values: Sequence[Any]) -> list[Any]:
        return self._store.call("read", lambda connection: connection.execute(query, values).fetchall(), missing=[])

    def _read_entries(self, query: str, values: list[Any]) -> list[HistoryEntry]:
        rows = self._read_rows(query, values)
        from .types.runs import HistoryEntry

        entries = []
        for row in rows:
            try:
                entries.append(HistoryEntry(**decode_row(row)))
            except DamagedRowError:
                self._store.report("read a run", "its record is damaged")
        return entries

    def _write_run(self, row: tuple[Any, ...], own_flow_id: str | None, connection: _Connection) -> None:
        if own_flow_id is not None:
            connection.execute(_FORGET, [own_flow_id])
        connection.execute(_RECORD, row)
        if zlib.crc32(row[0].encode()) % min(_PRUNE_EVERY, max(1, self._max_runs // 10)) == 0:
            connection.execute("DELETE FROM runs WHERE created < ?", [time.time() - self._max_age])
            newest = "SELECT number FROM runs ORDER BY number DESC LIMIT 1 OFFSET ?"
            connection.execute(f"DELETE FROM runs WHERE number <= ({newest})", [self._max_runs])  # noqa: S608


def _make_word_condition(word: str) -> tuple[str, list[str]]:
    """Return the condition for a word of a query, and its values."""
    # As it stands in JSON, where quotes and backslashes are escaped.
    text, in_json = word, json.dumps(word, ensure_ascii=False)[1:-1]
    for mark, escape in (("\\", "\\\\"), ("%", "\\%"), ("_", "\\_")):
        text, in_json = text.replace(mark, escape), in_json.replace(mark, escape)
    matches = [f"{column} LIKE ? ESCAPE '\\'" for column in (*_PLAIN, *_JSON_TEXTS)]
    values = [f"%{text}%"] * len(_PLAIN) + [f"%{in_json}%"] * len(_JSON_TEXTS)
    name, is_label, value = word.partition("=")
    if is_label:
        matches.append(_HAS_LABEL)
        values += _make_label_patterns(name, value)
    return f"({' OR '.join(matches)})", values


def _make_label_patterns(name: str, value: str) -> list[str]:
    # The text of the object has quotes around names and values only, so that nothing else has this form.
    text = encode_json({name: value})[1:-1]
    return ["{" + text, ", " + text]


def _parse_field_value(name: str, value: str) -> Any:
    if name not in ("since", "until"):
        return encode_json({"name": value})[1:-1] if name == "flow" else value
    try:
        return datetime.fromisoformat(value).timestamp()
    except (ValueError, OverflowError):
        raise InvalidArgumentError(f"{name}:{value} is not a time in ISO 8601, such as 2026-11-24T14:00") from None


def _open_store(
    path: str | os.PathLike[str] | None, on_failure: Callable[[str], object] | None
) -> _HistoryFile | SharedDatabase:
    if not isinstance(path, str) or not path.startswith(("postgresql://", "postgres://")):
        return _HistoryFile(path, on_failure=on_failure)
    from ._stores.postgres import SharedDatabase

    return SharedDatabase(path, on_failure=on_failure, schema=SCHEMA)


def _write_annotation(run_id: str, note: str | None, labels: Mapping[str, str], connection: _Connection) -> None:
    query = f"SELECT {COLUMNS} FROM runs WHERE run_id = ?"  # noqa: S608
    # If the checksum has changed, another process has annotated the run in the meantime.
    update = f"UPDATE runs SET ({COLUMNS}) = ({', '.join('?' * len(COLUMNS.split(', ')))}) WHERE run_id = ?"  # noqa: S608
    update += " AND checksum = ?"
    for _ in range(_MAX_OVERLAPS):
        row = connection.execute(query, [run_id]).fetchone()
        if row is None:
            return
        values = [*annotate_row(row, note, labels), run_id, row[-1]]
        if connection.execute(update, values).rowcount:
            return


def _write_confirmation(
    entry_id: str, run_id: str | None, row: tuple[Any, ...] | None, connection: _Connection
) -> None:
    if row is None:
        row = connection.execute(f"SELECT {COLUMNS} FROM runs WHERE run_id = ?", [entry_id]).fetchone()  # noqa: S608
    if run_id is not None and row is not None:
        values = confirm_row(row, run_id)
        # Another process that uses the same key may have recorded the run.
        update = "UPDATE runs SET run_id = ?, checksum = ? WHERE run_id = ?"
        update += " AND NOT EXISTS (SELECT 1 FROM runs AS other WHERE other.run_id = ?)"
        if connection.execute(update, [run_id, values[-1], entry_id, run_id]).rowcount:
            return
        connection.execute(_RECORD_NEW, values)
    connection.execute("DELETE FROM runs WHERE run_id = ?", [entry_id])


def _write_outputs(run_id: str, server: str, content: str, connection: _Connection) -> None:
    names = ("number", "run_id", "server", "content")
    insert = "INSERT INTO outputs (run_id, server, content) VALUES (?, ?, ?) ON CONFLICT (run_id) DO UPDATE SET "
    connection.execute(insert + ", ".join(f"{name} = excluded.{name}" for name in names), [run_id, server, content])
    oldest = "SELECT number FROM outputs ORDER BY number DESC LIMIT 1 OFFSET ?"
    connection.execute(f"DELETE FROM outputs WHERE number <= ({oldest})", [_MAX_OUTPUTS])  # noqa: S608


def _delete_runs(condition: str, value: float | str, connection: _Connection) -> int:
    count = connection.execute(f"DELETE FROM runs WHERE {condition}", [value]).rowcount  # noqa: S608
    connection.execute("DELETE FROM outputs WHERE run_id NOT IN (SELECT run_id FROM runs)")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return count


def _parse_run_id(run_id: RunId, what: str = "run_id") -> str:
    """Return the id of a run, or its beginning, as a text."""
    id_or_object = run_id if isinstance(run_id, (str, UUID)) else getattr(run_id, "run_id", run_id)
    return check_text(str(id_or_object) if isinstance(id_or_object, UUID) else id_or_object, what)
