"""Objects as dicts: `to_dict` of dataclasses returns all fields, and nothing but plain data."""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import pytest
from stepflow_client.history import HistoryEntry
from stepflow_client.logs import LogEntry
from stepflow_client.progress import Progress
from stepflow_client.types import ExecutionStatus, FlowError, FlowResult, RerunItem, RerunPlan, RerunResult
from stepflow_client.types.account import FailedChild, StepAccount
from stepflow_client.types.comparison import RunDifference

NOW = datetime(2026, 1, 2, tzinfo=UTC)
PLAN = RerunPlan("r", {"steps": []}, (RerunItem(0, MappingProxyType({"a": [1, {"b": (2,)}]}), ("c",)),), 1)
RESULT = FlowResult(run_id="r", status=ExecutionStatus.FAILED, error=FlowError(message="m"))
OBJECTS: list[tuple[Any, dict[str, Any]]] = [
    (Progress("r", running_steps=("a",)), {"run_id": "r", "status": "running", "running_steps": ["a"], "steps": None}),
    (LogEntry(NOW, "info", "m", fields={"a": 1}), {"timestamp": NOW, "level": "info", "message": "m", "line": None}),
    (HistoryEntry("r", NOW, kept=("a",), input=[{"n": 1}]), {"created_at": NOW, "kept": ["a"], "input": [{"n": 1}]}),
    (PLAN, {"items": [{"index": 0, "kept": {"a": [1, {"b": [2]}]}, "executed": ["c"]}], "flow": {"steps": []}}),
    (RerunResult(PLAN, [RESULT]), {"plan": PLAN.to_dict(), "results": [RESULT.to_dict()]}),
    (RunDifference("$", "added", None, {"n": 1}), {"path": "$", "kind": "added", "b": {"n": 1}, "item_index": None}),
    (
        StepAccount("a", "failed", status=ExecutionStatus.FAILED, failed_children=[FailedChild(1, "m")]),
        {"status": "failed", "failed_children": [{"index": 1, "message": "m", "step_id": None}]},
    ),
]


@pytest.mark.parametrize(("given", "expected"), OBJECTS, ids=lambda each: type(each).__name__)
def test_an_object_as_a_dict(given: Any, expected: dict[str, Any]) -> None:
    found = given.to_dict()
    assert list(found) == [each.name for each in fields(given)]
    assert {name: found[name] for name in expected} == expected
    assert json.loads(json.dumps(found, default=datetime.isoformat)).keys() == found.keys()
