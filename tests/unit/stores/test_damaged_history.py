"""A damaged history: no foreign exception, no wrong entry, and the other entries are there. Earlier files work."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from stepflow_client import StepflowClientError
from stepflow_client._codec import responses
from stepflow_client._runs.kept_steps import recorded_of
from stepflow_client._stores.history_rows import ADDED, COLUMNS
from stepflow_client.history import History, HistoryEntry

ROWS = 12
FLOW = {"name": "f", "steps": [{"id": "a", "component": "/x", "input": {"$input": "n"}}], "output": {"$step": "a"}}
ODD_VALUES: tuple[Any, ...] = (
    None, 0, 1, -1, 2**62, -(2**62), 0.5, 1e300, float("inf"), b"", b"\xff\xfe", b"{}", "", "no JSON", "{", "[]",
    "{}", "5", "null", "[1]", '["a"]', '{"a": 1}', '{"a": "b"}', "[" * 100_000, "9" * 5_000, "completed", "1e999",
)  # fmt: skip
COLUMN_NAMES = COLUMNS.split(", ")
EARLIER = [name for name in COLUMN_NAMES if name not in ADDED]


def filled(path: Path) -> dict[str, HistoryEntry]:
    """Fill a history and return its entries by id."""
    history = History(path)
    for number in range(ROWS):
        history.record(
            f"01a2-{number}",
            server="http://localhost:7837",
            flow=FLOW,
            flow_id="ab" * 16,
            flow_file="/flows/f.yaml" if number % 2 else None,
            input={"n": number, "text": "wörd " * (number * 40)},
            variables={"city": "Rome"},
            overrides={"a": {"value": {"input": {"n": 5}}}} if number % 3 else None,
            labels={"env": "dev"},
            note="a note",
            rerun_of="01a2-0" if number % 4 else None,
            kept=["a"] if number % 4 else [],
            rerun_items=[0, 3] if number % 4 else [],
        )
        history.update(f"01a2-{number}", status="completed")
    history.close()
    return {entry.run_id: entry for entry in History(path).search(limit=100)}


def read(history: History) -> list[HistoryEntry]:
    """Return what every way to read gives, without the errors that are ours."""
    calls: list[Callable[[], list[HistoryEntry | None]]] = [
        lambda: [*history.search(limit=100)],
        lambda: [*history.search("note", labels={"env": "dev"}, status="completed", run_id="01a2")],
        *(partial(lambda number: [history.get(f"01a2-{number}")], number) for number in range(ROWS)),
        lambda: [*history.search(limit=1, offset=3)],
    ]
    found: list[HistoryEntry] = []
    for call in calls:
        try:
            found += [entry for entry in call() if entry is not None]
        except StepflowClientError:
            continue
    return found


def use(entry: HistoryEntry) -> None:
    """Use an entry as the client does."""
    responses.arguments(entry.run_id, {}, entry)
    with suppress(StepflowClientError):
        recorded_of(entry, FLOW)


MANY = pytest.param(10, marks=[pytest.mark.exhaustive, pytest.mark.timeout(900)])
"""2,000 damages in all."""


@pytest.mark.parametrize("times", [1, MANY])
def test_random_damage_of_the_file(tmp_path: Path, times: int) -> None:
    path = tmp_path / "history.db"
    entries = filled(path)
    assert len(entries) == ROWS
    whole, source = path.read_bytes(), random.Random(times)
    unreadable = 0
    for number in range(100 * times):
        damaged = bytearray(whole)
        for _ in range(source.choice([1, 1, 2, 16])):
            first = source.randrange(len(damaged))
            damaged[first : first + source.choice([1, 1, 8])] = source.randbytes(1)
        if number % 10 == 0:
            del damaged[source.randrange(len(damaged)) :]
        for each in tmp_path.iterdir():
            each.unlink()
        path.write_bytes(damaged)
        history = History(path, on_failure=lambda sentence: None)
        found = read(history)
        unreadable += not found
        for entry in found:
            was = entries[entry.run_id]
            assert replace(entry, status=was.status) == was, number
            assert entry.status in (was.status, None), number
        history.record("after", note="x")
        history.update("01a2-1", status="failed")
        history.close()
    assert unreadable < 50 * times, "most damage costs some entries, not all"


@pytest.mark.parametrize("version", ["this", "earlier"])
@pytest.mark.parametrize("times", [1, MANY])
def test_odd_values_in_rows(tmp_path: Path, version: str, times: int) -> None:
    path = tmp_path / "history.db"
    entries = filled(path)
    whole, source = path.read_bytes(), random.Random(times)
    for number in range(50 * times):
        path.write_bytes(whole)
        run_id = f"01a2-{number % ROWS}"
        column, value = source.choice(COLUMN_NAMES[1:]), source.choice(ODD_VALUES)
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute(f"UPDATE runs SET {column} = ? WHERE run_id = ?", [value, run_id])
            if version == "earlier":
                connection.execute(f"UPDATE runs SET {', '.join(f'{each} = NULL' for each in ADDED)}")
        history = History(path, on_failure=lambda sentence: None)
        found = read(history)
        assert len({entry.run_id for entry in found}) >= ROWS - 1, (column, value)
        for entry in found:
            use(entry)
            was = entries[entry.run_id]
            if version == "earlier":
                was = replace(was, rerun_of=None, kept=(), rerun_items=())
            if version == "this" or entry.run_id != run_id:
                assert replace(entry, status=was.status) == was, (column, value)
            assert entry.status in (was.status, None), (column, value)
        history.close()


def test_a_damaged_row_is_left_out_and_reported_once(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    filled(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE runs SET note = CAST(x'ff' AS TEXT) WHERE run_id = '01a2-10'")
    said: list[str] = []
    history = History(path, on_failure=said.append)
    assert [entry.run_id for entry in history.search(limit=3)] == ["01a2-11", "01a2-9"]
    assert history.get("01a2-10") is None
    assert [len(history.search(limit=1, offset=offset)) for offset in range(3)] == [1, 0, 1], "places do not move"
    assert said == [f"the history cannot read a run in {path}: its record is damaged"]


def test_a_file_of_an_earlier_version_is_used_by_both(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    columns = ", ".join(EARLIER).replace("run_id,", "run_id TEXT NOT NULL UNIQUE,")
    row = ["1", 5.0, None, "ab", None, None, '{"env": "dev"}', "n", "[]", '{"name": "f"}', '{"n": 1}', None, None]
    marks = ", ".join("?" * len(EARLIER))
    insert = f"INSERT OR REPLACE INTO runs ({', '.join(EARLIER)}) VALUES ({marks})"
    select = f"SELECT {', '.join(EARLIER)} FROM runs ORDER BY number"
    with closing(sqlite3.connect(path, isolation_level=None)) as earlier:
        earlier.execute(f"CREATE TABLE runs (number INTEGER PRIMARY KEY AUTOINCREMENT, {columns})")
        earlier.execute(insert, row)
        history = History(path)
        (entry,) = history.search(labels={"env": "dev"})
        assert (entry.input, entry.note, entry.rerun_of, entry.kept, entry.has_more_runs) == (
            {"n": 1},
            "n",
            None,
            (),
            False,
        )
        history.record("2", rerun_of="1", kept=["a"], rerun_items=[0])
        # The earlier version goes on writing, and reading.
        earlier.execute(insert, ["3", *row[1:]])
        earlier.execute(insert, ["2", *row[1:]])
        assert [each[0] for each in earlier.execute(select)] == ["1", "3", "2"]
        assert [each.run_id for each in history.search()] == ["2", "3", "1"]
        again = history.get("2")
        assert again is not None
        assert (again.rerun_of, again.input) == (None, {"n": 1})
        history.record("4", rerun_of="1", kept=["a"], rerun_items=[0])
        found = history.get("4")
        assert found is not None
        assert (found.rerun_of, found.kept, found.rerun_items) == ("1", ("a",), (0,))
        assert History(path).search("1")[0].run_id == "4", "a rerun is found by the run that it comes from"
