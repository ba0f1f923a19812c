"""Step mocks, and map and iterate steps in mocked flows."""

from __future__ import annotations

from typing import Any

import pytest
from stepflow_client import InvalidArgumentError
from stepflow_client._cases.mock_outcomes import (
    InTurn,
    get_mock_outcome_after_retries,
    is_dynamic_mock,
    parse_mock,
    run_map_or_iterate,
    serialize_mock,
)
from stepflow_client._runs.pinned_steps import Delayed, Fails


@pytest.mark.parametrize(
    ("component", "step_input"),
    [
        ("/builtin/map", None),
        ("/builtin/map", {"items": [1]}),
        ("/builtin/map", {"items": 5, "workflow": {}}),
        ("/builtin/iterate", {"initial_input": 1}),
        ("/builtin/iterate", {"flow": {}}),
        ("/builtin/iterate", {"flow": {}, "initial_input": 1, "max_iterations": "5"}),
    ],
)
def test_an_invalid_sub_flow_fails_its_step(component: str, step_input: Any) -> None:
    assert run_map_or_iterate(component, "each", step_input, lambda flow, inputs: []) == Fails(
        "UNREACHABLE", 'step "each" failed'
    )


def test_map_counts_failed_elements_without_failing() -> None:
    failed = {"outcome": "failed", "error": {"code": "TIMEOUT", "message": "closed"}}
    run = lambda flow, inputs: [failed if each else {"outcome": "success", "result": each} for each in inputs]  # noqa: E731
    step_input = {"workflow": {}, "items": [0, 1, 2]}
    assert run_map_or_iterate("/builtin/map", "each", step_input, run) == {
        "results": [{"outcome": "success", "result": 0}, failed, failed], "successful": 1, "failed": 2,
    }  # fmt: skip
    turns = {"flow": {}, "initial_input": 1}
    assert run_map_or_iterate("/builtin/iterate", "each", turns, run) == Fails("TIMEOUT", "closed")


@pytest.mark.parametrize("output", [5, {}, {"reslt": 1}, None])
def test_an_iteration_without_result_or_next_fails(output: Any) -> None:
    run = lambda flow, inputs: [{"outcome": "success", "result": output}]  # noqa: E731
    assert run_map_or_iterate("/builtin/iterate", "each", {"flow": {}, "initial_input": 1}, run) == Fails(
        "INVALID_INPUT", "Workflow result must contain either 'result' or 'next' field"
    )


def test_each_iteration_gets_the_next_value_of_the_previous_one() -> None:
    step_input, calls = {"flow": {"output": 1}, "initial_input": 1}, list[Any]()

    def run(flow: Any, inputs: Any) -> list[dict[str, Any]]:
        calls.append((flow, inputs))
        return [{"outcome": "success", "result": {"next": inputs[0] + 1}}]

    assert run_map_or_iterate("/builtin/iterate", "each", {**step_input, "max_iterations": None}, run) == {
        "result": 1001, "iterations": 1000, "terminated": True,
    }  # fmt: skip
    assert calls == [({"output": 1}, [number]) for number in range(1, 1001)]
    assert run_map_or_iterate("/builtin/iterate", "each", {**step_input, "max_iterations": 0}, run) == {
        "result": 1, "iterations": 0, "terminated": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("handling", "outcome", "number"),
    [
        ({"action": "retry", "maxRetries": 1}, Delayed(5, 0.75), 2),
        ({"action": "retry", "maxRetries": 0}, Delayed(Fails("RESOURCE_UNAVAILABLE"), 0.5), 1),
        ({"action": "fail"}, Delayed(Fails("RESOURCE_UNAVAILABLE"), 0.5), 1),
    ],
)
def test_attempts_stop_at_the_first_outcome_that_is_not_retried(handling: Any, outcome: Any, number: int) -> None:
    mock = InTurn(Delayed(Fails("RESOURCE_UNAVAILABLE"), 0.5), Delayed(5, 0.25), 6)
    assert get_mock_outcome_after_retries(mock, None, {"onError": handling}) == outcome
    assert mock.next() == [Delayed(5, 0.25), 6][number - 1]
    assert get_mock_outcome_after_retries(InTurn(Fails("TIMEOUT"), 5), None, {"onError": handling}) == Fails("TIMEOUT")
    assert get_mock_outcome_after_retries(lambda step_input: step_input + 1, 1, {"onError": handling}) == 2


def test_mocks_round_trip_through_flow_files() -> None:
    mock = InTurn(Fails("TIMEOUT", "closed"), {"a": 1})
    outcomes = [
        {"outcome": "failed", "error": {"code": "TIMEOUT", "message": "closed"}},
        {"outcome": "success", "result": {"a": 1}},
    ]
    assert serialize_mock(mock) == outcomes
    parsed = parse_mock(outcomes)
    assert [parsed.next(), parsed.next(), parsed.next()] == [Fails("TIMEOUT", "closed"), {"a": 1}, {"a": 1}]
    assert parse_mock({"outcome": "failed", "error": {"code": "UNSPECIFIED"}}) == Fails()
    assert [is_dynamic_mock(each) for each in (mock, len, 5, Fails())] == [True, True, False, False]
    for unsupported in (len, Delayed(5, 1.0), InTurn(Delayed(5, 1.0))):
        with pytest.raises(InvalidArgumentError, match="must be an output, Fails, or InTurn of these"):
            serialize_mock(unsupported)
    with pytest.raises(InvalidArgumentError, match="InTurn needs at least one outcome"):
        InTurn()


@pytest.mark.parametrize(
    "value",
    [5, {}, {"outcome": "success"}, {"outcome": "failed"}, {"outcome": "failed", "error": "x"}, {"result": 1}, [[], 5]],
)
def test_malformed_mocks_are_rejected(value: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^(a mock must be|InTurn needs)"):
        parse_mock(value)


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ({"next": 7}, {"result": 7, "iterations": 3, "terminated": True}),
        ({"result": 7}, {"result": 7, "iterations": 1, "terminated": False}),
    ],
)
def test_iterations_end_with_a_result_or_at_their_limit(output: Any, expected: Any) -> None:
    step_input = {"flow": {}, "initial_input": 1, "max_iterations": 3}
    run = lambda flow, inputs: [{"outcome": "success", "result": output}]  # noqa: E731
    assert run_map_or_iterate("/builtin/iterate", "each", step_input, run) == expected
