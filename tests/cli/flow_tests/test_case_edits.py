"""Adding or replacing a test case changes nothing else in a flow file, whatever its format."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from stepflow_cli.flow_tests.save_run_as_case import add_case_to_content, build_test_case
from stepflow_client import FlowFileError, FlowResult, InvalidArgumentError

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
@pytest.mark.parametrize(("end", "bom"), [("\n", ""), ("\r\n", "\ufeff")], ids=["unix", "windows"])
def test_only_the_case_is_added(text: str, end: str, bom: str) -> None:
    before = (bom + text.replace("\n", end)).encode()
    after = add_case_to_content(before, CASE, "flow.yaml").decode()
    assert after.startswith(bom)
    old_flow, new_flow = (yaml.safe_load(each.removeprefix("\ufeff")) for each in (before.decode(), after))
    cases = ((old_flow.get("test") or {}).get("cases") or []) + [CASE]
    assert new_flow == {**old_flow, "test": {**(old_flow.get("test") or {}), "cases": cases}}
    # All lines are still there, in the same order.
    remaining_lines = iter(after.splitlines())
    expected_lines = [
        line
        for line in before.decode().splitlines()
        if "test: {" not in line and "cases" not in line and "{" not in line
    ]
    assert [line for line in expected_lines if line not in remaining_lines] == []
    again = add_case_to_content(after.encode(), {**CASE, "name": "kept too"}, "flow.yaml").decode()
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
def test_files_that_cannot_be_edited_locally_are_refused(text: str) -> None:
    with pytest.raises(FlowFileError, match=r"flow.yaml: cannot add a test case"):
        add_case_to_content(text.encode(), CASE, "flow.yaml")


def test_duplicate_name_is_refused() -> None:
    after = add_case_to_content(STEPS.encode(), CASE, "flow.yaml")
    with pytest.raises(InvalidArgumentError, match="already has a test case 'kept'"):
        add_case_to_content(after, CASE, "flow.yaml")


NEW = {**CASE, "input": [5], "output": {"outcome": "success", "result": "other\ntext\n"}}
WITH_CASES = [
    "cases",
    "at the end without line end",
    "brackets",
    "brackets on lines",
    "json",
    "json on lines",
    "dash on a line of its own",
]


@pytest.mark.parametrize("text", [FILES[name] for name in WITH_CASES], ids=WITH_CASES)
@pytest.mark.parametrize("mocks", [{}, {"mocks": {"a": {"outcome": "success", "result": [1]}}}], ids=["", "mocks"])
def test_replace_a_case(text: str, mocks: dict[str, Any]) -> None:
    once = add_case_to_content(text.encode(), {**CASE, **mocks, "tags": ["mine"]}, "flow.yaml")
    both = add_case_to_content(once, {**CASE, "name": "next"}, "flow.yaml")
    for new in (NEW, {**NEW, "mocks": {"a": {"outcome": "success", "result": 2}}}):
        after = yaml.safe_load(add_case_to_content(both, new, "flow.yaml", replace=True))
        before = yaml.safe_load(both)
        index = [each["name"] for each in before["test"]["cases"]].index("kept")
        before["test"]["cases"][index] = {**new, "tags": ["mine"]}
        assert after == before
        # If no case has this name, it is added.
        assert add_case_to_content(text.encode(), new, "f.yaml", replace=True) == add_case_to_content(
            text.encode(), new, "f.yaml"
        )
    comments = [line for line in both.decode().splitlines() if "#" in line]
    assert [
        line for line in comments if line not in add_case_to_content(both, NEW, "f.yaml", replace=True).decode()
    ] == []


def result(**more: Any) -> FlowResult:
    return FlowResult(**{"run_id": "r", "status": "completed", **more})


def test_case_expects_the_output_or_the_error() -> None:
    assert build_test_case("a", {"n": 1}, result(output=[1])) == {
        "name": "a",
        "input": {"n": 1},
        "output": {"outcome": "success", "result": [1]},
    }
    error = {"message": "no such page", "code": "component_failed"}
    failed = build_test_case("a", None, result(status="failed", error=error))
    assert failed["output"]["outcome"] == "failed"
    assert failed["output"]["error"]["message"] == "no such page"
    with pytest.raises(InvalidArgumentError, match="cancelled"):
        build_test_case("a", None, result(status="cancelled"))
    for code in ("lost", "lost_before_start"):
        with pytest.raises(InvalidArgumentError, match="lost"):
            build_test_case("a", None, result(status="failed", error={"message": "gone", "code": code}))


def test_generated_ids_are_expected_with_a_matcher() -> None:
    order, other = "0199d3a0-0000-7000-8000-00000000abcd", "1199d3a0-0000-7000-8000-00000000abcd"
    output = {"order": order, "id": other, "in flow": other.replace("1199", "2199"), "run_id": other}
    flow = {"output": output["in flow"], "test": {"cases": [{"name": other}]}}
    mocks = {"a": {"outcome": "success", "result": 1}}
    case = build_test_case("a", {"order": order}, result(output=output), flow=flow, mocks=mocks)
    assert case["mocks"] == mocks
    assert case["output"]["result"] == {
        "order": order,
        "id": {"$regex": "^[0-9a-fA-F-]{36}$"},
        "in flow": output["in flow"],
        "run_id": "00000000-0000-0000-0000-000000000000",
    }
