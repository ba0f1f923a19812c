"""Reads the schemas and variables that a flow declares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

from .._base.not_given import NOT_GIVEN
from .._base.suggestions import find_nearest

# The values of unset variables, by schema type.
_ZERO_VALUES = {"string": "", "number": 0, "integer": 0, "boolean": False}
ALTERNATIVES = ("anyOf", "oneOf", "allOf")
"""Schema keys that list several schemas for the same value."""


def get_declared_schema(flow: Any, *path: str) -> Any:
    """Return the value at a path under a flow's `schemas.properties`, e.g. `"variables", "properties"`, or None."""
    value = flow
    for key in ("schemas", "properties", *path):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def get_fields(schema: Any) -> tuple[Mapping[str, Any], list[str]]:
    """Return an object schema's field schemas by name, along with the names of its required fields."""
    if not isinstance(schema, Mapping):
        return {}, []
    properties, required = schema.get("properties"), schema.get("required")
    names = [name for name in required if isinstance(name, str)] if isinstance(required, list) else []
    return properties if isinstance(properties, Mapping) else {}, names


def get_defs(schema: Any, defs: Any = None) -> dict[str, Any]:
    """Return the shared schemas that a schema can refer to: its own, plus any passed as `defs`."""
    own = (schema.get("definitions"), schema.get("$defs")) if isinstance(schema, Mapping) else ()
    return {name: value for schemas in (defs, *own) if isinstance(schemas, Mapping) for name, value in schemas.items()}


def get_declared_defs(flow: Any, part: str) -> dict[str, Any]:
    """Return the shared schemas that a flow's `input`, `output` or `variables` schema can refer to.

    Use this to find secrets. Unlike `get_server_defs`, it includes `schemas.definitions`, which servers drop.
    """
    schemas = flow.get("schemas") if isinstance(flow, Mapping) else None
    return get_defs(get_declared_schema(flow, part), get_defs(schemas))


def get_server_defs(flow: Any, part: str) -> dict[str, Any]:
    """Return the shared schemas that a server can find for a flow's `input`, `output` or `variables` schema."""
    schemas = flow.get("schemas") if isinstance(flow, Mapping) else None
    return get_defs(get_declared_schema(flow, part), schemas.get("$defs") if isinstance(schemas, Mapping) else None)


def get_variable_declarations(flow: Any) -> dict[str, dict[str, Any]]:
    """Return a flow's declared variables by name, each with the fields of a `FlowVariable`."""
    properties, required = (get_declared_schema(flow, "variables", key) for key in ("properties", "required"))
    defs = get_declared_defs(flow, "variables")
    return {
        name: {
            # A variable with a default is optional, even if the schema lists it as required.
            "is_required": isinstance(required, list) and name in required and "default" not in declared,
            "default": declared.get("default"),
            "env_var": _get_string_or_none(declared.get("env_var")),
            "is_secret": is_secret(declared, defs),
            "description": _get_string_or_none(declared.get("description")),
            "value_schema": dict(declared),
        }
        for name, declared in (properties.items() if isinstance(properties, Mapping) else ())
        if isinstance(declared, Mapping)
    }


def get_unset_value(schema: Any, *, is_required: bool = False) -> Any:
    """Return the value that a variable has in runs that don't set it, or `NOT_GIVEN` if reading it would fail.

    Servers only consider the schema's own `default` and `type`, not `$ref`, `anyOf`, `enum` and the like.
    """
    if not isinstance(schema, Mapping) or "default" in schema:
        return schema["default"] if isinstance(schema, Mapping) else NOT_GIVEN
    kind = schema.get("type")
    if is_required or not isinstance(kind, (str, list)):
        return NOT_GIVEN
    return _ZERO_VALUES.get(kind, NOT_GIVEN) if isinstance(kind, str) else None if "null" in kind else NOT_GIVEN


def is_secret(schema: Any, defs: Mapping[str, Any] | None = None) -> bool:
    """Return whether a schema marks its values as secret.

    The whole value is secret if one of its alternatives (`anyOf` etc.) or a schema it refers to has any secret part.

    A misspelled `is_secret` also counts unless it's false or null. It's better to hide a value needlessly than to leak
    one.
    """
    if not isinstance(schema, Mapping):
        return False
    if _has_secret_marker(schema):
        return True
    alternatives = [schema[key] for key in ALTERNATIVES if key in schema]
    return any(map(has_secret_part, [*alternatives, *find_referred_schemas(schema, get_defs(schema, defs))]))


def has_secret_part(schema: Any) -> bool:
    """Return whether a schema, or any part of it, is marked as secret."""
    # Don't call `is_secret`: it also searches the alternatives, so nested alternatives would take exponential time.
    return any(map(_has_secret_marker, iter_mappings(schema)))


def iter_mappings(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield every mapping in a JSON value (which may itself be a mapping).

    Raises RecursionError if the value is cyclic.
    """
    is_mapping = isinstance(value, Mapping)
    if is_mapping:
        yield value
    if is_mapping or isinstance(value, (list, tuple)):
        for part in value.values() if is_mapping else value:
            yield from iter_mappings(part)


def _has_secret_marker(schema: Mapping[str, Any]) -> bool:
    return any(is_secret_marker(key) for key, value in schema.items() if value is not False and value is not None)


def find_referred_schemas(schema: Any, defs: Mapping[str, Any]) -> list[Any]:
    """Return the shared schemas that a schema refers to, directly or indirectly."""
    referred: dict[str, Any] = {}
    waiting = [schema] if defs else []
    for referring in waiting:
        for part in iter_mappings(referring):
            name = unquote(str(part.get("$ref")).rpartition("/")[2])
            if name in defs and name not in referred:
                referred[name] = defs[name]
                waiting.append(defs[name])
    return [*referred.values()]


@lru_cache(maxsize=1024)
def is_secret_marker(key: Any) -> bool:
    """Return whether a schema key is `is_secret` or looks like a misspelling of it."""
    if key == "is_secret":
        return True
    plain = "".join(char for char in str(key).lower() if char.isalpha())
    return "s" in plain and "t" in plain and find_nearest(plain, ("issecret", "secret"), 0.8) is not None


def _get_string_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) else None
