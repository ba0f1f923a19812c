"""JSON Schemas for the types used by a flow's function."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal, get_args

from pydantic import TypeAdapter
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticSchemaGenerationError, PydanticUserError
from pydantic.json_schema import GenerateJsonSchema

from .._codec.output_types import convert_type_for_pydantic
from ..errors import AuthoringError
from . import _type_fields
from ._placeholders import authoring_error

TEMPLATE = "#/schemas/$defs/{model}"
Key = tuple[str, str]


class _Untitled(GenerateJsonSchema):
    """Pydantic's schema generator, without titles that just repeat the field names."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def make_defs_and_schemas(kinds: Mapping[Key, Any]) -> tuple[dict[str, Any], dict[Key, Any]]:
    """Return the definitions that several types share, followed by each type's schema.

    Raises:
        AuthoringError: If a type can't be described by a schema.
    """
    make = _msgspec_schemas if any(_contains_struct(kind, ()) for kind in kinds.values()) else _pydantic_schemas
    return _inline_single_references(*make(kinds))


def make_schema(kind: Any) -> dict[str, Any]:
    """Return a type's schema, including any definitions it refers to. It's empty if the type has no schema."""
    try:
        shared, schemas = make_defs_and_schemas({("", ""): kind})
    except AuthoringError:
        return {}
    schema = {**schemas["", ""], **({"$defs": shared} if shared else {})}
    return dict(json.loads(json.dumps(schema).replace('"#/schemas/$defs/', '"#/$defs/')))


def _contains_struct(kind: Any, around: tuple[Any, ...]) -> bool:
    """Return whether a type contains a msgspec struct, which only msgspec can handle."""
    for alternative in _type_fields.iter_non_none_members(kind):
        if hasattr(alternative, "__struct_fields__"):
            return True
        if alternative in around:
            continue
        fields = _type_fields.get_fields_by_attribute(alternative) or {}
        parts = (*get_args(alternative), *(field.kind for field in fields.values()))
        if any(_contains_struct(part, (*around, alternative)) for part in parts):
            return True
    return False


def _make_schema_error(kinds: Mapping[Key, Any], error: Exception) -> AuthoringError:
    names = ", ".join(map(_type_fields.get_type_name, kinds.values()))
    reason = str(error).partition("\n")[0]
    return authoring_error(f"there is no JSON Schema for one of the types {names}: {reason}",
                  "use a dataclass, a TypedDict, or a class of pydantic, attrs or msgspec")  # fmt: skip


def _pydantic_schemas(kinds: Mapping[Key, Any]) -> tuple[dict[Key, Any], dict[str, Any]]:
    try:
        adapters: list[tuple[Key, Literal["validation"], TypeAdapter[Any]]] = [
            (key, "validation", TypeAdapter(convert_type_for_pydantic(kind))) for key, kind in kinds.items()
        ]
        generated, definitions = TypeAdapter.json_schemas(adapters, ref_template=TEMPLATE, schema_generator=_Untitled)
    except (PydanticSchemaGenerationError, PydanticUserError, PydanticInvalidForJsonSchema) as error:
        raise _make_schema_error(kinds, error) from None
    schemas = {key: schema for (key, _), schema in generated.items()}
    shared = definitions.get("$defs", {})
    # Keep only referenced definitions, because pydantic also defines the types themselves.
    used = set[str]()
    waiting = [json.dumps(list(schemas.values()))]
    while waiting:
        text = waiting.pop()
        for name, schema in shared.items():
            if name not in used and json.dumps(TEMPLATE.format(model=name)) in text:
                used.add(name)
                waiting.append(json.dumps(schema))
    return schemas, {name: schema for name, schema in shared.items() if name in used}


def _msgspec_schemas(kinds: Mapping[Key, Any]) -> tuple[dict[Key, Any], dict[str, Any]]:
    import msgspec

    try:
        template = TEMPLATE.format(model="{name}")
        schemas, shared = msgspec.json.schema_components(list(kinds.values()), ref_template=template)
    except (TypeError, msgspec.MsgspecError) as error:
        raise _make_schema_error(kinds, error) from None
    return dict(zip(kinds, schemas, strict=True)), shared


def _remove_null_defaults(schema: Any) -> None:
    """Remove null defaults, since missing values are null anyway."""
    if isinstance(schema, dict):
        if schema.get("default", ...) is None:
            del schema["default"]
        schema = list(schema.values())
    for part in schema if isinstance(schema, list) else ():
        _remove_null_defaults(part)


def _inline_single_references(schemas: dict[Key, Any], shared: dict[str, Any]) -> tuple[dict[str, Any], dict[Key, Any]]:
    """Inline each definition that is only referenced once."""
    _remove_null_defaults([schemas, shared])
    for name, schema in shared.items():
        if name.startswith(schema.get("title", " ")):
            del schema["title"]
    text = json.dumps([list(schemas.values()), shared])
    for key, schema in schemas.items():
        name = str(schema.get("$ref", "")).rpartition("/")[2]
        if len(schema) == 1 and name in shared and text.count(json.dumps(schema["$ref"])) == 1:
            schemas[key] = shared.pop(name)
    return shared, schemas
