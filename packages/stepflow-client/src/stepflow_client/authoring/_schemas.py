"""The JSON Schemas of the types that a flow's function names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import TypeAdapter
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError
from pydantic.json_schema import GenerateJsonSchema

from .._codec.typed import readable_type
from . import _fields
from ._values import refuse

TEMPLATE = "#/schemas/$defs/{model}"
Key = tuple[str, str]


class _Untitled(GenerateJsonSchema):
    """Pydantic's generator, without the titles that only repeat names."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def schemas_of(kinds: Mapping[Key, Any]) -> tuple[dict[str, Any], dict[Key, Any]]:
    """Return the schemas of types, after the definitions that they share.

    Raises:
        AuthoringError: If there is no schema for a type.
    """
    known = {key: kind for key, kind in kinds.items() if not _fields.is_open(kind) and kind not in (None, type(None))}
    try:
        found, shared = _of_pydantic(known)
    except (PydanticSchemaGenerationError, PydanticUserError):
        found, shared = _of_msgspec(known)
    return _inlined(found, shared)


def _of_pydantic(kinds: Mapping[Key, Any]) -> tuple[dict[Key, Any], dict[str, Any]]:
    adapters: list[tuple[Key, Literal["validation"], TypeAdapter[Any]]] = [
        (key, "validation", TypeAdapter(readable_type(kind))) for key, kind in kinds.items()
    ]
    found, whole = TypeAdapter.json_schemas(adapters, ref_template=TEMPLATE, schema_generator=_Untitled)
    return {key: schema for (key, _), schema in found.items()}, dict(whole.get("$defs", {}))


def _of_msgspec(kinds: Mapping[Key, Any]) -> tuple[dict[Key, Any], dict[str, Any]]:
    """Return the schemas of types in which pydantic knows a class not."""
    try:
        import msgspec

        found, shared = msgspec.json.schema_components(
            list(kinds.values()), ref_template=TEMPLATE.format(model="{name}")
        )
    except Exception as error:
        # msgspec may be missing, or may not know a type either.
        names = ", ".join(map(_fields.type_name, kinds.values()))
        raise refuse(f"there is no JSON Schema for one of the types {names}: {error}",
                     "use a dataclass, a TypedDict, or a class of pydantic, attrs or msgspec") from None  # fmt: skip
    return dict(zip(kinds, found, strict=True)), shared


def _inlined(found: dict[Key, Any], shared: dict[str, Any]) -> tuple[dict[str, Any], dict[Key, Any]]:
    """Write a definition that only one part uses as a whole in the place of its reference."""
    for name, schema in shared.items():
        if name.startswith(schema.get("title", " ")):
            del schema["title"]
    text = json.dumps([list(found.values()), shared])
    for key, schema in found.items():
        name = str(schema.get("$ref", "")).rpartition("/")[2]
        if len(schema) == 1 and name in shared and text.count(json.dumps(schema["$ref"])) == 1:
            found[key] = shared.pop(name)
    return shared, found
