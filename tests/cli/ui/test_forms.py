"""Forms are built from schemas, and submitted forms are parsed into values."""

from __future__ import annotations

import re
from typing import Any

import pytest
from stepflow_cli.ui.schema_forms import (
    InvalidFormError,
    build_schema_fields,
    fill_field,
    fill_fields_from_object,
    get_values_to_submit,
    hash_form_contents,
    parse_json_or_yaml,
    parse_submitted_object,
    should_parse_text_instead_of_fields,
)
from stepflow_cli.ui.security import MalformedFormError, parse_form_body
from stepflow_cli.ui.views.flows import build_flow_fields
from stepflow_client import StoredFlow

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["topic", "count"],
    "properties": {
        "topic": {"type": "string", "title": "Topic"},
        "style": {"enum": ["short", 3, True]},
        "count": {"type": "integer", "default": 3},
        "share": {"type": ["number", "null"]},
        "loud": {"type": "boolean"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "of": {"$ref": "#/$defs/Of"},
        "text": {"type": "string", "maxLength": 5000},
    },
}
FIELDS = build_schema_fields(SCHEMA, {"Of": {"type": "integer", "description": "Of what"}})
NAMED = {each.key: each for each in FIELDS}


def build_form(**values: str) -> dict[str, str]:
    names = {each.key: each.name for each in FIELDS}
    return {names[key]: value for key, value in values.items()}


def test_kinds_of_fields() -> None:
    assert [(each.key, each.kind, each.required) for each in FIELDS] == [
        ("topic", "text", True),
        ("style", "choice", False),
        ("count", "integer", True),
        ("share", "number", False),
        ("loud", "boolean", False),
        ("tags", "list", False),
        ("of", "integer", False),
        ("text", "long", False),
    ]
    assert NAMED["style"].option_labels == ["short", "3", "true"]
    assert NAMED["count"].value == "3"
    assert NAMED["of"].description == "Of what"


def test_field_names_do_not_depend_on_property_order() -> None:
    reordered = {**SCHEMA, "properties": dict(reversed(SCHEMA["properties"].items()))}
    fields = build_schema_fields(reordered, {"Of": {"type": "integer", "description": "Of what"}})
    assert [each.name for each in reversed(fields)] == [each.name for each in FIELDS]


def test_property_names_are_not_used_as_field_names() -> None:
    (field,) = build_schema_fields({"properties": {'"><script>': {"title": 3, "description": []}}})
    assert (field.title, field.description) == ('"><script>', "")
    assert re.fullmatch(r"input-[0-9a-f]{16}", field.name)


@pytest.mark.parametrize(
    "schema", [None, True, [], "x", {}, {"properties": []}, {"properties": {}}, {"$ref": "#/$defs/None"}]
)
def test_schemas_without_fields(schema: Any) -> None:
    assert build_schema_fields(schema) == []


def test_unsupported_schemas_become_json_fields() -> None:
    schemas = [
        True,
        None,
        3,
        {"type": 3},
        {"type": ["string", "integer"]},
        {"enum": []},
        {"enum": 3},
        {"anyOf": []},
        {},
    ]
    fields = build_schema_fields(
        {"required": 3, "properties": {str(index): each for index, each in enumerate(schemas)}}
    )
    assert {each.kind for each in fields} == {"json"}
    loop = {"A": {"$ref": "#/$defs/A"}}
    assert [each.kind for each in build_schema_fields({"properties": {"a": {"$ref": "#/$defs/A"}}}, loop)] == ["json"]


def test_nullable_field_can_be_null() -> None:
    (shown,) = fill_fields_from_object([NAMED["share"]], {"share": None})
    texts = get_values_to_submit([shown])
    assert texts == {shown.name: "", f"{shown.name}-null": "1"}
    assert parse_submitted_object([shown], texts) == {"share": None}
    assert parse_submitted_object([shown], {shown.name: "2"}) == {"share": 2}
    (counted,) = fill_fields_from_object([NAMED["count"]], {"count": None}) or [None]
    assert counted is None, "a field that is not nullable cannot show null"


