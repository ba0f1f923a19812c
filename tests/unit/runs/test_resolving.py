"""The resolved input of a step, with the parts that are unknown or failed."""

from __future__ import annotations

from typing import Any

import pytest
from stepflow_client._runs.component_input_hints import ResolvedInput, resolve_step_input
from stepflow_client._runs.failure_causes import ItemRecord
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


def resolve(expression: Any, *steps: StepDetails, status: Any = ExecutionStatus.FAILED, **values: Any) -> ResolvedInput:
    flow = {**FLOW, "steps": [*FLOW["steps"][:2], {**FLOW["steps"][2], "input": expression}]}
    return resolve_step_input(ItemRecord(flow, status, None, steps, **values), "send")


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
def test_an_input_is_resolved(expression: Any, value: Any) -> None:
    resolved = resolve(expression, DONE, input={"name": "Ada"}, variables={"limit": 3})
    assert resolved == ResolvedInput(value)


def test_an_unknown_part_does_not_hide_the_others() -> None:
    expression = {
        "card": {"$step": "load", "path": "card"},
        "more": {"name": {"$input": "name"}, "v": {"$variable": "v"}},
    }
    resolved = resolve(expression, DONE)
    assert resolved.value == {"card": 1, "more": expression["more"]}
    assert resolved.not_known == ("the input", "the variables")
    assert resolved.failures == ()


def test_a_failed_part_is_named() -> None:
    expression = [{"$step": "charge"}, {"$step": "load", "path": "cart"}, {"$step": "load", "path": "card"}]
    resolved = resolve(expression, DONE, FAILED, input=NOT_KNOWN)
    assert resolved.value == [expression[0], expression[1], 1]
    assert resolved.failures == ("charge failed", "Path $.cart not found")


def test_a_running_step_is_unknown() -> None:
    running = StepDetails(step_id="load", status=ExecutionStatus.RUNNING)
    resolved = resolve({"$step": "load"}, running, status=ExecutionStatus.RUNNING)
    assert resolved == ResolvedInput({"$step": "load"}, ("step load",))


def test_unreported_outputs_are_unknown() -> None:
    without_output = StepDetails(step_id="load", status=ExecutionStatus.COMPLETED)
    assert resolve({"$step": "load"}, without_output).not_known == ("the output of step load",)


def test_an_unknown_flow() -> None:
    item = ItemRecord({}, ExecutionStatus.COMPLETED, None, [DONE])
    assert resolve_step_input(item, "load") == ResolvedInput(None, ("the flow",))
