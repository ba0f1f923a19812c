"""Types of JSON values: unions, lookups by path, and conversion from and to schemas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from stepflow_client._checks.type_comparison import find_conflict, format_type, format_type_as_noun, is_compatible
from stepflow_client.flows.expressions import format_path
from stepflow_client.flows.type_system import (
    INTEGER,
    KEYWORDS,
    TEXT,
    UNKNOWN,
    ListOf,
    ObjectOf,
    Type,
    is_valid_keyword,
    iter_typed_paths,
    look_up_path,
    make_object_type,
    make_union,
    may_be_falsy,
    may_be_null,
    schema_to_type,
    type_to_schema,
    value_to_type,
)


def describe(type: Type) -> str:
    return format_type(type, 1_000)


@pytest.mark.parametrize(
    ("schemas", "description"),
    [
        ([{"type": "null"}, {"type": "string"}], "string | null"),
        ([{"type": "integer"}, {"type": "number"}], "number"),
        ([{"type": "integer"}, {"enum": [1.5]}], "integer | 1.5"),
        ([{"enum": ["a", "b"]}, {"enum": ["b", "c"]}], '"a" | "b" | "c"'),
        ([{"enum": ["a"]}, {"type": "string"}], "string"),
        ([{"enum": [str(number) for number in range(20)]}], '"0" | "1" | "2" | "3" | "4" | …'),
        ([{"enum": [str(number) for number in range(21)]}], "string"),
        ([{}, {"type": "string"}], "unknown"),
        ([{"is_secret": True, "type": "string"}, {"type": "integer"}], "string | integer [secret]"),
        ([{"is_secret": True}, {"type": "integer"}], "unknown [secret]"),
        ([False, {"type": "integer"}], "integer"),
        ([], "nothing"),
    ],
)
def test_unions_are_simplified(schemas: list[Any], description: str) -> None:
    assert describe(make_union(map(schema_to_type, schemas))) == description


_T, _I, _NULL = {"type": "string"}, {"type": "integer"}, {"type": "null"}
_A = {"type": "object", "properties": {"a": _T}, "required": ["a"], "additionalProperties": False}
_B = {"type": "object", "properties": {"b": _I}}
_DEFS = {
    "Name": _T,
    "Tree": {"type": "object", "properties": {"left": {"$ref": "#/$defs/Tree"}}},
    "Pair": {"type": "object", "properties": {"a": {"$ref": "#/$defs/Name"}, "b": {"$ref": "#/$defs/Name"}}},
    "Both": {"type": "object", "properties": {"a": {"$ref": "#/$defs/Tree"}, "b": {"$ref": "#/$defs/Tree"}}},
}


@pytest.mark.parametrize(
    ("schema", "description"),
    [
        ({"type": "string", "nullable": True}, "string | null"),
        ({"type": "string", "nullable": False}, "string"),
        ({"$ref": "#/$defs/Name"}, "string"),
        ({"$ref": "#/$defs/Missing"}, "unknown"),
        ({"$ref": "other.json"}, "unknown"),
        ({"$ref": "#/$defs/Tree"}, "{left?: unknown}"),
        ({"$ref": "#/$defs/Pair"}, "{a?: string, b?: string}"),
        ({"$ref": "#/$defs/Both"}, "{a?: {left?: unknown}, b?: {left?: unknown}}"),
        ({"anyOf": [_T, False]}, "string"),
        ({"oneOf": [_T, _NULL]}, "string | null"),
        ({"type": "object", "properties": {"a": _T}, "anyOf": [{"required": ["a"]}, _I]}, "integer | {a: string}"),
        ({"type": "object", "anyOf": [_A, {"$ref": "#/$defs/Name"}]}, "string | {a: string}"),
        ({"type": "integer", "anyOf": ["type", 5]}, "integer"),
        ({"type": "integer", "anyOf": [{"minimum": 5}]}, "integer"),
        ({"anyOf": [False]}, "nothing"),
        ({"anyOf": [False, {}], "type": "integer"}, "integer"),
        ({"type": "integer", "allOf": []}, "integer"),
        ({"allOf": [_T, _T]}, "string"),
        ({"allOf": [_T, _I]}, "unknown"),
        ({"allOf": [_T, {}]}, "string"),
        ({"type": "string", "allOf": [{"minLength": 5}]}, "string"),
        ({"allOf": [_A]}, "{a: string}"),
        ({"allOf": [_A, _B]}, "{a: string, b?: integer}"),
        ({"allOf": [_A, {"type": "object", "properties": {"a": _I}}]}, "{a: unknown}"),
        (
            {"allOf": [{"type": "object", "properties": {"a": _T}}, {"type": "object", "required": ["a"]}]},
            "{a: string}",
        ),
        ({"allOf": [_A, {"anyOf": [_B, _NULL]}]}, "unknown"),
        ({"allOf": [_A, {"anyOf": [_B, _T]}]}, "unknown"),
        ({"allOf": [_A, _T]}, "unknown"),
        ({"allOf": [_A], "type": "object", "properties": {"c": _I}}, "{a: string, c?: integer}"),
        ({"type": [["string"]]}, "unknown"),
        ({"type": [{}]}, "unknown"),
        ({"type": ["string", "nonsense"]}, "unknown"),
    ],
)
def test_schemas_are_converted_to_types(schema: Any, description: str) -> None:
    assert describe(schema_to_type(schema, _DEFS)) == description


def test_merged_objects_are_closed_if_all_their_parts_are() -> None:
    assert type_to_schema(schema_to_type({"allOf": [_A, _A]})) == _A
    assert "additionalProperties" not in type_to_schema(schema_to_type({"allOf": [_A, _B]}))


def test_inferred_schemas_keep_the_values_of_schemas_but_not_of_literals() -> None:
    literal, declared = value_to_type("a"), schema_to_type({"enum": ["b"]})
    assert type_to_schema(literal) == _T
    assert type_to_schema(make_union([declared, literal])) == {"type": "string", "enum": ["b", "a"]}


def test_an_object_type_with_optional_fields() -> None:
    fields = {"a": _T, "b": _I}
    closed = {"type": "object", "properties": fields, "required": ["a"], "additionalProperties": False}
    assert type_to_schema(make_object_type({"a": TEXT}, {"b": INTEGER})) == closed


@pytest.mark.parametrize(
    ("schema", "description"),
    [
        ({"type": "object"}, "unknown"),
        ({"type": "object", "properties": {"a": _T}, "additionalProperties": True}, "unknown"),
        ({"type": "object", "properties": {"a": _T}, "additionalProperties": _I}, "integer"),
        ({"type": "object", "properties": {"a": _T}, "patternProperties": {}}, "unknown"),
        ({"allOf": [{"type": "object", "properties": {"a": _T}, "additionalProperties": True}, _B]}, "unknown"),
        ({"type": "object", "properties": {"a": _T}}, None),
        ({"allOf": [{"type": "object"}, _B]}, None),
        ({"anyOf": [{"type": "object", "properties": {"x": part}} for part in (_T, _I)]}, "string | integer"),
        (False, "unknown"),
    ],
)
def test_types_of_undeclared_fields(schema: Any, description: str | None) -> None:
    lookup = look_up_path(schema_to_type(schema), ["x"])
    assert (describe(lookup.type) if lookup.problem is None else None) == description


def test_many_objects_and_lists_become_any() -> None:
    for number, objects, lists in ((8, 8, 8), (9, 1, 1)):
        parts = [{"type": "object", "properties": {f"n{index}": {}}} for index in range(number)]
        union = make_union([schema_to_type(part) for part in [*parts, *parts]])
        assert len(union.members) == objects
        union = make_union([schema_to_type({"type": "array", "items": part}) for part in [*parts, *parts]])
        assert len(union.members) == lists
        assert describe(union) == "array" or number == 8


_TREE = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "maybe": {"type": "integer"},
        "list": {"type": "array", "items": {"type": "object", "properties": {"n": {"type": "integer"}}}},
        "pair": {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": False},
        "any": {},
        "map": {"type": "object", "additionalProperties": {"type": "boolean"}},
        "closed": {"type": "object", "properties": {"a": {"type": "null"}}, "additionalProperties": False},
        "either": {"anyOf": [{"type": "object", "properties": {"x": {"type": "string"}}}, {"type": "null"}]},
        "secret": {"type": "object", "properties": {"key": {"type": "string"}}, "is_secret": True},
    },
    "required": ["name"],
}


@pytest.mark.parametrize(
    ("path", "description", "problem"),
    [
        ([], "{name: string", None),
        (["name"], "string", None),
        (["list", 7, "n"], "integer", None),
        (["pair", 1], "integer", None),
        (["any", "x", 0], "unknown", None),
        (["map", "x"], "boolean", None),
        (["either", "x"], "string", None),
        (["secret", "key"], "string [secret]", None),
        (["nam"], "unknown", "warning: the schema has no field 'nam'; did you mean 'name'?"),
        (["closed", "b"], "unknown", "error: the schema has no field 'b'; fields are: a"),
        (["name", "x"], "unknown", "error: 'x' reads a field, but this is string"),
        (["name", 0], "unknown", "error: [0] reads an element, but this is string"),
        (["list", "n"], "unknown", "error: 'n' reads a field, but this is array"),
        ([0], "unknown", "error: [0] reads an element, but this is object"),
        (["either", 0], "unknown", "error: [0] reads an element, but this is object or null"),
    ],
)
def test_types_at_paths(path: list[str | int], description: str, problem: str | None) -> None:
    lookup = look_up_path(schema_to_type(_TREE), path)
    assert describe(lookup.type).startswith(description)
    text = None if lookup.problem is None else f"{lookup.finding_level}: {lookup.problem}"
    assert (text if lookup.hint is None else f"{text}; {lookup.hint}") == problem
    assert lookup.may_be_missing is (path == ["either", "x"])


def test_paths_into_null_are_null_like_on_servers() -> None:
    type = schema_to_type(_TREE["properties"]["either"])
    assert describe(look_up_path(type, ["x"], keeps_null=True).type) == "string | null"
    assert describe(look_up_path(type, [], keeps_null=True).type) == "{x?: string} | null"
    assert describe(look_up_path(schema_to_type({"type": "null"}), ["x"], keeps_null=True).type) == "unknown"
    assert look_up_path(schema_to_type({"type": "null"}), ["x"], keeps_null=True).finding_level == "warning"
    assert describe(look_up_path(UNKNOWN, ["x"], keeps_null=True).type) == "unknown"
    values = value_to_type([1, "a"])
    assert [describe(look_up_path(values, [index]).type) for index in (0, 1)] == ["integer", "string"]
    missing = look_up_path(values, [2])
    assert (missing.finding_level, missing.problem) == ("error", "[2] is past the end of a list of 2")
    assert missing.hint == "elements count from 0"


def test_paths_to_guaranteed_parts_are_sorted_by_length() -> None:
    deep = {"type": "object", "properties": {"d": {"type": "string"}}, "required": ["d"]}
    for name in "cba":
        deep = {"type": "object", "properties": {name: deep}, "required": [name]}
    assert [path for path, _ in iter_typed_paths(schema_to_type(deep))] == ["$.a", "$.a.b", "$.a.b.c"]
    fields = {"b": {"type": "array", "items": {"type": "integer"}}, "a-b": {"type": "null"}, "c": {}}
    fields |= {
        "o": {"type": "string"},
        "n": {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}]},
    }
    schema = {"type": "object", "properties": fields, "required": ["b", "a-b", "c", "n"]}
    paths = [(path, describe(type)) for path, type in iter_typed_paths(schema_to_type(schema))]
    assert paths == [("$.b", "[integer]"), ("$.n", "[string] | null"), ("$.b[0]", "integer"), ("$.n[0]", "string")]
    lists: dict[str, Any] = {"type": "string"}
    for _ in range(5):
        lists = {"type": "array", "items": lists}
    assert [path for path, _ in iter_typed_paths(schema_to_type(lists))] == ["$[0]", "$[0][0]", "$[0][0][0]"]
    many = {f"n{index}": {"type": "string"} for index in range(300)}
    assert len([*iter_typed_paths(schema_to_type({"type": "object", "properties": many, "required": [*many]}))]) == 200


@pytest.mark.parametrize(
    ("schema", "is_null", "is_false"),
    [
        ({}, True, True),
        ({"type": "null"}, True, True),
        ({"type": ["string", "null"]}, True, True),
        ({"type": "boolean"}, False, True),
        ({"enum": [True]}, False, False),
        ({"enum": [False, "a"]}, False, True),
        ({"enum": [0, ""]}, False, False),
        ({"type": "object"}, False, False),
        (False, False, False),
    ],
)
def test_which_types_may_be_null_or_false(schema: Any, is_null: bool, is_false: bool) -> None:
    assert may_be_null(schema_to_type(schema)) is is_null
    assert may_be_falsy(schema_to_type(schema)) is is_false


_MAP = {"type": "object", "additionalProperties": {"type": "null"}}
_OPEN = {"type": "object", "properties": {"a": {}}}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "string", "is_secret": True}, {"type": "string", "is_secret": True}),
        ({"is_secret": True}, {"is_secret": True}),
        (False, {"not": {}}),
        ({"type": ["string", "null"]}, {"type": ["string", "null"]}),
        ({"enum": ["a", 1]}, {"anyOf": [{"type": "string", "enum": ["a"]}, {"type": "integer", "enum": [1]}]}),
        ({"type": "array"}, {"type": "array"}),
        ({"type": "array", "items": False}, {"type": "array"}),
        (_MAP, _MAP),
        ({"type": "object", "required": ["a"]}, {"type": "object", "properties": {"a": {}}, "required": ["a"]}),
        ({**_OPEN, "patternProperties": {}}, _OPEN),
        ({"properties": {"a": {}}}, {}),
    ],
)  # fmt: skip
def test_schemas_round_trip_through_types(schema: Any, expected: Any) -> None:
    assert type_to_schema(schema_to_type(schema)) == expected


def test_properties_of_an_output_imply_an_object() -> None:
    assert describe(schema_to_type({"properties": {"a": {"type": "string"}}}, is_source=True)) == "{a?: string}"


def test_deeply_nested_types_are_unknown() -> None:
    value: Any = 5
    schema: Any = {"type": "integer"}
    for _ in range(40):
        value, schema = {"a": [value]}, {"type": "object", "properties": {"a": schema}}
    for type, path in ((value_to_type(value), ["a", 0] * 20), (schema_to_type(schema), ["a"] * 40)):
        assert describe(look_up_path(type, path[:30]).type).startswith("{a")
        assert look_up_path(type, path[:31]).type == look_up_path(type, path).type == UNKNOWN
    assert value_to_type(object()) == UNKNOWN
    assert describe(value_to_type([1] * 200)) == "[integer]"
    assert describe(value_to_type([1] * 201)) == "array"


@pytest.mark.parametrize(
    ("nest", "part"),
    [
        (lambda inner: {"type": "array", "items": inner}, 0),
        (lambda inner: {"type": "array", "prefixItems": [inner], "items": False}, 0),
        (lambda inner: {"type": "object", "properties": {"a": inner}}, "a"),
        (lambda inner: {"type": "object", "additionalProperties": inner}, "a"),
        (lambda inner: {"anyOf": [inner]}, None),
        (lambda inner: {"allOf": [inner]}, None),
    ],
    ids=["items", "prefixItems", "properties", "additionalProperties", "anyOf", "allOf"],
)
def test_schemas_are_read_up_to_a_depth(nest: Any, part: Any) -> None:
    for depth, description in ((30, "integer"), (31, "unknown")):
        schema: Any = {"type": "integer"}
        for _ in range(depth):
            schema = nest(schema)
        path = [] if part is None else [part] * depth
        assert describe(look_up_path(schema_to_type(schema), path).type) == description


def test_huge_schemas_are_truncated() -> None:
    schema = {"type": "object", "properties": {f"f{index}": {"type": "null"} for index in range(6_000)}}
    (member,) = schema_to_type(schema).members
    assert isinstance(member, ObjectOf)
    assert sum(field.type != UNKNOWN for field in member.fields.values()) == 4_999
    schema_of_type = type_to_schema(Type((member,)))
    assert len(schema_of_type["properties"]) == 6_000
    assert sum(field != {} for field in schema_of_type["properties"].values()) == 1_999


def test_references_are_followed_up_to_a_depth() -> None:
    defs: dict[str, Any] = {f"T{index}": {"$ref": f"#/$defs/T{index + 1}"} for index in range(40)}
    for last, description in ((29, "integer"), (30, "unknown")):
        shared = {**defs, f"T{last}": {"type": "integer"}}
        assert describe(schema_to_type({"$ref": "#/$defs/T0"}, shared)) == description


def test_deep_types_are_truncated_in_schemas() -> None:
    schema: Any = {"type": "null"}
    for depth in range(30):
        schema = {"type": "array", "items": schema} if depth % 2 else {"type": "object", "additionalProperties": schema}
    assert type_to_schema(schema_to_type(schema)) == schema
    nests: list[tuple[Callable[[Type], Type], tuple[str, ...]]] = [
        (lambda type: make_object_type({"a": type}), ("properties", "a")),
        (lambda type: Type((ListOf(type),)), ("items",)),
        (lambda type: Type((ObjectOf({}, type),)), ("additionalProperties",)),
    ]
    for nest, path in nests:
        type = schema_to_type({"type": "null"})
        for _ in range(40):
            type = nest(type)
        schema_of_type = type_to_schema(type)
        for _ in range(30):
            for key in path:
                schema_of_type = schema_of_type[key]
        assert schema_of_type["type"] in ("array", "object")
        for key in path:
            schema_of_type = schema_of_type.get(key, {})
        assert schema_of_type == {}


@pytest.mark.parametrize(
    ("keyword", "valid", "invalid"),
    [
        ("type", ["string", ["string", "null"]], ["str", [], ["string", "string"], ["string", 5], None]),
        ("minimum", [0, -1.5], ["0", True, None]),
        ("exclusiveMaximum", [0, -1.5], [True, "0"]),
        ("multipleOf", [0.5, 2], [0, -1, True, "2"]),
        ("minLength", [0, 2, 2.0], [-1, 1.5, True, "2"]),
        ("pattern", ["^a", ""], ["(", 5, "a{99999999999}"]),
        ("required", [[], ["a", "b"]], ["a", ["a", "a"], [5]]),
        ("dependentRequired", [{}, {"a": ["b"]}], [[], {"a": "b"}, {"a": ["b", "b"]}]),
        ("enum", [["a"]], [[], "a"]),
        ("allOf", [[{}], []], [{}]),
        ("properties", [{}], [[], True]),
        ("items", [{}, True, []], [5, "a", None]),
        ("uniqueItems", [True], [1, "true"]),
        ("title", ["", "a"], [5, None]),
        ("examples", [[], [1]], [{}, 5]),
        ("const", [None, 1, {}], []),
        ("unknown", [], [None, 1]),
    ],
)
def test_keyword_values_are_validated(keyword: str, valid: list[Any], invalid: list[Any]) -> None:
    assert [value for value in valid if not is_valid_keyword(keyword, value)] == []
    assert [value for value in invalid if is_valid_keyword(keyword, value)] == []
    assert (keyword in KEYWORDS) is (keyword != "unknown")


def _object(properties: dict[str, Any], *required: str, **keywords: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": [*required], **keywords}


def _array(*first: Any, items: Any = True) -> dict[str, Any]:
    return {"type": "array", "prefixItems": [*first], "items": items}


_N = {"type": "number"}
_ONE_OF_TWO = {"anyOf": [_object({"a": _T}), _object({"a": _NULL})]}


@pytest.mark.parametrize(
    ("expected", "actual", "description"),
    [
        (_T, _T, None),
        (_T, _I, "$: never string, but integer"),
        (_I, _N, "$: maybe not integer, but number"),
        (_N, _I, None),
        (_N, _T, "$: never number, but string"),
        (_I, {"enum": [1.5]}, "$: never integer, but 1.5"),
        (_I, {"enum": [1.0, 2]}, None),
        (_I, {"enum": [1, 1.5]}, "$: maybe not integer, but 1.5"),
        (_N, {"enum": [1, 1.5]}, None),
        ({"enum": [1, 2]}, {"enum": [2, 3]}, "$: maybe not 1 | 2, but 3"),
        ({"enum": [1, 2]}, {"enum": [3]}, "$: never 1 | 2, but 3"),
        ({"enum": [1, 2]}, {"enum": [1, 2.0]}, None),
        ({"enum": [1]}, {"const": True}, "$: never 1, but true"),
        ({"enum": ["a"]}, _T, None),
        ({"anyOf": [{"enum": [1, 2]}, _T]}, {"enum": [2, 3]}, "$: maybe not 1 | 2, but 3"),
        ({"type": ["string", "null"]}, _I, "$: never string | null, but integer"),
        (_T, {"type": ["string", "null"]}, "$: maybe not string, but null"),
        (_T, {"type": ["integer", "null"]}, "$: never string, but integer | null"),
        (_T, {"type": ["string", "integer", "null"]}, "$: maybe not string, but integer | null"),
        ({}, _T, None),
        (_T, {}, None),
        (False, _T, "$: never nothing, but string"),
        (_T, False, None),
        (_array(items=_T), _array(items=_I), "$[0]: never string, but integer"),
        (_array(items=_T), _array(items=_T), None),
        (_array(items=_T), _array(), None),
        (_array(_T, _I), _array(_T, _T), "$[1]: maybe not integer, but string"),
        (_array(_T, _I), _array(_I, _I), "$[0]: never string, but integer"),
        (_array(_I, items=_T), _array(_I, _I), None),
        (_array(items=_T), _array(_T, items=_I), None),
        (_array(items=_T), ["a", 1], "$[1]: never string, but integer"),
        (_array(items=_T), [1, "a"], "$[0]: never string, but integer"),
        (_array(_T, _I), ["a", "b"], "$[1]: never integer, but string"),
        (_array(items=_T), [], None),
        (_object({"a": _T}), _object({"a": _I}, "a"), "$.a: never string, but integer"),
        (_object({"a": _T}), _object({"a": _I}), "$.a: maybe not string, but integer"),
        (_object({"a": _T}, "a"), _object({"b": _I}), "$: maybe not {a: string}, but {b?: integer}, without a"),
        (_object({"a": _T}, "a"), {"b": 1}, "$: never {a: string}, but {b: integer}, without a"),
        (_object({"a": _T}, "a"), {}, None),
        (_object({"a": _T}, "a"), {"type": "object"}, None),
        (_object({"a": _T}, "a"), _object({}, additionalProperties=_T), None),
        (_object({"a": _T}, "a"), _object({"b": _I}, additionalProperties=_T), None),
        (_object({"a": _T}, "a"), _object({}, additionalProperties=False), "$: never {a: string}, but {}, without a"),
        (_object({"a": _T}), {"b": 1}, None),
        (_object({"a": _object({"b": _T})}), {"a": {"b": 1}}, "$.a.b: never string, but integer"),
        (_object({"a": _T, "b": _T}), _object({"a": _I, "b": _I}, "b"), "$.b: never string, but integer"),
        ({"anyOf": [_T, _object({"a": _T})]}, {"a": 1}, "$.a: never string, but integer"),
        (_ONE_OF_TWO, {"a": 1}, "$: never {a?: string} | {a?: null}, but {a: integer}"),
        (_ONE_OF_TWO, _object({"a": _I}), "$: maybe not {a?: string} | {a?: null}, but {a?: integer}"),
        ({"anyOf": [_array(items=_T), _array(items=_NULL)]}, [1], "$: never [string] | [null], but [integer]"),
        (
            {"anyOf": [_object({"a": _T}), _array(items=_T)]},
            {"anyOf": [_object({"a": _I}), _array(items=_I)]},
            "$: maybe not {a?: string} | [string], but {a?: integer} | [integer]",
        ),
    ],
)
def test_conflicts_between_types(expected: Any, actual: Any, description: str | None) -> None:
    is_value = isinstance(actual, list) or (isinstance(actual, dict) and bool({"a", "b"} & {*actual}))
    conflict = find_conflict(value_to_type(actual) if is_value else schema_to_type(actual), schema_to_type(expected))
    if conflict is None:
        assert description is None
        return
    lacks = "" if conflict.missing is None else f", without {conflict.missing}"
    sure = "never" if conflict.is_certain else "maybe not"
    text = f"{sure} {describe(conflict.expected)}, but {describe(conflict.actual)}{lacks}"
    assert f"{format_path(conflict.path)}: {text}" == description


def test_types_are_compared_up_to_a_depth() -> None:
    nests: list[Callable[[Any], Any]] = [
        lambda part: _object({"a": part}, "a"), lambda part: _array(items=part), lambda part: _array(part),
    ]  # fmt: skip
    for nest in nests:
        for depth, fits in ((20, False), (21, True)):
            expected, actual = _T, _I
            for _ in range(depth):
                expected, actual = nest(expected), nest(actual)
            assert is_compatible(schema_to_type(actual), schema_to_type(expected)) is fits


@pytest.mark.parametrize(
    ("schema", "noun", "description"),
    [
        (_I, "an integer", "integer"),
        ({"type": ["string", "null"]}, "a string or null", "string | null"),
        ({"type": ["string", "integer", "null"]}, "a string or an integer or null", "string | integer | null"),
        ({"type": ["string", "integer", "boolean", "null"]}, None, "string | integer | boolean | null"),
        ({"enum": ["ä"]}, None, '"ä"'),
        ({"type": "array"}, "a list", "array"),
        ({"type": "array", "items": False}, "a list", "array"),
        (_array(items=_T), None, "[string]"),
        ({"type": "object"}, "an object", "object"),
        (_object({}, additionalProperties=False), None, "{}"),
        (_object({"a b": _T, "c-d": _T}), None, '{"a b"?: string, c-d?: string}'),
        (_object({f"f{index:02}": _NULL for index in range(12)}, "f00"), None,
         f"{{f00: null, {', '.join(f'f{index:02}?: null' for index in range(1, 12))}}}"),
        (_object({f"f{index:02}": _NULL for index in range(13)}, "f00"), None,
         f"{{f00: null, {', '.join(f'f{index:02}?: null' for index in range(1, 12))}, …}}"),
        ({"enum": [1, 2, 3, 4, 5]}, None, "1 | 2 | 3 | 4 | 5"),
        ({"is_secret": True, "type": "string"}, "a string", "string [secret]"),
        ({}, None, "unknown"),
        (False, None, "nothing"),
    ],
)  # fmt: skip
def test_types_are_described_in_words(schema: Any, noun: str | None, description: str) -> None:
    type = schema_to_type(schema)
    assert describe(type) == description
    assert format_type_as_noun(type) == (noun or format_type(type, 80))


def test_nested_types_are_described_up_to_a_depth() -> None:
    lists, objects = _T, _T
    for _ in range(10):
        lists, objects = _array(items=lists), _object({"a": objects}, "a")
    assert describe(schema_to_type(lists)) == "[" * 8 + "array" + "]" * 8
    assert describe(schema_to_type(objects)) == "{a: " * 8 + "object" + "}" * 8
    assert format_type_as_noun(value_to_type("x")) == "a string"