def test_changed_raw_text_is_used_and_conflicts_are_refused() -> None:
    fields = fill_fields_from_object(FIELDS, {"topic": "tea", "count": 3})
    texts, before = get_values_to_submit(fields), hash_form_contents(fields, '{\n  "topic": "tea"\n}')
    unchanged, changed = '{\r\n  "topic": "tea"\r\n}', '{"topic": "coffee"}'
    other = texts | build_form(topic="milk")
    assert not should_parse_text_instead_of_fields(fields, {**other, "before": before, "raw": unchanged})
    assert should_parse_text_instead_of_fields(fields, {**texts, "before": before, "raw": changed})
    assert not should_parse_text_instead_of_fields(fields, {**other, "before": before, "raw": " "})
    # The script disables the fields once there is raw text.
    assert should_parse_text_instead_of_fields(fields, {"before": before, "raw": changed})
    with pytest.raises(ValueError, match="change only one of them"):
        should_parse_text_instead_of_fields(fields, {**other, "before": before, "raw": changed})
    assert should_parse_text_instead_of_fields([], {})


def test_values_of_a_form() -> None:
    form = build_form(topic="a\r\nb", style="2", count="4", share="1.5", loud="false", tags='["x"]', of="", text="")
    assert parse_submitted_object(FIELDS, form) == {
        "topic": "a\nb",
        "style": True,
        "count": 4,
        "share": 1.5,
        "loud": False,
        "tags": ["x"],
    }


def test_required_text_may_be_empty() -> None:
    assert parse_submitted_object(FIELDS, build_form(count="1")) == {"topic": "", "count": 1}


def test_required_list_may_be_empty() -> None:
    """With scripts, there's no other way to enter an empty list."""
    tags = {"type": "array", "items": {"type": "string"}}
    fields = build_schema_fields({"type": "object", "required": ["tags"], "properties": {"tags": tags, "more": tags}})
    assert parse_submitted_object(fields, {}) == {"tags": []}
    schema = {"type": "object", "required": ["tags"], "properties": {"tags": {**tags, "minItems": 1}}}
    with pytest.raises(InvalidFormError, match="tags: "):
        parse_submitted_object(build_schema_fields(schema), {})


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("count", "", "needs a value"),
        ("count", "1.5", "not an integer"),
        ("count", "true", "not an integer"),
        ("count", "x", "JSON"),
        ("style", "3", "not one of the choices"),
        ("style", "-1", "not one of the choices"),
        ("share", '"1"', "not a number"),
        ("loud", "1", "neither true nor false"),
        ("tags", "[", "JSON"),
    ],
)
def test_invalid_values_of_a_form(key: str, text: str, message: str) -> None:
    with pytest.raises(InvalidFormError) as caught:
        parse_submitted_object(FIELDS, {**build_form(count="1"), **build_form(**{key: text})})
    errors = {each.key: each.error for each in caught.value.fields if each.error}
    assert list(errors) == [key]
    assert message in errors[key]
    # The field keeps the entered text.
    assert next(each for each in caught.value.fields if each.key == key).value == text


def test_fields_are_filled_with_values() -> None:
    values = {"topic": "a", "style": True, "count": 7, "loud": True, "tags": ["b"], "share": 2.5}
    fields = [fill_field(each, values[each.key]) if each.key in values else each for each in FIELDS]
    assert parse_submitted_object(fields, {each.name: each.value for each in fields}) == values
    assert fill_field(NAMED["topic"], 3).value == ""
    assert fill_field(NAMED["style"], 1).value == ""


ORDER: dict[str, Any] = {
    "type": "object",
    "required": ["day", "customer"],
    "properties": {
        "day": {"type": "string", "format": "date"},
        "at": {"type": "string", "format": "date-time"},
        "mail": {"type": "string", "format": "email"},
        "page": {"type": "string", "format": "uri", "examples": ["https://example.org/"]},
        "count": {"type": "integer", "minimum": 1, "maximum": 10},
        "share": {"type": "number", "exclusiveMinimum": 0, "multipleOf": 0.5},
        "code": {"type": "string", "minLength": 3, "pattern": "^[A-Z]+$"},
        "customer": {
            "type": "object",
            "required": ["name"],
            "properties": {
                "name": {"type": "string", "minLength": 2},
                "address": {"type": "object", "properties": {"city": {"type": "string"}, "zip": {"type": "integer"}}},
            },
        },
        "lines": {
            "type": "array",
            "maxItems": 2,
            "items": {"type": "object", "required": ["sku"], "properties": {"sku": {"type": "string"}}},
        },
    },
}
FORM = build_schema_fields(ORDER)


