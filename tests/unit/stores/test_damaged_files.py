"""Journals and result caches that are damaged: bytes of the file, or values, types and rows of its tables.

A damaged file may cost runs that are made again, or end the batch with an error of the client. It never yields an
outcome that differs from the true one, and a damaged cache never makes a run fail.
"""

from __future__ import annotations

import logging
import random
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from stepflow_client import InvalidArgumentError, JournalError, Outcome, ResultCache, StepflowClientError
from stepflow_client._stores.journal import Journal
from stepflow_client.history import History
from stepflow_client.testing import FakeServer, fake_server

from tests.timings import set_timings

FLOW = {
    "name": "priced",
    "steps": [{"id": "price", "component": "/shop/price", "input": {"$input": "$"}}],
    "output": {"$step": "price"},
}
INPUTS = [{"id": f"item-{number}", "size": number} for number in range(24)]
VALUES = (None, "", "x", "é\0", 0, -1, 7, 2**62, 0.5, float("inf"), -1e308, b"", b"\x00\xff", b"[]", "9" * 400)


def _price(given: dict[str, Any]) -> dict[str, Any]:
    if given["size"] % 5 == 4:
        raise ValueError(f"no price for {given['id']}")
    return {"eur": given["size"] * 100, "text": given["id"] * 20}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> FakeServer:
    set_timings(monkeypatch, orphan_arrival_delay=0.0)
    return fake_server({"/shop/price": _price})


def _seen(outcomes: list[Outcome]) -> list[Any]:
    """Return what is true of outcomes whatever run they come from."""
    return [(each.index, each.key, each.status, each.output, each.error) for each in outcomes]


def _damaged_bytes(path: Path, dice: random.Random) -> str:
    data = bytearray(path.read_bytes())
    kind = dice.choice(("bytes", "bytes", "bytes", "zeros", "cut", "moved"))
    begin = dice.randrange(len(data)) if dice.random() < 0.7 else dice.randrange(200)
    if kind == "bytes":
        for _ in range(dice.randint(1, 8)):
            data[begin] = dice.randrange(256)
            begin = min(len(data) - 1, begin + dice.randint(1, 64))
    elif kind == "zeros":
        size = min(dice.choice((4, 64, 512, 4096)), len(data) - begin)
        data[begin : begin + size] = bytes(size)
    elif kind == "cut":
        del data[begin:]
    else:
        other, size = dice.randrange(len(data)), dice.choice((8, 100, 1000))
        part = data[other : other + size]
        data[begin : begin + len(part)] = part
    path.write_bytes(data)
    return kind


def _damaged_rows(path: Path, dice: random.Random, table: str) -> str:
    """Change one value, of whatever type, or remove, repeat or swap values of rows."""
    with sqlite3.connect(path, isolation_level=None) as file:
        file.execute("PRAGMA writable_schema = ON")
        file.execute("PRAGMA ignore_check_constraints = ON")
        columns = [row[1] for row in file.execute(f"PRAGMA table_info({table})")]
        rows = file.execute(f"SELECT * FROM {table}").fetchall()
        row, other = dice.choice(rows), dice.choice(rows)
        place, kind = dice.randrange(len(columns)), dice.choice(("value", "value", "near", "swap", "delete"))
        value: Any = dice.choice(VALUES)
        if kind == "near":
            value = row[place]
            if isinstance(value, (int, float)):
                value += dice.choice((-1, 1, 1000))
            else:
                at = dice.randrange(len(value) or 1)
                value = value[:at] + value[at + 1 :] if dice.random() < 0.5 else value[:at] + value[at:][::-1]
        elif kind == "swap":
            value = other[place]
        key = " AND ".join(f"{name} IS ?" for name in columns)
        what = f"DELETE FROM {table}" if kind == "delete" else f"UPDATE OR REPLACE {table} SET {columns[place]} = ?"
        try:
            file.execute(f"{what} WHERE {key}", [*([] if kind == "delete" else [value]), *row])
        except sqlite3.Error:
            kind = "refused"  # by SQLite: NULL in a column that holds none
    file.close()
    return kind


