"""The module that is written: its imports, models and flows."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..inputs.flow import load_flow_file
from .docstrings import quoted
from .models import checked, write_models
from .names import Names, camel_name, snake_name
from .schemas import Schemas, typed_parts

_HEAD = '''"""Flows, and models of their inputs, outputs and variables.

Written by `stepflow codegen`; change the flows and write it again.
"""

'''
_FLOW = '''
{name} = TypedFlow[{input}, {output}, {variables}](
    Path(__file__).parent / {path},{output_type}
)
"""The flow {title}."""
'''
_UNTYPED = {"input": "Any", "output": "Any", "variables": "Variables"}
_IMPORTS = {"Any": "typing.Any", "Variables": "stepflow_client.Variables"}


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
    names = Names()
    schemas, found, flows = Schemas(names), [], []
    for place, file in sorted((_relative(file, folder), file) for file in files):
        flow = load_flow_file(file)
        title = _title(flow, file)
        name = names.take(snake_name(title))
        parts = {part: names.take(camel_name(name) + camel_name(part)) for part in typed_parts(flow)}
        found.append((flow, camel_name(name), file, parts))
        flows.append(_write_flow(name, place, title, parts))
    # The names of complete parts are taken before those of the classes within.
    for each in found:
        schemas.add(*each)
    untyped = {kind for *_, parts in found for part, kind in _UNTYPED.items() if part not in parts}
    imports = ["pathlib.Path", "stepflow_client.flow_models.TypedFlow", *(_IMPORTS[each] for each in untyped)]
    head, classes = _split(write_models(checked(schemas.named), imports))
    aliases = [f"\n{name} = {kind}\n" for name, kind in schemas.aliases.items()]
    return "".join([_HEAD, head, classes, "\n", *aliases, *flows])


def _write_flow(name: str, path: str, title: str, parts: Mapping[str, str]) -> str:
    """Return the source of the object of a flow.

    Args:
        name: Its name.
        path: The path of the flow's file, relative to the module or absolute.
        title: The flow's title.
        parts: The names of the types of its parts.
    """
    # A backslash or a quote would change the docstring.
    shown = "".join(each for each in " ".join(title.split()) if each.isprintable() and each not in '\\"')[:60]
    output_type = f"\n    output_type={parts['output']}," if "output" in parts else ""
    return _FLOW.format(**{**_UNTYPED, **parts}, name=name, path=quoted(path), title=shown, output_type=output_type)


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
