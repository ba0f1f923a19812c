"""Flow evaluation with the semantics of the server: which steps run, how often, and how they fail."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from stepflow_client.flows.interpreter import (
    NOT_KNOWN,
    Failure,
    Interpreter,
    NotKnownError,
    RecordedInterpreter,
    StepRun,
    apply_overrides,
    apply_overrides_if_valid,
    get_max_attempts,
)


def evaluate(flow: dict[str, Any], *outcomes: Any, flow_input: Any = None, **variables: Any) -> tuple[Any, list[str]]:
    """Run a flow. Return its output (or its error code and message) and the components called."""
    remaining: Iterator[Any] = iter(outcomes)
    called = list[str]()

    def call(component: str, step_input: Any) -> Any:
        called.append(component)
        outcome = next(remaining, step_input)
        if isinstance(outcome, Failure):
            raise outcome
        return outcome

    try:
        return Interpreter(flow, flow_input, variables, call).run(), called
    except Failure as failure:
        return (failure.code, str(failure)), called


def make_failure(code: int = 3) -> Failure:
    return Failure(code, "boom", is_own=True)


def step(name: str, step_input: Any = None, **fields: Any) -> dict[str, Any]:
    return {"id": name, "component": f"/{name}", "input": step_input, **fields}


@pytest.mark.parametrize(
    ("handling", "outcomes", "output", "number"),
    [
        ({"action": "retry", "maxRetries": 2}, [make_failure(), make_failure(), 5], 5, 3),
        ({"action": "retry", "maxRetries": 2}, [make_failure()] * 3, (3, "boom"), 3),
        ({"action": "retry"}, [make_failure(7)] * 9, (7, "boom"), 4),
        ({"action": "retry", "maxRetries": 2}, [make_failure(4)], (4, "boom"), 1),
        ({"action": "fail"}, [make_failure()], (3, "boom"), 1),
        (None, [make_failure()], (3, "boom"), 1),
        ({"action": "useDefault", "defaultValue": 7}, [make_failure(4)], 7, 1),
        ({"action": "useDefault"}, [make_failure()], None, 1),
        ({"action": "useDefault", "defaultValue": 7}, [make_failure(1)], (1, "boom"), 1),
    ],
)
def test_steps_retry_fail_or_use_a_default(handling: Any, outcomes: list[Any], output: Any, number: int) -> None:
    flow = {"steps": [step("a", onError=handling)], "output": {"$step": "a"}}
    assert evaluate(flow, *outcomes) == (output, ["/a"] * number)


def test_only_some_error_codes_are_caught_or_retried() -> None:
    caught, repeated = list[int](), list[int]()
    for code in range(13):
        caught += [code] if evaluate(_flow_with({"action": "useDefault"}), make_failure(code))[0] is None else []
        repeated += [code] if evaluate(_flow_with({"action": "retry"}), make_failure(code), 5)[0] == 5 else []
    assert (caught, repeated) == ([2, 3, 4, 5, 6, 7, 8, 10], [3, 7])


def _flow_with(handling: dict[str, Any]) -> dict[str, Any]:
    return {"steps": [step("a", onError=handling)], "output": {"$step": "a"}}


def test_only_required_steps_run_and_each_runs_once() -> None:
    steps = [step("a", 1), step("unread", 2), step("b", {"$step": "a"}), step("must", 3, mustExecute=True)]
    output = [{"$step": "b"}, {"$step": "a"}, {"$if": {"$input": "$.x"}, "then": 1, "else": {"$step": "b"}}]
    assert evaluate({"steps": steps, "output": output}, flow_input={}) == ([1, 1, 1], ["/must", "/a", "/b"])
    # All steps the output needs run in file order, even after one of them fails.
    output = [{"$step": "b"}, {"$step": "a"}]
    steps = [step("a"), step("b")]
    assert evaluate({"steps": steps, "output": output}, make_failure(), 2) == ((3, "boom"), ["/a", "/b"])


def test_a_failed_step_fails_its_readers_but_not_a_condition() -> None:
    steps = [step("a"), step("b", {"$step": "a"}, onError={"action": "useDefault", "defaultValue": 1})]
    assert evaluate({"steps": steps, "output": {"$step": "b"}}, make_failure()) == ((3, "boom"), ["/a"])
    output = {"$if": {"$step": "a"}, "then": 1, "else": "failed"}
    assert evaluate({"steps": steps, "output": output}, make_failure()) == ("failed", ["/a"])


DECLARED = {
    "declared": {"default": 2},
    "none": None,
    "text": {"type": "string"},
    "number": {"type": "number"},
    "nullable": {"type": ["string", "null"]},
    "needed": {"type": "string"},
}


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
        ({"$variable": "text", "default": "unused"}, ""),
        ([{"$variable": "number"}, {"$variable": "nullable"}], [0, None]),
        ({"$variable": "needed"}, (8, "Undefined variable: needed")),
        ({"$variable": "gone", "default": None}, None),
        ({"$variable": "$[0]", "default": 1}, (8, "Undefined variable: 0")),
        ({"$coalesce": [{"$input": "$.null"}, {"$literal": {"$input": "$"}}]}, {"$input": "$"}),
        ({"$coalesce": [None]}, None),
        ({"$if": False, "then": 1}, None),
        ({"$if": 0, "then": {"a": [{"$input": "$.null"}]}}, {"a": [None]}),
    ],
)
def test_output_expressions_are_evaluated(output: Any, expected: Any) -> None:
    flow = {
        "schemas": {"properties": {"variables": {"properties": DECLARED, "required": ["needed"]}}},
        "steps": [step("a", {}), step("null")],
        "output": output,
    }
    assert evaluate(flow, flow_input={"list": [1, {"n": 5}], "null": None}, v={"n": 1})[0] == expected


def test_overrides_change_existing_steps_only() -> None:
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


def evaluate_recorded(
    expression: Any, *, flow_input: Any = NOT_KNOWN, variables: Any = NOT_KNOWN, is_over: bool = True, **outputs: Any
) -> Any:
    """Return the value of an expression in a run, or a description of its failure or of its unknown part."""
    flow = {"steps": [step(name) for name in (*outputs, "late")], "output": expression}
    steps = {
        name: StepRun({}, 0, failure=outcome) if isinstance(outcome, Failure) else StepRun({}, 0, output=outcome)
        for name, outcome in outputs.items()
    }
    try:
        return RecordedInterpreter(flow, flow_input, variables, steps, is_over=is_over).evaluate(expression)
    except NotKnownError as error:
        return f"{error} is unknown, and {'may' if error.may_fail else 'does not'} fail"
    except Failure as failure:
        others = "".join(f", {other}" for other in failure.others)
        return f"{'surely' if failure.is_sure else 'perhaps'} {failure}{others}"


_A, _LATE, _BAD = {"$step": "a"}, {"$step": "late"}, {"$step": "bad"}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ([_A, {"x": _A}], [1, {"x": 1}]),
        ({"$literal": _A}, _A),
        ({"$input": "$"}, "the input is unknown, and may fail"),
        ({"$variable": "v"}, "the variables is unknown, and may fail"),
        ([_A, {"$input": "$"}], "the input is unknown, and may fail"),
        ({"$step": "unknown"}, "the output of step unknown is unknown, and does not fail"),
        ({"$step": "unknown", "path": "$.x"}, "the output of step unknown is unknown, and may fail"),
        ({"$coalesce": [{"$step": "unknown"}, 1]}, "the output of step unknown is unknown, and may fail"),
        ({"$coalesce": [_A, {"$step": "unknown"}]}, 1),
        ({"$if": {"$step": "unknown"}, "then": 1}, "the output of step unknown is unknown, and may fail"),
        ({"$if": _BAD, "then": 1, "else": 2}, 2),
        (_LATE, "surely Step late not completed"),
        (_BAD, "surely boom"),
        ([_A, _BAD, {"x": _LATE}], "surely boom, Step late not completed"),
        ([[_BAD, _LATE], _BAD], "surely boom, Step late not completed, boom"),
        # An unknown part that can fail may have failed first.
        ([_BAD, {"$input": "$"}], "perhaps boom"),
        ([{"$input": "$"}, _BAD], "perhaps boom"),
        ([_BAD, {"$step": "unknown"}], "surely boom"),
        ([[_BAD, {"$input": "$"}], 1], "perhaps boom"),
        ([_BAD, [_LATE, {"$input": "$"}]], "perhaps boom, Step late not completed"),
        # If two parts are unknown, the message names the one that can fail.
        ([{"$step": "unknown"}, {"$input": "$"}], "the input is unknown, and may fail"),
        ([{"$step": "unknown"}, {"$step": "other"}], "the output of step unknown is unknown, and does not fail"),
        ([{"$input": "$"}, {"$step": "unknown"}], "the input is unknown, and may fail"),
    ],
)
def test_expressions_are_evaluated_in_a_recorded_run(expression: Any, expected: Any) -> None:
    assert evaluate_recorded(expression, a=1, unknown=NOT_KNOWN, other=NOT_KNOWN, bad=Failure(3, "boom")) == expected


def test_a_pending_step_of_an_active_run_is_unknown() -> None:
    assert evaluate_recorded([_A, _LATE], is_over=False, a=1) == "step late is unknown, and may fail"
    assert evaluate_recorded(
        [_A, {"$variable": "v"}, {"$input": "$.x"}], flow_input={"x": 2}, variables={"v": 3}, a=1
    ) == [
        1,
        3,
        2,
    ]


def test_invalid_overrides_leave_the_flow_unchanged() -> None:
    flow = {"steps": [step("a", 1)], "output": {"$step": "a"}}
    for overrides in (None, {}, 5, {"gone": {"input": 2}}, {"a": 5}):
        assert apply_overrides_if_valid(flow, overrides) == flow
    assert apply_overrides_if_valid(flow, {"a": {"input": 2}})["steps"][0]["input"] == 2
