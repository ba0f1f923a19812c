"""The JSON schemas for editors are valid, accept valid files and reject mistakes that servers silently ignore."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from stepflow_client import ComponentInfo, FlowFileError, InvalidArgumentError
from stepflow_client._checks.expression_rules import SCHEMA_KEYWORDS
from stepflow_client.flows import schema
from stepflow_client.flows.expressions import KEYWORDS
from stepflow_client.flows.reading import parse_yaml

from tests.flows.faults import FAULTS, Fault
from tests.flows.valid import VALID

_FLOW = Draft202012Validator(schema())
_CONFIG = Draft202012Validator(schema("config"))
_SCHEMA_RULES = {"unknown-key", "ignored-key", "unknown-keyword", "two-keywords", "missing-key", "wrong-type",
                  "missing-then", "coalesce-list", "malformed-path", "unknown-action", "not-a-schema",
                  "component-slash", "misplaced-schema", "component-input"}  # fmt: skip
"""Rules whose faults a JSON Schema can detect."""
_TEXT = {
    "type": "object",
    "properties": {"text": {"$ref": "#/$defs/T"}, "tags": {"type": "array"}},
    "required": ["text"],
    "$defs": {"T": {"type": "string"}},
}
_FILES = sorted([*Path("examples").glob("*.yaml"), *Path("tests/cli/tested_flows").glob("*.yaml")])
_ECHO = {"name": "echo", "plugin": "python", "path": "/python/echo", "input_schema": _TEXT}


def _step(component: str, *step_input: Any) -> dict[str, Any]:
    step = {"id": "a", "component": component} | ({"input": step_input[0]} if step_input else {})
    return {"steps": [step], "output": {"$step": "a"}}


@pytest.mark.parametrize("kind", ["flow", "config"])
def test_check_jsonschema_accepts_the_schemas(kind: Any, tmp_path: Path) -> None:
    path = tmp_path / "schema.json"
    path.write_text(json.dumps(schema(kind, components=[_ECHO] if kind == "flow" else None)))
    command = [sys.executable, "-m", "check_jsonschema", "--check-metaschema", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_patterns_are_valid_in_ecmascript() -> None:
    text = json.dumps([schema(components=[{"name": "a-b.c/d"}]), schema("config")])
    for pattern in re.findall(r'"pattern": ("(?:[^"\\]|\\.)*")', text):
        assert not re.search(r"\\[^.*+?^${}()|\[\]\\/sSdDwW]", json.loads(pattern)), pattern


@pytest.mark.parametrize("index", range(len(VALID)))
def test_valid_flows_are_accepted(index: int) -> None:
    assert [each.message for each in _FLOW.iter_errors(VALID[index][0])] == []


@pytest.mark.parametrize("path", _FILES, ids=str)
def test_examples_are_accepted(path: Path) -> None:
    flow = parse_yaml(path.read_text(encoding="utf-8"), str(path))
    if isinstance(flow, dict) and "plugins" in flow:
        assert [each.message for each in _CONFIG.iter_errors(flow)] == []
    else:
        assert [each.message for each in _FLOW.iter_errors(flow)] == []


@pytest.mark.parametrize("fault", [each for each in FAULTS if each.rule in _SCHEMA_RULES], ids=lambda fault: fault.name)
def test_structural_faults_are_rejected(fault: Fault) -> None:
    assert not _FLOW.is_valid(parse_yaml(fault.text.replace("«", ""), "flow.yaml"))


@pytest.mark.parametrize(
    ("flow", "is_valid"),
    [
        (_step("/python/echo", {"text": "x"}), True),
        (_step("/python/echo", {"text": {"$input": "a"}}), True),
        (_step("/python/echo", {"$if": {"$input": "a"}, "then": {"text": 1}}), True),
        (_step("/python/echo", {"$literal": {"text": "x"}}), True),
        (_step("/python/echo", {"text": 5}), False),
        (_step("/python/echo", {"txt": "x"}), False),
        (_step("/python/echo", {"text": {"$inputs": "a"}}), False),
        (_step("/python/echo", {"text": "x", "tags": [1, {"$input": "a"}]}), True),
        (_step("/python/echo", {"text": "x", "tags": [{"$inputs": "a"}]}), False),
        (_step("/python/echo"), False),
        (_step("/python/ehco", {"text": "x"}), False),
        (_step("/builtin/put_blob", {"data": 1, "blob_type": "data"}), True),
    ],
)
def test_components_of_a_server(flow: Any, is_valid: bool) -> None:
    editor_schema = Draft202012Validator(schema(components=[_ECHO, *_builtins()]))
    assert editor_schema.is_valid(flow) is is_valid
    without_path = {key: value for key, value in _ECHO.items() if key != "path"}
    editor_schema = Draft202012Validator(schema(components=[without_path, *_builtins()]))
    assert editor_schema.is_valid(flow) is is_valid


def _builtins() -> list[ComponentInfo]:
    return [ComponentInfo(name="put_blob"), ComponentInfo(name="map")]


def test_an_invalid_component_schema_is_tolerated() -> None:
    odd = {
        "type": "objekt",
        "required": "a",
        "properties": {"a": {"type": ["string", 5], "minimum": "x", "pattern": "("}},
    }
    editor_schema = schema(components=[{**_ECHO, "input_schema": odd}])
    Draft202012Validator.check_schema(editor_schema)
    assert Draft202012Validator(editor_schema).is_valid(_step("/python/echo", {"a": 1, "b": 2}))


def test_a_recursive_schema_of_a_component() -> None:
    kids = {"type": "array", "items": {"$ref": "#/$defs/T"}}
    tree = {"$ref": "#/$defs/T", "$defs": {"T": {"type": "object", "properties": {"kids": kids}}}}
    editor_schema = Draft202012Validator(schema(components=[{**_ECHO, "input_schema": tree}]))
    assert editor_schema.is_valid(_step("/python/echo", {"kids": [{"kids": [{"$input": "x"}]}]}))
    assert not editor_schema.is_valid(_step("/python/echo", {"kids": [{"kids": [5]}]}))


_CLOSED = {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False}
_WRONG = {"$inputs": "a"}
_PARTS = [{"type": "object", "properties": {"a": {"type": "integer"}}}, {"required": ["a"]}]


@pytest.mark.parametrize(
    ("input_schema", "value", "is_valid"),
    [
        (_CLOSED, {"a": "x"}, True),
        (_CLOSED, {"b": 1}, False),
        # Other keywords may allow the field.
        ({**_CLOSED, "patternProperties": {"^b": {}}}, {"b": 1}, True),
        ({**_CLOSED, "allOf": [{"properties": {"b": {}}}]}, {"b": 1}, True),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, {"b": 1}, True),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, {"b": {"$input": "b"}}, True),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, {"b": "x"}, False),
        ({"type": "object", "additionalProperties": {"type": "integer"}, "if": {}}, {"b": "x"}, True),
        # Expressions are checked in every field.
        ({"type": "object"}, {"b": _WRONG}, False),
        ({"properties": {"a": {}}}, {"b": _WRONG}, False),
        ({"required": ["a"]}, {"a": 1, "b": _WRONG}, False),
        ({"type": "array"}, [_WRONG], False),
        ({"type": "array", "items": {"type": "integer"}}, [1, {"$input": "b"}], True),
        ({"type": "array", "items": {"type": "integer"}}, [1, "x"], False),
        ({"items": {"type": "integer"}, "prefixItems": [{"type": "string"}]}, ["x"], True),
        ({"allOf": _PARTS}, {"a": {"$input": "b"}}, True),
        ({"allOf": _PARTS}, {"a": "x"}, False),
        ({"allOf": _PARTS}, {}, False),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, 5, True),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "x", False),
        ({"enum": ["x", 2]}, {"$input": "b"}, True),
        ({"enum": ["x", 2]}, 3, False),
        # Objects and lists may contain expressions.
        ({"enum": [["x"], 2]}, 3, True),
        ({"const": "x"}, "y", False),
        ({"const": {"a": "x"}}, {"a": {"$input": "b"}}, True),
        # Servers omit the shared schemas of their builtin components.
        ({"$ref": "#/$defs/Gone"}, 5, True),
        ({"$ref": "#/$defs/Gone"}, _WRONG, False),
        (True, 5, True),
    ],
)
def test_schemas_of_components_allow_expressions(input_schema: Any, value: Any, is_valid: bool) -> None:
    editor_schema = schema(components=[{**_ECHO, "input_schema": input_schema}])
    Draft202012Validator.check_schema(editor_schema)
    assert Draft202012Validator(editor_schema).is_valid(_step("/python/echo", value)) is is_valid


@pytest.mark.parametrize(
    "field", [{"enum": ["x", 2]}, {"type": "string", "enum": ["x"]}, {"type": ["string", "null"]}, {"type": "boolean"}]
)
def test_editors_can_suggest_values_of_fields(field: Any) -> None:
    input_schema = {"type": "object", "properties": {"a": {"title": "A", "description": "d", **field}}}
    definitions = schema(components=[{**_ECHO, "input_schema": input_schema}])["$defs"]
    (editor_schema,) = [each["else"]["properties"]["a"] for name, each in definitions.items() if "echo" in name]
    assert (editor_schema["title"], editor_schema["description"]) == ("A", "d")
    assert editor_schema["anyOf"][0] == {"title": "A", "description": "d", **field}


@pytest.mark.parametrize(
    ("nest", "value_of"),
    [
        (lambda inner: {"items": inner}, lambda inner: [inner]),
        (lambda inner: {"properties": {"a": inner}}, lambda inner: {"a": inner}),
        (lambda inner: {"additionalProperties": inner}, lambda inner: {"a": inner}),
        (lambda inner: {"anyOf": [inner]}, lambda inner: inner),
        (lambda inner: {"allOf": [inner]}, lambda inner: inner),
    ],
    ids=["items", "properties", "additionalProperties", "anyOf", "allOf"],
)
def test_deeply_nested_values_are_not_checked(nest: Any, value_of: Any) -> None:
    for depth, is_valid in ((10, False), (41, True)):
        input_schema: Any = {"type": "integer"}
        value: Any = "x"
        for _ in range(depth):
            input_schema, value = nest(input_schema), value_of(value)
        editor_schema = Draft202012Validator(schema(components=[{**_ECHO, "input_schema": input_schema}]))
        assert editor_schema.is_valid(_step("/python/echo", value)) is is_valid, depth


_PLUGINS = {"builtin": {"type": "builtin"}}


@pytest.mark.parametrize(
    ("config", "is_valid"),
    [
        ({"plugins": _PLUGINS, "routes": {"/builtin": [{"plugin": "builtin"}]}}, True),
        ({"plugins": _PLUGINS, "routes": {}, "storageConfig": {"type": "sqlite", "databaseUrl": "sqlite:a.db"}}, True),
        ({"plugins": _PLUGINS, "routes": {}, "storageConfig": {"metadata": {"type": "inMemory"}}}, True),
        ({"plugins": {"p": {"type": "grpc", "queueName": "p", "command": "x"}}, "routes": {}}, True),
        ({"plugins": {"p": {"type": "stepflow", "url": "http://x"}}, "routes": {}}, True),
        ({"plugins": _PLUGINS}, False),
        ({"plugins": {"p": {"type": "python"}}, "routes": {}}, False),
        ({"plugins": {"p": {"type": "grpc", "queue": "p"}}, "routes": {}}, False),
        ({"plugins": _PLUGINS, "routes": {}, "recovery": {"checkIntervalMs": 1}}, False),
        ({"plugins": _PLUGINS, "routes": {}, "storage": {}}, False),
        ({"plugins": _PLUGINS, "routes": {}, "storageConfig": {"type": "sqlite"}}, False),
    ],
)
def test_configurations(config: Any, is_valid: bool) -> None:
    assert _CONFIG.is_valid(config) is is_valid


_PAGES = sorted(
    {*Path("docs").rglob("*.md")} - {Path("docs/development/server-faults.md"), Path("docs/guides/editing-flows.md")}
)
"""The flows on the excluded pages are wrong on purpose."""


@pytest.mark.parametrize("path", _PAGES, ids=str)
def test_yaml_of_the_pages(path: Path) -> None:
    for block in re.findall(r"^```yaml\n(.*?)^```", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        try:
            value = parse_yaml(block, str(path))
        except FlowFileError:
            continue
        if isinstance(value, dict) and "steps" in value and "component" in block:
            assert [each.message for each in _FLOW.iter_errors(value)] == [], block
        elif isinstance(value, dict) and {"plugins", "routes"} <= value.keys():
            assert [each.message for each in _CONFIG.iter_errors(value)] == [], block


def test_the_schema_has_the_keywords_of_expressions() -> None:
    definitions = schema()["$defs"]
    names = [each["required"][0] for each in definitions["isExpression"]["anyOf"]]
    assert names == [each for each in KEYWORDS if each != "$from"]
    innermost = definitions["expression"]
    for name in names:
        assert innermost["if"]["required"] == [name]
        innermost = innermost["else"]
    assert innermost["propertyNames"]["anyOf"][1]["enum"] == [*SCHEMA_KEYWORDS, *names]
    assert list(innermost["properties"]) == names


def test_a_stored_flow_is_checked_as_a_flow() -> None:
    def stored(kind: str) -> dict[str, Any]:
        value = {"data": {"$literal": {"outputs": 1}}, "blob_type": kind}
        return {"steps": [{"id": "a", "component": "/builtin/put_blob", "input": value}], "output": {"$step": "a"}}

    assert not _FLOW.is_valid(stored("flow"))
    assert _FLOW.is_valid(stored("data"))


def test_another_kind_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="kind must be 'flow' or 'config', not 'run'"):
        schema("run")  # type: ignore[arg-type]
