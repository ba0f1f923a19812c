"""Evaluation cases are read from rows, objects, files and flows."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from stepflow_client import FlowFileError, InvalidArgumentError
from stepflow_client.evaluation import EvaluationCase
from stepflow_client.evaluation.records import encode_case_set, resolve_cases

FIELDS = {"n": {"type": "integer"}, "text": {"type": "string"}}
FLOW: dict[str, Any] = {
    "schemas": {"properties": {"input": {"type": "object", "properties": FIELDS}}},
    "steps": [],
    "output": {"$input": "$"},
}


def read(cases: Any, flow: Any = FLOW, expected: str = "expected") -> list[EvaluationCase]:
    return list(resolve_cases(cases, flow, flow if isinstance(flow, dict) else FLOW, expected))


def test_a_row_is_an_input_with_an_optional_expected_output() -> None:
    cases = read([{"n": 1, "expected": {"a": 2}}, {"n": 2, "id": "two"}, 3, [4]])
    assert cases == [
        EvaluationCase("0", {"n": 1}, {"a": 2}),
        EvaluationCase("two", {"n": 2, "id": "two"}),
        EvaluationCase("2", 3),
        EvaluationCase("3", [4]),
    ]


def test_objects_with_an_input_are_cases() -> None:
    cases = [{"input": {"n": 1}, "expected": 2}, {"name": "x", "input": None}, {"input": {"id": 7}, "wanted": 1}]
    assert read(cases[:2]) == [EvaluationCase("0", {"n": 1}, 2), EvaluationCase("x", None)]
    assert read(cases[2:], expected="wanted") == [EvaluationCase("7", {"id": 7}, 1)]


def test_objects_are_rows_if_the_flow_has_an_input_field() -> None:
    flow = {"schemas": {"properties": {"input": {"properties": {"input": {}}}}}}
    assert read([{"input": "text", "expected": 1}], flow) == [EvaluationCase("0", {"input": "text"}, 1)]


def test_csv_values_are_converted_by_the_schema_of_the_flow(tmp_path: Path) -> None:
    file = tmp_path / "cases.csv"
    file.write_text("n,text,expected\n1,a,yes\n2,b,no\n")
    assert read(file) == [
        EvaluationCase("0", {"n": 1, "text": "a"}, "yes"),
        EvaluationCase("1", {"n": 2, "text": "b"}, "no"),
    ]


def test_a_line_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "cases.csv"
    file.write_text("n,text\n1,a\nx,b\n")
    with pytest.raises(FlowFileError, match="line 3"):
        read(file)


def test_read_json_lines(tmp_path: Path) -> None:
    file = tmp_path / "cases.jsonl"
    file.write_text('{"input": {"n": 1}, "expected": {"n": 1}, "name": "one"}\n\n{"n": 2}\n')
    assert read(file) == [EvaluationCase("one", {"n": 1}, {"n": 1}), EvaluationCase("1", {"n": 2})]


def test_read_the_test_cases_of_the_flow(tmp_path: Path) -> None:
    file = tmp_path / "flow.yaml"
    cases = [
        {"name": "one", "input": {"n": 1}, "output": {"outcome": "success", "result": {"n": 1}}},
        {"name": "two", "input": {"n": 2}},
    ]
    file.write_text(yaml.safe_dump({**FLOW, "test": {"cases": cases}}))
    assert read(None, str(file)) == [EvaluationCase("one", {"n": 1}, {"n": 1}), EvaluationCase("two", {"n": 2})]
    assert read(None, {**FLOW, "test": {"cases": cases}}) == read(None, str(file))


def test_a_malformed_test_case_is_an_error() -> None:
    with pytest.raises(FlowFileError, match="outcome"):
        read(None, {**FLOW, "test": {"cases": [{"name": "one", "input": 1, "output": {"outcome": "maybe"}}]}})


def test_datasets_of_other_packages_are_accepted() -> None:
    one = SimpleNamespace(name="one", inputs={"n": 1}, expected_output=2)
    dataset = SimpleNamespace(cases=[one, SimpleNamespace(name=None, inputs=3, expected_output=None)])
    assert read(dataset) == read(dataset.cases) == [EvaluationCase("one", {"n": 1}, 2), EvaluationCase("1", 3)]


def test_names_are_unique() -> None:
    assert [each.name for each in read([{"id": 1}, {"id": 1}, {"id": "1"}])] == ["1", "1 (1)", "1 (2)"]


@pytest.mark.parametrize("cases", [7, b"text", {"n": 1}])
def test_other_values_are_rejected(cases: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="cases must be a path, a collection of cases"):
        read(cases)


def test_a_flow_without_test_cases_needs_cases() -> None:
    with pytest.raises(InvalidArgumentError, match="no test cases"):
        read(None)


def test_errors_about_invalid_values_name_the_case() -> None:
    with pytest.raises(InvalidArgumentError, match="the expected output of case x"):
        encode_case_set([EvaluationCase("x", 1, {1, 2})])
    with pytest.raises(InvalidArgumentError, match="the input of case y"):
        encode_case_set([EvaluationCase("x", "é"), EvaluationCase("y", float("nan"))])


def test_cases_are_stored_as_json() -> None:
    cases = [EvaluationCase("é", {"n": 1}), EvaluationCase("d", date(2026, 1, 2), [1.5])]
    names, content = encode_case_set(cases)
    assert (json.loads(names), json.loads(content)) == (["é", "d"], [[{"n": 1}, None], ["2026-01-02", [1.5]]])


def test_a_name_is_a_string_that_can_be_stored() -> None:
    flow = {"steps": []}
    assert [case.name for case in resolve_cases([EvaluationCase(7, 1)], flow, flow, "expected")] == ["7"]  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="the name of case"):
        encode_case_set([EvaluationCase("\ud800", 1)])


def test_generated_names_do_not_collide_with_other_cases() -> None:
    assert [case.name for case in read([{"id": "a"}, {"id": "a (2)"}, {"id": "a"}, {"id": ""}])] == [
        "a",
        "a (2)",
        "a (2) (2)",
        "3",
    ]
