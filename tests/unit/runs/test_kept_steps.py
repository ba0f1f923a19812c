"""The recorded arguments that a rerun uses if steps were removed from the flow."""

from __future__ import annotations

from datetime import UTC, datetime

from stepflow_client._calls.rerun_plan import needs_input, read_recorded_arguments
from stepflow_client.types.reruns import RerunItem
from stepflow_client.types.runs import HistoryEntry

FLOW = {"steps": [{"id": "a", "component": "/x", "input": {"$input": "$"}}], "output": {"$step": "a"}}


def test_overrides_of_removed_steps_are_dropped() -> None:
    entry = HistoryEntry(
        run_id="r", created_at=datetime.now(UTC), overrides={"a": {"input": 1}, "removed": {"input": 2}}
    )
    assert read_recorded_arguments(entry, FLOW).overrides == {"a": {"value": {"input": 1}}}


def test_the_input_is_needed_if_an_executed_step_of_the_flow_reads_it() -> None:
    assert needs_input(FLOW, [RerunItem(0, {}, ["a", "removed"])])
    assert not needs_input(FLOW, [RerunItem(0, {"a": 1}, ["removed"])])
