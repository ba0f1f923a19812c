"""The source of the module that `stepflow codegen` writes."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..inputs.flow import load_flow_file
from .defaults import without_wrong_defaults
from .functions import IMPORTS, path_line, write_functions
from .models import write_models
from .names import Names, camel_name, snake_name
from .schemas import Schemas

__all__ = ["write_module"]

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
