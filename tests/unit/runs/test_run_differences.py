"""Differences between two runs."""

from __future__ import annotations

from typing import Any

import pytest
from stepflow_client import ExecutionStatus, RunDetails
from stepflow_client._runs.run_differences import find_run_differences
from stepflow_client.types import RunItem
from stepflow_client.types.runs import RunSnapshot


def run(output: Any) -> RunSnapshot:
    details = RunDetails(run_id="r", flow_id="f", status=ExecutionStatus.COMPLETED)
    return RunSnapshot(details, items=[RunItem(index=0, status=ExecutionStatus.COMPLETED, output=output)])


@pytest.mark.parametrize(
    ("a", "b", "kind"),
    [
        ({"n": 1}, {"n": 2}, "changed"),
        ({"n": None}, {"n": 2}, "changed"),
        ({"n": 1}, {}, "removed"),
        ({}, {"n": 2}, "added"),
    ],
)
def test_a_value_is_changed_removed_or_added(a: Any, b: Any, kind: str) -> None:
    (difference,) = find_run_differences(run(a), run(b))
    assert (difference.path, difference.kind, difference.a, difference.b) == (
        "$.output.n",
        kind,
        a.get("n"),
        b.get("n"),
    )
