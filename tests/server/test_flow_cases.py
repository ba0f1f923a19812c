"""Test cases, pinned and mocked steps on the servers of every release."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from stepflow_client import StepflowRuntime, SyncStepflowClient
from stepflow_client.flows.pins import pin_overrides, pinned_flow
from stepflow_client.testing import StepflowMock, read_tests, run_cases, run_mocked

from tests import releases

OUTPUTS: list[Any] = [
    None,
    5,
    [None, {"a": None}],
    {"a": None, "$step": "x", "b": {"$literal": {"$if": None}}},
    {"$input": "$.nothing", "then": 1},
    {"$literal": 1, "more": None},
]
INPUTS: list[Any] = [
    None,
    {"$literal": {"a": {"b": 1}}},
    {"$if": {"$input": "$.no"}, "then": 1},
    {"$coalesce": [None, 2]},
    {"$input": "$"},
    {"text": {"x": 1}, "a": {"z": 1}},
]


@pytest.fixture
def twin(worker_runtime: StepflowRuntime) -> SyncStepflowClient:
    return worker_runtime.sync_client


@pytest.mark.parametrize("given", INPUTS)
@pytest.mark.parametrize("output", OUTPUTS)
def test_a_pinned_step_gives_its_output_exactly(
    twin: SyncStepflowClient, release: str, given: Any, output: Any
) -> None:
    flow = {"steps": [{"id": "paid", "component": "/no/such", "input": given}], "output": {"got": {"$step": "paid"}}}
    assert twin.run(pinned_flow(flow, {"paid": output}), {"no": None}).raise_for_failure().output == {"got": output}
    component = "/builtin/noop" if releases.number(release) >= (0, 13) else "/python/echo"
    overrides = pin_overrides({"paid": output}, component=component)
    if component == "/python/echo" and not isinstance(output, dict):
        return  # it takes objects only
    assert twin.run(flow, {"no": None}, overrides).raise_for_failure().output == {"got": output}


def test_a_function_gets_what_the_flow_computes_for_its_step(twin: SyncStepflowClient) -> None:
    flow = {
        "steps": [
            {"id": "ask", "component": "/builtin/create_messages", "input": {"user_prompt": {"$input": "$.q"}}},
            {"id": "model", "component": "/no/such", "input": {"said": {"$step": "ask", "path": "$.messages"}, "n": 7}},
            {"id": "second", "component": "/no/such", "input": {"$step": "model"}},
        ],
        "output": {"$step": "second"},
    }
    seen: list[Any] = []

    def model(given: Any) -> Any:
        seen.append(given)
        return {"text": given["said"][0]["content"], "null": None}

    result = run_mocked(twin, flow, {"q": "why"}, mocks={"model": model, "second": lambda given: [given, 1]})
    assert result.output == [{"text": "why", "null": None}, 1]
    assert seen == [{"said": [{"role": "user", "content": "why"}], "n": 7}]
    mock = StepflowMock(twin)
    mock.component("/no/such", 3)
    assert mock.run(flow, {"q": "why"}).output == 3
    # The prompt is missing: neither function is called.
    failed = run_mocked(twin, flow, {}, mocks={"model": model, "second": model})
    assert failed.is_failed
    assert len(seen) == 1


def test_cases_of_a_file(twin: SyncStepflowClient, tmp_path: Path) -> None:
    expected_failure = {"outcome": "failed", "error": {"code": "EXPRESSION_FAILURE", "message": {"$contains": "$.x"}}}
    cases: list[dict[str, Any]] = [
        {"name": "list", "input": [1, 2], "output": {"outcome": "success", "result": {"got": [1, 2]}}},
        {"name": "number", "input": 3, "output": {"outcome": "success", "result": {"got": {"$type": "integer"}}}},
        {"name": "wrong", "input": {"a": None}, "output": {"outcome": "success", "result": {"got": {"a": 1}}}},
        {"name": "unexpected", "input": {}, "output": expected_failure},
        {"name": "open", "input": 1},
    ]
    path = tmp_path / "flow.json"
    path.write_text(json.dumps({"output": {"got": {"$input": "$"}}, "test": {"cases": cases}}))
    tests = read_tests(path)
    done = run_cases(twin, tests, tests.cases, repeat=2)
    assert [(each.case.name, each.verdict) for each in done[:5]] == [
        ("list", "passed"),
        ("number", "passed"),
        ("wrong", "failed"),
        ("unexpected", "failed"),
        ("open", "unchecked"),
    ]
    assert [each.attempt for each in done] == [1] * 5 + [2] * 5
    assert len({each.result.run_id for each in done if each.result}) == 1
    path.write_text(json.dumps({"output": {"$input": "$.x"}, "test": {"cases": cases[3:4]}}))
    tests = read_tests(path)
    (failed,) = run_cases(twin, tests, tests.cases)
    assert (failed.verdict, failed.differences) == ("passed", [])