def build_order_form(**values: str) -> dict[str, str]:
    """Return a submitted form; keywords for nested fields look like `customer__name`."""

    def names(fields: Any, before: str = "") -> dict[str, str]:
        by_key = {}
        for each in fields:
            key = f"{before}{each.key}"
            by_key |= names(each.parts, f"{key}__") if each.kind == "object" else {key: each.name}
        return by_key

    field_names = names(FORM)
    return {field_names[key]: value for key, value in values.items()}


def test_nested_objects_lists_and_formats() -> None:
    assert [(each.key, each.kind) for each in FORM] == [
        ("day", "date"), ("at", "date-time"), ("mail", "email"), ("page", "uri"), ("count", "integer"),
        ("share", "number"), ("code", "text"), ("customer", "object"), ("lines", "list"),
    ]  # fmt: skip
    form = build_order_form(day="2026-01-31", at="2026-01-31T10:00", customer__name="Ada", lines='[{"sku": "x"}]')
    assert parse_submitted_object(FORM, form) == {
        "day": "2026-01-31",
        "at": "2026-01-31T10:00:00Z",
        "customer": {"name": "Ada"},
        "lines": [{"sku": "x"}],
    }
    hints = {each.key: each.hint for each in FORM}
    assert hints["count"] == "1 to 10"
    assert hints["code"] == "at least 3 characters; matching ^[A-Z]+$"
    assert hints["share"] == "more than 0; a multiple of 0.5"
    assert hints["page"] == "for example https://example.org/"
    assert {each.key: each.attributes for each in FORM}["count"] == {"min": "1", "max": "10"}


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ({"count": "50"}, "count", "at most 10"),
        ({"code": "ab"}, "code", "at least 3 characters"),
        ({"code": "abcd"}, "code", "matches"),
        ({"share": "0.7"}, "share", "multiple of 0.5"),
        ({"day": "yesterday"}, "day", "is not a date"),
        ({"day": ""}, "day", "needs a value"),
        ({"at": "2026-01-31"}, "at", "is not a date and time"),
        ({"mail": "nope"}, "mail", "is not an email address"),
        ({"page": "no uri"}, "page", "is not a URI"),
        ({"customer__name": "A"}, "customer.name", "at least 2 characters"),
        ({"customer__address__zip": "x"}, "customer.address.zip", "JSON"),
        ({"lines": '[{"sku": 5}]'}, "lines", "[0].sku: the schema expects string"),
        ({"lines": "[1, 2, 3]"}, "lines", "at most 2 elements"),
        ({"lines": "{}"}, "lines", "is not a list"),
    ],
)
def test_error_names_the_field(change: dict[str, str], field: str, message: str) -> None:
    form = build_order_form(day="2026-01-31", customer__name="Ada") | build_order_form(**change)
    with pytest.raises(InvalidFormError) as caught:
        parse_submitted_object(FORM, form)
    assert str(caught.value).startswith(f"{field}: ")
    assert message in str(caught.value)


def test_fields_are_filled_only_if_they_can_show_the_whole_value() -> None:
    value = {
        "day": "2026-01-31",
        "at": "2026-01-31T10:00:00Z",
        "count": 3,
        "customer": {"name": "Ada", "address": {"zip": 5}},
        "lines": [{"sku": "x"}],
    }
    shown = fill_fields_from_object(FORM, value)
    assert parse_submitted_object(shown, get_values_to_submit(shown)) == value
    assert next(each for each in shown if each.key == "at").input_type == "datetime-local"
    offset = fill_fields_from_object(FORM, {**value, "at": "2026-01-31T10:00:00+02:00"})
    assert next(each for each in offset if each.key == "at").input_type == "text"
    for other in ({"more": 1}, {"customer": {"name": "Ada", "age": 5}}, {"customer": 5}, {"count": "3"}, {"lines": {}}):
        assert fill_fields_from_object(FORM, {**value, **other}) == []
    assert fill_fields_from_object(FORM, []) == fill_fields_from_object(FORM, None) == []


