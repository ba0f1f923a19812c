"""Damaged journals and result caches: bytes of the file, or values, types and rows of its tables.

A damaged file may cause runs to be repeated, or end the batch with a client error. It never yields a wrong outcome,
and a damaged cache never makes a run fail.
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
from stepflow_client._stores.batch_journal import Journal
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


def _price(value: dict[str, Any]) -> dict[str, Any]:
    if value["size"] % 5 == 4:
        raise ValueError(f"no price for {value['id']}")
    return {"eur": value["size"] * 100, "text": value["id"] * 20}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> FakeServer:
    set_timings(monkeypatch, orphan_arrival_delay=0.0)
    return fake_server({"/shop/price": _price})


def _comparable(outcomes: list[Outcome]) -> list[Any]:
    """Return the parts of outcomes that do not depend on the run."""
    return [(each.index, each.key, each.status, each.output, each.error) for each in outcomes]


def _damage_bytes(path: Path, rng: random.Random) -> str:
    data = bytearray(path.read_bytes())
    kind = rng.choice(("bytes", "bytes", "bytes", "zeros", "cut", "moved"))
    begin = rng.randrange(len(data)) if rng.random() < 0.7 else rng.randrange(200)
    if kind == "bytes":
        for _ in range(rng.randint(1, 8)):
            data[begin] = rng.randrange(256)
            begin = min(len(data) - 1, begin + rng.randint(1, 64))
    elif kind == "zeros":
        size = min(rng.choice((4, 64, 512, 4096)), len(data) - begin)
        data[begin : begin + size] = bytes(size)
    elif kind == "cut":
        del data[begin:]
    else:
        other, size = rng.randrange(len(data)), rng.choice((8, 100, 1000))
        part = data[other : other + size]
        data[begin : begin + len(part)] = part
    path.write_bytes(data)
    return kind


def _damage_rows(path: Path, rng: random.Random, table: str) -> str:
    """Change one value or its type, copy a value from another row, or delete a row."""
    with sqlite3.connect(path, isolation_level=None) as file:
        file.execute("PRAGMA writable_schema = ON")
        file.execute("PRAGMA ignore_check_constraints = ON")
        columns = [row[1] for row in file.execute(f"PRAGMA table_info({table})")]
        rows = file.execute(f"SELECT * FROM {table}").fetchall()
        row, other = rng.choice(rows), rng.choice(rows)
        position, kind = rng.randrange(len(columns)), rng.choice(("value", "value", "near", "swap", "delete"))
        value: Any = rng.choice(VALUES)
        if kind == "near":
            value = row[position]
            if isinstance(value, (int, float)):
                value += rng.choice((-1, 1, 1000))
            else:
                at = rng.randrange(len(value) or 1)
                value = value[:at] + value[at + 1 :] if rng.random() < 0.5 else value[:at] + value[at:][::-1]
        elif kind == "swap":
            value = other[position]
        key = " AND ".join(f"{name} IS ?" for name in columns)
        statement = (
            f"DELETE FROM {table}" if kind == "delete" else f"UPDATE OR REPLACE {table} SET {columns[position]} = ?"
        )
        try:
            file.execute(f"{statement} WHERE {key}", [*([] if kind == "delete" else [value]), *row])
        except sqlite3.Error:
            kind = "refused"  # by SQLite: NULL in a NOT NULL column
    file.close()
    return kind


def _iter_damages(path: Path, count: int, table: str) -> Iterator[tuple[int, str]]:
    """Damage a file in many ways, each time from its intact state; yield the seed and the kind of damage."""
    whole = path.with_suffix(".whole")
    shutil.copy(path, whole)
    for seed in range(count):
        for each in path.parent.glob(f"{path.name}*"):
            each.unlink()
        shutil.copy(whole, path)
        rng = random.Random(seed)
        yield seed, _damage_bytes(path, rng) if seed % 2 else _damage_rows(path, rng, table)


def _checkpoint(path: Path) -> None:
    """Merge SQLite's write-ahead log into the file."""
    with sqlite3.connect(path) as file:
        file.execute("PRAGMA journal_mode = DELETE")
    file.close()


def _write_interrupted_journal(server: FakeServer, path: Path) -> list[Any]:
    """Write the journal of an interrupted batch, two of whose chunks have not ended; return the expected outcomes."""
    with server.sync_client() as client:
        outcomes = list(client.map(FLOW, INPUTS, chunk_size=3, ordered=True, journal=path))
    with sqlite3.connect(path) as file:
        file.execute("DELETE FROM entry WHERE kind = 'ended' AND number IN (5, 6)")
        file.execute("DELETE FROM entry WHERE kind = 'complete' OR (kind = 'created' AND number = 6)")
    file.close()
    _checkpoint(path)
    return _comparable(outcomes)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("count", [40, pytest.param(150, marks=pytest.mark.exhaustive)])
