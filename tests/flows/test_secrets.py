"""Inferred types stay marked as secret through references, branches and merged schemas."""

from __future__ import annotations

import json

import pytest
from stepflow_client._checks.type_comparison import format_type
from stepflow_client.flows import check, infer
from stepflow_client.flows.reading import parse_yaml
from stepflow_client.flows.type_system import schema_to_type, type_to_schema

SECRET = {"type": "string", "is_secret": True}
FLOW = {
    "schemas": {
        "$defs": {"Key": SECRET},
        "properties": {
            "input": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "key": {"$ref": "#/$defs/Key"},
                    "login": {"type": "object", "is_secret": True, "properties": {"token": {"type": "string"}}},
                },
                "required": ["name", "key", "login"],
            },
            "variables": {"type": "object", "properties": {"token": {**SECRET, "default": "hunter2"}}},
        },
    },
    "steps": [],
}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ({"$input": "$.name"}, "string"),
        ({"$input": "$.key"}, "string [secret]"),
        ({"$input": "$.login"}, "{token?: string} [secret]"),
        ({"$input": "$.login.token"}, "string [secret]"),
        ({"$variable": "token"}, "string [secret]"),
        ({"a": {"$input": "$.key"}, "b": 1}, "{a: string [secret], b: integer}"),
        ([{"$input": "$.key"}, "x"], "[string [secret]]"),
        ({"$if": True, "then": {"$input": "$.key"}, "else": "none"}, "string [secret]"),
        ({"$if": {"$input": "$.name"}, "then": "x", "else": {"$input": "$.key"}}, "string"),
        ({"$coalesce": [{"$variable": "token"}, None]}, "string [secret]"),
        ({"$literal": {"$input": "$.key"}}, '{"$input": string}'),
    ],
)
def test_expressions_that_read_a_secret_are_marked(expression: object, expected: str) -> None:
    inferred = infer({**FLOW, "output": expression})
    assert inferred.summary["output"] == expected
    assert ("is_secret" in json.dumps(inferred.output)) == ("[secret]" in expected)
    assert "hunter2" not in json.dumps(inferred.output) + expected


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"allOf": [{"type": "string"}, SECRET]}, "string [secret]"),
        ({"allOf": [{"type": "string"}], "is_secret": True}, "string [secret]"),
        ({"anyOf": [SECRET, {"type": "null"}]}, "string | null [secret]"),
        ({"oneOf": [{"type": "integer"}, SECRET]}, "integer | string [secret]"),
        ({"is_secret": True}, "unknown [secret]"),
        ({"enum": ["hunter2"], "is_secret": True}, "string [secret]"),
        ({"type": "array", "items": SECRET}, "[string [secret]]"),
        ({"type": "string", "nullable": True, "is_secret": True}, "string | null [secret]"),
        ({"type": "string", "is_secret": False}, "string"),
    ],
)
def test_merged_schemas_stay_secret(schema: dict[str, object], expected: str) -> None:
    type = schema_to_type(schema)
    assert format_type(type) == expected
    assert format_type(schema_to_type(type_to_schema(type))) == expected


def test_a_field_is_secret_if_any_merged_schema_marks_it() -> None:
    parts = [{"type": "object", "properties": {"a": each}} for each in ({"type": "string"}, SECRET)]
    for both in (parts, parts[::-1]):
        assert format_type(schema_to_type({"allOf": both})) == "{a?: string [secret]} [secret]"


def test_an_inferred_input_is_secret_if_the_component_marks_it() -> None:
    schema = {"type": "object", "properties": {"key": {"is_secret": True}}}
    components = [{"name": "b", "path": "/a/b", "input_schema": schema, "output_schema": {}}]
    step = {"id": "s", "component": "/a/b", "input": {"key": {"$input": "$.key"}}}
    inferred = infer({"steps": [step], "output": {"$step": "s"}}, components=components)
    assert inferred.summary["input"] == "{key: unknown [secret]}"
    assert inferred.input["properties"]["key"] == {"is_secret": True}


def test_annotated_schemas_keep_the_mark() -> None:
    text = "schemas: {properties: {input: {type: object, properties: {k: {type: string, is_secret: true}}}}}\n"
    text += "steps: []\noutput: {key: {$input: $.k}}\n"
    inferred = infer(parse_yaml(text))
    annotated = parse_yaml(inferred.annotated(text.encode(), "f.yaml").decode())
    assert annotated["schemas"]["properties"]["output"]["properties"] == {"key": SECRET}


def test_the_mark_does_not_affect_type_checks() -> None:
    schema = {"type": "object", "properties": {"user_prompt": {"type": "integer", "is_secret": True}}}
    step = {"id": "a", "component": "/builtin/create_messages", "input": {"user_prompt": {"$input": "$.user_prompt"}}}
    flow = {"schemas": {"properties": {"input": schema}}, "steps": [step], "output": {"$step": "a"}}
    assert "type-mismatch" in [each.rule for each in check(flow, type_check=True).diagnostics]
