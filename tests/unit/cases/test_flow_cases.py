"""Test cases that would pass although they test less than they say."""

from __future__ import annotations

from pathlib import Path

import pytest
from stepflow_client import FlowFileError
from stepflow_client._cases.flow_cases import read_tests


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
