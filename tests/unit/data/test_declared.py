"""Declared variables: the values of unset variables, and which variables are secret."""

from __future__ import annotations

from typing import Any

import pytest
from stepflow_client._base.not_given import NOT_GIVEN
from stepflow_client._codec.call_checks import parse_declared_variables
from stepflow_client._data.flow_declarations import get_unset_value, get_variable_declarations, is_secret
from stepflow_client._data.secrets import (
    HIDDEN,
    HIDDEN_IN_URL,
    find_variable_secrets,
    get_hidden_mark,
    hide_flow_secrets,
)
from stepflow_client.errors import InvalidArgumentError
from stepflow_client.flows.run_requirements import find_requirements
from stepflow_client.history import _hide_secrets

UNSET: list[tuple[Any, Any]] = [
    ({"type": "string"}, ""),
    ({"type": "string", "enum": ["a"]}, ""),
    ({"type": "string", "nullable": True}, ""),
    ({"type": "string", "anyOf": [{"minLength": 1}]}, ""),
    ({"type": "integer"}, 0),
    ({"type": "number"}, 0),
    ({"type": "boolean"}, False),
    ({"type": ["string", "null"]}, None),
    ({"type": ["null"]}, None),
    ({"default": "d", "$ref": "#/$defs/T"}, "d"),
    ({"type": "string", "default": None}, None),
    *(
        (schema, NOT_GIVEN)
        for schema in (
            {}, True, {"type": "null"}, {"type": "object"}, {"type": "array"}, {"type": ["string"]}, {"type": "objekt"},
            {"type": ["string", "integer"]}, {"enum": ["a", None]}, {"const": "a"}, {"$ref": "#/$defs/T"},
            {"anyOf": [{"type": "string"}, {"type": "null"}]}, {"oneOf": [{"type": "string"}]},
            {"allOf": [{"type": "string"}]},
        )
    ),
]  # fmt: skip
"""Schemas of variables, and the values that servers of 0.10 and 0.13 use if a run does not set them."""


@pytest.mark.parametrize(("schema", "value"), UNSET)
def test_the_value_of_an_unset_variable(schema: Any, value: Any) -> None:
    assert get_unset_value(schema) is value or get_unset_value(schema) == value != NOT_GIVEN
    has_default = isinstance(schema, dict) and "default" in schema
    assert (get_unset_value(schema, is_required=True) is NOT_GIVEN) == (not has_default)


@pytest.mark.parametrize("required", [[], ["v"]])
@pytest.mark.parametrize("schema", [schema for schema, value in UNSET if value is NOT_GIVEN and schema is not True])
def test_a_variable_without_a_value_must_be_set_if_it_is_always_read(schema: Any, required: list[str]) -> None:
    flow = {
        "schemas": {"properties": {"variables": {"properties": {"v": schema}, "required": required}}},
        "output": {"$variable": "v"},
    }
    requirements = find_requirements(flow, parse_declared_variables(flow))
    with pytest.raises(InvalidArgumentError, match="requires the variable 'v', which is not set"):
        requirements.check_variables({}, None)
    requirements.check_variables({"v": None}, None)
    flow["output"] = {"$variable": "v", "default": 1}
    find_requirements(flow, parse_declared_variables(flow)).check_variables({}, None)


@pytest.mark.parametrize(
    "marker", ["is_secret", "is_secrt", "secret", "isSecret", "is-secret", "sercet", "secrets", "issecrte", "x-secret"]
)
@pytest.mark.parametrize("value", [True, "true", "yes", 1])
def test_values_under_a_misspelt_marker_are_hidden(marker: str, value: Any) -> None:
    key = {"type": "string", marker: value, "default": "the default"}
    flow = {"schemas": {"properties": {"variables": {"properties": {"key": key}}}}, "output": {"$variable": "key"}}
    assert get_variable_declarations(flow)["key"]["is_secret"]
    assert hide_flow_secrets(flow)["schemas"]["properties"]["variables"]["properties"]["key"]["default"] == HIDDEN
    recorded = _hide_secrets({"output": "hunter2"}, flow, {"key": "hunter2"})
    assert "hunter2" not in str(recorded)
    assert "the default" not in str(recorded)


