"""From schemas to forms to values, and how forms travel. Pure."""

from __future__ import annotations

import re
from typing import Any

import pytest
from stepflow_cli.ui.forms import FormError, MalformedFormError, fields_of, filled, read_form, text_value, value_of

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["topic", "count"],
    "properties": {
        "topic": {"type": "string", "title": "Topic"},
        "style": {"enum": ["short", 3, True]},
        "count": {"type": "integer", "default": 3},
        "share": {"type": ["number", "null"]},
        "loud": {"type": "boolean"},
        "tags": {"type": "array"},
        "of": {"$ref": "#/$defs/Of"},
        "text": {"type": "string", "maxLength": 5000},
    },
}
FIELDS = fields_of(SCHEMA, {"Of": {"type": "integer", "description": "Of what"}})
NAMED = {each.key: each for each in FIELDS}


def sent(**values: str) -> dict[str, str]:
    names = {each.key: each.name for each in FIELDS}
    return {names[key]: value for key, value in values.items()}


def test_the_kinds_of_fields() -> None:
    assert [(each.key, each.kind, each.required) for each in FIELDS] == [
        ("count", "integer", True),
        ("topic", "text", True),
        ("loud", "boolean", False),
        ("of", "integer", False),
        ("share", "number", False),
        ("style", "choice", False),
        ("tags", "json", False),
        ("text", "long", False),
    ]
    assert NAMED["style"].labels == ["short", "3", "true"]
    assert NAMED["count"].value == "3"
    assert NAMED["of"].description == "Of what"


def test_fields_are_the_same_whatever_the_order_of_properties() -> None:
    turned = {**SCHEMA, "properties": dict(reversed(SCHEMA["properties"].items()))}
    assert fields_of(turned, {"Of": {"type": "integer", "description": "Of what"}}) == FIELDS


def test_names_of_properties_are_no_names_of_fields() -> None:
    (field,) = fields_of({"properties": {'"><script>': {"title": 3, "description": []}}})
    assert (field.title, field.description) == ('"><script>', "")
    assert re.fullmatch(r"input-[0-9a-f]{16}", field.name)


@pytest.mark.parametrize(
    "schema", [None, True, [], "x", {}, {"properties": []}, {"properties": {}}, {"$ref": "#/$defs/None"}]
)
def test_what_a_form_cannot_show(schema: Any) -> None:
    assert fields_of(schema) == []


def test_odd_schemas_are_fields_for_json() -> None:
    odd = [True, None, 3, {"type": 3}, {"type": ["string", "integer"]}, {"enum": []}, {"enum": 3}, {"anyOf": []}, {}]
    found = fields_of({"required": 3, "properties": {str(place): each for place, each in enumerate(odd)}})
    assert {each.kind for each in found} == {"json"}
    loop = {"A": {"$ref": "#/$defs/A"}}
    assert [each.kind for each in fields_of({"properties": {"a": {"$ref": "#/$defs/A"}}}, loop)] == ["json"]


def test_values_of_a_form() -> None:
    form = sent(topic="a\r\nb", style="2", count="4", share="1.5", loud="false", tags='["x"]', of="", text="")
    assert value_of(FIELDS, form) == {
        "topic": "a\nb",
        "style": True,
        "count": 4,
        "share": 1.5,
        "loud": False,
        "tags": ["x"],
    }


def test_an_empty_text_that_is_required_is_a_text() -> None:
    assert value_of(FIELDS, sent(count="1")) == {"topic": "", "count": 1}


@pytest.mark.parametrize(
    ("key", "text", "words"),
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
def test_wrong_values_of_a_form(key: str, text: str, words: str) -> None:
    with pytest.raises(FormError) as caught:
        value_of(FIELDS, {**sent(count="1"), **sent(**{key: text})})
    wrong = {each.key: each.error for each in caught.value.fields if each.error}
    assert list(wrong) == [key]
    assert words in wrong[key]
    # What was filled in stays.
    assert next(each for each in caught.value.fields if each.key == key).value == text


def test_values_that_are_known_are_filled_in() -> None:
    values = {"topic": "a", "style": True, "count": 7, "loud": True, "tags": [1], "share": 2.5}
    fields = [filled(each, values[each.key]) if each.key in values else each for each in FIELDS]
    assert value_of(fields, {each.name: each.value for each in fields}) == values
    assert filled(NAMED["topic"], 3).value == ""
    assert filled(NAMED["style"], 1).value == ""


def test_a_secret_is_not_shown_again() -> None:
    (field, other) = fields_of({"properties": {"key": {"default": "k"}, "n": {"type": "integer"}}}, secret=["key"])
    assert field.kind == "secret"
    assert field.value == ""
    assert filled(field, "k").value == ""
    with pytest.raises(FormError) as caught:
        value_of([field, other], {field.name: "hush", other.name: "x"})
    assert caught.value.fields[0].value == ""


@pytest.mark.parametrize(
    ("text", "value"),
    [("", None), (" \n", None), ('{"a": 1}', {"a": 1}), ("a: 1\nb: [x]", {"a": 1, "b": ["x"]}), ("3", 3), ("[1]", [1])],
)
def test_values_as_text(text: str, value: Any) -> None:
    assert text_value(text) == value


@pytest.mark.parametrize("text", ['{"a": 1,, }', "a: [", "a: 1\na: 2", "!!python/object:os.system x", "NaN: .nan"])
def test_texts_that_are_no_values(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        text_value(text)


def test_urlencoded_forms() -> None:
    assert read_form("application/x-www-form-urlencoded; charset=utf-8", b"a=1&b=%C3%A4+x&c=&a=2") == {
        "a": "2",
        "b": "ä x",
        "c": "",
    }


def test_forms_in_parts() -> None:
    body = (
        b'--x\r\nContent-Disposition: form-data; name="csrf"\r\n\r\nt\r\n'
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="f.yaml"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n\xef\xbb\xbfname: \xc3\xa4\r\nsteps: []\r\n\r\n--x--\r\n"
    )
    assert read_form("multipart/form-data; boundary=x", body) == {"csrf": "t", "file": "name: ä\r\nsteps: []\r\n"}


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
def test_what_is_no_form(kind: str, body: bytes) -> None:
    with pytest.raises(MalformedFormError):
        read_form(kind, body)
