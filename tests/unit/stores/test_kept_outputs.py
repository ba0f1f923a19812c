"""Step outputs that a history keeps for runs whose server is gone."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from stepflow_client.history import History

RUN = "01a21e7d-134a-7753-8c75-70fbce36b{:03}"


def test_the_outputs_of_the_newest_runs_are_kept(location: str) -> None:
    history = History(location)
    assert history.kept_outputs(RUN.format(0)) is None
    for number in range(23):
        history.record(RUN.format(number))
        history.keep_outputs(RUN.format(number), [{"a": number}, {}], server="one")
    assert [history.kept_outputs(RUN.format(number)) for number in (0, 2, 3, 22)] == [
        None,
        None,
        [{"a": 3}, {}],
        [{"a": 22}, {}],
    ]
    assert history.kept_outputs(RUN.format(22), server="one") == [{"a": 22}, {}]
    assert history.kept_outputs(RUN.format(22), server="other") is None
    history.clear()
    assert history.kept_outputs(RUN.format(22)) is None


def test_large_outputs_are_not_kept_and_damaged_ones_not_returned(tmp_path: Path) -> None:
    history = History(tmp_path / "history.db")
    history.keep_outputs(RUN.format(1), [{"a": "x" * 5_000_001}])
    history.keep_outputs(RUN.format(2), [{"a": 1}])
    assert history.kept_outputs(RUN.format(1)) is None
    for content in (b"[1]", b"{", b"null", b"[" * 100_000, b'[{"a": "\xff"}]'):
        with sqlite3.connect(tmp_path / "history.db") as connection:
            connection.execute("UPDATE outputs SET content = CAST(? AS TEXT)", [content])
        assert history.kept_outputs(RUN.format(2)) is None
    with sqlite3.connect(tmp_path / "history.db") as connection:
        connection.execute("UPDATE outputs SET content = ?", [b"[]"])
    assert history.kept_outputs(RUN.format(2)) is None
