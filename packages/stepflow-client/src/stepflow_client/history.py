"""A local record of the runs that this user started.

Current servers return none of a run's arguments, and no server stores labels or notes. The
history stores them in an SQLite file that only its owner can read. Secrets are replaced by `***` before anything is
written. Recording never makes a run fail: errors are logged once, as a warning.
"""

from __future__ import annotations

import json
import math
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

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
)
from ._data.file_paths import file_path
from ._stores.history_rows import (
    ADDED,
    COLUMNS,
    FIELDS,
    DamagedRowError,
    annotated,
    decoded,
    fields_of,
    outputs_of,
    row_of,
    without_secrets,
)
from ._stores.sqlite import SharedFile
from ._stores.user_folders import user_folder

if TYPE_CHECKING:
    from ._codec.requests import RunId
    from .types.history_entry import HistoryEntry
    from .types.statuses import ExecutionStatus

__all__ = ["History", "HistoryEntry", "default_path"]

# Recording needs no entries, and making their class takes time.
__getattr__, _ = lazy_names(__name__, {".types.history_entry": ["HistoryEntry"]})

_DAY = 86_400.0
_PRUNE_EVERY = 50
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS runs (
    number INTEGER PRIMARY KEY AUTOINCREMENT, {COLUMNS.replace("run_id,", "run_id TEXT NOT NULL UNIQUE,")}
)
"""
_OUTPUTS = """
CREATE TABLE IF NOT EXISTS outputs (
    number INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL UNIQUE, server TEXT NOT NULL, content TEXT NOT NULL
)
"""
_MOST_OUTPUTS = 20
"""Number of runs whose step outputs are kept: they may be large, and serve for trying the next version of a flow."""
_LARGEST_OUTPUTS = 5_000_000
"""Maximum size of the outputs of a run, in characters of JSON."""
_LABELS = "CASE WHEN typeof(runs.labels) = 'text' AND json_valid(runs.labels) THEN runs.labels ELSE '{}' END"
"""The labels of a row; none if they are damaged."""


def default_path() -> Path:
    """Return the default path of the history, in the platform's folder for state.

    It is `$XDG_STATE_HOME/stepflow/history.db` (default `~/.local/state`) on Linux; the folder is in
    `~/Library/Application Support` on macOS and in `%LOCALAPPDATA%` on Windows.
    """
    return user_folder("state") / "history.db"


class History(SharedFile):
    """A record of runs in an SQLite file. Several processes and threads can use it at the same time.

    Example:
        ```python
        history = History()
        history.record(run_id, server=client.url, flow=flow, input={"name": "World"}, labels={"env": "dev"})
        for entry in history.search("World"):
            print(entry.run_id, entry.status)
        ```

    A history can be pickled, with its path and its limits. The file is created by the first call that writes to it.

    Args:
        path: The path of the file; by default `default_path()`. The file is created with mode 0600, its folder with
            mode 0700.
        max_age: Seconds for which a run is kept. Default 90 days.
        max_runs: Maximum number of runs. Default 10,000; the oldest are removed first. Both limits are applied after
            every 50 runs, or more often if `max_runs` is small.
        on_failure: A function that is called once, with a sentence, if something cannot be recorded; by default the
            sentence is logged. It must be picklable if the history is pickled.

    Raises:
        InvalidArgumentError: If a limit is not positive.
    """

    _what = "history"
    _where = "the state folder"
    _schema = (_SCHEMA, _OUTPUTS)
    _added = tuple(("runs", column) for column in ADDED)

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        max_age: float = 90 * _DAY,
        max_runs: int = 10_000,
        on_failure: Callable[[str], object] | None = None,
    ) -> None:
        """Store the settings. No file is opened."""
        super().__init__(path, on_failure=on_failure)
        self._max_age = check_seconds(max_age, "max_age", endless=True)
        self._max_runs = check_integer(max_runs, "max_runs", least=1, most=sys.maxsize)

    def _default_path(self) -> Path:
        return default_path()

    def record(
        self,
        run_id: RunId,
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
        omitted: Collection[str] = (),
    ) -> None:
        """Record that a run was started. Errors are logged once, as a warning.

        The values of variables that the flow declares with `is_secret: true` are not stored, nor are users and
        passwords in URLs: `***` takes their place. If the flow is not given, all variables count as secret.

        Args:
            run_id: The run; an existing record of it is replaced.
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
            omitted: Names of the fields that are unknown: `flow`, `input`, `variables`, `overrides`.
        """
        wanted, earlier = _id_of(run_id), None if rerun_of is None else _id_of(rerun_of, "rerun_of")
        values = {"flow": flow, "input": input, "variables": variables, "overrides": overrides}
        about: dict[str, Any] = {"server": server, "flow_id": flow_id, "note": note}
        check_flag(has_more_runs, "has_more_runs")
        items = check_instances(rerun_items, "rerun_items", int)
        added = {"rerun_of": earlier, "kept": check_texts(kept, "kept"), "rerun_items": items}
        with self._warning("record a run"):
            about["labels"] = {str(name): str(value) for name, value in (labels or {}).items()}
            about["flow_file"] = None if flow_file is None else str(Path(flow_file).absolute())
            about = without_secrets(values | about, flow, variables)
            row = row_of(wanted, about | added | {"has_more_runs": has_more_runs, "omitted": omitted})
            with self._opened() as connection:
                marks = ", ".join("?" * len(row))
                cursor = connection.execute(f"INSERT OR REPLACE INTO runs ({COLUMNS}) VALUES ({marks})", row)  # noqa: S608
                if (cursor.lastrowid or 0) % min(_PRUNE_EVERY, max(1, self._max_runs // 10)) == 0:
                    self._prune(connection)

    def update(self, run_id: RunId, *, status: ExecutionStatus | str) -> None:
        """Set the last known status of a run, if the run is recorded. Errors are logged once, as a warning.

        Args:
            run_id: The run.
            status: One of the values of `ExecutionStatus`. Any other is read as None.
        """
        wanted = _id_of(run_id)
        with self._warning("update a run"), self._opened() as connection:
            change = "UPDATE runs SET status = ?1 WHERE run_id = ?2 AND status IS NOT ?1"
            connection.execute(change, (str(status), wanted))

    def annotate(self, run_id: RunId, note: str | None = None, *, labels: Mapping[str, str] | None = None) -> None:
        """Set the note of a recorded run, or add labels to it. Errors of the file are logged once, as a warning.

        Args:
            run_id: The run. A run that is not recorded stays so.
            note: The note; it replaces an earlier one. None, the default: the note stays.
            labels: Labels, which replace those of the same names. None, the default: the labels stay.

        Raises:
            InvalidArgumentError: If an argument is invalid.
        """
        wanted = _id_of(run_id)
        given = {} if labels is None else dict(check_mapping(labels, "labels"))
        for name, value in given.items():
            check_text(value, f"labels[{name!r}]")
        if note is not None:
            check_text(note, "note")
        if note is None and not given:
            return
        with self._warning("annotate a run"), self._opened() as connection:
            # The row must not change between the two statements.
            connection.execute("BEGIN IMMEDIATE")
            try:
                row = connection.execute(f"SELECT {COLUMNS} FROM runs WHERE run_id = ?", [wanted]).fetchone()  # noqa: S608
                if row is not None:
                    values = annotated(row, note, given)
                    marks = ", ".join("?" * len(values))
                    update = f"UPDATE runs SET ({COLUMNS}) = ({marks}) WHERE run_id = ?"  # noqa: S608
                    connection.execute(update, [*values, wanted])
            finally:
                connection.execute("COMMIT")

    def keep_outputs(self, run_id: RunId, outputs: Sequence[Mapping[str, Any]], *, server: str = "") -> None:
        """Keep the outputs of a run's steps, for reruns when its server is gone, as an embedded one is.

        The caller leaves out what must not be written: outputs that contain secrets. The outputs of the newest 20 runs
        are kept, of each at most 5 million characters of JSON. Errors of the file are logged once, as a warning.

        Args:
            run_id: The run.
            outputs: For each item, the outputs of the steps that have completed, by step id.
            server: What else the outputs depend on, for example a digest of the server's configuration. Default "".
        """
        wanted, of = _id_of(run_id), check_instance(server, "server", str)
        with self._warning("keep the outputs of a run"):
            content = json.dumps([dict(each) for each in outputs], ensure_ascii=False)
            if len(content) > _LARGEST_OUTPUTS:
                return
            with self._opened() as connection:
                insert = "INSERT OR REPLACE INTO outputs (run_id, server, content) VALUES (?, ?, ?)"
                connection.execute(insert, [wanted, of, content])
                oldest = "SELECT number FROM outputs ORDER BY number DESC LIMIT 1 OFFSET ?"
                connection.execute(f"DELETE FROM outputs WHERE number <= ({oldest})", [_MOST_OUTPUTS])  # noqa: S608

    def kept_outputs(self, run_id: RunId, *, server: str | None = None) -> list[dict[str, Any]] | None:
        """Return what `keep_outputs` has kept of a run; None if there is nothing that can be read.

        Args:
            run_id: The run.
            server: What `keep_outputs` was given; for anything else, the outputs are not returned. Default None: any.

        Raises:
            StepflowClientError: If the file cannot be read.
        """
        wanted = _id_of(run_id)
        if not self.path.exists():
            return None
        with self._raising("read"), self._opened() as connection:
            query = "SELECT content FROM outputs WHERE run_id = ? AND server = coalesce(?, server)"
            row = connection.execute(query, [wanted, server]).fetchone()
        return None if row is None else outputs_of(row[0])

    def get(self, run_id: RunId) -> HistoryEntry | None:
        """Return the record of a run, or None if the run is not recorded. A damaged record is reported once.

        Raises:
            StepflowClientError: If the file cannot be read.
        """
        wanted = _id_of(run_id)
        entries = self._entries(f"SELECT {COLUMNS} FROM runs WHERE run_id = ?", [wanted])  # noqa: S608
        return next((each for each in entries if each.run_id == wanted), None)

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
        limit: int = 20,
        offset: int = 0,
    ) -> list[HistoryEntry]:
        """Return the runs that match all given conditions, newest first.

        A damaged record is left out and reported once. It counts for `limit` and `offset`, so that the position of
        a run never refers to another one.

        Args:
            text: A text in the run's id, the id of the run that it is a rerun of, its server, flow, input, variables,
                overrides, labels or note; the case of ASCII letters is ignored.
            labels: Labels that the run has, with these values.
            status: The last known status.
            server: The URL of the run's server, or several URLs, one of which is that of the server.
            run_id: The run, or the beginning of its id.
            rerun_of: The run that the runs are reruns of.
            flow_file: The file of the run's flow.
            limit: Maximum number of runs. Default 20.
            offset: Number of matching runs to skip, from the newest on. Default 0.

        Raises:
            StepflowClientError: If the file cannot be read.
        """
        conditions, values = ["1"], list[Any]()
        if text:
            check_text(text, "text")
            # As it stands in JSON, where quotes and backslashes are escaped.
            quoted = json.dumps(text, ensure_ascii=False)[1:-1]
            for mark, escape in (("\\", "\\\\"), ("%", "\\%"), ("_", "\\_")):
                text, quoted = text.replace(mark, escape), quoted.replace(mark, escape)
            plain, encoded = ("run_id", "rerun_of", "server", "flow_id", "flow_file", "note"), ("labels", *FIELDS)
            matches = [f"{each} LIKE ? ESCAPE '\\'" for each in (*plain, *encoded)]
            conditions.append(f"({' OR '.join(matches)})")
            values += [f"%{text}%"] * len(plain) + [f"%{quoted}%"] * len(encoded)
        if status is not None:
            conditions.append("status = ?")
            values.append(check_text(status, "status"))
        if server is not None:
            servers = check_texts(server, "server")
            conditions.append(f"server IN ({', '.join('?' * len(servers))})")
            values += servers
        if run_id is not None:
            conditions.append("substr(run_id, 1, ?) = ?")
            wanted = _id_of(run_id)
            values += [len(wanted), wanted]
        if rerun_of is not None:
            conditions.append("rerun_of = ?")
            values.append(_id_of(rerun_of, "rerun_of"))
        if flow_file is not None:
            conditions.append("flow_file = ?")
            values.append(str(Path(file_path(flow_file, "flow_file")).absolute()))
        for name, value in ({} if labels is None else check_mapping(labels, "labels")).items():
            check_text(value, f"labels[{name!r}]")
            conditions.append(f"EXISTS (SELECT 1 FROM json_each({_LABELS}) WHERE key = ? AND value = ?)")  # noqa: S608
            values += [name, value]
        where = " AND ".join(conditions)
        query = f"SELECT {COLUMNS} FROM runs WHERE {where} ORDER BY number DESC LIMIT ? OFFSET ?"  # noqa: S608
        return self._entries(
            query, [*values, check_integer(limit, "limit", least=0), check_integer(offset, "offset", least=0)]
        )

    def clear(self, *, max_age: float = 0.0) -> int:
        """Remove runs and return how many were removed. Their content is overwritten in the file.

        Args:
            max_age: Remove only runs recorded more than this many seconds ago. Default 0: all runs.

        Raises:
            StepflowClientError: If the file cannot be changed.
        """
        check_seconds(max_age, "max_age", zero=True)
        if not self.path.exists():
            return 0
        with self._raising("change"), self._opened() as connection:
            # All of them includes those recorded before the clock was set back.
            last = time.time() - max_age if max_age > 0 else math.inf
            count = connection.execute("DELETE FROM runs WHERE created <= ?", [last]).rowcount
            connection.execute("DELETE FROM outputs WHERE run_id NOT IN (SELECT run_id FROM runs)")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return count

    def _entries(self, query: str, values: list[Any]) -> list[HistoryEntry]:
        if not self.path.exists():
            return []
        with self._raising("read"), self._opened() as connection:
            # Otherwise, a text that is not UTF-8 would fail the whole query.
            connection.text_factory = decoded
            rows = connection.execute(query, values).fetchall()
        from .types.history_entry import HistoryEntry

        entries = []
        for row in rows:
            try:
                entries.append(HistoryEntry(**fields_of(row)))
            except DamagedRowError:
                self._report("read a run", "its record is damaged")
        return entries

    def _prune(self, connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM runs WHERE created < ?", [time.time() - self._max_age])
        newest = "SELECT number FROM runs ORDER BY number DESC LIMIT 1 OFFSET ?"
        connection.execute(f"DELETE FROM runs WHERE number <= ({newest})", [self._max_runs])  # noqa: S608


def _id_of(run_id: RunId, what: str = "run_id") -> str:
    """Return the id of a run, or its beginning, as a text."""
    found = run_id if isinstance(run_id, (str, UUID)) else getattr(run_id, "run_id", run_id)
    return check_text(str(found) if isinstance(found, UUID) else found, what)
