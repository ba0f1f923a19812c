"""The schemas that apply at a place in a value. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from stepflow_client._data.flow_declarations import fields_of
from stepflow_client.flows.json_schema import list_schemas, mismatches, resolved


def schemas_at(schema: Any, path: Iterable[str | int], value: Any, defs: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the schemas that apply to the value at a path in a value, with those inside of them that do too.

    Of alternatives, these are all; of conditions, the branch that the value decides.
    """
    found: list[Mapping[str, Any]] = _applying([schema], value, defs)
    at: Any = value
    for part in path:
        try:
            at = at[part]
        except (LookupError, TypeError):
            at = None
        found = _applying([inner for each in found for inner in _inner(each, part)], at, defs)
    return found


def _applying(schemas: list[Any], value: Any, defs: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return schemas, and those inside of them that apply to the same value, each once."""
    found: dict[int, Mapping[str, Any]] = {}
    seen, waiting = set[int](), schemas[::-1]
    while waiting:
        given = waiting.pop()
        schema = resolved(given, defs)
        if id(given) in seen or not isinstance(schema, Mapping):
            continue
        seen.add(id(given))
        found.setdefault(id(schema), schema)
        inner = [
            each for key in ("allOf", "anyOf", "oneOf") if isinstance(schema.get(key), list) for each in schema[key]
        ]
        if "if" in schema:
            inner.append(schema.get("else" if mismatches(value, schema["if"], defs) else "then"))
        waiting += inner[::-1]
    return list(found.values())


def _inner(schema: Mapping[str, Any], part: str | int) -> Iterator[Any]:
    if isinstance(part, int):
        first, rest = list_schemas(schema)
        yield first[part] if part < len(first) else rest
        return
    properties = fields_of(schema)[0]
    yield properties.get(part, schema.get("additionalProperties"))