def test_a_damaged_journal_yields_the_expected_outcomes_or_a_client_error(
    server: FakeServer, tmp_path: Path, count: int
) -> None:
    path = tmp_path / "batch.journal"
    expected = _write_interrupted_journal(server, path)
    ends: Counter[str] = Counter()
    with server.sync_client() as client:
        for seed, kind in _iter_damages(path, count, "entry"):
            outcomes: list[Outcome] = []
            try:
                for outcome in client.map(FLOW, INPUTS, chunk_size=3, ordered=True, journal=path):
                    outcomes.append(outcome)
                ends["true outcomes"] += 1
                assert len(outcomes) == len(expected), (seed, kind)
            except StepflowClientError as error:
                ends[type(error).__name__] += 1
            assert _comparable(outcomes) == expected[: len(outcomes)], (seed, kind)
    assert set(ends) == {"true outcomes", "JournalError"}, ends
    assert ends["JournalError"] > count / 4, ends


def test_a_change_of_any_journal_entry_is_detected(server: FakeServer, tmp_path: Path) -> None:
    path = tmp_path / "batch.journal"
    _write_interrupted_journal(server, path)
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
    expected = _write_interrupted_journal(server, path)
    whole = path.read_bytes()

    def assert_refused(change: Callable[[Journal], object]) -> None:
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

    assert_refused(lambda journal: journal.record_outcomes(1, outcomes_of(journal, 1)[:2]))
    assert_refused(lambda journal: journal.record_outcomes(1, outcomes_of(journal, 2)))
    assert_refused(lambda journal: journal.record_outcomes(1, []))
    assert_refused(lambda journal: journal.record_outcomes(1, list(reversed(outcomes_of(journal, 1)))))
    assert_refused(lambda journal: journal._write_entry("ended", {"0": 1}, 1))
    assert_refused(lambda journal: journal._write_entry("ended", [[3, None, "run", "done", 1, None]], 1))
    assert_refused(lambda journal: journal._write_entry("begun", {"first": 3}, 1))
    assert_refused(
        lambda journal: journal._write_entry("begun", {"first": 4, "tag": "t", "count": 3, "digest": "d"}, 1)
    )
    assert_refused(lambda journal: journal._write_entry("batch", ["tag"]))
    assert_refused(lambda journal: journal._write_entry("since", "yesterday"))
    assert_refused(lambda journal: journal._write_entry("first", 5))
    assert_refused(lambda journal: journal._write_entry("created", "zzz", 2))
    assert_refused(lambda journal: journal._write_entry("created", None, 2))
    with server.sync_client() as client:
        assert _comparable(list(client.map(FLOW, INPUTS, chunk_size=3, ordered=True, journal=path))) == expected


@pytest.mark.parametrize("path", [5, b"name", "a\0b", "\ud800", ":memory:", ["name"]])
def test_invalid_paths_are_rejected(server: FakeServer, path: Any) -> None:
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
def test_a_damaged_cache_returns_the_stored_result_or_none(tmp_path: Path, count: int) -> None:
    """The cache raises no exceptions and returns only results that were stored."""
    path = tmp_path / "results.db"
    stored = {f"{number:064x}": {"price": number * 1000, "text": "as it was " * number} for number in range(20)}
    whole = ResultCache(path, max_age=1e6, max_bytes=2**20)
    for key, output in stored.items():
        whole._store_result(key, f"run {key}", output)
    whole.close()
    _checkpoint(path)
    ends: Counter[str] = Counter()
    for seed, kind in _iter_damages(path, count, "results"):
        warnings: list[str] = []
        cache = ResultCache(path, max_age=1e6, max_bytes=2**20, on_failure=warnings.append)
        for key, output in stored.items():
            cached = cache._find_result(key)
            ends["none" if cached is None else "true"] += 1
            assert cached is None or (cached.output, cached.run_id) == (output, f"run {key}"), (seed, kind)
        cache._store_result("0" * 64, "new", [])
        cached = cache._find_result("0" * 64)
        assert cached is None or (cached.output, cached.run_id) in (([], "new"), (stored["0" * 64], f"run {'0' * 64}"))
        assert len(warnings) <= 1
        cache.close()
    assert min(ends.values()) > count, ends


def test_runs_with_a_damaged_cache_succeed(
    server: FakeServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "results.db"
    value = {"id": "tea", "size": 3}
    with server.sync_client() as client:
        client.run(FLOW, value, cache=ResultCache(path))
        _checkpoint(path)
        for seed, kind in _iter_damages(path, 200, "results"):
            caplog.clear()
            with caplog.at_level(logging.WARNING, "stepflow.client"):
                assert client.run(FLOW, value, cache=ResultCache(path)).output == _price(value), (seed, kind)
            assert len(caplog.records) <= 1
