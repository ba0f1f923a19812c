"""Test cases that would pass although they test less than they say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from stepflow_client import ErrorCode, ExecutionStatus, FlowError, FlowFileError, FlowResult
from stepflow_client._cases.flow_cases import FlowCase, compute_verdict, read_tests, run_subflow
from stepflow_client._runs.pins import Fails

COMPLETED, FAILED = ExecutionStatus.COMPLETED, ExecutionStatus.FAILED


def fault(tmp_path: Path, case: str) -> str:
    """Return the fault of the only case of a file."""
    path = tmp_path / "flow.yaml"
    path.write_text(f"output: 1\ntest:\n  cases:\n    - {{name: a, input: 1, {case}}}\n")
    (only,) = read_tests(path).cases
    return only.fault


@pytest.mark.parametrize(
    ("case", "told"),
    [
        ("ouput: {outcome: success, result: 1}", "did you mean 'output'?"),
        (
            "expected: {outcome: success, result: 1}",
            "unknown key 'expected' in a test case: servers silently ignore it; write output: {",
        ),
        (
            "skip: true",
            "'skip' in a test case: servers silently ignore it; to skip a case, use stepflow test -k 'not NAME'",
        ),
        ("timeout: 5", "unknown key 'timeout'"),
        ("output: {outcome: success, result: 1, error: {code: TIMEOUT}}", "unknown key 'error' in an expected success"),
        ("output: {outcome: failed, error: {code: TIMEOUT}, result: 1}", "unknown key 'result' in an expected failed"),
        ("output: {outcome: failed, error: {code: TIMEOUT, mesage: x}}", "did you mean 'message'?"),
        ("output: {outcome: failed, error: {}}", "needs a code, a message or data"),
        ("output: {outcome: failed, error: {message: null}}", "needs a code, a message or data"),
        ("output: {outcome: success, result: {$regex: ''}}", "$regex expects a non-empty string"),
        ("output: {outcome: success, result: [{$contains: ''}]}", "$contains expects a part, a key"),
        ("output: {outcome: success, result: {$range: [null, null]}}", "numbers or one of them null"),
        ("mocks: {s: {outcome: failed, error: {mesage: x}}}", "did you mean 'message'?"),
        ("mocks: {s: {outcome: failed, error: {code: TIMEOUT, data: 1}}}", "unknown key 'data' in the error of a mock"),
        ("mocks: {s: {outcome: success, result: 1, error: {}}}", "unknown key 'error' in a mock"),
        ("variables: [a]", "variables must be an object, not a list"),
        ("varaibles: {a: 1}", "did you mean 'variables'?"),
    ],
)
def test_what_would_be_ignored_is_a_fault(tmp_path: Path, case: str, told: str) -> None:
    assert told in fault(tmp_path, case)


@pytest.mark.parametrize(
    "case", ["description: why, tags: [a]", "output: null", "output: {outcome: success, result: 1}"]
)
def test_other_cases_have_no_fault(tmp_path: Path, case: str) -> None:
    assert fault(tmp_path, case) == ""


@pytest.mark.parametrize(
    "text",
    [
        "output: 1\ntests: {cases: [{name: a, input: 1}]}\n",
        "output: 1\ncases: [{name: a, input: 1}]\n",
        "output: 1\ntest_cases: [{name: a, input: 1}]\n",
        "output: 1\ntest: {scenarios: [{name: a, input: 1}]}\n",
        "output: 1\ntest: {case: [{name: a, input: 1}]}\n",
    ],
)
def test_cases_in_a_wrong_place_are_not_passed_over(tmp_path: Path, text: str) -> None:
    path = tmp_path / "flow.yaml"
    path.write_text(text)
    with pytest.raises(FlowFileError, match="unknown key"):
        read_tests(path)


def verdict(wanted: Any, **result: Any) -> tuple[str, list[str]]:
    case = FlowCase("a", 0, None, wanted)
    found, differences = compute_verdict(case, FlowResult(run_id="r", **result))
    return found, [str(each) for each in differences]


ANY_FAILURE = {"outcome": "failed", "error": {"message": {"$any": True}}}


def test_a_run_that_was_cancelled_or_lost_is_no_failure_of_the_flow() -> None:
    boom = FlowError(message="boom", code=ErrorCode.COMPONENT_FAILED)
    assert verdict(ANY_FAILURE, status=FAILED, error=boom) == ("passed", [])
    assert verdict(ANY_FAILURE, status=ExecutionStatus.CANCELLED)[0] == "failed"
    for code in (ErrorCode.LOST, ErrorCode.LOST_BEFORE_START):
        assert verdict(ANY_FAILURE, status=FAILED, error=FlowError(message="gone", code=code))[0] == "failed"


def test_data_of_an_error_is_compared_where_the_server_sends_it() -> None:
    def expecting(data: Any) -> dict[str, Any]:
        return {"outcome": "failed", "error": {"code": "COMPONENT_FAILED", "data": data}}

    bare = FlowError(message="boom", code=ErrorCode.COMPONENT_FAILED)
    sent = replace(bare, details={"data": {"kind": "ValueError", "line": 3}})
    assert verdict(expecting({"kind": "ValueError"}), status=FAILED, error=sent) == ("passed", [])
    assert verdict(expecting({"line": {"$range": [1, 2]}}), status=FAILED, error=sent)[0] == "failed"
    for data in ({"$any": True}, {"kind": {"$any": True}}):
        found, told = verdict(expecting(data), status=FAILED, error=bare)
        assert (found, told[0].endswith("got nothing: the server sends no data")) == ("failed", True)
    # As for servers, null is no expectation.
    assert verdict(expecting(None), status=FAILED, error=bare) == ("passed", [])


def test_an_expected_null_is_an_expectation() -> None:
    null = {"outcome": "success", "result": None}
    assert verdict(null, status=COMPLETED, output=None) == ("passed", [])
    assert verdict(null, status=COMPLETED, output=0)[0] == "failed"
    assert verdict({"outcome": "success", "result": {}}, status=COMPLETED, output={"a": 1})[0] == "failed"


@pytest.mark.parametrize(
    ("component", "given"),
    [
        ("/builtin/map", None),
        ("/builtin/map", {"items": [1]}),
        ("/builtin/map", {"items": 5, "workflow": {}}),
        ("/builtin/iterate", {"initial_input": 1}),
        ("/builtin/iterate", {"flow": {}}),
        ("/builtin/iterate", {"flow": {}, "initial_input": 1, "max_iterations": "5"}),
    ],
)
def test_a_sub_flow_that_servers_refuse_fails_its_step(component: str, given: Any) -> None:
    assert run_subflow(component, "each", given, lambda flow, inputs: []) == Fails("UNREACHABLE", 'step "each" failed')


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ({"next": 7}, {"result": 7, "iterations": 3, "terminated": True}),
        ({"result": 7}, {"result": 7, "iterations": 1, "terminated": False}),
    ],
)
def test_iterations_end_with_a_result_or_at_their_limit(output: Any, expected: Any) -> None:
    given = {"flow": {}, "initial_input": 1, "max_iterations": 3}
    run = lambda flow, inputs: [{"outcome": "success", "result": output}]  # noqa: E731
    assert run_subflow("/builtin/iterate", "each", given, run) == expected
