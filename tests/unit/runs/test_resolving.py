"""The input of a step as the server resolved it."""

from __future__ import annotations

from typing import Any

import pytest
from stepflow_client._runs.failure_causes import ItemRecord
from stepflow_client._runs.failure_hints import ResolvedInput, resolve_step_input
from stepflow_client.flows.interpreter import NOT_KNOWN
from stepflow_client.types import ErrorCode, ExecutionStatus, FlowError, StepDetails

FLOW: dict[str, Any] = {
    "steps": [
        {"id": "load", "component": "/c", "input": {"$input": "id"}},
        {"id": "charge", "component": "/c"},
        {"id": "send", "component": "/c"},
    ],
    "output": {"$step": "send"},
}
DONE = StepDetails(step_id="load", status=ExecutionStatus.COMPLETED, output={"card": 1, "rows": [1, 2]})
FAILED = StepDetails(
    step_id="charge", status=ExecutionStatus.FAILED, error=FlowError(message="boom", code=ErrorCode.COMPONENT_FAILED)
)


def resolve(expression: Any, *steps: StepDetails, status: Any = ExecutionStatus.FAILED, **known: Any) -> ResolvedInput:
    flow = {**FLOW, "steps": [*FLOW["steps"][:2], {**FLOW["steps"][2], "input": expression}]}
    return resolve_step_input(ItemRecord(flow, status, None, steps, **known), "send")


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        (None, None),
        ({"a": {"$step": "load", "path": "$.rows[1]"}, "b": [{"$input": "name"}]}, {"a": 2, "b": ["Ada"]}),
        ({"$literal": {"$step": "load"}}, {"$step": "load"}),
        ({"$variable": "limit"}, 3),
        ({"$if": {"$input": "name"}, "then": {"$step": "load", "path": "card"}}, 1),
    ],
)
def test_everything_is_known(expression: Any, value: Any) -> None:
    found = resolve(expression, DONE, input={"name": "Ada"}, variables={"limit": 3})
    assert found == ResolvedInput(value)


def test_a_part_that_is_not_known_does_not_hide_the_others() -> None:
    expression = {
        "card": {"$step": "load", "path": "card"},
        "more": {"name": {"$input": "name"}, "v": {"$variable": "v"}},
    }
    found = resolve(expression, DONE)
    assert found.value == {"card": 1, "more": expression["more"]}
    assert found.not_known == ("the input", "the variables")
    assert found.failures == ()


def test_a_part_that_failed_is_named() -> None:
    expression = [{"$step": "charge"}, {"$step": "load", "path": "cart"}, {"$step": "load", "path": "card"}]
    found = resolve(expression, DONE, FAILED, input=NOT_KNOWN)
    assert found.value == [expression[0], expression[1], 1]
    assert found.failures == ("charge failed", "Path $.cart not found")


def test_a_step_that_still_runs_is_not_known() -> None:
    running = StepDetails(step_id="load", status=ExecutionStatus.RUNNING)
    found = resolve({"$step": "load"}, running, status=ExecutionStatus.RUNNING)
    assert found == ResolvedInput({"$step": "load"}, ("step load",))


def test_outputs_that_the_server_does_not_tell_are_not_known() -> None:
    silent = StepDetails(step_id="load", status=ExecutionStatus.COMPLETED)
    assert resolve({"$step": "load"}, silent).not_known == ("the output of step load",)


def test_a_flow_that_is_not_known() -> None:
    item = ItemRecord({}, ExecutionStatus.COMPLETED, None, [DONE])
    assert resolve_step_input(item, "load") == ResolvedInput(None, ("the flow",))