def test_empty_optional_object_is_omitted() -> None:
    fields = build_schema_fields(
        {"properties": {"a": {"type": "object", "required": ["b"], "properties": {"b": {"type": "string"}}}}}
    )
    assert parse_submitted_object(fields, {}) == {}
    assert parse_submitted_object(fields, {fields[0].parts[0].name: "x"}) == {"a": {"b": "x"}}


def test_number_and_depth_of_fields_are_limited() -> None:
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(10):
        deep = {"type": "object", "properties": {"a": deep}}
    (field,) = build_schema_fields({"properties": {"a": deep}})
    depth = 0
    while field.kind == "object":
        (field,), depth = field.parts, depth + 1
    assert (field.kind, depth) == ("json", 4)
    wide = {"type": "object", "properties": {str(number): {"type": "string"} for number in range(60)}}
    fields = build_schema_fields({"properties": {"a": wide, "b": wide}})
    assert [each.kind for each in fields] == ["object", "json"]
    loop = {
        "Tree": {"type": "object", "properties": {"left": {"$ref": "#/$defs/Tree"}, "right": {"$ref": "#/$defs/Tree"}}}
    }
    assert build_schema_fields({"$ref": "#/$defs/Tree"}, loop)


def test_variable_is_secret_if_its_referenced_schema_is() -> None:
    variables = {"properties": {"key": {"$ref": "#/schemas/$defs/key"}}}
    schemas = {"properties": {"variables": variables}, "$defs": {"key": {"type": "string", "is_secret": True}}}
    _, (field,) = build_flow_fields(StoredFlow(flow_id="f", flow={"schemas": schemas}))
    assert field.kind == "secret"


def test_secret_is_not_shown_again() -> None:
    (field, other) = build_schema_fields(
        {"properties": {"key": {"default": "k"}, "n": {"type": "integer"}}}, secret=["key"]
    )
    assert field.kind == "secret"
    assert field.value == ""
    assert fill_field(field, "k").value == ""
    with pytest.raises(InvalidFormError) as caught:
        parse_submitted_object([field, other], {field.name: "hush", other.name: "x"})
    assert caught.value.fields[0].value == ""


@pytest.mark.parametrize(
    ("text", "value"),
    [("", None), (" \n", None), ('{"a": 1}', {"a": 1}), ("a: 1\nb: [x]", {"a": 1, "b": ["x"]}), ("3", 3), ("[1]", [1])],
)
def test_raw_text_is_parsed_as_json_or_yaml(text: str, value: Any) -> None:
    assert parse_json_or_yaml(text) == value


@pytest.mark.parametrize("text", ['{"a": 1,, }', "a: [", "a: 1\na: 2", "!!python/object:os.system x", "NaN: .nan"])
def test_invalid_raw_text(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_json_or_yaml(text)


def test_urlencoded_forms() -> None:
    assert parse_form_body("application/x-www-form-urlencoded; charset=utf-8", b"a=1&b=%C3%A4+x&c=&a=2") == {
        "a": "2",
        "b": "ä x",
        "c": "",
    }


def test_multipart_forms() -> None:
    body = (
        b'--x\r\nContent-Disposition: form-data; name="csrf"\r\n\r\nt\r\n'
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="f.yaml"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n\xef\xbb\xbfname: \xc3\xa4\r\nsteps: []\r\n\r\n--x--\r\n"
    )
    assert parse_form_body("multipart/form-data; boundary=x", body) == {"csrf": "t", "file": "name: ä\r\nsteps: []\r\n"}


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("", b"a=1"),
        ("text/plain", b"a=1"),
        ("application/json", b"{}"),
        ("application/x-www-form-urlencoded", b"a=%ff"),
        ("application/x-www-form-urlencoded", b"a=\xff"),
        ("application/x-www-form-urlencoded", b"a&" * 2001),
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=x", b""),
        ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n\xff\r\n--x--'),
        ("multipart/form-data; boundary=\xe4", b"x"),
    ],
)
def test_malformed_form_bodies(kind: str, body: bytes) -> None:
    with pytest.raises(MalformedFormError):
        parse_form_body(kind, body)