@pytest.mark.parametrize("key", ["description", "section", "secure", "sector", "discrete", "default", "format"])
def test_other_keys_mark_no_secrets(key: str) -> None:
    assert not is_secret({key: True})
    assert not is_secret({"is_secret": False, "secret": None})


KEY = {"type": "string", "is_secret": True, "default": "of the key"}
INDIRECT: list[dict[str, Any]] = [
    {"$ref": "#/$defs/Key", "default": "the default"},
    {"$ref": "#/$defs/Alias", "default": "the default"},
    {"anyOf": [KEY, {"type": "null"}], "default": "the default"},
    {"allOf": [{"$ref": "#/$defs/Key"}], "default": "the default"},
    {"type": "object", "properties": {"key": {"$ref": "#/$defs/Key"}}, "default": {"key": "the default"}},
    {"type": "object", "properties": {"key": {"oneOf": [KEY]}}, "default": {"key": "the default"}},
]
"""Schemas that are secret because they contain or refer to a secret schema."""


@pytest.mark.parametrize("schema", INDIRECT)
@pytest.mark.parametrize("holder", ["schemas", "variables"])
def test_values_of_schemas_with_a_secret_inside_are_hidden(schema: dict[str, Any], holder: str) -> None:
    variables: dict[str, Any] = {"properties": {"key": schema}}
    schemas: dict[str, Any] = {"properties": {"variables": variables}}
    shared = {"Key": KEY, "Alias": {"$ref": "#/$defs/Key"}}
    (schemas if holder == "schemas" else variables)["$defs"] = shared
    flow = {"schemas": schemas, "output": {"$variable": "key"}}
    hidden = str(hide_flow_secrets(flow))
    assert "the default" not in hidden
    assert "of the key" not in hidden
    assert "the default" not in repr(parse_declared_variables(flow))
    value: Any = {"key": "hunter2"} if schema.get("type") == "object" else "hunter2"
    assert find_variable_secrets({"key": value}, parse_declared_variables(flow)).hide_in_text("no hunter2") == "no ***"
    recorded = str(_hide_secrets({"output": "hunter2"}, flow, {"key": value}))
    assert not any(each in recorded for each in ("hunter2", "the default", "of the key"))


def test_circular_references_are_not_secret() -> None:
    shared = {"Tree": {"properties": {"child": {"$ref": "#/$defs/Tree"}}}}
    assert not is_secret({"$ref": "#/$defs/Tree"}, shared)
    assert not is_secret({"$ref": "#/$defs/Unknown"}, shared)


def test_nested_alternatives_are_searched_for_secrets_in_linear_time() -> None:
    schema: Any = {"type": "string"}
    for _ in range(40):
        schema = {"anyOf": [schema]}
    flow = {"schemas": {"properties": {"variables": {"properties": {"a": schema}}}}}
    assert get_hidden_mark(flow) == HIDDEN_IN_URL
    assert not parse_declared_variables(flow)["a"].is_secret
    schema["anyOf"].append(KEY)
    assert parse_declared_variables(flow)["a"].is_secret


@pytest.mark.parametrize("schema", [True, None, 5, [KEY]])
def test_secrets_are_hidden_beside_a_variable_without_a_schema(schema: Any) -> None:
    properties = {"key": KEY, "odd": schema}
    flow = {"schemas": {"properties": {"variables": {"properties": properties}}}}
    hidden = hide_flow_secrets(flow)["schemas"]["properties"]["variables"]["properties"]
    assert hidden["key"]["default"] == HIDDEN
    assert "of the key" not in str(hidden)
