"""A damaged history raises only client errors, returns no wrong entries and keeps the intact ones."""

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
from stepflow_client._calls.rerun_plan import read_recorded_arguments
from stepflow_client._codec import responses
from stepflow_client.history import _COLUMNS, History, HistoryEntry

ROWS = 12
FLOW = {"name": "f", "steps": [{"id": "a", "component": "/x", "input": {"$input": "n"}}], "output": {"$step": "a"}}
ODD_VALUES: tuple[Any, ...] = (
    None, 0, 1, -1, 2**62, -(2**62), 0.5, 1e300, float("inf"), b"", b"\xff\xfe", b"{}", "", "no JSON", "{", "[]",
    "{}", "5", "null", "[1]", '["a"]', '{"a": 1}', '{"a": "b"}', "[" * 100_000, "9" * 5_000, "completed", "1e999",
)  # fmt: skip
COLUMN_NAMES = _COLUMNS.split(", ")


def fill(path: Path) -> dict[str, HistoryEntry]:
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
    """Read the history in every way, ignoring client errors."""
    calls: list[Callable[[], list[HistoryEntry | None]]] = [
        lambda: [*history.search(limit=100)],
        lambda: [*history.search("note", labels={"env": "dev"}, status="completed", run_id="01a2")],
        *(partial(lambda number: [history.get(f"01a2-{number}")], number) for number in range(ROWS)),
        lambda: [*history.search(limit=1, offset=3)],
    ]
    entries: list[HistoryEntry] = []
    for call in calls:
        try:
            entries += [entry for entry in call() if entry is not None]
        except StepflowClientError:
            continue
    return entries


def use(entry: HistoryEntry) -> None:
    """Use an entry as the client does."""
    responses.merge_run_arguments(entry.run_id, {}, entry)
    with suppress(StepflowClientError):
        read_recorded_arguments(entry, FLOW)


MANY = pytest.param(4, marks=[pytest.mark.exhaustive, pytest.mark.timeout(900)])


@pytest.mark.parametrize("times", [1, MANY])
def test_random_damage_of_the_file(tmp_path: Path, times: int) -> None:
    path = tmp_path / "history.db"
    entries = fill(path)
    assert len(entries) == ROWS
    whole, rng = path.read_bytes(), random.Random(times)
    unreadable = 0
    for number in range(100 * times):
        damaged = bytearray(whole)
        for _ in range(rng.choice([1, 1, 2, 16])):
            first = rng.randrange(len(damaged))
            damaged[first : first + rng.choice([1, 1, 8])] = rng.randbytes(1)
        if number % 10 == 0:
            del damaged[rng.randrange(len(damaged)) :]
        for each in tmp_path.iterdir():
            each.unlink()
        path.write_bytes(damaged)
        history = History(path, on_failure=lambda sentence: None)
        read_entries = read(history)
        unreadable += not read_entries
        for entry in read_entries:
            original = entries[entry.run_id]
            assert replace(entry, status=original.status) == original, number
            assert entry.status in (original.status, None), number
        history.record("after", note="x")
        history.update("01a2-1", status="failed")
        history.close()
    assert unreadable < 50 * times, "most damage costs some entries, not all"


@pytest.mark.parametrize("times", [1, MANY])
def test_odd_values_in_rows(tmp_path: Path, times: int) -> None:
    path = tmp_path / "history.db"
    entries = fill(path)
    whole, rng = path.read_bytes(), random.Random(times)
    for number in range(50 * times):
        path.write_bytes(whole)
        run_id = f"01a2-{number % ROWS}"
        column, value = rng.choice(COLUMN_NAMES[1:]), rng.choice(ODD_VALUES)
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute(f"UPDATE runs SET {column} = ? WHERE run_id = ?", [value, run_id])
        history = History(path, on_failure=lambda sentence: None)
        read_entries = read(history)
        assert len({entry.run_id for entry in read_entries}) >= ROWS - 1, (column, value)
        for entry in read_entries:
            use(entry)
            original = entries[entry.run_id]
            assert replace(entry, status=original.status) == original, (column, value)
            assert entry.status in (original.status, None), (column, value)
        history.close()


def test_a_damaged_row_is_left_out_and_reported_once(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    fill(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE runs SET note = CAST(x'ff' AS TEXT) WHERE run_id = '01a2-10'")
    warnings: list[str] = []
    history = History(path, on_failure=warnings.append)
    assert [entry.run_id for entry in history.search(limit=3)] == ["01a2-11", "01a2-9"]
    assert history.get("01a2-10") is None
    assert [len(history.search(limit=1, offset=offset)) for offset in range(3)] == [1, 0, 1], "places do not move"
    assert warnings == [f"the history cannot read a run in {path}: its record is damaged"]
