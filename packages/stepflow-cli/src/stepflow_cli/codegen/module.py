"""The module that is written: its imports, models and functions."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..inputs.flow import load_flow_file
from .models import without_wrong_defaults, write_models
from .names import Names, camel_name, snake_name
from .schemas import FlowSchemas, Schemas

IMPORTS = [
    "collections.abc.Mapping",
    "pathlib.Path",
    "stepflow_client.FlowResult",
    "stepflow_client.ResultCache",
    "stepflow_client.StepflowClient",
    "stepflow_client.StepflowRuntime",
    "stepflow_client.SyncStepflowClient",
    "typing.Any",
]

_TEMPLATE = '''
{async_}def {function}(
    client: {client},
    input: {input},
    *,
    variables: {variables} = None,
    variables_from_env: bool = False,
    overrides: Any = None,
    timeout: float | None = None,
    cache: ResultCache | None = None,
    flow: str | Path | Mapping[str, Any] = {constant},
) -> {result}:
    """Run the flow {title} and return its result, a failure too; `timeout` is in seconds."""
    return {await_}client.run(
        flow,
        [input],
        overrides,
        variables=variables,
        variables_from_env=variables_from_env,
        timeout=timeout,
        cache=cache,{output_type}
    )
'''


def path_line(constant: str, path: str) -> str:
    """Return the line that sets a flow's path, relative to the module or absolute."""
    text = repr(path)
    quoted = text if text.startswith('"') else '"{}"'.format(text[1:-1].replace('"', '\\"'))
    return f"{constant} = Path(__file__).parent / {quoted}\n"


def write_functions(name: str, constant: str, title: str, types: FlowSchemas) -> str:
    """Return the source of an asynchronous function and its synchronous twin.

    Args:
        name: The flow's name within function names.
        constant: The name of the constant with the flow's path.
        title: The flow's title.
        types: The names of its classes.
    """
    # A backslash or a quote would change the docstring.
    shown = "".join(each for each in " ".join(title.split()) if each.isprintable() and each not in '\\"')[:60]
    values = {
        "constant": constant,
        "title": shown,
        "input": types.input or "Any = None",
        "variables": f"{types.variables or 'Mapping[str, Any]'} | None",
        "result": f"FlowResult[{types.output}]" if types.output else "FlowResult[Any]",
        "output_type": f"\n        output_type={types.output}," if types.output else "",
    }
    twins = (
        {
            "function": f"run_{name}",
            "async_": "async ",
            "await_": "await ",
            "client": "StepflowClient | StepflowRuntime",
        },
        {"function": f"run_{name}_sync", "async_": "", "await_": "", "client": "SyncStepflowClient"},
    )
    return "\n".join(_TEMPLATE.format(**values, **twin) for twin in twins)


_HEAD = '''"""Inputs, outputs and variables of flows, and functions that run them.

Written by `stepflow codegen`; change the flows and write it again.
"""

'''


def write_module(files: Iterable[str], output: str | None) -> str:
    """Return the source of a module for flows. It does not depend on the order in which the flows are named.

    Args:
        files: The flows' files.
        output: The file of the module; the paths of the flows are relative to it. None for a module in the working
            folder.

    Raises:
        Problem, FlowFileError: If a flow cannot be read, or a schema is invalid.
    """
    folder = Path(output).parent if output is not None else Path()
    names, paths, functions = Names(), [], []
    schemas = Schemas(names)
    for place, file in sorted((_relative(file, folder), file) for file in files):
        flow = load_flow_file(file)
        title = _title(flow, file)
        name = names.take_all(snake_name(title), ("run_{}", "run_{}_sync"))
        constant = names.take(f"{name.upper()}_FLOW")
        types = schemas.add(flow, camel_name(name), file)
        paths.append(path_line(constant, place))
        functions.append(write_functions(name, constant, title, types))
    imports, classes = _split(write_models(without_wrong_defaults(schemas.named), IMPORTS))
    return "".join([_HEAD, imports, "\n", *paths, classes, "\n", "\n".join(functions)])


def _relative(file: str, folder: Path) -> str:
    """Return the relative path from a folder to a file, with slashes; absolute across drives."""
    try:
        return Path(os.path.relpath(file, folder)).as_posix()
    except ValueError:
        return Path(file).absolute().as_posix()


def _title(flow: Mapping[str, Any], file: str) -> str:
    name = flow.get("name")
    return name if isinstance(name, str) and name.strip() else Path(file).stem


def _split(models: str) -> tuple[str, str]:
    """Return a module's imports and the rest of its source."""
    nodes = [node for node in ast.parse(models).body if isinstance(node, (ast.Import, ast.ImportFrom))]
    lines = models.splitlines(keepends=True)
    last = nodes[-1].end_lineno or 0
    return "".join(lines[:last]), "".join(lines[last:]).rstrip("\n") + "\n"
