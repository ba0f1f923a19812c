"""Models: their fields, defaults and constraints."""

from __future__ import annotations

import ast
import json
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stepflow_client.flow_models import NULLABLE
from stepflow_client.flows.json_schema import json_type
from stepflow_client.flows.patterns import linear_pattern

from ..errors import missing_extra
from ..output.safety import printable_lines

_CONSTRAINTS = {
    "string": ("minLength", "maxLength", "pattern"),
    "integer": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "array": ("minItems", "maxItems"),
}
NAMED_CONSTRAINTS = {key for keys in _CONSTRAINTS.values() for key in keys}
"""Constraints for which a type within another one needs a name."""
_LENGTHS = ("minLength", "maxLength", "minItems", "maxItems")
_MAX_SIZE = 2**31
"""Lengths from this value on are not limits."""


def constraints(schema: Mapping[str, Any], kinds: Sequence[str]) -> dict[str, Any]:
    """Return the keywords of a schema that limit its values, for the types that it allows."""
    found = _values(schema)
    for kind in kinds:
        found |= {
            key: int(schema[key]) if key in _LENGTHS else schema[key]
            for key in _CONSTRAINTS.get(kind, ())
            if _is_constraint(key, schema.get(key))
        }
    return found


def _values(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the allowed values, if a Python type can express them."""
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if not isinstance(values, list) or not values or values == [None]:
        return {}
    if any(each is not None and not isinstance(each, (str, int)) for each in values):
        return {}
    return {"enum": values}


def inexpressible_kinds(schema: Mapping[str, Any]) -> list[str]:
    """Return the types of the allowed values, if there are such values and no Python type can express them."""
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if not isinstance(values, list) or not values or values == [None] or _values(schema):
        return []
    return list(dict.fromkeys(json_type(each) for each in values))


def _is_constraint(key: str, value: Any) -> bool:
    """Return whether a type can have this constraint: a number, a length, or a pattern that pydantic can compile.

    Pydantic rejects negative lengths and multiples of 0.
    """
    if key == "pattern":
        return isinstance(value, str) and linear_pattern(value) is not None
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    if key in _LENGTHS:
        return value == int(value) and 0 <= value < _MAX_SIZE
    return key != "multipleOf" or value > 0


_PYTHON: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "array": list,
    "object": dict,
}


def checked(named: Mapping[str, Any]) -> dict[str, Any]:
    """Return named schemas without defaults that do not fit, and with marks of optional properties that may be null.

    The description tells which default was left out.

    Args:
        named: The schemas in the form used for generation, by the names to which their references lead.
    """
    return {name: _checked(schema, named) for name, schema in named.items()}


def _checked(schema: Mapping[str, Any], named: Mapping[str, Any]) -> dict[str, Any]:
    checked = dict(schema)
    if "properties" in schema:
        checked["properties"] = {key: _checked(each, named) for key, each in schema["properties"].items()}
        for key, each in checked["properties"].items():
            if key not in schema.get("required", ()) and "default" not in each and _fits(None, each, named):
                each |= NULLABLE
    if checked.get("default", ...) is None:
        # What is not given is None already.
        del checked["default"]
    if "default" in checked and not _fits(schema["default"], schema, named):
        left_out = f"The default {json.dumps(checked.pop('default'), ensure_ascii=False)} does not fit and is left out."
        checked["description"] = f"{schema.get('description', '')} {left_out}".strip()
    return checked


def _fits(value: Any, schema: Mapping[str, Any], named: Mapping[str, Any], seen: tuple[str, ...] = ()) -> bool:
    if "$ref" in schema:
        reference = schema["$ref"]
        target = named[reference.rpartition("/")[2]]
        return reference not in seen and _fits(value, target, named, (*seen, reference))
    if "anyOf" in schema and not any(_fits(value, each, named, seen) for each in schema["anyOf"]):
        return False
    kinds = schema.get("type", [])
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if kinds and not any(_is_a(value, kind) for kind in kinds):
        return False
    if "enum" in schema and not any(type(each) is type(value) and each == value for each in schema["enum"]):
        return False
    if isinstance(value, list):
        firsts, rest = schema.get("prefixItems"), schema.get("items", {})
        if firsts is not None and len(firsts) != len(value):
            return False
        return all(_fits(each, rest if firsts is None else firsts[place], named) for place, each in enumerate(value))
    return not isinstance(value, dict) or _fits_object(value, schema, named)


def _fits_object(value: Mapping[str, Any], schema: Mapping[str, Any], named: Mapping[str, Any]) -> bool:
    properties, others = schema.get("properties", {}), schema.get("additionalProperties", True)
    if any(name not in value for name in schema.get("required", ())):
        return False
    for name, each in value.items():
        wanted = properties.get(name, others)
        if wanted is False or (isinstance(wanted, Mapping) and not _fits(each, wanted, named)):
            return False
    return True


def _is_a(value: Any, kind: str) -> bool:
    if kind == "null":
        return value is None
    return isinstance(value, _PYTHON[kind]) and (kind == "boolean" or not isinstance(value, bool))


_TYPES_OF_TEXT = ("UUID", "datetime", "date")
"""Types whose defaults are text; if a field has the same name, they get the suffix `_aliased`."""


def imported() -> Any:
    """Return `datamodel_code_generator`.

    Raises:
        Problem: If it is not installed.
    """
    try:
        import datamodel_code_generator
    except ImportError:
        raise missing_extra("'stepflow codegen'", "codegen") from None
    return datamodel_code_generator


def write_models(schemas: Mapping[str, Any], imports: list[str]) -> str:
    """Return the source of a module with a class for each schema.

    Args:
        schemas: The schemas by class name, with references as in OpenAPI.
        imports: Further imports of the module, such as `pathlib.Path`.
    """
    text = _generated(schemas, imports) if schemas else _imports_alone(imports)
    odd = list(_odd_defaults(ast.parse(text)))
    # Import `typing.cast` only if it is used.
    return _with_any_defaults(_generated(schemas, [*imports, "typing.cast"])) if odd else text


def _imports_alone(imports: list[str]) -> str:
    lines = [f"from {module} import {name}\n" for module, _, name in sorted(each.rpartition(".") for each in imports)]
    return "".join(["from __future__ import annotations\n\n", *lines])


def _generated(schemas: Mapping[str, Any], imports: list[str]) -> str:
    generator = imported()
    document = {
        "openapi": "3.1.0",
        "info": {"title": "flows", "version": "1"},
        "paths": {},
        "components": {"schemas": dict(schemas)},
    }
    # Not in the working folder, whose pyproject.toml may contain settings.
    with tempfile.TemporaryDirectory() as elsewhere, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        text = generator.generate(
            json.dumps(document),
            input_filename="flows.json",
            input_file_type=generator.InputFileType.OpenAPI,
            output_model_type=generator.DataModelType.PydanticV2BaseModel,
            target_python_version=generator.PythonVersion.PY_311,
            settings_path=Path(elsewhere),
            builtin_format_line_length=120,
            base_class="stepflow_client.flow_models.FlowModel",
            additional_imports=imports,
            custom_file_header="#",
            disable_timestamp=True,
            field_extra_keys=set(NULLABLE),
            enum_field_as_literal=generator.LiteralType.All,
            formatters=[generator.Formatter.BUILTIN],
            output_datetime_class=generator.DatetimeClassType.Datetime,
            strict_nullable=True,
            use_annotated=True,
            use_double_quotes=True,
            use_schema_description=True,
            use_standard_collections=True,
            use_type_alias=True,
            use_union_operator=True,
        )
    # Docstrings hold descriptions as they are. In a string, an escape has the same value as the character.
    return printable_lines(str(text)).removeprefix("#").lstrip()


def _with_any_defaults(text: str) -> str:
    """Return the source with defaults that get their type only by validation marked as `Any`."""
    lines = text.split("\n")
    for value in sorted(_odd_defaults(ast.parse(text)), key=lambda each: (each.lineno, each.col_offset), reverse=True):
        end_line, end = value.end_lineno or value.lineno, value.end_col_offset or 0
        lines[end_line - 1] = _inserted(lines[end_line - 1], end, ")")
        lines[value.lineno - 1] = _inserted(lines[value.lineno - 1], value.col_offset, "cast(Any, ")
    return "\n".join(lines)


def _inserted(line: str, offset: int, text: str) -> str:
    content = line.encode()
    return (content[:offset] + text.encode() + content[offset:]).decode()


def _odd_defaults(module: ast.Module) -> Iterator[ast.expr]:
    for node in ast.walk(module):
        if not isinstance(node, ast.AnnAssign) or node.value is None:
            continue
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        names = {each.id.removesuffix("_aliased") for each in ast.walk(node.annotation) if isinstance(each, ast.Name)}
        if isinstance(node.value, (ast.Dict, ast.List)) or (is_text and names & set(_TYPES_OF_TEXT)):
            yield node.value
