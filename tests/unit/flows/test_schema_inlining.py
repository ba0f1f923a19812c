"""Flow schemas are adapted for tools."""

from __future__ import annotations

from typing import Any

import pytest
from stepflow_client.flows.schema_inlining import (
    inline_schema,
    is_plain_object,
    iter_field_names_and_keywords,
    require_fields_at_paths,
    wrap_schema,
)


def test_titles_next_to_a_reference_replace_those_of_the_shared_schema() -> None:
    texts = {"title": "Billing address", "description": "Where the invoice goes."}
    shared = {"address": {"type": "object", "title": "Address", "description": "An address."}}
    schema = {"type": "object", "properties": {"to": {"$ref": "#/$defs/address", **texts}}}
    assert inline_schema(schema, shared)["properties"]["to"] == {"type": "object", **texts}


def test_a_shared_schema_that_refers_to_itself_is_written_once() -> None:
    tree = {"type": "object", "properties": {"kids": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}}
    schema = {"type": "object", "properties": {"root": {"$ref": "#/$defs/tree"}}}
    assert inline_schema(schema, {"tree": tree}) == {**schema, "$defs": {"tree": tree}}


_TEXT = {"type": "string"}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (True, {}),
        (False, {"not": {}}),
        ("no schema", {}),
        ({"type": "string", "x-own": 1, "minLength": "2", "title": "a"}, {"type": "string", "title": "a"}),
        ({"type": "string", "nullable": True, "title": "a"}, {"title": "a", "anyOf": [_TEXT, {"type": "null"}]}),
        # The values of a secret are not shown.
        ({"type": "string", "is_secret": True, "default": "x", "enum": ["x"]}, {"type": "string"}),
        ({"items": [_TEXT], "additionalItems": False}, {"prefixItems": [_TEXT], "items": False}),
        ({"patternProperties": {"^a": _TEXT, "(": _TEXT}}, {"patternProperties": {"^a": _TEXT}}),
        ({"anyOf": [_TEXT, {"x-own": 1}], "oneOf": []}, {"anyOf": [_TEXT, {}]}),
        ({"properties": {"a": 5}}, {"properties": {"a": {}}}),
        ({"$ref": "#/$defs/text"}, _TEXT),
        ({"$ref": "#/$defs/gone"}, {}),
        ({"items": {"$ref": "#/$defs/text", "minLength": 1}}, {"items": {"type": "string", "minLength": 1}}),
        (
            {"properties": {"a": {"$ref": "#/$defs/text", "type": ["string", "null"]}}},
            {"properties": {"a": {"type": ["string", "null"], "allOf": [_TEXT]}}},
        ),
        (
            {"properties": {"a": {"$ref": "#/$defs/text", "type": "string", "allOf": [{"minLength": 1}]}}},
            {"properties": {"a": {"type": "string", "allOf": [{"minLength": 1}, _TEXT]}}},
        ),
        # A schema that only refers to itself allows any value.
        ({"properties": {"a": {"$ref": "#/$defs/loop"}}}, {"properties": {"a": {}}}),
    ],
)  # fmt: skip
def test_schemas_are_adapted_for_tools(schema: Any, expected: Any) -> None:
    defs = {"text": _TEXT, "loop": {"anyOf": [{"$ref": "#/$defs/loop"}]}}
    assert inline_schema(schema, defs) == expected


def test_recursive_schemas_get_unique_names() -> None:
    def tree(name: str) -> dict[str, Any]:
        return {"type": "object", "properties": {"kids": {"type": "array", "items": {"$ref": f"#/$defs/{name}"}}}}

    defs = {"a b": tree("a b"), "a~0b": tree("a~0b"), "a_b": tree("a_b")}
    names = ["a b", "a_b"]
    schema = {"properties": {str(index): {"$ref": f"#/$defs/{name}"} for index, name in enumerate(names)}}
    assert inline_schema(schema, defs) == {
        "properties": {"0": {"$ref": "#/$defs/a_b"}, "1": {"$ref": "#/$defs/a_b_2"}},
        "$defs": {"a_b": tree("a_b"), "a_b_2": tree("a_b_2")},
    }
    itself = {"type": "object", "properties": {"more": {"$ref": "#"}}}
    root = {"type": "object", "properties": {"more": {"$ref": "#/$defs/root"}}}
    assert inline_schema(itself, {}) == {**root, "$defs": {"root": root}}


