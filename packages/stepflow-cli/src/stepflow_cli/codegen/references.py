"""Resolves references in schemas, and merges the parts of `allOf`. Pure functions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from ..errors import Problem, usage

BESIDE = ("description", "default")
"""Keywords that are allowed beside a reference."""
# Keywords that do not change which values a schema allows.
_ANNOTATIONS = {*BESIDE, "title", "examples", "deprecated", "$defs", "definitions", "$schema", "$id", "$comment"}


@dataclass
class SchemaDocument:
    """The document in which references are resolved."""

    label: str
    """Its name in messages."""
    root: Any
    shared: Mapping[str, Any]
    referred: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The targets of references within `allOf`."""

    def fault(self, message: str, hint: str | None = None) -> Problem:
        """Return an error about the schema."""
        return usage(f"{self.label}: {message}", hint)

    def lookup(self, reference: Any) -> tuple[str, Any]:
        """Return the name and the schema that a reference leads to.

        Raises:
            Problem: If it cannot be resolved, or refers to another document.
        """
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise self.fault(f"$ref leads out of the flow: {reference!r}", "copy the schema into schemas.$defs")
        pointer = unquote(reference[1:]).removeprefix("/schemas")
        parts = [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:]]
        for document in (self.root, self.shared):
            with suppress(LookupError, TypeError, ValueError):
                target = document
                for part in parts:
                    target = target[int(part)] if isinstance(target, list) else target[part]
                return (parts[-1] if parts else ""), target
        raise self.fault(f"$ref leads nowhere: {reference}", "name a schema of schemas.$defs")

    def resolve(self, reference: Any) -> tuple[str, Any]:
        """Return the name and schema that a reference leads to, following references to references."""
        seen: list[Any] = []
        while True:
            seen.append(reference)
            name, target = self.lookup(reference)
            if not isinstance(target, Mapping) or set(target) != {"$ref"}:
                return name, target
            reference = target["$ref"]
            if reference in seen:
                raise self.fault(f"$ref refers to itself: {reference}")

    def identity(self, schema: Any) -> str:
        """Return a text that is equal for equal schemas, including everything they refer to."""
        reached: dict[str, Any] = {}
        waiting = [schema]
        while waiting:
            each = waiting.pop()
            if isinstance(each, Mapping):
                waiting += each.values()
                reference = each.get("$ref")
                if isinstance(reference, str) and reference not in reached:
                    reached[reference] = self.lookup(reference)[1]
                    waiting.append(reached[reference])
            elif isinstance(each, list):
                waiting += each
        return json.dumps([schema, reached], sort_keys=True)

    def merge_all_of(self, schema: Mapping[str, Any], seen: tuple[str, ...] = ()) -> dict[str, Any]:
        """Return a schema with its `allOf` parts merged into it."""
        parts = [*schema["allOf"], {key: each for key, each in schema.items() if key != "allOf"}]
        return _join_schemas(piece for part in parts for piece in self._iter_parts(part, seen))

    def _iter_parts(self, part: Any, seen: tuple[str, ...]) -> Iterator[dict[str, Any]]:
        if not isinstance(part, Mapping):
            return
        reference = part.get("$ref")
        if isinstance(reference, str):
            if reference in seen:
                raise self.fault(f"allOf refers to itself: {reference}")
            if reference not in self.referred:
                target = self.lookup(reference)[1]
                self.referred[reference] = _join_schemas(self._iter_parts(target, (*seen, reference)))
            yield self.referred[reference]
        rest = {key: each for key, each in part.items() if key != "$ref"}
        yield self.merge_all_of(rest, seen) if isinstance(rest.get("allOf"), list) else rest


class LenientDocument(SchemaDocument):
    """A document in which unresolved references allow any value: servers omit definitions of builtin components."""

    def lookup(self, reference: Any) -> tuple[str, Any]:
        """Return the name and the schema that a reference leads to."""
        try:
            return super().lookup(reference)
        except Problem:
            return "", True


def _join_schemas(parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the conjunction of several schemas."""
    joined: dict[str, Any] = {}
    for part in parts:
        properties = dict(joined.get("properties", {}))
        for name, schema in part.get("properties", {}).items():
            before = properties.get(name, schema)
            properties[name] = schema if before == schema else {"allOf": [before, schema]}
        required = dict.fromkeys([*joined.get("required", []), *part.get("required", [])])
        joined |= {key: value for key, value in part.items() if key != "title"}
        joined |= {"properties": properties} if properties else {}
        joined |= {"required": list(required)} if required else {}
    return joined


def unwrap_single_part(schema: Any) -> Any:
    """Return the only part of an `allOf` without further conditions; otherwise the schema itself."""
    parts = schema.get("allOf") if isinstance(schema, Mapping) else None
    if not isinstance(parts, list) or len(parts) != 1 or not isinstance(parts[0], Mapping):
        return schema
    return parts[0] if set(schema) - {"allOf"} <= _ANNOTATIONS else schema
