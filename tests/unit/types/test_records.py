"""`to_dict` of dataclasses returns all fields as JSON values."""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import pytest
from stepflow_client.history import HistoryEntry
from stepflow_client.logs import LogEntry
from stepflow_client.progress import Progress
from stepflow_client.types import ExecutionStatus, FlowError, FlowResult, RerunItem, RerunPlan, RerunResult, RunDetails
from stepflow_client.types.reruns import RunDifference
from stepflow_client.types.run_explanation import FailedChild, RunAccount, StepAccount

NOW, TEXT = datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00.000000Z"
PLAN = RerunPlan("r", {"steps": []}, (RerunItem(0, MappingProxyType({"a": [1, {"b": (2,)}]}), ("c",)),), 1)
RESULT = FlowResult(run_id="r", status=ExecutionStatus.FAILED, error=FlowError(message="m"))
OBJECTS: list[tuple[Any, dict[str, Any]]] = [
    (Progress("r", running_steps=("a",)), {"run_id": "r", "status": "running", "running_steps": ["a"], "steps": None}),
    (LogEntry(NOW, "info", "m", fields={"a": 1}), {"timestamp": TEXT, "level": "info", "message": "m", "line": None}),
    (HistoryEntry("r", NOW, kept=("a",), input=[{"n": 1}]), {"created_at": TEXT, "kept": ["a"], "input": [{"n": 1}]}),
    (PLAN, {"items": [{"index": 0, "kept": {"a": [1, {"b": [2]}]}, "executed": ["c"]}], "flow": {"steps": []}}),
    (RerunResult(PLAN, [RESULT]), {"plan": PLAN.to_dict(), "results": [RESULT.to_dict()]}),
    (RunDifference("$", "added", None, {"n": 1}), {"path": "$", "kind": "added", "b": {"n": 1}, "item_index": None}),
    (
        RunDetails(
            run_id="r", flow_id="f", status=RESULT.status, created_at=NOW, completed_at=NOW + timedelta(seconds=2)
        ),
        {"created_at": TEXT, "duration": 2.0, "failed_in_sub_runs": None},
    ),
    (
        RunAccount(
            "r", 0, RESULT.status, "step", "a", RESULT.error, steps=[StepAccount("b", "not_run", because_of="a")]
        ),
        {"text": "step 'a' failed: m", "not_run": {"b": "a"}, "may_be_executing": []},
    ),
    (
        StepAccount("a", "failed", status=ExecutionStatus.FAILED, failed_children=[FailedChild(1, "m")]),
        {"status": "failed", "failed_children": [{"index": 1, "message": "m", "step_id": None}]},
    ),
]


@pytest.mark.parametrize(("value", "expected"), OBJECTS, ids=lambda each: type(each).__name__)
def test_to_dict(value: Any, expected: dict[str, Any]) -> None:
    record = value.to_dict()
    assert list(record) == [each.name for each in fields(value)] + list(value._derived)
    assert {name: record[name] for name in expected} == expected
    assert json.loads(json.dumps(record)) == record
