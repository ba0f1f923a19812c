"""The order of listed runs."""

from __future__ import annotations

from datetime import UTC, datetime

from stepflow_client import ExecutionStatus, RunDetails
from stepflow_client._rules.run_search import sort_newest_first


def run(run_id: str, second: int) -> RunDetails:
    created = datetime(2026, 11, 25, second=second, tzinfo=UTC)
    return RunDetails(run_id=run_id, flow_id="f", status=ExecutionStatus.COMPLETED, created_at=created)


def test_runs_are_sorted_newest_first_and_those_of_a_second_by_id() -> None:
    runs = [run("b", 1), run("d", 0), run("c", 1), run("a", 2)]
    assert [each.run_id for each in sort_newest_first(runs)] == ["a", "c", "b", "d"]
