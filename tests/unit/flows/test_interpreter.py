"""Flows evaluated as servers do: which steps run, how often, and how they fail."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from stepflow_client.flows.interpreter import Evaluation, Failure, apply_overrides, get_max_attempts


def evaluated(flow: dict[str, Any], *outcomes: Any, given: Any = None, **variables: Any) -> tuple[Any, list[str]]:
    """Return the output of a flow, or the code and message of its failure, and the components that were called."""
    left: Iterator[Any] = iter(outcomes)
    called = list[str]()

    def call(component: str, step_input: Any) -> Any:
        called.append(component)
        outcome = next(left, step_input)
        if isinstance(outcome, Failure):
            raise outcome
        return outcome

    try:
        return Evaluation(flow, given, variables, call).run(), called
    except Failure as failure:
        return (failure.code, str(failure)), called


def broken(code: int = 3) -> Failure:
    return Failure(code, "boom", is_own=True)


def step(name: str, given: Any = None, **more: Any) -> dict[str, Any]:
    return {"id": name, "component": f"/{name}", "input": given, **more}


@pytest.mark.parametrize(
    ("handling", "outcomes", "output", "number"),
    [
        ({"action": "retry", "maxRetries": 2}, [broken(), broken(), 5], 5, 3),
        ({"action": "retry", "maxRetries": 2}, [broken()] * 3, (3, "boom"), 3),
        ({"action": "retry"}, [broken(7)] * 9, (7, "boom"), 4),
        ({"action": "retry", "maxRetries": 2}, [broken(4)], (4, "boom"), 1),
        ({"action": "fail"}, [broken()], (3, "boom"), 1),
        (None, [broken()], (3, "boom"), 1),
        ({"action": "useDefault", "defaultValue": 7}, [broken(4)], 7, 1),
        ({"action": "useDefault"}, [broken()], None, 1),
        ({"action": "useDefault", "defaultValue": 7}, [broken(1)], (1, "boom"), 1),
    ],
)
def test_a_step_that_fails(handling: Any, outcomes: list[Any], output: Any, number: int) -> None:
    flow = {"steps": [step("a", onError=handling)], "output": {"$step": "a"}}
    assert evaluated(flow, *outcomes) == (output, ["/a"] * number)


def test_failures_that_are_caught_and_those_that_are_repeated() -> None:
    caught, repeated = list[int](), list[int]()
    for code in range(13):
        caught += [code] if evaluated(_flow_with({"action": "useDefault"}), broken(code))[0] is None else []
        repeated += [code] if evaluated(_flow_with({"action": "retry"}), broken(code), 5)[0] == 5 else []
    assert (caught, repeated) == ([2, 3, 4, 5, 6, 7, 8, 10], [3, 7])


def _flow_with(handling: dict[str, Any]) -> dict[str, Any]:
    return {"steps": [step("a", onError=handling)], "output": {"$step": "a"}}


def test_only_steps_that_are_needed_run_and_each_runs_once() -> None:
    steps = [step("a", 1), step("unread", 2), step("b", {"$step": "a"}), step("must", 3, mustExecute=True)]
    output = [{"$step": "b"}, {"$step": "a"}, {"$if": {"$input": "$.x"}, "then": 1, "else": {"$step": "b"}}]
    assert evaluated({"steps": steps, "output": output}, given={}) == ([1, 1, 1], ["/must", "/a", "/b"])
    # All steps that the output needs run, even after one of them fails, in the order of the file.
    output = [{"$step": "b"}, {"$step": "a"}]
    steps = [step("a"), step("b")]
    assert evaluated({"steps": steps, "output": output}, broken(), 2) == ((3, "boom"), ["/a", "/b"])


def test_a_failed_step_fails_what_reads_it_but_not_a_condition() -> None:
    steps = [step("a"), step("b", {"$step": "a"}, onError={"action": "useDefault", "defaultValue": 1})]
    assert evaluated({"steps": steps, "output": {"$step": "b"}}, broken()) == ((3, "boom"), ["/a"])
    output = {"$if": {"$step": "a"}, "then": 1, "else": "failed"}
    assert evaluated({"steps": steps, "output": output}, broken()) == ("failed", ["/a"])


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ({"$input": "$.list[1].n"}, 5),
        ({"$input": "$.list[2]"}, (8, "Input path $.list[2] not found")),
        ({"$input": "gone"}, (8, "Input path $.gone not found")),
        ({"$input": "$.list.n"}, (8, "Input path $.list.n not found")),
        ({"$input": "$[0]"}, (8, "Input path $[0] not found")),
        ({"$step": "a", "path": "$.x"}, (8, "Path $.x not found")),
        ({"$step": "gone"}, (9, "Step gone not completed")),
        ({"$step": "null", "path": "$.x"}, None),
        ({"$variable": "v"}, {"n": 1}),
        ({"$variable": "$.v.n"}, 1),
        ({"$variable": "$.v.m"}, (8, "Undefined variable: v")),
        ({"$variable": "$.v.m", "default": 3}, 3),
        ({"$variable": "declared"}, 2),
        ({"$variable": "$.declared.n", "default": {"$input": "$.list[1].n"}}, 5),
        ({"$variable": "gone"}, (8, "Undefined variable: gone")),
        ({"$variable": "gone", "default": None}, None),
        ({"$variable": "$[0]", "default": 1}, (8, "Undefined variable: 0")),
        ({"$coalesce": [{"$input": "$.null"}, {"$literal": {"$input": "$"}}]}, {"$input": "$"}),
        ({"$coalesce": [None]}, None),
        ({"$if": False, "then": 1}, None),
        ({"$if": 0, "then": {"a": [{"$input": "$.null"}]}}, {"a": [None]}),
    ],
)
def test_what_an_output_is(output: Any, expected: Any) -> None:
    flow = {
        "schemas": {"properties": {"variables": {"properties": {"declared": {"default": 2}, "none": None}}}},
        "steps": [step("a", {}), step("null")],
        "output": output,
    }
    assert evaluated(flow, given={"list": [1, {"n": 5}], "null": None}, v={"n": 1})[0] == expected


def test_overrides_change_steps_and_must_name_them() -> None:
    flow = {"steps": [step("a", {"x": 1}), step("b", 2)], "output": {"$step": "a"}}
    change = {"steps": {"a": {"$type": "merge_patch", "value": {"input": {"y": 3}}}}}
    changed = apply_overrides(flow, change)
    assert [each["input"] for each in changed["steps"]] == [{"x": 1, "y": 3}, 2]
    assert apply_overrides(flow, {}) == flow
    with pytest.raises(LookupError, match="step gone not found"):
        apply_overrides(flow, {"steps": {"gone": {"value": {}}}})


@pytest.mark.parametrize(
    ("handling", "number"), [({"action": "retry"}, 4), ({"action": "retry", "maxRetries": 0}, 1), ({}, 1), (None, 1)]
)
def test_the_number_of_attempts(handling: Any, number: int) -> None:
    assert get_max_attempts(step("a", onError=handling)) == number
