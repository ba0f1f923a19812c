"""Input and output schemas as flow authors write them, with matching and non-matching values."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple


class Example(NamedTuple):
    """A schema with values that match it and values that do not."""

    schema: Any
    good: list[Any]
    bad: list[Any]
    """Values that `parse_input` rejects."""
    defs: Mapping[str, Any] = MappingProxyType({})


TEXT, NUMBER = {"type": "string"}, {"type": "number"}


def an_object(**fields: Any) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "required": list(fields)}


TREE = {"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#/$defs/Tree"}}, "n": NUMBER}}
CHAIN = {f"D{n}": an_object(a={"$ref": f"#/$defs/D{n + 1}"}, b={"$ref": f"#/$defs/D{n + 1}"}) for n in range(12)}
WIDE = {f"field_{n}": [TEXT, NUMBER, {"type": "boolean"}, {"type": "array", "items": TEXT}][n % 4] for n in range(200)}

SCHEMAS = [
    # Objects
    Example({"type": "object"}, [{}, {"a": 1}], [1]),
    Example(an_object(a=TEXT), [{"a": "x"}, {"a": "x", "b": 1}], [{}, {"a": 1}]),
    Example({**an_object(a=TEXT), "additionalProperties": False}, [{"a": "x"}], [{"a": "x", "b": 1}]),
    Example({**an_object(a=TEXT), "additionalProperties": NUMBER}, [{"a": "x", "b": 1}], [{"a": "x", "b": "y"}]),
    Example({"properties": {"a": TEXT}, "required": ["a"]}, [{"a": "x"}], [{}]),
    Example(an_object(a=an_object(b=an_object(c=NUMBER))), [{"a": {"b": {"c": 1}}}], [{"a": {"b": {"c": "x"}}}]),
    Example({"type": "object", "properties": WIDE}, [{"field_0": "x", "field_1": 2}], [{"field_0": 1}]),
    Example({"type": "object", "properties": WIDE, "required": ["field_199"]}, [{"field_199": ["x"]}], [{}]),
    Example({"type": "object", "patternProperties": {"^x": NUMBER}}, [{"x1": 1, "y": "z"}], []),
    Example({"type": "object", "patternProperties": {"^x": NUMBER}, "additionalProperties": False}, [{"x1": 1}], []),
    Example({"type": "object", "minProperties": 1}, [{"a": 1}], []),
    Example({"type": "object", "propertyNames": {"pattern": "^[a-z]+$"}}, [{"a": 1}], []),
    Example({"type": "object", "dependentRequired": {"a": ["b"]}}, [{"a": 1, "b": 2}], []),
    Example(an_object(**{"a b": TEXT, "ü": NUMBER, "$ref": TEXT}), [{"a b": "x", "ü": 1, "$ref": "y"}], [{"ü": 1}]),
    # Other types
    Example(TEXT, ["x", ""], [1, None, {}]),
    Example({"type": "integer"}, [1, 3.0], ["x", 1.5]),
    Example({"type": "array", "items": TEXT}, [[], ["x"]], [[1], "x"]),
    Example({"type": "array", "items": {"$ref": "#/$defs/T"}}, [["x"]], [[1]], {"T": TEXT}),
    Example({"type": ["object", "null"]}, [{}, None], [1]),
    Example({"type": ["string", "number"]}, ["x", 1], [True, None]),
    Example({"type": "null"}, [None], [0]),
    Example({"enum": ["a", "b", 1]}, ["a", 1], ["c", True]),
    Example({"const": {"a": 1}}, [{"a": 1}], [{"a": 2}]),
    Example({"type": "object", "enum": [{"a": 1}]}, [{"a": 1}], [{}]),
    Example(True, [1, {}, None], []),
    # References
    Example({"$ref": "#/$defs/A"}, [{"a": "x"}], [{"a": 1}], {"A": an_object(a=TEXT)}),
    Example({"$ref": "#/$defs/A"}, [["x"]], [{}], {"A": {"type": "array"}}),
    Example(an_object(a={"$ref": "#/$defs/A"}), [{"a": "x"}], [{"a": 1}], {"A": TEXT}),
    Example(an_object(a={"$ref": "#/schemas/$defs/A"}), [{"a": "x"}], [{"a": 1}], {"A": TEXT}),
    Example({**an_object(a={"$ref": "#/definitions/A"}), "definitions": {"A": TEXT}}, [{"a": "x"}], [{"a": 1}]),
    Example({**an_object(a={"$ref": "#/$defs/A"}), "$defs": {"A": TEXT}}, [{"a": "x"}], [{"a": 1}]),
    Example(an_object(a={"$ref": "#/$defs/A", "minLength": 2}), [{"a": "xy"}], [{"a": "x"}], {"A": TEXT}),
    Example(an_object(a={"$ref": "#/$defs/A~1b%20c"}), [{"a": "x"}], [{"a": 1}], {"A/b c": TEXT}),
    Example(an_object(a={"$ref": "#/$defs/Missing"}), [{"a": 1}], [{}]),
    Example(an_object(a={"$ref": "https://example.org/x.json"}), [{"a": 1}], [{}]),
    Example(an_object(a={"$ref": "#/$defs/A"}), [{"a": {"a": "x"}}], [{"a": {}}],
            {"A": an_object(a={"$ref": "#/$defs/B"}), "B": {"$ref": "#/$defs/C"}, "C": TEXT}),
    Example({"$ref": "#/$defs/D0"}, [], [{"a": 1}], {**CHAIN, "D12": TEXT}),
    # Recursion
    Example({"$ref": "#/$defs/Tree"}, [{"children": [{"n": 1}]}], [{"children": [{"n": "x"}]}], {"Tree": TREE}),
    Example(an_object(t={"$ref": "#/$defs/Tree"}), [{"t": {"children": []}}], [{"t": {"children": 1}}], {"Tree": TREE}),
    Example({"type": "array", "items": {"$ref": "#/$defs/Tree"}}, [[{"n": 1}]], [[{"n": "x"}]], {"Tree": TREE}),
    Example({"type": "object", "properties": {"next": {"$ref": "#"}}}, [{"next": {"next": {}}}], [1]),
    Example({"$ref": "#/$defs/A"}, [{"b": {"a": {}}}], [{"b": 1}], {
        "A": {"type": "object", "properties": {"b": {"$ref": "#/$defs/B"}}},
        "B": {"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}},
    }),
    Example({"$ref": "#/$defs/Loop"}, [{}, 1], [], {"Loop": {"$ref": "#/$defs/Loop"}}),
    Example({"$ref": "#/$defs/Loop"}, [{}, 1], [], {"Loop": {"allOf": [{"$ref": "#/$defs/Loop"}]}}),
    # Alternatives
    Example(an_object(a={"anyOf": [TEXT, NUMBER]}), [{"a": "x"}, {"a": 1}], [{"a": None}, {"a": []}]),
    Example(an_object(a={"oneOf": [TEXT, {"type": "integer"}]}), [{"a": "x"}, {"a": 1}], [{"a": None}]),
    Example(an_object(a={"oneOf": [{"type": "integer"}, NUMBER]}), [{"a": 1.5}], [{"a": "x"}]),
    Example({"anyOf": [an_object(a=TEXT), an_object(b=NUMBER)]}, [{"a": "x"}, {"b": 1}], [{}, {"a": 1}]),
    Example({"type": "object", "oneOf": [an_object(a=TEXT), an_object(b=TEXT)]}, [{"a": "x"}], [{"c": 1}]),
    Example({"allOf": [an_object(a=TEXT), an_object(b=TEXT)]}, [{"a": "x", "b": "y"}], [{"a": "x"}]),
    Example(an_object(a={"type": "string", "nullable": True}), [{"a": None}, {"a": "x"}], [{"a": 1}]),
    Example(an_object(a={"$ref": "#/$defs/A", "nullable": True}), [{"a": None}], [{"a": 1}], {"A": TEXT}),
    Example(an_object(a={"anyOf": [{"$ref": "#/$defs/Tree"}, {"type": "null"}]}), [{"a": None}], [{"a": 1}],
            {"Tree": TREE}),
    Example(an_object(a={"not": TEXT}), [{"a": 1}], []),
    Example({**an_object(a=TEXT), "if": an_object(a={"const": "x"}), "then": {"required": ["b"]}},
            [{"a": "y"}, {"a": "x", "b": 1}], [{"a": "x"}]),
    # Limits
    Example(an_object(n={"type": "integer", "minimum": 1, "maximum": 9}), [{"n": 5}], [{"n": 0}, {"n": 10}]),
    Example(an_object(n={"type": "number", "exclusiveMinimum": 0}), [{"n": 0.5}], [{"n": 0}]),
    Example(an_object(n={"type": "number", "multipleOf": 0.5}), [{"n": 1.5}], [{"n": 1.7}]),
    Example(an_object(s={"type": "string", "pattern": "^a+$", "maxLength": 3}), [{"s": "aa"}], [{"s": "b"}]),
    Example(an_object(l={"type": "array", "minItems": 1, "items": NUMBER}), [{"l": [1]}], [{"l": []}]),
    Example(an_object(l={"type": "array", "uniqueItems": True}), [{"l": [1, 2]}], []),
    # Other drafts, and invalid schemas
    Example(an_object(l={"type": "array", "items": [TEXT, NUMBER]}), [{"l": ["x", 1]}], [{"l": [1]}]),
    Example(an_object(l={"items": [TEXT], "additionalItems": False}), [{"l": ["x"]}], [{"l": ["x", 1]}]),
    Example(an_object(n={"type": "number", "minimum": 0, "exclusiveMinimum": True}), [{"n": 1}], [{"n": -1}]),
    Example({"type": "object", "properties": {"a": {"type": "string", "required": True}}}, [{}], [{"a": 1}]),
    Example(an_object(a={"type": "strng"}), [{"a": 1}], [{}]),
    Example(an_object(a={"pattern": "("}), [{"a": "x"}], [{}]),
    Example(an_object(a={"enum": []}), [], [{"a": 1}]),
    Example({"type": "object", "properties": ["a"], "required": "a"}, [{}], []),
    Example({"$schema": "http://json-schema.org/draft-04/schema#", "id": "x", **an_object(a=TEXT)}, [{"a": "x"}], [{}]),
    Example(an_object(a={"type": "string", "x-widget": "area", "is_secret": True, "default": "hunter2"}),
            [{"a": "x"}], [{"a": 1}]),
]  # fmt: skip


def nested(depth: int) -> Any:
    schema: Any = TEXT
    for _ in range(depth):
        schema = {"type": "array", "items": schema}
    return an_object(a=schema)
