"""Steps pinned to an outcome: their components, delays and error handling."""

from __future__ import annotations

from typing import Any

import pytest
from stepflow_client import InvalidArgumentError
from stepflow_client._runs.pinned_steps import (
    PIN_COMPONENT,
    Delayed,
    Fails,
    parse_mocked_failure_message,
    pin_overrides,
    pinned_flow,
)
from stepflow_client.types import ErrorCode

HANDLING = {"action": "useDefault", "defaultValue": 1}
FLOW: dict[str, Any] = {"steps": [{"id": "a", "component": "/x", "onError": HANDLING}]}


@pytest.mark.parametrize("code", [ErrorCode.TIMEOUT, ErrorCode.COMPONENT_FAILED])
def test_a_pinned_failure_keeps_the_error_handling(code: ErrorCode) -> None:
    assert pinned_flow(FLOW, {"a": Fails(code)})["steps"][0]["onError"] == HANDLING
    assert "onError" not in pin_overrides({"a": Fails(code)})["a"]


def test_a_pinned_orchestrator_failure_has_no_error_handling() -> None:
    failure = Fails(ErrorCode.ORCHESTRATOR)
    assert "onError" not in pinned_flow(FLOW, {"a": failure})["steps"][0]
    assert pin_overrides({"a": failure})["a"]["onError"] is None


@pytest.mark.parametrize(
    ("outcome", "component", "milliseconds"),
    [
        (5, PIN_COMPONENT, None),
        (None, PIN_COMPONENT, None),
        (Delayed(5, 0), PIN_COMPONENT, None),
        (Delayed(5, 1.25), "/builtin/iterate", 1250),
        (Delayed(5, 0.0001), "/builtin/iterate", 1),
        (Fails(), "/builtin/iterate", None),
        (Delayed(Fails(), 0.5), "/builtin/iterate", 500),
    ],
)
def test_only_a_delayed_outcome_takes_time(outcome: Any, component: str, milliseconds: int | None) -> None:
    step = pinned_flow(FLOW, {"a": outcome})["steps"][0]
    assert step["component"] == component
    within = step.get("input", {}).get("flow", {}).get("$literal", {}).get("steps", [])
    assert [each["input"] for each in within] == ([] if milliseconds is None else [{"duration_ms": milliseconds}])
    # The delayed step's output is unused.
    assert all(each["mustExecute"] for each in within)


@pytest.mark.parametrize("output", [5, None, Delayed({"n": 1}, 2)])
def test_a_pinned_output_is_the_default_of_a_failing_step(output: Any) -> None:
    flow = {"steps": [{**FLOW["steps"][0], "input": {"n": 1}, "mustExecute": True}, {"id": "b", "component": "/y"}]}
    pinned, other = pinned_flow(flow, {"a": output})["steps"]
    expected = output.outcome if isinstance(output, Delayed) else output
    assert pinned["onError"] == {"action": "useDefault", "defaultValue": expected}
    assert pinned["mustExecute"]
    assert other == {"id": "b", "component": "/y"}


def test_only_steps_of_the_flow_are_pinned() -> None:
    with pytest.raises(InvalidArgumentError, match=r"^the flow has no step 'b' to pin$"):
        pinned_flow(FLOW, {"a": 1, "b": 2})


@pytest.mark.parametrize("output", [5, None, {"$step": "x"}, [1]])
def test_an_override_returns_the_output_for_any_input(output: Any) -> None:
    pinned = {"$literal": None, "$if": None, "$coalesce": [{"$literal": output}]}
    assert pin_overrides({"a": output}) == {"a": {"component": "/builtin/noop", "input": pinned}}
    assert pin_overrides({"a": output}, component="/x/same")["a"]["component"] == "/x/same"


def test_an_override_may_be_a_failure() -> None:
    (failing,) = pin_overrides({"a": Fails("TIMEOUT", "too slow")})["a"]["input"]["$coalesce"]
    assert failing["initial_input"] == {}
    inner = failing["flow"]["$literal"]
    assert "steps" not in inner, "a failure needs no steps"
    # Server messages contain the path.
    message = f"Input path $.{inner['output']['$input']} not found"
    assert parse_mocked_failure_message(message) == ("timeout", "too slow")
    assert pin_overrides({"a": Fails()}, component="/x/same")["a"]["component"] == "/builtin/iterate"


@pytest.mark.parametrize(
    ("message", "parsed"),
    [
        ("Input path $.mocked COMPONENT_FAILED: a\nb not found", ("component_failed", "a\nb")),
        ("Input path $.mocked not found", None),
        ("boom", None),
        ("", None),
    ],
)
def test_a_mocked_failure_is_read_from_its_message(message: str, parsed: tuple[str, str] | None) -> None:
    assert parse_mocked_failure_message(message) == parsed


@pytest.mark.parametrize("component", [None, 5])
def test_the_component_of_an_override_must_be_a_string(component: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="component"):
        pin_overrides({}, component=component)