def _damages(path: Path, count: int, table: str) -> Iterator[tuple[int, str]]:
    """Damage a file in many ways, each time from the undamaged state, and yield the seed and the kind of the damage."""
    whole = path.with_suffix(".whole")
    shutil.copy(path, whole)
    for seed in range(count):
        for each in path.parent.glob(f"{path.name}*"):
            each.unlink()
        shutil.copy(whole, path)
        dice = random.Random(seed)
        yield seed, _damaged_bytes(path, dice) if seed % 2 else _damaged_rows(path, dice, table)


def _merged(path: Path) -> None:
    """Move what SQLite keeps beside the file into the file."""
    with sqlite3.connect(path) as file:
        file.execute("PRAGMA journal_mode = DELETE")
    file.close()


def _journal(server: FakeServer, path: Path) -> list[Any]:
    """Make the journal of a batch that was interrupted: two of its chunks have not ended. Return the true outcomes."""
    with server.sync_client() as client:
        true = list(client.map(FLOW, INPUTS, chunk_size=3, ordered=True, journal=path))
    with sqlite3.connect(path) as file:
        file.execute("DELETE FROM entry WHERE kind = 'ended' AND number IN (5, 6)")
        file.execute("DELETE FROM entry WHERE kind = 'complete' OR (kind = 'created' AND number = 6)")
    file.close()
    _merged(path)
    return _seen(true)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("count", [40, pytest.param(150, marks=pytest.mark.exhaustive)])
def test_a_damaged_journal_gives_the_true_outcomes_or_an_error_of_the_client(
    server: FakeServer, tmp_path: Path, count: int
) -> None:
    path = tmp_path / "batch.journal"
    true = _journal(server, path)
    ends: Counter[str] = Counter()
    with server.sync_client() as client:
        for seed, kind in _damages(path, count, "entry"):
            found: list[Outcome] = []
            try:
                for outcome in client.map(FLOW, INPUTS, chunk_size=3, ordered=True, journal=path):
                    found.append(outcome)
                ends["true outcomes"] += 1
                assert len(found) == len(true), (seed, kind)
            except StepflowClientError as error:
                ends[type(error).__name__] += 1
            assert _seen(found) == true[: len(found)], (seed, kind)
    assert set(ends) == {"true outcomes", "JournalError"}, ends
    assert ends["JournalError"] > count / 4, ends


def test_every_entry_of_a_journal_is_sealed(server: FakeServer, tmp_path: Path) -> None:
    path = tmp_path / "batch.journal"
    _journal(server, path)
    with sqlite3.connect(path) as file:
        entries = file.execute("SELECT kind, number, content, digest FROM entry").fetchall()
    file.close()
    whole = path.read_bytes()
    for kind, number, content, _ in entries:
        other = next(each for each in entries if each[0] == kind and each[2] != content) if number else entries[0]
        for changed in (content[:-1], b"", other[2], content.hex(), 5):
            with sqlite3.connect(path) as file:
                file.execute("UPDATE entry SET content = ? WHERE kind = ? AND number = ?", (changed, kind, number))
            file.close()
            if changed == content:
                continue
            with server.sync_client() as client, pytest.raises(JournalError, match="not a usable journal"):
                list(client.map(FLOW, INPUTS, chunk_size=3, journal=path))
            path.write_bytes(whole)


