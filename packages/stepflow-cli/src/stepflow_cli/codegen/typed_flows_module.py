"""Generate the module for `stepflow codegen`, including imports, models and flows."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterable
from pathlib import Path

from ..errors import usage
from ..inputs.flow_loading import is_python_flow, load_flow_argument
from .normalized_schemas import NamedSchemas, list_typed_parts
from .pydantic_models import drop_invalid_defaults, generate_models
from .python_names import UniqueNames, make_variable_name, to_camel_case
from .python_types import python_literal

_MODULE_HEADER = '''"""Flows, and models of their inputs, outputs and variables.

Written by `stepflow codegen`; change the flows and write it again.
"""

'''
_FLOW = '''
{name} = TypedFlow[{input}, {output}, {variables}](
    {source},{output_type}
)
"""The flow {title}."""
'''
_UNTYPED = {"input": "Any", "output": "Any", "variables": "Variables"}
_IMPORT_PATHS = {"Any": "typing.Any", "Variables": "stepflow_client.Variables"}


def generate_flow_module(files: Iterable[str], output: str | None) -> str:
    """Generate a module for one or more flows. The order of the files doesn't affect the result.

    Args:
        files: The flow files.
        output: The module's path. Flow paths are relative to its folder (by default, the working directory).

    Raises:
        Problem, FlowFileError: If a flow can't be read or a schema is invalid.
    """
    folder = Path(output).parent if output is not None else Path()
    names = UniqueNames()
    schemas, typed, flows = NamedSchemas(names), [], []
    python_imports: list[str] = []
    for path, file in sorted((_relative_path(file, folder), file) for file in files):
        flow = load_flow_argument(file)
        title = flow.get("name")
        title = title if isinstance(title, str) and title.strip() else Path(file).stem
        name = names.make_unique(make_variable_name(title))
        parts = {part: names.make_unique(to_camel_case(name) + to_camel_case(part)) for part in list_typed_parts(flow)}
        typed.append((flow, to_camel_case(name), file, parts))
        source = f"Path(__file__).parent / {python_literal(path)}"
        if is_python_flow(file):
            module, _, attribute = file.rpartition(":")
            if module.lower().endswith(".py"):
                hint = f"use the import path instead: {Path(module).stem}:{attribute}"
                raise usage(f"the module cannot import {file} by its file path", hint)
            first, dot, rest = attribute.partition(".")
            alias = names.make_unique(f"{name}_flow")
            python_imports.append(f"from {module} import {first} as {alias}\n")
            source = f"{alias}{dot}{rest}"
        # Remove backslashes and quotes, which would break the docstring.
        shown = "".join(char for char in " ".join(title.split()) if char.isprintable() and char not in '\\"')[:60]
        output_type = f"\n    output_type={parts['output']}," if "output" in parts else ""
        flows.append(_FLOW.format(**(_UNTYPED | parts), name=name, source=source, title=shown, output_type=output_type))
    # Reserve the names of every flow's input and output before naming nested classes.
    for arguments in typed:
        schemas.add_flow_schemas(*arguments)
    untyped = {kind for *_, parts in typed for part, kind in _UNTYPED.items() if part not in parts}
    imports = ["stepflow_client.flow_models.TypedFlow", *(_IMPORT_PATHS[part] for part in untyped)]
    imports += ["pathlib.Path"] if len(python_imports) < len(flows) else []
    models = generate_models(drop_invalid_defaults(schemas.named), imports)
    lines = models.splitlines(keepends=True)
    last = [node for node in ast.parse(models).body if isinstance(node, (ast.Import, ast.ImportFrom))][-1].end_lineno
    head, classes = "".join(lines[:last]), "".join(lines[last or 0 :]).rstrip("\n") + "\n"
    aliases = [f"\n{name} = {kind}\n" for name, kind in schemas.aliases.items()]
    head += "".join(["\n", *python_imports]) if python_imports else ""
    return "".join([_MODULE_HEADER, head, classes, "\n", *aliases, *flows])


def _relative_path(file: str, folder: Path) -> str:
    """Return a relative path with forward slashes, or an absolute path if the file is on a different Windows drive."""
    try:
        return Path(os.path.relpath(file, folder)).as_posix()
    except ValueError:
        return Path(file).absolute().as_posix()
