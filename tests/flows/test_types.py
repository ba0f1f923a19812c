"""Types: planted faults are found at their places, valid flows have none, and nothing breaks the check."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from stepflow_client import FlowFileError
from stepflow_client.flows import check
from stepflow_client.flows.checker import components_of, find, find_in_text
from stepflow_client.flows.findings import TYPE_RULES
from stepflow_client.flows.types.inferred import infer_text
from stepflow_client.flows.types.schemas import type_of_schema
from stepflow_client.flows.types.words import words_of

from tests.flows.mutations import mutated, mutations
from tests.flows.valid import VALID

_FOLDER = Path(__file__).with_name("type_faults")
_LISTED = json.loads((_FOLDER / "components.json").read_text())
_COMPONENTS = components_of(_LISTED)
_VALID_FILES = sorted([*Path("examples").glob("*.yaml"), *Path("tests/cli/tested_flows").glob("*.yaml")])
_FILES = sorted(_FOLDER.glob("*.yaml"))
_MARK = re.compile(r"^ *#(?P<before> *)\^ (?P<rule>[a-z-]+)$")


def _planted(text: str) -> set[tuple[str, int, int]]:
    """Return the faults that comments mark: below a line, a caret at the column and the rule."""
    found, last = set(), 0
    for number, line in enumerate(text.splitlines(), 1):
        mark = _MARK.match(line)
        if mark is None:
            last = number
            continue
        found.add((mark["rule"], last, line.index("^") + 1))
    return found


@pytest.mark.parametrize("path", _FILES, ids=lambda path: path.stem)
def test_planted_faults_are_found_and_no_others(path: Path) -> None:
    text = path.read_text()
    found = find_in_text(text, path.name, _COMPONENTS, type_check=True)
    assert {(each.rule, each.line, each.column) for each in found} == _planted(text)


@pytest.mark.parametrize("path", _FILES, ids=lambda path: path.stem)
def test_each_message_tells_how_to_mend_it(path: Path) -> None:
    for each in find_in_text(path.read_text(), path.name, _COMPONENTS, type_check=True):
        assert each.hint, each
        assert each.excerpt.endswith("^")


def test_there_are_faults_of_each_rule() -> None:
    planted = {rule for path in _FILES for rule, _, _ in _planted(path.read_text())}
    assert planted >= TYPE_RULES


@pytest.mark.parametrize("index", range(len(VALID)))
def test_a_valid_flow_has_no_findings(index: int) -> None:
    text = json.dumps(VALID[index][0], indent=1)
    for source in ("flow.json", "flow.yaml"):
        assert find_in_text(text, source, type_check=True) == []
    assert find(VALID[index][0], type_check=True) == []


@pytest.mark.parametrize("path", _VALID_FILES, ids=str)
def test_flow_files_have_no_findings(path: Path) -> None:
    assert [each for each in find(path, type_check=True) if each.rule in TYPE_RULES] == []


def test_rules_are_chosen_and_suppressed_like_others() -> None:
    path = _FOLDER / "inputs.yaml"
    only = check(path, components=_LISTED, type_check=True, select=["possible-mismatch"]).diagnostics
    assert [(each.rule, each.line) for each in only] == [("possible-mismatch", 22)]
    rest = check(path, components=_LISTED, type_check=True, ignore=["type-mismatch"]).diagnostics
    assert [each.rule for each in rest] == ["possible-mismatch"]
    text = path.read_text().replace("#             ^ possible-mismatch", "").replace(
        "path: $.note}}", "path: $.note}}  # stepflow: ignore[possible-mismatch]"
    )  # fmt: skip
    assert {each.rule for each in find_in_text(text, "f.yaml", _COMPONENTS, type_check=True)} == {"type-mismatch"}
    assert check(path, components=_LISTED).diagnostics == []


def test_mutated_flows_break_nothing() -> None:
    texts = [path.read_text() for path in _FILES]
    for text in [*(text for text, _ in mutations(400, seed=11)), *mutated(texts, 400, seed=12)]:
        found = find_in_text(text, "flow.yaml", _COMPONENTS, type_check=True)
        try:
            inferred = infer_text(text, "flow.yaml", _COMPONENTS)
        except FlowFileError:
            continue
        assert {each.rule for each in inferred.findings if each.rule in TYPE_RULES} == {
            each.rule for each in found if each.rule in TYPE_RULES
        }
        for schema in (inferred.input, inferred.output, *(step.output for step in inferred.steps)):
            Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"const": 5}, "5"),
        ({"type": ["string", "null"]}, "string | null"),
        ({"type": "string", "nullable": True}, "string | null"),
        ({"type": "array", "items": {"type": "integer"}}, "[integer]"),
        ({"anyOf": [{"type": "object", "properties": {"a": {}}}, {"type": "null"}]}, "{a?: unknown} | null"),
        ({"type": "object", "properties": {"a": {}}, "anyOf": [{"required": ["a"]}]}, "{a?: unknown}"),
        ({"allOf": [{"type": "string"}, {"minLength": 1}]}, "string"),
        ({"$ref": "#/$defs/T", "$defs": {"T": {"type": "array", "items": {"$ref": "#/$defs/T"}}}}, "array"),
        ({"$ref": "#/nowhere"}, "unknown"),
        ({"type": "objekt"}, "unknown"),
        (False, "nothing"),
        (7, "unknown"),
    ],
)
def test_schemas_as_people_read_them(value: Any, words: str) -> None:
    assert words_of(type_of_schema(value)) == words