def test_unchecked_keywords_can_be_dropped() -> None:
    fields = {"properties": {"a": {"minLength": 2, "uniqueItems": True}}}
    parts = {"oneOf": [_TEXT, {"type": "null"}], "anyOf": [_TEXT], **fields, "not": {"const": 1}}
    closed = {**parts, "patternProperties": {"^a": _TEXT}, "additionalProperties": False}
    assert inline_schema(closed, {}) == closed
    assert inline_schema(closed, {}, checkable_only=True) == {
        "anyOf": [_TEXT, {"type": "null"}],
        "allOf": [{"anyOf": [_TEXT]}],
        "properties": {"a": {"minLength": 2}},
    }
    assert inline_schema(False, {}, checkable_only=True) == {}


def test_fields_read_by_every_run_are_required() -> None:
    inner = {"type": "object", "properties": {"street": _TEXT}, "additionalProperties": False}
    schema = {"type": "object", "properties": {"to": inner, "note": _TEXT}, "required": ["note"]}
    paths = [("to", "street"), ("to", "zip"), ("new",), ("note", 0), (0,), ()]
    assert require_fields_at_paths(schema, paths) == {
        "type": "object",
        "properties": {"to": {**inner, "required": ["street"]}, "note": _TEXT, "new": {}},
        "required": ["note", "to", "new"],
    }
    assert schema["required"] == ["note"]
    assert require_fields_at_paths({"properties": {"a": True, "b": _TEXT}}, [("a", "x"), ("b", "x")]) == {
        "properties": {"a": True, "b": _TEXT}, "required": ["a", "b"],
    }  # fmt: skip
    closed = {"type": "object", "additionalProperties": False}
    assert require_fields_at_paths(closed, [("new",)]) == closed
    assert require_fields_at_paths({"type": "object"}, [("a",)]) == {
        "type": "object", "properties": {"a": {}}, "required": ["a"],
    }  # fmt: skip


def test_shared_schemas_are_kept_when_wrapping() -> None:
    wrapped = wrap_schema({"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}})
    (name,) = wrapped["properties"]
    assert wrapped == {
        "type": "object",
        "properties": {name: {"$ref": "#/$defs/a"}},
        "required": [name],
        "additionalProperties": False,
        "$defs": {"a": {"type": "string"}},
    }
    assert "$defs" not in wrap_schema({"type": "string"})
    assert [is_plain_object(each) for each in (wrapped, {"type": "string"}, {"type": "object", "anyOf": []})] == [
        True, False, False,
    ]  # fmt: skip


def test_names_and_keywords_of_a_schema() -> None:
    schema = {"properties": {"a": {"enum": [1]}}, "required": ["b", 5], "dependentRequired": {"c": ["d"]}}
    assert {*iter_field_names_and_keywords(schema)} == {
        "properties", "a", "enum", "required", "b", "dependentRequired", "c", "d",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("nest", "depth"),
    [
        (lambda inner: {"type": "array", "items": inner}, 60),
        (lambda inner: {"anyOf": [inner]}, 60),
        (lambda inner: {"properties": {"a": inner}}, 60),
        (lambda inner: {"type": "array", "items": inner, "nullable": True}, 30),
    ],
    ids=["items", "anyOf", "properties", "nullable"],
)
def test_schemas_are_written_up_to_a_depth(nest: Any, depth: int) -> None:
    for number, is_included in ((depth, True), (depth + 1, False)):
        schema: Any = {"type": "integer"}
        for _ in range(number):
            schema = nest(schema)
        assert ("integer" in str(inline_schema(schema, {}))) is is_included


def test_references_are_inlined_up_to_a_depth() -> None:
    defs: dict[str, Any] = {f"T{index}": {"items": {"$ref": f"#/$defs/T{index + 1}"}} for index in range(40)}
    for number, is_included in ((29, True), (30, False)):
        shared = {**defs, f"T{number}": {"type": "integer"}}
        assert ("integer" in str(inline_schema({"items": {"$ref": "#/$defs/T0"}}, shared))) is is_included
