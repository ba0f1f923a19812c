"""Generating pydantic classes from named schemas with datamodel-code-generator: the extra `stepflow-cli[codegen]`."""

from __future__ import annotations

import ast
import json
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import usage
from ..output.safety import printable_lines

__all__ = ["imported", "write_models"]

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
        raise usage(
            "codegen needs datamodel-code-generator, which is not installed", "pip install 'stepflow-cli[codegen]'"
        ) from None
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
            enum_field_as_literal=generator.LiteralType.All,
            formatters=[generator.Formatter.BUILTIN],
            output_datetime_class=generator.DatetimeClassType.Datetime,
            use_annotated=True,
            use_double_quotes=True,
            use_schema_description=True,
            use_standard_collections=True,
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
