"""`stepflow convert`."""

from __future__ import annotations

import json
import shlex
from pathlib import PurePath
from typing import Any

import click

from ..errors import usage
from ..inputs.flow import load_flow_file, project_of
from ..inputs.python_flow import is_python_flow, python_flow
from ..output.generated import GeneratedFile
from ..output.messages import note
from ..output.safety import json_escaped
from ..params.flow import flow_argument
from ..params.options import check_option, components_option, file_option
from ..params.parsing import Command
from ..params.sections import OUTPUT, Choice

_FORMATS = ("yaml", "json", "python")
_ENDINGS = {".yaml": "yaml", ".yml": "yaml", ".json": "json", ".py": "python"}


@click.command("convert", cls=Command)
@flow_argument
@OUTPUT.option(
    "--to", "yaml, json or python. [default: by the ending of --output, else yaml]", to="form", type=Choice(_FORMATS)
)
@components_option
@file_option("Write the flow to this file, - for standard output.")
@check_option
def command(flow: str, form: str | None, components: str | None, output: str | None, check: bool) -> None:
    """FLOW is a YAML or JSON file, - for standard input, or MODULE:FUNCTION for a flow in Python. The same flow gives
    the same file. Nothing is run, and no server is needed.

    YAML of a flow in Python has a comment at each step that names its line. Comments of a YAML file are not kept.

    --to python writes a module with a function for stepflow_client.authoring. It has types for builtin components, and
    for those of --components or of the project. The module is executed to compare its flow: a note says where it is
    another one, such as a flow without a name. What functions cannot say, such as a step that reads a later one, is an
    error.
    """
    file = GeneratedFile(output, check=check)
    form = form or _format_of(output)
    again = shlex.join(["stepflow", "convert", flow, "--to", form, "-O", str(file.path)])
    file.keep(_text(flow, form, components), again)


def _format_of(output: str | None) -> str:
    ending = PurePath(output or "").suffix.lower()
    if ending and ending not in _ENDINGS:
        raise usage(
            f"{output}: there is no format {ending}", f"use one of {', '.join(_ENDINGS)}, or name the format with --to"
        )
    return _ENDINGS.get(ending, "yaml")


def _text(flow: str, form: str, components: str | None) -> str:
    """Return the flow in a format."""
    from stepflow_client._data.yaml_writer import write_yaml

    loaded = load_flow_file(flow)
    if form == "python":
        return _module(flow, loaded, components)
    if components is not None:
        raise usage("--components is for --to python")
    if form == "json":
        return json_escaped(json.dumps(loaded, indent=2, ensure_ascii=False)) + "\n"
    commented = getattr(python_flow(flow).value, "to_yaml", None) if is_python_flow(flow) else None
    return str(commented()) if callable(commented) else json_escaped(write_yaml(loaded))


def _module(flow: str, loaded: dict[str, Any], components: str | None) -> str:
    from stepflow_client.flows.project import existing_file

    from ..codegen.components import builtin_stubs, stubs_of
    from ..codegen.conversion import convert_flow
    from ..validation.checks import saved_components

    project = project_of(flow)
    if components is None and project.components is not None:
        components = str(existing_file(project, "components", project.components))
    known = builtin_stubs() | ({} if components is None else stubs_of(saved_components(components)))
    name = loaded.get("name")
    title = name if isinstance(name, str) and name.strip() else _stem(flow)
    converted = convert_flow(loaded, title, known)
    if converted.ignored:
        note(f"the flow in Python lacks what servers ignore: {', '.join(converted.ignored)}")
    for each in converted.differences:
        note(f"the flow in Python is another one: {each}")
    return converted.source


def _stem(flow: str) -> str:
    if is_python_flow(flow):
        return python_flow(flow).name
    return "flow" if flow == "-" else PurePath(flow).stem
