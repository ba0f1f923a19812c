"""History entries of runs that are about to be created."""

from __future__ import annotations

import pytest
from stepflow_client.history import History


def test_an_entry_is_completed(location: str) -> None:
    history = History(location)
    entry_id = history.record(None, input={"n": 1}, labels={"env": "dev"})
    assert history.search() == []
    (entry,) = history.search(labels={"env": "dev"}, confirmed=False)
    assert (entry.run_id, entry.is_confirmed, entry.input) == (entry_id, False, {"n": 1})
    history.confirm(entry_id, "run-1")
    assert history.search(confirmed=False) == []
    (entry,) = history.search(confirmed=None)
    assert (entry.run_id, entry.is_confirmed, entry.input, entry.labels) == ("run-1", True, {"n": 1}, {"env": "dev"})


def test_an_entry_without_a_run_is_removed(location: str) -> None:
    history = History(location)
    history.confirm(history.record(None), None)
    assert history.search(confirmed=None) == []


def test_another_process_completes_an_entry(location: str) -> None:
    entry_id = History(location).record(None, note="n")
    other = History(location)
    other.confirm(entry_id, "run-1")
    assert [(each.run_id, each.note) for each in other.search()] == [("run-1", "n")]


def test_a_run_recorded_by_another_process_is_unchanged(location: str) -> None:
    history = History(location)
    entry_id = history.record(None, note="ours")
    history.record("run-1", note="theirs")
    history.confirm(entry_id, "run-1")
    assert [(each.run_id, each.note) for each in history.search(confirmed=None)] == [("run-1", "theirs")]


def test_an_entry_removed_meanwhile_is_recorded(location: str) -> None:
    history = History(location)
    entry_id = history.record(None, note="n")
    history.clear()
    history.confirm(entry_id, "run-1")
    assert [(each.run_id, each.note) for each in history.search(confirmed=None)] == [("run-1", "n")]


@pytest.mark.parametrize("has_own_flow", [True, False])
def test_a_run_that_is_found_replaces_the_entry_of_its_own_flow(location: str, has_own_flow: bool) -> None:
    history = History(location)
    entry_id = history.record(None, flow_id="ab", has_own_flow=has_own_flow)
    history.record(None, flow_id="cd", has_own_flow=True)
    history.record("run-1", flow_id="ab", has_own_flow=has_own_flow)
    pending = [each.run_id for each in history.search(confirmed=False) if each.flow_id == "ab"]
    assert pending == ([] if has_own_flow else [entry_id])
    assert len(history.search(confirmed=None)) == (2 if has_own_flow else 3)
