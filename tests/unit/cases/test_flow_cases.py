"""Test cases that would test less than they claim are reported as faults."""

from __future__ import annotations

from pathlib import Path

import pytest
from stepflow_client import FlowFileError
from stepflow_client._cases.flow_cases import FlowCase, collect_tests, read_tests


def read_fault(tmp_path: Path, case: str) -> str:
    """Write a file with one case and return its fault."""
    path = tmp_path / "flow.yaml"
    path.write_text(f"output: 1\ntest:\n  cases:\n    - {{name: a, input: 1, {case}}}\n")
    (only,) = read_tests(path).cases
    return only.fault


@pytest.mark.parametrize(
    ("case", "message"),
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
        ("output: {outcome: success, result: [{$contains: ''}]}", "$contains expects a substring, a key"),
        ("output: {outcome: success, result: {$range: [null, null]}}", "numbers or one of them null"),
        ("mocks: {s: {outcome: failed, error: {mesage: x}}}", "did you mean 'message'?"),
        ("mocks: {s: {outcome: failed, error: {code: TIMEOUT, data: 1}}}", "unknown key 'data' in the error of a mock"),
        ("mocks: {s: {outcome: success, result: 1, error: {}}}", "unknown key 'error' in a mock"),
        ("variables: [a]", "variables must be an object, not a list"),
        ("varaibles: {a: 1}", "did you mean 'variables'?"),
    ],
)
def test_ignored_content_is_a_fault(tmp_path: Path, case: str, message: str) -> None:
    assert message in read_fault(tmp_path, case)


def test_cases_are_read_with_all_their_properties(tmp_path: Path) -> None:
    path = tmp_path / "flow.yaml"
    path.write_text(
        "steps: [{id: a, component: /x/a}]\noutput: {$step: a}\ntest:\n  configFile: c.yml\n  config: {routes: {}}\n"
        "  cases:\n  - name: one\n    description: why\n    input: 1\n    tags: [quick]\n    variables: {v: 1}\n"
        "    mocks: {a: {outcome: success, result: 2}}\n    output: {outcome: success, result: 2}\n"
        "  - {name: one, input: 2}\n  - {input: 3}\n  - 5\n"
    )
    with pytest.raises(FlowFileError, match="config"):
        read_tests(path)
    path.write_text(path.read_text().replace("  config: {routes: {}}\n", ""))
    tests = read_tests(path)
    assert (tests.config_file, tests.config, tests.step_ids, tests.is_broken) == ("c.yml", None, ("a",), False)
    assert "test" not in tests.flow
    one, duplicate, unnamed, number = tests.cases
    mocks = {"a": {"outcome": "success", "result": 2}}
    expected = {"outcome": "success", "result": 2}
    assert one == FlowCase(
        "one", 0, 1, expected, ("quick",), description="why", line=6, variables={"v": 1}, mocks=mocks
    )
    assert (duplicate.name, duplicate.index, duplicate.input, duplicate.expected) == ("one", 1, 2, None)
    assert duplicate.fault == "two test cases are named 'one'"
    assert (unnamed.name, unnamed.line, unnamed.fault) == (
        "case 3", 14, "test.cases[2]: a test case needs 'name'; add name: ...",
    )  # fmt: skip
    assert (number.name, number.input, number.fault) == (
        "case 4", None, "test.cases[3]: a test case must be a mapping, not a number",
    )  # fmt: skip


def test_a_configuration_must_be_an_object(tmp_path: Path) -> None:
    path = tmp_path / "flow.yaml"
    for key in ("config", "stepflow_config"):
        path.write_text(f"output: 1\ntest: {{{key}: 5, cases: []}}\n")
        with pytest.raises(FlowFileError, match="config must be an object"):
            read_tests(path)
        path.write_text(f"output: 1\ntest: {{{key}: {{routes: {{}}}}, cases: []}}\n")
        assert read_tests(path).config == {"routes": {}}


def test_an_invalid_file_becomes_a_case_with_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "flow.yaml"
    path.write_text("output: 1\ntest: {cases: [{name: a, input: 1}]}\n")
    tests = collect_tests(path)
    assert (tests.is_broken, [case.name for case in tests.cases]) == (False, ["a"])
    path.write_text("output: 1\ntests: {cases: [{name: a, input: 1}]}\n")
    tests = collect_tests(path)
    (case,) = tests.cases
    assert (tests.is_broken, tests.flow, case.name, case.line) == (True, {}, "flow.yaml", 2)
    assert "unknown key 'tests' in a flow" in case.fault
    assert case.fault.endswith("; did you mean 'test'?")


@pytest.mark.parametrize(
    "case", ["description: why, tags: [a]", "output: null", "output: {outcome: success, result: 1}"]
)
def test_valid_cases_have_no_fault(tmp_path: Path, case: str) -> None:
    assert read_fault(tmp_path, case) == ""


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
def test_misplaced_cases_are_an_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "flow.yaml"
    path.write_text(text)
    with pytest.raises(FlowFileError, match="unknown key"):
        read_tests(path)
