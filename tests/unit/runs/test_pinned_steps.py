"""Pinned failures of steps, and the steps' error handling."""

from __future__ import annotations

from typing import Any

import pytest
from stepflow_client._runs.pinned_steps import Fails, pin_overrides, pinned_flow
from stepflow_client.types import ErrorCode

HANDLING = {"action": "useDefault", "defaultValue": 1}
FLOW: dict[str, Any] = {"steps": [{"id": "a", "component": "/x", "onError": HANDLING}]}


@pytest.mark.parametrize("code", [ErrorCode.TIMEOUT, ErrorCode.COMPONENT_FAILED])
def test_a_step_handles_its_failure(code: ErrorCode) -> None:
    assert pinned_flow(FLOW, {"a": Fails(code)})["steps"][0]["onError"] == HANDLING
    assert "onError" not in pin_overrides({"a": Fails(code)})["a"]


def test_no_step_handles_a_failure_of_the_orchestrator() -> None:
    failure = Fails(ErrorCode.ORCHESTRATOR)
    assert "onError" not in pinned_flow(FLOW, {"a": failure})["steps"][0]
    assert pin_overrides({"a": failure})["a"]["onError"] is None
