"""Adding a test case to a flow file: nothing else changes, whatever the file looks like."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from stepflow_client import FlowFileError, FlowResult, InvalidArgumentError
from stepflow_client.flows.edit.added_case import add_case, case_of

CASE = {
    "name": "kept",
    "input": {"path": "a\\b", "lines": "one\ntwo\n", "n": 1, "none": None, "list": [1, "x: y", {"$step": "a"}]},
    "output": {"outcome": "success", "result": {"é": "\u2028", "on": "yes", "empty": [], "date": "2026-01-01"}},
}
STEPS = "steps:\n- id: a  # the only one\n  component: /builtin/noop\noutput: {$step: a}\n"
FILES = {
    "no test": STEPS,
    "no line end": STEPS.rstrip("\n"),
    "null": STEPS + "test:\n",
    "null in between": "test:\n" + STEPS,
    "empty mapping": "test: {}\n" + STEPS,
    "no cases": "test:\n  configFile: a.yml\n" + STEPS,
    "null cases": "test:\n  cases:\n" + STEPS,
    "empty cases": "test:\n  cases: []\n  configFile: a.yml\n" + STEPS,
    "cases": "test:\n  cases:\n  - name: b  # first\n    input: 1\n\n# about the steps\n" + STEPS,
    "indented cases": "test:\n    cases:\n      - name: b\n        input:\n          x: 1\n    configFile: a.yml\n"
    + STEPS,
    "dash on a line of its own": "test:\n  cases:\n  -\n    name: b\n    input: 1\n" + STEPS,
    "at the end": STEPS + "test:\n  cases:\n  - name: b\n    input: |\n      text\n\n  # the end\n",
    "at the end without line end": STEPS + "test:\n  cases:\n  - {name: b, input: 1}",
    "brackets": "test: {cases: [{name: b, input: 1}]}\n" + STEPS,
    "brackets on lines": "test:\n  cases: [\n    {name: b, input: 1}\n  ]\n" + STEPS,
    "json": '{"steps": [{"id": "a", "component": "/builtin/noop"}], "output": {"$step": "a"}}\n',
    "json on lines": '{\n  "steps": [\n    {"id": "a", "component": "/a"}\n  ],\n  "output": {"$step": "a"}\n}\n',
    "json with cases": '{\n  "steps": [],\n  "test": {\n    "cases": [\n      {"name": "b"}\n    ]\n  }\n}\n',
    "json with empty cases": '{"steps": [], "test": {"cases": []}}',
}


@pytest.mark.parametrize("text", FILES.values(), ids=FILES)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_only_the_case_is_added(text: str, end: str, mark: str) -> None:
    before = (mark + text.replace("\n", end)).encode()
    after = add_case(before, CASE, "flow.yaml").decode()
    assert after.startswith(mark)
    was, now = (yaml.safe_load(each.removeprefix("\ufeff")) for each in (before.decode(), after))
    cases = ((was.get("test") or {}).get("cases") or []) + [CASE]
    assert now == {**was, "test": {**(was.get("test") or {}), "cases": cases}}
    # Every line is still there, in its order.
    left = iter(after.splitlines())
    kept = [
        line
        for line in before.decode().splitlines()
        if "test: {" not in line and "cases" not in line and "{" not in line
    ]
    assert [line for line in kept if line not in left] == []
    again = add_case(after.encode(), {**CASE, "name": "kept too"}, "flow.yaml").decode()
    assert [each["name"] for each in yaml.safe_load(again.removeprefix("\ufeff"))["test"]["cases"]][-2:] == [
        "kept",
        "kept too",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "x: &c\n- name: b\n  input: 1\ntest:\n  cases: *c\n" + STEPS,
        "x: &t {cases: []}\ntest: *t\n" + STEPS,
        "test: 5\n" + STEPS,
        '{"steps": [], "' + "k" * 2000 + '": 1}',
        "- a\n",
    ],
)
def test_what_cannot_be_changed_on_its_own_is_refused(text: str) -> None:
    with pytest.raises(FlowFileError, match=r"flow.yaml: a test case cannot be added"):
        add_case(text.encode(), CASE, "flow.yaml")


def test_a_name_stands_once() -> None:
    after = add_case(STEPS.encode(), CASE, "flow.yaml")
    with pytest.raises(InvalidArgumentError, match="a test case 'kept' already"):
        add_case(after, CASE, "flow.yaml")


def result(**more: Any) -> FlowResult:
    return FlowResult.model_validate({"run_id": "r", "status": "completed", "output": None, "error": None, **more})


def test_the_expectation_is_the_output_or_the_error() -> None:
    assert case_of("a", {"n": 1}, result(output=[1])) == {
        "name": "a",
        "input": {"n": 1},
        "output": {"outcome": "success", "result": [1]},
    }
    error = {"message": "no such page", "code": "component_failed"}
    failed = case_of("a", None, result(status="failed", error=error))
    assert failed["output"]["outcome"] == "failed"
    assert failed["output"]["error"]["message"] == "no such page"
    with pytest.raises(InvalidArgumentError, match="cancelled"):
        case_of("a", None, result(status="cancelled"))