def test_a_journal_whose_entries_contradict_each_other_is_refused(server: FakeServer, tmp_path: Path) -> None:
    path = tmp_path / "batch.journal"
    true = _journal(server, path)
    whole = path.read_bytes()

    def refused(change: Callable[[Journal], object]) -> None:
        journal = Journal(path)
        change(journal)
        journal.close()
        with server.sync_client() as client, pytest.raises(JournalError, match="not a usable journal"):
            list(client.map(FLOW, INPUTS, chunk_size=3, journal=path))
        path.write_bytes(whole)

    def outcomes_of(journal: Journal, number: int) -> list[Outcome]:
        chunk = journal.find_chunk(number, 3 * number)
        assert chunk is not None
        assert chunk.outcomes is not None
        return chunk.outcomes

    refused(lambda journal: journal.record_outcomes(1, outcomes_of(journal, 1)[:2]))
    refused(lambda journal: journal.record_outcomes(1, outcomes_of(journal, 2)))
    refused(lambda journal: journal.record_outcomes(1, []))
    refused(lambda journal: journal.record_outcomes(1, list(reversed(outcomes_of(journal, 1)))))
    refused(lambda journal: journal._write_entry("ended", {"0": 1}, 1))
    refused(lambda journal: journal._write_entry("ended", [[3, None, "run", "done", 1, None]], 1))
    refused(lambda journal: journal._write_entry("begun", {"first": 3}, 1))
    refused(lambda journal: journal._write_entry("begun", {"first": 4, "tag": "t", "count": 3, "digest": "d"}, 1))
    refused(lambda journal: journal._write_entry("batch", ["tag"]))
    refused(lambda journal: journal._write_entry("since", "yesterday"))
    refused(lambda journal: journal._write_entry("first", 5))
    refused(lambda journal: journal._write_entry("created", "zzz", 2))
    refused(lambda journal: journal._write_entry("created", None, 2))
    with server.sync_client() as client:
        assert _seen(list(client.map(FLOW, INPUTS, chunk_size=3, ordered=True, journal=path))) == true


@pytest.mark.parametrize("path", [5, b"name", "a\0b", "\ud800", ":memory:", ["name"]])
def test_what_is_no_path_is_refused(server: FakeServer, path: Any) -> None:
    with (
        server.sync_client() as client,
        pytest.raises(InvalidArgumentError, match="journal must be the path of a file"),
    ):
        list(client.map(FLOW, INPUTS, journal=path))
    with pytest.raises(InvalidArgumentError, match="path must be the path of a file"):
        ResultCache(path)
    with pytest.raises(InvalidArgumentError, match="path must be the path of a file"):
        History(path)


def test_a_database_of_another_program_is_neither_used_nor_changed(server: FakeServer, tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as file:
        file.execute("CREATE TABLE accounts (name TEXT)")
    file.close()
    with server.sync_client() as client, pytest.raises(JournalError, match="a different kind of database"):
        list(client.map(FLOW, INPUTS, journal=path))
    with sqlite3.connect(path) as file:
        assert file.execute("SELECT name FROM sqlite_schema").fetchall() == [("accounts",)]
    file.close()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("count", [40, pytest.param(150, marks=pytest.mark.exhaustive)])
def test_a_damaged_cache_gives_the_true_result_or_none(tmp_path: Path, count: int) -> None:
    """No exception leaves the cache, and what it finds is what was stored."""
    path = tmp_path / "results.db"
    stored = {f"{number:064x}": {"price": number * 1000, "text": "as it was " * number} for number in range(20)}
    whole = ResultCache(path, max_age=1e6, max_bytes=2**20)
    for key, output in stored.items():
        whole._store_result(key, f"run {key}", output)
    whole.close()
    _merged(path)
    ends: Counter[str] = Counter()
    for seed, kind in _damages(path, count, "results"):
        warnings: list[str] = []
        cache = ResultCache(path, max_age=1e6, max_bytes=2**20, on_failure=warnings.append)
        for key, output in stored.items():
            found = cache._find_result(key)
            ends["none" if found is None else "true"] += 1
            assert found is None or (found.output, found.run_id) == (output, f"run {key}"), (seed, kind)
        cache._store_result("0" * 64, "new", [])
        found = cache._find_result("0" * 64)
        assert found is None or (found.output, found.run_id) in (([], "new"), (stored["0" * 64], f"run {'0' * 64}"))
        assert len(warnings) <= 1
        cache.close()
    assert min(ends.values()) > count, ends


def test_runs_with_a_damaged_cache_succeed(
    server: FakeServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "results.db"
    given = {"id": "tea", "size": 3}
    with server.sync_client() as client:
        client.run(FLOW, given, cache=ResultCache(path))
        _merged(path)
        for seed, kind in _damages(path, 200, "results"):
            caplog.clear()
            with caplog.at_level(logging.WARNING, "stepflow.client"):
                assert client.run(FLOW, given, cache=ResultCache(path)).output == _price(given), (seed, kind)
            assert len(caplog.records) <= 1
