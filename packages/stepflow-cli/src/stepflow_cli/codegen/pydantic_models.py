"""Generate pydantic models from schemas, including defaults and constraints."""

from __future__ import annotations

import ast
import json
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stepflow_client.flow_models import NULLABLE
from stepflow_client.flows.json_schema import find_mismatches, get_json_type
from stepflow_client.flows.linear_time_regex import compile_linear

from ..errors import missing_extra_problem
from ..output.colors_and_escaping import escape_lines_for_terminal

_CONSTRAINTS_BY_TYPE = {
    "string": ("minLength", "maxLength", "pattern"),
    "integer": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "array": ("minItems", "maxItems"),
}
CONSTRAINT_KEYWORDS = {key for keys in _CONSTRAINTS_BY_TYPE.values() for key in keys}
"""Constraints that require a nested type to be named."""
_LENGTH_KEYWORDS = ("minLength", "maxLength", "minItems", "maxItems")
# Ignore length limits this large.
_MAX_LENGTH_LIMIT = 2**31


def pick_type_constraints(schema: Mapping[str, Any], kinds: Sequence[str]) -> dict[str, Any]:
    """Return the keywords of a schema that constrain values of the given types."""
    values = _list_allowed_values(schema)
    result: dict[str, Any] = {"enum": values} if values and _fits_literal(values) else {}
    for kind in kinds:
        for key in _CONSTRAINTS_BY_TYPE.get(kind, ()):
            if _is_valid_constraint(key, schema.get(key)):
                result[key] = int(schema[key]) if key in _LENGTH_KEYWORDS else schema[key]
    return result


def list_non_literal_enum_types(schema: Mapping[str, Any]) -> list[str]:
    """Return the types of a schema's allowed values, or an empty list if a `Literal` can express those values."""
    values = _list_allowed_values(schema)
    return [] if _fits_literal(values) else list(dict.fromkeys(get_json_type(value) for value in values))


def _list_allowed_values(schema: Mapping[str, Any]) -> list[Any]:
    """Return the values of `const` or `enum`, or an empty list if there are no values (or only null)."""
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    return values if isinstance(values, list) and values != [None] else []


def _fits_literal(values: list[Any]) -> bool:
    """Return True if a `Literal` can express the values, i.e. if they include no floats, lists or objects."""
    return all(value is None or isinstance(value, (str, int)) for value in values)


def _is_valid_constraint(key: str, value: Any) -> bool:
    """Return True if pydantic accepts the constraint. It rejects negative lengths, multiples of 0 and some patterns."""
    if key == "pattern":
        return isinstance(value, str) and compile_linear(value) is not None
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    if key in _LENGTH_KEYWORDS:
        return value == int(value) and 0 <= value < _MAX_LENGTH_LIMIT
    return key != "multipleOf" or value > 0


def drop_invalid_defaults(named: Mapping[str, Any]) -> dict[str, Any]:
    """Remove invalid defaults from named schemas, and mark the optional properties that may be null.

    Each removed default is mentioned in its field's description.

    Args:
        named: The schemas by name, normalized for code generation.
    """
    # The validator expects shared schemas in $defs.
    defs = json.loads(json.dumps(named).replace('"#/components/schemas/', '"#/$defs/'))

    def drop_defaults(schema: Mapping[str, Any], validated: Mapping[str, Any]) -> dict[str, Any]:
        """Return a schema without invalid defaults.

        `validated` is the same schema, except that its references point into `defs`.
        """
        result = dict(schema)
        if "properties" in schema:
            result["properties"] = properties = {
                key: drop_defaults(each, validated["properties"][key]) for key, each in schema["properties"].items()
            }
            for key, each in properties.items():
                is_optional = key not in schema.get("required", ()) and "default" not in each
                if is_optional and not find_mismatches(None, validated["properties"][key], defs):
                    each |= NULLABLE
        if "default" not in schema:
            return result
        default = schema["default"]
        if default is None:
            # The field defaults to None anyway.
            del result["default"]
        elif find_mismatches(default, {key: each for key, each in validated.items() if key != "default"}, defs):
            shown = json.dumps(result.pop("default"), ensure_ascii=False)
            left_out = f"The default {shown} does not fit and is omitted."
            result["description"] = f"{schema.get('description', '')} {left_out}".strip()
        elif isinstance(default, float) and schema.get("type") == "integer":
            result["default"] = int(default)
        return result

    return {name: drop_defaults(schema, defs[name]) for name, schema in named.items()}


# Types whose defaults are written as strings. If a field has the same name as a type, the generator appends `_aliased`
# to the imported name.
_STRING_DEFAULT_TYPES = ("UUID", "datetime", "date")


def import_model_generator() -> Any:
    """Import and return `datamodel_code_generator`.

    Raises:
        Problem: If the package isn't installed.
    """
    try:
        import datamodel_code_generator
    except ImportError:
        raise missing_extra_problem("'stepflow codegen'", "codegen") from None
    return datamodel_code_generator


def generate_models(schemas: Mapping[str, Any], imports: list[str]) -> str:
    """Generate a module with a class for each schema.

    Args:
        schemas: The schemas by class name. They refer to each other with OpenAPI references.
        imports: Additional imports, such as `pathlib.Path`.
    """
    if not schemas:
        names = sorted(path.rpartition(".") for path in imports)
        lines = [f"from {module} import {name}\n" for module, _, name in names]
        return "".join(["from __future__ import annotations\n\n", *lines])
    text = _run_model_generator(schemas, imports)
    if not any(_find_defaults_needing_cast(text)):
        return text
    # Validation converts these defaults to the right type, but type checkers don't know that, so cast them to Any.
    lines = _run_model_generator(schemas, [*imports, "typing.cast"]).split("\n")
    defaults = sorted(_find_defaults_needing_cast("\n".join(lines)), key=lambda node: (node.lineno, node.col_offset))
    for value in reversed(defaults):
        last = (value.end_lineno or value.lineno) - 1
        lines[last] = _insert_at_byte_offset(lines[last], value.end_col_offset or 0, ")")
        lines[value.lineno - 1] = _insert_at_byte_offset(lines[value.lineno - 1], value.col_offset, "cast(Any, ")
    return "\n".join(lines)


def _insert_at_byte_offset(line: str, offset: int, text: str) -> str:
    # `ast` reports offsets in bytes.
    content = line.encode()
    return (content[:offset] + text.encode() + content[offset:]).decode()


def _find_defaults_needing_cast(text: str) -> Iterator[ast.expr]:
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.AnnAssign) or node.value is None:
            continue
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        names = {part.id.removesuffix("_aliased") for part in ast.walk(node.annotation) if isinstance(part, ast.Name)}
        if isinstance(node.value, (ast.Dict, ast.List)) or (is_text and names & set(_STRING_DEFAULT_TYPES)):
            yield node.value


def _run_model_generator(schemas: Mapping[str, Any], imports: list[str]) -> str:
    generator = import_model_generator()
    components = {"schemas": dict(schemas)}
    document = {"openapi": "3.1.0", "info": {"title": "flows", "version": "1"}, "paths": {}, "components": components}
    # Don't let the generator pick up a pyproject.toml from the working directory.
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
    # Escape the control characters in descriptions. Some string literals contain them too, but escaping doesn't change
    # a literal's value.
    return escape_lines_for_terminal(str(text)).removeprefix("#").lstrip()
