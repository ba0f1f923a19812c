"""The module that is written: its imports, models and flows."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..errors import usage
from ..inputs.flow import load_flow_file
from ..inputs.python_flow import is_python_flow
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
    {source},{output_type}
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
    of_python: list[str] = []
    for place, file in sorted((_relative(file, folder), file) for file in files):
        flow = load_flow_file(file)
        title = _title(flow, file)
        name = names.take(snake_name(title))
        parts = {part: names.take(camel_name(name) + camel_name(part)) for part in typed_parts(flow)}
        found.append((flow, camel_name(name), file, parts))
        if is_python_flow(file):
            alias = names.take(f"{name}_flow")
            line, source = _import(file, alias)
            of_python.append(line)
        else:
            source = f"Path(__file__).parent / {quoted(place)}"
        flows.append(_write_flow(name, source, title, parts))
    # The names of complete parts are taken before those of the classes within.
    for each in found:
        schemas.add(*each)
    untyped = {kind for *_, parts in found for part, kind in _UNTYPED.items() if part not in parts}
    imports = ["stepflow_client.flow_models.TypedFlow", *(_IMPORTS[each] for each in untyped)]
    imports += ["pathlib.Path"] if len(of_python) < len(flows) else []
    head, classes = _split(write_models(checked(schemas.named), imports))
    aliases = [f"\n{name} = {kind}\n" for name, kind in schemas.aliases.items()]
    head += "".join(["\n", *of_python]) if of_python else ""
    return "".join([_HEAD, head, classes, "\n", *aliases, *flows])


def _import(word: str, alias: str) -> tuple[str, str]:
    """Return the line that imports a flow in Python, and what it is called then.

    Raises:
        Problem: If it is named by its file, which has no import.
    """
    module, _, name = word.rpartition(":")
    first, dot, rest = name.partition(".")
    if module.lower().endswith(".py"):
        hint = f"name its module, as it is imported: {Path(module).stem}:{name}"
        raise usage(f"{word} is named by its file, which the module cannot import", hint)
    return f"from {module} import {first} as {alias}\n", f"{alias}{dot}{rest}"


def _write_flow(name: str, source: str, title: str, parts: Mapping[str, str]) -> str:
    """Return the source of the object of a flow.

    Args:
        name: Its name.
        source: The flow: the path of its file, or the object.
        title: The flow's title.
        parts: The names of the types of its parts.
    """
    # A backslash or a quote would change the docstring.
    shown = "".join(each for each in " ".join(title.split()) if each.isprintable() and each not in '\\"')[:60]
    output_type = f"\n    output_type={parts['output']}," if "output" in parts else ""
    return _FLOW.format(**{**_UNTYPED, **parts}, name=name, source=source, title=shown, output_type=output_type)


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
